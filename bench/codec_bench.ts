/**
 * What taking frames apart and making them costs inside one process, next to
 * the packages on npm that do the same, and next to a `TransformStream` that
 * does nothing. `deno task bench` runs this several times and compares.
 *
 * @module
 */

import {
  encodeFrame,
  FrameDecoder,
  FrameDecoderStream,
  FrameEncoderStream,
  FrameReader,
  FrameWriter,
  HEADER_LENGTH,
} from "../framing.ts";
import { peers } from "./peers/npm.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** What is being measured, and its input: one at a time, to leave memory to what is measured. */
let current: { key: unknown; input: unknown } = { key: undefined, input: [] };

// Payloads of `length` bytes, `total` bytes of them, in chunks of `chunk` bytes.
// It is little, and stays in the processor's caches: that is where bytes are
// which have just arrived.
for (
  const { length, chunk, total } of [
    { length: 29, chunk: 64 * KIB, total: MIB },
    { length: KIB, chunk: 64 * KIB, total: 2 * MIB },
    { length: 64 * KIB, chunk: 64 * KIB, total: 4 * MIB },
    { length: MIB, chunk: 64 * KIB, total: 8 * MIB },
    { length: 29, chunk: 16, total: 256 * KIB },
    { length: MIB, chunk: 16, total: MIB },
    { length: 29, chunk: 1, total: 64 * KIB },
  ]
) {
  const count = Math.round(total / length);
  const expected = count * length;
  const compare = group(
    `decode ${count} × ${size(length)} in chunks of ${size(chunk)}`,
  );
  const frame = encodeFrame(new Uint8Array(length));
  const frames = () => cut(frame, count, chunk);
  compare("FrameDecoder", expected, frames, decode);
  compare("FrameReader", expected, frames, read);
  for (const { name, header, decode } of peers) {
    // Time that grows with the square of a frame's chunks: minutes of it.
    if (name.includes("frame-stream") && length / chunk > 1000) continue;
    const frame = new Uint8Array([
      ...header(length),
      ...new Uint8Array(length),
    ]);
    compare(name, expected, () => cut(frame, count, chunk), decode);
  }
}

for (const [length, count] of [[29, 20_000], [KIB, 2000]]) {
  const compare = group(`encode ${count} × ${size(length)}`);
  const expected = count * (HEADER_LENGTH + length);
  const payloads = () => Array(count).fill(new Uint8Array(length));
  const texts = () => Array(count).fill("a".repeat(length));
  compare("FrameWriter, bytes", expected, payloads, write);
  compare("FrameWriter, text", expected, texts, write);
  compare("encodeFrame, bytes", expected, payloads, encode);
  for (const { name, header, encode } of peers) {
    const expected = count * (header(length).length + length);
    compare(name, expected, payloads, encode);
  }
}

for (const [length, count] of [[29, 30_000], [64 * KIB, 100]]) {
  const compare = group(
    `decode ${count} × ${size(length)} in a Web Stream`,
  );
  const frame = encodeFrame(new Uint8Array(length));
  const frames = () => cut(frame, count, 64 * KIB);
  const each = Math.max(1, Math.round(64 * KIB / frame.length));
  const bare = () => idle(each);
  compare(`bare, 1 chunk in, ${each} out`, undefined, frames, through(bare));
  const decoder = () => new FrameDecoderStream();
  compare("FrameDecoderStream", count * length, frames, through(decoder));
}

for (const [length, count] of [[29, 3000], [64 * KIB, 500]]) {
  const compare = group(
    `encode ${count} × ${size(length)} in a Web Stream`,
  );
  const expected = count * (HEADER_LENGTH + length);
  const payloads = () => Array(count).fill(new Uint8Array(length));
  const each = length === 29 ? 1 : 2;
  const bare = () => idle(each);
  compare(`bare, 1 chunk in, ${each} out`, undefined, payloads, through(bare));
  const empty = () => new TransformStream();
  compare("bare, no transformer", undefined, payloads, through(empty));
  const encoder = () => new FrameEncoderStream();
  compare("FrameEncoderStream", expected, payloads, through(encoder));
}

/**
 * Begins a group of benchmarks, which are compared with its first. Each takes an
 * input and gives how many bytes came out, which is checked.
 */
function group(group: string) {
  let baseline = true;
  return <Input>(
    name: string,
    expected: number | undefined,
    prepare: () => Input,
    run: (input: Input) => number | Promise<number>,
  ): void => {
    async function fn(): Promise<void> {
      // In the first, not measured, of all calls; and then it must not stay.
      if (current.key !== fn) current = { key: fn, input: prepare() };
      const bytes = await run(current.input as Input);
      if (expected !== undefined && bytes !== expected) {
        throw new Error(`${name} gave ${bytes} bytes, not ${expected}`);
      }
    }
    Deno.bench({ group, name, baseline, warmup: 20, n: 30, fn });
    baseline = false;
  };
}

/** A frame, so many times, cut into chunks that each have memory of their own. */
function cut(frame: Uint8Array, count: number, chunk: number): Uint8Array[] {
  const stream = new Uint8Array(count * frame.length);
  for (let i = 0; i < count; i++) stream.set(frame, i * frame.length);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < stream.length; at += chunk) {
    chunks.push(stream.slice(at, at + chunk));
  }
  return chunks;
}

function decode(chunks: Uint8Array[]): number {
  let bytes = 0;
  const decoder = new FrameDecoder();
  for (const chunk of chunks) {
    for (const payload of decoder.push(chunk)) bytes += payload.length;
  }
  decoder.end();
  return bytes;
}

async function read(chunks: Uint8Array[]): Promise<number> {
  let bytes = 0;
  const frames = new FrameReader(source(chunks));
  while (await frames.read()) {
    while (frames.next()) bytes += frames.end - frames.start;
  }
  return bytes;
}

/** What reads one chunk after the other, as a socket does: into the caller's buffer. */
function source(chunks: Uint8Array[]): Pick<Deno.Conn, "read"> {
  let next = 0;
  let at = 0;
  return {
    read(buffer) {
      if (next === chunks.length) return Promise.resolve(null);
      const chunk = chunks[next];
      const part = at === 0 && chunk.length <= buffer.length
        ? chunk
        : chunk.subarray(at, at + buffer.length);
      buffer.set(part);
      at += part.length;
      if (at === chunk.length) {
        next++;
        at = 0;
      }
      return Promise.resolve(part.length);
    },
  };
}

async function write(payloads: (string | Uint8Array)[]): Promise<number> {
  let bytes = 0;
  const frames = new FrameWriter({
    write(part) {
      bytes += part.length;
      return Promise.resolve(part.length);
    },
  });
  for (const payload of payloads) {
    frames.add(payload);
    if (frames.isFull) await frames.flush();
  }
  await frames.flush();
  return bytes;
}

function encode(payloads: Uint8Array[]): number {
  let bytes = 0;
  for (const payload of payloads) bytes += encodeFrame(payload).length;
  return bytes;
}

function through(make: () => TransformStream<Uint8Array, Uint8Array>) {
  return async (chunks: Uint8Array[]): Promise<number> => {
    let bytes = 0;
    const stream = ReadableStream.from(chunks).pipeThrough(make());
    for await (const chunk of stream) bytes += chunk.length;
    return bytes;
  };
}

/** A stream that does nothing but give so many chunks for each that it is given. */
function idle(each: number): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(chunk, controller) {
      for (let i = 0; i < each; i++) controller.enqueue(chunk);
    },
  });
}

function size(bytes: number): string {
  if (bytes < KIB) return `${bytes} B`;
  return bytes < MIB ? `${bytes / KIB} KiB` : `${bytes / MIB} MiB`;
}
