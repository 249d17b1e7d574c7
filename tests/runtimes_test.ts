/**
 * framing.ts where it promises to run: in Node.js and Bun as it is, and with
 * TypeScript's compiler, each in the least version that it states.
 *
 * The programs come from npm, into a temporary folder.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { canRun, startProcess, test } from "./testing.ts";

const TYPESCRIPT = "5.2.2";
const NODE = "22.18.0";
const BUN = "1.2.23";

const root = new URL("..", import.meta.url);
const { os, arch } = Deno.build;
const system = os === "windows" ? "win" : os;
const cpu = arch === "x86_64" ? "x64" : "arm64";
const nodePackage = `node-${system}-${cpu}`;
const bunPackage = `@oven/bun-${os}-${
  arch === "x86_64" ? "x64-baseline" : "aarch64"
}`;
const suffix = os === "windows" ? ".exe" : "";

let folder = "";
const reason = canRun ? await install() : undefined;

/** Gets the programs into a folder. Returns the reason if that is not possible. */
async function install(): Promise<string | undefined> {
  folder = await Deno.makeTempDir();
  addEventListener(
    "unload",
    () => Deno.removeSync(folder, { recursive: true }),
  );
  const dependencies = {
    typescript: TYPESCRIPT,
    "@types/node": NODE,
    [nodePackage]: NODE,
    [bunPackage]: BUN,
  };
  await write("package.json", JSON.stringify({ type: "module", dependencies }));
  await write("deno.json", "{}");
  await Deno.copyFile(new URL("framing.ts", root), `${folder}/framing.ts`);
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet"],
    cwd: folder,
    // It is a large download, and Deno waits for ever for npm that stalls.
    signal: AbortSignal.timeout(300_000),
  }).output();
  return success ? undefined : "npm cannot be reached";
}

function write(file: string, text: string): Promise<void> {
  return Deno.writeTextFile(`${folder}/${file}`, text);
}

async function run(...command: string[]) {
  await using process = startProcess(command, { cwd: folder });
  const { code, stdout, stderr } = await process.result();
  return { code, output: stdout + stderr };
}

const LIBRARIES = {
  "@types/node": "--lib ES2022 --types node",
  "the DOM library": "--lib ES2022,DOM --typeRoots none",
};
for (const [library, flags] of Object.entries(LIBRARIES)) {
  test(
    `framing.ts passes the type check of TypeScript ${TYPESCRIPT} with ${library}`,
    async () => {
      const tsc = "node_modules/typescript/lib/tsc.js --noEmit --strict " +
        "--isolatedModules --noImplicitOverride --skipLibCheck --target ES2022 " +
        `--module ESNext --moduleResolution bundler ${flags} framing.ts`;
      assertEquals(await run(Deno.execPath(), "run", "-A", ...tsc.split(" ")), {
        code: 0,
        output: "",
      });
    },
    reason,
  );
}

/** A program that uses every part of framing.ts. It prints nothing if all is right. */
const PROGRAM = `
  import { deepEqual, equal } from "node:assert/strict";
  import * as framing from "./framing.ts";

  const texts = ["one", "ü".repeat(50_000), ""];
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  const stream = Buffer.concat(texts.map((text) => framing.encodeFrame(text)));
  const source = () => {
    let at = 0;
    return {
      async read(to) {
        const part = stream.subarray(at, at + Math.min(to.length, 15_000));
        to.set(part);
        at += part.length;
        return part.length || null;
      },
    };
  };

  const decoder = new framing.FrameDecoder();
  const decode = (payload) => utf8.decode(payload);
  deepEqual(decoder.push(stream).map(decode), texts);
  equal(decoder.push(stream.subarray(0, 20)).length, 1);

  const read = await Array.fromAsync(new framing.FrameReader(source()), decode);
  deepEqual(read, texts);
  const frames = new framing.FrameReader(source());
  let bytes = 0;
  while (await frames.fill()) {
    while (frames.next()) bytes += 10 + frames.end - frames.start;
  }
  equal(bytes, stream.length);

  const written = [];
  const writer = new framing.FrameWriter({
    write: async (bytes) => (written.push(bytes.slice()), bytes.length),
  });
  for (const text of texts) writer.add(text);
  await writer.flush();
  equal(Buffer.concat(written).toString(), stream.toString());

  const chunks = new ReadableStream({
    start(controller) {
      for (const text of texts) controller.enqueue(text);
      controller.close();
    },
  });
  const payloads = chunks
    .pipeThrough(new framing.FrameEncoderStream())
    .pipeThrough(new framing.FrameDecoderStream());
  deepEqual(await Array.fromAsync(payloads, decode), texts);

  // Errors wait for a slow consumer, and come at both ends.
  const { readable, writable } = new framing.FrameDecoderStream();
  const input = writable.getWriter();
  const writing = input.write(Buffer.from("2         hi0         x")).catch((e) => e);
  input.closed.catch(() => {});
  const output = readable.getReader();
  equal(decode((await output.read()).value), "hi");
  equal((await output.read()).value.length, 0);
  const error = await output.read().catch((error) => error);
  equal(error, await writing);
  equal(error instanceof framing.FramingError && error.code, "INVALID_HEADER");

  // A consumer that cancels, and a producer that aborts.
  const cancelled = new framing.FrameDecoderStream();
  const producer = cancelled.writable.getWriter();
  producer.closed.catch(() => {});
  await cancelled.readable.cancel("enough");
  equal(await producer.write(stream).catch((e) => e), "enough");
  const aborted = new framing.FrameEncoderStream();
  await aborted.writable.abort("gone");
  equal(await aborted.readable.getReader().read().catch((e) => e), "gone");
`;

const modules = `${folder}/node_modules`;
const node = `${modules}/${nodePackage}/bin/node${suffix}`;
const bun = `${modules}/${bunPackage}/bin/bun${suffix}`;

for (
  const [name, program] of [[`Node.js ${NODE}`, node], [`Bun ${BUN}`, bun]]
) {
  test(`framing.ts runs in ${name} as it is`, async () => {
    await write("program.ts", PROGRAM);
    assertEquals(await run(program, "program.ts"), { code: 0, output: "" });
  }, reason);
}

test(
  `The example for Node.js in docs/framing.md runs in Node.js ${NODE}`,
  async () => {
    const docs = await Deno.readTextFile(new URL("docs/framing.md", root));
    const [, example] = docs.split("## Node.js\n")[1].split(/```(?:ts)?\n/);
    assertStringIncludes(example, "node:net");
    await write("example.ts", example.replace("../framing.ts", "./framing.ts"));
    const { code, output } = await run(node, "example.ts");
    assertEquals(code, 0, output);
  },
  reason,
);
