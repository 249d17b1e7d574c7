/**
 * Runs the loop of a client's script on the reads of a stream, and tells what
 * the client prints, throws away and keeps, and why it cannot go on. It runs in
 * a Worker of the page.
 *
 * @module
 */

import { decodeHeader, FramingError, HEADER_LENGTH } from "../framing.ts";
import { visible } from "../lesson/reading.ts";

/** The text of a script's `receive`: the learner's line, and what is around it. */
export interface Code {
  before: string;
  line: string;
  after: string;
}

/** Returns the `receive` of a script, whose line follows `print` and a comment. */
export function findLoop(source: string): Code {
  const [, before, line, after] =
    /^(async function receive[^]*?\n +print\(.*\n +\/\/.*\n) +(.*)(\n[^]*?^})$/m
      .exec(source)!;
  // Browsers before 2025 do not know `using`, and there is nothing to close.
  return { before: before.replace(" using ", " const "), line, after };
}

/** What a client does with one read, and how far it is then. */
export interface Reaction {
  /** What it does, in words. */
  notes: Note[];
  steps: Step[];
  /** What `received` holds after the read. */
  kept: Uint8Array;
  /** How many messages it has printed, and how many bytes it has thrown away. */
  messages: number;
  lost: number;
  /** Why it cannot go on. */
  failure?: string;
}

/** Something that a client does, and the bytes that it does it with. */
export interface Note {
  kind: "message" | "lost" | "keeps" | "has" | "bad" | "quiet";
  text: string;
  bytes?: Uint8Array;
  /** How many bytes it needs, if it waits for more. */
  needs?: number;
}

/** One time that a client comes to its line. */
export interface Step {
  /** What `received` holds before the line. */
  before: Uint8Array;
  /** Where the message that it has printed ends in that. */
  end: number;
  /** What `received` holds after the line, if the line has come to its end. */
  after?: Uint8Array;
}

/** What a client has done before its first read. */
export const NOTHING: Reaction = {
  notes: [],
  steps: [],
  kept: new Uint8Array(),
  messages: 0,
  lost: 0,
};

/** Returns whether the line leaves the bytes after the message, and only these. */
export function isRight({ before, end, after = before }: Step): boolean {
  return after.length === before.length - end && endsWith(before, after);
}

function endsWith(bytes: Uint8Array, end: Uint8Array): boolean {
  const start = bytes.length - end.length;
  return end.every((byte, i) => byte === bytes[start + i]);
}

/** Returns a number of things in words. */
export function count(number: number, unit = "byte"): string {
  return `${number} ${unit}${number === 1 ? "" : "s"}`;
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

/** A client: a script that reads from a connection which is not a real one. */
export class Client {
  readonly #script: ReturnType<Program>;
  #reaction = NOTHING;
  /** How many bytes the reads have brought. */
  #bytes = 0;
  /** How many bytes the script can have to print in this read. */
  #printable = 0;
  /** How many bytes the message has that it waits for. */
  #needs = HEADER_LENGTH;
  /** Whether its line has left the bytes after each message, and only these. */
  #hasPlace = true;
  /** Whether it holds the last bytes of the stream. */
  #isInStream = true;
  #deliver = (_read: Uint8Array) => {};
  #rest = () => {};
  /** Settles when the script asks for its next read, or has ended. */
  #resting = new Promise<void>((resolve) => this.#rest = resolve);

  /** Starts a script that asks for `chunk` bytes a read. */
  constructor(program: Program, chunk: number) {
    const connection = { read: (buffer: Uint8Array) => this.#read(buffer) };
    this.#script = program({
      Deno: { connect: () => Promise.resolve(connection) },
      HEADER_LENGTH,
      decodeHeader: (bytes: Uint8Array) => this.#decode(bytes),
      print: (message: Uint8Array) => this.#print(message),
      chunk,
      concat,
      utf8,
      visible,
    });
    this.#script.receive()
      .then(() => this.#fail(new Mistake("leaves the loop that reads")))
      .catch((error) => this.#fail(error));
  }

  /** Gives the script its next read. Resolves when it asks for one more. */
  async read(read: Uint8Array): Promise<Reaction> {
    await this.#resting;
    this.#printable = this.#reaction.kept.length + read.length;
    this.#reaction = { ...this.#reaction, notes: [], steps: [] };
    this.#bytes += read.length;
    this.#resting = new Promise((resolve) => this.#rest = resolve);
    this.#deliver(read);
    await this.#resting;
    if (this.#reaction.failure === undefined) this.#noteKept(read.length);
    return this.#reaction;
  }

  /** Stands in for the connection's. */
  #read(buffer: Uint8Array): Promise<number> {
    this.#look();
    this.#rest();
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
    this.#needs = HEADER_LENGTH + length;
    return length;
  }

  #print(message: Uint8Array): void {
    this.#printable -= message.length;
    if (this.#printable < 0) {
      throw new Mistake(
        "prints the same message again and again: received still holds it",
      );
    }
    this.#reaction.messages++;
    this.#note("message", utf8.decode(message.subarray(HEADER_LENGTH)));
    const before = this.#received();
    this.#reaction.steps.push({ before, end: message.length });
  }

  /** Looks at what the line has left. */
  #look(): void {
    const after = this.#reaction.kept = this.#received();
    const step = this.#reaction.steps.at(-1);
    if (step === undefined || step.after !== undefined) return;
    step.after = after;
    const { before, end } = step;
    const isInStream = endsWith(before, after);
    this.#isInStream &&= isInStream;
    this.#hasPlace &&= isRight(step);
    const bytes = before.subarray(end, before.length - after.length);
    if (bytes.length === 0 || !isInStream) return;
    this.#reaction.lost += bytes.length;
    this.#note("lost", `throws away ${count(bytes.length)}`, { bytes });
  }

  /** Returns a copy of what the script has. */
  #received(): Uint8Array {
    const received: object | undefined = this.#script.received();
    if (received instanceof Uint8Array) return received.slice();
    const type = received?.constructor.name ?? received;
    throw new Mistake(`makes received ${type}, which is no Uint8Array`);
  }

  #note(kind: Note["kind"], text: string, more: Partial<Note> = {}): void {
    this.#reaction.notes.push({ kind, text, ...more });
  }

  /** Notes what the client has when it asks for the next read. */
  #noteKept(size: number): void {
    const { kept, steps } = this.#reaction;
    const step = steps.at(-1);
    if (step === undefined) {
      const had = kept.length - size;
      const hasHeader = kept.length >= HEADER_LENGTH;
      if (hasHeader && had > 0 && had < HEADER_LENGTH) {
        const bytes = kept.subarray(0, HEADER_LENGTH);
        this.#note("has", "has the header", { bytes });
      }
      const needs = hasHeader ? this.#needs : HEADER_LENGTH;
      const unit = hasHeader ? "bytes" : "header bytes";
      this.#note("quiet", `has ${kept.length} of ${needs} ${unit}`, { needs });
      return;
    }
    const rest = step.before.length - step.end;
    const keeps = `keeps ${count(kept.length)}`;
    if (kept.length > rest || !endsWith(step.before, kept)) {
      const text = `${keeps}, not the ${rest} after the message`;
      this.#note("bad", text, { bytes: kept.subarray(0, 48) });
    } else if (kept.length > 0) {
      this.#note("keeps", keeps, { bytes: kept });
    }
  }

  #fail(error: unknown): void {
    const { kept } = this.#reaction;
    let reason = explain(error);
    if (error instanceof FramingError) {
      const bytes = kept.slice(0, HEADER_LENGTH);
      this.#note("bad", "takes for a header", { bytes });
      const what = this.#hasPlace ? "cannot go on" : "has lost its place";
      const at = this.#bytes - kept.length;
      const where = this.#isInStream ? `at byte ${at}` : "this";
      const isLong = error.code === "FRAME_TOO_LARGE";
      const is = isLong ? "a length over the limit" : "no header";
      reason = `${what}: ${where} is ${is}`;
    }
    this.#note("bad", `✗ ${reason}`);
    this.#reaction.failure = reason;
    this.#rest();
  }
}

/** What a line does that is no error of JavaScript's. */
class Mistake extends Error {}

/** Returns what is wrong with the line, in the browser's words if it is an error of JavaScript's. */
function explain(error: unknown): string {
  if (error instanceof Mistake) return error.message;
  const text = `${error}`.replace(/^\w*Error: |\.$/g, "").slice(0, 100);
  const isDeclared = /before initialization|lexical declaration/.test(text);
  const hint = ". const and let make a new variable: use the one that is there";
  return `stops with an error: ${text}${isDeclared ? hint : ""}`;
}

/** Joins two arrays, as the scripts do. */
function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  return Uint8Array.from([...first, ...second]);
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
