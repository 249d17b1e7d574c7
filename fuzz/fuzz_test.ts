/**
 * Replays the corpus, runs the fuzz program for a moment, and tests that its check
 * finds wrong decoders.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { FramingError } from "../framing.ts";
import {
  anyCase,
  type Case,
  checkCase,
  checkMemory,
  payload,
} from "./cases.ts";
import corpus from "./corpus.json" with { type: "json" };
import { type Decode, FORMS } from "./forms.ts";
import { fuzz } from "./fuzz.ts";
import { decodeStream, difference, toBytes, toText } from "./reference.ts";

/** An entry of the corpus. Each character of a chunk is a byte. */
interface Entry {
  why: string;
  maxFrameLength?: number;
  chunks: string[];
}

for (const [form, decode] of Object.entries<Decode>(FORMS)) {
  Deno.test(`${form} agrees with the reference on the whole corpus`, async () => {
    for (const { why, maxFrameLength, chunks } of corpus as Entry[]) {
      const entry = { maxFrameLength, chunks: chunks.map(toBytes) };
      assertEquals(await checkCase(decode, entry), undefined, why);
    }
  });
}

Deno.test("FrameDecoder takes little memory for every entry of the corpus", () => {
  for (const { why, maxFrameLength, chunks } of corpus as Entry[]) {
    const entry = { maxFrameLength, chunks: chunks.map(toBytes) };
    assertEquals(checkMemory(entry), undefined, why);
  }
});

Deno.test("Fuzzing for a moment finds nothing", async () => {
  for (const form of Object.keys(FORMS) as (keyof typeof FORMS)[]) {
    const found = await fuzz(form, { seed: 1, numRuns: 2000 });
    assertEquals(found, { runs: 2000 });
  }
});

Deno.test("The same seed gives the same cases", () => {
  const sample = () => fc.sample(anyCase(payload), { seed: 1, numRuns: 100 });
  const spell = ({ maxFrameLength, chunks }: Case) => [
    maxFrameLength,
    ...chunks.map(toText),
  ];
  assertEquals(sample().map(spell), sample().map(spell));
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
