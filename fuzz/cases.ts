/**
 * Good and bad streams for the decoders, and ways of cutting them, as fast-check
 * arbitraries, and the check that every stream goes through.
 *
 * @module
 */

import fc from "fast-check";
import { encodeFrame } from "../framing.ts";
import type { Decode } from "./forms.ts";
import { decodeStream, difference, join, toBytes } from "./reference.ts";

/** A stream and how it arrives. */
export interface Case {
  maxFrameLength?: number;
  chunks: Uint8Array[];
}

/** Decodes a case in one form. Returns how the outcome differs from the reference, or `undefined`. */
export async function checkCase(
  decode: Decode,
  { maxFrameLength, chunks }: Case,
): Promise<string | undefined> {
  const options = { maxFrameLength };
  const payloads: Uint8Array[] = [];
  let error: unknown;
  try {
    for await (const payload of decode(chunks, options)) payloads.push(payload);
  } catch (reason) {
    error = reason;
  }
  return difference({ payloads, error }, decodeStream(join(chunks), options));
}

/** Mostly short payloads of any bytes. Some look like headers. */
export const smallPayload: fc.Arbitrary<Uint8Array> = fc.tuple(
  fc.nat(40),
  fc.nat(255),
).map(([length, seed]) => payloadOf(length, seed));

/** Payloads of the lengths at which the decoders behave differently. Few are long. */
export const payload: fc.Arbitrary<Uint8Array> = fc.tuple(
  fc.oneof(
    { weight: 4, arbitrary: fc.nat(40) },
    { weight: 1, arbitrary: fc.nat(6000) },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constantFrom(
          ...Array<number[]>(10).fill([64, 1024, 2048, 4096]).flat(),
          64 * 1024,
          256 * 1024,
        ),
        fc.integer({ min: -11, max: 11 }),
      ).map(([length, more]) => length + more),
    },
  ),
  fc.nat(255),
).map(([length, seed]) => payloadOf(length, seed));

/** An offset in a stream, as a fraction of its length. */
const place = fc.nat(0xffff).map((part) => part / 0x10000);

/** Ways of cutting: functions that cut a stream at random offsets, or into chunks of one size. */
const cutting: fc.Arbitrary<(stream: Uint8Array) => Uint8Array[]> = fc
  .oneof(
    fc.array(place, { maxLength: 8 })
      .map((places) => (stream: Uint8Array) =>
        cutAt(stream, places.map((place) => Math.floor(place * stream.length)))
      ),
    fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 5000 }))
      .map((size) => (stream: Uint8Array) =>
        // A long stream in single bytes would take too long.
        cutEvery(stream, Math.max(size, Math.floor(stream.length / 4096)))
      ),
  );

/** A stream of frames with some bad parts between them, and some of its bytes altered. */
export function anyCase(payload: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Case> {
  const frame = payload.map((payload) => encodeFrame(payload));
  const piece = fc.oneof(
    { weight: 30, arbitrary: frame },
    { weight: 1, arbitrary: promise },
    { weight: 1, arbitrary: almostHeader },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 16 }) },
  );
  return fc.tuple(
    fc.array(piece, { maxLength: 6 }),
    fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(alteration, { maxLength: 2 }) },
    ),
    cutting,
    fc.oneof(
      { weight: 6, arbitrary: fc.constant(undefined) },
      { weight: 2, arbitrary: fc.constantFrom(0, 10, 40, 1024, 9_999_999_999) },
    ),
  ).map(([pieces, alterations, cut, maxFrameLength]) => {
    let stream = join(pieces);
    for (const alter of alterations) stream = alter(stream);
    return { maxFrameLength, chunks: cut(stream) };
  });
}

/** A header without all of its payload. */
const promise = fc.oneof(
  fc.constantFrom(8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 9_999_999_999),
  fc.nat(3000),
  fc.nat(9_999_999_999),
).map((length) => toBytes(String(length).padEnd(10)));

const almostHeader = fc.array(
  fc.constantFrom(..."0123456789 ", " ", " ", "+", "-", "\0", "\t", "\n", "."),
  { minLength: 1, maxLength: 12 },
).map((characters) => toBytes(characters.join("")));

/** At one place, some bytes removed (none, one, or all that follow), and a byte inserted or none. */
const alteration: fc.Arbitrary<
  (stream: Uint8Array) => Uint8Array<ArrayBuffer>
> = fc.tuple(
  place,
  fc.constantFrom(0, 1, Infinity),
  fc.array(fc.oneof(fc.nat(255), fc.constantFrom(0x20, 0x30, 0x31, 0x39)), {
    maxLength: 1,
  }),
).map(([place, removed, inserted]) => (stream: Uint8Array) => {
  const at = Math.floor(place * stream.length);
  return join([
    stream.subarray(0, at),
    Uint8Array.from(inserted),
    stream.subarray(at + removed),
  ]);
});

/** Cuts a stream at offsets in any order. The same offset twice makes an empty chunk. */
export function cutAt(stream: Uint8Array, places: number[]): Uint8Array[] {
  const ordered = places.toSorted((a, b) => a - b);
  return [...ordered, stream.length].map((place, i) =>
    stream.subarray(ordered[i - 1] ?? 0, place)
  );
}

/** Cuts a stream into chunks of `size` bytes. */
export function cutEvery(stream: Uint8Array, size: number): Uint8Array[] {
  return Array.from(
    { length: Math.ceil(stream.length / size) },
    (_, i) => stream.subarray(i * size, (i + 1) * size),
  );
}

/** Random bytes, then as many that could be part of a header. */
const NOISE = 256;
const noise = makeNoise(2 * 300_000);

function makeNoise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const byte = state >>> 24;
    bytes[i] = i < length / 2 ? byte : "0123456789      ".charCodeAt(byte % 16);
  }
  return bytes;
}

function payloadOf(length: number, seed: number): Uint8Array {
  const start = (seed % 2) * noise.length / 2 + (seed >> 1) * NOISE;
  return noise.subarray(start, start + length);
}
