/**
 * Typical wrong clients, in a few lines each. The checker runs them on the reads
 * that a learner's client got: one that prints exactly what the client printed,
 * delivery by delivery, tells what the client does wrong.
 *
 * @module
 */

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

/** How a client treats the bytes that it has received. The defaults are right. */
interface Habits {
  /** Returns what has been received, with the next read. */
  append?(received: Bytes, read: Bytes, buffer: Bytes): Bytes;
  /** How many bytes it wants to have before it looks at the length. */
  least?: number;
  /** Returns where a message ends. */
  end?(length: number): number;
  /** Returns whether a message that ends at `end` is complete. */
  isComplete?(received: Bytes, end: number): boolean;
  /** Returns what is left when a message has been printed. */
  rest?(received: Bytes, end: number): Bytes;
  /** Whether it looks for another message before the next read. */
  isRepeating?: boolean;
}

type Bytes = Uint8Array;
const NOTHING = new Uint8Array();

/** Returns a client that counts bytes and has these habits. */
function client({
  append = (received, read) => concat(received, read),
  least = HEADER_LENGTH,
  end = (length) => HEADER_LENGTH + length,
  isComplete = (received, end) => received.length >= end,
  rest = (received, end) => received.subarray(end),
  isRepeating = true,
}: Habits = {}): Client {
  return (reads, room) => {
    const lines: string[] = [];
    const buffer = new Uint8Array(room);
    let received = NOTHING as Bytes;
    for (const [i, read] of reads.entries()) {
      buffer.set(read.subarray(0, room));
      received = append(received, read, buffer);
      while (received.length >= least && received.length > 0) {
        const length = lengthIn(received);
        if (length === undefined) return { lines, failedAt: i };
        const to = end(length);
        if (to <= 0 || !isComplete(received, to)) break;
        lines.push(decode(received.subarray(0, to)));
        received = rest(received, to);
        if (!isRepeating) break;
      }
    }
    return { lines };
  };
}

/** Returns a client that takes every character for a byte. */
function characters(decodeRead: () => (read: Bytes) => string): Client {
  return (reads) => {
    const lines: string[] = [];
    const decode = decodeRead();
    let text = "";
    for (const [i, read] of reads.entries()) {
      text += decode(read);
      while (text.length >= HEADER_LENGTH) {
        if (!/^\d+ *$/.test(text.slice(0, HEADER_LENGTH))) {
          return { lines, failedAt: i };
        }
        const end = HEADER_LENGTH + parseInt(text);
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
 * counts characters too: it is told of the reads if a character was cut.
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
    clients: [client({ append: (_, read) => read })],
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
    clients: [
      client({ append: (received, _, buffer) => concat(received, buffer) }),
    ],
  },
  {
    what: "counts characters in place of bytes",
    hint:
      "The header counts bytes. In UTF-8 a character such as ü or 🙂 takes 2 to 4 of them. What does your client count?",
    clients: [characters(() => {
      const utf8 = new TextDecoder();
      return (read) => utf8.decode(read, { stream: true });
    })],
  },
  {
    what: "turns every read into text by itself",
    hint:
      "In UTF-8 a character such as ü or 🙂 takes 2 to 4 bytes, and a read may end inside one. When are its bytes complete?",
    clients: [characters(() => decode)],
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
function lengthIn(received: Bytes): number | undefined {
  const text = decode(received.subarray(0, HEADER_LENGTH));
  const isHeader = text.length === HEADER_LENGTH && /^\d+ *$/.test(text);
  return isHeader ? parseInt(text) : undefined;
}

function concat(received: Bytes, read: Bytes): Bytes {
  const joined = new Uint8Array(received.length + read.length);
  joined.set(received);
  joined.set(read, received.length);
  return joined;
}

function decode(bytes: Bytes): string {
  return new TextDecoder().decode(bytes);
}
