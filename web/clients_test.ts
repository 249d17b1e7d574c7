/**
 * Tests of the two clients in the live page, which do what the scripts do.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { encodeFrame, FrameDecoder } from "../framing.ts";
import { cutEvery } from "../fuzz/cases.ts";
import { join, toBytes } from "../fuzz/reference.ts";
import { Divider } from "../lesson/reading.ts";
import {
  copyClient,
  EXERCISE,
  runScript,
  serveBytes,
  test,
} from "../tests/testing.ts";
import { carryOverCode, cells, Client, EX1_CODE, visible } from "./clients.ts";
import { TIMES } from "./testing.ts";

const SOLUTION = new URL("../streamClient01Soln.ts", import.meta.url);

Deno.test("the client that keeps the rest equals FrameDecoder for every read size", () => {
  const texts = ["", "one", "Grüße 🙂", "", ...TIMES, "x".repeat(100)];
  const stream = join(texts.map((text) => encodeFrame(text)));
  for (let size = 1; size <= 200; size++) {
    const client = new Client({ keepsRest: true });
    const decoder = new FrameDecoder();
    for (const read of cutEvery(stream, size)) {
      const { messages, rest } = client.read(read)!;
      const payloads = decoder.push(read).map((bytes) =>
        new TextDecoder().decode(bytes)
      );
      assertEquals(messages, payloads);
      if (messages.length > 0) assertEquals(client.has, rest);
    }
    assertEquals([client.has, client.thrownAway], [0, 0]);
    assertEquals(client.messages, texts.length);
  }
});

Deno.test("the client of the exercise prints all messages with reads of 1, 3, 13 and 39 bytes only", () => {
  const stream = join(TIMES.map((text) => encodeFrame(text)));
  const sizes = Array.from({ length: 64 }, (_, i) => i + 1);
  const whole = sizes.filter((size) => {
    const client = new Client({ keepsRest: false });
    for (const read of cutEvery(stream, size)) client.read(read);
    return client.failure === undefined && client.messages === 20;
  });
  assertEquals(whole, [1, 3, 13, 39]);
});

test("the page's clients print, throw away and fail as the scripts do", async () => {
  const stream = join(TIMES.map((text) => encodeFrame(text)));
  await using server = await serveBytes(stream);
  await using exercise = await copyClient(EXERCISE);
  for (const size of [13, 16, 20, 64, 78]) {
    for (const keepsRest of [true, false]) {
      const client = new Client({ keepsRest });
      const texts = cutEvery(stream, size).flatMap((read) =>
        client.read(read)?.messages ?? []
      );
      const args = [...server.flags, "--chunk", `${size}`];
      const options = keepsRest ? {} : exercise.options;
      const { stdout, stderr } = await runScript("client", args, options);
      const printed = stdout.replaceAll(/^M(essage)?:29 {8}/gm, "");
      assertEquals(printed, texts.map((text) => `${text}\n`).join(""));
      if (client.failure === undefined) continue;
      const { offset } = client.failure;
      assertMatch(stderr, new RegExp(`^error: .*\\bbyte ${offset}\\b`));
      const lost =
        `${client.thrownAway} bytes? before it (was|were) thrown away`;
      assertMatch(stderr, new RegExp(`\\b${lost}`));
    }
  }
});

Deno.test("a client tells what it has of a message, and what it cannot read", () => {
  const cases: [has: number, of: number | undefined, reads: string[]][] = [
    [5, undefined, ["3    "]],
    [11, 13, ["3    ", "     o"]],
  ];
  for (const [has, of, reads] of cases) {
    const client = new Client({ keepsRest: true });
    const reactions = reads.map((read) => client.read(toBytes(read)));
    assertEquals([client.has, reactions.at(-1)?.of], [has, of]);
  }
  const failures = {
    "9999999999": "finds “9999999999”, a length over the limit of 8388608",
    "\xc2 The time": "finds “C2·The·time”, which is not a header",
    "1         \xff": "finds text that is not UTF-8",
  };
  for (const [text, reason] of Object.entries(failures)) {
    const client = new Client({ keepsRest: true });
    const reaction = client.read(toBytes(`2         hi${text}`));
    assertEquals(reaction?.messages, ["hi"]);
    assertEquals(client.failure, { offset: 12, reason });
  }
});

test("the code after a message is found in a client, whatever stands there", async () => {
  const source = await Deno.readTextFile(SOLUTION);
  const [[solved, original]] = Object.entries(EXERCISE);
  assertEquals(carryOverCode(source), solved);
  assertEquals(EX1_CODE, original);
  const own = "const rest = received.slice(end);\n      received = rest;";
  assertEquals(
    carryOverCode(source.replace(solved, own)),
    "const rest = received.slice(end); received = rest;",
  );
  assertEquals(carryOverCode(source.replace(solved, "")), "");
  assertEquals(carryOverCode(source.replaceAll(/^ +/gm, "$&$&")), solved);
  assertEquals(
    carryOverCode(source.replace(/^.*while/m, "print(msg);\n$&")),
    solved,
  );
  assertEquals(carryOverCode("// something else"), undefined);
});

Deno.test("Divider tells the payload's length where a header ends", () => {
  const divider = new Divider();
  const pieces = [
    "29   ",
    "     The",
    ` time is 1795392089.695505${"0         7"}`,
  ]
    .flatMap((read) => divider.divide(toBytes(read)));
  assertEquals(
    pieces.map(({ payloadLength }) => payloadLength),
    [undefined, 29, undefined, undefined, 0, undefined],
  );
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
