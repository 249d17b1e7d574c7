/**
 * Typical wrong clients, in a few lines each. The checker runs them on the reads
 * that a learner's client got: one that prints exactly what the client printed,
 * delivery by delivery, tells what the client does wrong.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { HEADER_LENGTH } from "../framing.ts";

/** A wrong way to read messages. */
export interface Mistake {
  /** What such a client does. */
  what: string;
  /** What to think about. */
  hint: string;
  /** Clients that make the mistake. */
  clients: Client[];
}

/** Returns what a client prints: header and text of each message. */
export type Client = (reads: Uint8Array[], room: number) => Printed;

/** What a client printed. */
export interface Printed {
  lines: string[];
  /** The index of the read after which it took something for a header that is none. */
  failedAt?: number;
}

type Bytes = Uint8Array;
const NOTHING: Bytes = new Uint8Array();

/** How a right client treats the bytes that it has received. */
const HABITS = {
  /** Returns the parts of what has been received, with the next read. */
  append: (parts: Bytes[], read: Bytes, _buffer: Bytes): Bytes[] => [
    Buffer.concat([...parts, read]),
  ],
  /** How many bytes it wants to have before it looks at the length. */
  least: HEADER_LENGTH,
  /** Returns where a message ends. */
  end: (length: number) => HEADER_LENGTH + length,
  /** Returns whether a message that ends at `end` is complete. */
  isComplete: (received: Bytes, end: number) => received.length >= end,
  /** Returns what is left when a message has been printed. */
  rest: (received: Bytes, end: number) => received.subarray(end),
  /** Whether it looks for another message before the next read. */
  isRepeating: true,
};

/** Returns a client that counts bytes and has these habits in place of the right ones. */
function client(wrong: Partial<typeof HABITS>): Client {
  const habits = { ...HABITS, ...wrong };
  return (reads, room) => {
    const lines: string[] = [];
    const buffer = new Uint8Array(room);
    let parts = [NOTHING];
    for (const [i, read] of reads.entries()) {
      buffer.set(read.subarray(0, room));
      parts = habits.append(parts, read, buffer);
      let received = parts.length > 1 ? Buffer.concat(parts) : parts[0];
      while (received.length >= habits.least && received.length > 0) {
        const length = lengthIn(decode(received.subarray(0, HEADER_LENGTH)));
        if (length === undefined) return { lines, failedAt: i };
        const end = habits.end(length);
        if (end <= 0 || !habits.isComplete(received, end)) break;
        lines.push(decode(received.subarray(0, end)));
        received = habits.rest(received, end);
        parts = [received];
        if (!habits.isRepeating) break;
      }
    }
    return { lines };
  };
}

/** Returns a client that takes every character for a byte. */
function characters(options: TextDecodeOptions): Client {
  return (reads) => {
    const lines: string[] = [];
    const utf8 = new TextDecoder();
    let text = "";
    for (const [i, read] of reads.entries()) {
      text += utf8.decode(read, options);
      while (text.length >= HEADER_LENGTH) {
        const length = lengthIn(text.slice(0, HEADER_LENGTH));
        if (length === undefined) return { lines, failedAt: i };
        const end = HEADER_LENGTH + length;
        if (text.length < end) break;
        lines.push(text.slice(0, end));
        text = text.slice(end);
      }
    }
    return { lines };
  };
}

/**
 * The mistakes, the most common first. A client that turns every read into text
 * counts characters too. The first is named only if a read cut a character.
 */
export const MISTAKES: Mistake[] = [
  {
    what: "throws away the bytes that follow a message in the same read",
    hint:
      "A read may bring the end of one message and the beginning of the next. To which message do the bytes after the end belong, and where are they when the next read comes?",
    clients: [client({ rest: () => NOTHING })],
  },
  {
    what: "prints one message per read at most",
    hint:
      "When a message has been taken out, what is left may hold another complete one. Does your client look again before it waits for more bytes?",
    clients: [client({ isRepeating: false })],
  },
  {
    what: "looks at the length before the whole header has arrived",
    hint:
      "A header has 10 bytes, and a read may bring fewer. When may your client look at the length, and what does it do until then?",
    clients: [client({ least: 1 })],
  },
  {
    what: "keeps the bytes of the last read only",
    hint:
      "A message takes several reads. Where are the bytes of the first of them when the second comes?",
    clients: [client({ append: (_, read) => [read] })],
  },
  {
    what: "counts the header as a part of the text",
    hint:
      "The length in the header says how many bytes of text follow the header. How many bytes do header and text have together?",
    clients: [client({ end: (length) => length })],
  },
  {
    what: "keeps bytes of a message that it has printed",
    hint:
      "When a message has been printed, which of the received bytes are its header and its text? Those are done with, and no others.",
    clients: [
      client({ rest: (received, end) => received.subarray(end - 10) }),
      client({ rest: (received) => received.subarray(HEADER_LENGTH) }),
    ],
  },
  {
    what: "adds the whole buffer to what it has received, not the read",
    hint:
      "The buffer has room for more bytes than a read brings. What do its other bytes hold, and how many of them are new?",
    clients: [client({
      append: (parts, _, buffer) => [...parts, buffer.slice()],
    })],
  },
  {
    what: "keeps bytes in the buffer, which the next read overwrites",
    hint:
      "Every read fills the same buffer from its beginning, and subarray makes no copy. What has become of the bytes of one read when the next has come?",
    clients: [
      client({
        append: ([received], read, buffer) =>
          received.length === 0
            ? [buffer.subarray(0, read.length)]
            : [Buffer.concat([received, read])],
      }),
      client({
        append: (parts, read, buffer) => [
          ...parts,
          buffer.subarray(0, read.length),
        ],
      }),
    ],
  },
  {
    what: "counts characters in place of bytes",
    hint:
      "The header counts bytes. In UTF-8 a character such as ü or 🙂 takes 2 to 4 of them. What does your client count?",
    clients: [characters({ stream: true })],
  },
  {
    what: "turns every read into text by itself",
    hint:
      "In UTF-8 a character such as ü or 🙂 takes 2 to 4 bytes, and a read may end inside one. When are its bytes complete?",
    clients: [characters({ stream: false })],
  },
  {
    what: "takes a length of 0 for no length at all",
    hint:
      "A message may be empty. Its header says 0, nothing follows it, and it is complete.",
    clients: [client({
      isComplete: (received, end) =>
        end > HEADER_LENGTH && received.length >= end,
    })],
  },
  {
    what: "prints a message when more bytes come after it",
    hint:
      "After the last message nothing follows but the end of the stream. How many bytes does your client need to know that a message is complete?",
    clients: [client({ isComplete: (received, end) => received.length > end })],
  },
  {
    what: "prints every read",
    hint:
      "A read is a piece of the stream, not a message. Where does the header say that the message ends?",
    clients: [(reads) => ({ lines: reads.map(decode) })],
  },
];

/** Returns the length that a header says, or `undefined` if it is none, or not complete. */
function lengthIn(header: string): number | undefined {
  const isHeader = header.length === HEADER_LENGTH &&
    /^(0|[1-9]\d*) *$/.test(header);
  return isHeader ? parseInt(header) : undefined;
}

function decode(bytes: Bytes): string {
  return new TextDecoder().decode(bytes);
}
