/**
 * Tests of the two clients in the live page, which do what the scripts do.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { encodeFrame, FrameDecoder } from "../framing.ts";
import { cutEvery } from "../fuzz/cases.ts";
import { join } from "../fuzz/reference.ts";
import { Divider } from "../lesson/reading.ts";
import { runScript, serveBytes, test } from "../tests/testing.ts";
import { ROOT } from "./testing.ts";
import {
  carryOverCode,
  cells,
  Client,
  ex1,
  EX1_CODE,
  soln,
  visible,
} from "./clients.ts";

/** The clients' tasks, and what the page has for them. */
const SCRIPTS = [["client:ex1", ex1], ["client", soln]] as const;

const utf8 = new TextEncoder();

/** Twenty messages as the server sends them, all of the same length. */
const TIMES = Array.from(
  { length: 20 },
  (_, i) => `The time is 1795392089.6955${10 + i}`,
);

Deno.test("the client that keeps the rest equals FrameDecoder for every read size", () => {
  const texts = ["", "one", "Grüße 🙂", "", ...TIMES, "x".repeat(100)];
  const stream = join(texts.map((text) => encodeFrame(text)));
  for (let size = 1; size <= 200; size++) {
    const client = new Client(soln);
    const decoder = new FrameDecoder();
    for (const read of cutEvery(stream, size)) {
      const payloads = decoder.push(read);
      const { messages, rest, thrownAway } = client.read(read);
      assertEquals(messages, payloads.map((bytes) => decode(bytes)));
      assertEquals(thrownAway, 0);
      if (messages.length > 0) assertEquals(client.pending, rest.length);
    }
    assertEquals(client.pending, 0);
    assertEquals(client.messages, texts.length);
  }
});

Deno.test("the client of the exercise prints all messages with reads of 1, 3, 13 and 39 bytes only", () => {
  const stream = join(TIMES.map((text) => encodeFrame(text)));
  const sizes = Array.from({ length: 64 }, (_, i) => i + 1);
  const whole = sizes.filter((size) => {
    const client = new Client(ex1);
    for (const read of cutEvery(stream, size)) client.read(read);
    return client.failure === undefined && client.messages === 20;
  });
  assertEquals(whole, [1, 3, 13, 39]);
});

Deno.test("the client of the exercise tells what it throws away and where it fails", () => {
  const client = new Client(ex1);
  const stream = join(TIMES.map((text) => encodeFrame(text)));
  const [, , third, fourth] = cutEvery(stream, 16).map((read) =>
    client.read(read)
  );
  assertEquals(third.messages, TIMES.slice(0, 1));
  assertEquals(decode(third.rest), "29       ");
  assertEquals(third.thrownAway, 9);
  assertEquals(third.failure, undefined);
  assertEquals(fourth.failure, {
    offset: 48,
    reason: "finds “·The·time·”, which is not a header",
    thrownAway: 9,
  });
});

test("the page's clients print and fail as the scripts do", async () => {
  const stream = join(TIMES.map((text) => encodeFrame(text)));
  await using server = await serveBytes(stream);
  for (const size of [13, 16, 20, 64, 78]) {
    for (const [task, carryOver] of SCRIPTS) {
      const client = new Client(carryOver);
      const texts = cutEvery(stream, size).flatMap((read) =>
        client.failure === undefined ? client.read(read).messages : []
      );
      const args = [...server.flags, "--chunk", `${size}`];
      const { stdout, stderr } = await runScript(task, args);
      const printed = stdout.split("\n").slice(0, -1).map((line) =>
        line.replace(/^M(essage)?:29 {8}/, "")
      );
      assertEquals(printed, texts, `${task}, ${size} bytes`);
      if (client.failure === undefined) continue;
      const { offset } = client.failure;
      assertMatch(stderr, new RegExp(`^error: .*\\bbyte ${offset}\\b`));
    }
  }
});

Deno.test("a client says what it has of a message that is not complete", () => {
  const client = new Client(soln);
  const pending = (text: string) => {
    const { has, of } = client.read(utf8.encode(text));
    return [has, of];
  };
  assertEquals(pending("3    "), [5, undefined]);
  assertEquals(pending("     o"), [11, 13]);
});

Deno.test("a client stops at a length over the limit, and at text that is not UTF-8", () => {
  const tooLong = new Client(soln);
  tooLong.read(utf8.encode("2         hi9999999999"));
  assertEquals(tooLong.failure, {
    offset: 12,
    reason: "finds “9999999999”, a length over the limit of 8388608",
    thrownAway: 0,
  });
  const noText = new Client(soln);
  const { messages } = noText.read(
    join([encodeFrame("hi"), encodeFrame(new Uint8Array([0xff]))]),
  );
  assertEquals(messages, ["hi"]);
  assertEquals(noText.failure, {
    offset: 12,
    reason: "finds text that is not UTF-8",
    thrownAway: 0,
  });
});

test("the page's code for each client is the code in its script", async () => {
  const read = (file: string) => Deno.readTextFile(ROOT + file);
  const code = carryOverCode(await read("streamClientEx1.ts"));
  assertEquals(code, EX1_CODE);
  const [, value] = /return (.*;)/.exec(`${ex1}`)!;
  assertEquals(code, `received = ${value}`);
  const [, kept] = /return (.*;)/.exec(`${soln}`)!;
  const solved = carryOverCode(await read("streamClient01Soln.ts"));
  assertEquals(solved, `received = ${kept}`);
});

test("the code of a learner's client is found, whatever stands there", async () => {
  const source = await Deno.readTextFile(`${ROOT}streamClientEx1.ts`);
  const solved = "const rest = received.slice(end);\n      received = rest;";
  const own = source.replace(EX1_CODE, solved);
  assertEquals(
    carryOverCode(own),
    "const rest = received.slice(end); received = rest;",
  );
  assertEquals(carryOverCode(source.replace(EX1_CODE, "")), "");
  assertEquals(carryOverCode("// something else"), undefined);
});

Deno.test("Divider tells the payload's length where a header ends", () => {
  const divider = new Divider();
  const lengths = [
    "29   ",
    "     The",
    ` time is 1795392089.695505${"0         7"}`,
  ]
    .flatMap((read) => divider.divide(utf8.encode(read)))
    .map(({ part, payloadLength }) => [part, payloadLength]);
  assertEquals(lengths, [
    ["header", undefined],
    ["header", 29],
    ["payload", undefined],
    ["payload", undefined],
    ["header", 0],
    ["header", undefined],
  ]);
});

Deno.test("every byte and every text is shown with something that can be seen", () => {
  const all = cells(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  assertEquals(new Set(all).size, 256);
  for (const cell of all) assertMatch(cell, /^([!-~·]|[\dA-F]{2})$/);
  assertEquals(all[0x41] + all[0x20] + all[0x0a] + all[0xc3], "A·0AC3");
  assertEquals(
    visible("a\u202eb\x1b c\u2028"),
    "a\\u{202e}b\\u{1b} c\\u{2028}",
  );
});

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
