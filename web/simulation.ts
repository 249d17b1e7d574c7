/**
 * A server and a TCP connection in the page. Time is counted, not waited for, so
 * that the same reads bring the same bytes.
 *
 * @module
 */

import { encodeFrame } from "../framing.ts";

/** The read sizes that the page tries, in bytes. */
export const SIZES: number[] = Array.from({ length: 80 }, (_, i) => i + 1);

/** How a stream comes to a client. */
export interface Delivery {
  server: keyof typeof MESSAGES;
  /** How many bytes the client asks for. */
  size: number;
  /** How many reads a second the client does. */
  pace: number;
}

const TIMES = Array.from(
  { length: 20 },
  (_, i) => `The time is ${(1795824044.3492 + i / 10).toFixed(6)}`,
);

/** What each server sends: 20 messages. */
export const MESSAGES = {
  fast: TIMES,
  paced: TIMES,
  words:
    "heron,a coral reef,19,birch and fjord,one,café,a message longer than a read,,!,fern,two words,moss,otter and lynx,it ends,ash,nowhere,plum,a,harbor,the end"
      .split(","),
};

/** A connection to a server. */
export class Simulation {
  readonly #frames: Uint8Array[];
  /** The time between two messages, in milliseconds. */
  readonly #interval: number;
  #time = 0;
  /** How many bytes have been read of the first frame. */
  #read = 0;
  #sent = 0;

  constructor(server: Delivery["server"]) {
    this.#frames = MESSAGES[server].map((text) => encodeFrame(text));
    this.#interval = server === "paced" ? 100 : 0;
  }

  /** Returns what the next read brings, or `null` at the end of the stream. */
  read({ size, pace }: Omit<Delivery, "server">): Uint8Array | null {
    const bytes: number[] = [];
    while (this.#frames.length > 0 && bytes.length < size) {
      const due = this.#sent * this.#interval;
      if (bytes.length > 0 && due > this.#time) break;
      this.#time = Math.max(this.#time, due); // waits for the first byte
      const [frame] = this.#frames;
      const end = Math.min(frame.length, this.#read + size - bytes.length);
      bytes.push(...frame.subarray(this.#read, end));
      this.#read = end;
      if (end < frame.length) break;
      this.#frames.shift();
      this.#read = 0;
      this.#sent++;
    }
    this.#time += 1000 / pace;
    return bytes.length === 0 ? null : Uint8Array.from(bytes);
  }
}
