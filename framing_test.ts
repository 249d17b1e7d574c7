/**
 * Examples and properties of framing.ts. What holds for every form of the
 * decoder is checked for every form, against fuzz/reference.ts.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import config from "./deno.json" with { type: "json" };
import framing from "./framing.ts" with { type: "text" };
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
import {
  anyCase,
  checkCase,
  cutAt,
  cutEvery,
  payload,
  smallPayload,
} from "./fuzz/cases.ts";
import corpus from "./fuzz/corpus.json" with { type: "json" };
import { FORMS, readerOf } from "./fuzz/forms.ts";
import {
  decodeStream,
  difference,
  factsOf,
  join,
  toBytes,
  toText,
} from "./fuzz/reference.ts";

const LARGEST = 9_999_999_999;
const KIB = 1024;

/** Texts of 10 bytes that are not a header. */
const BAD_HEADERS = [
  ..."+1 -1 01 00 0000000001 / : 1/ 1: 1.0 1,000 1_000 1e3 0x10 NaN \xb9 HTTP/1.1"
    .split(" ").map((text) => text.padEnd(HEADER_LENGTH)),
  " 1        ",
  "         1",
  "1 1       ",
  "1        1",
  "          ",
  "\0".repeat(HEADER_LENGTH),
  "1".padEnd(HEADER_LENGTH, "\0"),
  "1".padEnd(HEADER_LENGTH, "\t"),
  "1".padEnd(HEADER_LENGTH, "\xa0"),
  "1        \n",
];

Deno.test("encodeFrame puts the length in bytes before the payload, padded to 10", () => {
  assertEquals(toText(encodeFrame("")), "0         ");
  assertEquals(toText(encodeFrame("Hello")), "5         Hello");
  assertEquals(encodeFrame("ü"), toBytes("2         \xc3\xbc"));
  assertEquals(encodeFrame("€"), toBytes("3         \xe2\x82\xac"));
  assertEquals(encodeFrame("😀"), toBytes("4         \xf0\x9f\x98\x80"));
  assertEquals(encodeFrame("\ud800"), toBytes("3         \xef\xbf\xbd"));
  assertEquals(encodeFrame(Uint8Array.of(0, 255)), toBytes("2         \0\xff"));
});

Deno.test("encodeFrame encodes any text as TextEncoder does", () => {
  fc.assert(fc.property(anyText(), (text) => {
    assertEquals(
      encodeFrame(text),
      encodeFrame(new TextEncoder().encode(text)),
    );
  }));
});

Deno.test("encodeFrame gives a frame in memory of its own", () => {
  const payload = toBytes("one");
  const frame = encodeFrame(payload);
  payload.fill(0);
  assertEquals(toText(frame), "3         one");
  assertEquals(frame.buffer.byteLength, frame.length);
});

Deno.test("encodeFrame refuses one byte over the limit, counted in bytes", () => {
  assertEquals(encodeFrame("ü", { maxFrameLength: 2 }).length, 12);
  const error = assertThrows(
    () => encodeFrame("aü", { maxFrameLength: 2 }),
    FramingError,
    "Cannot encode a payload of 3 bytes: it is over the limit of 2 bytes",
  );
  assertEquals(factsOf(error), {
    code: "FRAME_TOO_LARGE",
    offset: 0,
    length: 3,
    maxFrameLength: 2,
  });
  assertEquals(encodeFrame("", { maxFrameLength: 0 }).length, 10);
  assertThrows(() => encodeFrame("a", { maxFrameLength: 0 }), FramingError);
});

Deno.test("encodeFrame has a limit of 8 MiB unless told otherwise", () => {
  const payload = new Uint8Array(8 * KIB * KIB + 1);
  const header = encodeFrame(payload.subarray(1)).subarray(0, HEADER_LENGTH);
  assertEquals(toText(header), "8388608   ");
  assertThrows(() => encodeFrame(payload), FramingError, "8388609 bytes");
  const options = { maxFrameLength: payload.length };
  assertEquals(encodeFrame(payload, options).length, payload.length + 10);
});

Deno.test("decodeHeader reads every length that a header can hold", () => {
  const options = { maxFrameLength: LARGEST };
  const read = (length: number) => {
    const header = toBytes(String(length).padEnd(HEADER_LENGTH));
    assertEquals(decodeHeader(header, options), length);
  };
  for (let length = 1; length <= LARGEST; length *= 10) {
    read(length);
    read(length - 1);
  }
  for (let length = 0; length < 20_000; length++) read(length);
  fc.assert(fc.property(fc.integer({ min: 0, max: LARGEST }), read));
});

Deno.test("decodeHeader takes the one spelling of a length and no other, and no fewer than 10 bytes", () => {
  const streams = BAD_HEADERS.map((header) => header + "1234567890");
  for (const stream of [...streams, "", "2", "29       ", "x"]) {
    const header = stream.slice(0, HEADER_LENGTH);
    const error = assertThrows(
      () => decodeHeader(toBytes(stream)),
      FramingError,
    );
    assertEquals(factsOf(error), { code: "INVALID_HEADER", offset: 0, header });
    assertStringIncludes(error.message, JSON.stringify(header));
  }
});

Deno.test("decodeHeader throws FRAME_TOO_LARGE one over the limit, and not before", () => {
  for (const limit of [0, 29, undefined, LARGEST - 1]) {
    const options = { maxFrameLength: limit };
    const length = limit ?? DEFAULT_MAX_FRAME_LENGTH;
    const decode = (length: number) =>
      decodeHeader(toBytes(String(length).padEnd(HEADER_LENGTH)), options);
    assertEquals(decode(length), length);
    const error = assertThrows(() => decode(length + 1), FramingError);
    assertEquals(factsOf(error), {
      code: "FRAME_TOO_LARGE",
      offset: 0,
      length: length + 1,
      maxFrameLength: length,
    });
  }
});

Deno.test("decodeHeader reads a header with any one byte changed as the reference does", () => {
  const options = { maxFrameLength: LARGEST };
  const codes = new Set<string | undefined>();
  for (const header of ["0", "7", "29", "345", "1024", "56789", "1000000000"]) {
    for (let at = 0; at < HEADER_LENGTH; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const bytes = toBytes(header.padEnd(HEADER_LENGTH));
        bytes[at] = byte;
        const code = decodeStream(bytes, options).failure?.code;
        const decode = () => decodeHeader(bytes, options);
        if (code === "INVALID_HEADER") assertThrows(decode, FramingError);
        else assertEquals(decode(), Number(toText(bytes)));
        codes.add(code);
      }
    }
  }
  // The header 0, a header without its payload, and no header.
  const expected = [undefined, "UNEXPECTED_EOF", "INVALID_HEADER"];
  assertEquals(codes, new Set(expected));
});

/** Every door through which bytes come in. Each returns what it made of them. */
const DOORS: Record<string, (data: BinaryData) => unknown> = {
  encodeFrame: (data) => toText(encodeFrame(data)),
  decodeHeader: (data) => decodeHeader(data),
  FrameDecoder: (data) => new FrameDecoder().push(data).map(toText).join(),
  async FrameWriter(data) {
    const sink = sinkOf();
    const frames = new FrameWriter(sink);
    frames.add(data);
    await frames.flush();
    return toText(join(sink.writes));
  },
  FrameEncoderStream: (data) => through(new FrameEncoderStream(), data),
  FrameDecoderStream: (data) => through(new FrameDecoderStream(), data),
};

async function through(
  stream: FrameEncoderStream | FrameDecoderStream,
  data: BinaryData,
): Promise<string> {
  const chunks = ReadableStream.from([data]).pipeThrough(stream);
  return toText(join(await Array.fromAsync(chunks)));
}

/** What the decoders make of a frame. The others make a frame of it. */
const MADE: Record<string, unknown> = {
  decodeHeader: 2,
  FrameDecoder: "hi",
  FrameDecoderStream: "hi",
};

for (const [name, enter] of Object.entries(DOORS)) {
  Deno.test(`${name} takes bytes in any container, all of them`, async () => {
    const frame = toBytes("2         hi");
    const shared = new SharedArrayBuffer(12);
    new Uint8Array(shared).set(frame);
    const padded = join([toBytes("no"), frame, toBytes("no")]);
    const containers: BinaryData[] = [
      frame,
      frame.buffer,
      shared,
      new Uint8Array(shared),
      new Uint8ClampedArray(frame),
      new Int8Array(frame),
      new Uint16Array(frame.buffer),
      new Float32Array(frame.buffer),
      new DataView(padded.buffer, 2, 12),
      new Int32Array(join([toBytes("last"), frame]).buffer, 4),
      padded.subarray(2, 14),
    ];
    for (const container of containers) {
      const expected = MADE[name] ?? "12        2         hi";
      assertEquals(await enter(container), expected);
    }
  });

  Deno.test(`${name} throws TypeError for what is not bytes`, async () => {
    const gone = toBytes("2         hi");
    transfer(gone);
    const resizable = new ArrayBuffer(12, { maxByteLength: 12 });
    const lost = [
      ...[gone, gone.buffer, new Uint8Array(resizable, 0, 12)],
      ...[new Uint16Array(resizable, 4), new DataView(resizable, 4)],
    ];
    resizable.resize(2);
    for (
      const value of [
        ...(name in MADE ? ["2         hi"] : []), // The others encode text.
        ...[null, undefined, 5, true, [50, 32], {}, new Blob(["2"])],
        ...[Object("text"), { byteLength: 3 }, ...lost],
      ]
    ) {
      const error = await assertRejects(async () => {
        await enter(value as BinaryData);
      }, TypeError);
      if (!lost.some((one) => one === value)) {
        assertStringIncludes(error.message, "Cannot take bytes from a value");
      }
    }
    const pretender = { [Symbol.toStringTag]: "ArrayBuffer", byteLength: 3 };
    await assertRejects(async () => {
      await enter(pretender as unknown as BinaryData);
    }, TypeError);
  });
}

/** Every part of framing.ts, constructed or called with these options. */
const PARTS: ((options: FramingOptions) => unknown)[] = [
  (options) => encodeFrame("", options),
  (options) => decodeHeader(toBytes("0         "), options),
  (options) => new FrameDecoder(options),
  (options) => new FrameReader(readerOf([]), options),
  (options) => new FrameWriter(sinkOf(), options),
  (options) => new FrameEncoderStream(options),
  (options) => new FrameDecoderStream(options),
];

Deno.test("Every part of framing.ts throws RangeError for a limit out of range", () => {
  const wrong = [-1, 0.5, NaN, Infinity, LARGEST + 1, "10", null];
  for (const part of PARTS) {
    for (const maxFrameLength of wrong as number[]) {
      assertThrows(
        () => part({ maxFrameLength }),
        RangeError,
        `Cannot use ${maxFrameLength} as maxFrameLength: expected an integer from 0 to 9999999999`,
      );
    }
    for (const maxFrameLength of [0, 1, LARGEST, undefined]) {
      part({ maxFrameLength });
    }
  }
});

Deno.test("Every part of framing.ts throws TypeError for unknown options", async () => {
  for (const part of PARTS) {
    assertThrows(
      () => part({ maxFrameLenght: 5 } as FramingOptions),
      TypeError,
      'Cannot use the option "maxFrameLenght": expected "maxFrameLength"',
    );
    // As a callback of `map`, or by somebody who takes it for the limit.
    for (const options of [5, null, "limit"]) {
      assertThrows(() => part(options as FramingOptions), TypeError, "options");
    }
  }
  await assertRejects(
    () => new FrameReader(readerOf([])).read({ sginal: 1 } as never),
    TypeError,
    'Cannot use the option "sginal"',
  );
});

Deno.test("FramingError is an Error with a name, a code and facts", () => {
  const error = new FramingError("UNEXPECTED_EOF", "Cannot", { received: 3 });
  assertInstanceOf(error, Error);
  assertEquals(String(error), "FramingError: Cannot");
  const facts = { code: "UNEXPECTED_EOF", offset: 0, received: 3 } as const;
  assertEquals(factsOf(error), facts);
});

/** A stream that once was decoded wrongly, or might be. Each character of a chunk is a byte. */
interface CorpusEntry {
  why: string;
  maxFrameLength?: number;
  chunks: string[];
}

for (const [form, decode] of Object.entries(FORMS)) {
  /** Checks that the outcome is that of the reference. */
  const check = async (chunks: Uint8Array[], maxFrameLength?: number) => {
    const candidate = { chunks, maxFrameLength };
    assertEquals(await checkCase(decode, candidate), undefined);
  };

  Deno.test(`${form} returns the payloads of any stream, or fails as the reference does`, async () => {
    await fc.assert(
      fc.asyncProperty(
        anyCase(payload),
        ({ chunks, maxFrameLength }) => check(chunks, maxFrameLength),
      ),
      { numRuns: 1000 },
    );
    for (const { why, maxFrameLength, chunks } of corpus as CorpusEntry[]) {
      const candidate = { maxFrameLength, chunks: chunks.map(toBytes) };
      assertEquals(await checkCase(decode, candidate), undefined, why);
    }
  });

  Deno.test(`${form} returns payloads as long as its memory is, one byte less and more`, async () => {
    for (const size of [64, 1024, 4096, 64 * 1024, 256 * 1024]) {
      const frames = [-11, -10, -1, 0, 1, 10].map((more) =>
        encodeFrame(new Uint8Array(size + more).fill(size + more))
      );
      const stream = join(frames);
      for (const chunk of [stream.length, 64 * 1024, 1000, size, size + 9]) {
        await check(cutEvery(stream, chunk));
      }
    }
  });

  Deno.test(`${form} returns the payloads of a stream cut in three, at every two places, whole and truncated`, async () => {
    const stream = toBytes("3         one0         5         a 2nd");
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        const chunks = cutAt(stream, [first, second]);
        await check(chunks);
        await check(chunks.slice(0, 2));
      }
    }
  });

  Deno.test(`${form} accepts one spelling of a length and no other`, async () => {
    const headers = [...BAD_HEADERS];
    for (let at = 1; at < HEADER_LENGTH; at++) {
      headers.push("7".padEnd(at) + "x".padEnd(HEADER_LENGTH - at));
    }
    // Spaces on both sides could be taken for those of the header.
    const spaces = " ".repeat(90);
    for (const header of headers) {
      const stream = toBytes("90        " + spaces + header + spaces);
      for (const size of [1, 100, 101, 200]) {
        await check(cutEvery(stream, size));
      }
    }
  });

  Deno.test(`${form} accepts the limit and throws FRAME_TOO_LARGE one over it, when the header is complete`, async () => {
    const limits: [number, number?][] = [[0, 0], [1, 0], [1, 1], [2, 1]];
    limits.push([5000, 5000], [5001, 5000], [LARGEST, LARGEST - 1]);
    limits.push([DEFAULT_MAX_FRAME_LENGTH], [DEFAULT_MAX_FRAME_LENGTH + 1]);
    for (const [length, limit = DEFAULT_MAX_FRAME_LENGTH] of limits) {
      const header = toBytes("0         " + String(length).padEnd(10));
      const payload = new Uint8Array(length <= limit ? length : 1);
      await check([header], limit);
      await check(cutEvery(header, 1), limit);
      for (const cut of [0, 3, 20]) {
        await check(cutAt(join([header, payload]), [cut]), limit);
      }
    }
  });

  Deno.test(`${form} says in words what is wrong, and where`, async () => {
    const header =
      "expected a header (a length in digits, then spaces, 10 bytes in all)";
    for (
      const [stream, problem] of [
        ['HTTP/1.1 "400"', `${header}, found "HTTP/1.1 \\""`],
        [
          "101       a",
          "its payload of 101 bytes is over the limit of 100 bytes",
        ],
        ["29  ", "the stream ended after 4 of its 10 header bytes"],
        ["29        ", "the stream ended after 0 of its 29 payload bytes"],
        ["29        The", "the stream ended after 3 of its 29 payload bytes"],
      ]
    ) {
      const chunks = [toBytes("2         hi" + stream)];
      const { message } = await assertRejects(
        () => Array.fromAsync(decode(chunks, { maxFrameLength: 100 })),
        FramingError,
      );
      assertEquals(message, `Cannot decode the frame at byte 12: ${problem}`);
    }
  });
}

/** Decoders that get a stream byte by byte. Each call returns how many payloads the next byte completes. */
const STEPPERS = {
  FrameDecoder(stream: Uint8Array, options: FramingOptions) {
    const decoder = new FrameDecoder(options);
    let at = 0;
    return () => decoder.push(stream.subarray(at, ++at)).length;
  },
  FrameReader(stream: Uint8Array, options: FramingOptions) {
    const frames = new FrameReader(readerOf(cutEvery(stream, 1)), options);
    return async () => {
      assertEquals(await frames.fill(), true);
      let count = 0;
      while (frames.next()) count++;
      return count;
    };
  },
};

for (const [name, stepper] of Object.entries(STEPPERS)) {
  Deno.test(`${name} delivers and fails with the very byte that decides`, async () => {
    await fc.assert(
      fc.asyncProperty(anyCase(smallPayload), async (candidate) => {
        const { chunks, ...options } = candidate;
        const stream = join(chunks);
        const step = stepper(stream, options);
        let count = 0;
        for (let end = 1; end <= stream.length; end++) {
          const arrived = stream.subarray(0, end);
          const { payloads, failure } = decodeStream(arrived, options);
          if (failure !== undefined && failure.code !== "UNEXPECTED_EOF") {
            return void await assertRejects(async () => {
              await step();
            }, FramingError);
          }
          count += await step();
          assertEquals(count, payloads.length);
        }
      }),
    );
  });
}

Deno.test("FrameDecoder returns the payloads before a bad frame, and throws with the next call, of no bytes too", () => {
  const chunk = toBytes("2         hi0         x");
  for (const next of ["push", "end"] as const) {
    const decoder = new FrameDecoder();
    assertEquals(decoder.push(chunk).map(toText), ["hi", ""]);
    const none = new Uint8Array();
    const error = assertThrows(() => decoder[next](none), FramingError);
    assertEquals([error.code, error.offset], ["INVALID_HEADER", 22]);
  }
});

Deno.test("FrameDecoder is dead after an error, and throws that error again", () => {
  const good = encodeFrame("good");
  const endings = [
    ["INVALID_HEADER", "1x"],
    ["FRAME_TOO_LARGE", "9999999999"],
    ["UNEXPECTED_EOF", "3         "],
  ];
  for (const [code, rest] of endings) {
    const decoder = new FrameDecoder();
    decoder.push(good);
    const error = assertThrows(() => {
      decoder.push(toBytes(rest));
      decoder.end();
    }, FramingError);
    assertEquals([error.code, error.offset], [code, 14]);
    const again = [
      () => decoder.push(good),
      () => decoder.end(),
      () => decoder.push(new Uint8Array()),
      () => decoder.end(),
    ];
    for (const call of again) assert(assertThrows(call) === error);
  }
});

Deno.test("FrameDecoder tells as much of a bad header as had arrived", () => {
  for (
    const [header, ...chunks] of [
      ["HTTP/1.1 2", "HTTP/1.1 200 OK"],
      ["HT", "HT", "TP/1.1 200 OK"],
      ["12x", "12", "x", "yz"],
      ["123x567890", "12", "3x56789012"],
    ]
  ) {
    const decoder = new FrameDecoder();
    const push = () => chunks.map((chunk) => decoder.push(toBytes(chunk)));
    assertEquals(assertThrows(push, FramingError).header, header);
  }
});

Deno.test("FrameDecoder does not copy a payload that lies whole in its chunk", () => {
  const chunk = toBytes("..3         one5000      ".padEnd(6000)).subarray(2);
  const payloads = new FrameDecoder().push(chunk);
  assertEquals(payloads.map((payload) => payload.byteOffset), [12, 25]);
  assertEquals(payloads.map((payload) => payload.length), [3, 5000]);
  for (const { buffer } of payloads) assert(buffer === chunk.buffer);
});

Deno.test("FrameDecoder takes nothing after the end, and may be ended again", () => {
  const decoder = new FrameDecoder();
  decoder.push(encodeFrame("one"));
  for (let i = 0; i < 2; i++) {
    decoder.end();
    for (const chunk of [encodeFrame("two"), new Uint8Array()]) {
      assertThrows(() => decoder.push(chunk), TypeError, "has ended");
    }
  }
  new FrameDecoder().end();
});

Deno.test("FrameDecoder's payloads of Node's Buffer are no Buffers, whose slice does not copy", () => {
  const [payload] = new FrameDecoder().push(Buffer.from("2         hi"));
  assertEquals(Object.getPrototypeOf(payload), Uint8Array.prototype);
});

Deno.test("FrameDecoder takes memory for 8 times what has arrived or 512 bytes, and never more than the payload", () => {
  for (const length of [100, 600, 1000, 30_000, 8 * KIB * KIB]) {
    const header = toBytes(String(length).padEnd(HEADER_LENGTH));
    for (const arrived of [0, 1, 2, 64, 99, 500, 2000]) {
      if (arrived >= length) continue;
      const stream = join([header, new Uint8Array(arrived)]);
      const most = arrived === 0
        ? 0
        : Math.min(length, Math.max(8 * arrived, 512));
      for (const chunks of [[stream], cutAt(stream, [3, 12, 60, 500])]) {
        const decoder = new FrameDecoder();
        const bytes = allocatedBy(() => {
          for (const chunk of chunks) decoder.push(chunk);
        });
        // What the payload has outgrown counts too, if it came in pieces.
        const limit = chunks.length === 1 ? most : most * 4 / 3;
        assert(bytes <= limit, `${bytes} bytes for ${arrived} of ${length}`);
      }
    }
  }
});

Deno.test("FrameDecoder allocates in proportion to what arrives, for single bytes of a long payload too", () => {
  const stream = encodeFrame(new Uint8Array(2 ** 20));
  const decoder = new FrameDecoder();
  let count = 0;
  const bytes = allocatedBy(() => {
    for (let at = 0; at < stream.length; at++) {
      count += decoder.push(stream.subarray(at, at + 1)).length;
    }
  });
  assertEquals(count, 1);
  assert(bytes < 1.3 * stream.length, `${bytes}`);
});

Deno.test("FrameDecoder is dead when there is no memory for a payload", () => {
  const decoder = new FrameDecoder();
  const chunk = toBytes("2         hi100       part");
  const refuse = (length: number) => {
    if (length === 100) throw new RangeError("no memory");
  };
  watchMemory(refuse, () => {
    assertEquals(decoder.push(chunk).map(toText), ["hi"]);
  });
  for (const next of ["push", "end"] as const) {
    assertThrows(() => decoder[next](toBytes("x")), RangeError, "no memory");
  }
});

Deno.test("FrameReader loses nothing if its loops are left, and other loops go on", async () => {
  const texts = ["one", "two", "", "three", "four", "five", "six"];
  for (const size of [1, 14, 1000]) {
    const stream = join(texts.map((text) => encodeFrame(text)));
    const frames = new FrameReader(readerOf(cutEvery(stream, size)));
    const received: string[] = [];
    for await (const payload of frames) {
      received.push(toText(payload));
      if (received.length === 2) break;
    }
    received.push(toText((await frames.read())!));
    await assertRejects(
      async () => {
        for await (const payload of frames) {
          received.push(toText(payload));
          throw new Error("of the consumer");
        }
      },
      Error,
      "of the consumer",
    );
    const iterator = frames[Symbol.asyncIterator]();
    received.push(toText((await iterator.next()).value!));
    for await (const payload of iterator) received.push(toText(payload));
    assertEquals(received, texts);
    for (let i = 0; i < 2; i++) {
      assertEquals(await iterator.next(), { done: true, value: undefined });
      assertEquals(await frames.read(), null);
      assertEquals(await frames.fill(), false);
      assertEquals(frames.next(), false);
    }
  }
});

Deno.test("FrameReader keeps the frames that were not taken when it fills again, to the end of the stream", async () => {
  for (const [length, number] of [[3, 1], [3, 10], [100_000, 10]]) {
    const frame = encodeFrame(new Uint8Array(length).fill(7));
    const frames = new FrameReader(readerOf(Array(number).fill(frame)));
    for (let i = 0; i < 100; i++) assertEquals(await frames.fill(), true);
    let count = 0;
    for (; frames.next(); count++) {
      const { bytes, start, end } = frames;
      assertEquals(end - start, length);
      assert(bytes.subarray(start, end).every((byte) => byte === 7));
    }
    assertEquals(count, number);
    assertEquals(await frames.fill(), false);
  }
  assertEquals(await new FrameReader(readerOf([])).fill(), false);
  const bad = new FrameReader(readerOf([toBytes("2         hix")]));
  for (let i = 0; i < 3; i++) assertEquals(await bad.fill(), true);
  assertEquals(bad.next(), true);
  for (let i = 0; i < 3; i++) assertEquals(await bad.fill(), true);
  assertThrows(() => bad.next(), FramingError, "expected a header");
});

Deno.test("FrameReader waits no longer than a signal says, and loses nothing by it", async () => {
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
  const { signal } = new AbortController();
  const reading = frames.read({ signal });
  await arrive("e2         ab2         cd");
  assertEquals(toText((await reading)!), "one");
  // A signal that is aborted already takes nothing.
  const aborted = AbortSignal.abort(reason);
  const error = await assertRejects(() => frames.read({ signal: aborted }));
  assert(error === reason);
  assertEquals(toText((await frames.read({ signal }))!), "ab");
  assertEquals(toText((await frames.read())!), "cd");
});

Deno.test("FrameReader adds one reaction to a fill, however many reads stop waiting for it", async () => {
  const { source, arrive } = slowSource();
  const frames = new FrameReader(source);
  const filling = frames.fill();
  let reactions = 0;
  const then = filling.then.bind(filling);
  filling.then = ((...args: Parameters<typeof then>) => {
    reactions++;
    return then(...args);
  }) as typeof filling.then;
  for (let i = 0; i < 100; i++) {
    const controller = new AbortController();
    const reading = frames.read({ signal: controller.signal });
    controller.abort();
    await assertRejects(() => reading, DOMException);
  }
  assertEquals(reactions, 1);
  const { signal } = new AbortController();
  const reading = frames.read({ signal });
  await arrive("2         hi");
  assertEquals(toText((await reading)!), "hi");
});

Deno.test("FrameReader notices a signal that aborts while the source begins to read", async () => {
  const controller = new AbortController();
  const frames = new FrameReader({
    read() {
      controller.abort();
      return new Promise(() => {});
    },
  });
  const reading = () => frames.read({ signal: controller.signal });
  await assertRejects(reading, DOMException);
});

Deno.test("FrameReader's buffer is its own before the first read, too", () => {
  transfer(new FrameReader(readerOf([])).bytes);
  assertEquals(new FrameReader(readerOf([])).bytes.byteLength, 0);
  assertEquals(new FrameDecoder().push(encodeFrame("")).map(toText), [""]);
  new FrameDecoderStream();
});

Deno.test("FrameReader leaves no listener on a signal", async () => {
  const listeners = new Set<unknown>();
  const { signal } = new AbortController();
  signal.addEventListener = (_: string, listener: unknown) => {
    listeners.add(listener);
  };
  signal.removeEventListener = (_: string, listener: unknown) => {
    listeners.delete(listener);
  };
  const frames = new FrameReader(readerOf(cutEvery(encodeFrame("one"), 2)));
  assertEquals(toText((await frames.read({ signal }))!), "one");
  await aWhile();
  assertEquals(listeners.size, 0);
});

Deno.test("FrameReader refuses a read before the last has finished, and shares a fill", async () => {
  const { source, arrive } = slowSource();
  const frames = new FrameReader(source);
  const iterator = frames[Symbol.asyncIterator]();
  const first = iterator.next();
  for (const overlapping of [() => frames.read(), () => iterator.next()]) {
    await assertRejects(overlapping, TypeError, "has not finished");
  }
  const filling = frames.fill();
  assert(filling === frames.fill());
  await arrive("3         one3         two");
  assertEquals(toText((await first).value!), "one");
  assertEquals(await filling, true);
  assertEquals(toText((await iterator.next()).value!), "two");

  // Nobody overtakes a read when its frame has just arrived.
  const overtaking = frames.fill().then(() => iterator.next());
  const second = frames.read();
  const refused = assertRejects(() => overtaking, TypeError);
  await arrive("6         second");
  await refused;
  assertEquals(toText((await second)!), "second");

  const given = Promise.race([frames.fill(), Promise.resolve("given up")]);
  assertEquals(await given, "given up");
  const third = frames.read();
  await arrive("5         three");
  assertEquals(toText((await third)!), "three");
});

Deno.test("FrameReader fails for good, after it has delivered what arrived whole", async () => {
  const reset = new Error("reset");
  const failures: [string, (() => Promise<null>)?][] = [
    ["", () => Promise.reject(reset)],
    ["", () => {
      throw reset;
    }],
    ["x"],
    ["9999999999"],
    ["3         t"],
  ];
  for (const [rest, fail] of failures) {
    const source = readerOf([toBytes("3         one3         two" + rest)]);
    let reads = 0;
    const frames = new FrameReader({
      read: (buffer) => reads++ > 0 && fail ? fail() : source.read(buffer),
    });
    await frames.fill();
    const texts: string[] = [];
    const error = await assertRejects(async () => {
      for await (const payload of frames) texts.push(toText(payload));
    });
    assertEquals(texts, ["one", "two"]);
    if (fail) assert(error === reset);
    else assertInstanceOf(error, FramingError);
    for (let i = 0; i < 2; i++) {
      assert(await assertRejects(() => frames.read()) === error);
      assert(await assertRejects(() => frames.fill()) === error);
      const { next } = frames[Symbol.asyncIterator]();
      assert(await assertRejects(() => next()) === error);
    }
    if (rest === "x") assert(assertThrows(() => frames.next()) === error);
  }
});

Deno.test("FrameReader throws TypeError soon for a source that returns an impossible count", async () => {
  const counts = [undefined, NaN, -1, 0, 0.5, Infinity, 2 ** 40, "3", true, {}];
  for (const count of counts) {
    const frames = new FrameReader({
      read: () => Promise.resolve(count as number),
    });
    const error = await assertRejects(() => frames.read(), TypeError);
    assertStringIncludes(error.message, `the source returned ${count}`);
    assert(await assertRejects(() => frames.fill()) === error);
  }
  const full = new FrameReader({
    read: ({ length }) => Promise.resolve(length + 1),
  });
  await assertRejects(() => full.fill(), TypeError);
});

Deno.test("FrameReader's payloads stay what they are, however many follow", async () => {
  const numbers = Array.from({ length: 20_000 }, (_, i) => i);
  const stream = join(numbers.map((i) => encodeFrame(String(i).padEnd(29))));
  // One by one, as they come with a slow connection, and by the hundred.
  for (const most of [39, 5000, Infinity]) {
    const frames = new FrameReader(sourceOf(stream, most));
    const payloads = await Array.fromAsync(frames);
    assertEquals(payloads.map((payload) => Number(toText(payload))), numbers);
  }
});

Deno.test("FrameReader throws TypeError when the buffer that a payload shares was transferred", async () => {
  for (const rest of ["", "3         two", "3       "]) {
    const frames = new FrameReader(
      readerOf([toBytes("3         one" + rest), encodeFrame("more")]),
    );
    const read = async () => {
      for await (const payload of frames) transfer(payload);
    };
    await assertRejects(read, TypeError, "transfer payload.slice() instead");
  }
});

Deno.test("FrameReader begins with 4 KiB, and keeps them while reads do not fill them", async () => {
  const frame = encodeFrame("message");
  const source = sourceOf(join(Array(1000).fill(frame)), frame.length);
  const frames = new FrameReader(source);
  assertEquals([frames.bytes.length, frames.start, frames.end], [0, 0, 0]);
  assertEquals((await Array.fromAsync(frames)).length, 1000);
  const buffers = [...new Set(source.reads.map(({ buffer }) => buffer))];
  for (const { byteLength } of buffers) assertEquals(byteLength, 4 * KIB);
  // Each takes 3 KiB at least, since the payloads in it are left alone.
  assert(
    buffers.length <= 1000 * frame.length / (3 * KIB) + 1,
    `${buffers.length}`,
  );
});

Deno.test("FrameReader takes memory for what arrives, not for what is promised", async () => {
  for (const length of [100, 50_000, DEFAULT_MAX_FRAME_LENGTH]) {
    const stream = join([
      encodeFrame("first"),
      encodeFrame(new Uint8Array(length).fill(7)),
    ]);
    for (const most of [1000, 10_000, Infinity]) {
      if (length / most > 1000) continue;
      const source = sourceOf(stream, most);
      const payloads = await Array.fromAsync(new FrameReader(source));
      assertEquals(payloads.map(({ length }) => length), [5, length]);
      assert(payloads[1].every((byte) => byte === 7));
      for (const { buffer: { byteLength: size }, arrived } of source.reads) {
        assert(size <= Math.max(4 * KIB, 4 * arrived), `${size}`);
        assert(size <= length + HEADER_LENGTH + 256 * KIB, `${size}`);
      }
      const buffers = new Set(source.reads.map(({ buffer }) => buffer));
      const sum = [...buffers].reduce((sum, b) => sum + b.byteLength, 0);
      assert(sum <= 3 * length + 512 * KIB, `${sum} bytes in all`);
    }
  }
});

Deno.test("FrameReader keeps one buffer for frames of one length: of 256 KiB, or a long frame and 256 KiB", async () => {
  const streams = [
    [11, 240_000, 256 * KIB],
    [300_000, 20, HEADER_LENGTH + 300_000 + 256 * KIB],
  ];
  for (const [length, number, size] of streams) {
    const frame = encodeFrame(new Uint8Array(length));
    const source = sourceOf(join(Array(number).fill(frame)));
    const frames = new FrameReader(source);
    await frames.read(); // From now on, that payload's buffer is left alone.
    let count = 1;
    while (await frames.fill()) while (frames.next()) count++;
    assertEquals(count, number);
    const half = source.reads.length / 2;
    const buffers = new Set(source.reads.slice(half).map((r) => r.buffer));
    const sizes = [...buffers].map(({ byteLength }) => byteLength);
    assertEquals(sizes, [size]);
    assert(source.reads.length < 40, `${source.reads.length}`);
  }
});

Deno.test("FrameReader asks for a quarter of its buffer at least", async () => {
  const stream = join(Array(200).fill(encodeFrame(new Uint8Array(90))));
  const source = readerOf(cutEvery(stream, 150));
  const frames = new FrameReader({
    read(buffer) {
      assert(buffer.length >= buffer.buffer.byteLength / 4);
      return source.read(buffer);
    },
  });
  let count = 0;
  while (await frames.fill()) while (frames.next()) count++;
  assertEquals(count, 200);
});

Deno.test("FrameWriter writes what encodeFrame makes, of texts and bytes in any order, to a sink that takes parts, while more is added", async () => {
  const payloads = fc.array(fc.oneof(anyText(), payload), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(payloads, fc.boolean()), { maxLength: 4 }),
      fc.constantFrom(1000, 7777, Infinity),
      async (batches, most) => {
        const sink = sinkOf(most);
        const frames = new FrameWriter(sink);
        for (const [payloads, awaits] of batches) {
          for (const payload of payloads) {
            const content = payload.slice();
            frames.add(content);
            if (content instanceof Uint8Array) content.fill(0);
          }
          const flushing = frames.flush();
          await (awaits ? flushing : undefined);
        }
        await frames.flush();
        const added = batches.flatMap(([payloads]) => payloads);
        assertSameBytes(sink.writes, added.map((p) => encodeFrame(p)));
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("FrameWriter puts many frames into one write, and writes nothing for none", async () => {
  const sink = sinkOf();
  const frames = new FrameWriter(sink);
  await frames.flush();
  assertEquals(sink.writes.length, 0);
  for (let i = 0; i < 1000; i++) frames.add(i % 2 ? "odd" : toBytes("even"));
  await frames.flush();
  await frames.flush();
  assertEquals(sink.writes.length, 1);
});

Deno.test("FrameWriter tells how many bytes wait, and that it is full from 64 KiB on", async () => {
  const frames = new FrameWriter(sinkOf());
  assertEquals([frames.size, frames.isFull], [0, false]);
  frames.add("ü");
  assertEquals(frames.size, 12);
  frames.add(toBytes("abc"));
  assertEquals(frames.size, 25);
  frames.add("x".repeat(65_536 - 25 - 10 - 1));
  assertEquals([frames.size, frames.isFull], [65_535, false]);
  frames.add("");
  assertEquals([frames.size, frames.isFull], [65_545, true]);
  frames.add("there is still room");
  await frames.flush();
  assertEquals([frames.size, frames.isFull], [0, false]);
  frames.add(new Uint8Array(65_516));
  assertEquals(frames.isFull, false);
  frames.add("");
  assertEquals(frames.isFull, true);
  await frames.flush();
  // Of text that waits, the characters are counted.
  frames.add("€".repeat(65_525));
  assertEquals(frames.isFull, false);
  frames.add("");
  assertEquals(frames.isFull, true);
  assertEquals(frames.size, 10 + 3 * 65_525 + 10);
});

Deno.test("FrameWriter takes more text than a string can hold", () => {
  const frames = new FrameWriter(sinkOf(), { maxFrameLength: 2 ** 26 });
  const text = "x".repeat(2 ** 26);
  for (let i = 0; i < 9; i++) frames.add(text);
  assertEquals(frames.size, 9 * (HEADER_LENGTH + text.length));
});

Deno.test("FrameWriter refuses a payload over the limit, and stays as it was", async () => {
  const sink = sinkOf();
  const frames = new FrameWriter(sink, { maxFrameLength: 2 });
  frames.add("ü");
  for (const payload of ["aü", "€", "abc", toBytes("abc")]) {
    const error = assertThrows(() => frames.add(payload), FramingError);
    assertEquals(error.code, "FRAME_TOO_LARGE");
    assertEquals([error.length, error.maxFrameLength], [3, 2]);
    assertEquals(frames.size, 12);
  }
  frames.add(toBytes("a"));
  await frames.flush();
  assertEquals(toText(join(sink.writes)), "2         \xc3\xbc1         a");
});

Deno.test("FrameWriter takes frames while it flushes, and flushes in order", async () => {
  let taken = Promise.withResolvers<number>();
  let given = "";
  const frames = new FrameWriter({
    write(bytes) {
      given = toText(bytes);
      taken = Promise.withResolvers();
      return taken.promise;
    },
  });
  const take = async () => {
    await aWhile();
    const text = given;
    given = "";
    taken.resolve(text.length);
    await aWhile();
    return text;
  };
  const settled: string[] = [];
  const flush = (name: string) => {
    frames.flush().then(() => settled.push(name));
  };
  frames.add("a");
  flush("1st");
  await aWhile();
  frames.add("b");
  flush("2nd");
  frames.add(toBytes("c"));
  flush("3rd");
  frames.add("d"); // Before the second write begins, so part of it.
  assertEquals(frames.size, 33);
  assertEquals(await take(), "1         a");
  assertEquals(settled, ["1st"]);
  frames.add("e");
  assertEquals([frames.size, settled.length], [11, 1]);
  flush("4th");
  assertEquals(await take(), "1         b1         c1         d");
  assertEquals(settled, ["1st", "2nd", "3rd"]);
  flush("5th");
  assertEquals(await take(), "1         e");
  assertEquals(settled, ["1st", "2nd", "3rd", "4th", "5th"]);
  await frames.flush();
  assertEquals(frames.size, 0);
});

Deno.test("FrameWriter keeps the frames of many producers whole and each one's in order", async () => {
  const sink = sinkOf(1000);
  const frames = new FrameWriter(sink);
  const produce = async (name: string, random: number) => {
    for (let i = 0; i < 500; i++) {
      random = Math.imul(random, 1103515245) + 12345;
      const text = `${name} ${i} ${"ü".repeat((random >>> 16) % 300)}`;
      frames.add(i % 2 ? text : new TextEncoder().encode(text));
      if (name !== "A") frames.flush(); // Adds more while that is under way.
      if (i % 7 === 0 || frames.isFull) {
        await (name === "B" ? undefined : frames.flush());
      }
    }
    await frames.flush();
  };
  await Promise.all([produce("A", 1), produce("B", 2), produce("C", 3)]);
  const { payloads, failure } = decodeStream(join(sink.writes));
  assertEquals(failure, undefined);
  for (const name of ["A", "B", "C"]) {
    const numbers = payloads.map((payload) => toText(payload).split(" "))
      .filter((words) => words[0] === name)
      .map((words) => Number(words[1]));
    assertEquals(numbers, Array.from({ length: 500 }, (_, i) => i));
  }
});

Deno.test("FrameWriter fails for good with its sink, and writes nothing behind half a frame", async () => {
  const reset = new Error("reset");
  const failures = [
    () => Promise.reject(reset),
    () => {
      throw reset;
    },
  ];
  for (const failure of failures) {
    const writes: string[] = [];
    const frames = new FrameWriter({
      write(bytes) {
        writes.push(toText(bytes));
        return writes.length === 1 ? Promise.resolve(5) : failure();
      },
    });
    frames.add("one");
    const flushes = [frames.flush()];
    await undefined;
    frames.add("two");
    flushes.push(frames.flush(), frames.flush());
    for (const flush of flushes) {
      assert(await assertRejects(() => flush) === reset);
    }
    for (let i = 0; i < 2; i++) {
      assert(assertThrows(() => frames.add("three")) === reset);
      assert(await assertRejects(() => frames.flush()) === reset);
    }
    assertEquals(writes, ["3         one", "     one"]);
  }
});

Deno.test("FrameWriter throws TypeError soon for a sink that returns an impossible count", async () => {
  for (const count of [0, undefined, true, NaN, -1, 14, 1.5, null, "13", {}]) {
    let writes = 0;
    const frames = new FrameWriter({
      write: () => Promise.resolve(++writes > 0 ? count as number : 0),
    });
    frames.add("one");
    const error = await assertRejects(() => frames.flush(), TypeError);
    assertStringIncludes(
      error.message,
      `the sink returned ${count}, expected an integer from 1 to 13`,
    );
    assert(assertThrows(() => frames.add("two")) === error);
    assertEquals(writes, 1);
  }
});

Deno.test("FrameWriter needs one buffer if its producer awaits each flush, and two if not", async () => {
  for (const awaits of [true, false]) {
    const buffers = new Set<ArrayBufferLike>();
    const sink = {
      async write(bytes: Uint8Array) {
        await undefined;
        buffers.add(bytes.buffer);
        return bytes.length;
      },
    };
    const frames = new FrameWriter(sink);
    for (let i = 0; i < 50; i++) {
      frames.add(toBytes("one"));
      const flushing = frames.flush();
      if (awaits) await flushing;
      else await undefined;
    }
    await frames.flush();
    if (awaits) assertEquals(buffers.size, 1);
    else assert(buffers.size <= 2 * 3, `${buffers.size}`); // Each may grow.
  }
});

Deno.test("FrameWriter allocates in proportion to what is added", async () => {
  const frames = new FrameWriter(sinkOf());
  const payload = toBytes("a");
  const bytes = allocatedBy(() => {
    for (let i = 0; i < 10_000; i++) frames.add(payload);
  });
  assert(bytes < 4 * frames.size, `${bytes}`);
  await frames.flush();
  const text = "x".repeat(1000);
  const more = allocatedBy(() => {
    for (let i = 0; i < 100; i++) frames.add(text);
    assertEquals(frames.size, 101_000);
  });
  assertEquals(more, 0); // It keeps the memory of its longest write.
});

Deno.test("FrameEncoderStream's chunks join to the frames of any payloads, and have memory of their own", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(anyText(), payload), { maxLength: 8 }),
      async (payloads) => {
        const chunks = await Array.fromAsync(
          ReadableStream.from(payloads).pipeThrough(new FrameEncoderStream()),
        );
        assertSameBytes(chunks, payloads.map((p) => encodeFrame(p)));
        for (const { buffer, length } of chunks) {
          assertEquals(buffer.byteLength, length);
        }
      },
    ),
  );
});

Deno.test("FrameEncoderStream sends a lone frame at once, as one chunk, whatever its length", async () => {
  for (
    const payload of ["", "one", "x".repeat(4097), new Uint8Array(300_000)]
  ) {
    const { readable, writable } = new FrameEncoderStream();
    const reader = readable.getReader();
    const writer = writable.getWriter();
    for (let i = 0; i < 3; i++) {
      const reading = reader.read();
      await writer.write(payload);
      const { value } = await reading;
      assertEquals(toText(value!), toText(encodeFrame(payload)));
    }
  }
});

Deno.test("FrameEncoderStream sends together what is written while the consumer is busy, in chunks of 64 KiB", async () => {
  const { readable, writable } = new FrameEncoderStream();
  const reader = readable.getReader();
  const writer = writable.getWriter();
  const payload = new Uint8Array(1000 - HEADER_LENGTH);
  for (const isPatient of [false, true]) {
    const writing = (async () => {
      for (let i = 0; i < 200; i++) {
        if (isPatient) await writer.ready;
        writer.write(payload);
      }
    })();
    const lengths: number[] = [];
    for (let sum = 0; sum < 200_000;) {
      await aWhile(); // Busy
      const { value } = await reader.read();
      lengths.push(value!.length);
      sum += value!.length;
    }
    assertEquals(lengths, [66_000, 66_000, 66_000, 2000]);
    await writing;
  }
  const reading = reader.read();
  await writer.write("one");
  assertEquals((await reading).value!.length, 13);
  const rest = [writer.write("two"), writer.write("three"), writer.close()];
  assertEquals(await readText(reader), "3         two5         three");
  assertEquals((await reader.read()).done, true);
  await Promise.all(rest);
});

Deno.test("FrameEncoderStream's desiredSize is the bytes that may be written before the producer should wait", async () => {
  const { readable, writable } = new FrameEncoderStream();
  const writer = writable.getWriter();
  const reader = readable.getReader();
  assertEquals(writer.desiredSize, 8 * KIB);
  const writes = [writer.write("ü"), writer.write(new Uint8Array(100))];
  assertEquals(writer.desiredSize, 8 * KIB - 11 - 110);
  await reader.read();
  await Promise.all(writes);
  assertEquals(writer.desiredSize, 8 * KIB);
  writes.push(writer.write(new Uint8Array(8 * KIB - 11)));
  assertEquals(writer.desiredSize, 1);
  writes.push(writer.write(""));
  assertEquals(writer.desiredSize, -9);
  await reader.read();
  await Promise.all([writer.ready, ...writes]);
});

Deno.test("FrameEncoderStream delivers the frames before a payload that is refused, and fails at both ends", async () => {
  const { buffer: gone } = new Uint8Array(1);
  structuredClone(gone, { transfer: [gone] });
  const refusals: [unknown, typeof FramingError | typeof TypeError][] = [
    ["x".repeat(5001), FramingError],
    [new Uint8Array(5001), FramingError],
    [5, TypeError],
    [null, TypeError],
    [gone, TypeError],
  ];
  for (const [refused, type] of refusals) {
    for (const isRead of [false, true]) {
      const stream = new FrameEncoderStream({ maxFrameLength: 5000 });
      const writer = stream.writable.getWriter();
      const chunks: Uint8Array[] = [];
      const reading = (async () => {
        if (isRead) await aWhile(); // All is written by then.
        for await (const chunk of stream.readable) {
          chunks.push(chunk);
          await aWhile();
        }
      })();
      const payloads = ["one", new Uint8Array(5000), refused, "after"];
      const writing = Promise.all(
        payloads.map((payload) => writer.write(payload as string)),
      );
      writing.catch(() => {}); // Fails before the slow consumer does.
      const error = await assertRejects(() => reading, type);
      if (error instanceof FramingError) {
        assertEquals(factsOf(error), {
          code: "FRAME_TOO_LARGE",
          offset: 0,
          length: 5001,
          maxFrameLength: 5000,
        });
      }
      assertEquals(join(chunks).length, 13 + 5010);
      assert(await assertRejects(() => writing) === error);
      assert(await assertRejects(() => writer.closed) === error);
    }
  }
});

for (const Stream of [FrameEncoderStream, FrameDecoderStream]) {
  const { name } = Stream;
  /** Ends of a stream, and what makes its writing wait while nobody reads. */
  const open = () => {
    const { readable, writable } = new Stream() as {
      readable: ReadableStream<Uint8Array>;
      writable: WritableStream<Uint8Array>;
    };
    const fill = encodeFrame(new Uint8Array(70_000));
    const writer = writable.getWriter();
    return { reader: readable.getReader(), writer, fill };
  };

  Deno.test(`${name} tells the producer when the consumer cancels, with a write in flight or without`, async () => {
    for (const isWriting of [false, true]) {
      const { reader, writer, fill } = open();
      const writing = writer.write(fill);
      await aWhile();
      if (!isWriting) {
        await reader.read();
        reader.read().catch(() => {});
        await writing;
      }
      const reason = new Error("enough");
      await reader.cancel(reason);
      await writing.catch((error) => assert(error === reason));
      assert(await assertRejects(() => writer.closed) === reason);
      assert(await assertRejects(() => writer.write(fill)) === reason);
      assertEquals((await reader.read()).done, true);
    }
  });

  Deno.test(`${name} tells the consumer when the producer aborts, with a write in flight or without`, async () => {
    for (const isWriting of [false, true]) {
      const { reader, writer, fill } = open();
      const writing = isWriting ? writer.write(fill) : undefined;
      await aWhile();
      const reason = new Error("gone");
      writing?.catch((error) => assert(error === reason));
      const aborting = writer.abort(reason);
      assert(await assertRejects(() => reader.read()) === reason);
      await aborting;
      assert(await assertRejects(() => writer.closed) === reason);
    }
  });

  Deno.test(`${name} makes its source wait if the consumer never reads`, async () => {
    const frame = encodeFrame(new Uint8Array(1000 - HEADER_LENGTH));
    let pulled = 0;
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(frame);
      },
    }, { highWaterMark: 0 });
    const piped = source.pipeThrough(new Stream());
    for (let i = 0; i < 20; i++) await aWhile();
    // 64 KiB of frames and 8 KiB that wait for them; or a chunk and the next.
    const most = Stream === FrameEncoderStream ? 66 + 9 : 2;
    assert(pulled <= most, `${pulled}`);
    await piped.cancel();
  });

  Deno.test(`${name}'s ends are streams of the platform, which can be transferred`, async () => {
    const { readable, writable } = new Stream();
    assertInstanceOf(readable, ReadableStream);
    assertInstanceOf(writable, WritableStream);
    const ends = structuredClone({ readable, writable }, {
      transfer: [readable, writable] as Transferable[],
    });
    const writer = ends.writable.getWriter();
    writer.write(encodeFrame("one") as never);
    const reader = ends.readable.getReader();
    const text = toText((await reader.read()).value!);
    assert(text.endsWith("one"));
    await Promise.all([writer.close(), reader.read()]);
  });
}

Deno.test("FrameDecoderStream delivers a payload before more is written", async () => {
  const { readable, writable } = new FrameDecoderStream();
  const reader = readable.getReader();
  const writer = writable.getWriter();
  const first = readText(reader);
  await writer.write(toBytes("3         one3   "));
  assertEquals(await first, "one");
  const second = readText(reader);
  await writer.write(toBytes("      "));
  await writer.write(toBytes("two"));
  assertEquals(await second, "two");
});

for (const form of ["FrameDecoder", "FrameDecoderStream"]) {
  Deno.test(`${form}'s payloads that were cut have memory of their own: to change or transfer one changes no other`, async () => {
    const lengths = [0, 3, 0, 3000, 3000, 1, 6, 6, 64, 65, 512, 513, 70_000, 5];
    const frames = lengths.map((length, i) =>
      encodeFrame(new Uint8Array(length).fill(i))
    );
    for (const size of [1, 7, 500, 4096, 10_000, 100_000]) {
      const chunks = cutEvery(join(frames), size);
      const payloads = await Array.fromAsync(FORMS[form](chunks));
      assertEquals(payloads.map(({ length }) => length), lengths);
      payloads.forEach((payload, i) => {
        assert(payload.every((byte) => byte === i), `payload ${i} of ${size}`);
        assertEquals(payload.buffer.byteLength, payload.length);
        if (i % 2) payload.fill(0xff);
        else transfer(payload);
      });
    }
  });
}

Deno.test("FrameDecoderStream delivers what arrived whole to a slow consumer before the error", async () => {
  const endings = [
    ["INVALID_HEADER", "x"],
    ["FRAME_TOO_LARGE", "9999999999"],
    ["UNEXPECTED_EOF", "3         tw"],
    ["UNEXPECTED_EOF", "3"],
    ["reset", "3"],
  ];
  for (const [expected, rest] of endings) {
    const stream = toBytes("3         one0         3         two" + rest);
    for (const size of [1, 5, 13, 30, 100]) {
      const source = async function* () {
        yield* cutEvery(stream, size);
        if (expected === "reset") throw new Error("reset");
      };
      const texts: string[] = [];
      const error = await assertRejects(async () => {
        const chunks = ReadableStream.from(source());
        const payloads = chunks.pipeThrough(new FrameDecoderStream());
        for await (const payload of payloads) {
          texts.push(toText(payload));
          await aWhile();
        }
      }, Error);
      if (error instanceof FramingError) {
        assertEquals([error.code, error.offset], [expected, 36]);
      } else assertEquals(error.message, expected);
      assertEquals(texts, ["one", "", "two"], `${expected}, ${size}`);
    }
  }
});

Deno.test("FrameDecoderStream fails without waiting for what comes after a bad frame", async () => {
  const { readable, writable } = new FrameDecoderStream();
  const reader = readable.getReader();
  const writing = writable.getWriter().write(toBytes("3         onex"));
  assertEquals(await readText(reader), "one");
  const error = await assertRejects(() => reader.read(), FramingError);
  assertEquals([error.code, error.offset], ["INVALID_HEADER", 13]);
  assert(await assertRejects(() => writing) === error);
});

Deno.test("FrameDecoderStream takes the next chunk once the consumer has read all payloads of the last", async () => {
  const { readable, writable } = new FrameDecoderStream();
  const writer = writable.getWriter();
  const reader = readable.getReader();
  const chunk = toBytes("3         one3         two");
  let written = 0;
  const writing = Promise.all(
    [chunk, chunk, chunk].map((chunk) =>
      writer.write(chunk).then(() => written++)
    ),
  );
  for (const expected of [0, 1, 1, 2, 2, 3]) {
    await aWhile();
    assertEquals(written, expected);
    await readText(reader);
  }
  await writing;
});

Deno.test("FrameDecoderStream may be left before an error that follows", async () => {
  const stream = [toBytes("1         a1         bXXXX")];
  const payloads = ReadableStream.from(stream)
    .pipeThrough(new FrameDecoderStream());
  for await (const payload of payloads) {
    assertEquals(toText(payload), "a");
    break;
  }
});

Deno.test("framing.ts imports nothing, names neither Deno nor Node.js, and says its version", () => {
  const code = framing.replaceAll(/\/\*\*.*?\*\/|\/\/.*?$/gms, "");
  assertMatch(code, /export class FrameDecoder/);
  assertEquals(
    code.match(/\b(import|require|Deno|process|Buffer|node:.*)\b/g),
    null,
  );
  const { name, version } = config;
  assert(framing.includes(`Version ${version} of \`${name}\``));
});

/** Throws unless two lists of chunks join to the same bytes. Faster than `assertEquals`. */
function assertSameBytes(chunks: Uint8Array[], expected: Uint8Array[]): void {
  const payloads = [join(chunks)];
  const wrong = difference({ payloads }, { payloads: [join(expected)] });
  assertEquals(wrong, undefined);
}

/** Texts of any UTF-16 units: ASCII, more, pairs, and surrogates that are alone. */
function anyText(): fc.Arbitrary<string> {
  const unit = fc.oneof(
    fc.integer({ min: 0, max: 0x7f }),
    fc.integer({ min: 0, max: 0xffff }),
    fc.integer({ min: 0xd7ff, max: 0xe000 }),
    fc.constantFrom(0x7ff, 0x800, 0xd800, 0xdbff, 0xdc00, 0xdfff),
  );
  return fc.array(unit).map((units) => String.fromCharCode(...units));
}

/** A sink that takes at most `most` bytes with each write, and keeps them. */
function sinkOf(most = Infinity) {
  const writes: Uint8Array[] = [];
  return {
    writes,
    async write(bytes: Uint8Array) {
      await undefined;
      const taken = bytes.slice(0, most);
      writes.push(taken);
      return taken.length;
    },
  };
}

/** A source that brings a stream, at most `most` bytes with each read, and keeps what it was asked. */
function sourceOf(stream: Uint8Array, most = Infinity) {
  const reads: { buffer: ArrayBufferLike; arrived: number }[] = [];
  let arrived = 0;
  return {
    reads,
    read(room: Uint8Array): Promise<number | null> {
      reads.push({ buffer: room.buffer, arrived });
      const end = arrived + Math.min(room.length, most);
      const part = stream.subarray(arrived, end);
      room.set(part);
      arrived += part.length;
      return Promise.resolve(part.length || null);
    },
  };
}

/** A source from which bytes come when they are told to. */
function slowSource() {
  let wanted = Promise.withResolvers<Uint8Array>();
  let arrived = Promise.withResolvers<number>();
  return {
    source: {
      read(buffer: Uint8Array): Promise<number> {
        wanted.resolve(buffer);
        return arrived.promise;
      },
    },
    async arrive(text: string) {
      const buffer = await wanted.promise;
      wanted = Promise.withResolvers();
      const { resolve } = arrived;
      arrived = Promise.withResolvers();
      buffer.set(toBytes(text));
      resolve(text.length);
      await aWhile();
    },
  };
}

/** Returns how many bytes of memory are allocated meanwhile, collected or not. */
function allocatedBy(work: () => void): number {
  let bytes = 0;
  watchMemory((length) => bytes += length, work);
  return bytes;
}

/** Calls `onAllocation` before memory is allocated by `work`. */
function watchMemory(
  onAllocation: (length: number) => void,
  work: () => void,
): void {
  const original = Uint8Array;
  globalThis.Uint8Array = new Proxy(original, {
    construct(target, args) {
      if (typeof args[0] === "number") onAllocation(args[0]);
      return Reflect.construct(target, args);
    },
  });
  try {
    work();
  } finally {
    globalThis.Uint8Array = original;
  }
}

/** Takes the memory of some bytes away, as posting it to a worker does. */
function transfer({ buffer }: Uint8Array): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
}

async function readText(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<string> {
  const { value } = await reader.read();
  return toText(value ?? new Uint8Array());
}

/** Lets everything happen that is ready to. */
function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
