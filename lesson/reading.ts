/**
 * Divides what a client reads into the parts of frames, for the programs that
 * draw reads: the trace and the live page.
 *
 * @module
 */

import { decodeHeader, HEADER_LENGTH } from "../framing.ts";

/** The bytes of one read that belong to the same part of a frame. */
export interface Piece {
  /** `invalid` for everything after bytes that are not a header. */
  part: "header" | "payload" | "invalid";
  /** The bytes, as a view of the read. */
  bytes: Uint8Array;
  /** How many bytes of the part have arrived, including these. */
  arrived: number;
  /** The length of the whole part in bytes. */
  total: number;
  /** The payload's length in bytes, in the piece that completes a header. */
  payloadLength?: number;
}

/** Divides the reads of one stream, in order. */
export class Divider {
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #part: Piece["part"] = "header";
  #arrived = 0;
  #total = HEADER_LENGTH;

  /**
   * Divides the next read.
   *
   * @param read The bytes that the read brought.
   * @returns Its pieces, in order. There is none for an empty payload.
   */
  divide(read: Uint8Array): Piece[] {
    const pieces: Piece[] = [];
    for (let at = 0; at < read.length;) {
      const bytes = read.subarray(at, at + this.#total - this.#arrived);
      if (this.#part === "header") this.#header.set(bytes, this.#arrived);
      this.#arrived += bytes.length;
      at += bytes.length;
      pieces.push({
        part: this.#part,
        bytes,
        arrived: this.#arrived,
        total: this.#total,
      });
      if (this.#arrived < this.#total) continue;
      const last = pieces[pieces.length - 1];
      if (this.#part === "header") {
        try {
          last.payloadLength = decodeHeader(this.#header);
        } catch {
          // The bytes that looked like a header are not one.
          last.part = this.#part = "invalid";
          last.bytes = read.subarray(at - bytes.length);
          last.total = this.#total = Infinity;
          break;
        }
      }
      this.#part = last.payloadLength ? "payload" : "header";
      this.#total = last.payloadLength || HEADER_LENGTH;
      this.#arrived = 0;
    }
    return pieces;
  }
}
