/** @module Tests of framing.ts. Each form of the decoder is compared with a reference. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { Buffer } from "node:buffer";
import {
  type BinaryData,
  type Bytes,
  decodeHeader,
  encodeFrame,
  FrameDecoder,
  FrameDecoderStream,
  FrameEncoderStream,
  FrameReader,
  FrameWriter,
  FramingError,
  type FramingOptions,
} from "./framing.ts";

const LARGEST = 9_999_999_999;
const DEFAULT_LIMIT = 8 * 1024 * 1024;
const HEADER = /^(0|[1-9][0-9]*) *$/; // A header, or the beginning of one

type Facts = Partial<Omit<FramingError, keyof Error>>;

/** Decodes a whole stream. Slow, and obviously right. */
function reference(stream: Uint8Array, maxFrameLength = DEFAULT_LIMIT) {
  const payloads: Uint8Array[] = [];
  let facts: Facts | undefined;
  let offset = 0;
  while (facts === undefined && offset < stream.length) {
    const received = stream.length - offset;
    const header = toText(stream.subarray(offset, offset + 10));
    const length = Number(header);
    const expected = received < 10 ? 10 : 10 + length;
    if (!HEADER.test(header)) {
      facts = { code: "INVALID_HEADER", offset, header };
    } else if (received >= 10 && length > maxFrameLength) {
      facts = { code: "FRAME_TOO_LARGE", offset, length, maxFrameLength };
    } else if (received < expected) {
      facts = { code: "UNEXPECTED_EOF", offset, received, expected };
    } else {
      payloads.push(stream.subarray(offset + 10, offset + expected));
      offset += expected;
    }
  }
  return { payloads, facts };
}

/** Decodes a stream that arrives in chunks. The payloads are kept and must not change. */
type Decode = (
  chunks: Uint8Array[],
  options: FramingOptions,
) => AsyncIterable<Uint8Array>;

/** Every form of the decoder: FrameDecoder is what FrameDecoderStream decodes with. Chunks lie between other bytes and are overwritten after use. */
const FORMS: Record<string, Decode> = {
  FrameReader: (chunks, options) => new FrameReader(sourceOf(chunks), options),
  async *"FrameReader.next"(chunks, options) {
    const frames = new FrameReader(iterableOf(chunks), options);
    while (await frames.fill()) {
      // With `if`, `fill` must not read while a whole frame waits.
      if (frames.next()) yield frames.bytes.slice(frames.start, frames.end);
    }
  },
  FrameDecoderStream: (chunks, options) =>
    ReadableStream.from(iterableOf(chunks))
      .pipeThrough(new FrameDecoderStream(options)),
};

/** Checks that a form of the decoder makes of a stream what the reference does. */
async function check(decode: Decode, chunks: Uint8Array[], limit?: number) {
  const { payloads, facts } = reference(join(chunks), limit);
  const decoded = await collect(decode(chunks, { maxFrameLength: limit }));
  assertEquals(decoded.chunks.map(toText), payloads.map(toText));
  assertEquals(decoded.error && factsOf(decoded.error, facts), facts);
  assert(/^[ -~]+$/.test(String(decoded.error)), "Safe to print anywhere");
}

/** Bytes at a frame boundary that are not a header. */
const BAD_HEADERS = [
  ..."+1 -1 01 00 0000000001 / : 1/ 1: 1.0 1,000 1e3 0x10 NaN \xb9 \x7f \x9b31m HTTP/1.1"
    .split(" ").map((text) => text.padEnd(10)),
  ...[" 1        ", "         1", "1 1       ", "1       1 ", "1        1"],
  ...["12345 1   ", "          ", "1        \n", "\0".repeat(10)],
  ..."\0\t\xa0".split("").map((padding) => "1".padEnd(10, padding)),
];

/** Lengths, and the limits that they are compared with. */
const LIMITS = [
  ...[[0, 0], [1, 0], [1, 1], [2, 1], [5000, 5000], [5001, 5000]],
  ...[[LARGEST, LARGEST - 1], [LARGEST - 1, LARGEST]],
  ...[[DEFAULT_LIMIT], [DEFAULT_LIMIT + 1]],
];

for (const [form, decode] of Object.entries(FORMS)) {
  Deno.test(`${form} makes of any stream what the reference does, however it is cut`, async () => {
    const stream = toBytes("3         one0         5         a 2nd");
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        const chunks = cutAt(stream, [first, second]);
        await check(decode, chunks);
        await check(decode, chunks.slice(0, 2)); // Truncated
      }
    }
    for (let seed = 0; seed < 300; seed++) {
      const { chunks, limit } = anyStream(seed);
      await check(decode, chunks, limit);
    }
  });

  Deno.test(`${form} rejects a bad header, and accepts a length up to the limit`, async () => {
    // Spaces on both sides could be taken for those of the header.
    const spaces = " ".repeat(90);
    for (const header of BAD_HEADERS) {
      const stream = toBytes("90        " + spaces + header + spaces);
      for (const size of [1, 100, 101, 200]) {
        await check(decode, cutEvery(stream, size));
      }
    }
    for (const [length, limit] of LIMITS) {
      const header = toBytes("0         " + String(length).padEnd(10));
      const payload = new Uint8Array(length > 5001 ? 1 : length);
      await check(decode, cutEvery(header, 1), limit);
      await check(decode, [join([header, payload])], limit);
    }
  });
}

Deno.test("encodeFrame puts the length in bytes before the payload, and decodeHeader reads it", () => {
  for (const text of ["", "Hello", "ü", "€", "😀", "\ud800", "a\udc00b"]) {
    const bytes = new TextEncoder().encode(text);
    const expected = String(bytes.length).padEnd(10) + toText(bytes);
    const frames = [encodeFrame(text), encodeFrame(bytes)];
    bytes.fill(0); // The frame has memory of its own.
    assertEquals(frames.map(toText), [expected, expected]);
  }
  for (let power = 1; power <= LARGEST; power *= 10) {
    for (const length of [power - 1, power, power * 9]) {
      const header = String(length).padEnd(10);
      const options = { maxFrameLength: length };
      assertEquals(decodeHeader(toBytes(header), options), length);
      if (length > 1_000_000) continue;
      const frame = encodeFrame(new Uint8Array(length), options);
      assertEquals(toText(frame.subarray(0, 10)), header);
    }
  }
});

Deno.test("encodeFrame and FrameWriter refuse a payload over the limit, and the writer stays as it was", () => {
  const options = { maxFrameLength: 5 };
  const frames = new FrameWriter(sinkOf(), options);
  const add = (payload: string | Bytes) => frames.add(payload);
  const encode = (payload: string | Bytes) => encodeFrame(payload, options);
  for (const call of [add, encode]) {
    for (const payload of ["üaü", "12345", toBytes("12345")]) call(payload);
    for (const payload of ["üüü", "123456", toBytes("123456")]) {
      const facts = factsOf(assertThrows(() => call(payload)));
      const expected = { offset: 0, length: 6, maxFrameLength: 5 };
      assertEquals(facts, { code: "FRAME_TOO_LARGE", ...expected });
    }
  }
  assertEquals(frames.size, 45);
});

Deno.test("decodeHeader rejects a header with any one byte changed, cut, or over the limit", () => {
  for (const length of ["0", "7", "29", "345", "1024", "56789", "1000000000"]) {
    for (let i = 0; i < 256 * 10; i++) {
      const bytes = toBytes(length.padEnd(10) + "and more");
      bytes[i >> 8] = i & 0xff;
      const header = toText(bytes.subarray(0, 10));
      const decode = () => decodeHeader(bytes, { maxFrameLength: LARGEST });
      if (HEADER.test(header)) assertEquals(decode(), Number(header));
      else assertEquals(assertThrows(decode, FramingError).header, header);
    }
  }
  for (const header of ["2", "29       ", "9999999999"].map(toBytes)) {
    const { facts } = reference(header);
    assertEquals(factsOf(assertThrows(() => decodeHeader(header))), facts);
  }
});

type Enter = (data: BinaryData, options: FramingOptions) => unknown;

/** Every way for bytes to get in. Each returns what it made of them. */
const DOORS: Record<string, Enter> = {
  decodeHeader: (data, options) => decodeHeader(data, options) === 2 && "hi",
  FrameDecoder: (data, options) =>
    new FrameDecoder(options).push(data).map(toText).join(),
  FrameReader: (data, options) =>
    textOf(new FrameReader(streamOf(data), options)),
  FrameDecoderStream: (data, options) =>
    textOf(streamOf(data).pipeThrough(new FrameDecoderStream(options))),
  encodeFrame: (data, options) => toText(encodeFrame(data, options)),
  async FrameWriter(data, options) {
    const sink = sinkOf();
    const frames = new FrameWriter(sink, options);
    frames.add(data);
    await frames.flush();
    return toText(join(sink.writes));
  },
  FrameEncoderStream: (data, options) =>
    textOf(streamOf(data).pipeThrough(new FrameEncoderStream(options))),
};

for (const [name, enter] of Object.entries(DOORS)) {
  Deno.test(`${name} takes bytes of any kind and any limit, and throws for anything else`, async () => {
    const frame = toBytes("2         hi");
    const padded = join([toBytes("last"), frame, toBytes("no")]);
    const shared = new SharedArrayBuffer(12);
    new Uint8Array(shared).set(frame);
    const kinds: BinaryData[] = [
      ...[frame.buffer, Buffer.from(frame), padded.subarray(4, 16), shared],
      ...[new Uint8Array(shared), new DataView(padded.buffer, 4, 12)],
      new Int32Array(padded.slice(0, 16).buffer, 4),
    ];
    const isEncoder = /encode|Encoder|Writer/.test(name);
    const expected = isEncoder ? "12        2         hi" : "hi";
    const entering = async (data: unknown, maxFrameLength?: unknown) =>
      await enter(data as BinaryData, { maxFrameLength } as FramingOptions);
    for (const kind of kinds) assertEquals(await entering(kind), expected);
    for (const limit of [12, LARGEST]) {
      assertEquals(await entering(frame, limit), expected);
    }
    for (const limit of [-1, 0.5, NaN, Infinity, LARGEST + 1, "12", null]) {
      await assertRejects(() => entering(frame, limit), RangeError);
    }

    const gone = toBytes("2         hi");
    gone.buffer.transfer();
    const resizable = new ArrayBuffer(12, { maxByteLength: 12 });
    const wrong: unknown[] = [
      ...[gone, gone.buffer, new Uint8Array(resizable, 0, 12)],
      ...[new Uint16Array(resizable, 4), new DataView(resizable, 4)],
      ...[null, undefined, 5, true, [50, 32], {}, new Blob(["2"])],
      ...[Object("text"), isEncoder ? {} : "2         hi"],
      { [Symbol.toStringTag]: "ArrayBuffer", byteLength: 3 },
    ];
    resizable.resize(2);
    for (const value of wrong) {
      await assertRejects(() => entering(value), TypeError);
    }
  });
}

const reset = new Error("reset");

/** How a source or a sink fails: with an error, or an impossible count of bytes. */
const FAULTS = [
  () => Promise.reject(reset),
  ...[0, -1, 0.5, NaN, Infinity, 2 ** 40, undefined, true, "3", {}]
    .map((count) => () => Promise.resolve(count as number)),
];

Deno.test("FrameDecoder throws its first error at once and for good, after the payloads", () => {
  const good = toBytes("2         hi0         ");
  for (const bad of ["1x", "9999999999", "3         t", "3"].map(toBytes)) {
    for (const chunks of [[good, bad], [join([good, bad])]]) {
      const decoder = new FrameDecoder();
      assertEquals(decoder.push(chunks[0]).map(toText), ["hi", ""]);
      const error = assertThrows(() => {
        decoder.push(chunks[1] ?? new Uint8Array());
        if (bad[0] === 0x33) decoder.end(); // What begins with 3 is only cut.
      }, FramingError);
      assertEquals(error.offset, 22);
      assert(assertThrows(() => decoder.push(good)) === error);
      assert(assertThrows(() => decoder.end()) === error);
    }
  }
  const ended = new FrameDecoder();
  ended.end();
  assertThrows(() => ended.push(good), TypeError);
});

Deno.test("FrameReader fails at once and for good, after it has delivered what arrived whole", async () => {
  for (const fault of [...FAULTS, "x", "9999999999", "3         t"]) {
    const [rest, fail] = typeof fault === "string" ? [fault] : ["", fault];
    const stream = toBytes("3         one3         two" + rest);
    // After the fault, the source would go on.
    const source = sourceOf(fail ? [stream, encodeFrame("lost")] : [stream]);
    let reads = 0;
    const frames = new FrameReader({
      read: (room) => ++reads === 2 && fail ? fail() : source.read(room),
    });
    const { chunks, error } = await collect(frames);
    assertEquals(chunks.map(toText), ["one", "two"]);
    assertEquals(reads, fail || rest.endsWith("t") ? 2 : 1);
    const type = fail ? TypeError : FramingError;
    if (error !== reset) assertInstanceOf(error, type);
    assert(await assertRejects(() => frames.read()) === error);
    assert(await assertRejects(() => frames.fill()) === error);
    assert(assertThrows(() => frames.next()) === error);
    assert((await collect(frames)).error === error);
  }
  const failing = new FrameReader({ read: () => Promise.reject(reset) });
  assert(await assertRejects(() => failing.fill()) === reset);
});

Deno.test("FrameWriter fails for good with its sink, and writes nothing after half a frame", async () => {
  for (const fail of FAULTS) {
    const writes: string[] = [];
    const frames = new FrameWriter({
      // After the fault, the sink would go on.
      write(bytes) {
        writes.push(toText(bytes));
        return writes.length === 2 ? fail() : Promise.resolve(5);
      },
    });
    frames.add("one");
    const flushing = frames.flush();
    await undefined;
    frames.add("two");
    const error = await assertRejects(() => flushing);
    if (error !== reset) assertInstanceOf(error, TypeError);
    assert(assertThrows(() => frames.add("three")) === error);
    assert(await assertRejects(() => frames.flush()) === error);
    assertEquals(writes, ["3         one", "     one"]);
  }
});

Deno.test("FrameDecoder does not copy a payload that lies whole in its chunk", () => {
  const chunk = toBytes("..       one5000      ".padEnd(6000)).subarray(2);
  const decoder = new FrameDecoder();
  decoder.push(toBytes("3  ")); // The header need not lie in it.
  const payloads = decoder.push(chunk);
  assertEquals(payloads.map(({ byteOffset }) => byteOffset), [9, 22]);
  for (const { buffer } of payloads) assert(buffer === chunk.buffer);
  // `slice` of a Buffer would not copy.
  const [payload] = new FrameDecoder().push(Buffer.from("2         hi"));
  assertEquals(Object.getPrototypeOf(payload), Uint8Array.prototype);
});

Deno.test("FrameDecoder takes memory in proportion to what arrives, for single bytes of a long payload too", () => {
  for (const length of [100, 4096, 5000, 30_000, 2 ** 18]) {
    for (const size of [1, 100, 1000, 70_000]) {
      const decoder = new FrameDecoder();
      let [arrived, sum] = [0, 0];
      for (const chunk of cutEvery(encodeFrame(new Uint8Array(length)), size)) {
        const allocated = allocatedBy(() => decoder.push(chunk));
        arrived += chunk.length;
        assert(allocated <= Math.max(4096, 16 * arrived), `${allocated}`);
        sum += allocated;
      }
      assert(sum < 1.2 * length + 4096, `${sum} bytes for ${length}`);
    }
  }
});

Deno.test("FrameDecoderStream's payloads have memory of their own, to change or to transfer", async () => {
  const lengths = [0, 3, 0, 3000, 3000, 1, 6, 6, 64, 65, 5000, 70_000, 5];
  const expected = lengths.map((length, i) => new Uint8Array(length).fill(i));
  const stream = join(expected.map((payload) => encodeFrame(payload)));
  for (const size of [1, 7, 500, 4096, 10_000, 100_000]) {
    const payloads = FORMS.FrameDecoderStream(cutEvery(stream, size), {});
    const { chunks } = await collect(payloads);
    chunks.forEach((payload, i) => {
      assertSame([payload], [expected[i]]);
      assertEquals(payload.buffer.byteLength, payload.length);
      if (i % 2) payload.fill(0xff);
      else (payload.buffer as ArrayBuffer).transfer();
    });
  }
});

Deno.test("FrameReader loses nothing if its loops are left, and does not close its source", async () => {
  const texts = ["one", "two", "", "three", "four"];
  for (const size of [1, 14, 1000]) {
    const stream = join(texts.map((text) => encodeFrame(text)));
    // A generator that was closed would yield no more.
    const frames = new FrameReader(iterableOf(cutEvery(stream, size)));
    const received: string[] = [];
    const take = (payload: Uint8Array) => received.push(toText(payload));
    for await (const payload of frames) if (take(payload) === 2) break;
    take((await frames.read())!);
    for await (const payload of frames) take(payload);
    assertEquals(received, texts);
    assertEquals(await frames.read(), null);
    assertEquals([await frames.fill(), frames.next()], [false, false]);
  }
});

Deno.test("FrameReader.read stops waiting when its signal aborts, and the next call returns what arrives later", async () => {
  const { readable, writable } = new TransformStream<Uint8Array>();
  const writer = writable.getWriter();
  const arrive = (text: string) => {
    writer.write(toBytes(text));
    return aWhile();
  };
  const frames = new FrameReader(readable);
  for (const part of ["", "3     ", "    on"]) {
    const controller = new AbortController();
    const reading = frames.read({ signal: controller.signal });
    await arrive(part);
    controller.abort(reset);
    assert(await assertRejects(() => reading) === reset);
  }
  const { signal } = new AbortController();
  let listeners = 0;
  signal.addEventListener = () => listeners++;
  signal.removeEventListener = () => listeners--;
  const reading = frames.read({ signal });
  assertEquals(listeners, 1);
  await arrive("e2         ab");
  assertEquals(toText((await reading)!), "one");
  assertEquals(listeners, 0);
  const aborted = { signal: AbortSignal.abort(reset) };
  assert(await assertRejects(() => frames.read(aborted)) === reset);
  assertEquals(toText((await frames.read({ signal }))!), "ab");
});

Deno.test("FrameReader.read notices a signal that aborts as the source begins to read, and a later failure", async () => {
  const controller = new AbortController();
  const failing = Promise.withResolvers<number>();
  const read = () => {
    controller.abort();
    return failing.promise;
  };
  const frames = new FrameReader({ read });
  await assertRejects(() => frames.read(controller), DOMException);
  failing.reject(reset); // Nobody waits, and yet it is no unhandled rejection.
  await aWhile();
  assert(await assertRejects(() => frames.read()) === reset);
});

Deno.test("FrameReader refuses a read during another, so that none overtakes it", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let arrived: Promise<number>;
  const read = (room: Uint8Array) =>
    arrived = promise.then(() => {
      room.set(toBytes("3         one3         two"));
      return 26;
    });
  const frames = new FrameReader({ read });
  const iterator = frames[Symbol.asyncIterator]();
  const reading = frames.read();
  assert(frames.fill() === frames.fill(), "Both wait for the same read");
  await assertRejects(() => frames.read(), TypeError);
  await assertRejects(() => iterator.next(), TypeError);
  // Runs when the bytes are there, and before the read goes on.
  const overtaking = arrived!.then(() => iterator.next());
  resolve();
  await assertRejects(() => overtaking, TypeError);
  assertEquals(toText((await reading)!), "one");
  assertEquals(toText((await iterator.next()).value), "two");
});

Deno.test("FrameReader throws TypeError if a payload was transferred, and others with it, or a chunk", async () => {
  for (const rest of ["", "3         two", "3       "]) {
    const chunks = [toBytes("3         one" + rest), encodeFrame("more")];
    const frames = new FrameReader(sourceOf(chunks));
    (await frames.read())!.buffer.transfer();
    await assertRejects(() => frames.read(), TypeError);
    await assertRejects(() => frames.read(), TypeError);
  }
  const chunk = join(Array(9).fill(encodeFrame(new Uint8Array(1000))));
  const frames = new FrameReader(ReadableStream.from([chunk]));
  await frames.read();
  chunk.buffer.transfer();
  await assertRejects(() => Array.fromAsync(frames), TypeError);
});

Deno.test("FrameWriter writes text and bytes in any order as encodeFrame does, to a sink that takes parts", async () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = randomOf(seed);
    const sink = sinkOf([1000, 7777, Infinity][random(3)]);
    const frames = new FrameWriter(sink);
    const expected: Uint8Array[] = [];
    for (let i = random(20); i > 0; i--) {
      const payload = anyContent(random);
      expected.push(encodeFrame(payload));
      frames.add(payload);
      if (payload instanceof Uint8Array) payload.fill(0);
      const flushing = random(3) ? undefined : frames.flush();
      if (random(2)) await flushing;
    }
    await frames.flush();
    assertSame(sink.writes, expected);
  }
});

Deno.test("FrameWriter tells how many bytes wait, and is full from 64 KiB on", async () => {
  const sink = sinkOf();
  const frames = new FrameWriter(sink);
  frames.add("ü");
  assertEquals(frames.size, 12);
  frames.add("x".repeat(65_536 - 12 - 10 - 1));
  assertEquals([frames.isFull, frames.size], [false, 65_535]);
  frames.add(new Uint8Array());
  assertEquals([frames.isFull, frames.size], [true, 65_545]);
  await Promise.all([frames.flush(), frames.flush()]);
  assertEquals([frames.isFull, frames.size, sink.writes.length], [false, 0, 1]);
});

Deno.test("FrameWriter takes frames while it flushes, and keeps their order", async () => {
  const log: unknown[] = [];
  let finishWrite = () => {};
  const frames = new FrameWriter({
    async write(bytes) {
      await new Promise<void>((resolve) => finishWrite = resolve);
      log.push(toText(bytes));
      return bytes.length;
    },
  });
  const flush = (id: number) => frames.flush().then(() => log.push(id));
  frames.add("a");
  flush(1);
  await aWhile();
  frames.add("b");
  flush(2);
  frames.add("c"); // Before the second write begins, so part of it
  finishWrite();
  await aWhile();
  flush(3); // With nothing added, it waits for the write under way.
  finishWrite();
  await aWhile();
  assertEquals(log, ["1         a", 1, "1         b1         c", 2, 3]);
});

Deno.test("FrameEncoderStream sends a lone frame at once, and all that was written before it was closed", async () => {
  const { readable, writable } = new FrameEncoderStream();
  const reader = readable.getReader();
  const writer = writable.getWriter();
  for (const payload of ["", "onë", new Uint8Array(300_000)]) {
    const reading = reader.read();
    await writer.write(payload);
    assertSame([(await reading).value!], [encodeFrame(payload)]);
  }
  for (const isLast of [false, true]) {
    for (const payload of ["a", "b"]) writer.write(payload);
    if (isLast) writer.close();
    if (isLast) await assertRejects(() => writer.write("late"), TypeError);
    assertEquals(
      toText((await reader.read()).value!),
      "1         a1         b",
    );
  }
});

Deno.test("FrameEncoderStream delivers the frames before a payload that is refused, in memory of their own", async () => {
  const options = { maxFrameLength: 5000 };
  const full = "x".repeat(5000);
  for (const next of [full + "x", new Uint8Array(5001), null, full]) {
    const payloads = ["", "onë", toBytes("two"), full, next as string, "after"];
    const expected = await collect(async function* () {
      for (const payload of payloads) yield encodeFrame(payload, options);
    }());
    for (const isWritten of [false, true]) {
      const stream = new FrameEncoderStream(options);
      const writing = ReadableStream.from(payloads).pipeTo(stream.writable)
        .catch((error) => error);
      if (isWritten) await aWhile();
      const { chunks, error } = await collect(stream.readable, true);
      assertSame(chunks, expected.chunks);
      for (const { buffer, length } of chunks) {
        assertEquals(buffer.byteLength, length);
      }
      assert(await writing === error, "Both ends have the same error");
      assertEquals(String(error), String(expected.error));
    }
  }
});

Deno.test("FrameDecoderStream delivers what arrived whole to a slow consumer, then the error of its source", async () => {
  for (const size of [1, 13, 30, 100]) {
    const source = ReadableStream.from((async function* () {
      yield* cutEvery(toBytes("3         one0         3         two"), size);
      throw reset;
    })());
    const payloads = source.pipeThrough(new FrameDecoderStream());
    const { chunks, error } = await collect(payloads, true);
    assertEquals(chunks.map(toText), ["one", "", "two"]);
    assert(error === reset);
  }
});

Deno.test("FrameDecoderStream fails without waiting for what follows a bad frame, and may be left before it", async () => {
  for (const isLeft of [true, false]) {
    const { readable, writable } = new FrameDecoderStream();
    const reader = readable.getReader();
    const writing = writable.getWriter().write(toBytes("3         onex"));
    const failing = writing.catch((error) => error);
    assertEquals(toText((await reader.read()).value!), "one");
    if (isLeft) await reader.cancel();
    else assert(await assertRejects(() => reader.read()) === await failing);
    assertInstanceOf(await failing, FramingError);
  }
});

for (const Stream of [FrameEncoderStream, FrameDecoderStream]) {
  Deno.test(`${Stream.name} makes its source wait, and cancels it`, async () => {
    let pulled = 0;
    const cancelled = Promise.withResolvers<void>();
    const frame = encodeFrame(new Uint8Array(990));
    const source = new ReadableStream({
      pull: (output) => output.enqueue((pulled++, frame)),
      cancel: () => cancelled.resolve(),
    }, { highWaterMark: 0 });
    const piped = source.pipeThrough(new Stream());
    for (let i = 0; i < 20; i++) await aWhile();
    // 64 KiB of frames and 8 KiB of payloads, or a chunk and the next
    const most = Stream === FrameEncoderStream ? 66 + 9 : 2;
    assert(pulled <= most, `${pulled}`);
    await piped.cancel();
    await cancelled.promise;
  });
}

Deno.test("framing.ts can be imported without Web Streams", async () => {
  const { TransformStream } = globalThis;
  Reflect.deleteProperty(globalThis, "TransformStream");
  try {
    const { encodeFrame } = await import("./framing.ts#alone");
    assertEquals(toText(encodeFrame("hi")), "2         hi");
  } finally {
    globalThis.TransformStream = TransformStream;
  }
});

/** Returns a stream of good and bad parts, cut at random, the same for the same seed. */
function anyStream(seed: number) {
  const random = randomOf(seed);
  const stream = join(
    Array.from({ length: random(7) }, () => encodeFrame(anyPayload(random))),
  );
  // Sometimes a byte is altered, or the end is missing.
  if (random(3) === 0) stream[random(stream.length)] = anyDigit(random);
  const all = random(3) ? stream : stream.subarray(0, random(stream.length));
  const places = Array.from({ length: random(9) }, () => random(all.length));
  const size = Math.max(1 + random(random(2) ? 30 : 5000), all.length >> 12);
  return {
    chunks: random(2) ? cutAt(all, places) : cutEvery(all, size),
    limit: [0, 10, 1024, LARGEST][random(16)], // or the default
  };
}

/** Returns bytes, some like headers, often about as many as a buffer holds. */
function anyPayload(random: Random): Bytes {
  const bound = [64, 64, 4096, 4096, 65_536, 262_144][random(6)];
  const long = random(8) ? random(6000) : bound - 11 + random(23);
  const length = random(2) ? random(40) : long;
  const isText = random(2);
  return new Uint8Array(length)
    .map(() => isText ? anyDigit(random) : random(256));
}

/** Returns bytes, or a text of any UTF-16 units: ASCII, more, pairs, and lone surrogates. */
function anyContent(random: Random): string | Bytes {
  if (random(2)) return anyPayload(random);
  const [first, count] = [[0, 0x80], [0, 0x10000], [0xd7f0, 0x820]][random(3)];
  const length = random(random(4) ? 30 : 1200);
  const units = Array.from({ length }, () => first + random(count));
  return String.fromCharCode(...units);
}

function anyDigit(random: Random): number {
  return "0129    +x\0".charCodeAt(random(11));
}

type Random = (below: number) => number;

/** Returns a generator of integers from 0 to below its argument. */
function randomOf(seed: number): Random {
  let state = seed;
  return (below) => {
    state = Math.imul(state, 1103515245) + 12345 >>> 0;
    return (state >>> 8) % below;
  };
}

/** Cuts a stream at these places, in any order. The same place twice makes an empty chunk. */
function cutAt(stream: Uint8Array, places: number[]): Uint8Array[] {
  const ends = [...places.toSorted((a, b) => a - b), stream.length];
  return ends.map((end, i) => stream.subarray(ends[i - 1] ?? 0, end));
}

function cutEvery(stream: Uint8Array, size: number): Uint8Array[] {
  const length = Math.ceil(stream.length / size);
  const cut = (at: number) => stream.subarray(at, at + size);
  return Array.from({ length }, (_, i) => cut(i * size));
}

/** Returns a source whose reads bring one chunk each, or as much of it as fits, and other bytes after it. It checks that the buffer is not large for what has arrived. */
function sourceOf(chunks: Uint8Array[]) {
  const rest = chunks.filter(({ length }) => length > 0);
  let arrived = 0;
  return {
    async read(buffer: Uint8Array): Promise<number | null> {
      await undefined;
      const { byteLength } = buffer.buffer;
      const most = Math.min(16 * arrived, 300_000); // No frame here is longer.
      assert(byteLength <= Math.max(4096, most), `${byteLength}`);
      if (rest.length === 0) return null;
      const part = rest[0].subarray(0, buffer.length);
      buffer.set(part);
      buffer.fill(0x39, part.length, part.length + 16);
      arrived += part.length;
      rest[0] = rest[0].subarray(part.length);
      if (rest[0].length === 0) rest.shift();
      return part.length;
    },
  };
}

/** Yields chunks that lie between other bytes, which could be headers, and are overwritten after use. */
async function* iterableOf(chunks: Uint8Array[]) {
  for (const chunk of chunks) {
    const memory = new Uint8Array(1 + chunk.length + 16).fill(0x39);
    memory.set(chunk, 1);
    yield memory.subarray(1, 1 + chunk.length);
    memory.fill(0x39);
  }
}

/** Returns a sink that takes at most `most` bytes with each write. */
function sinkOf(most = Infinity) {
  const writes: Uint8Array[] = [];
  return {
    writes,
    async write(bytes: Uint8Array) {
      await undefined;
      writes.push(bytes.slice(0, most));
      return Math.min(most, bytes.length);
    },
  };
}

function streamOf(chunk: BinaryData): ReadableStream<BinaryData> {
  return ReadableStream.from([chunk]);
}

/** Reads a stream to its end or its error. */
async function collect(stream: AsyncIterable<Uint8Array>, isSlow = false) {
  const chunks: Uint8Array[] = [];
  let error: unknown;
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      if (isSlow) await aWhile();
    }
  } catch (reason) {
    error = reason;
  }
  return { chunks, error };
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  return toText(join(await Array.fromAsync(chunks)));
}

/** Returns how much memory `work` allocates, collected or not. */
function allocatedBy(work: () => void): number {
  const original = Uint8Array;
  let sum = 0;
  globalThis.Uint8Array = new Proxy(original, {
    construct(target, args) {
      if (typeof args[0] === "number") sum += args[0];
      return Reflect.construct(target, args);
    },
  });
  work();
  globalThis.Uint8Array = original;
  return sum;
}

/** Returns the fields of an error that apply. How much of a bad header had arrived depends on the cuts. */
function factsOf(error: unknown, expected?: Facts): Facts {
  assertInstanceOf(error, FramingError);
  const facts = JSON.parse(JSON.stringify({ ...error, name: undefined }));
  const { header } = facts;
  const isPart = expected?.header?.startsWith(header) && !HEADER.test(header);
  return isPart ? { ...facts, header: expected!.header } : facts;
}

/** Throws unless two lists of chunks join to the same bytes. */
function assertSame(chunks: Uint8Array[], expected: Uint8Array[]): void {
  assert(Buffer.concat(chunks).equals(Buffer.concat(expected)));
}

/** Returns the bytes of a text in which each character is a byte. */
function toBytes(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function join(chunks: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(chunks));
}

/** Lets everything happen that is ready to. */
function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
