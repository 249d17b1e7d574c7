/**
 * Tests the judges of the decoders: the reference, what it is compared by, and the
 * fuzz program.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { FramingError } from "../framing.ts";
import { FORMS } from "./forms.ts";
import { fuzz } from "./fuzz.ts";
import {
  decodeStream,
  difference,
  join,
  toBytes,
  toText,
} from "./reference.ts";

Deno.test("Fuzzing finds a wrong decoder, and the smallest stream that shows it", async () => {
  const { finding } = await fuzz(async function* (chunks, options) {
    for await (const payload of FORMS.FrameDecoder(chunks, options)) {
      if (payload.length > 0) yield payload;
    }
  }, { seed: 1 });
  assertEquals(finding?.difference, "0 payloads, expected 1; undefined");
  assertEquals(toText(join(finding!.chunks)), "0         ");
});

Deno.test("The reference decodes what framing.ts documents", () => {
  const decode = (stream: string, maxFrameLength?: number) => {
    const options = { maxFrameLength };
    const { payloads, failure } = decodeStream(toBytes(stream), options);
    return [...payloads.map(toText), failure];
  };
  assertEquals(decode(""), [undefined]);
  assertEquals(decode("5         Hello0         "), ["Hello", "", undefined]);
  assertEquals(decode("2         hi29   "), ["hi", {
    code: "UNEXPECTED_EOF",
    offset: 12,
    received: 5,
    expected: 10,
  }]);
  assertEquals(decode("0         2         h"), ["", {
    code: "UNEXPECTED_EOF",
    offset: 10,
    received: 11,
    expected: 12,
  }]);
  assertEquals(decode("2         hi3         ", 2), ["hi", {
    code: "FRAME_TOO_LARGE",
    offset: 12,
    length: 3,
    maxFrameLength: 2,
  }]);
  assertEquals(decode("2         hiHTTP/1.1 400"), ["hi", {
    code: "INVALID_HEADER",
    offset: 12,
    header: "HTTP/1.1 4",
  }]);
});

Deno.test("What differs from the reference is told", () => {
  const stream = toBytes("1         a2         b");
  const content = decodeStream(stream);
  const facts = { offset: 11, received: 11, expected: 12 };
  const error = new FramingError("UNEXPECTED_EOF", "", facts);
  const payloads = [toBytes("a")];
  assertEquals(difference({ payloads, error }, content), undefined);

  for (
    const wrong of [
      { payloads: [], error },
      { payloads: [toBytes("b")], error },
      { payloads: [toBytes("aa")], error },
      { payloads: [toBytes("a"), toBytes("b")], error },
      { payloads },
      { payloads, error: new RangeError() },
      {
        payloads,
        error: new FramingError("INVALID_HEADER", "", facts),
      },
      {
        payloads,
        error: new FramingError("UNEXPECTED_EOF", "", { ...facts, offset: 0 }),
      },
      {
        payloads,
        error: new FramingError("UNEXPECTED_EOF", "", { offset: 11 }),
      },
    ]
  ) {
    assert(difference(wrong, content) !== undefined);
  }
  assert(
    difference({ payloads, error }, { payloads: [...payloads] }) !== undefined,
  );
});

Deno.test("Of a bad header, what had arrived may be told, but not less than makes it bad", () => {
  const content = decodeStream(toBytes("12x       "));
  const told = (header: string) =>
    difference({
      payloads: [],
      error: new FramingError("INVALID_HEADER", "", { header }),
    }, content);
  assertEquals(told("12x"), undefined);
  assertEquals(told("12x       "), undefined);
  assert(told("12") !== undefined);
  assert(told("12y") !== undefined);
  assert(told("12x        ") !== undefined);
});
