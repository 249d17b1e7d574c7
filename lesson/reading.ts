/**
 * Divides what a client reads into the parts of frames, and draws them. The
 * trace, the exercise's report and the page use it, so it runs in a browser too.
 *
 * @module
 */

import { decodeHeader, HEADER_LENGTH } from "../framing.ts";

/** The bytes of one read that belong to the same part of a frame. */
export interface Piece {
  /** `invalid` for bytes that are not a header, and for everything after them. */
  part: "header" | "payload" | "invalid";
  /** The bytes, as a view of the read. */
  bytes: Uint8Array;
  /** The number of the frame in its stream, from 1. */
  frame: number;
  /** How many bytes of the part have arrived, including these. */
  arrived: number;
  /** The length of the whole part in bytes, `Infinity` if it is invalid. */
  total: number;
  /** The payload's length in bytes, in the piece that completes a header. */
  payloadLength?: number;
}

/** Divides the reads of one stream, in order. */
export class Divider {
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #part: Piece["part"] = "header";
  #frame = 1;
  #arrived = 0;
  #total = HEADER_LENGTH;

  /** Returns the pieces of the next read, in order. An empty payload has none. */
  divide(read: Uint8Array): Piece[] {
    const pieces: Piece[] = [];
    let rest = read;
    while (rest.length > 0) {
      const piece = this.#take(rest);
      pieces.push(piece);
      rest = rest.subarray(piece.bytes.length);
    }
    return pieces;
  }

  /** Returns the piece with which these bytes begin. */
  #take(rest: Uint8Array): Piece {
    const bytes = rest.subarray(0, this.#total - this.#arrived);
    if (this.#part === "header") this.#header.set(bytes, this.#arrived);
    this.#arrived += bytes.length;
    const piece: Piece = {
      part: this.#part,
      bytes,
      frame: this.#frame,
      arrived: this.#arrived,
      total: this.#total,
    };
    if (piece.arrived < piece.total) return piece;

    if (piece.part === "header") {
      try {
        piece.payloadLength = decodeHeader(this.#header);
      } catch {
        this.#part = "invalid";
        this.#arrived -= bytes.length;
        this.#total = Infinity;
        return this.#take(rest); // with the bytes that looked like a header
      }
    }
    const length = piece.payloadLength ?? 0;
    this.#part = length > 0 ? "payload" : "header";
    this.#total = length > 0 ? length : HEADER_LENGTH;
    this.#arrived = 0;
    if (this.#part === "header") this.#frame++;
    return piece;
  }
}

/**
 * Draws pieces in one line: `[29········](The time is …)`. A bracket stands only
 * where the part begins or ends. `?` encloses bytes that are not a header.
 */
export function draw(pieces: Piece[]): string {
  return pieces.map(({ part, bytes, arrived, total, payloadLength }) => {
    const text = visible(utf8.decode(bytes));
    if (part === "invalid") return `?${text}?`;
    const [open, close] = part === "header" ? "[]" : "()";
    return (arrived === bytes.length ? open : "") +
      (part === "header" ? text.replaceAll(" ", "·") : text) +
      (arrived === total ? close : "") +
      (payloadLength === 0 ? "()" : "");
  }).join("");
}

/** Returns text with escapes for the characters that are invisible or command a terminal. */
export function visible(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
