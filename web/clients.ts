/**
 * The two clients of the activity as the live page runs them: the loop of
 * streamClientEx1.ts and streamClient01Soln.ts, which here tells what it does
 * with each read instead of printing messages.
 *
 * @module
 */

import { decodeHeader, FramingError, HEADER_LENGTH } from "../framing.ts";

/** What a client makes of one read. */
export interface Reaction {
  /** The texts of the messages that the read completes. */
  messages: string[];
  /** How many bytes of the read come after the last of these messages. */
  rest: number;
  /** The length in bytes of a message that is not complete, when its header has arrived. */
  of?: number;
}

/** A client that reads a stream. */
export class Client {
  /** Whether it keeps the bytes after a message, as streamClient01Soln.ts does. */
  readonly keepsRest: boolean;
  /** How many messages have been complete. */
  messages = 0;
  /** How many bytes have been thrown away. */
  thrownAway = 0;
  /** Why the client cannot go on: where the message begins that it cannot read, and what it finds there. */
  failure?: { offset: number; reason: string };
  #received: Uint8Array = new Uint8Array();
  #bytes = 0;

  constructor(options: { keepsRest: boolean }) {
    this.keepsRest = options.keepsRest;
  }

  /** How many bytes the client has of a message that is not complete. */
  get has(): number {
    return this.#received.length;
  }

  /** Takes in the next read. Returns `undefined` if the client has failed before. */
  read(read: Uint8Array): Reaction | undefined {
    if (this.failure !== undefined) return undefined;
    const reaction: Reaction = { messages: [], rest: 0 };
    let received: Uint8Array = new Uint8Array(this.has + read.length);
    received.set(this.#received);
    received.set(read, this.has);
    this.#bytes += read.length;
    try {
      while (received.length >= HEADER_LENGTH) {
        const end = HEADER_LENGTH + decodeHeader(received);
        if (received.length < end) {
          reaction.of = end;
          break;
        }
        const message = utf8.decode(received.subarray(HEADER_LENGTH, end));
        reaction.messages.push(message);
        this.messages++;
        reaction.rest = received.length - end;
        if (!this.keepsRest) this.thrownAway += reaction.rest;
        received = this.keepsRest ? received.subarray(end) : new Uint8Array();
      }
    } catch (error) {
      const offset = this.#bytes - received.length;
      this.failure = { offset, reason: explain(error, received) };
    }
    this.#received = received;
    return reaction;
  }
}

/** Returns what is wrong with the message at the start of `received`. */
function explain(error: unknown, received: Uint8Array): string {
  if (!(error instanceof FramingError)) return "finds text that is not UTF-8";
  const header = cells(received.subarray(0, HEADER_LENGTH)).join("");
  return error.code === "FRAME_TOO_LARGE"
    ? `finds “${header}”, a length over the limit of ${error.maxFrameLength}`
    : `finds “${header}”, which is not a header`;
}

/** Returns what to show for each byte: ASCII as it is, a space as `·`, and others in hexadecimal. */
export function cells(bytes: Uint8Array): string[] {
  return Array.from(bytes, (byte) => {
    if (byte === 0x20) return "·";
    if (byte > 0x20 && byte < 0x7f) return String.fromCodePoint(byte);
    return byte.toString(16).toUpperCase().padStart(2, "0");
  });
}

/** Returns text with escapes for characters that hide or turn text. */
export function visible(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
}

/** The code after a message in the original streamClientEx1.ts. */
export const EX1_CODE = "received = new Uint8Array();";

/**
 * Returns the code with which a client's inner loop ends, in one line: what
 * happens to the bytes after a message. Returns `undefined` if the loop is not
 * found, as a learner may write anything.
 */
export function carryOverCode(source: string): string | undefined {
  const loop = /^( +)while \(received\..*\n([^]*?)\n\1}$/m.exec(source)?.[2];
  const [, code] = /^ +print\(.*\n([^]*)/m.exec(loop ?? "") ?? [];
  return code?.split("\n").map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("//")).join(" ");
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
