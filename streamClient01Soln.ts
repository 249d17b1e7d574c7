/** Exercise 1, solved: a client that keeps its place in the stream. @module */
import { parseArgs } from "@std/cli/parse-args";
import { cyan, setColorEnabled } from "@std/fmt/colors";
import { decodeHeader, FramingError, HEADER_LENGTH } from "./framing.ts";

async function receive(): Promise<void> {
  using connection = await Deno.connect({ hostname, port });
  const buffer = new Uint8Array(chunk);
  while (true) {
    const size = await connection.read(buffer); // at least 1 byte, or null
    if (size === null) break; // the server has ended the stream
    const msg = utf8.decode(buffer.subarray(0, size)); // this read as text
    if (verbose) write(Deno.stderr, `got: '${visible(msg)}'`);
    received = append(received, buffer.subarray(0, size));
    bytes += size;

    // A message is complete when its header has arrived, and as many bytes
    // after it as the header says. A read may bring a part of one, or several.
    while (received.length >= HEADER_LENGTH) {
      const end = HEADER_LENGTH + decodeHeader(received);
      if (received.length < end) break; // the rest is still on its way
      print(received.subarray(0, end));
      // The bytes after this message are the beginning of the next one.
      received = received.subarray(end);
    }
  }
}

let received = new Uint8Array(); // the bytes that are not printed yet
let bytes = 0; // how many have arrived
let printed = 0; // how many of these are printed
let messages = 0; // how many messages that makes

// The rest is what a program needs around its loop: printing, errors, flags.

/** Returns `received` with the bytes of `read` after its own. */
function append(received: Uint8Array<ArrayBuffer>, read: Uint8Array) {
  const size = received.length + read.length;
  let room = new Uint8Array(received.buffer, received.byteOffset);
  if (room.length < size) {
    room = new Uint8Array(2 * size); // so that few reads copy what is there
    room.set(received);
  }
  room.set(read, received.length);
  return room.subarray(0, size);
}

/** Prints one message, header and payload. */
function print(message: Uint8Array): void {
  let text = "";
  try {
    if (!quiet || !isAscii(message)) text = strictUtf8.decode(message);
  } catch {
    fail(blame("it is not UTF-8 text"));
  }
  messages++;
  printed += message.length;
  if (quiet) return;
  if (isTerminal) text = visible(text);
  const header = cyan(text.slice(0, HEADER_LENGTH));
  write(Deno.stdout, `M:${header}${text.slice(HEADER_LENGTH)}`);
}

/** Returns whether bytes are ASCII. For short messages, decoding takes five times as long. */
function isAscii(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte >= 0x80) return false;
  return true;
}

/** Returns text with escapes in place of characters that command a terminal. */
function visible(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
}

/** Writes a line, all of it before the program goes on. */
function write(output: typeof Deno.stdout, line: string): void {
  let rest = new TextEncoder().encode(`${line}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(output.writeSync(rest));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) Deno.exit(141); // as `| head`
      if (!(error instanceof Deno.errors.WouldBlock)) {
        console.error(`error: cannot print: ${(error as Error).message}`);
        Deno.exit(1);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10); // full
    }
  }
}

/** Returns what an error of the loop means, and what to do about it. */
function explain(error: unknown): string {
  const { name, message } = error as Error;
  const options = `--hostname ${hostname} --port ${port}`;
  if (name === "ConnectionRefused") {
    const own = address === "127.0.0.1:9092" ? "" : ` ${options}`;
    return `nothing listens on ${address}. Start the server first, in another terminal: deno task server${own}`;
  }
  if (name === "NotCapable") {
    const file = import.meta.url.split("/").at(-1);
    return `Deno was not allowed to connect to ${address}. Allow it: deno run --allow-net=${address} ${file} ${options}`;
  }
  if (error instanceof FramingError) {
    const fault = visible(message.replace(/^.*?: /, "")); // blame() says where
    return blame(fault, ". If this is the right server, the loop is wrong");
  }
  const isNetwork = name in Deno.errors || (name === "Error" && bytes === 0);
  if (!isNetwork) throw error; // a mistake in the loop: Deno shows its line
  if (bytes === 0) return `the connection to ${address} failed (${message})`;
  const size = received.length;
  let total = HEADER_LENGTH;
  try {
    if (size >= HEADER_LENGTH) total += decodeHeader(received);
  } catch (fault) {
    return explain(fault); // the bytes that are left begin with no header
  }
  return blame(
    size < total
      ? `${size} of ${total} bytes arrived (${message})`
      : "it has arrived, but the loop did not print it",
  );
}

/** Returns what is wrong with the next message, and what was lost before it. */
function blame(fault: string, hint = ""): string {
  const lost = bytes - printed - received.length;
  const next = `message ${messages + 1} (at byte ${bytes - received.length})`;
  const before = lost === 1
    ? "1 byte before it was"
    : `${lost} bytes before it were`;
  return lost > 0
    ? `lost its place at ${next}: ${fault}. ${before} thrown away: look at the line marked "Exercise:"`
    : `cannot read ${next} from ${address}: ${fault}${hint}`;
}

/** Ends the program with one line on stderr. */
function fail(message: string, code = 1): never {
  write(Deno.stderr, `error: ${message}`);
  Deno.exit(code);
}

const USAGE = `Prints the messages of streamServer.ts.

USAGE:
  deno task client [OPTIONS]      the solution
  deno task client:ex1 [OPTIONS]  the exercise

OPTIONS:
  --hostname <HOST>  the server's address (default: 127.0.0.1)
  --port <PORT>      the server's port (default: 9092)
  --chunk <BYTES>    bytes to ask for per read (default: 16)
  --verbose          print every read, on stderr
  --quiet            print the summary only
  -h, --help         print this help`;

const flags = parseArgs(Deno.args, {
  string: ["hostname", "port", "chunk"],
  boolean: ["verbose", "quiet", "help"],
  alias: { h: "help" },
  default: { hostname: "127.0.0.1", port: "9092", chunk: "16" },
  unknown: refuse,
});
flags._.forEach(refuse);
if (flags.help) {
  console.log(USAGE);
  Deno.exit();
}
const { hostname, verbose, quiet } = flags;
if (!/^(\w[\w.-]*|[\da-f]*:[\da-f]*:[\w:.%]*)$/i.test(hostname)) {
  fail(`--hostname takes a name or an IP address, not "${hostname}"`, 2);
}
const port = integer("port", 65_535);
const chunk = integer("chunk", 2 ** 24);
const address = `${hostname.replace(/.*:.*/, "[$&]")}:${port}`;

/** Ends the program for an argument that it does not take. */
function refuse(arg: unknown): never {
  const fault = /^--(count|interval|grace)\b/.test(`${arg}`)
    ? `${arg} is a flag of streamServer.ts`
    : /^-[\d.]/.test(`${arg}`)
    ? `no flag takes a negative number such as "${arg}"`
    : `unknown argument "${arg}"`;
  fail(`${fault}. The flags of this program: --help`, 2);
}

/** Returns the value of a flag that takes an integer. */
function integer(name: "port" | "chunk", max: number): number {
  const text = flags[name];
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  fail(`--${name} takes an integer from 1 to ${max}, not "${text}"`, 2);
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const isTerminal = Deno.stdout.isTerminal();
setColorEnabled(isTerminal);

let heard = 0;
setInterval(() => {
  if (bytes === heard) write(Deno.stderr, `No bytes from ${address} for 5 s`);
  heard = bytes;
}, 5000);

const start = performance.now();
try {
  await receive();
  if (printed < bytes) {
    throw new Deno.errors.UnexpectedEof("the stream or the loop ended");
  }
} catch (error) {
  fail(explain(error));
}
const seconds = ((performance.now() - start) / 1000).toFixed(2);
const s = messages === 1 ? "" : "s";
write(Deno.stderr, `${messages} message${s}, ${bytes} bytes in ${seconds} s`);
Deno.exit();
