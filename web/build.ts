/**
 * Makes one file of the page, which needs nothing else: `deno task web:file`
 * writes it, and web/serve.ts serves it.
 *
 * @module
 */

import { stripTypeScriptTypes } from "node:module";
import { findLoop } from "./clients.ts";

/** What runs in the page and in its Workers, in this order. */
const SHARED = [
  "framing.ts",
  "web/clients.ts",
  "web/simulation.ts",
  "web/worker.ts",
];
/** What runs in the page only. */
const PAGE = ["lesson/reading.ts", "web/learner.ts", "web/page.ts"];

/** Returns the page, with the address of a live stream if there is one, and of its server. */
export async function buildPage(
  stream?: string,
  address?: string,
): Promise<string> {
  const shared = `"use strict"; const modules = {}; ${
    (await Promise.all(SHARED.map(toExpression))).join("\n")
  }`;
  const page = (await Promise.all(PAGE.map(toExpression))).join("\n");
  const style = await read("web/page.css");
  const loops = {
    ex1: findLoop(await read("streamClientEx1.ts")),
    soln: findLoop(await read("streamClient01Soln.ts")),
  };
  const policy = `default-src 'none'; img-src data:; style-src ${await hash(
    style,
  )}; script-src ${await hash(shared)} ${await hash(page)}; connect-src ${
    stream ?? "'none'"
  }; worker-src blob:; base-uri 'none'; form-action 'none'`;
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}">
    <style>${style}</style>`;
  const body = `<script type="application/json" id="data">${
    JSON.stringify({ ...loops, stream, address }).replaceAll("<", "\\u003c")
  }</script>
    <script id="shared">${shared}</script>
    <script>${page}</script>`;
  return (await read("web/page.html"))
    .replace("<!-- head -->", () => head).replace("<!-- body -->", () => body);
}

/** Returns a module as a statement. Every line of the first one stays where it is. */
async function toExpression(path: string): Promise<string> {
  const names: string[] = [];
  const body = stripTypeScriptTypes(await read(path))
    .replace(
      /^import +(\{[^}]*\}) +from +"(?:\.\.?\/)+([^"]+)";/gm,
      (_, list, from) => {
        const file = [...SHARED, ...PAGE].find((name) => name.endsWith(from));
        return `const ${list} = modules["${file}"];`;
      },
    )
    .replace(
      /^export +((?:async )?(?:function|class|const)\*? +(\w+))/gm,
      (_, head, name) => {
        names.push(name);
        return head;
      },
    );
  return `modules["${path}"] = (() => {${body}\nreturn { ${
    names.join(", ")
  } }; })();`;
}

async function hash(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `'sha256-${digest.toBase64()}'`;
}

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(`../${path}`, import.meta.url));
}

if (import.meta.main) {
  await Deno.writeTextFile(Deno.args[0], await buildPage());
}
