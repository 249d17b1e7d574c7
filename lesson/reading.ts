/**
 * Divides what a client reads into the parts of frames, for the programs that
 * draw reads: the trace, the exercise's checker and the live page.
 *
 * @module
 */

import { decodeHeader, HEADER_LENGTH } from "../framing.ts";

/** A part of a frame, as far as one read brings it. */
export interface Piece {
  /** `invalid` for everything after bytes that are not a header. */
  part: "header" | "payload" | "invalid";
  /** These bytes of the read, as a view. */
  bytes: Uint8Array;
  /** How many bytes of the part have arrived, with these. */
  arrived: number;
  /** How many bytes the part has. */
  total: number;
  /** The payload's length in bytes, in the piece that completes a header. */
  payloadLength?: number;
}

/** Divides the reads of one stream, in their order. */
export class Divider {
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #part: Piece["part"] = "header";
  #arrived = 0;
  #total = HEADER_LENGTH;

  /**
   * Divides the next read.
   *
   * @param read The bytes that the read brought.
   * @returns Its pieces, in order. An empty payload makes none.
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
      if (this.#part === "payload") {
        this.#begin("header", HEADER_LENGTH);
        continue;
      }
      try {
        last.payloadLength = decodeHeader(this.#header);
      } catch {
        // The bytes that looked like a header are not one.
        last.part = this.#part = "invalid";
        last.bytes = read.subarray(at - bytes.length);
        last.total = this.#total = Infinity;
        break;
      }
      if (last.payloadLength > 0) this.#begin("payload", last.payloadLength);
      else this.#begin("header", HEADER_LENGTH);
    }
    return pieces;
  }

  #begin(part: Piece["part"], total: number): void {
    this.#part = part;
    this.#total = total;
    this.#arrived = 0;
  }
}
