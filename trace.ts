/**
 * Draws what a client reads, for `--trace`: which bytes of a read are header and
 * which payload, where one message ends and the next begins, and what is still
 * to come. Labels and brackets say it all; colour only helps.
 *
 * ```text
 * read 3    16 bytes                      '.69550529       '
 *   payload  7 bytes, message whole       (.695505)
 *   header   9 bytes, 1 to come           [29       ]
 * ```
 *
 * @module
 */

import { cyan, dim, green, red } from "@std/fmt/colors";
import { decodeHeader, HEADER_LENGTH } from "./framing.ts";

/** Columns: a label, what there is to know, and the bytes; 80 in all. */
const LABEL_WIDTH = 12;
const FACTS_WIDTH = 30;
const BYTES_WIDTH = 38;

/**
 * Draws one read.
 *
 * @param number Which read of the stream it is, from 1.
 * @param received All that is not printed yet; the read is at its end.
 * @param start Where the read begins in `received`.
 * @param msg The read as text.
 * @returns Lines of up to 80 columns, coloured where colour is enabled.
 */
export function drawRead(
  number: number,
  received: Uint8Array,
  start: number,
  msg: string,
): string {
  const size = received.length;
  const text = clip(
    ["'", ...Array.from(msg, visibleCharacter), "'"],
    BYTES_WIDTH,
  );
  const lines = [row(`read ${number}`, `${size - start} bytes`, text)];
  const draw = (label: string, from: number, to: number, note: string) => {
    const bytes = received.subarray(Math.max(from, start), Math.min(to, size));
    if (bytes.length > 0 || from === to) {
      lines.push(part(label, bytes, note));
    }
  };

  for (let at = 0; at < size;) {
    const payload = at + HEADER_LENGTH;
    if (size < payload) {
      draw("header", at, payload, `${payload - size} to come`);
      break;
    }
    let end: number;
    try {
      end = payload + decodeHeader(received.subarray(at));
    } catch {
      draw("no header", at, size, "not a length");
      break;
    }
    draw("header", at, payload, `announces ${end - payload}`);
    const missing = end - size;
    if (end > start) {
      draw(
        "payload",
        payload,
        end,
        missing > 0 ? `${missing} to come` : "message whole",
      );
    }
    at = end;
  }
  return lines.join("\n");
}

/** Draws bytes that a client threw away. */
export function drawLoss(bytes: Uint8Array): string {
  return part("lost", bytes, "thrown away");
}

const STYLES: Record<
  string,
  { paint: (text: string) => string; brackets: string }
> = {
  header: { paint: cyan, brackets: "[]" },
  payload: { paint: green, brackets: "()" },
  lost: { paint: red, brackets: "{}" },
  "no header": { paint: red, brackets: "??" },
};

function part(label: string, bytes: Uint8Array, note: string): string {
  const { paint, brackets: [open, close] } = STYLES[label];
  const text = clip(visible(bytes), BYTES_WIDTH - 2);
  const facts = `${bytes.length} ${
    bytes.length === 1 ? "byte" : "bytes"
  }, ${note}`;
  return row(`  ${label}`, facts, open + paint(text) + close);
}

function row(label: string, facts: string, bytes: string): string {
  return label.padEnd(LABEL_WIDTH) + dim(facts.padEnd(FACTS_WIDTH)) + bytes;
}

/**
 * Finds what is not UTF-8.
 *
 * @param bytes Text, if all is well.
 * @returns The index of the first byte that belongs to no character, or `undefined`.
 */
export function invalidUtf8(bytes: Uint8Array): number | undefined {
  let at = 0;
  while (at < bytes.length && bytes[at] < 0x80) at++;
  while (at < bytes.length) {
    const [length, text] = character(bytes, at);
    if (text === undefined) return at;
    at += length;
  }
  return undefined;
}

/** The bytes as text, one string a character; those that belong to no character as escapes. */
export function visible(bytes: Uint8Array): string[] {
  const characters: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const [length, text] = character(bytes, at);
    characters.push(
      text === undefined ? `\\x${hex(bytes[at])}` : visibleCharacter(text),
    );
    at += length;
  }
  return characters;
}

/** What can be seen as it is, control characters and strange spaces as escapes. */
function visibleCharacter(text: string): string {
  if (text === " " || !/[\p{C}\p{Z}]/u.test(text)) return text;
  return ESCAPES[text] ?? `\\u{${hex(text.codePointAt(0) ?? 0)}}`;
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, "0");
}

const ESCAPES: Record<string, string> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\0": "\\0",
};

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The character that begins at a byte, and its length in bytes; no text where none does. */
function character(
  bytes: Uint8Array,
  at: number,
): [number, string | undefined] {
  const lead = bytes[at];
  const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  try {
    return [length, utf8.decode(bytes.subarray(at, at + length))];
  } catch {
    return [1, undefined];
  }
}

/** As many characters as fit, and `…` for the others. */
export function clip(characters: string[], width: number): string {
  let used = 0;
  for (const [i, character] of characters.entries()) {
    const isWide =
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
        .test(character);
    used += isWide ? 2 : character.length;
    // The last column is for the ellipsis, unless nothing follows.
    if (used > width - (i < characters.length - 1 ? 1 : 0)) {
      return characters.slice(0, i).join("") + "…";
    }
  }
  return characters.join("");
}
