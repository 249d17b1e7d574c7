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
import { FrameDecoder } from "../framing.ts";
import { fail } from "./processes.ts";
import { Divider, draw, visible } from "./reading.ts";

async function trace(): Promise<void> {
  using connection = await Deno.connect({ hostname, port });
  const divider = new Divider();
  const decoder = new FrameDecoder(); // throws if the stream is not frames
  const buffer = new Uint8Array(chunk);
  for (let number = 1;; number++) {
    const size = await connection.read(buffer);
    if (size === null) break;
    const read = buffer.subarray(0, size);
    const label = `read ${number}`.padEnd(9);
    const count = `${size} ${size === 1 ? "byte" : "bytes"}`.padStart(9);
    console.log(`${label}${count}  ${draw(divider.divide(read))}`);
    decoder.push(read);
  }
  decoder.end();
}

const flags = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
  string: ["hostname", "port", "chunk"],
  boolean: ["help"],
  alias: { h: "help" },
  default: { hostname: "127.0.0.1", port: "9092", chunk: "16" },
  unknown: (arg) =>
    fail(`unknown argument "${visible(arg)}". The flags: --help`, 2),
});
if (flags.help) {
  console.log(`Draws what each read from streamServer.ts brings.

  --hostname <HOST>  the server's address (default: 127.0.0.1)
  --port <PORT>      its port (default: 9092)
  --chunk <BYTES>    bytes to ask for in each read (default: 16)
  -h, --help         print this help`);
  Deno.exit();
}
const { hostname } = flags;
const port = integer("port", 65_535);
const chunk = integer("chunk", 2 ** 24);

/** Returns the value of a flag that takes an integer. */
function integer(name: "port" | "chunk", max: number): number {
  const text = flags[name];
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  fail(
    `--${name} takes an integer from 1 to ${max}, not "${visible(text)}"`,
    2,
  );
}

try {
  await trace();
} catch (error) {
  const { message } = error as Error;
  const address = `${hostname}:${port}`;
  if (!(error instanceof Deno.errors.ConnectionRefused)) {
    fail(`cannot trace ${address}: ${visible(message)}`);
  }
  const start = `deno task server --hostname ${hostname} --port ${port}`;
  fail(`nothing listens on ${address}. Start a server there: ${start}`);
}
