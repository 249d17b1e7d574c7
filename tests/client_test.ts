/**
 * Tests of the clients as processes: what they print, and what they say about
 * everything that servers, systems and learners do to them.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { encodeFrame } from "../framing.ts";
import solution from "../streamClient01Soln.ts" with { type: "text" };
import exercise from "../streamClientEx1.ts" with { type: "text" };
import {
  assertError,
  copyScript,
  freePort,
  runScript,
  serveBytes,
  startScript,
  startServer,
  test,
  within,
} from "./testing.ts";

const TEXT = "The time is 1795392089.695505";
const MESSAGE = `29        ${TEXT}`;
/** What turns 01Soln into Ex1, whatever a learner has made of that file. */
const EXERCISE = {
  "received = received.subarray(end);": "received = new Uint8Array();",
  "`M:": "`Message:",
};

test("01Soln prints every message, for every size of a read", async () => {
  await Promise.all([1, 16, 1000].map(async (chunk) => {
    const long = "a".repeat(chunk === 1 ? 100 : 100_000);
    const texts = [TEXT, "Grüße, 世界 🌍", "", "\uFEFFé\x1b[2J", long];
    const frames = texts.flatMap((text) => [...encodeFrame(text)]);
    await using server = await serveBytes(Uint8Array.from(frames));
    const flags = ["--", ...server.flags, `--chunk=${chunk}`];
    const { code, stdout, stderr } = await runScript("client", flags);
    const lines = texts.map((text) => {
      const { length } = new TextEncoder().encode(text);
      return `M:${String(length).padEnd(10)}${text}\n`;
    });
    assertEquals(stdout, lines.join(""));
    assertEquals(stderr, `5 messages, ${frames.length} bytes\n`);
    assertEquals(code, 0);
  }));
});

test("Ex1 prints all 20 messages if they arrive one by one", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using ex1 = await copyScript("streamClient01Soln.ts", EXERCISE);
  const flags = ["--port", String(listener.addr.port)];
  await using client = startScript("client", flags, ex1);
  using connection = await within(listener.accept(), () => "the client");
  for (let count = 1; count <= 20; count++) {
    await connection.write(encodeFrame(TEXT));
    await client.stdout.waitFor(RegExp(`^(Message:.*\n){${count}}`));
  }
  connection.close();
  const { code, stdout } = await client.result();
  assertEquals(stdout, `Message:${MESSAGE}\n`.repeat(20));
  assertEquals(code, 0);
});

test("Ex1 loses its place if they arrive together, and says where to look", async () => {
  await using server = await startServer(["--interval=0"]);
  await using ex1 = await copyScript("streamClient01Soln.ts", EXERCISE);
  const cases = { 16: ["message 2", "byte 48", "9 bytes"], 780: ["741 bytes"] };
  for (const [chunk, words] of Object.entries(cases)) {
    const flags = [...server.flags, "--chunk", chunk];
    const result = await runScript("client", flags, ex1);
    assertMatch(result.stdout, /^Message:29 {8}The time is .*\n$/);
    assertError(result, 1, ...words, "Exercise:");
  }
});

Deno.test("Ex1 and 01Soln differ in the header comment, the label and the carry-over", () => {
  const [ex1, soln] = [exercise, solution].map((text) => {
    const code = text.slice(text.indexOf("import "));
    const label = code.replace(/`(Message|M):/, "`LABEL:");
    // A learner may write anything between these two lines.
    return label.replace(/(print\(.*\n)[^}]*\n( +\}\n)/, "$1$2");
  });
  assertEquals(ex1, soln);
  assertMatch(exercise, /`Message:[^]*$/);
});

test("--verbose prints every read on stderr, with escapes", async () => {
  await using server = await serveBytes(encodeFrame("Grüße\x1b[2J"));
  const flags = [...server.flags, "--verbose", "--chunk=13"];
  const { stderr } = await runScript("client", flags);
  assertMatch(stderr, /^got: '11 {8}Gr\uFFFD'\ngot: '\uFFFDße.*1B.*\[2J'\n/i);
  assert(!stderr.includes("\x1b"));
});

test("a stream without a message is no error", async () => {
  await using server = await serveBytes("");
  const { code, stdout, stderr } = await runScript("client", server.flags);
  assertEquals([code, stdout, stderr], [0, "", "0 messages, 0 bytes\n"]);
});

/** What comes after a first message, and what the error has to say about it. */
const FAULTS: [rest: string, ...words: string[]][] = [
  ["29   "],
  ["29        "],
  [`29        ${TEXT.slice(1)}`],
  ["HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 4"],
  ["\x1b]0;title\x07 ", "]0;title"],
  ["8388609   ", "8388609", "8388608"],
  ["5         a\xc3\xa9\xffb", "UTF-8"],
];
test("a client says which message is wrong, and prints those before it", async () => {
  await Promise.all(FAULTS.map(async ([rest, ...words]) => {
    const bytes = Array.from(MESSAGE + rest, (char) => char.charCodeAt(0));
    await using server = await serveBytes(Uint8Array.from(bytes));
    const result = await runScript("client", server.flags);
    assertError(result, 1, "message 2", "byte 39", ...words);
    assertEquals(result.stdout, `M:${MESSAGE}\n`);
  }));
});

test("a client says that its connection was reset", async () => {
  await using server = await serveBytes(`${MESSAGE}29   `, "stall");
  await using client = startScript("client", server.flags);
  await client.stdout.waitFor(/^M:.*\n/);
  server.reset();
  assertError(await client.result(), 1, "message 2", "byte 39", "reset");
});

test("a client that finds no server names the command that starts it", async () => {
  for (const hostname of ["127.0.0.1", "localhost"]) {
    const flags = ["--hostname", hostname, "--port", String(freePort())];
    const refused = await runScript("client", flags);
    const line = assertError(refused, 1, ...flags.slice(1, 2), flags[3]);
    const [, args] = line.match(/deno task server(( --\w+ \S+)*)/)!;

    const serverArgs = args.trim().split(" ");
    await using server = startScript("server", serverArgs);
    await server.stderr.waitFor(/^Listening/);
    await using client = startScript("client", flags);
    await client.stdout.waitFor(/^M:/);
  }
});

test("a client leaves a mistake in its loop to Deno, which shows the line", async () => {
  await using server = await serveBytes(MESSAGE);
  for (const mistake of ["msg.no();", "received.set(buffer, 1e9);"]) {
    await using copy = await copyScript("streamClient01Soln.ts", {
      "bytes += size;": `bytes += size; ${mistake}`,
    });
    const { code, stderr } = await runScript("client", server.flags, copy);
    assertMatch(stderr, /streamClient01Soln\.ts:\d+:\d+/);
    assertEquals(code, 1);
  }
});

const WRONG: [arg: string, ...words: string[]][] = [
  ["--prot=9", "--prot"],
  ["9093", "9093"],
  ["--port=0", "--port", "1 to 65535"],
  ["--chunk=1.5", "--chunk", "1.5"],
  ["--chunk=", "--chunk"],
];
test("a client refuses a wrong command line with exit code 2", async () => {
  await Promise.all(WRONG.map(async ([arg, ...words]) => {
    const result = await runScript("client", [arg]);
    assertError(result, 2, ...words);
    assertEquals(result.stdout, "");
  }));
});

test("--help names every flag with its default", async () => {
  const { code, stdout, stderr } = await runScript("client", ["-h"]);
  assertMatch(stdout, /--hostname.*127\.0\.0\.1[^]*--port.*9092/);
  assertMatch(stdout, /--chunk.*16[^]*--verbose/);
  assertEquals([code, stderr], [0, ""]);
});
