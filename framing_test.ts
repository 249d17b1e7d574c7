/**
 * Tests of framing.ts. Every form of the decoder is compared with a reference of a
 * few lines.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { Buffer } from "node:buffer";
import {
  type BinaryData,
  decodeHeader,
  DEFAULT_MAX_FRAME_LENGTH,
  encodeFrame,
  FrameDecoder,
  FrameDecoderStream,
  FrameEncoderStream,
  FrameReader,
  FrameWriter,
  FramingError,
  type FramingOptions,
  HEADER_LENGTH,
} from "./framing.ts";

const KIB = 1024;
const LARGEST = 9_999_999_999;
const HEADER = /^(0|[1-9][0-9]*) *$/; // A header, or the beginning of one

/** The fields of a FramingError. */
type Failure = Partial<Omit<FramingError, keyof Error>>;

/** The content of a stream: whole payloads, and what is wrong after them. */
interface Content {
  payloads: Uint8Array[];
  failure?: Failure;
}

/** Decodes a whole stream. Slow, and obviously right. */
function reference(
  stream: Uint8Array,
  limit = DEFAULT_MAX_FRAME_LENGTH,
): Content {
  const payloads: Uint8Array[] = [];
  let offset = 0;
  const fail = (facts: Failure) => ({
    payloads,
    failure: { offset, ...facts },
  });
  while (offset < stream.length) {
    const start = offset + HEADER_LENGTH;
    const header = toText(stream.subarray(offset, start));
    const length = Number(header);
    const received = stream.length - offset;
    if (!HEADER.test(header)) return fail({ code: "INVALID_HEADER", header });
    if (received < HEADER_LENGTH) {
      return fail({ code: "UNEXPECTED_EOF", received, expected: 10 });
    }
    if (length > limit) {
      return fail({ code: "FRAME_TOO_LARGE", length, maxFrameLength: limit });
    }
    const expected = HEADER_LENGTH + length;
    if (received < expected) {
      return fail({ code: "UNEXPECTED_EOF", received, expected });
    }
    offset += expected;
    payloads.push(stream.subarray(start, offset));
  }
  return { payloads };
}

/** Decodes a stream that arrives in chunks. The payloads are kept and must not change. */
type Decode = (
  chunks: Uint8Array[],
  options?: FramingOptions,
) => AsyncIterable<Uint8Array>;

/** Every form of the decoder. Chunks lie between other bytes and are overwritten after use. */
const FORMS: Record<string, Decode> = {
  async *FrameDecoder(chunks, options) {
    const decoder = new FrameDecoder(options);
    for (const chunk of chunks) {
      const bytes = amongOthers(chunk);
      for (const payload of decoder.push(bytes)) {
        // Only a payload that lies whole in its chunk changes with it.
        yield payload.buffer === bytes.buffer ? payload.slice() : payload;
      }
      overwrite(bytes);
    }
    decoder.end();
  },
  FrameReader: (chunks, options) => new FrameReader(sourceOf(chunks), options),
  "FrameReader of an iterable": (chunks, options) =>
    new FrameReader(iterableOf(chunks), options),
  async *"FrameReader.next"(chunks, options) {
    const frames = new FrameReader(sourceOf(chunks), options);
    while (await frames.fill()) {
      while (frames.next()) yield frames.bytes.slice(frames.start, frames.end);
    }
  },
  async *FrameDecoderStream(chunks, options) {
    const { readable, writable } = new FrameDecoderStream(options);
    const writing = (async () => {
      const writer = writable.getWriter();
      writer.closed.catch(() => {}); // The same error as that of write or close
      for (const chunk of chunks) {
        const bytes = amongOthers(chunk);
        await writer.write(bytes);
        overwrite(bytes);
      }
      await writer.close();
    })().catch((error) => error);
    try {
      yield* readable;
    } catch (error) {
      assert(await writing === error, "Both ends have the same error");
      throw error;
    }
    assertEquals(await writing, undefined);
  },
};

/** Checks that a form of the decoder makes of a stream what the reference does. */
async function check(decode: Decode, chunks: Uint8Array[], limit?: number) {
  const expected = reference(join(chunks), limit);
  const payloads: Uint8Array[] = [];
  let error: unknown;
  try {
    const options = limit === undefined ? {} : { maxFrameLength: limit };
    for await (const payload of decode(chunks, options)) payloads.push(payload);
  } catch (reason) {
    error = reason;
  }
  const lengths = expected.payloads.map(({ length }) => length);
  assertEquals(payloads.map(({ length }) => length), lengths, String(error));
  assertSame(payloads, expected.payloads);
  if (expected.failure === undefined) return assertEquals(error, undefined);
  assertInstanceOf(error, FramingError);
  const { header, ...facts } = factsOf(error);
  const { header: all, ...others } = expected.failure;
  assertEquals(facts, others);
  // How much of a bad header had arrived depends on the cuts.
  if (header !== all) assert(all!.startsWith(header!) && !HEADER.test(header!));
}

/** Bytes at a frame boundary that are not a header. */
const BAD_HEADERS = [
  ..."+1 -1 01 00 0000000001 / : 1/ 1: 1.0 1,000 1e3 0x10 NaN \xb9 HTTP/1.1"
    .split(" ").map((text) => text.padEnd(HEADER_LENGTH)),
  " 1        ",
  "         1",
  "1 1       ",
  "1        1",
  "12345 1   ",
  "          ",
  "\0".repeat(HEADER_LENGTH),
  "1".padEnd(HEADER_LENGTH, "\0"),
  "1".padEnd(HEADER_LENGTH, "\t"),
  "1".padEnd(HEADER_LENGTH, "\xa0"),
  "1        \n",
];

/** A length, and the limit that it is compared with. */
const LIMITS: [number, number?][] = [
  ...[[0, 0], [1, 0], [1, 1], [2, 1], [5000, 5000], [5001, 5000]],
  ...[[LARGEST, LARGEST - 1], [LARGEST - 1, LARGEST]],
  ...[[DEFAULT_MAX_FRAME_LENGTH], [DEFAULT_MAX_FRAME_LENGTH + 1]],
] as [number, number?][];

for (const [form, decode] of Object.entries(FORMS)) {
  Deno.test(`${form} decodes a stream cut in two and in three, at every place, whole and truncated`, async () => {
    const stream = toBytes("3         one0         5         a 2nd");
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        const chunks = cutAt(stream, [first, second]);
        await check(decode, chunks);
        await check(decode, chunks.slice(0, 2));
      }
    }
  });

  Deno.test(`${form} makes of any stream what the reference does`, async () => {
    for (let seed = 0; seed < 600; seed++) {
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
      const isLong = length > DEFAULT_MAX_FRAME_LENGTH;
      const stream = join([header, new Uint8Array(isLong ? 1 : length)]);
      await check(decode, cutEvery(header, 1), limit);
      for (const cut of [0, 20]) {
        await check(decode, cutAt(stream, [cut]), limit);
      }
    }
  });
}

Deno.test("FrameDecoder and FrameReader deliver and fail with the very byte that decides", async () => {
  for (let seed = 0; seed < 300; seed++) {
    const { chunks, limit } = anyStream(seed, 40);
    const stream = join(chunks);
    const options = limit === undefined ? {} : { maxFrameLength: limit };
    const decoder = new FrameDecoder(options);
    const frames = new FrameReader(sourceOf(cutEvery(stream, 1)), options);
    let pushed = 0;
    let read = 0;
    for (let end = 1; end <= stream.length; end++) {
      const push = () => decoder.push(stream.subarray(end - 1, end)).length;
      assertEquals(await frames.fill(), true);
      const { payloads, failure } = reference(stream.subarray(0, end), limit);
      if (failure !== undefined && failure.code !== "UNEXPECTED_EOF") {
        assertThrows(push, FramingError);
        assertThrows(() => frames.next(), FramingError);
        break;
      }
      pushed += push();
      while (frames.next()) read++;
      assertEquals([pushed, read], [payloads.length, payloads.length]);
    }
  }
});

Deno.test("encodeFrame puts the length in bytes before the payload, in memory of its own", () => {
  const encoder = new TextEncoder();
  for (const text of ["", "Hello", "ü", "€", "😀", "\ud800", "a\udc00b"]) {
    const bytes = encoder.encode(text);
    const frame = String(bytes.length).padEnd(10) + toText(bytes);
    assertEquals(toText(encodeFrame(text)), frame);
    const encoded = encodeFrame(bytes);
    bytes.fill(0);
    assertEquals(toText(encoded), frame);
  }
});

Deno.test("encodeFrame and FrameWriter refuse a payload over the limit, and the writer stays as it was", async () => {
  const sink = sinkOf();
  const options = { maxFrameLength: 5 };
  const frames = new FrameWriter(sink, options);
  for (const payload of ["üaü", "12345", toBytes("12345")]) {
    assertEquals(encodeFrame(payload, options).length, 15);
    frames.add(payload);
    for (const longer of ["üüü", "123456", toBytes("123456")]) {
      const encode = () => encodeFrame(longer, options);
      for (const call of [() => frames.add(longer), encode]) {
        const facts = factsOf(assertThrows(call, FramingError));
        const code = "FRAME_TOO_LARGE";
        assertEquals(facts, { code, offset: 0, length: 6, maxFrameLength: 5 });
      }
    }
  }
  await frames.flush();
  assertEquals(reference(join(sink.writes)).payloads.length, 3);
});

Deno.test("decodeHeader reads every length, and rejects a header with any one byte changed", () => {
  const options = { maxFrameLength: LARGEST };
  for (let length = 1; length <= LARGEST; length *= 10) {
    for (const one of [length - 1, length, length * 9]) {
      const bytes = toBytes(String(one).padEnd(10));
      assertEquals(decodeHeader(bytes, options), one);
    }
  }
  for (const length of ["0", "7", "29", "345", "1024", "56789", "1000000000"]) {
    for (let i = 0; i < 256 * HEADER_LENGTH; i++) {
      const bytes = toBytes(length.padEnd(HEADER_LENGTH) + "and more");
      bytes[i >> 8] = i & 0xff;
      const header = toText(bytes.subarray(0, HEADER_LENGTH));
      const decode = () => decodeHeader(bytes, options);
      if (HEADER.test(header)) assertEquals(decode(), Number(header));
      else assertEquals(assertThrows(decode, FramingError).header, header);
    }
  }
});

Deno.test("An error says what is wrong and where, in printable ASCII", () => {
  for (const received of ["", "2", "29       ", "x", "\x9b31m", "9999999999"]) {
    const bytes = toBytes(received);
    const unknown = { offset: 0, received: 0, expected: 10 };
    const facts = reference(bytes).failure ??
      { code: "UNEXPECTED_EOF", ...unknown };
    const error = assertThrows(() => decodeHeader(bytes), FramingError);
    assertEquals(factsOf(error), facts);
    // decodeHeader does not know where in a stream it is.
    assertMatch(error.message, /^(?!.*byte \d)[ -~]+$/);
    const { message } = assertThrows(() => {
      const decoder = new FrameDecoder();
      decoder.push(join([encodeFrame("hi"), bytes, toBytes("\x7f\n\xff")]));
      decoder.end();
    }, FramingError);
    assertMatch(message, /^Cannot decode the frame at byte 12: [ -~]+$/);
  }
});

/** Every way for bytes to get in. Each returns what it made of them. */
const DOORS: Record<string, (data: BinaryData) => unknown> = {
  decodeHeader: (data) => decodeHeader(data) === 2 ? "hi" : "",
  FrameDecoder: (data) => new FrameDecoder().push(data).map(toText).join(),
  FrameReader: (data) => textOf(new FrameReader(ReadableStream.from([data]))),
  FrameDecoderStream: (data) => through(new FrameDecoderStream(), data),
  encodeFrame: (data) => toText(encodeFrame(data)),
  async FrameWriter(data) {
    const sink = sinkOf();
    const frames = new FrameWriter(sink);
    frames.add(data);
    await frames.flush();
    return toText(join(sink.writes));
  },
  FrameEncoderStream: (data) => through(new FrameEncoderStream(), data),
};
const ENCODERS = ["encodeFrame", "FrameWriter", "FrameEncoderStream"];

function through(
  stream: FrameEncoderStream | FrameDecoderStream,
  data: BinaryData,
): Promise<string> {
  return textOf(ReadableStream.from([data]).pipeThrough(stream));
}

for (const [name, enter] of Object.entries(DOORS)) {
  Deno.test(`${name} takes bytes of any kind, and throws TypeError for anything else`, async () => {
    const frame = toBytes("2         hi");
    const padded = join([toBytes("last"), frame, toBytes("no")]);
    const shared = new SharedArrayBuffer(12);
    new Uint8Array(shared).set(frame);
    const kinds: BinaryData[] = [
      ...[frame, frame.buffer, Buffer.from(frame), padded.subarray(4, 16)],
      ...[shared, new Uint8Array(shared), new Uint16Array(frame.buffer)],
      ...[new DataView(padded.buffer, 4, 12)],
    ];
    const isEncoder = ENCODERS.includes(name);
    const expected = isEncoder ? "12        2         hi" : "hi";
    for (const kind of kinds) assertEquals(await enter(kind), expected);

    const gone = toBytes("2         hi");
    transfer(gone);
    const resizable = new ArrayBuffer(12, { maxByteLength: 12 });
    const cut = [new Uint8Array(resizable, 0, 12), new DataView(resizable, 4)];
    resizable.resize(2);
    const tag = { [Symbol.toStringTag]: "ArrayBuffer", byteLength: 3 };
    const wrong: unknown[] = [gone, gone.buffer, ...cut, tag, Object("text")];
    wrong.push(null, undefined, 5, [50, 32], {}, new Blob(["2"]));
    if (!isEncoder) wrong.push("2         hi");
    for (const value of wrong) {
      const entering = async () => void await enter(value as BinaryData);
      await assertRejects(entering, TypeError);
    }
  });
}

Deno.test("Every part of framing.ts throws RangeError for a limit out of range", () => {
  const parts: ((options?: FramingOptions) => unknown)[] = [
    (options) => encodeFrame("", options),
    (options) => decodeHeader(toBytes("0         "), options),
  ];
  for (const Part of [FrameDecoder, FrameDecoderStream, FrameEncoderStream]) {
    parts.push((options) => new Part(options));
  }
  parts.push((options) => new FrameReader(sourceOf([]), options));
  parts.push((options) => new FrameWriter(sinkOf(), options));
  for (const part of parts) {
    for (const limit of [-1, 0.5, NaN, LARGEST + 1, "10", null]) {
      const maxFrameLength = limit as number;
      assertThrows(() => part({ maxFrameLength }), RangeError);
    }
    for (const maxFrameLength of [0, LARGEST]) part({ maxFrameLength });
    part();
  }
});

Deno.test("FrameDecoder throws its first error again, and takes nothing after the end", () => {
  for (const bad of ["1x", "9999999999", "3         t", "3"]) {
    const decoder = new FrameDecoder();
    const chunk = toBytes("2         hi0         " + bad);
    assertEquals(decoder.push(chunk).map(toText), ["hi", ""]);
    const error = assertThrows(() => {
      decoder.push(new Uint8Array());
      decoder.end();
    }, FramingError);
    assertEquals(error.offset, 22);
    for (let i = 0; i < 2; i++) {
      assert(assertThrows(() => decoder.push(encodeFrame("two"))) === error);
      assert(assertThrows(() => decoder.end()) === error);
    }
  }
  const ended = new FrameDecoder();
  ended.push(encodeFrame("one"));
  ended.end();
  assertThrows(() => ended.push(new Uint8Array()), TypeError);
});

Deno.test("FrameDecoder does not copy a payload that lies whole in its chunk", () => {
  const chunk = toBytes("..3         one5000      ".padEnd(6000)).subarray(2);
  const payloads = new FrameDecoder().push(chunk);
  assertEquals(payloads.map(({ byteOffset }) => byteOffset), [12, 25]);
  for (const { buffer } of payloads) assert(buffer === chunk.buffer);
  // `slice` of a Buffer would not copy.
  const [payload] = new FrameDecoder().push(Buffer.from("2         hi"));
  assertEquals(Object.getPrototypeOf(payload), Uint8Array.prototype);
});

Deno.test("FrameDecoder takes memory in proportion to what arrives, for single bytes of a long payload too", () => {
  for (const length of [100, 5000, 2 ** 20]) {
    for (const size of [1, 1000, 70_000]) {
      const decoder = new FrameDecoder();
      const chunks = cutEvery(encodeFrame(new Uint8Array(length)), size);
      let sum = 0;
      chunks.forEach((chunk, i) => {
        const allocated = allocatedBy(() => decoder.push(chunk));
        sum += allocated;
        const arrived = (i + 1) * size;
        assert(allocated <= Math.max(4 * KIB, 16 * arrived), `${allocated}`);
      });
      assert(sum < 1.2 * length + 4 * KIB, `${sum} bytes for ${length}`);
    }
  }
});

for (const form of ["FrameDecoder", "FrameDecoderStream"]) {
  Deno.test(`${form}'s payloads that were cut have memory of their own, to change or to transfer`, async () => {
    const lengths = [0, 3, 3000, 1, 6, 64, 65, 5000, 70_000, 5];
    const frames = lengths.map((length, i) =>
      encodeFrame(new Uint8Array(length).fill(i))
    );
    for (const size of [1, 7, 500, 10_000]) {
      const chunks = cutEvery(join(frames), size);
      const payloads = await Array.fromAsync(FORMS[form](chunks));
      payloads.forEach((payload, i) => {
        assertEquals(payload.length, lengths[i]);
        assert(payload.every((byte) => byte === i), `payload ${i} of ${size}`);
        assertEquals(payload.buffer.byteLength, payload.length);
        transfer(payload);
      });
    }
  });
}

Deno.test("FrameReader loses nothing if its loops are left, and never closes its source", async () => {
  const texts = ["one", "two", "", "three", "four"];
  for (const size of [1, 14, 1000]) {
    const chunks = cutEvery(join(texts.map((text) => encodeFrame(text))), size);
    const iterable = iterableOf(chunks);
    for (const source of [sourceOf(chunks), iterable]) {
      const frames = new FrameReader(source);
      const received: string[] = [];
      const take = (payload: Uint8Array) => received.push(toText(payload));
      for await (const payload of frames) if (take(payload) === 2) break;
      assertEquals(iterable.isClosed, false);
      take((await frames.read())!);
      for await (const payload of frames) take(payload);
      assertEquals(received, texts);
      for (let i = 0; i < 2; i++) {
        assertEquals(await frames.read(), null);
        assertEquals([await frames.fill(), frames.next()], [false, false]);
      }
    }
  }
});

Deno.test("FrameReader.fill reads nothing while a whole frame waits", async () => {
  const { source, arrive } = slowSource();
  const frames = new FrameReader(source);
  const filling = frames.fill();
  assert(frames.fill() === filling);
  await arrive("3         one3         two3   ");
  for (const text of ["one", "two"]) {
    assertEquals(await frames.fill(), true);
    if (frames.next()) {
      const { bytes, start, end } = frames;
      assertEquals(toText(bytes.subarray(start, end)), text);
    }
  }
  assertEquals([await frames.fill(), frames.next()], [true, false]);
  const next = frames.fill();
  await arrive("      ");
  assertEquals([await next, frames.next()], [true, false]);
});

Deno.test("FrameReader.read waits no longer than its signal says, and the next call returns what arrives later", async () => {
  const { source, arrive } = slowSource();
  const frames = new FrameReader(source);
  const reason = new Error("enough");
  for (let i = 0; i < 3; i++) {
    const controller = new AbortController();
    const reading = frames.read({ signal: controller.signal });
    await aWhile();
    if (i > 0) await arrive("3         one".slice(i * 6 - 6, i * 6));
    controller.abort(reason);
    assert(await assertRejects(() => reading) === reason);
  }
  const listeners = new Set<unknown>();
  const { signal } = new AbortController();
  signal.addEventListener = (_: string, one: unknown) => listeners.add(one);
  signal.removeEventListener = (_: string, one: unknown) => {
    listeners.delete(one);
  };
  const reading = frames.read({ signal });
  assertEquals(listeners.size, 1);
  await arrive("e2         ab");
  assertEquals(toText((await reading)!), "one");
  assertEquals(listeners.size, 0);
  const aborted = AbortSignal.abort(reason);
  const refused = await assertRejects(() => frames.read({ signal: aborted }));
  assert(refused === reason);
  assertEquals(toText((await frames.read())!), "ab");
});

Deno.test("FrameReader refuses a read during another, and nobody overtakes it", async () => {
  const { source, arrive } = slowSource();
  const frames = new FrameReader(source);
  const iterator = frames[Symbol.asyncIterator]();
  const first = frames.read();
  for (const overlapping of [() => frames.read(), () => iterator.next()]) {
    await assertRejects(overlapping, TypeError);
  }
  // Runs when the bytes are there, and before the read goes on.
  const overtaking = source.promise.then(() => iterator.next());
  const refused = assertRejects(() => overtaking, TypeError);
  await arrive("3         one3         two");
  await refused;
  assertEquals(toText((await first)!), "one");
  assertEquals(toText((await iterator.next()).value!), "two");
});

Deno.test("FrameReader fails for good, after it has delivered what arrived whole", async () => {
  for (const rest of ["reset", "x", "9999999999", "3         t"]) {
    const isReset = rest === "reset";
    const stream = toBytes(`3         one3         two${isReset ? "" : rest}`);
    // A source that is reset fails once, and would then go on.
    const source = sourceOf(isReset ? [stream, encodeFrame("lost")] : [stream]);
    const reset = new Error(rest);
    let reads = 0;
    const frames = new FrameReader({
      read: (buffer) =>
        reads++ === 1 && isReset ? Promise.reject(reset) : source.read(buffer),
    });
    const texts: string[] = [];
    const error = await assertRejects(async () => {
      for await (const payload of frames) texts.push(toText(payload));
    });
    assertEquals(texts, ["one", "two"]);
    if (isReset) assert(error === reset);
    else assertInstanceOf(error, FramingError);
    for (let i = 0; i < 2; i++) {
      assert(await assertRejects(() => frames.read()) === error);
      assert(await assertRejects(() => frames.fill()) === error);
      assert(assertThrows(() => frames.next()) === error);
    }
  }
});

Deno.test("FrameReader and FrameWriter throw TypeError for an impossible count, and for good", async () => {
  const counts = [0, undefined, NaN, -1, 0.5, 2 ** 40, "3"] as number[];
  for (const count of counts) {
    const frames = new FrameReader({ read: () => Promise.resolve(count) });
    const error = await assertRejects(() => frames.read(), TypeError);
    assert(await assertRejects(() => frames.fill()) === error);
    const full = new FrameWriter({ write: () => Promise.resolve(count) });
    full.add("one");
    const failure = await assertRejects(() => full.flush(), TypeError);
    assert(assertThrows(() => full.add("two")) === failure);
  }
});

Deno.test("FrameReader's payloads stay what they are, however many follow", async () => {
  const numbers = Array.from({ length: 20_000 }, (_, i) => i);
  const stream = join(numbers.map((i) => encodeFrame(String(i).padEnd(29))));
  // One by one, as with a slow connection, and by the hundred
  for (const most of [39, 5000, stream.length]) {
    const frames = new FrameReader(sourceOf(cutEvery(stream, most)));
    const payloads = await Array.fromAsync(frames);
    assertEquals(payloads.map((payload) => Number(toText(payload))), numbers);
  }
});

Deno.test("FrameReader's buffer begins with 4 KiB, and grows with what arrives to 256 KiB or the longest frame", async () => {
  for (const length of [29, 50_000, 300_000, 2 ** 20]) {
    const frame = encodeFrame(new Uint8Array(length));
    const stream = join(Array(Math.ceil(2 ** 22 / length)).fill(frame));
    for (const size of [1000, 100_000, stream.length]) {
      const source = sourceOf(cutEvery(stream, size));
      let [reads, arrived, longest] = [0, 0, 0];
      const frames = new FrameReader({
        async read(buffer) {
          const { byteLength } = buffer.buffer;
          assert(byteLength <= Math.max(256 * KIB, frame.length));
          assert(byteLength <= Math.max(4 * KIB, 16 * arrived));
          longest = Math.min(size, byteLength);
          reads++;
          const count = await source.read(buffer);
          arrived += count ?? 0;
          return count;
        },
      });
      let payloads = 0;
      while (await frames.fill()) while (frames.next()) payloads++;
      assertEquals(payloads, stream.length / frame.length);
      // A long payload is read in place, in reads as long as the source allows.
      assert(reads <= 1.6 * stream.length / longest + 10, `${reads} reads`);
    }
  }
});

Deno.test("FrameWriter writes what encodeFrame makes, of text and bytes in any order, to a sink that takes parts", async () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = randomOf(seed);
    const sink = sinkOf([1000, 7777, Infinity][random(3)]);
    const frames = new FrameWriter(sink);
    const expected: Uint8Array[] = [];
    for (let i = random(20); i > 0; i--) {
      const payload = random(2) ? anyText(random) : anyPayload(random, 5000);
      expected.push(encodeFrame(payload));
      frames.add(payload);
      if (payload instanceof Uint8Array) payload.fill(0);
      const flushing = random(3) ? undefined : frames.flush();
      if (random(2)) await flushing;
    }
    await frames.flush();
    assertSame(sink.writes, expected);
    assertEquals([frames.size, frames.isFull], [0, false]);
  }
});

Deno.test("FrameWriter tells how many bytes wait, is full from 64 KiB on, and takes more", async () => {
  const sink = sinkOf();
  const frames = new FrameWriter(sink);
  await frames.flush();
  frames.add("ü");
  frames.add(toBytes("abc"));
  frames.add("x".repeat(65_536 - 25 - 10 - 1));
  assertEquals([frames.isFull, frames.size], [false, 65_535]);
  frames.add("");
  assertEquals([frames.isFull, frames.size], [true, 65_545]);
  frames.add("€".repeat(65_536)); // Of text that waits, characters are counted.
  assertEquals([frames.isFull, frames.size], [true, 65_555 + 3 * 65_536]);
  await Promise.all([frames.flush(), frames.flush()]);
  assertEquals([frames.isFull, frames.size, sink.writes.length], [false, 0, 1]);
});

Deno.test("FrameWriter takes frames while it flushes, keeps their order, and uses its memory again", async () => {
  const buffers = new Set<ArrayBufferLike>();
  let taken = Promise.withResolvers<number>();
  let given: Uint8Array = new Uint8Array();
  const frames = new FrameWriter({
    write(bytes) {
      buffers.add(bytes.buffer);
      given = bytes;
      taken = Promise.withResolvers();
      return taken.promise;
    },
  });
  async function take(): Promise<string> {
    await aWhile();
    const text = toText(given);
    taken.resolve(given.length);
    await aWhile();
    return text;
  }
  for (let i = 0; i < 20; i++) {
    const settled: string[] = [];
    const flush = (name: string) => {
      frames.flush().then(() => settled.push(name));
    };
    frames.add("a");
    flush("1st");
    await aWhile();
    frames.add("b");
    flush("2nd");
    frames.add(toBytes("c")); // before the second write begins, so part of it
    assertEquals([frames.size, settled.length], [22, 0]);
    assertEquals(await take(), "1         a");
    flush("3rd"); // Nothing was added: it waits for the write under way.
    frames.add("e");
    assertEquals(settled, ["1st"]);
    assertEquals(await take(), "1         b1         c");
    assertEquals(await take(), "1         e");
    assertEquals(settled, ["1st", "2nd", "3rd"]);
  }
  assert(buffers.size <= 6, `${buffers.size} buffers, each of two may grow`);
});

Deno.test("FrameWriter fails for good with its sink, and writes nothing after half a frame", async () => {
  const reset = new Error("reset");
  const writes: string[] = [];
  const frames = new FrameWriter({
    // The sink fails once, and would then go on.
    write(bytes) {
      writes.push(toText(bytes));
      if (writes.length === 2) throw reset;
      return Promise.resolve(5);
    },
  });
  frames.add("one");
  const flushes = [frames.flush()];
  await undefined;
  frames.add("two");
  flushes.push(frames.flush());
  for (const flush of flushes) {
    assert(await assertRejects(() => flush) === reset);
  }
  assert(assertThrows(() => frames.add("three")) === reset);
  assert(await assertRejects(() => frames.flush()) === reset);
  assertEquals(writes, ["3         one", "     one"]);
});

Deno.test("FrameEncoderStream sends a lone frame at once, and together what is written while the consumer is busy", async () => {
  const { readable, writable } = new FrameEncoderStream();
  const reader = readable.getReader();
  const writer = writable.getWriter();
  for (const payload of ["", "onë", new Uint8Array(300_000)]) {
    const reading = reader.read();
    await writer.write(payload);
    assertSame([(await reading).value!], [encodeFrame(payload)]);
  }
  const payload = new Uint8Array(1000 - HEADER_LENGTH);
  const writing = (async () => {
    for (let i = 0; i < 200; i++) {
      await writer.ready;
      writer.write(i % 2 ? payload : "x".repeat(payload.length));
    }
    await writer.close();
  })();
  const lengths: number[] = [];
  for (let sum = 0; sum < 200_000; sum += lengths.at(-1)!) {
    await aWhile(); // Busy
    lengths.push((await reader.read()).value!.length);
  }
  assertEquals(lengths, [66_000, 66_000, 66_000, 2000]);
  await Promise.all([writing, reader.read()]);
});

Deno.test("FrameEncoderStream encodes any payloads, and fails after the frames before one that is refused", async () => {
  const refusals = ["x".repeat(5001), new Uint8Array(5001), 5, null];
  for (let seed = 0; seed < 50; seed++) {
    const random = randomOf(seed);
    const payloads = Array.from(
      { length: random(9) },
      () => random(2) ? anyText(random) : anyPayload(random, 5000),
    );
    const refused = refusals[seed % 5] as string | undefined; // or none
    const stream = new FrameEncoderStream({ maxFrameLength: 5000 });
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    const all = [...payloads, ...refused === undefined ? [] : [refused, ""]];
    const writes = all.map((payload) => writer.write(payload));
    const failing = Promise.all([...writes, writer.close()])
      .then(() => undefined, (error) => error);
    if (seed % 2) await aWhile(); // All is written by then.
    const { chunks, error } = await collect(stream.readable);
    assertSame(chunks, payloads.map((payload) => encodeFrame(payload)));
    for (const { buffer, length } of chunks) {
      assertEquals(buffer.byteLength, length);
    }
    assert(await failing === error, "Both ends have the same error");
    if (refused === undefined) assertEquals(error, undefined);
    else assertInstanceOf(error, seed % 5 < 2 ? FramingError : TypeError);
  }
});

Deno.test("FrameDecoderStream delivers what arrived whole to a slow consumer, then the error", async () => {
  for (const rest of ["x", "9999999999", "3         tw", "3", "reset"]) {
    const isReset = rest === "reset";
    const stream = toBytes(`3         one0         ${isReset ? "3" : rest}`);
    for (const size of [1, 13, 100]) {
      const source = async function* () {
        yield* cutEvery(stream, size);
        if (isReset) throw new Error("reset");
      };
      const { chunks, error } = await collect(
        ReadableStream.from(source()).pipeThrough(new FrameDecoderStream()),
      );
      assertEquals(chunks.map(toText), ["one", ""]);
      if (error instanceof FramingError) assertEquals(error.offset, 23);
      else assert(isReset);
    }
  }
});

Deno.test("FrameDecoderStream fails without waiting for what follows a bad frame, and may be left before it", async () => {
  for (const isLeft of [false, true]) {
    const { readable, writable } = new FrameDecoderStream();
    const reader = readable.getReader();
    const writing = writable.getWriter().write(toBytes("3         onex"));
    const failing = writing.catch((error) => error);
    assertEquals(toText((await reader.read()).value!), "one");
    if (isLeft) return await reader.cancel();
    const error = await assertRejects(() => reader.read(), FramingError);
    assert(await failing === error);
  }
});

for (const Stream of [FrameEncoderStream, FrameDecoderStream]) {
  Deno.test(`${Stream.name} makes its source wait`, async () => {
    let pulled = 0;
    const frame = encodeFrame(new Uint8Array(990));
    const source = new ReadableStream({
      pull(output) {
        pulled++;
        output.enqueue(frame);
      },
    }, { highWaterMark: 0 });
    const piped = source.pipeThrough(new Stream());
    for (let i = 0; i < 20; i++) await aWhile();
    // 64 KiB of frames and 8 KiB of payloads, or a chunk and the next
    assert(pulled <= (Stream === FrameEncoderStream ? 66 + 9 : 2), `${pulled}`);
    await piped.cancel();
  });
}

Deno.test("framing.ts can be imported where there are no Web Streams", async () => {
  const streams = { ReadableStream, TransformStream, WritableStream };
  for (const name of Object.keys(streams)) {
    Reflect.deleteProperty(globalThis, name);
  }
  try {
    const { FrameDecoder, encodeFrame } = await import("./framing.ts#alone");
    assertEquals(toText(new FrameDecoder().push(encodeFrame("hi"))[0]), "hi");
  } finally {
    Object.assign(globalThis, streams);
  }
});

/** Returns a stream of good and bad parts, cut at random, the same for the same seed. */
function anyStream(seed: number, longest = 6000) {
  const random = randomOf(seed);
  const parts = Array.from({ length: random(7) }, () => {
    if (random(30) > 0) return encodeFrame(anyPayload(random, longest));
    const characters = Array.from(
      { length: random(13) },
      () => "0129 +x\0"[random(8)],
    );
    return toBytes(characters.join(""));
  });
  const stream = join(parts);
  // Sometimes a byte is altered, or the end is missing.
  if (random(3) === 0 && stream.length > 0) {
    stream[random(stream.length)] = 0x20 + random(32);
  }
  const whole = random(3)
    ? stream
    : stream.subarray(0, random(stream.length + 1));
  const places = Array.from(
    { length: random(9) },
    () => random(whole.length + 1),
  );
  const size = Math.max(1 + random(random(2) ? 30 : 5000), whole.length >> 12);
  return {
    chunks: random(2) ? cutAt(whole, places) : cutEvery(whole, size),
    limit: random(4) ? undefined : [0, 10, 40, 1024, LARGEST][random(5)],
  };
}

/** Returns bytes, some like a header, often as many as a buffer holds, one less or more. */
function anyPayload(random: (below: number) => number, longest: number) {
  const bounds = [64, 1024, 4096, 64 * KIB, 256 * KIB];
  const bound = bounds[random(bounds.length)] - 11 + random(23);
  const length = random(3) || bound > longest
    ? random(random(2) ? 40 : longest)
    : bound;
  const isText = random(2) === 0;
  return new Uint8Array(length).map(() =>
    isText ? "0129    ".charCodeAt(random(8)) : random(256)
  );
}

/** Returns a text of any UTF-16 units: ASCII, more, pairs, and lone surrogates. */
function anyText(random: (below: number) => number): string {
  const [first, count] = [[0, 0x80], [0, 0x10000], [0xd7f0, 0x820]][random(3)];
  const units = Array.from(
    { length: random(random(4) ? 30 : 1200) },
    () => first + random(count),
  );
  return String.fromCharCode(...units);
}

/** Returns a function that returns pseudorandom integers below its argument. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    const mixed = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) >>> 0;
    return Math.floor(mixed / 2 ** 32 * below);
  };
}

/** Cuts a stream at these places, in any order. The same place twice makes an empty chunk. */
function cutAt(stream: Uint8Array, places: number[]): Uint8Array[] {
  const ends = [...places.toSorted((a, b) => a - b), stream.length];
  return ends.map((end, i) => stream.subarray(ends[i - 1] ?? 0, end));
}

function cutEvery(stream: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(stream.length / size);
  return Array.from(
    { length: count },
    (_, i) => stream.subarray(i * size, (i + 1) * size),
  );
}

/** Returns a source whose reads bring one chunk each, or as much of it as fits, and other bytes after it. */
function sourceOf(chunks: Uint8Array[]) {
  const rest = chunks.filter(({ length }) => length > 0);
  let hasEnded = false;
  return {
    async read(buffer: Uint8Array): Promise<number | null> {
      await undefined;
      assert(buffer.length > 0 && !hasEnded, "Nobody reads nothing, or on");
      const [chunk] = rest;
      hasEnded = chunk === undefined;
      if (hasEnded) return null;
      const part = chunk.subarray(0, buffer.length);
      buffer.set(part);
      buffer.fill(0x39, part.length, part.length + 16);
      if (part.length === chunk.length) rest.shift();
      else rest[0] = chunk.subarray(part.length);
      return part.length;
    },
  };
}

/** Returns an iterable of chunks that are overwritten after use. It is closed by those who leave it. */
function iterableOf(chunks: Uint8Array[]) {
  const iterable = {
    isClosed: false,
    async *[Symbol.asyncIterator]() {
      try {
        for (const chunk of chunks) {
          const bytes = amongOthers(chunk);
          yield bytes;
          overwrite(bytes);
        }
      } finally {
        iterable.isClosed = true;
      }
    },
  };
  return iterable;
}

/** Returns a source whose bytes arrive when they are told to. */
function slowSource() {
  let wanted = Promise.withResolvers<Uint8Array>();
  let arrived = Promise.withResolvers<number>();
  return {
    source: {
      /** The last read. */
      get promise() {
        return arrived.promise;
      },
      read(buffer: Uint8Array): Promise<number> {
        wanted.resolve(buffer);
        return arrived.promise;
      },
    },
    async arrive(text: string) {
      const buffer = await wanted.promise;
      const { resolve } = arrived;
      wanted = Promise.withResolvers();
      arrived = Promise.withResolvers();
      buffer.set(toBytes(text));
      resolve(text.length);
      await aWhile();
    },
  };
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

/** Reads a stream slowly, to its end or its error. */
async function collect(readable: ReadableStream<Uint8Array>) {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of readable) {
      chunks.push(chunk);
      await aWhile();
    }
  } catch (error) {
    return { chunks, error };
  }
  return { chunks, error: undefined };
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
  try {
    work();
  } finally {
    globalThis.Uint8Array = original;
  }
  return sum;
}

/** Takes the memory of some bytes away, as posting it to a worker does. */
function transfer({ buffer }: Uint8Array): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
}

/** Returns a copy in the middle of other bytes, which could be a header. */
function amongOthers(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const memory = new Uint8Array(1 + chunk.length + 16).fill(0x39);
  memory.set(chunk, 1);
  return memory.subarray(1, 1 + chunk.length);
}

function overwrite({ buffer }: Uint8Array): void {
  new Uint8Array(buffer).fill(0x39);
}

/** Returns the fields of an error that apply to it. */
function factsOf(error: FramingError): Failure {
  return JSON.parse(JSON.stringify({ ...error, name: undefined }));
}

/** Throws unless two lists of chunks join to the same bytes. */
function assertSame(chunks: Uint8Array[], expected: Uint8Array[]): void {
  const [a, b] = [join(chunks), join(expected)];
  // Many times faster than `assertEquals`
  assert(a.length === b.length && a.every((byte, i) => byte === b[i]));
}

/** Returns the bytes of a text in which each character is a byte. */
function toBytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function toText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function join(chunks: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, c) => sum + c.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Lets everything happen that is ready to. */
function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
