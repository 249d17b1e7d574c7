/** Exercise 1: a client that loses its place in the stream. @module */
import { parseArgs } from "@std/cli/parse-args";
import { cyan } from "@std/fmt/colors";
import { decodeHeader, HEADER_LENGTH } from "./framing.ts";

async function receive(): Promise<void> {
  using connection = await Deno.connect({ hostname, port });
  const buffer = new Uint8Array(chunk);
  while (true) {
    const size = await connection.read(buffer); // at least 1 byte, or null
    if (size === null) break; // the server has ended the stream
    const msg = utf8.decode(buffer.subarray(0, size)); // this read as text
    if (verbose) console.error(`got: '${visible(msg)}'`);
    received = concat(received, buffer.subarray(0, size));
    bytes += size;

    // A message is complete when its header has arrived, and as many bytes
    // after it as the header says. A read may bring a part of one, or several.
    while (received.length >= HEADER_LENGTH) {
      const end = HEADER_LENGTH + decodeHeader(received);
      if (received.length < end) break; // the rest is still on its way
      print(received.subarray(0, end));
      // Exercise: this throws away what the read brought of the next message.
      received = new Uint8Array();
    }
  }
}

let received: Uint8Array = new Uint8Array(); // the bytes not printed yet
let bytes = 0; // how many have arrived
let printed = 0; // how many of these are printed
let messages = 0; // how many messages that makes

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Returns the bytes of `a`, then those of `b`. */
function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Prints one message, header and payload. */
function print(message: Uint8Array): void {
  let text: string;
  try {
    text = strictUtf8.decode(message);
  } catch {
    throw new Error("it is not UTF-8 text");
  }
  if (Deno.stdout.isTerminal()) text = visible(text).replace(/^\d+/, cyan);
  console.log(`Message:${text}`);
  printed += message.length;
  messages++;
}

/** Returns text with escapes in place of characters that command a terminal. */
function visible(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, encodeURIComponent);
}

/** Says in one line what is wrong. Leaves mistakes in the loop to Deno. */
function explain(error: Error): never {
  const { name, message } = error;
  if (["TypeError", "RangeError", "ReferenceError"].includes(name)) throw error;
  const address = `${hostname}:${port}`;
  if (name === "ConnectionRefused") {
    const start = `deno task server --hostname ${hostname} --port ${port}`;
    fail(`nothing listens on ${address}. Start a server there: ${start}`);
  }
  if (bytes === 0) fail(`cannot read from ${address}: ${message}`);

  const position = bytes - received.length;
  const lost = position - printed;
  const place = `message ${messages + 1}, at byte ${position}`;
  const cause = `. The line marked "Exercise:" threw away ${lost} bytes`;
  fail(`${place}: ${message}${lost > 0 ? cause : ""}`);
}

/** Ends the program with one line on stderr. */
function fail(message: string, code = 1): never {
  console.error(`error: ${visible(message)}`);
  Deno.exit(code);
}

const flags = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
  string: ["hostname", "port", "chunk"],
  boolean: ["verbose", "help"],
  alias: { h: "help" },
  default: { hostname: "127.0.0.1", port: "9092", chunk: "16" },
  unknown: (arg) => fail(`unknown argument "${arg}". The flags: --help`, 2),
});
if (flags.help) {
  console.log(`Prints the messages that streamServer.ts sends.

  --hostname <HOST>  the server's address (default: 127.0.0.1)
  --port <PORT>      its port (default: 9092)
  --chunk <BYTES>    bytes to ask for in each read (default: 16)
  --verbose          print every read, on stderr
  -h, --help         print this help`);
  Deno.exit();
}
const { hostname, verbose } = flags;
const port = integer("port", 65_535);
const chunk = integer("chunk", 2 ** 24);

/** Returns the value of a flag that takes an integer. */
function integer(name: "port" | "chunk", max: number): number {
  const value = Number(flags[name]);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  fail(`--${name} takes an integer from 1 to ${max}, not "${flags[name]}"`, 2);
}

await receive().catch(explain);
if (printed !== bytes) {
  explain(new Error(`the stream ended after ${received.length} bytes of it`));
}
console.error(`${messages} messages, ${bytes} bytes`);
