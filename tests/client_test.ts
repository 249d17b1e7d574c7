/** Tests of the clients as processes, and of every script's command line. @module */

import { assertEquals, assertMatch } from "@std/assert";
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

test("01Soln prints every message, for every size of a read", async () => {
  await Promise.all([1, 16, 1000].map(async (chunk) => {
    const long = "a".repeat(chunk === 1 ? 100 : 100_000);
    const texts = [TEXT, "Grüße, 世界 🌍", "", "\uFEFFé\x1b[2J", long];
    const frames = texts.flatMap((text) => [...encodeFrame(text)]);
    await using server = await serveBytes(Uint8Array.from(frames));
    const flags = ["--", ...server.flags, `--chunk=${chunk}`, "--verbose"];
    const { code, stdout, stderr } = await runScript("client", flags);
    const lines = texts.map((text) => {
      const { length } = new TextEncoder().encode(text);
      return `M:${String(length).padEnd(10)}${text}\n`;
    });
    assertEquals(stdout, lines.join(""));
    // Every read, with escapes.
    const end = `5 messages, ${frames.length} bytes\n`;
    assertMatch(stderr, RegExp(`^(got: '\\P{C}+'\n)+${end}$`, "u"));
    assertEquals(code, 0);
  }));
});

test("Ex1 needs messages one by one, and says so if they come together", async () => {
  // From 01Soln, as a learner may have edited Ex1.
  await using ex1 = await copyScript("streamClient01Soln.ts", {
    "received = received.subarray(end);": "received = new Uint8Array();",
    "`M:": "`Message:",
  });
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = `--port=${listener.addr.port}`;
  await using client = startScript("client", [port], ex1);
  using connection = await within(listener.accept(), () => "the client");
  for (let count = 1; count <= 3; count++) {
    await connection.write(encodeFrame(TEXT));
    await client.stdout.waitFor(RegExp(`^(Message:${FRAME}\n){${count}}$`));
  }
  connection.close();
  const { code, stderr } = await client.result();
  assertEquals([code, stderr], [0, "3 messages, 117 bytes\n"]);

  await using server = await startServer(["--interval=0"]);
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

/** What comes after a first message, and a word of the error. */
const FAULTS = {
  "29   ": "byte 39",
  "29        ": "byte 39",
  "29        The time": "reset",
  "HTTP/1.1 400 Bad Request\r\n": "HTTP/1.1 4",
  "\x1b]0;title\x07 ": "]0;title",
  "8388609   ": "8388608",
  "5         a\xc3\xa9\xffb": "UTF-8",
};
test("a client says which message is wrong, and prints those before it", async () => {
  await Promise.all(
    Object.entries(FAULTS).map(async ([rest, word]) => {
      const bytes = Array.from(FRAME + rest, (char) => char.charCodeAt(0));
      const ending = word === "reset" ? "stall" : "end";
      await using server = await serveBytes(Uint8Array.from(bytes), ending);
      await using client = startScript("client", server.flags);
      await client.stdout.waitFor(/\n/);
      if (word === "reset") server.reset();
      const result = await client.result();
      assertError(result, 1, "message 2", "byte 39", word);
      assertEquals(result.stdout, `M:${FRAME}\n`);
    }),
  );
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
    const edits = { "bytes += size;": mistake };
    await using copy = await copyScript("streamClient01Soln.ts", edits);
    const { code, stderr } = await runScript("client", server.flags, copy);
    assertMatch(stderr, /streamClient01Soln\.ts:\d+:\d+/);
    assertEquals(code, 1);
  }
});

const WRONG: [task: Task, arg: string, word: string][] = [
  ["server", "--prot=9", "--prot"],
  ["server", "--port=65536", "65535"],
  ["server", "--count=1.5", "--count"],
  ["server", "--interval=-1", "--interval"],
  ["server", "--interval=soon", "--interval"],
  ["client", "\x1b[2J", "[2J"],
  ["client", "--port=0", "65535"],
  ["client", "--chunk=", "--chunk"],
];
test("a wrong command line ends a script with exit code 2", async () => {
  await Promise.all(WRONG.map(async ([task, arg, word]) => {
    const result = await runScript(task, [arg]);
    assertError(result, 2, word);
    assertEquals(result.stdout, "");
  }));
});

test("--help names every flag with its default", async () => {
  const own = { server: /count.*20.*interval.*0\.1/s, client: /chunk.*16/ };
  for (const [task, flags] of Object.entries(own)) {
    const { code, stdout } = await runScript(task as Task, ["-h"]);
    assertMatch(stdout, /--hostname.*127\.0\.0\.1.*--port.*9092/s);
    assertMatch(stdout, flags);
    assertEquals(code, 0);
  }
});
