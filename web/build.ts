/**
 * Makes the page: one HTML file that needs nothing else. web/serve.ts serves
 * it, and `deno task page` writes it to lesson.html or another file.
 *
 * There is no bundler. Types become spaces, and every module becomes a script
 * of its own whose lines are those of its file, so that the browser's debugger
 * shows framing.ts as it is.
 *
 * @module
 */

import { stripTypeScriptTypes } from "node:module";
import { Script } from "node:vm";
import { fail, pathOf } from "../lesson/processes.ts";
import { type Code, findLoop } from "./clients.ts";

const ROOT = new URL("../", import.meta.url);

/**
 * Returns the page, and the policy in it. With the address of a WebSocket, the
 * page can read its stream, too: that of the TCP server at `address`.
 */
export async function buildPage(
  live?: { stream: string; address: string },
): Promise<{ html: string; policy: string }> {
  const modules = new Map<string, string>();
  await addModule("web/worker.ts", modules);
  const inWorker = modules.size; // These run in the page and in its Workers.
  await addModule("web/page.ts", modules);
  const scripts = Array.from(modules.values());
  const style = await read("web/page.css");
  const soln = await readLoop();
  const ex1 = { ...soln, line: "received = new Uint8Array();" };
  const json = JSON.stringify({ ...live, ex1, soln });
  const data = json.replaceAll("<", "\\u003c");

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
  const body = [
    `<script type="application/json" id="data">${data}</script>`,
    ...scripts.map((text, i) =>
      `<script${i < inWorker ? ' class="worker"' : ""}>${text}</script>`
    ),
  ];
  const html = (await read("web/page.html"))
    .replace("<!-- head -->", () => head)
    .replace("<!-- body -->", () => body.join("\n"));
  return { html, policy };
}

/** An import of values, when those of types are gone. */
const IMPORT = /^import \{([\w\s,]*)\} from "(\.[^"]+)";/gm;

/** The exports that the project uses. */
const EXPORT = /^export ((?:async )?(?:function\*?|class|const) (\w+))/gm;

/** Adds a module as a script of the page, after those that it imports. */
export async function addModule(
  path: string,
  modules: Map<string, string>,
  readSource = read,
): Promise<void> {
  let code = stripTypeScriptTypes(await readSource(path));
  for (const [text, names, from] of code.matchAll(IMPORT)) {
    const { href } = new URL(from, new URL(path, ROOT));
    const other = href.slice(ROOT.href.length);
    if (!modules.has(other)) await addModule(other, modules, readSource);
    code = code.replace(text, `const {${names}} = modules["${other}"];`);
  }
  const exported = Array.from(code.matchAll(EXPORT), ([, , name]) => name);
  code = code.replace(EXPORT, "$1");
  const text = `"use strict"; (self.modules ??= {})["${path}"] = (() => {${code}
return { ${exported.join(", ")} };
})();
//# sourceURL=${path}
`;
  try {
    new Script(text); // throws if it holds an import or export still
    const [found] = /\bimport\(|<\/script|<!--/i.exec(text) ?? [];
    if (found !== undefined) throw new Error(`It holds ${found}`);
  } catch (error) {
    throw new Error(`Cannot add ${path}: ${(error as Error).message}`);
  }
  modules.set(path, text);
}

/** Returns the loop of 01Soln. That of Ex1 differs in one line, until a learner changes more. */
export async function readLoop(): Promise<Code> {
  return findLoop(stripTypeScriptTypes(await read("streamClient01Soln.ts")));
}

/** Returns the source expression for an inline script or style in a policy. */
async function hash(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `'sha256-${digest.toBase64()}'`;
}

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, ROOT));
}

if (import.meta.main) {
  const args = Deno.args.filter((arg) => arg !== "--");
  const [file = "lesson.html"] = args;
  if (args.length > 1 || file.startsWith("-")) {
    fail("usage: deno task page [FILE]", 2);
  }
  try {
    await Deno.writeTextFile(pathOf(file), (await buildPage()).html);
    console.error(`Wrote ${file}. Open it in a browser, or publish it`);
  } catch (error) {
    fail((error as Error).message);
  }
}
