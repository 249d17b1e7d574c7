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
import {
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
  cutting,
  payload,
  smallPayload,
} from "./fuzz/cases.ts";
import { type Decode, FORMS, readerOf } from "./fuzz/forms.ts";
import {
  type Content,
  decodeStream,
  difference,
  join,
  toBytes,
  toText,
} from "./fuzz/reference.ts";

const LARGEST = 9_999_999_999;
const READ_BUFFER_LENGTH = 256 * 1024;

const smallPayloads = fc.array(smallPayload, { maxLength: 6 });

/** What cannot stand where a header belongs. */
const BAD_HEADERS = [
  "+1        ",
  "-1        ",
  "01        ",
  "00        ",
  "0000000001",
  " 1        ",
  "         1",
  "1 1       ",
  "1        1",
  "          ",
  "\0\0\0\0\0\0\0\0\0\0",
  "1\0\0\0\0\0\0\0\0\0",
  "1\t\t\t\t\t\t\t\t\t",
  "1        \n",
  "1\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0",
  "/         ",
  ":         ",
  "1/        ",
  "1:        ",
  "1.0       ",
  "1,000     ",
  "1_000     ",
  "1e3       ",
  "0x10      ",
  "NaN       ",
  "\xb9         ",
  "HTTP/1.1 2",
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

Deno.test("encodeFrame takes a payload that is a part of a larger buffer", () => {
  const frame = encodeFrame(toBytes("no one else").subarray(3, 6));
  assertEquals(toText(frame), "3         one");
});

Deno.test("encodeFrame refuses one byte over the limit, counted in bytes", () => {
  assertEquals(encodeFrame("ü", { maxFrameLength: 2 }).length, 12);
  const error = assertThrows(
    () => encodeFrame("aü", { maxFrameLength: 2 }),
    FramingError,
  );
  assertEquals(error.code, "FRAME_TOO_LARGE");
  assertEquals(error.offset, 0);
  assertEquals(error.details, { length: 3, maxFrameLength: 2 });
  assertEquals(
    error.message,
    "Cannot encode a payload of 3 bytes: it is over the limit of 2 bytes",
  );
  assertEquals(encodeFrame("", { maxFrameLength: 0 }).length, 10);
  assertThrows(() => encodeFrame("a", { maxFrameLength: 0 }), FramingError);
});

Deno.test("encodeFrame has a limit of 8 MiB unless told otherwise", () => {
  assertEquals(DEFAULT_MAX_FRAME_LENGTH, 8 * 1024 * 1024);
  const payload = new Uint8Array(DEFAULT_MAX_FRAME_LENGTH + 1);
  assertEquals(
    toText(encodeFrame(payload.subarray(1)).subarray(0, HEADER_LENGTH)),
    "8388608   ",
  );
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

Deno.test("decodeHeader looks at the first 10 bytes only", () => {
  assertEquals(decodeHeader(toBytes("7         77")), 7);
  assertEquals(decodeHeader(toBytes("xx7         x").subarray(2)), 7);
});

Deno.test("decodeHeader takes the one spelling of a length and no other", () => {
  for (const header of BAD_HEADERS) {
    const error = assertThrows(
      () => decodeHeader(toBytes(header + "1234567890")),
      FramingError,
    );
    assertEquals(error.code, "INVALID_HEADER", header);
    assertEquals(error.offset, 0);
    assertEquals(error.details, { header });
    assertStringIncludes(error.message, JSON.stringify(header));
  }
});

Deno.test("decodeHeader throws INVALID_HEADER where fewer than 10 bytes are given", () => {
  for (const header of ["", "2", "29       ", "x"]) {
    const error = assertThrows(
      () => decodeHeader(toBytes(header)),
      FramingError,
    );
    assertEquals(error.code, "INVALID_HEADER");
    assertEquals(error.details, { header });
  }
});

Deno.test("decodeHeader throws FRAME_TOO_LARGE one over the limit, and not before", () => {
  const decode = (header: string, maxFrameLength?: number) =>
    decodeHeader(toBytes(header.padEnd(HEADER_LENGTH)), { maxFrameLength });
  assertEquals(decode("8388608"), 8388608);
  assertEquals(decode("0", 0), 0);
  assertEquals(decode("29", 29), 29);
  assertEquals(decode("9999999999", LARGEST), LARGEST);
  for (
    const [header, limit] of [
      ["8388609", undefined],
      ["1", 0],
      ["30", 29],
      ["9999999999", LARGEST - 1],
    ] as const
  ) {
    const error = assertThrows(() => decode(header, limit), FramingError);
    assertEquals(error.code, "FRAME_TOO_LARGE");
    assertEquals(error.offset, 0);
    assertEquals(error.details, {
      length: Number(header),
      maxFrameLength: limit ?? DEFAULT_MAX_FRAME_LENGTH,
    });
  }
});

Deno.test("A header with any one byte changed is invalid, or another header", () => {
  const options = { maxFrameLength: LARGEST };
  let valid = 0;
  const headers = ["0", "7", "29", "345", "1024", "56789", "1000000000"];
  for (const header of headers) {
    for (let at = 0; at < HEADER_LENGTH; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const bytes = toBytes(header.padEnd(HEADER_LENGTH));
        bytes[at] = byte;
        const { failure } = decodeStream(bytes, options);
        if (failure?.code === "INVALID_HEADER") {
          const error = assertThrows(
            () => decodeHeader(bytes, options),
            FramingError,
          );
          assertEquals(error.code, "INVALID_HEADER");
        } else {
          valid++;
          assertEquals(decodeHeader(bytes, options), Number(toText(bytes)));
        }
      }
    }
  }
  // 0: 10 digits, then 9 spaces. 7: 10 digits, then 10 or a space, then 8 spaces.
  // The others: 9 digits, then 10 up to the last but one; then twice 10 or a
  // space, and spaces. 1000000000 has nothing behind its last digit.
  const others = [2, 3, 4, 5].map((size) =>
    9 + (size - 2) * 10 + 2 * 11 + (HEADER_LENGTH - 1 - size)
  );
  assertEquals(
    valid,
    (10 + 9) + (10 + 11 + 8) + others.reduce((a, b) => a + b) +
      (9 + 8 * 10 + 11),
  );
});

Deno.test("Every part of framing.ts throws RangeError for a limit that is none", () => {
  const nowhere = { read: never, write: never };
  const parts: ((options: FramingOptions) => unknown)[] = [
    (options) => encodeFrame("", options),
    (options) => decodeHeader(toBytes("0         "), options),
    (options) => new FrameDecoder(options),
    (options) => new FrameReader(nowhere, options),
    (options) => new FrameWriter(nowhere, options),
    (options) => new FrameEncoderStream(options),
    (options) => new FrameDecoderStream(options),
  ];
  for (const part of parts) {
    for (const maxFrameLength of [-1, 0.5, NaN, Infinity, LARGEST + 1]) {
      assertThrows(
        () => part({ maxFrameLength }),
        RangeError,
        `Cannot use ${maxFrameLength} as maxFrameLength`,
      );
    }
    for (const maxFrameLength of [0, 1, LARGEST, undefined]) {
      part({ maxFrameLength });
    }
  }
});

Deno.test("FramingError is an Error with a name, a code and facts", () => {
  const error = new FramingError("UNEXPECTED_EOF", "Cannot", 3);
  assertInstanceOf(error, Error);
  assertEquals(error.name, "FramingError");
  assertEquals(error.message, "Cannot");
  assertEquals([error.code, error.offset], ["UNEXPECTED_EOF", 3]);
  assertEquals(error.details, {});
});

for (const [form, decode] of Object.entries<Decode>(FORMS)) {
  const decodesTo = async (
    chunks: Uint8Array[],
    content: Content,
    options?: FramingOptions,
  ) => {
    const outcome = await decode(chunks, options);
    assertEquals(difference(outcome, content), undefined);
  };

  Deno.test(`${form} gives back any payloads, however the stream is cut`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(payload, { maxLength: 8 }),
        cutting,
        (payloads, cut) =>
          decodesTo(cut(join(payloads.map((p) => encodeFrame(p)))), {
            payloads,
          }),
      ),
      { numRuns: 300 },
    );
  });

  Deno.test(`${form} gives back payloads as long as its memory is, one byte less and more`, async () => {
    for (const size of [64, 1024, 4096, 64 * 1024, 256 * 1024]) {
      const payloads = [-11, -10, -1, 0, 1, 10]
        .map((more) => new Uint8Array(size + more).fill(size + more));
      const stream = join(payloads.map((p) => encodeFrame(p)));
      for (const chunk of [stream.length, 64 * 1024, 1000, size, size + 9]) {
        await decodesTo(cutEvery(stream, chunk), { payloads });
      }
    }
  });

  Deno.test(`${form} gives back payloads that arrive byte by byte`, async () => {
    await fc.assert(
      fc.asyncProperty(smallPayloads, (payloads) =>
        decodesTo(
          cutEvery(join(payloads.map((p) => encodeFrame(p))), 1),
          { payloads },
        )),
      { numRuns: 50 },
    );
  });

  Deno.test(`${form} gives back payloads of a stream cut in three, at every two places`, async () => {
    const payloads = ["one", "", "a 2nd"].map(toBytes);
    const stream = join(payloads.map((p) => encodeFrame(p)));
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        await decodesTo(cutAt(stream, [first, second]), { payloads });
      }
    }
  });

  Deno.test(`${form} throws UNEXPECTED_EOF for a stream that ends anywhere but between frames`, async () => {
    const frames = ["one", "", "a 2nd"].map((text) => encodeFrame(text));
    const stream = join(frames);
    for (let end = 0; end <= stream.length; end++) {
      // Which frame the stream ends in, and where that begins.
      let offset = 0;
      let count = 0;
      while (count < 3 && offset + frames[count].length <= end) {
        offset += frames[count++].length;
      }
      const received = end - offset;
      const whole = frames.slice(0, count).map((frame) => frame.subarray(10));
      const failure = received === 0 ? undefined : {
        code: "UNEXPECTED_EOF" as const,
        offset,
        received,
        expected: received < 10 ? 10 : frames[count].length,
      };
      for (const size of [1, 7, 100]) {
        const chunks = cutEvery(stream.subarray(0, end), size);
        await decodesTo(chunks, { payloads: whole, failure });
      }
    }
  });

  Deno.test(`${form} throws UNEXPECTED_EOF for a long payload that ends early`, async () => {
    const stream = encodeFrame(new Uint8Array(300_000));
    for (const end of [11, 1034, 4106, READ_BUFFER_LENGTH, 300_009]) {
      await decodesTo(cutEvery(stream.subarray(0, end), 50_000), {
        payloads: [],
        failure: {
          code: "UNEXPECTED_EOF",
          offset: 0,
          received: end,
          expected: 300_010,
        },
      });
    }
  });

  Deno.test(`${form} delivers what stands before a frame with any header byte changed, and tells where that is`, async () => {
    await fc.assert(
      fc.asyncProperty(
        smallPayloads,
        smallPayload,
        fc.nat(9),
        fc.oneof(fc.nat(255), fc.constantFrom(...toBytes("0129 "))),
        cutting,
        async (before, last, at, byte, cut) => {
          const frames = before.map((p) => encodeFrame(p));
          const { length: offset } = join(frames);
          const bad = encodeFrame(last);
          bad[at] = byte;
          const stream = join([...frames, bad]);
          const { payloads, error } = await decode(cut(stream));
          const { failure } = decodeStream(bad);
          assertEquals(
            payloads.slice(0, before.length).map(toText),
            before.map(toText),
          );
          if (failure === undefined) return assertEquals(error, undefined);
          assertInstanceOf(error, FramingError);
          assertEquals(error.code, failure.code);
          assertEquals(error.offset, offset + failure.offset);
        },
      ),
      { numRuns: 500 },
    );
  });

  Deno.test(`${form} takes the one spelling of a length and no other`, async () => {
    for (const header of BAD_HEADERS) {
      const stream = toBytes("2         hi" + header + "a");
      for (const size of [1, 12, 13, 100]) {
        const { payloads, error } = await decode(cutEvery(stream, size));
        assertEquals(payloads.map(toText), ["hi"]);
        assertInstanceOf(error, FramingError);
        assertEquals([error.code, error.offset], ["INVALID_HEADER", 12]);
        assert(header.startsWith(error.details.header ?? "none"), header);
      }
    }
  });

  Deno.test(`${form} throws nothing but FramingError, and the right one, for any input`, async () => {
    await fc.assert(
      fc.asyncProperty(anyCase(payload), async (candidate) => {
        assertEquals(await checkCase(decode, candidate), undefined);
      }),
      { numRuns: 500 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), cutting, async (stream, cut) => {
        const candidate = { chunks: cut(stream) };
        assertEquals(await checkCase(decode, candidate), undefined);
      }),
      { numRuns: 200 },
    );
  });

  Deno.test(`${form} lets the limit through and throws FRAME_TOO_LARGE one over it`, async () => {
    const accepts = async (length: number, maxFrameLength?: number) => {
      const payload = new Uint8Array(length);
      const options = { maxFrameLength };
      const stream = encodeFrame(payload, { maxFrameLength: length });
      await decodesTo([stream], { payloads: [payload] }, options);
      await decodesTo(cutAt(stream, [3]), { payloads: [payload] }, options);
    };
    const refuses = async (length: number, maxFrameLength?: number) => {
      // The header is enough: no payload is waited for, nor let through.
      const rest = "\0".repeat(Math.min(length, 5001));
      const stream = toBytes("0         " + String(length).padEnd(10) + rest);
      const failure = {
        code: "FRAME_TOO_LARGE" as const,
        offset: 10,
        length,
        maxFrameLength: maxFrameLength ?? DEFAULT_MAX_FRAME_LENGTH,
      };
      for (const end of [20, stream.length]) {
        await decodesTo(
          [stream.subarray(0, end)],
          { payloads: [new Uint8Array()], failure },
          { maxFrameLength },
        );
        await decodesTo(
          cutEvery(stream.subarray(0, end), 1),
          { payloads: [new Uint8Array()], failure },
          { maxFrameLength },
        );
      }
    };
    await accepts(0, 0);
    await refuses(1, 0);
    await accepts(1, 1);
    await refuses(2, 1);
    await accepts(5000, 5000);
    await refuses(5001, 5000);
    await accepts(DEFAULT_MAX_FRAME_LENGTH);
    await refuses(DEFAULT_MAX_FRAME_LENGTH + 1);
    await refuses(LARGEST, LARGEST - 1);
  });

  Deno.test(`${form} says for people where and what was wrong`, async () => {
    const says = async (stream: string, message: string) => {
      const chunks = [toBytes("2         hi" + stream)];
      const { error } = await decode(chunks, { maxFrameLength: 100 });
      assertInstanceOf(error, FramingError);
      assertEquals(
        error.message,
        `Cannot decode the frame at byte 12: ${message}`,
      );
    };
    await says(
      'HTTP/1.1 "400"',
      'expected a header (a length in digits, then spaces, 10 bytes in all), found "HTTP/1.1 \\""',
    );
    await says(
      "101       a",
      "its payload of 101 bytes is over the limit of 100 bytes",
    );
    await says("29  ", "the stream ended after 4 of its 10 header bytes");
    await says(
      "29        ",
      "the stream ended after 0 of its 29 payload bytes",
    );
    await says(
      "29        The",
      "the stream ended after 3 of its 29 payload bytes",
    );
  });
}

Deno.test("FrameDecoder delivers and fails with the very byte that decides", () => {
  fc.assert(fc.property(anyCase(smallPayload), ({ chunks, maxFrameLength }) => {
    const stream = join(chunks);
    const decoder = new FrameDecoder({ maxFrameLength });
    let count = 0;
    for (let end = 1; end <= stream.length; end++) {
      const { payloads, failure } = decodeStream(stream.subarray(0, end), {
        maxFrameLength,
      });
      const push = () => decoder.push(stream.subarray(end - 1, end));
      if (failure !== undefined && failure.code !== "UNEXPECTED_EOF") {
        return void assertThrows(push, FramingError);
      }
      count += push().length;
      assertEquals(count, payloads.length);
    }
  }));
});

Deno.test("FrameDecoder gives the payloads before a bad frame, and throws with the next call", () => {
  const chunk = toBytes("2         hi0         x");
  for (const next of ["push", "end"] as const) {
    const decoder = new FrameDecoder();
    assertEquals(decoder.push(chunk).map(toText), ["hi", ""]);
    const error = assertThrows(() => decoder[next](chunk), FramingError);
    assertEquals([error.code, error.offset], ["INVALID_HEADER", 22]);
  }
});

Deno.test("FrameDecoder throws at once where no payload stands before the bad frame", () => {
  const decoder = new FrameDecoder();
  assertThrows(() => decoder.push(toBytes("x")), FramingError);
});

Deno.test("FrameDecoder is dead after an error, and throws that error again", () => {
  const good = encodeFrame("good");
  const deaths: [string, (decoder: FrameDecoder) => void][] = [
    ["INVALID_HEADER", (decoder) => decoder.push(toBytes("1x"))],
    ["FRAME_TOO_LARGE", (decoder) => decoder.push(toBytes("9999999999"))],
    ["UNEXPECTED_EOF", (decoder) => {
      decoder.push(toBytes("3         "));
      decoder.end();
    }],
  ];
  for (const [code, die] of deaths) {
    const decoder = new FrameDecoder();
    decoder.push(good);
    const error = assertThrows(() => die(decoder), FramingError);
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
  const found = (...chunks: string[]) => {
    const decoder = new FrameDecoder();
    const error = assertThrows(
      () => chunks.forEach((chunk) => decoder.push(toBytes(chunk))),
      FramingError,
    );
    return error.details.header;
  };
  assertEquals(found("HTTP/1.1 200 OK"), "HTTP/1.1 2");
  assertEquals(found("HT", "TP/1.1 200 OK"), "HT");
  assertEquals(found("12", "x", "yz"), "12x");
  assertEquals(found("12", "3x56789012"), "123x567890");
});

Deno.test("FrameDecoder does not copy a payload that lies whole in its chunk", () => {
  const chunk = toBytes("..3         one5000      ".padEnd(6000)).subarray(2);
  const payloads = new FrameDecoder().push(chunk);
  assertEquals(payloads.map((payload) => payload.byteOffset), [12, 25]);
  assertEquals(payloads.map((payload) => payload.length), [3, 5000]);
  for (const { buffer } of payloads) assert(buffer === chunk.buffer);
});

Deno.test("FrameDecoder gives as many payloads as a long chunk holds, whatever the first one's length", () => {
  for (const first of [0, 100, 10_000]) {
    for (const others of [Array(9000).fill(0), Array(9).fill(5000)]) {
      const lengths = [first, ...others];
      const frames = lengths.map((size) => encodeFrame(new Uint8Array(size)));
      const decoder = new FrameDecoder();
      decoder.push(frames[0].subarray(0, 5));
      const payloads = decoder.push(join(frames).subarray(5));
      assertEquals(payloads.map(({ length }) => length), lengths);
    }
  }
});

Deno.test("FrameDecoder keeps nothing in a chunk whose buffer is used again", () => {
  // Cut inside headers, small payloads and long ones, all through one buffer.
  const payloads = [3, 20, 1024, 1025, 70_000].flatMap((length) => [
    new Uint8Array(length).fill(length),
    new Uint8Array(length).fill(length + 1),
  ]);
  const stream = join(payloads.map((payload) => encodeFrame(payload)));
  for (const size of [2, 9, 11, 1000, 4099]) {
    const buffer = new Uint8Array(size);
    const decoder = new FrameDecoder();
    const kept: Uint8Array[] = [];
    for (const chunk of cutEvery(stream, size)) {
      buffer.set(chunk);
      for (const payload of decoder.push(buffer.subarray(0, chunk.length))) {
        kept.push(payload.buffer === buffer.buffer ? payload.slice() : payload);
      }
      buffer.fill(0x39);
    }
    decoder.end();
    assertEquals(difference({ payloads: kept }, { payloads }), undefined);
  }
});

Deno.test("FrameDecoder gives cut payloads memory that no other payload's bytes share", () => {
  const frame = encodeFrame("abc");
  const decoder = new FrameDecoder();
  const payloads = Array.from({ length: 2000 }, () => {
    decoder.push(frame.subarray(0, 11));
    return decoder.push(frame.subarray(11))[0];
  });
  for (const payload of payloads) {
    assertEquals(toText(payload), "abc");
    payload.fill(0);
  }
});

Deno.test("FrameDecoder ends well before the first frame and after any", () => {
  const decoder = new FrameDecoder();
  decoder.end();
  decoder.push(new Uint8Array());
  decoder.end();
  decoder.push(encodeFrame("one"));
  decoder.end();
});

Deno.test("A thousand FrameDecoders that are promised 8 MiB each take memory for what arrives", () => {
  const header = toBytes("8388608   ");
  for (const arrived of [0, 1, 2000]) {
    const chunk = join([header, new Uint8Array(arrived)]);
    for (const cut of [HEADER_LENGTH, 3, chunk.length]) {
      const before = Deno.memoryUsage().external;
      const decoders = Array.from({ length: 1000 }, () => {
        const decoder = new FrameDecoder();
        decoder.push(chunk.subarray(0, cut));
        decoder.push(chunk.subarray(cut));
        return decoder;
      });
      const each = (Deno.memoryUsage().external - before) / decoders.length;
      assert(each <= 8 * arrived + 4096 + 256, `${each} bytes for ${arrived}`);
      // They are still in use: what they hold cannot have been collected.
      for (const decoder of decoders) assertThrows(() => decoder.end());
    }
  }
});

Deno.test("FrameReader delivers and fails with the very byte that decides", async () => {
  await fc.assert(
    fc.asyncProperty(
      anyCase(smallPayload),
      async ({ chunks, maxFrameLength }) => {
        const stream = join(chunks);
        const frames = new FrameReader(readerOf(cutEvery(stream, 1)), {
          maxFrameLength,
        });
        let count = 0;
        for (let end = 1; end <= stream.length; end++) {
          const { payloads, failure } = decodeStream(stream.subarray(0, end), {
            maxFrameLength,
          });
          assertEquals(await frames.read(), true);
          if (failure !== undefined && failure.code !== "UNEXPECTED_EOF") {
            return void assertThrows(() => frames.next(), FramingError);
          }
          while (frames.next()) count++;
          assertEquals(count, payloads.length);
        }
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("FrameReader gives the place of each payload in its buffer", async () => {
  const frames = new FrameReader(
    readerOf([toBytes("3         one0         5         th"), toBytes("ree1")]),
  );
  const taken: [number, number, string][] = [];
  while (taken.length < 3 && await frames.read()) {
    assertEquals(frames.payload.length, frames.end - frames.start);
    while (frames.next()) {
      const { bytes, start, end, payload } = frames;
      assert(payload.buffer === bytes.buffer);
      assertEquals(toText(bytes.subarray(start, end)), toText(payload));
      taken.push([start, end, toText(payload)]);
    }
  }
  assertEquals(taken, [[10, 13, "one"], [23, 23, ""], [33, 38, "three"]]);
});

Deno.test("FrameReader has no payload before the first", async () => {
  const frames = new FrameReader(readerOf([toBytes("3         on")]));
  assertEquals(frames.payload.length, 0);
  assertEquals(frames.next(), false);
  assertEquals(await frames.read(), true);
  assertEquals(frames.next(), false);
  assertEquals(frames.payload.length, 0);
});

Deno.test("FrameReader stands still at the end of the stream", async () => {
  const frames = new FrameReader(readerOf([encodeFrame("one")]));
  assertEquals(await frames.read(), true);
  assertEquals(frames.next(), true);
  for (let i = 0; i < 2; i++) {
    assertEquals(frames.next(), false);
    assertEquals(await frames.read(), false);
  }
});

Deno.test("FrameReader keeps the frames that were not taken when it reads again, to the end of the stream", async () => {
  const frames = new FrameReader(
    readerOf(["one", "two", "three"].map((text) => encodeFrame(text))),
  );
  for (let i = 0; i < 5; i++) assertEquals(await frames.read(), true);
  const texts: string[] = [];
  while (frames.next()) texts.push(toText(frames.payload));
  assertEquals(texts, ["one", "two", "three"]);
  assertEquals(await frames.read(), false);
});

Deno.test("FrameReader makes room when frames that were not taken fill its buffer", async () => {
  const frame = encodeFrame(new Uint8Array(100_000));
  const frames = new FrameReader(readerOf(Array(10).fill(frame)));
  for (let i = 0; i < 20; i++) assertEquals(await frames.read(), true);
  let count = 0;
  while (frames.next()) count++;
  assertEquals(count, 10);
  assertEquals(await frames.read(), false);
});

Deno.test("FrameReader throws the error of a bad frame with every call of next", async () => {
  const frames = new FrameReader(readerOf([toBytes("2         hix")]));
  await frames.read();
  assertEquals(frames.next(), true);
  for (let i = 0; i < 3; i++) {
    const error = assertThrows(() => frames.next(), FramingError);
    assertEquals([error.code, error.offset], ["INVALID_HEADER", 12]);
  }
});

Deno.test("FrameReader throws UNEXPECTED_EOF with every call of read", async () => {
  const frames = new FrameReader(readerOf([toBytes("2         hi3   ")]));
  await frames.read();
  assertEquals(frames.next(), true);
  assertEquals(frames.next(), false);
  for (let i = 0; i < 3; i++) {
    const error = await assertRejects(() => frames.read(), FramingError);
    assertEquals([error.code, error.offset], ["UNEXPECTED_EOF", 12]);
  }
});

Deno.test("FrameReader passes on what its source rejects with", async () => {
  const failure = new Error("reset");
  const frames = new FrameReader({ read: () => Promise.reject(failure) });
  assert(await assertRejects(() => frames.read()) === failure);
});

Deno.test("FrameReader takes memory for what arrives, not for what is promised", async () => {
  const payload = new Uint8Array(DEFAULT_MAX_FRAME_LENGTH).fill(7);
  const stream = encodeFrame(payload);
  let arrived = 0;
  const frames = new FrameReader({
    read(buffer) {
      const count = Math.min(buffer.length, 10_000, stream.length - arrived);
      buffer.set(stream.subarray(arrived, arrived + count));
      arrived += count;
      if (count === 0) throw new Error("Cannot read: it has ended");
      return Promise.resolve(count);
    },
  });
  do {
    assertEquals(await frames.read(), true);
    const size = frames.bytes.length;
    assert(size <= Math.max(READ_BUFFER_LENGTH, 4 * arrived), `${size}`);
    assert(size <= stream.length + READ_BUFFER_LENGTH, `${size}`);
  } while (!frames.next());
  assertEquals(arrived, stream.length);
  assertEquals(
    difference({ payloads: [frames.payload] }, { payloads: [payload] }),
    undefined,
  );
});

Deno.test("FrameReader keeps its buffer while frames fit into it", async () => {
  const frame = encodeFrame(new Uint8Array(READ_BUFFER_LENGTH - 10));
  const frames = new FrameReader(readerOf(Array(5).fill(frame)));
  let count = 0;
  while (await frames.read()) while (frames.next()) count++;
  assertEquals(count, 5);
  assertEquals(frames.bytes.length, READ_BUFFER_LENGTH);
});

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

Deno.test("FrameWriter writes what encodeFrame makes, of texts and bytes in any order, to a sink that takes parts", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.oneof(anyText(), payload), { maxLength: 8 }), {
        maxLength: 3,
      }),
      fc.constantFrom(1000, 7777, Infinity),
      async (batches, most) => {
        const sink = sinkOf(most);
        const frames = new FrameWriter(sink);
        for (const batch of batches) {
          for (const payload of batch) frames.add(payload);
          await frames.flush();
        }
        const written = join(sink.writes);
        const expected = batches.flat().map((payload) => encodeFrame(payload));
        assertEquals(
          difference({ payloads: [written] }, { payloads: [join(expected)] }),
          undefined,
        );
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("FrameWriter writes a text and its bytes alike, lone surrogates too", async () => {
  const texts = ["", "a", "ü€😀", "\ud83d", "\ude00", "\ud83d\ud83d\ude00x"];
  const asText = sinkOf();
  const asBytes = sinkOf();
  const textWriter = new FrameWriter(asText);
  const byteWriter = new FrameWriter(asBytes);
  // A high surrogate before a low one of the next payload stays alone.
  for (const text of [...texts, ...texts.toReversed()]) {
    textWriter.add(text);
    byteWriter.add(new TextEncoder().encode(text));
    assertEquals(textWriter.size, byteWriter.size);
  }
  await textWriter.flush();
  await byteWriter.flush();
  assertEquals(toText(join(asText.writes)), toText(join(asBytes.writes)));
});

Deno.test("FrameWriter gives every frame its own length, whatever came before", async () => {
  const lengths = [0, 10, 100, 0, 256, 0, 0, 10, 110, 10, 65_536, 0, 1, 1];
  const payloads = lengths.map((length) => new Uint8Array(length));
  const sink = sinkOf();
  const frames = new FrameWriter(sink);
  for (const payload of payloads) frames.add(payload);
  for (const payload of payloads) frames.add("\0".repeat(payload.length));
  await frames.flush();
  const content = { payloads: [...payloads, ...payloads] };
  assertEquals(
    difference(decodeStream(join(sink.writes)), content),
    undefined,
  );
});

Deno.test("FrameWriter goes on where a write took a part only", async () => {
  const sink = sinkOf(4);
  const frames = new FrameWriter(sink);
  frames.add("one");
  frames.add(toBytes("two"));
  await frames.flush();
  assertEquals(sink.writes.map(toText), [
    ..."3   |    |  on|e3  |    |   t|wo".split("|"),
  ]);
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
  assertEquals(frames.size, 0);
  assertEquals(frames.isFull, false);
  frames.add("ü");
  assertEquals(frames.size, 12);
  frames.add(toBytes("abc"));
  assertEquals(frames.size, 25);
  frames.add("x".repeat(65_536 - 25 - 10 - 1));
  assertEquals(frames.size, 65_535);
  assertEquals(frames.isFull, false);
  frames.add("");
  assertEquals(frames.size, 65_545);
  assertEquals(frames.isFull, true);
  frames.add("there is still room");
  await frames.flush();
  assertEquals(frames.size, 0);
  assertEquals(frames.isFull, false);
  frames.add("x".repeat(65_526));
  assertEquals(frames.isFull, true);
  await frames.flush();
  frames.add("€".repeat(21_841));
  assertEquals([frames.size, frames.isFull], [65_533, false]);
  await frames.flush();
  frames.add("€".repeat(21_842));
  assertEquals([frames.isFull, frames.size], [true, 65_536]);
});

Deno.test("FrameWriter copies payloads when they are added", async () => {
  const sink = sinkOf();
  const frames = new FrameWriter(sink);
  const payload = toBytes("x".repeat(100));
  frames.add(payload);
  payload.fill(0);
  await frames.flush();
  assertEquals(toText(join(sink.writes)), "100       " + "x".repeat(100));
});

Deno.test("FrameWriter refuses a payload over the limit, and stays as it was", async () => {
  const sink = sinkOf();
  const frames = new FrameWriter(sink, { maxFrameLength: 2 });
  frames.add("ü");
  for (const payload of ["aü", toBytes("abc")]) {
    const error = assertThrows(() => frames.add(payload), FramingError);
    assertEquals(error.code, "FRAME_TOO_LARGE");
    assertEquals(error.details, { length: 3, maxFrameLength: 2 });
    assertEquals(frames.size, 12);
  }
  frames.add(toBytes("a"));
  await frames.flush();
  assertEquals(toText(join(sink.writes)), "2         \xc3\xbc1         a");
});

Deno.test("FrameWriter throws TypeError for a frame added while it flushes, until that is done", async () => {
  const frames = new FrameWriter(sinkOf(7));
  frames.add("one");
  const flushing = frames.flush();
  assertThrows(() => frames.add("two"), TypeError, "flush has not finished");
  await flushing;
  frames.add("two");
  assertEquals(frames.size, 13);
});

Deno.test("FrameWriter throws TypeError for a second flush before the first is done", async () => {
  const sink = sinkOf(7);
  const frames = new FrameWriter(sink);
  frames.add("one");
  const flushing = frames.flush();
  await assertRejects(() => frames.flush(), TypeError, "Cannot flush");
  assertThrows(() => frames.add("two"), TypeError);
  await flushing;
  frames.add("two");
  await frames.flush();
  assertEquals(toText(join(sink.writes)), "3         one3         two");
});

Deno.test("FrameWriter passes on what its sink rejects with, and loses what was added", async () => {
  const failure = new Error("reset");
  const writes: string[] = [];
  const frames = new FrameWriter({
    async write(bytes) {
      await undefined;
      writes.push(toText(bytes));
      if (writes.length === 1) return 4;
      if (writes.length === 2) throw failure;
      return bytes.length;
    },
  });
  frames.add("one");
  assert(await assertRejects(() => frames.flush()) === failure);
  assertEquals(frames.size, 0);
  frames.add("two");
  await frames.flush();
  assertEquals(writes, ["3         one", "      one", "3         two"]);
});

Deno.test("FrameEncoderStream's chunks join to the frames of any payloads", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(anyText(), payload), { maxLength: 8 }),
      async (payloads) => {
        const chunks = await Array.fromAsync(
          ReadableStream.from(payloads).pipeThrough(new FrameEncoderStream()),
        );
        const expected = payloads.map((payload) => encodeFrame(payload));
        assertEquals(
          difference({ payloads: [join(chunks)] }, {
            payloads: [join(expected)],
          }),
          undefined,
        );
      },
    ),
  );
});

Deno.test("FrameEncoderStream gives one chunk for a payload up to 4 KiB, and does not copy a longer one", async () => {
  const payloads = [0, 4096, 4097].map((length) => new Uint8Array(length));
  const chunks = await Array.fromAsync(
    ReadableStream.from(payloads).pipeThrough(new FrameEncoderStream()),
  );
  assertEquals(chunks.map(({ length }) => length), [10, 4106, 10, 4097]);
  assert(chunks[3] === payloads[2]);
});

Deno.test("FrameEncoderStream delivers the frames before a payload over the limit, and fails at both ends", async () => {
  for (const tooLong of ["x".repeat(5001), new Uint8Array(5001)]) {
    const stream = new FrameEncoderStream({ maxFrameLength: 5000 });
    const writer = stream.writable.getWriter();
    const writing = Promise.all(
      ["one", new Uint8Array(5000), tooLong].map((payload) =>
        writer.write(payload)
      ),
    );
    const chunks: Uint8Array[] = [];
    const error = await assertRejects(async () => {
      for await (const chunk of stream.readable) chunks.push(chunk);
    }, FramingError);
    assertEquals(error.code, "FRAME_TOO_LARGE");
    assertEquals(error.details, { length: 5001, maxFrameLength: 5000 });
    assertEquals(join(chunks).length, 13 + 5010);
    assert(await assertRejects(() => writing) === error);
    assert(await assertRejects(() => writer.closed) === error);
  }
});

Deno.test("FrameDecoderStream undoes FrameEncoderStream", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(payload, { maxLength: 8 }), async (payloads) => {
      const decoded = await Array.fromAsync(
        ReadableStream.from(payloads)
          .pipeThrough(new FrameEncoderStream())
          .pipeThrough(new FrameDecoderStream()),
      );
      assertEquals(difference({ payloads: decoded }, { payloads }), undefined);
    }),
  );
});

Deno.test("FrameDecoderStream delivers a payload before more is written, and takes more when it is read", async () => {
  const { readable, writable } = new FrameDecoderStream();
  const reader = readable.getReader();
  const writer = writable.getWriter();
  const first = readText(reader);
  await writer.write(toBytes("3         one3   "));
  assertEquals(await first, "one");
  await writer.write(toBytes("      "));
  const second = readText(reader);
  await writer.write(toBytes("two"));
  assertEquals(await second, "two");
  const writing = writer.write(toBytes("5         three0         "));
  assertEquals(await readText(reader), "three");
  assertEquals(await readText(reader), "");
  await writing;
  await writer.close();
  assertEquals((await reader.read()).done, true);
});

Deno.test("FrameDecoderStream's payloads keep at most 16 KiB beside themselves alive", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(payload, { maxLength: 40 }),
      cutting,
      async (payloads, cut) => {
        const stream = join(payloads.map((payload) => encodeFrame(payload)));
        const outcome = await FORMS.FrameDecoderStream(cut(stream));
        for (const { buffer, length } of outcome.payloads) {
          assert(
            buffer.byteLength <= length + 16 * 1024,
            `${buffer.byteLength}`,
          );
        }
      },
    ),
  );
  // A socket's chunk: a frame in a buffer of 64 KiB.
  const chunk = new Uint8Array(64 * 1024).subarray(100, 200);
  chunk.set(toBytes("29        The time is 1795392089.695505"));
  chunk.set(encodeFrame(new Uint8Array(51)), 39);
  const { payloads } = await FORMS.FrameDecoderStream([chunk]);
  assertEquals(payloads.map(({ length }) => length), [29, 51]);
  for (const { buffer } of payloads) assert(buffer.byteLength <= 100);
});

Deno.test("FrameDecoderStream's payloads share no memory with the chunks, nor bytes with each other", async () => {
  const lengths = [3, 0, 3000, 3000, 1, 70_000, 5];
  const frames = lengths.map((length, i) =>
    encodeFrame(new Uint8Array(length).fill(i))
  );
  for (const size of [1000, 4096, 10_000, 100_000]) {
    const chunks = cutEvery(join(frames), size).map((chunk) => chunk.slice());
    const { readable, writable } = new FrameDecoderStream();
    const writer = writable.getWriter();
    const writing = (async () => {
      for (const chunk of chunks) {
        await writer.write(chunk);
        chunk.fill(0x39);
      }
      await writer.close();
    })();
    const payloads = await Array.fromAsync(readable);
    await writing;
    assertEquals(payloads.map(({ length }) => length), lengths);
    payloads.forEach((payload, i) => {
      assert(payload.every((byte) => byte === i), `payload ${i} of ${size}`);
      payload.fill(0xff);
    });
  }
});

Deno.test("FrameDecoderStream delivers what arrived whole to a slow consumer before the error", async () => {
  const streams: [string, string][] = [
    ["INVALID_HEADER", "x"],
    ["FRAME_TOO_LARGE", "9999999999"],
    ["UNEXPECTED_EOF", "3         tw"],
    ["UNEXPECTED_EOF", "3"],
  ];
  for (const [code, rest] of streams) {
    const stream = toBytes("3         one0         3         two" + rest);
    for (const size of [1, 5, 13, 30, 100]) {
      const readable = ReadableStream.from(cutEvery(stream, size))
        .pipeThrough(new FrameDecoderStream());
      const texts: string[] = [];
      const error = await assertRejects(async () => {
        for await (const payload of readable) {
          texts.push(toText(payload));
          await aWhile();
        }
      }, FramingError);
      assertEquals([error.code, error.offset], [code, 36]);
      assertEquals(texts, ["one", "", "two"], `${code}, ${size}`);
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

Deno.test("FrameDecoderStream fails at both ends with the same error", async () => {
  for (const bad of ["x", "9999999999", "3         tw"]) {
    const { readable, writable } = new FrameDecoderStream();
    const writer = writable.getWriter();
    const reader = readable.getReader();
    const writing = writer.write(toBytes(bad)).then(() => writer.close());
    const error = await assertRejects(() => reader.read(), FramingError);
    assert(await assertRejects(() => writing) === error);
    assert(await assertRejects(() => writer.closed) === error);
    assert(await assertRejects(() => reader.closed) === error);
    assert(await assertRejects(() => writer.write(toBytes("0"))) === error);
  }
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
  for (const expected of [0, 0, 1, 1, 2, 2, 3]) {
    await aWhile();
    assertEquals(written, expected);
    if (written < 3) await readText(reader);
  }
  await writing;
});

Deno.test("FrameDecoderStream tells the producer when the consumer cancels, with a write in flight or without", async () => {
  for (const isWriting of [false, true]) {
    const { readable, writable } = new FrameDecoderStream();
    const writer = writable.getWriter();
    const reader = readable.getReader();
    const writing = writer.write(toBytes("3         one3         two"));
    assertEquals(await readText(reader), "one");
    if (!isWriting) {
      assertEquals(await readText(reader), "two");
      reader.read().catch(() => {});
      await writing;
    }
    const reason = new Error("enough");
    await reader.cancel(reason);
    await writing;
    assert(await assertRejects(() => writer.closed) === reason);
    assert(await assertRejects(() => writer.write(toBytes("0"))) === reason);
    assertEquals((await reader.read()).done, true);
  }
});

Deno.test("FrameDecoderStream stops its source when the consumer leaves the loop", async () => {
  let isCancelled = false;
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(encodeFrame("again")),
    cancel: () => {
      isCancelled = true;
    },
  });
  let count = 0;
  for await (const _ of source.pipeThrough(new FrameDecoderStream())) {
    if (++count === 10) break;
  }
  await aWhile();
  assert(isCancelled);
});

Deno.test("FrameDecoderStream tells the consumer when the producer aborts, with a write in flight or without", async () => {
  for (const isWriting of [false, true]) {
    const { readable, writable } = new FrameDecoderStream();
    const writer = writable.getWriter();
    const reader = readable.getReader();
    const writing = isWriting
      ? writer.write(toBytes("3         one3         two"))
      : undefined;
    if (isWriting) assertEquals(await readText(reader), "one");
    const reason = new Error("gone");
    await writer.abort(reason);
    await writing;
    assert(await assertRejects(() => reader.read()) === reason);
    assert(await assertRejects(() => writer.closed) === reason);
  }
});

Deno.test("FrameDecoderStream ends with its input, frames or none", async () => {
  for (const frames of [[], [new Uint8Array()], [encodeFrame("")]]) {
    const payloads = await Array.fromAsync(
      ReadableStream.from(frames).pipeThrough(new FrameDecoderStream()),
    );
    assertEquals(payloads.length, frames.filter((f) => f.length > 0).length);
  }
});

const whyNoNode = await reasonAgainstNode();

Deno.test({
  name: "framing.ts runs under Node.js as it is" +
    (whyNoNode && ` (ignored: ${whyNoNode})`),
  ignore: whyNoNode !== "",
  async fn() {
    const program = `
      import * as framing from ${
      JSON.stringify(new URL("framing.ts", import.meta.url).href)
    };
      const payloads = ["one", "ü".repeat(50000), ""];
      const frames = payloads.map((payload) => framing.encodeFrame(payload));
      const stream = Buffer.concat(frames);

      const streamed = ReadableStream.from(payloads)
        .pipeThrough(new framing.FrameEncoderStream())
        .pipeThrough(new framing.FrameDecoderStream());
      const written = [];
      const writer = new framing.FrameWriter({
        write: async (bytes) => (written.push(bytes.slice()), bytes.length),
      });
      for (const payload of payloads) writer.add(payload);
      await writer.flush();
      const parts = [stream.subarray(0, 15), stream.subarray(15)];
      const reader = new framing.FrameReader({
        read: async (to) => parts.length ? parts.shift().copy(to) : null,
      });
      const read = [];
      while (await reader.read()) {
        while (reader.next()) read.push(reader.payload.slice());
      }
      const decoder = new framing.FrameDecoder();
      let code;
      try {
        decoder.push(Buffer.from("x"));
      } catch (error) {
        code = error instanceof framing.FramingError && error.code;
      }
      const text = (list) => list.map((bytes) => Buffer.from(bytes).toString());
      console.log(JSON.stringify({
        code,
        pushed: text(new framing.FrameDecoder().push(stream)),
        read: text(read),
        streamed: text(await Array.fromAsync(streamed)),
        written: text(written)[0] === stream.toString(),
      }));
    `;
    const { stdout, stderr, success } = await new Deno.Command("node", {
      args: [
        "--experimental-strip-types",
        "--input-type=module",
        "--eval",
        program,
      ],
    }).output();
    const utf8 = new TextDecoder();
    assert(success, utf8.decode(stderr));
    const payloads = ["one", "ü".repeat(50_000), ""];
    assertEquals(JSON.parse(utf8.decode(stdout)), {
      code: "INVALID_HEADER",
      pushed: payloads,
      read: payloads,
      streamed: payloads,
      written: true,
    });
  },
});

const source = new URL("framing.ts", import.meta.url);
const { state: mayRead } = await Deno.permissions.query({
  name: "read",
  path: source,
});

Deno.test({
  name: "framing.ts imports nothing and names neither Deno nor Node.js" +
    (mayRead === "granted" ? "" : " (ignored: no --allow-read)"),
  ignore: mayRead !== "granted",
  async fn() {
    const text = await Deno.readTextFile(source);
    const code = text.replaceAll(/\/\*\*.*?\*\/|\/\/.*?$/gms, "");
    assertMatch(code, /export class FrameDecoder/);
    assertEquals(
      code.match(/\b(import|require|Deno|process|Buffer|node:.*)\b/g),
      null,
    );
  },
});

/** Why there is no Node.js to run the module with; nothing where there is. */
async function reasonAgainstNode(): Promise<string> {
  const permission = { name: "run", command: "node" } as const;
  const { state } = await Deno.permissions.query(permission);
  if (state !== "granted") return "no --allow-run";
  try {
    const command = new Deno.Command("node", { args: ["--version"] });
    const version = new TextDecoder().decode((await command.output()).stdout);
    const [major, minor] = version.slice(1).split(".").map(Number);
    return major > 22 || major === 22 && minor >= 6
      ? ""
      : `needs Node.js 22.6, found ${version.trim()}`;
  } catch {
    return "no Node.js";
  }
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

function never(): Promise<never> {
  throw new Error("Not to be called");
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
