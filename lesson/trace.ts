/**
 * Connects as a client does, and draws what each read brings: which bytes are
 * header and which payload.
 *
 * ```text
 * read 1    16 bytes  [29········](The ti
 * read 2    16 bytes  me is 1795392089
 * read 3    16 bytes  .695505)[29·······
 * ```
 *
 * ```shell
 * deno task trace
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

/** Returns what an error means, and what to do about it if that is known. */
function explain(error: Error): string {
  if (!(error instanceof Deno.errors.ConnectionRefused)) {
    return `${address}: ${visible(error.message)}`;
  }
  const command = "deno task server" +
    (hostname === "127.0.0.1" ? "" : ` --hostname ${hostname}`) +
    (port === 9092 ? "" : ` --port ${port}`);
  return `nothing listens on ${address}. Start the server first, in another terminal: ${command}`;
}

const USAGE = `Draws what each read from streamServer.ts brings.

USAGE:
  deno task trace [OPTIONS]

OPTIONS:
  --hostname <HOST>  the server's address (default: 127.0.0.1)
  --port <PORT>      the server's port (default: 9092)
  --chunk <BYTES>    bytes to ask for per read (default: 16)
  -h, --help         print this help`;

const flags = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
  string: ["hostname", "port", "chunk"],
  boolean: ["help"],
  alias: { h: "help" },
  default: { hostname: "127.0.0.1", port: "9092", chunk: "16" },
  unknown(arg) {
    fail(`unknown argument "${visible(arg)}". See --help`, 2);
  },
});
if (flags.help) {
  console.log(USAGE);
  Deno.exit();
}
const { hostname } = flags;
if (hostname === "") fail("--hostname takes a name or an IP address", 2);
const port = integer("port", 65_535);
const chunk = integer("chunk", 2 ** 24);
const address = `${hostname.replace(/.*:.*/, "[$&]")}:${port}`;

/** Returns the value of a flag that takes an integer. */
function integer(name: "port" | "chunk", max: number): number {
  const text = flags[name];
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  fail(
    `--${name} takes an integer from 1 to ${max}, not "${visible(text)}"`,
    2,
  );
}

try {
  await trace();
} catch (error) {
  fail(explain(error as Error));
}
