/** Tests of framing.ts in the oldest Node.js and Bun that it supports, and with two versions of TypeScript. @module */

import { assertEquals } from "@std/assert";
import { arch, platform } from "node:process";
import { canRun, startProcess, test } from "./testing.ts";

const NODE = `node-${platform.replace("32", "")}-${arch}`;
const cpu = arch === "x64" ? "x64-baseline" : "aarch64";
const BUN = `@oven/bun-${Deno.build.os}-${cpu}`;
const dependencies = {
  "@types/node": "22.18.9",
  [NODE]: "22.18.0",
  [BUN]: "1.2.23",
  "oldest-typescript": "npm:typescript@5.2.2",
  "current-typescript": "npm:typescript@7.0.2",
};

/** Prints the length of each payload after its way through every class. */
const PROGRAM = `
  import * as framing from "./framing.ts";
  const written: Uint8Array[] = [];
  async function write(bytes: Uint8Array): Promise<number> {
    written.push(bytes.slice());
    return bytes.length;
  }
  const writer = new framing.FrameWriter({ write });
  for (const text of ["one", "", "ü".repeat(50_000)]) writer.add(text);
  await writer.flush();

  const frames = new Blob(written).stream()
    .pipeThrough(new framing.FrameDecoderStream())
    .pipeThrough(new framing.FrameEncoderStream());
  for await (const { length } of new framing.FrameReader(frames)) {
    console.log(String(length));
  }
`;

const folder = canRun ? await Deno.makeTempDir() : "";
const reason = canRun ? await install() : undefined;

/** Fills the folder. Returns the reason if that is not possible. */
async function install(): Promise<string | undefined> {
  const remove = () => Deno.removeSync(folder, { recursive: true });
  addEventListener("unload", remove);
  const root = new URL("../", import.meta.url);
  await Deno.copyFile(new URL("framing.ts", root), `${folder}/framing.ts`);
  const docs = await Deno.readTextFile(new URL("docs/framing.md", root));
  const [, example] = docs.split("## Node.js\n")[1].split(/```(?:ts)?\n/);
  await write("example.ts", example.replace("../framing.ts", "./framing.ts"));
  await write("program.ts", PROGRAM);
  await write("package.json", JSON.stringify({ type: "module", dependencies }));
  await write("deno.json", "{}"); // so that the folder is a project of its own
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet"],
    cwd: folder,
    signal: AbortSignal.timeout(60_000), // Deno waits for a registry that stalls.
  }).output();
  return success ? undefined : "npm cannot be reached";
}

function write(file: string, text: string): Promise<void> {
  return Deno.writeTextFile(`${folder}/${file}`, text);
}

/** Registers a test of a command, which begins with a file of npm. */
function testCommand(name: string, command: string, expected = ""): void {
  test(name, async () => {
    const [file, ...args] = command.split(" ");
    const program = `${folder}/node_modules/${file}`;
    await using process = startProcess([program, ...args], { cwd: folder });
    const { code, stdout, stderr } = await process.result();
    assertEquals({ code, stdout }, { code: 0, stdout: expected }, stderr);
  }, reason);
}

const node = `${NODE}/bin/node`;
const lengths = "3\n0\n100000\n";
testCommand("framing.ts runs in Bun", `${BUN}/bin/bun program.ts`, lengths);
testCommand("framing.ts runs in Node.js", `${node} program.ts`, lengths);
testCommand("The example for Node.js runs there", `${node} example.ts`);

const STRICT = "--strict --noUncheckedIndexedAccess " +
  "--exactOptionalPropertyTypes --noPropertyAccessFromIndexSignature " +
  "--noImplicitReturns --noImplicitOverride --noFallthroughCasesInSwitch " +
  "--noUnusedLocals --noUnusedParameters --verbatimModuleSyntax --noEmit " +
  "--skipLibCheck --module nodenext --allowImportingTsExtensions";
const WITH_NODE = "--target es2022 --lib es2022 --types node example.ts";
const WITH_DOM = "--target es2022 --lib es2022,dom --typeRoots none framing.ts";

for (const version of ["oldest", "current"]) {
  const tsc = `${node} node_modules/${version}-typescript/bin/tsc ${STRICT}`;
  const name = `framing.ts passes the check of the ${version} TypeScript with`;
  testCommand(`${name} @types/node`, `${tsc} ${WITH_NODE}`);
  testCommand(`${name} the DOM library`, `${tsc} ${WITH_DOM}`);
}
