/**
 * What the exercise's checker sends: streams of messages, cut into pieces in ten
 * ways. The texts are random, and a seed repeats them.
 *
 * @module
 */

import { encodeFrame, HEADER_LENGTH } from "../framing.ts";

/** Messages as a stream that is sent in pieces. */
export interface Delivery {
  name: string;
  messages: string[];
  /** Whether the stream breaks off inside one more message. */
  isCut: boolean;
  stream: Bytes;
  /** The offsets at which messages end. */
  ends: number[];
  /** The parts of the stream that are sent one by one. */
  pieces: Bytes[];
  /** What to think about if a client fails and nothing more is known. */
  hint: string;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** Returns the next random integer from 0 to `limit` - 1. */
type Random = (limit: number) => number;

/** Returns a linear congruential generator: a seed repeats it, and no more is needed. */
export function randomFrom(seed: number): Random {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit); // the high bits are the random ones
  };
}

/** Returns whether a stream is cut at an offset, given those at which its frames start. */
type Cut = (at: number, starts: number[]) => boolean;

const oneByOne: Cut = (at, starts) => starts.includes(at);
const together: Cut = () => false;

/** Returns all deliveries, the simplest first, as the first failure is explained. */
export function makeDeliveries(random: Random): Delivery[] {
  const texts = (count: number, words = WORDS) =>
    Array.from({ length: count }, () => text(random, words));
  // A read of 16 bytes brings more than one of these.
  const first = 10 + random(70);
  const short = Array.from({ length: 12 }, (_, i) => String(first + i));
  return [
    delivery(
      "one by one",
      texts(4),
      oneByOne,
      "Each message comes alone here, in as many reads as its length takes. The header says how many bytes of text follow it. When a message has been printed, its bytes are done with: all of them, and no others.",
    ),
    delivery(
      "header cut in two",
      texts(5),
      (at, starts) =>
        starts.some((start, i) =>
          at === start || at === start + 1 + (4 * i) % 9
        ),
      "A read may bring less than a header. When may your client look at the length, and what does it do until then?",
    ),
    delivery(
      "byte by byte",
      texts(3),
      () => true,
      "A read may bring a single byte. Does your client keep what it has, header or text, until the rest has come?",
    ),
    delivery(
      "all together",
      texts(25),
      together,
      "A read may bring the end of one message and the beginning of the next. To which message do the bytes after the end belong, and where are they when the next read comes?",
    ),
    delivery(
      "several messages in one read",
      short,
      (at, starts) => starts.indexOf(at) % 4 === 0,
      "When a message has been taken out, what is left may hold another complete one. Does your client look again before it waits for more bytes?",
    ),
    delivery(
      "sizes 0, 1, 9, 10, 11 and 5000 bytes",
      [5000, 11, 0, 10, 9, 1].map((size) => textOfSize(random, size)),
      oneByOne,
      "A message may be much longer than a read, shorter than a header, or empty. Nothing follows the header of an empty message.",
    ),
    delivery(
      "text outside ASCII",
      // The first has a cut in each character, as most wrong clients get no further.
      ["🙂🚲🙂🚲🙂🚲", ...texts(7, FOREIGN_WORDS)],
      (at) => at % 3 === 0,
      "The header counts bytes. In UTF-8 a character such as ü or 🙂 takes 2 to 4 of them, and a read may end inside one. What does your client count, and when does it turn bytes into text?",
    ),
    delivery(
      "end of stream, before any message",
      [],
      together,
      "A server may end the stream before its first message. Then there is nothing to print and nothing is wrong: the exit code is 0.",
    ),
    delivery(
      "end of stream, inside a message",
      texts(3),
      oneByOne,
      "Here the stream breaks off inside a message. Print the messages before it but not the incomplete one, and end with an exit code other than 0: Deno.exit(1).",
      encodeFrame(text(random, WORDS)).subarray(0, HEADER_LENGTH + 5),
    ),
    delivery(
      "random cuts",
      texts(24).flatMap((text, i) => [text, ...short.slice(i, i + 1)]),
      () => random(12) === 0,
      "Pieces end anywhere: inside a header, inside a text, between messages. What your client prints must not depend on how many bytes a read happens to bring.",
    ),
  ];
}

/** Returns a delivery. Its stream ends with `cutFrame`, if there is one. */
function delivery(
  name: string,
  messages: string[],
  cut: Cut,
  hint: string,
  cutFrame: Bytes = new Uint8Array(),
): Delivery {
  const frames = [...messages.map((text) => encodeFrame(text)), cutFrame];
  const starts: number[] = [];
  const bytes: number[] = [];
  for (const frame of frames) {
    starts.push(bytes.length);
    bytes.push(...frame);
  }
  const stream = Uint8Array.from(bytes);
  const cuts = [...stream.keys()].filter((at) => cut(at, starts));
  const offsets = [...new Set([0, ...cuts, stream.length])];
  return {
    name,
    messages,
    isCut: cutFrame.length > 0,
    stream,
    ends: starts.slice(1),
    pieces: offsets.slice(1).map((end, i) => stream.subarray(offsets[i], end)),
    hint,
  };
}

const WORDS = ["amber", "birch", "coral", "delta", "fjord", "grove", "heron"];
const FOREIGN_WORDS = ["Grüße", "žluť", "Ærø", "Ωmega", "мир", "語言", "🙂🚲"];

/** Returns a text like those of the real server. It ends in digits, as the next header begins. */
function text(random: Random, words: string[]): string {
  const word = () => words[random(words.length)];
  return `${word()} ${word()} ${random(90_000) + 10_000}`;
}

function textOfSize(random: Random, size: number): string {
  const letter = () => String.fromCharCode(97 + random(26));
  return Array.from({ length: size }, letter).join("");
}

/** Pause after a piece, in milliseconds. Usually a client reads the next one separately. */
const PAUSE = 5;

/**
 * Sends a client the pieces of a delivery, and waits until it leaves.
 *
 * @param onPiece Called before each piece. If it returns a promise, the next
 * piece waits for that too. It is told whether this piece ends a message.
 */
export async function deliver(
  { ends, pieces }: Delivery,
  client: Deno.TcpConn,
  onPiece: (endsMessage: boolean) => Promise<void> | void,
): Promise<void> {
  using connection = client;
  connection.setNoDelay();
  const writer = connection.writable.getWriter();
  let sent = 0;
  for (const piece of pieces) {
    sent += piece.length;
    const pause = onPiece(ends.includes(sent));
    await writer.write(piece);
    await pause;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  await connection.closeWrite();
  // To close with unread input would reset the connection under the client.
  while (await connection.read(new Uint8Array(1024)) !== null);
}
