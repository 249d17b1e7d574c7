/**
 * Runs the loop of a client's script on the reads of a stream, and tells what
 * the client does with each: what it prints, throws away and keeps, and why it
 * cannot go on.
 *
 * @module
 */

import { decodeHeader, FramingError, HEADER_LENGTH } from "../framing.ts";
import { visible } from "../lesson/reading.ts";

/** A script's `receive`, with its line apart. */
export interface Code {
  before: string;
  line: string;
  after: string;
}

/** Returns the `receive` of a script, or `undefined` if a learner has changed it too much. */
export function findLoop(source: string): Code | undefined {
  const [receive = ""] = /^async function receive[^]*?^}$/m.exec(source) ?? [];
  const [, before, , lines, after] =
    /^([^]*\n( +)while \(received\.[^]*?\n +print\(.*\n)([^]*?)(\n\2}\n[^]*)$/
      .exec(receive) ?? [];
  if (before === undefined) return undefined;
  const line = lines.split("\n").map((text) => text.trim())
    .filter((text) => !text.startsWith("//")).join(" ");
  // Browsers before 2025 do not know `using`, and nothing has to be closed here.
  return { before: before.replace(" using ", " const "), line, after };
}

/** One time that the client comes to its line. */
export interface Step {
  /** The text of the message that it has printed. */
  text: string;
  /** What `received` holds before the line. */
  before: Uint8Array;
  /** Where the message ends in `before`. */
  end: number;
  /** What `received` holds after the line, if the line has come to its end. */
  after?: Uint8Array;
}

/** What a client does with one read, and how far it is after it. */
export interface Reaction {
  steps: Step[];
  /** What `received` holds after the read. */
  kept: Uint8Array;
  /** How many bytes the message has that it is waiting for, if it knows. */
  wanted?: number;
  failure?: Failure;
  /** How many messages it has printed since the stream began. */
  messages: number;
  /** How many bytes it has thrown away. */
  lost: number;
  /** Whether each line has left the bytes after the message, and only these. */
  isRight: boolean;
}

/** Why a client cannot go on. */
export interface Failure {
  reason: string;
  /** The bytes that it takes for a header. The reason then ends a sentence about them. */
  header?: Uint8Array;
  /** Where these bytes begin in the stream, if they are bytes of the stream. */
  offset?: number;
}

/** What a client that has read nothing has done. */
export const NOTHING: Reaction = {
  steps: [],
  kept: new Uint8Array(),
  messages: 0,
  lost: 0,
  isRight: true,
};

/** Returns how what the line has left differs from the bytes after the message. */
export function compare({ before, end, after }: Step) {
  const rest = before.length - end;
  const left = after?.length ?? rest;
  const isOther = after !== undefined && !endsWith(before, after);
  return {
    /** How many bytes after the message are gone. */
    lost: isOther ? 0 : Math.max(0, rest - left),
    /** How many bytes of the message are still there. */
    again: isOther ? 0 : Math.max(0, left - rest),
    /** Whether the bytes are not the last ones that the client has received. */
    isOther,
  };
}

function endsWith(bytes: Uint8Array, end: Uint8Array): boolean {
  const start = bytes.length - end.length;
  return end.every((byte, i) => byte === bytes[start + i]);
}

/** A script as a function of the names that it uses. */
export type Program = (names: Record<string, unknown>) => {
  receive(): Promise<void>;
  received(): Uint8Array;
};

/** Returns the text of a script's program. */
export function programText({ before, line, after }: Code): string {
  return `(names) => {
const { Deno, HEADER_LENGTH, decodeHeader, print, chunk, concat, visible, utf8 } = names;
const hostname = "127.0.0.1", port = 9092, verbose = false;
let received = new Uint8Array(), bytes = 0;
${before}
${line}
${after}
return { receive, received: () => received };
}`;
}

/** A client that runs a script on a connection that is not a real one. */
export class Client {
  readonly #script: ReturnType<Program>;
  #reaction = NOTHING;
  /** How many bytes the reads have brought. */
  #bytes = 0;
  /** How many bytes may still be printed in this read. */
  #printable = 0;
  /** Whether `received` holds the last bytes of the stream. */
  #isInStream = true;
  #deliver = (_read: Uint8Array) => {};
  #tellIdle = () => {};
  /** Settles when the script asks for the next read, or has ended. */
  #idle = new Promise<void>((resolve) => this.#tellIdle = resolve);

  /**
   * @param chunk How many bytes the script asks for.
   * @param onPrint Called before each line, which may be an endless loop.
   */
  constructor(
    program: Program,
    chunk: number,
    onPrint: (reaction: Reaction) => void = () => {},
  ) {
    const connection = { read: (buffer: Uint8Array) => this.#read(buffer) };
    this.#script = program({
      Deno: { connect: () => Promise.resolve(connection) },
      HEADER_LENGTH,
      decodeHeader: (bytes: Uint8Array) => this.#decode(bytes),
      print: (message: Uint8Array) => {
        this.#print(message);
        onPrint(this.#reaction);
      },
      chunk,
      concat,
      visible,
      utf8,
    });
    this.#script.receive()
      .then(() => {
        throw new Mistake("leaves its loop before the stream has ended.");
      })
      .catch((error) => this.#fail(error));
  }

  /** Gives the script its next read. Resolves when it asks for one more. */
  async read(read: Uint8Array): Promise<Reaction> {
    await this.#idle;
    const { kept, failure } = this.#reaction;
    if (failure !== undefined) return this.#reaction;
    this.#reaction = { ...this.#reaction, steps: [], wanted: undefined };
    this.#bytes += read.length;
    this.#printable = kept.length + read.length;
    this.#idle = new Promise((resolve) => this.#tellIdle = resolve);
    this.#deliver(read);
    await this.#idle;
    return this.#reaction;
  }

  /** Stands in for the method of a connection. */
  #read(buffer: Uint8Array): Promise<number> {
    this.#look();
    this.#tellIdle();
    return new Promise((resolve) => {
      this.#deliver = (read) => {
        buffer.set(read);
        resolve(read.length);
      };
    });
  }

  #decode(bytes: Uint8Array): number {
    this.#look();
    const length = decodeHeader(bytes);
    this.#reaction.wanted = HEADER_LENGTH + length;
    return length;
  }

  #print(message: Uint8Array): void {
    this.#printable -= message.length;
    if (this.#printable < 0) {
      throw new Mistake(
        "prints the same message again and again. Which bytes of received are done with after print?",
      );
    }
    this.#reaction.messages++;
    this.#reaction.wanted = undefined;
    this.#reaction.steps.push({
      text: utf8.decode(message.subarray(HEADER_LENGTH)),
      before: this.#script.received().slice(),
      end: message.length,
    });
  }

  /** Looks at what the line has left. */
  #look(): void {
    const received = this.#script.received();
    if (!(received instanceof Uint8Array)) {
      const name = Object(received).constructor.name;
      const what = received === undefined ? "undefined" : `of type ${name}`;
      throw new Mistake(
        `makes received ${what}. It must be a Uint8Array with the bytes that are left.`,
      );
    }
    const reaction = this.#reaction;
    reaction.kept = received.slice();
    const step = reaction.steps.at(-1);
    if (step === undefined || step.after !== undefined) return;
    step.after = reaction.kept;
    const { lost, again, isOther } = compare(step);
    reaction.lost += lost;
    reaction.isRight &&= lost === 0 && again === 0 && !isOther;
    this.#isInStream &&= !isOther;
  }

  #fail(error: unknown): void {
    const { kept } = this.#reaction;
    this.#reaction.failure = error instanceof FramingError
      ? {
        reason: error.code === "FRAME_TOO_LARGE"
          ? "is a length over the limit"
          : "is no header",
        header: kept.slice(0, HEADER_LENGTH),
        offset: this.#isInStream ? this.#bytes - kept.length : undefined,
      }
      : { reason: explain(error) };
    this.#tellIdle();
  }
}

/** What a line does that is no error of JavaScript's. */
class Mistake extends Error {}

/** What to think about when JavaScript says something, in the words of Chromium and Firefox. */
const HINTS: [RegExp, string][] = [
  [/is not defined/, "The line can use received and end."],
  [
    /before initialization|lexical declaration/,
    "const and let make a new variable, and the loop needs the old one.",
  ],
  [
    /is not a function/,
    "received is a Uint8Array, neither an array nor a text.",
  ],
];

/** Returns what is wrong with the line, to be read after "Your client". */
function explain(error: unknown): string {
  if (error instanceof Mistake) return error.message;
  const text = `${error}`.replace(/^\w*Error: /, "").replace(/\.$/, "");
  const hint = HINTS.find(([pattern]) => pattern.test(text))?.[1] ?? "";
  return `stops with an error: ${text}. ${hint}`.trim();
}

/** Joins two arrays, as the scripts do. */
function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
