/**
 * Connects like a client, and draws what each read brings: which bytes are
 * header and which payload, and how much is still to come.
 *
 * ```text
 * read 3      16 bytes                      '.69550529       '
 *   payload   7 bytes, complete             (.695505)
 *   header    9 bytes, 1 to come            [29       ]
 * ```
 *
 * ```shell
 * deno task trace
 * deno task trace --chunk 39
 * ```
 *
 * @module
 */

import { cyan, dim, green, red, setColorEnabled } from "@std/fmt/colors";
import { FrameDecoder, FramingError } from "../framing.ts";
import {
  escapeControls,
  fail,
  formatAddress,
  printOrEnd,
  readFlags,
  readHostname,
  readInteger,
  serverCommand,
} from "./command_line.ts";
import { Divider, type Piece } from "./reading.ts";

/** Columns: a label, what there is to know, and the bytes; 80 in all. */
const LABEL_WIDTH = 12;
const FACTS_WIDTH = 30;
const BYTES_WIDTH = 38;

const STYLES = {
  header: { paint: cyan, brackets: "[]" },
  payload: { paint: green, brackets: "()" },
  invalid: { paint: red, brackets: "??" },
};

/** Draws one read in lines of up to 80 columns. */
function drawRead(number: number, read: Uint8Array, pieces: Piece[]): string {
  const text = clip(["'", ...visible(read), "'"], BYTES_WIDTH);
  return [
    row(`read ${number}`, count(read), text),
    ...pieces.map(drawPiece),
  ].join("\n");
}

function drawPiece({ part, bytes, arrived, total }: Piece): string {
  const { paint, brackets: [open, close] } = STYLES[part];
  const missing = total - arrived;
  const note = part === "invalid"
    ? "not a header"
    : missing > 0
    ? `${missing} to come`
    : "complete";
  const text = clip(visible(bytes), BYTES_WIDTH - 2);
  return row(
    `  ${part}`,
    `${count(bytes)}, ${note}`,
    open + paint(text) + close,
  );
}

function count({ length }: Uint8Array): string {
  return `${length} ${length === 1 ? "byte" : "bytes"}`;
}

function row(label: string, facts: string, bytes: string): string {
  return label.padEnd(LABEL_WIDTH) + dim(facts.padEnd(FACTS_WIDTH)) + bytes;
}

/** Returns bytes as text, one string per character, with escapes for bytes that are not UTF-8. */
export function visible(bytes: Uint8Array): string[] {
  const characters: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at];
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
      const character = utf8.decode(bytes.subarray(at, at + length));
      characters.push(escapeControls(character));
      at += length;
    } catch {
      characters.push(`\\x${lead.toString(16).toUpperCase()}`);
      at++;
    }
  }
  return characters;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns as many characters as fit, and `…` for the others. */
export function clip(characters: string[], width: number): string {
  let used = 0;
  for (const [i, character] of characters.entries()) {
    used += columns(character);
    // The last column is for the ellipsis, unless nothing follows.
    if (used > width - (i < characters.length - 1 ? 1 : 0)) {
      return characters.slice(0, i).join("") + "…";
    }
  }
  return characters.join("");
}

/** Returns how many columns a terminal takes for a character or an escape. */
export function columns(character: string): number {
  return WIDE.test(character) ? 2 : character.length;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

const USAGE = `Draws every read of a stream from streamServer.ts.

USAGE:
  deno task trace [OPTIONS]

OPTIONS:
  --hostname <HOST>  the server's address (default: 127.0.0.1)
  --port <PORT>      the server's port (default: 9092)
  --chunk <BYTES>    bytes to ask for per read (default: 16)
  -h, --help         print this help`;

async function main(): Promise<void> {
  const flags = readFlags(USAGE, {
    hostname: "127.0.0.1",
    port: "9092",
    chunk: "16",
  });
  const hostname = readHostname(flags.hostname);
  const port = readInteger("port", flags.port, [1, 65_535]);
  const chunk = readInteger("chunk", flags.chunk, [1, 2 ** 24]);
  setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
  const address = formatAddress({ hostname, port });
  let reads = 0;
  let heard = 0;
  const watch = setInterval(() => {
    if (reads === heard) console.error(`No bytes from ${address} for 5 s`);
    heard = reads;
  }, 5000);
  try {
    using connection = await Deno.connect({ hostname, port });
    const divider = new Divider();
    const decoder = new FrameDecoder(); // throws if the stream is not frames
    const buffer = new Uint8Array(chunk);
    while (true) {
      const size = await connection.read(buffer);
      if (size === null) break;
      reads++;
      const read = buffer.subarray(0, size);
      printOrEnd(drawRead(reads, read, divider.divide(read)));
      decoder.push(read);
    }
    decoder.end();
    clearInterval(watch);
  } catch (error) {
    fail(explain(error, hostname, port));
  }
}

/** Returns what an error means and what to do about it. */
function explain(error: unknown, hostname: string, port: number): string {
  const address = formatAddress({ hostname, port });
  if (error instanceof FramingError) {
    const problem = escapeControls(error.message).replace(/^C/, "c"); // it follows "error: "
    return error.code === "UNEXPECTED_EOF"
      ? problem
      : `${problem}. Is the program on ${address} the activity's server?`;
  }
  if (error instanceof Deno.errors.ConnectionRefused) {
    const command = serverCommand({ hostname, port });
    return `nothing listens on ${address}. Start the server first, in another terminal: ${command}`;
  }
  if (error instanceof Deno.errors.NotCapable) {
    return `Deno was not allowed to connect to ${address}. Allow it: deno run --allow-net=${address} lesson/trace.ts --hostname ${hostname} --port ${port}`;
  }
  return `the connection to ${address} failed (${(error as Error).message})`;
}

if (import.meta.main) await main();
