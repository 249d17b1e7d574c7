/**
 * Finds the clients that the exercise checks, and has Deno load and type-check
 * them, wherever they are.
 *
 * @module
 */

import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import config from "../deno.json" with { type: "json" };
import { escapeControls, fail } from "./command_line.ts";
import { startDeno } from "./processes.ts";

/** A client to check. */
export interface Program {
  file: string;
  /** The file's name, with its folder if two files have the same name. */
  name: string;
  /** Deno's arguments that name the file. */
  args: string[];
}

/**
 * Returns the clients that names on the command line stand for. A `*` in the
 * last part of a name stands for any characters, as some shells do not expand it.
 */
export async function findPrograms(names: string[]): Promise<Program[]> {
  const found = await Promise.all(names.map(findFiles));
  const files = [...new Set(found.flat())];
  const options = await optionsFor(files);
  return files.map((file) => {
    const name = basename(file);
    const isUnique = files.filter((one) => basename(one) === name).length === 1;
    const shown = isUnique ? name : `${basename(dirname(file))}/${name}`;
    return { file, name: escapeControls(shown), args: [...options, file] };
  });
}

async function findFiles(name: string): Promise<string[]> {
  // A task runs in the project's folder, no matter where it was started.
  const file = resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), name);
  const candidates = [file, resolve(name)];
  for (const path of candidates) {
    if (await isFile(path)) return [path];
  }
  for (const path of candidates) {
    const files = await match(path);
    if (files.length > 0) return files;
  }
  fail(`there is no file ${escapeControls(file)}`);
}

/** Returns the files of a folder whose names match a pattern. */
async function match(pattern: string): Promise<string[]> {
  const parts = basename(pattern).split("*").map((part) => RegExp.escape(part));
  const name = new RegExp(`^${parts.join(".*")}$`, "s");
  const folder = dirname(pattern);
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    return entries
      .filter((entry) => entry.isFile && name.test(entry.name))
      .map((entry) => resolve(folder, entry.name))
      .sort();
  } catch {
    return []; // There is no such folder.
  }
}

/**
 * Returns options that give clients the project's dependencies, and its
 * framing.ts if there is none beside them.
 */
async function optionsFor(files: string[]): Promise<string[]> {
  const options = [`--config=${resolve(ROOT, "deno.json")}`];
  const imports: Record<string, string> = {};
  for (const file of files) {
    const framing = resolve(dirname(file), "framing.ts");
    if (await isFile(framing)) continue;
    // Deno leaves a tilde as it is, node:url does not.
    const url = pathToFileURL(framing).href.replaceAll("%7E", "~");
    imports[url] = import.meta.resolve("../framing.ts");
  }
  if (Object.keys(imports).length === 0) return options;
  // An import map replaces the imports of deno.json.
  for (const [name, target] of Object.entries(config.imports)) {
    imports[name] = target;
    imports[`${name}/`] = `${target.replace(":", ":/")}/`;
  }
  // A file, as Deno 2.9 fails on a data URL if deno.json has links.
  const map = await Deno.makeTempFile({ prefix: "exercise_", suffix: ".json" });
  globalThis.addEventListener("unload", () => Deno.removeSync(map));
  await Deno.writeTextFile(map, JSON.stringify({ imports }));
  return [`--import-map=${map}`, ...options];
}

const ROOT = resolve(import.meta.dirname!, "..");

/** The file that learners change. */
export const EXERCISE = resolve(ROOT, "streamClientEx1.ts");

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** Has Deno load a client and its imports. Returns why it cannot, or `undefined`. */
export async function load(program: Program): Promise<string | undefined> {
  await using deno = startDeno(["cache", "--quiet", ...program.args]);
  const { success, stderr } = await deno.output();
  return success
    ? undefined
    : complaint(new TextDecoder().decode(stderr), program);
}

/** Type-checks a client. Returns the first mistake that TypeScript finds, if any. */
export async function typeCheck(program: Program): Promise<string | undefined> {
  await using deno = startDeno(["check", "--quiet", ...program.args]);
  const { stderr } = await deno.output();
  const [, mistake] = new TextDecoder().decode(stderr).split(
    /^TS\d+ \[ERROR\]: /m,
  );
  return mistake && complaint(mistake.split(/^error: /m)[0], program);
}

/** Returns what stderr says is wrong, fit for a terminal, and the line of the client that it names. */
export function complaint(stderr: string, { file, name }: Program): string {
  const lines = stderr.split(/\r?\n/).filter((line) => line.trim() !== "");
  const message = (lines.find((line) => /^error: /.test(line)) ??
    lines[/\n\s+at /.test(stderr) ? 0 : lines.length - 1] ?? "")
    .replace(/^error: (Uncaught (\(in promise\) )?)?/, "");
  const line = parseInt(
    stderr.split(`/${basename(pathToFileURL(file).href)}:`)[1],
  );
  return escapeControls(message) +
    (Number.isNaN(line) ? "" : ` (${name}, line ${line})`);
}
