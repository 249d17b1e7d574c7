/**
 * Has exercise.ts judge clients as learners write them, right ones and wrong
 * ones. They stand in a folder outside the project, as handed-in ones do.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { setColorEnabled } from "@std/fmt/colors";
import { makeDeliveries, randomFrom } from "./exercise_deliveries.ts";
import { type Client, MISTAKES } from "./exercise_mistakes.ts";
import { EXERCISE } from "./exercise_files.ts";
import { report } from "./exercise_report.ts";
import type { Trial } from "./exercise_runs.ts";
import { findMistake, judge } from "./exercise_verdict.ts";
import {
  inParallel,
  type Result,
  runScript,
  startScript,
  test,
} from "../tests/testing.ts";

const SOLUTION = new URL("../streamClient01Soln.ts", import.meta.url);

/** Runs the exercise in a folder that has these files. */
async function runIn(
  files: Record<string, string>,
  ...args: string[]
): Promise<Result> {
  const folder = await Deno.makeTempDir({ prefix: "thirty solutions " });
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const env = { INIT_CWD: folder, NO_COLOR: "" };
    // A busy machine may let a right client do nothing for seconds.
    return await runScript("exercise", ["--timeout=60", ...args], { env });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs the exercise for one client. */
function exerciseFor(source: string, ...args: string[]): Promise<Result> {
  // A client that imports nothing is JavaScript, whose types take no time.
  const file = /\bimport\b/.test(source) ? "ada.ts" : "ada.js";
  return runIn({ [file]: source }, file, ...args);
}

/** Runs a step for each case, several at a time, as they wait more than they work. */
async function steps<T>(
  t: Deno.TestContext,
  cases: Record<string, T>,
  fn: (one: T) => Promise<void>,
): Promise<void> {
  await inParallel(Object.entries(cases), async ([name, one]) => {
    await t.step({
      name,
      fn: () => fn(one),
      sanitizeOps: false,
      sanitizeResources: false,
      sanitizeExit: false,
    });
  });
}

/** The solved client with some parts of its text replaced. */
function edited(edits: Record<string, string>): string {
  let source = Deno.readTextFileSync(SOLUTION);
  for (const [part, by] of Object.entries(edits)) {
    assert(source.includes(part), `no longer in the solution: ${part}`);
    source = source.replace(part, by);
  }
  return source;
}

const PRINT = "print(received.subarray(0, end));";
const KEEP = "received = received.subarray(end);";
const APPEND = "received = append(received, buffer.subarray(0, size));";

/** Edits after which a client does not look at how its stream ended. */
const UNCHECKED = {
  "if (printed < bytes) {": "if (false) {",
};

/** A client in a style of its own: reads 16 bytes at a time and uses nothing of the project. */
function plain(loop: string, after = "", before = ""): string {
  return `
    const port = Number(Deno.args[Deno.args.indexOf("--port") + 1]);
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const buffer = new Uint8Array(16);
    const utf8 = new TextDecoder();
    let bytes = new Uint8Array();
    let text = "";
    ${before}
    while (true) {
      const size = await connection.read(buffer);
      if (size === null) break;
      const read = buffer.slice(0, size);
      ${loop}
    }
    ${after}`;
}

/** Returns right clients. */
function rightClients(): Record<string, string> {
  return {
    "collects bytes": edited({}),
    "pipes through a FrameDecoderStream, and prints without headers": `
    import { parseArgs } from "@std/cli/parse-args";
    import { FrameDecoderStream } from "./framing.ts";

    const { port } = parseArgs(Deno.args, { string: ["port"] });
    const connection = await Deno.connect({ port: Number(port) });
    const payloads = connection.readable.pipeThrough(new FrameDecoderStream());
    for await (const payload of payloads) {
      console.log("message:", new TextDecoder().decode(payload));
    }`,
    "moves the rest to the front of what the solved client prints from": edited(
      {
        [KEEP]: "received.copyWithin(0, end);\n" +
          "received = received.subarray(0, received.length - end);",
      },
    ),
    "keeps everything and an index, and uses nothing of the project": plain(
      `
      for (const byte of read) all.push(byte);
      while (all.length - at >= 10) {
        const length = Number(String.fromCharCode(...all.slice(at, at + 10)));
        if (all.length - at - 10 < length) break;
        const text = Uint8Array.from(all.slice(at + 10, at + 10 + length));
        console.log(utf8.decode(text));
        at += 10 + length;
      }`,
      "if (at < all.length) throw new Error('incomplete');",
      "const all = []; let at = 0;",
    ),
    "uses node:net and Buffer": `
    import { connect } from "node:net";
    import { Buffer } from "node:buffer";

    let received = Buffer.alloc(0);
    const socket = connect(Number(Deno.args[3]), "127.0.0.1");
    socket.on("data", (data: Uint8Array) => {
      received = Buffer.concat([received, data]);
      while (received.length >= 10) {
        const end = 10 + Number(received.toString("latin1", 0, 10));
        if (received.length < end) break;
        console.log("M:" + received.toString("utf8", 0, end));
        received = received.subarray(end);
      }
    });
    socket.on("end", () => Deno.exit(received.length > 0 ? 1 : 0));`,
  };
}

test("the exercise passes right clients, whatever their style", async (t) => {
  await steps(t, rightClients(), async (source) => {
    const { code, stdout } = await exerciseFor(source);
    assertMatch(stdout, /\n(\d+) of \1 passed\n$/);
    assertEquals(code, 0);
  });
});

/** Returns wrong clients, and what the exercise says of them in every run, however reads fall. */
function wrongClients(): Record<string, [source: string, ...says: RegExp[]]> {
  return {
    "throws away what follows a message in a read": [
      edited({ [KEEP]: "received = new Uint8Array();" }),
      /FAILED all together /,
      /stderr lost its place at message \d+ /,
      /hint A client that throws away the bytes that follow a message /,
    ],
    "takes one message per read": [
      plain(`
      bytes = new Uint8Array([...bytes, ...read]);
      const end = 10 + parseInt(utf8.decode(bytes));
      if (bytes.length >= end) {
        console.log("M:" + utf8.decode(bytes.slice(0, end)));
        bytes = bytes.slice(end);
      }`),
      /FAILED several messages in one read /,
      /hint A client that prints one message per read at most /,
    ],
    "trusts that a read holds a header": [
      edited({ "received.length >= HEADER_LENGTH": "received.length > 0" }),
      /problem \d of \d messages printed, then the client /,
      /hint A client that looks at the length before the whole header /,
    ],
    "swaps what it removes and what it keeps": [
      edited({ [KEEP]: "received = received.subarray(0, end);" }),
      /one by one problem the client printed message 1 again and again, \d+ times, and was stopped/,
      /hint A loop goes round without end\./,
    ],
    "uses the whole buffer": [
      edited({ [APPEND]: "received = append(received, buffer);" }),
      // All messages are right if they arrive together and fill its reads.
      /hint (A client that adds the whole buffer|The stream ended after a complete message)/,
    ],
    "keeps a view of the buffer": [
      edited({
        [APPEND]: `const read = buffer.subarray(0, size);
          received = received.length === 0 ? read : Uint8Array.from([...received, ...read]);`,
      }),
      /one by one problem 0 of 4 messages printed, /,
      /hint A client that keeps bytes in the buffer, which the next read overwrites /,
    ],
    "collects views of the buffer": [
      plain(
        `
      views.push(buffer.subarray(0, size));
      while (true) {
        bytes = Uint8Array.from(views.flatMap((view) => [...view]));
        const header = utf8.decode(bytes.slice(0, 10));
        if (bytes.length < 10) break;
        if (!/^\\d+ *$/.test(header)) throw new Error(header);
        const end = 10 + Number(header);
        if (bytes.length < end) break;
        console.log("M:" + utf8.decode(bytes.slice(0, end)));
        views = [bytes.slice(end)];
      }`,
        "if (bytes.length > 0) Deno.exit(1);",
        "let views = [];",
      ),
      /hint A client that keeps bytes in the buffer, which the next read overwrites /,
    ],
    "slices by characters": [
      plain(`
      text += utf8.decode(read, { stream: true });
      while (text.length >= 10) {
        const end = 10 + parseInt(text);
        if (!(text.length >= end)) break;
        console.log("M:" + text.slice(0, end));
        text = text.slice(end);
      }`),
      /text outside ASCII problem /,
      /hint A client that counts characters in place of bytes /,
    ],
    "decodes every read on its own": [
      // Whatever arrives together, a read of 3 bytes cuts 🙂.
      plain(`
      text += utf8.decode(read);
      let end;
      while (text.length >= 10 && text.length >= (end = 10 + parseInt(text))) {
        console.log("M:" + text.slice(0, end));
        text = text.slice(end);
      }`).replace("Uint8Array(16)", "Uint8Array(3)"),
      /text outside ASCII problem /,
      /hint A client that turns every read into text by itself /,
    ],
    "waits for the next message before it prints one": [
      edited({
        "received.length < end": "received.length <= end",
        ...UNCHECKED,
      }),
      /one by one problem 3 of 4 messages printed, then the client ended with exit code 0/,
      /hint A client that prints a message when more bytes come after it /,
    ],
    "prints every read": [
      plain('console.log("M:" + utf8.decode(read));'),
      /hint A client that prints every read /,
    ],
    "stops after 20": [
      edited({
        "while (true)": "let count = 0;\nwhile (true)",
        [PRINT]: `${PRINT} if (++count === 20) return;`,
      }),
      /problem 20 of 25 messages printed, .*hint The server sends 20 messages unless/,
    ],
    "does not notice the end of the stream": [
      edited({ "=== null) break": "=== null) continue" }),
      /one by one problem all messages were printed, but the client does not end with the stream /,
      /hint At the end of the stream, read returns null\./,
    ],
    "goes round without reading": [
      edited({
        "if (received.length < end) break;":
          "if (received.length < end) continue;",
      }),
      /one by one problem 0 of 4 messages printed, then the client read nothing more, with 16 of \d+ bytes read/,
    ],
    "writes notes without end": [
      plain('while (true) console.error("round");'),
      /one by one problem the client printed the same line again and again, \d+ times, and was stopped/,
    ],
    "collects without end": [
      plain("const all = [[0]]; while (true) all.push(Array(1e5).fill(0.5));"),
      /problem 0 of 4 messages printed, then the client ran out of memory/,
    ],
    "mistypes a name": [
      edited({ [KEEP]: KEEP.replace("subarray", "subarry") }),
      /one by one problem 1 of 4 messages printed, then the client crashed /,
      /stderr TypeError: received\.subarry is not a function \(ada\.ts, line \d+\) repeat /,
    ],
    "crashes": [
      plain('throw new TypeError("no\\x1b[2J idea");'),
      /one by one problem 0 of 4 messages printed, then the client crashed read /,
      /stderr TypeError: no\\u\{1b\}\[2J idea \(ada\.js, line 13\) repeat /,
    ],
    "prints twice": [
      edited({ [PRINT]: PRINT + PRINT }),
      /one by one problem message 1 was printed twice/,
    ],
    "prints fixed text": [
      plain(
        "",
        `for (let i = 0; i < 20; i++) {
          console.log("M:29        The time is 1795392089.695505");
        }`,
      ),
      /one by one problem the same text is printed, whatever is sent/,
    ],
    "ends with an exit code of its own": [
      edited({ "const seconds": "Deno.exit(1);\nconst seconds" }),
      /one by one problem all messages were printed, but the exit code is 1/,
    ],
    "takes an incomplete message for the end": [
      edited(UNCHECKED),
      /passed random cuts .*end of stream, inside a message problem all messages were printed, but the exit code is 0/,
    ],
    "prints an incomplete message": [
      edited({
        ...UNCHECKED,
        "const seconds":
          "if (received.length > 0) print(received);\nconst seconds",
      }),
      /problem the incomplete message was printed/,
    ],
    "does not decode": [
      edited({ [PRINT]: "console.log(received.subarray(0, end));" }),
      /one by one problem message 1 was printed wrongly/,
    ],
    "prints numbers for itself": [
      edited({ [PRINT]: `${PRINT} console.log(received.length, end);` }),
      /one by one problem all messages were printed, and 4 other lines with them/,
      /hint Only messages belong on stdout\. /,
    ],
    "prints messages on stderr": [
      edited({ "write(Deno.stdout, `M:": "write(Deno.stderr, `M:" }),
      /hint The messages are on stderr\./,
    ],
    "stops when it has four messages": [
      edited({ "while (true)": "while (messages < 4)", ...UNCHECKED }),
      /FAILED header cut in two .* problem 4 of 5 messages printed/,
      /hint The client ended while there was more to read\. /,
    ],
    "counts characters, and goes round without end": [
      plain(`
      text += utf8.decode(read, { stream: true });
      while (text.length >= 10) {
        const end = 10 + parseInt(text);
        if (text.length < end) break;
        console.log("M:" + text.slice(0, end));
        text = text.slice(end);
      }`),
      /problem message 1 was printed wrongly, then the client printed the same line again/,
      /hint The header counts bytes\./,
    ],
    "connects for every message": [
      `while (true) {
        const port = Number(Deno.args[Deno.args.indexOf("--port") + 1]);
        using connection = await Deno.connect({ port });
        const buffer = new Uint8Array(99);
        console.log(new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0)));
      }`,
      /problem \d of 4 messages printed, and the client connects again and again/,
    ],
    "does not end, and says so on stderr": [
      edited({
        "s`);\nDeno.exit();":
          's`);\nsetInterval(() => console.error("…"), 1000);',
      }),
      /problem all messages were printed, but the client does not end with the stream/,
    ],
    "prints what the checker's own reports look like": [
      plain('console.log("\\0read abc of 5\\0");'),
      /one by one problem the same text is printed, whatever is sent/,
    ],
    "connects to a port of its own": [
      edited({ "{ hostname, port }": "{ port: 9092 }" }),
      /one by one problem the client ended without connecting, with exit code 1/,
    ],
  };
}

test("the exercise fails wrong clients, and says why", async (t) => {
  await steps(t, wrongClients(), async ([source, ...says]) => {
    const { code, stdout } = await exerciseFor(source, "--timeout", "15");
    const text = stdout.replaceAll(/\s+/g, " "); // Hints are wrapped.
    for (const part of says) assertMatch(text, part);
    const [, seed] = text.match(/ \(to repeat this run: (--seed \d+)\) /)!;
    assert(text.includes(`" ${seed} and in another terminal: your client`));
    assert(!text.includes("\x1b"), "no color in a file");
    assertEquals(code, 1);
  });
});

/** What a client does with a delivery if each piece brings reads of its own. */
function trial(client: Client, delivery: Trial["delivery"]): Trial {
  const room = 16;
  const reads: Trial["reads"] = [];
  const brought: Uint8Array[] = [];
  for (const piece of delivery.pieces) {
    for (let at = 0; at < piece.length; at += room) {
      brought.push(piece.subarray(at, at + room));
      reads.push({ room, size: brought.at(-1)!.length });
    }
  }
  const { lines, failedAt = reads.length } = client(brought, room);
  reads.push({ room, size: null });
  return {
    delivery,
    hasConnected: true,
    reads: reads.slice(0, failedAt + 1),
    lines,
    stderr: "",
    exitCode: failedAt < brought.length ? 1 : 0,
  };
}

Deno.test("the exercise tells mistakes apart, whatever is sent", () => {
  for (let i = 0; i < 100; i++) {
    const seed = Math.imul(i, 0x9e3779b1) >>> 0; // spread, as neighbors are alike
    const deliveries = makeDeliveries(randomFrom(seed));
    for (const mistake of MISTAKES) {
      for (const client of mistake.clients) {
        const trials = deliveries.map((delivery) => trial(client, delivery));
        assertEquals(findMistake(trials)?.what, mistake.what, `${seed}`);
      }
    }
  }
});

test("the exercise reports as docs/exercise.md shows", async () => {
  const page = await Deno.readTextFile(
    new URL("../docs/exercise.md", import.meta.url),
  );
  const [, shown] = page.match(/```text\n(all together\n[^]*?)\n```/)!;
  const stderr = `error: lost its place at message 2 (at byte 32): expected a \
header (a length in digits, then spaces, 10 bytes in all), found "     coral". \
5 bytes before it were thrown away: look at the line marked "Exercise:"`;
  const trials = makeDeliveries(randomFrom(7)).map((delivery) => {
    const one = trial(MISTAKES[0].clients[0], delivery);
    return { ...one, lines: one.lines.map((it) => `Message:${it}`), stderr };
  });
  const program = { file: EXERCISE, name: "streamClientEx1.ts", args: [] };
  setColorEnabled(false);
  assertEquals(report(trials, program, 7), shown);
});

Deno.test("the exercise tells a crash, also of a client that it had to stop", () => {
  const [delivery] = makeDeliveries(randomFrom(7));
  const fault = judge({
    ...trial(() => ({ lines: [] }), delivery),
    stderr: "error: Uncaught TypeError",
    stopped: "idle",
  });
  assertEquals(fault?.what, "0 of 4 messages printed, then the client crashed");
});

test("the exercise tells what TypeScript says, right or wrong", async () => {
  const source = edited({ [KEEP]: "received = msg.slice(end);" });
  const { code, stdout } = await exerciseFor(source, "--seed", "7");
  assertMatch(stdout, /M:17 {8}heron birch 63146/); // the texts of this seed
  assertMatch(
    stdout,
    /\nTypeScript says: Type 'string' is not assignable .* \(ada\.ts, line 24\)\n/,
  );
  assertEquals(code, 1);
  const right = await exerciseFor(
    `const unused: number = "";\n${edited({})}`,
  );
  assertMatch(
    right.stdout,
    /10 of 10 passed\n\nTypeScript says: .* \(ada\.ts, line 1\)\n$/,
  );
  assertEquals(right.code, 0);
});

test("the exercise checks many files, for a person and for a script", async () => {
  const files = {
    "ada.ts": edited({}),
    "bob.ts": "let x = ;",
    "carol.ts": edited({ [PRINT]: "" }),
  };
  const table = await runIn(files, "*.ts", "--seed=7");
  const json = await runIn(files, "*.ts", "--seed=7", "--json");
  const lines = table.stdout.split("\n");
  assertEquals(lines.slice(0, 2), [
    "file      passed    first fault",
    "ada.ts    10 of 10",
  ]);
  assertMatch(lines[2], /^bob\.ts +0 of 10 +cannot be started: /);
  assertMatch(
    lines[3],
    /^carol\.ts +\d of 10 +one by one: 0 of 4 messages printed, /,
  );
  assertMatch(lines[4], /^1 of 3 passed everything .*--seed 7\)$/);
  const { seed, clients } = JSON.parse(json.stdout);
  assertEquals(seed, 7);
  assertEquals(
    clients.map(({ passed }: { passed: number }) => passed),
    lines.slice(1, 4).map((line) => Number(/(\d+) of 10/.exec(line)?.[1])),
  );
  assertEquals(clients[0].deliveries[9], { name: "random cuts", fault: null });
  assertEquals([table.code, json.code], [1, 1]);
});

test("--serve delivers the stream of a failure again", async () => {
  await using script = startScript(
    "exercise",
    ["--serve", "all together", "--seed", "7", "--port", "0"],
  );
  const [, port] = await script.stderr.waitFor(/^Listening on .*:(\d+): /m);
  const { stdout, code } = await runScript("client", ["--port", port]);
  assertMatch(
    stdout,
    /^M:17 {8}heron birch 63146\nM:17 {8}coral coral 56121\n/,
  );
  assertEquals([stdout.split("\n").length, code], [26, 0]);
});

test("the exercise says in one line why it cannot start", async (t) => {
  const cases: Record<string, [string[], number, RegExp]> = {
    "no such file": [["no.ts"], 1, /^there is no file .*no\.ts$/],
    "no such delivery": [
      ["--serve", "x"],
      2,
      /^--serve takes one of "one by one", .* "random cuts", not "x"$/,
    ],
    "no name of a delivery": [["--serve"], 2, /^--serve takes .*, not ""$/],
    "seed of no use": [
      ["--seed", "x"],
      2,
      /^--seed takes an integer from 0 to 2147483647, not "x"$/,
    ],
    "no program": [
      ["bob.ts"],
      1,
      /^bob\.ts cannot be started: .*expected \(bob\.ts, line 1\)$/,
    ],
    "import that leads nowhere": [
      ["carol.ts"],
      1,
      /^carol\.ts cannot be started: Module not found .*no\.ts.* \(carol\.ts, line 2\)$/,
    ],
  };
  const files = { "bob.ts": "let x = ;", "carol.ts": `\nimport "./no.ts";` };
  await steps(t, cases, async ([args, code, says]) => {
    const result = await runIn(files, ...args);
    assertMatch(result.stderr, /^error: .*\n$/);
    assertMatch(result.stderr.slice("error: ".length, -1), says);
    assertEquals([result.stdout, result.code], ["", code]);
  });
});
