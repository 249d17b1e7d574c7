/**
 * A decoder that is slow and obviously right: it gets the whole stream in one
 * piece, and a regular expression says what a header is. The tests and the fuzz
 * program compare the real decoders with it.
 *
 * @module
 */

import {
  DEFAULT_MAX_FRAME_LENGTH,
  FramingError,
  type FramingErrorCode,
  type FramingOptions,
  HEADER_LENGTH,
} from "../framing.ts";

/** The content of a stream: complete payloads, and what is wrong after them, if anything is. */
export interface Content {
  payloads: Uint8Array[];
  failure?: Failure;
}

/** The facts of a FramingError. */
export type Failure = Pick<FramingError, "code" | "offset"> & Facts;
type Facts = Partial<Omit<FramingError, keyof Error>>;

/** What a decoder returned for a stream. */
export interface Outcome {
  payloads: Uint8Array[];
  error?: unknown;
}

/** A header, or the beginning of one. */
const HEADER = /^(0|[1-9][0-9]*) *$/;

/** Decodes a whole stream. */
export function decodeStream(
  stream: Uint8Array,
  { maxFrameLength = DEFAULT_MAX_FRAME_LENGTH }: FramingOptions = {},
): Content {
  const payloads: Uint8Array[] = [];
  let offset = 0;
  const fail = (code: FramingErrorCode, facts: Facts) => ({
    payloads,
    failure: { code, offset, ...facts },
  });
  while (offset < stream.length) {
    const start = offset + HEADER_LENGTH;
    const header = toText(stream.subarray(offset, start));
    const length = Number(header);
    const end = start + length;
    if (!HEADER.test(header)) {
      return fail("INVALID_HEADER", { header });
    } else if (header.length < HEADER_LENGTH) {
      const received = header.length;
      return fail("UNEXPECTED_EOF", { received, expected: HEADER_LENGTH });
    } else if (length > maxFrameLength) {
      return fail("FRAME_TOO_LARGE", { length, maxFrameLength });
    } else if (end > stream.length) {
      const received = stream.length - offset;
      return fail("UNEXPECTED_EOF", { received, expected: end - offset });
    }
    payloads.push(stream.subarray(start, end));
    offset = end;
  }
  return { payloads };
}

/** Returns how a decoder's outcome differs from the content of the stream, or `undefined`. */
export function difference(
  outcome: Outcome,
  content: Content,
): string | undefined {
  const { payloads, error } = outcome;
  const { failure } = content;
  const count = content.payloads.length;
  if (payloads.length !== count) {
    return `${payloads.length} payloads, expected ${count}; ${error}`;
  }
  const wrong = payloads.findIndex((payload, i) =>
    !isEqual(payload, content.payloads[i])
  );
  if (wrong >= 0) return `payload ${wrong} of ${count} is altered`;
  if (error === undefined && failure === undefined) return;
  if (!(error instanceof FramingError)) {
    return `${error}, expected ${failure?.code ?? "no error"}`;
  }
  const { header = "" } = error;
  const actual = inspect(factsOf(error));
  const expected = inspect(
    // The error has as much of a bad header as had arrived, which depends on the cuts.
    failure?.header?.startsWith(header) && !HEADER.test(header)
      ? { ...failure, header }
      : failure,
  );
  return actual === expected ? undefined : `${actual}, expected ${expected}`;
}

/** Returns the bytes of a text in which each character is a byte. */
export function toBytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Returns a text in which each character is a byte. */
export function toText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** Joins chunks. */
export function join(pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  // Many times faster than `every`.
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Returns the code and the facts of an error, without the fields that do not apply. */
export function factsOf(error: FramingError): Failure {
  // JSON leaves out what is undefined.
  return JSON.parse(JSON.stringify({ ...error, name: undefined }));
}

function inspect(failure: Failure | undefined): string {
  return JSON.stringify(Object.entries(failure ?? {}).sort());
}
