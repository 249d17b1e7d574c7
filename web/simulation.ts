/**
 * A server and a TCP connection in the page, for a page without them. Time is
 * counted, not waited for: the same reads bring the same bytes.
 *
 * @module
 */

import { encodeFrame } from "../framing.ts";

/** How the bytes come. */
export interface Delivery {
  server: "fast" | "paced" | "words";
  /** The most bytes that a read brings. */
  size: number;
  /** Reads per second. */
  pace: number;
}

const TIMES = Array.from(
  { length: 20 },
  (_, i) => `The time is ${(1795824044.3492 + i / 10).toFixed(6)}`,
);
/** What each server sends. */
export const MESSAGES: Record<Delivery["server"], string[]> = {
  fast: TIMES,
  paced: TIMES,
  words:
    "heron|a coral reef|19|birch and fjord|one|a message may be long, and longer than any read|!|fern|two words|moss|otter, lynx, vole|it ends|ash|in the middle of nowhere|plum|a|quiet morning|harbor lights|seventeen|the end"
      .split("|"),
};
/** The numbers of bytes per read that are tried. */
export const SIZES: number[] = Array.from({ length: 80 }, (_, i) => i + 1);

/** One connection. */
export class Simulation {
  readonly #frames: Uint8Array[];
  /** When each frame is sent, in milliseconds. */
  readonly #interval: number;
  #time = 0;
  #at = 0;

  constructor({ server }: Delivery) {
    this.#frames = MESSAGES[server].map((text) => encodeFrame(text));
    this.#interval = server === "paced" ? 100 : 0;
  }

  /** Returns what one read brings, or `null` at the end of the stream. */
  read({ size, pace }: Delivery): Uint8Array | null {
    let start = 0;
    const bytes: number[] = [];
    for (const [i, frame] of this.#frames.entries()) {
      const end = start + frame.length;
      if (end > this.#at && bytes.length < size) {
        const sent = i * this.#interval;
        if (bytes.length === 0) this.#time = Math.max(this.#time, sent);
        if (sent > this.#time) break;
        const from = Math.max(0, this.#at - start);
        const part = frame.subarray(from, from + size - bytes.length);
        bytes.push(...part);
        this.#at += part.length;
      }
      start = end;
    }
    this.#time += 1000 / pace;
    return bytes.length === 0 ? null : Uint8Array.from(bytes);
  }
}

/** A connection that the page uses as it uses a WebSocket. */
export class SimulatedSocket {
  readonly #simulation: Simulation;
  readonly #delivery: () => Delivery;
  binaryType = "";
  readyState: number = WebSocket.OPEN;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  constructor(delivery: () => Delivery) {
    this.#delivery = delivery;
    this.#simulation = new Simulation(delivery());
    queueMicrotask(() => this.onopen?.());
  }

  /** Answers a request for a read. */
  send(size: string): void {
    const delivery = { ...this.#delivery(), size: Number(size) };
    queueMicrotask(() => {
      const read = this.#simulation.read(delivery);
      if (read !== null) {
        this.onmessage?.({ data: read.buffer as ArrayBuffer });
      } else {
        this.readyState = WebSocket.CLOSED;
        this.onclose?.({ code: 1000, reason: "" });
      }
    });
  }

  close(): void {
    this.readyState = WebSocket.CLOSED;
  }
}
