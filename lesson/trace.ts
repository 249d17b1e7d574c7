/**
 * Connects as a client does, and draws what each read brings: which bytes are
 * header and which payload.
 *
 * ```text
 * read 3    16 bytes  .695505)[29·······
 * read 4    16 bytes  ·](The time is 179
 * ```
 *
 * ```shell
 * deno task trace --chunk 39
 * ```
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { fail } from "./processes.ts";
import { Divider, draw } from "./reading.ts";

async function trace(): Promise<void> {
  using connection = await Deno.connect({ hostname, port });
  const divider = new Divider();
  const buffer = new Uint8Array(chunk);
  for (let number = 1;; number++) {
    const size = await connection.read(buffer);
    if (size === null) break;
    const label = `read ${number}`.padEnd(9);
    const count = `${size} ${size === 1 ? "byte" : "bytes"}`.padStart(9);
    const drawn = draw(divider.divide(buffer.subarray(0, size)));
    console.log(`${label}${count}  ${drawn}`);
  }
}

const FLAGS = "--hostname, --port and --chunk, each with a value";
const flags = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
  string: ["hostname", "port", "chunk"],
  default: { hostname: "127.0.0.1", port: "9092", chunk: "16" },
  unknown: (arg) => fail(`unknown argument "${arg}". The flags: ${FLAGS}`, 2),
});
const { hostname } = flags;
const port = Number(flags.port); // Deno.connect checks it
const chunk = Number(flags.chunk);
if (!(chunk >= 1)) {
  fail(`--chunk takes a number of bytes, not "${flags.chunk}"`, 2);
}

try {
  await trace();
} catch (error) {
  const { name, message } = error as Error;
  const address = `${hostname}:${port}`;
  if (name !== "ConnectionRefused") fail(`cannot trace ${address}: ${message}`);
  const start = `deno task server --hostname ${hostname} --port ${port}`;
  fail(`nothing listens on ${address}. Start a server there: ${start}`);
}
