/**
 * Makes the page: one HTML file that needs nothing else. web/serve.ts serves
 * it, and `deno task page` writes it.
 *
 * ```shell
 * deno task page            # writes lesson.html
 * deno task page course.html
 * ```
 *
 * There is no bundler. Types become spaces, and every module becomes a script
 * of its own in which each line is where it is in its file, so that a breakpoint
 * set in the browser's debugger is where one expects it.
 *
 * @module
 */

import { stripTypeScriptTypes } from "node:module";
import { Script } from "node:vm";
import { parseArgs } from "@std/cli/parse-args";
import { findLoop } from "./clients.ts";

const ROOT = new URL("../", import.meta.url);

/** A stream that the page can read, apart from the simulated ones. */
export interface Live {
  /** The address of the WebSocket. */
  stream: string;
  /** The TCP server behind it, `127.0.0.1:9092`. */
  address: string;
}

/** A module as a script of the page. */
interface Module {
  text: string;
  names: string[];
}

/** Returns the page, and the policy that is part of it. */
export async function buildPage(
  live?: Live,
): Promise<{ html: string; policy: string }> {
  const modules = new Map<string, Module>();
  await addModule("web/worker.ts", modules);
  const inWorker = modules.size; // these run in the page and in its Workers
  await addModule("web/page.ts", modules);
  const scripts = Array.from(modules.values(), ({ text }) => text);
  const style = await read("web/page.css");
  const [soln, changed] = await Promise.all(
    ["streamClient01Soln.ts", "streamClientEx1.ts"].map(async (path) =>
      findLoop(stripTypeScriptTypes(await read(path)))
    ),
  );
  if (soln === undefined) throw new Error("streamClient01Soln.ts has changed");
  // A learner may have written anything. The page then shows the exercise.
  const ex1 = changed ??
    { ...soln, line: "received = new Uint8Array();" };

  const policy = [
    "default-src 'none'",
    "img-src data:",
    `style-src ${await hash(style)}`,
    `script-src ${(await Promise.all(scripts.map(hash))).join(" ")}`,
    "worker-src blob:",
    `connect-src ${live?.stream ?? "'none'"}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types client",
  ].join("; ");
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}">
<style>${style}</style>`;
  const data = JSON.stringify({ ...live, ex1, soln }).replaceAll(
    "<",
    "\\u003c",
  );
  const body = [
    `<script type="application/json" id="data">${data}</script>`,
    ...scripts.map((text, i) =>
      `<script${i < inWorker ? ' class="worker"' : ""}>${text}</script>`
    ),
  ].join("\n");
  const html = (await read("web/page.html"))
    .replace("<!-- head -->", () => head)
    .replace("<!-- body -->", () => body);
  return { html, policy };
}

/** Adds a module to others, behind those that it imports. */
export async function addModule(
  path: string,
  modules: Map<string, Module>,
): Promise<void> {
  const imports: [text: string, list: string, path: string][] = [];
  const source = stripTypeScriptTypes(await read(path), { mode: "strip" });
  for (const [text, list, from] of source.matchAll(IMPORT)) {
    const { href } = new URL(from, new URL(path, ROOT));
    imports.push([text, list, href.slice(ROOT.href.length)]);
  }
  modules.set(path, { text: "", names: [] }); // tells imports in a circle
  let code = source;
  for (const [text, list, from] of imports) {
    if (!modules.has(from)) await addModule(from, modules);
    for (const name of list.match(/\w+/g) ?? []) {
      if (modules.get(from)?.names.includes(name)) continue;
      throw new Error(
        `${path} imports ${name}, which ${from} does not export before it`,
      );
    }
    code = code.replace(text, () => `const {${list}} = modules["${from}"];`);
  }
  const names: string[] = [];
  code = code.replace(EXPORT, (_, declaration, name) => {
    names.push(name);
    return declaration;
  });
  const text = `"use strict"; (self.modules ??= {})["${path}"] = (() => {${code}
return { ${names.join(", ")} };
})();
//# sourceURL=${path}
`;
  check(path, text);
  modules.delete(path); // The order is that in which modules are complete.
  modules.set(path, { text, names });
}

/** An import, when its types are gone. It may have several lines. */
const IMPORT = /^import \{([\w\s,]*)\} from "(\.[^"]+)";/gm;

/** An exported declaration. */
const EXPORT = /^export ((?:async )?(?:function\*?|class|const) (\w+))/gm;

/** Throws if a script is not one that a browser accepts inside HTML. */
function check(path: string, text: string): void {
  try {
    new Script(text); // parses it: an import or export that is left is an error
  } catch (error) {
    throw new Error(`Cannot put ${path} into a page: ${error}`);
  }
  if (/<\/script|<!--/i.test(text)) {
    throw new Error(`Cannot put ${path} into a page: it holds HTML`);
  }
}

/** Returns the source expression of a policy for an inline script or style. */
async function hash(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `'sha256-${digest.toBase64()}'`;
}

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, ROOT));
}

/** Ends the program with one line on stderr. */
function fail(message: string, code = 1): never {
  console.error(`error: ${message}`);
  Deno.exit(code);
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
    string: ["_"],
    boolean: ["help"],
    alias: { h: "help" },
    unknown(arg) {
      if (arg.startsWith("-")) fail(`unknown flag "${arg}". See --help`, 2);
    },
  });
  if (flags.help) {
    console.log(
      `Writes the page of the lesson, one HTML file that needs nothing else.

USAGE:
  deno task page [FILE]    (default: lesson.html)`,
    );
    Deno.exit();
  }
  const [file = "lesson.html", ...others] = flags._.map(String);
  if (others.length > 0) fail(`one FILE, not "${others.join('" and "')}"`, 2);
  try {
    const { html } = await buildPage();
    await Deno.writeTextFile(file, html);
    console.error(`Wrote ${file}. Open it in a browser, or publish it`);
  } catch (error) {
    fail((error as Error).message);
  }
}
