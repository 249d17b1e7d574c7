/**
 * The two clients of the activity as the live page runs them: the loop of
 * streamClientEx1.ts and streamClient01Soln.ts, which here tells what it does
 * with each read instead of printing messages.
 *
 * @module
 */

import { decodeHeader, FramingError, HEADER_LENGTH } from "../framing.ts";

/** What a client does with one read. */
export interface Reaction {
  /** The texts of the messages that the read completes. */
  messages: string[];
  /** The bytes of the read after the last of these messages. */
  rest: Uint8Array;
  /** How many of these bytes the client throws away. */
  thrownAway: number;
  /** How many bytes the client has of a message that is not complete. */
  has: number;
  /** The length of that message in bytes, when its header has arrived. */
  of?: number;
  /** Why the client cannot go on. */
  failure?: Failure;
}

/** Why a client cannot go on. */
export interface Failure {
  /** Where the message that it cannot read begins in the stream. */
  offset: number;
  /** What the client finds there, as the end of a sentence. */
  reason: string;
  /** How many bytes it threw away before. */
  thrownAway: number;
}

/** Returns the bytes with which a client goes on after the message that ends at `end`. */
export type CarryOver = (received: Uint8Array, end: number) => Uint8Array;

/** What streamClientEx1.ts does: throws away the bytes after a message. */
export function ex1(): Uint8Array {
  return new Uint8Array();
}

/** What streamClient01Soln.ts does: keeps the bytes after a message. */
export function soln(received: Uint8Array, end: number): Uint8Array {
  return received.subarray(end);
}

/** The code in streamClientEx1.ts that {@linkcode ex1} stands for. */
export const EX1_CODE = "received = new Uint8Array();";

/** A client that reads a stream. */
export class Client {
  /** How many messages have been complete. */
  messages = 0;
  /** How many bytes have been thrown away. */
  thrownAway = 0;
  /** Why the client cannot go on. */
  failure: Failure | undefined;
  readonly #carryOver: CarryOver;
  #received: Uint8Array = new Uint8Array();
  #bytes = 0;

  /**
   * Constructs a new instance.
   *
   * @param carryOver What the client does with the bytes after a message.
   */
  constructor(carryOver: CarryOver) {
    this.#carryOver = carryOver;
  }

  /**
   * Takes in the next read. A client that has failed takes in no more.
   *
   * @param read The bytes that the read brought.
   * @returns What the client does with them.
   */
  read(read: Uint8Array): Reaction {
    const messages: string[] = [];
    let rest = new Uint8Array();
    let thrownAway = 0;
    const kept = this.#received;
    let received = new Uint8Array(kept.length + read.length) as Uint8Array;
    received.set(kept);
    received.set(read, kept.length);
    this.#bytes += read.length;
    let of: number | undefined;
    try {
      while (received.length >= HEADER_LENGTH) {
        const end = HEADER_LENGTH + decodeHeader(received);
        if (received.length < end) {
          of = end;
          break;
        }
        messages.push(utf8.decode(received.subarray(HEADER_LENGTH, end)));
        rest = received.slice(end);
        received = this.#carryOver(received, end);
        thrownAway += rest.length - received.length;
      }
    } catch (error) {
      this.failure = {
        offset: this.#bytes - received.length,
        reason: explain(error, received),
        thrownAway: this.thrownAway + thrownAway,
      };
    }
    this.#received = received;
    this.messages += messages.length;
    this.thrownAway += thrownAway;
    const { failure } = this;
    return { messages, rest, thrownAway, has: received.length, of, failure };
  }

  /** Returns how many bytes the client has of a message that is not complete. */
  get pending(): number {
    return this.#received.length;
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

/**
 * Returns the code with which a client's inner loop ends: what happens to the
 * bytes after a message.
 *
 * @param source The client's source text.
 * @returns The code in one line, or `undefined` if the loop is not there.
 */
export function carryOverCode(source: string): string | undefined {
  const loop = /^( +)while \(received\..*\n([^]*?)\n\1}$/m.exec(source)?.[2];
  const [, code] = /^ +print\(.*\n([^]*)/m.exec(loop ?? "") ?? [];
  return code?.split("\n").map((line) => line.trim())
    .filter((line) => !line.startsWith("//")).join(" ");
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
