/**
 * `deno task bench`: compares framing.ts with packages on npm that do the same work,
 * and its parts with each other. `deno task bench FILE` compares it with another
 * version of itself, too.
 *
 * All benchmarks of a group handle the same payloads. Compare times within one run
 * only, because the speed of a machine changes. Each package gets frames with its
 * own header, in Node's buffers, and returns every payload in one piece.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { pathToFileURL } from "node:url";
import * as framing from "../framing.ts";
import { pathOf } from "../lesson/processes.ts";

const { encodeFrame, HEADER_LENGTH } = framing;
const KIB = 1024;

/** The versions of framing.ts to compare, and what their names end with. */
const versions: [string, typeof framing][] = [["", framing]];
const [other] = Deno.args;
if (other !== undefined) {
  const { href } = pathToFileURL(pathOf(other));
  versions.push([` of ${other}`, await import(href)]);
}

/** Decodes chunks. Returns how many payload bytes come out. */
type Decode = (chunks: Uint8Array[]) => number | Promise<number>;

// Imported here and not above, so that only this command fetches packages.
const load = (name: string) => import(`npm:${name}`);
const lengthPrefixed = (await load("length-prefixed-stream@2.0.0")).default;
const itLengthPrefixed = await load("it-length-prefixed@11.0.1");

const inputs: [string, number, number, number][] = [
  ["2000 x 29 B in chunks of 16 B", 29, 2000, 16],
  ["2000 x 29 B in chunks of 1 B", 29, 2000, 1],
  ["250 x 1 KiB in chunks of 16 B", KIB, 250, 16],
  ["4 x 64 KiB in chunks of 16 B", 64 * KIB, 4, 16],
  ["6720 x 29 B in chunks of 64 KiB", 29, 6720, 64 * KIB],
  ["250 x 1 KiB in chunks of 64 KiB", KIB, 250, 64 * KIB],
  ["16 x 64 KiB in chunks of 64 KiB", 64 * KIB, 16, 64 * KIB],
  ["4 x 1 MiB in chunks of 64 KiB", 1024 * KIB, 4, 64 * KIB],
];
for (const [group, length, count, chunk] of inputs) {
  const header = encodeFrame(new Uint8Array(length)).slice(0, HEADER_LENGTH);
  const add = (name: string, decode: Decode, prefix: Uint8Array = header) => {
    const frame = Buffer.concat([prefix, new Uint8Array(length)]);
    const stream = Buffer.concat(Array(count).fill(frame));
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += chunk) {
      chunks.push(stream.subarray(at, at + chunk));
    }
    const baseline = name === "FrameDecoder";
    Deno.bench(name, { group, baseline }, async () => {
      check(await decode(chunks), count * length);
    });
  };
  for (const [end, framing] of versions) {
    const { FrameDecoder, FrameDecoderStream, FrameReader } = framing;
    add(`FrameDecoder${end}`, (chunks) => {
      const decoder = new FrameDecoder();
      let bytes = 0;
      for (const chunk of chunks) {
        for (const payload of decoder.push(chunk)) bytes += payload.length;
      }
      decoder.end();
      return bytes;
    });
    add(`FrameReader, fill and next${end}`, async (chunks) => {
      const frames = new FrameReader(connection(chunks));
      let bytes = 0;
      while (await frames.fill()) {
        while (frames.next()) bytes += frames.end - frames.start;
      }
      return bytes;
    });
    add(
      `FrameReader, for await${end}`,
      (chunks) => total(new FrameReader(connection(chunks))),
    );
    add(
      `FrameDecoderStream${end}`,
      (chunks) =>
        total(
          ReadableStream.from(chunks).pipeThrough(new FrameDecoderStream()),
        ),
    );
  }
  const pumpPrefixed: Decode = (chunks) =>
    pump(lengthPrefixed.decode(), chunks);
  add("npm length-prefixed-stream", pumpPrefixed, varint(length));
  const iterate: Decode = (chunks) => {
    let bytes = 0;
    for (const payload of itLengthPrefixed.decode(chunks)) {
      bytes += payload.subarray().length;
    }
    return bytes;
  };
  add("npm it-length-prefixed", iterate, varint(length));
}

const payloads = {
  bytes: new Uint8Array(29),
  "ASCII text": "The time is 1795392089.695505",
  "other text": "Grüße, 世界 👋",
};
for (const [kind, payload] of Object.entries(payloads)) {
  const group = `encode 1000 payloads: ${kind}`;
  const bytes = 1000 * encodeFrame(payload).length;
  for (const [end, { FrameEncoderStream, FrameWriter }] of versions) {
    Deno.bench(
      `FrameWriter${end}`,
      { group, baseline: end === "" },
      async () => {
        let written = 0;
        const frames = new FrameWriter({
          write: ({ length }) => Promise.resolve((written += length, length)),
        });
        for (let i = 0; i < 1000; i++) frames.add(payload);
        await frames.flush();
        check(written, bytes);
      },
    );
    Deno.bench(`FrameEncoderStream${end}`, { group }, async () => {
      const stream = ReadableStream.from(Array(1000).fill(payload));
      check(await total(stream.pipeThrough(new FrameEncoderStream())), bytes);
    });
  }
}

function check(bytes: number, expected: number): void {
  if (bytes !== expected) throw new Error(`${bytes} bytes, not ${expected}`);
}

/** Returns a connection from which each read gets one chunk, or as much of it as fits. */
function connection(chunks: Uint8Array[]): framing.ByteReader {
  let next = 0;
  let rest = chunks[next];
  return {
    read(buffer) {
      if (rest.length === 0) rest = chunks[++next];
      if (rest === undefined) return Promise.resolve(null);
      const part = rest.subarray(0, buffer.length);
      buffer.set(part);
      rest = rest.subarray(part.length);
      return Promise.resolve(part.length);
    },
  };
}

async function total(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) bytes += piece.length;
  return bytes;
}

/** Writes everything to one of Node's streams. */
async function pump(stream: Duplex, chunks: Uint8Array[]): Promise<number> {
  let bytes = 0;
  stream.on("data", (payload: Uint8Array) => bytes += payload.length);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await once(stream, "end"); // Throws if there is an error.
  return bytes;
}

/** Returns a varint: seven bits per byte, the lowest first. */
function varint(length: number): Uint8Array {
  const bytes: number[] = [];
  for (; length > 0x7f; length >>>= 7) bytes.push(length & 0x7f | 0x80);
  return Uint8Array.of(...bytes, length);
}
