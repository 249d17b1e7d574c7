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
  /** The frames that are not sent yet, and when the next one is, in milliseconds. */
  readonly #frames: Uint8Array[];
  #due = 0;
  readonly #interval: number;
  /** The bytes that are sent and not read yet. */
  readonly #sent: number[] = [];
  #time = 0;

  constructor(server: Delivery["server"]) {
    this.#frames = MESSAGES[server].map((text) => encodeFrame(text));
    this.#interval = server === "paced" ? 100 : 0;
  }

  /** Returns what the next read brings, or `null` at the end of the stream. */
  read({ size, pace }: Omit<Delivery, "server">): Uint8Array | null {
    // A read that finds no byte waits for the next frame.
    if (this.#sent.length === 0) this.#time = Math.max(this.#time, this.#due);
    while (this.#frames.length > 0 && this.#due <= this.#time) {
      this.#sent.push(...this.#frames.shift()!);
      this.#due += this.#interval;
    }
    this.#time += 1000 / pace;
    const bytes = this.#sent.splice(0, size);
    return bytes.length === 0 ? null : Uint8Array.from(bytes);
  }
}
