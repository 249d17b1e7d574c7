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
  const content = decodeStream(toBytes("1         a2         b"));
  const facts = { offset: 11, received: 11, expected: 12 };
  const eof = (facts: Partial<FramingError>) =>
    new FramingError("UNEXPECTED_EOF", "", facts);
  const tell = (payloads: string[], error?: Error) =>
    difference({ payloads: payloads.map(toBytes), error }, content);
  assertEquals(tell(["a"], eof(facts)), undefined);
  for (const payloads of [[], ["b"], ["aa"], ["a", "b"]]) {
    assert(tell(payloads, eof(facts)) !== undefined);
  }
  for (
    const error of [
      undefined,
      new RangeError(),
      new FramingError("INVALID_HEADER", "", facts),
      eof({ ...facts, offset: 0 }),
      eof({ offset: 11 }),
    ]
  ) {
    assert(tell(["a"], error) !== undefined);
  }
  const outcome = { payloads: content.payloads, error: eof(facts) };
  const whole = { payloads: content.payloads };
  assert(difference(outcome, whole) !== undefined);
});

Deno.test("Of a bad header, what had arrived may be told, but not less than makes it bad", () => {
  const content = decodeStream(toBytes("12x       "));
  const isRight = (header: string) => {
    const error = new FramingError("INVALID_HEADER", "", { header });
    return difference({ payloads: [], error }, content) === undefined;
  };
  assert(isRight("12x"));
  assert(isRight("12x       "));
  assert(!isRight("12"));
  assert(!isRight("12y"));
  assert(!isRight("12x        "));
});
