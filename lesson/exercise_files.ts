/**
 * Finds the clients that the exercise checks, and has Deno load and type-check
 * them, wherever they are.
 *
 * @module
 */

import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import config from "../deno.json" with { type: "json" };
import { fail } from "./command_line.ts";
import { startDeno } from "./exercise_runs.ts";

/**
 * Returns the files that names on the command line stand for. A `*` in the last
 * part of a name stands for any characters, as some shells do not expand it.
 */
export async function findFiles(names: string[]): Promise<string[]> {
  const files = await Promise.all(names.map(findFile));
  return [...new Set(files.flat())];
}

async function findFile(name: string): Promise<string[]> {
  // A task runs in the project's folder, no matter where it was started.
  const file = resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), name);
  const candidates = [...new Set([file, resolve(name)])];
  for (const path of candidates) {
    if (await isFile(path)) return [path];
  }
  for (const path of candidates) {
    if (!basename(path).includes("*")) continue;
    const files = await match(path);
    if (files.length > 0) return files;
  }
  fail(`there is no file ${file}`);
}

/** Returns the files of a folder whose names match a pattern. */
async function match(pattern: string): Promise<string[]> {
  const parts = basename(pattern).split("*").map((part) => RegExp.escape(part));
  const name = new RegExp(`^${parts.join(".*")}$`, "s");
  const files: string[] = [];
  try {
    for await (const entry of Deno.readDir(dirname(pattern))) {
      if (name.test(entry.name) && entry.isFile) {
        files.push(resolve(dirname(pattern), entry.name));
      }
    }
  } catch {
    return []; // There is no such folder.
  }
  return files.sort();
}

/**
 * Returns Deno's arguments that name a client. If its folder is not the
 * project's, it gets the project's dependencies, and the project's framing.ts
 * unless it has one of its own.
 */
export async function programOf(file: string): Promise<string[]> {
  const program = [`--config=${resolve(ROOT, "deno.json")}`, file];
  const framing = resolve(dirname(file), "framing.ts");
  if (await isFile(framing)) return program;
  const map = maps.get(framing) ?? await makeImportMap(framing);
  maps.set(framing, map);
  return [`--import-map=${map}`, ...program];
}

/** The import maps that were made, by what they stand in for. They end with the program. */
const maps = new Map<string, string>();
globalThis.addEventListener("unload", () => {
  for (const map of maps.values()) Deno.removeSync(map);
});

/** Makes an import map that leads from a missing framing.ts to the project's. */
async function makeImportMap(framing: string): Promise<string> {
  // Deno leaves a tilde as it is, node:url does not.
  const url = pathToFileURL(framing).href.replaceAll("%7E", "~");
  const imports: Record<string, string> = {
    [url]: import.meta.resolve("../framing.ts"),
  };
  // An import map replaces the imports of deno.json.
  for (const [name, target] of Object.entries(config.imports)) {
    imports[name] = target;
    imports[`${name}/`] = `${target.replace(":", ":/")}/`;
  }
  // A file, as Deno 2.9 fails on a data URL if deno.json has links.
  const map = await Deno.makeTempFile({ prefix: "exercise_", suffix: ".json" });
  maps.set(framing, map);
  await Deno.writeTextFile(map, JSON.stringify({ imports }));
  return map;
}

const ROOT = resolve(import.meta.dirname!, "..");

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** Has Deno load a client and its imports. Returns why it cannot, or `undefined`. */
export async function load(
  program: string[],
  file: string,
): Promise<string | undefined> {
  await using deno = startDeno(["cache", "--quiet", ...program]);
  const { success, stderr } = await deno.output();
  if (success) return undefined;
  const { message, place } = complaint(new TextDecoder().decode(stderr), file);
  return message + (place === undefined ? "" : ` (${place})`);
}

/** What a program says is wrong. */
export interface Complaint {
  message: string;
  /** Which line of the client it names, such as `ada.ts, line 7`. */
  place?: string;
}

/** Type-checks a client. Returns the first mistake that TypeScript finds, if any. */
export async function typeCheck(
  program: string[],
  file: string,
): Promise<Complaint | undefined> {
  await using deno = startDeno(["check", "--quiet", ...program]);
  const { stderr } = await deno.output();
  const [, mistake] = new TextDecoder().decode(stderr).split(
    /^TS\d+ \[ERROR\]: /m,
  );
  if (mistake === undefined) return undefined;
  return complaint(mistake.split(/^error: /m)[0], file);
}

/** Returns what a program's stderr says is wrong, and the line of the client that it names. */
export function complaint(stderr: string, file: string): Complaint {
  const lines = stderr.split(/\r?\n/).filter((line) => line.trim() !== "");
  const message = (lines.find((line) => /^error: /.test(line)) ??
    lines[/\n\s+at /.test(stderr) ? 0 : lines.length - 1] ?? "")
    .replace(/^error: (Uncaught (\(in promise\) )?)?/, "");
  const name = pathToFileURL(file).href.split("/").at(-1);
  const line = parseInt(stderr.split(`/${name}:`)[1]);
  return Number.isNaN(line)
    ? { message }
    : { message, place: `${basename(file)}, line ${line}` };
}
