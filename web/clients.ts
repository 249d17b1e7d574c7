/**
 * The clients as the page runs them: the loop of a script, which here tells what
 * it does with each read instead of printing messages.
 *
 * @module
 */

import { decodeHeader, FramingError, HEADER_LENGTH } from "../framing.ts";

/** What a client makes of one read. */
export interface Reaction {
  /** The texts of the messages that it prints. */
  messages: string[];
  /** How many bytes it throws away. */
  lost: number;
  /** How many bytes of messages that it has printed it has still. */
  again: number;
  /** What it has after the read. */
  kept: Uint8Array;
  /** Whether this is the end of what has arrived. */
  isEnd: boolean;
  /** Each time that the loop comes to the client's line: what it has received, where the message ends, and what it has after the line. */
  steps: { before: Uint8Array; end: number; after?: Uint8Array }[];
  /** What the client takes for a header, if it depends on what it did with earlier reads. */
  header?: Uint8Array;
  /** The length in bytes of a message that is not complete, when its header has arrived. */
  of?: number;
}

/** How far a client is. */
export interface State {
  /** How many messages it has printed. */
  messages: number;
  /** How many bytes it has thrown away. */
  thrownAway: number;
  /** How many bytes it has of a message that is not complete. */
  has: number;
  /** Why it cannot go on: where the message begins that it cannot read, and what it finds there. */
  failure?: { offset: number; reason: string; isMistake: boolean };
}

/** A client's inner loop. Returns what it has received and not printed. */
export type Loop = (
  received: Uint8Array,
  decodeHeader: (bytes: Uint8Array) => number,
  print: (message: Uint8Array) => void,
  buffer: Uint8Array,
  size: number,
) => Uint8Array;

/** A client that reads a stream. */
export class Client {
  readonly #loop: Loop;
  readonly state: State = { messages: 0, thrownAway: 0, has: 0 };
  #received: Uint8Array = new Uint8Array();
  readonly #buffer = new Uint8Array(4096);
  #chunk = 0;
  #bytes = 0;
  #printed = 0;

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  /** Takes in the next read. Returns `undefined` if the client has failed before. */
  read(read: Uint8Array): Reaction | undefined {
    const { state } = this;
    if (state.failure !== undefined) return undefined;
    this.#buffer.set(read); // as in the scripts, every read fills the same one
    this.#chunk = Math.max(this.#chunk, read.length);
    const had = this.#received.length;
    const all = new Uint8Array(had + read.length);
    all.set(this.#received);
    all.set(read, had);
    this.#bytes += read.length;
    const { messages, steps }: Pick<Reaction, "messages" | "steps"> = {
      messages: [],
      steps: [],
    };
    let printed = 0;
    let seen: Uint8Array = all;
    const decode = (bytes: Uint8Array) => {
      see(bytes);
      return decodeHeader(bytes);
    };
    function see(bytes: Uint8Array): void {
      seen = bytes;
      const step = steps.at(-1);
      if (step !== undefined) step.after ??= bytes.slice();
    }
    const print = (message: Uint8Array) => {
      printed += message.length;
      if (printed > all.length) {
        throw new Mistake(
          "prints the same message again and again. Which bytes of received are done with after print?",
        );
      }
      this.#printed += message.length;
      state.messages++;
      messages.push(utf8.decode(message.subarray(HEADER_LENGTH)));
      steps.push({ before: seen.slice(), end: message.length });
    };
    let received: Uint8Array = all;
    try {
      received = this.#loop(
        all,
        decode,
        print,
        this.#buffer.subarray(0, this.#chunk),
        read.length,
      );
      if (!(received instanceof Uint8Array)) {
        throw new Mistake("makes `received` something that holds no bytes");
      }
      see(received);
    } catch (error) {
      received = seen;
      const offset = this.#bytes - received.length;
      const reason = explain(error, received);
      const isMistake = !/^finds /.test(reason);
      state.failure = { offset, reason, isMistake };
    }
    this.#received = received;
    state.has = received.length;
    const missing = this.#bytes - this.#printed - state.has - state.thrownAway;
    const lost = Math.max(0, missing);
    state.thrownAway += lost;
    const reaction: Reaction = {
      messages,
      steps,
      lost,
      again: messages.length > 0 ? Math.max(0, -missing) : 0,
      kept: received.slice(),
      isEnd: received.every((byte, i) =>
        byte === all[all.length - received.length + i]
      ),
    };
    const isFirst = had === 0 && state.thrownAway === 0;
    if (had < HEADER_LENGTH && all.length >= HEADER_LENGTH && !isFirst) {
      reaction.header = all.slice(0, HEADER_LENGTH);
    }
    if (received.length >= HEADER_LENGTH && state.failure === undefined) {
      try {
        reaction.of = HEADER_LENGTH + decodeHeader(received);
      } catch {
        // The next read will tell.
      }
    }
    return reaction;
  }
}

/** An error of the learner's line. */
class Mistake extends Error {}

/** What to think about when an error says something. */
const HINTS: [RegExp, string][] = [
  [/is not defined/, "The line can use received and end."],
  [
    /is not a function/,
    "received is a Uint8Array, neither a list nor a text: look at the line above.",
  ],
  [
    /of (null|undefined)|is (null|undefined)/,
    "After the line, received must still hold bytes.",
  ],
];

/** Returns what is wrong with the message at the start of `received`. */
function explain(error: unknown, received: Uint8Array): string {
  if (error instanceof Mistake) return error.message;
  if (!(error instanceof FramingError)) {
    const text = `${error}`;
    if (/decode|encoded/.test(text)) return "finds text that is not UTF-8";
    const hint = HINTS.find(([pattern]) => pattern.test(text))?.[1] ?? "";
    return `stops with an error: ${text.replace(/^\w*Error: /, "")}. ${hint}`
      .trim();
  }
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

/** A client's inner loop in three parts: what comes before its line, the line, and what comes after. */
export interface Code {
  before: string;
  line: string;
  after: string;
}

/** Returns a client's inner loop, or `undefined` if it is not found, as a learner may write anything. */
export function findLoop(source: string): Code | undefined {
  const [loop, indent] = /^( +)while \(received\.[^]*?\n\1}$/m.exec(source) ??
    [];
  const [, before, rest] =
    /^([^]*?\n +print\(.*\n)([^]*)\n.*$/.exec(loop ?? "") ??
      [];
  if (loop === undefined || before === undefined) return undefined;
  const line = rest.split("\n").map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("//")).join(" ");
  const [head, foot] = [before, loop.slice(loop.lastIndexOf("\n") + 1)]
    .map((text) =>
      text.replaceAll(`\n${indent}`, "\n").slice(
        text.startsWith(indent) ? indent.length : 0,
      ).trimEnd()
    );
  return { before: head, line, after: foot };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
