/**
 * Tests of the clients as processes: what they print, and what they say about
 * everything that servers, systems and learners do to them. And of every
 * script's command line.
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
  type Task,
  test,
  within,
} from "./testing.ts";

const TEXT = "The time is 1795392089.695505";
const FRAME = `29        ${TEXT}`;

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
  assertEquals(stdout, `Message:${FRAME}\n`.repeat(20));
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
  const scripts = [[exercise, "`Message:"], [solution, "`M:"]];
  const [ex1, soln] = scripts.map(([text, label]) => {
    const code = text.slice(text.indexOf("import "));
    // After a message is printed, a learner may write anything.
    return code.replace(label, "`LABEL:")
      .replace(/(print\(.*\n)[^}]*\n( +\}\n)/, "$1$2");
  });
  assertEquals(ex1, soln);
});

test("--verbose prints every read on stderr, with escapes", async () => {
  await using server = await serveBytes(encodeFrame("Grüße\x1b[2J"));
  const flags = [...server.flags, "--verbose", "--chunk=13"];
  const { stderr } = await runScript("client", flags);
  assertMatch(stderr, /^got: '11 {8}Gr\uFFFD'\ngot: '\uFFFDße.*1B.*\[2J'\n/i);
  assert(!stderr.includes("\x1b"));
});

/** What comes after a first message, and words of the error. */
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
    const bytes = Array.from(FRAME + rest, (char) => char.charCodeAt(0));
    await using server = await serveBytes(Uint8Array.from(bytes));
    const result = await runScript("client", server.flags);
    assertError(result, 1, "message 2", "byte 39", ...words);
    assertEquals(result.stdout, `M:${FRAME}\n`);
  }));
});

test("a client says that its connection was reset", async () => {
  await using server = await serveBytes(`${FRAME}29   `, "stall");
  await using client = startScript("client", server.flags);
  await client.stdout.waitFor(/^M:.*\n/);
  server.reset();
  assertError(await client.result(), 1, "message 2", "byte 39", "reset");
});

test("a client that finds no server names the command that starts it", async () => {
  const port = String(freePort());
  const flags = ["--hostname", "localhost", "--port", port];
  const refused = await runScript("client", flags);
  const line = assertError(refused, 1, "localhost", port);
  const [, args] = line.match(/deno task server (--hostname localhost .*)/)!;

  await using server = startScript("server", args.split(" "));
  await server.stderr.waitFor(/^Listening/);
  await using client = startScript("client", flags);
  await client.stdout.waitFor(/^M:/);
});

test("a client leaves a mistake in its loop to Deno, which shows the line", async () => {
  await using server = await serveBytes(FRAME);
  for (const mistake of ["msg.no();", "received.set(buffer, 1e9);"]) {
    await using copy = await copyScript("streamClient01Soln.ts", {
      "bytes += size;": `bytes += size; ${mistake}`,
    });
    const { code, stderr } = await runScript("client", server.flags, copy);
    assertMatch(stderr, /streamClient01Soln\.ts:\d+:\d+/);
    assertEquals(code, 1);
  }
});

const WRONG: [task: Task, arg: string, ...words: string[]][] = [
  ["server", "--prot=9", "--prot"],
  ["server", "--port=65536", "--port", "65535"],
  ["server", "--count=1.5", "--count", "integer"],
  ["server", "--interval=-1", "--interval", "-1"],
  ["server", "--interval=soon", "--interval", "soon"],
  ["client", "\x1b[2J", "[2J"],
  ["client", "--port=0", "--port", "65535"],
  ["client", "--chunk=", "--chunk"],
];
test("a wrong command line ends a script with exit code 2", async () => {
  await Promise.all(WRONG.map(async ([task, arg, ...words]) => {
    const result = await runScript(task, [arg]);
    assertError(result, 2, ...words);
    assertEquals(result.stdout, "");
  }));
});

test("--help names every flag with its default", async () => {
  const flags = { server: /count.*20.*interval.*0\.1/s, client: /chunk.*16/ };
  for (const [task, own] of Object.entries(flags)) {
    const { code, stdout } = await runScript(task as Task, ["-h"]);
    assertMatch(stdout, /--hostname.*127\.0\.0\.1.*--port.*9092/s);
    assertMatch(stdout, own);
    assertEquals(code, 0);
  }
});
