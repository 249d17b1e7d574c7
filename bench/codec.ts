/**
 * `deno task bench`: what decoders and streams of frames cost inside one process,
 * compared with packages on npm, with Go, and with a `TransformStream` that does
 * nothing. Every measurement is a process: this program with the name of one
 * benchmark.
 *
 * @module
 */

import {
  encodeFrame,
  FrameDecoder,
  FrameDecoderStream,
  FrameEncoderStream,
  FrameReader,
  HEADER_LENGTH,
} from "../framing.ts";
import { peers } from "./peers/npm.ts";
import { buildGo, compare, folder, median, type Round } from "./rounds.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

interface Benchmark {
  /** The group of benchmarks that it is compared with. */
  group: string;
  name: string;
  /** Runs the benchmark once. Returns how many payloads it handled. */
  run(): Promise<number>;
  /** For decoders: how the payloads arrive. */
  stream?: Stream;
}

/** A stream of frames in memory, cut into chunks. */
interface Stream {
  /** Length of each payload, in bytes. */
  length: number;
  /** Number of payloads. */
  count: number;
  /** Length of each chunk, in bytes. */
  chunk: number;
  /** How many times the stream is decoded. It is short enough to stay in the processor's caches, like bytes that have just arrived. */
  times: number;
}

const benchmarks: Benchmark[] = [];

for (
  const stream of [
    { length: 29, count: 6720, chunk: 64 * KIB, times: 16 },
    { length: KIB, count: 250, chunk: 64 * KIB, times: 64 },
    { length: 64 * KIB, count: 16, chunk: 64 * KIB, times: 32 },
    { length: MIB, count: 4, chunk: 64 * KIB, times: 8 },
    { length: 29, count: 18_000, chunk: 16, times: 1 },
    { length: MIB, count: 1, chunk: 16, times: 1 },
    { length: 29, count: 2000, chunk: 1, times: 1 },
  ]
) {
  const { length, chunk } = stream;
  const count = stream.count * stream.times;
  const name = `decode ${size(length)} in chunks of ${size(chunk)}`;
  const add = group(name, count, stream);
  const frames = () => cut(header(length), stream);
  add("FrameDecoder", count * length, frames, decode);
  add("FrameReader.next", count * length, frames, read);
  add("FrameReader", count * length, frames, iterate);
  for (const { name, header, decode } of peers) {
    // Quadratic in the number of chunks: this would take minutes.
    if (name.includes("frame-stream") && length / chunk > 1000) continue;
    const frames = () => cut(header(length), stream);
    add(name, count * length, frames, decode);
  }
}

for (const [length, count] of [[29, 6720], [KIB, 250], [64 * KIB, 16]]) {
  const stream = { length, count, chunk: 64 * KIB, times: 8 };
  const total = count * stream.times;
  const add = group(`decode ${size(length)} in a Web Stream`, total);
  const frames = () => cut(header(length), stream);
  const each = Math.round(64 * KIB / (HEADER_LENGTH + length));
  const bare = () => idle(each);
  add(`bare, 1 chunk in, ${each} out`, undefined, frames, through(bare));
  const decoder = () => new FrameDecoderStream();
  add("FrameDecoderStream", total * length, frames, through(decoder));
}

for (const [length, count] of [[29, 3000], [64 * KIB, 500]]) {
  const add = group(`encode ${size(length)} in a Web Stream`, count);
  const expected = count * (HEADER_LENGTH + length);
  const payloads = () => Array(count).fill(new Uint8Array(length));
  const bare = () => idle(1);
  add("bare, 1 chunk in, 1 out", undefined, payloads, through(bare));
  const encoder = () => new FrameEncoderStream();
  add("FrameEncoderStream", expected, payloads, through(encoder));
}

/**
 * Begins a group of benchmarks, which are compared with the first of them. Each
 * takes an input and returns how many bytes came out, which is checked.
 */
function group(group: string, count: number, stream?: Stream) {
  return <Input>(
    name: string,
    expected: number | undefined,
    prepare: () => Input,
    run: (input: Input) => number | Promise<number>,
  ): void => {
    let input: Input | undefined;
    benchmarks.push({
      group,
      name,
      stream,
      async run() {
        const bytes = await run(input ??= prepare());
        if (expected !== undefined && bytes !== expected) {
          throw new Error(`${name} gave ${bytes} bytes, not ${expected}`);
        }
        return count;
      },
    });
  };
}

function header(length: number): Uint8Array {
  return encodeFrame(new Uint8Array(length)).subarray(0, HEADER_LENGTH);
}

/** Returns frames of zeros with this header, in chunks. */
function cut(header: Uint8Array, stream: Stream): Uint8Array[] {
  const { length, count, chunk, times } = stream;
  const size = header.length + length;
  const bytes = new Uint8Array(count * size);
  for (let i = 0; i < count; i++) bytes.set(header, i * size);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += chunk) {
    chunks.push(bytes.subarray(at, at + chunk));
  }
  return Array(times).fill(chunks).flat();
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
  while (await frames.fill()) {
    while (frames.next()) bytes += frames.end - frames.start;
  }
  return bytes;
}

async function iterate(chunks: Uint8Array[]): Promise<number> {
  let bytes = 0;
  for await (const payload of new FrameReader(source(chunks))) {
    bytes += payload.length;
  }
  return bytes;
}

/** Returns a source that reads into the caller's buffer, as a socket does. */
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

function through(
  make: () => ReadableWritablePair<Uint8Array, Uint8Array>,
) {
  return async (chunks: Uint8Array[]): Promise<number> => {
    let bytes = 0;
    const stream = ReadableStream.from(chunks).pipeThrough(make());
    for await (const chunk of stream) bytes += chunk.length;
    return bytes;
  };
}

/** Returns a stream that only enqueues a number of chunks for each one it gets. */
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

/** How long to warm up and how long to measure, in milliseconds. Long payloads need more memory first. */
const PHASE = 200;
const LONG_PHASE = 600;
/** Length of a sample in milliseconds, long enough to include garbage collection. */
const SAMPLE = 10;

/** Returns how many payloads per second a benchmark handles. */
async function measure({ stream, run }: Benchmark): Promise<number> {
  const phase = stream && stream.length > KIB ? LONG_PHASE : PHASE;
  const rates: number[] = [];
  const start = performance.now();
  while (performance.now() < start + 2 * phase || rates.length === 0) {
    const before = performance.now();
    const isWarm = before > start + phase;
    let time = 0;
    let count = 0;
    while (time < SAMPLE) {
      count += await run();
      time = performance.now() - before;
    }
    if (isWarm) rates.push(count / time * 1000);
  }
  // Not the mean: if a virtual machine gives a process new memory, a sample can
  // take a hundred times as long.
  return median(rates);
}

/** Measures every benchmark once, and Go. */
async function measureAll(goProgram: string | undefined): Promise<Round> {
  const round: Round = {};
  const flags = ["--no-check", "--allow-env=READABLE_STREAM"];
  for (const { group, name, stream } of benchmarks) {
    const rates = round[group] ??= {};
    const args = ["run", ...flags, "codec.ts", group, name];
    rates[name] = await run(Deno.execPath(), args);
    // Go also reads into a buffer of its own.
    if (name === "FrameReader.next" && goProgram !== undefined) {
      const { length, count, chunk, times } = stream!;
      const numbers = [length, count, chunk, times].map(String);
      rates["Go, bufio"] = await run(goProgram, ["decode", ...numbers]);
    }
  }
  return round;
}

/** Returns the payloads per second that a program reports. */
async function run(program: string, args: string[]): Promise<number> {
  const { success, stdout } = await new Deno.Command(program, {
    args,
    cwd: folder,
    stderr: "inherit",
  }).output();
  if (!success) Deno.exit(1);
  return Number(new TextDecoder().decode(stdout));
}

const [groupName, name] = Deno.args;
const benchmark = benchmarks.find((b) =>
  b.group === groupName && b.name === name
);
if (benchmark !== undefined) {
  console.log(await measure(benchmark));
} else {
  const goProgram = await buildGo();
  await compare(7, () => measureAll(goProgram));
}
