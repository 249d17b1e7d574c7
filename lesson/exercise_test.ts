/**
 * Has exercise.ts judge clients as learners write them, right ones and wrong
 * ones. They stand in a folder outside the project, as handed-in ones do.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { makeDeliveries, randomFrom } from "./exercise_deliveries.ts";
import { type Client, MISTAKES } from "./exercise_mistakes.ts";
import type { Trial } from "./exercise_runs.ts";
import { findMistake } from "./exercise_verdict.ts";
import {
  type Result,
  runScript,
  startScript,
  test as processTest,
} from "../tests/testing.ts";

const SOLUTION = new URL("../streamClient01Soln.ts", import.meta.url);

const permissions = await Promise.all(
  (["read", "write"] as const).map((name) => Deno.permissions.query({ name })),
);

/** Registers a test that writes clients into files and starts them. */
function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  const isAllowed = permissions.every(({ state }) => state === "granted");
  processTest(
    name,
    fn,
    isAllowed ? undefined : "needs --allow-read and --allow-write",
  );
}

/** Runs the exercise for a program of this text. */
async function exerciseFor(source: string, ...args: string[]): Promise<Result> {
  const folder = await Deno.makeTempDir({ prefix: "thirty solutions " });
  try {
    const file = `${folder}/ada.ts`;
    await Deno.writeTextFile(file, source);
    return await runScript("exercise", [file, ...args], {
      env: { NO_COLOR: "" },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs steps three at a time, as they wait more than they work. */
async function steps<T extends { name: string }>(
  t: Deno.TestContext,
  cases: T[],
  fn: (one: T) => Promise<void>,
): Promise<void> {
  const waiting = cases.values();
  await Promise.all([1, 2, 3].map(async () => {
    for (const one of waiting) {
      await t.step({
        name: one.name,
        fn: () => fn(one),
        sanitizeOps: false,
        sanitizeResources: false,
        sanitizeExit: false,
      });
    }
  }));
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
  "if (received.length > 0) fail": "if (false) fail",
  "if (printed < bytes) fail": "if (false) fail",
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

const RIGHT = [
  { name: "collects bytes", source: () => Deno.readTextFileSync(SOLUTION) },
  {
    name: "collects bytes and uses nothing of the project",
    source: () =>
      plain(
        `
      bytes = new Uint8Array([...bytes, ...read]);
      while (bytes.length >= 10) {
        const end = 10 + parseInt(utf8.decode(bytes.slice(0, 10)));
        if (bytes.length < end) break;
        console.log("Got:" + utf8.decode(bytes.slice(0, end)));
        bytes = bytes.slice(end);
      }`,
        "if (bytes.length > 0) Deno.exit(3);",
      ),
  },
  {
    name: "pushes the chunks of connection.readable into a FrameDecoder",
    source: () => `
    import { parseArgs } from "@std/cli/parse-args";
    import { FrameDecoder } from "./framing.ts";

    const { port } = parseArgs(Deno.args, { string: ["port"] });
    const connection = await Deno.connect({ port: Number(port) });
    const decoder = new FrameDecoder();
    for await (const chunk of connection.readable) {
      for (const payload of decoder.push(chunk)) {
        console.log("M:" + new TextDecoder().decode(payload));
      }
    }
    decoder.end();`,
  },
  {
    name: "pipes through a FrameDecoderStream, and prints without headers",
    source: () => `
    import { FrameDecoderStream } from "./framing.ts";

    const [, hostname, , port] = Deno.args;
    const connection = await Deno.connect({ hostname, port: Number(port) });
    const payloads = connection.readable.pipeThrough(new FrameDecoderStream());
    for await (const payload of payloads) {
      console.log("message:", new TextDecoder().decode(payload));
    }`,
  },
  {
    name: "moves the rest to the front of the same array",
    source: () =>
      plain(
        `
      room.set(read, length);
      length += size;
      while (length >= 10) {
        const end = 10 + parseInt(utf8.decode(room.subarray(0, 10)));
        if (length < end) break;
        console.log("M:" + utf8.decode(room.subarray(0, end)));
        room.copyWithin(0, end, length);
        length -= end;
      }`,
        "if (length > 0) Deno.exit(1);",
        "const room = new Uint8Array(10_000); let length = 0;",
      ),
  },
  {
    name: "moves the rest to the front of what the solved client prints from",
    source: () =>
      edited({
        [KEEP]: "received.copyWithin(0, end);\n" +
          "received = received.subarray(0, received.length - end);",
      }),
  },
  {
    name: "keeps everything and an index",
    source: () =>
      plain(
        `
      for (const byte of read) all.push(byte);
      while (all.length - at >= 10) {
        const length = Number(String.fromCharCode(...all.slice(at, at + 10)));
        if (all.length - at - 10 < length) break;
        const text = Uint8Array.from(all.slice(at + 10, at + 10 + length));
        console.log("Text: " + utf8.decode(text));
        at += 10 + length;
      }`,
        "if (at < all.length) throw new Error('incomplete');",
        "const all: number[] = []; let at = 0;",
      ),
  },
  {
    name: "reads the digits with a DataView",
    source: () =>
      plain(
        `
      bytes = Uint8Array.of(...bytes, ...read);
      let end = 0;
      while (bytes.length >= 10) {
        const view = new DataView(bytes.buffer, bytes.byteOffset, 10);
        let length = 0;
        for (let i = 0; i < 10 && view.getUint8(i) !== 0x20; i++) {
          length = 10 * length + view.getUint8(i) - 0x30;
        }
        end = 10 + length;
        if (bytes.length < end) break;
        console.log("M:" + utf8.decode(bytes.slice(0, end)));
        bytes = bytes.slice(end);
      }`,
        "if (bytes.length > 0) Deno.exit(1);",
      ),
  },
  {
    name: "uses node:net and Buffer",
    source: () => `
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
  },
];

test("the exercise passes right clients, whatever their style", async (t) => {
  await steps(t, RIGHT, async ({ source }) => {
    const { code, stdout } = await exerciseFor(source());
    assertMatch(stdout, /\n(\d+) of \1 passed\n$/);
    assertEquals(code, 0);
  });
});

/** A client that is wrong, and what the exercise says of it in every run, however reads fall. */
interface WrongClient {
  name: string;
  source: () => string;
  says: RegExp[];
}

const WRONG: WrongClient[] = [
  {
    name: "throws away what follows a message in a read",
    source: () => edited({ [KEEP]: "received = new Uint8Array();" }),
    says: [
      /FAILED all together /,
      /problem 1 of 25 messages printed, then the client ended with exit code 1/,
      /stderr lost its place at message 2 /,
      /hint A client that throws away the bytes that follow a message /,
    ],
  },
  {
    name: "takes one message per read",
    source: () =>
      plain(`
      bytes = new Uint8Array([...bytes, ...read]);
      const end = 10 + parseInt(utf8.decode(bytes));
      if (bytes.length >= end) {
        console.log("M:" + utf8.decode(bytes.slice(0, end)));
        bytes = bytes.slice(end);
      }`),
    says: [
      /FAILED several messages in one read /,
      /hint A client that prints one message per read at most /,
    ],
  },
  {
    name: "trusts that a read holds a header",
    source: () =>
      edited({ "received.length >= HEADER_LENGTH": "received.length > 0" }),
    says: [
      /problem \d of \d messages printed, then the client /,
      /hint A client that looks at the length before the whole header /,
    ],
  },
  {
    name: "forgets the first reads of a message",
    source: () => edited({ [APPEND]: "received = buffer.slice(0, size);" }),
    says: [/hint A client that keeps the bytes of the last read only /],
  },
  {
    name: "forgets the header in the sum",
    source: () => edited({ "HEADER_LENGTH + decodeHeader": "decodeHeader" }),
    says: [/hint A client that counts the header as a part of the text /],
  },
  {
    name: "keeps bytes that it has printed",
    source: () => edited({ [KEEP]: "received = received.subarray(end - 10);" }),
    says: [/hint A client that keeps bytes of a message that it has printed /],
  },
  {
    name: "removes the header alone",
    source: () =>
      edited({ [KEEP]: "received = received.subarray(HEADER_LENGTH);" }),
    says: [/hint A client that keeps bytes of a message that it has printed /],
  },
  {
    name: "swaps what it removes and what it keeps",
    source: () => edited({ [KEEP]: "received = received.subarray(0, end);" }),
    says: [
      /one by one problem the client was stopped when it had printed message 1 \d+ times/,
      /hint A loop goes round without end\./,
    ],
  },
  {
    name: "uses the whole buffer",
    source: () => edited({ [APPEND]: "received = append(received, buffer);" }),
    says: [/hint A client that adds the whole buffer /],
  },
  {
    name: "slices by characters",
    source: () =>
      plain(`
      text += utf8.decode(read, { stream: true });
      while (text.length >= 10) {
        const end = 10 + parseInt(text);
        if (!(text.length >= end)) break;
        console.log("M:" + text.slice(0, end));
        text = text.slice(end);
      }`),
    says: [
      /text outside ASCII problem /,
      /hint A client that counts characters in place of bytes /,
    ],
  },
  {
    name: "decodes every read on its own",
    source: () =>
      plain(`
      text += utf8.decode(read);
      let end;
      while (text.length >= 10 && text.length >= (end = 10 + parseInt(text))) {
        console.log("M:" + text.slice(0, end));
        text = text.slice(end);
      }`),
    says: [
      /text outside ASCII problem /,
      /hint A client that turns every read into text by itself /,
    ],
  },
  {
    name: "treats length 0 as wait",
    source: () =>
      edited({
        "if (received.length < end)":
          "if (received.length < end || end === HEADER_LENGTH)",
        ...UNCHECKED,
      }),
    says: [
      /FAILED sizes 0, /,
      /hint A client that takes a length of 0 for no length at all /,
    ],
  },
  {
    name: "waits for the next message before it prints one",
    source: () =>
      edited({
        "received.length < end": "received.length <= end",
        ...UNCHECKED,
      }),
    says: [
      /one by one problem 3 of 4 messages printed, then the client ended with exit code 0/,
      /hint A client that prints a message when more bytes come after it /,
    ],
  },
  {
    name: "prints every read",
    source: () => plain('console.log("M:" + utf8.decode(read));'),
    says: [/hint A client that prints every read /],
  },
  {
    name: "stops after 20",
    source: () =>
      edited({
        "while (true)": "let count = 0;\nwhile (true)",
        [PRINT]: `${PRINT} if (++count === 20) return;`,
      }),
    says: [
      /problem 20 of 25 messages printed, .*hint The server sends 20 messages unless/,
    ],
  },
  {
    name: "does not notice the end of the stream",
    source: () => edited({ "=== null) break": "=== null) continue" }),
    says: [
      /one by one problem all messages were printed, then the client went on reading after the end /,
      /hint At the end of the stream, read returns null\./,
    ],
  },
  {
    name: "goes round without reading",
    source: () =>
      edited({
        "if (received.length < end) break;":
          "if (received.length < end) continue;",
      }),
    says: [
      /one by one problem 0 of 4 messages printed, then the client read nothing more for 3 s, with 16 of \d+ bytes read/,
    ],
  },
  {
    name: "takes the same message for ever",
    source: () => edited({ [KEEP]: "" }),
    says: [
      /problem the client was stopped when it had printed message 1 \d+ times/,
    ],
  },
  {
    name: "collects without end",
    source: () =>
      plain("const all = [[0]]; while (true) all.push(Array(1e5).fill(0.5));"),
    says: [
      /problem 0 of 4 messages printed, then the client ran out of memory/,
    ],
  },
  {
    name: "crashes",
    source: () => plain('throw new TypeError("no\\x1b[2J idea");'),
    says: [
      /one by one problem 0 of 4 messages printed, then the client crashed read /,
      /stderr TypeError: no\\u\{1b\}\[2J idea \(ada\.ts, line 13\) repeat /,
    ],
  },
  {
    name: "prints twice",
    source: () => edited({ [PRINT]: PRINT + PRINT }),
    says: [/one by one problem message 1 was printed twice/],
  },
  {
    name: "prints fixed text",
    source: () =>
      plain(
        "",
        `for (let i = 0; i < 20; i++) {
          console.log("M:29        The time is 1795392089.695505");
        }`,
      ),
    says: [/one by one problem the same text is printed, whatever is sent/],
  },
  {
    name: "prints notes among the messages",
    source: () =>
      edited({ "using connection": 'console.log("Hi");\nusing connection' }),
    says: [
      /one by one problem all messages were printed, and 1 other line with them/,
      /expected M:/,
      /hint Only messages belong on stdout\. .* console\.error\. repeat /,
    ],
  },
  {
    name: "ends with an exit code of its own",
    source: () => edited({ "const seconds": "Deno.exit(1);\nconst seconds" }),
    says: [
      /one by one problem all messages were printed, but the exit code is 1/,
    ],
  },
  {
    name: "takes an incomplete message for the end",
    source: () => edited(UNCHECKED),
    says: [
      /passed random cuts .*end of stream, inside a message problem all messages were printed, but the exit code is 0/,
    ],
  },
  {
    name: "prints an incomplete message",
    source: () =>
      edited({
        ...UNCHECKED,
        "const seconds":
          "if (received.length > 0) print(received);\nconst seconds",
      }),
    says: [/problem the incomplete message was printed/],
  },
  {
    name: "connects to a port of its own",
    source: () => edited({ "{ hostname, port }": "{ port: 9092 }" }),
    says: [
      /one by one problem the client ended without connecting, with exit code 1/,
    ],
  },
];

test("the exercise fails wrong clients, and says why", async (t) => {
  await steps(t, WRONG, async ({ source, says }) => {
    const { code, stdout } = await exerciseFor(source(), "--timeout", "30");
    const text = stdout.replaceAll(/\s+/g, " "); // Hints are wrapped.
    for (const part of says) assertMatch(text, part);
    assert(!text.includes("\x1b"), "no color in a file");
    assertEquals(code, 1);
  });
});

/** What a client does with a delivery if each piece brings reads of its own. */
function trial(client: Client, delivery: Trial["delivery"]): Trial {
  const room = 16;
  const reads: Trial["reads"] = [];
  const brought: Uint8Array[] = [];
  let at = 0;
  for (const end of delivery.pieces) {
    for (; at < end; at += room) {
      brought.push(delivery.stream.subarray(at, Math.min(at + room, end)));
      reads.push({ room, size: brought.at(-1)!.length });
    }
    at = end;
  }
  const { lines, failedAt = reads.length } = client(brought, room);
  reads.push({ room, size: null });
  return {
    delivery,
    connections: 1,
    reads: reads.slice(0, failedAt + 1),
    isReading: false,
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

test("the exercise tells what TypeScript says, right or wrong", async () => {
  const source = edited({ [KEEP]: "received = msg.slice(end);" });
  const { code, stdout } = await exerciseFor(source);
  assertMatch(
    stdout,
    /\nTypeScript says about ada\.ts, line 24: Type 'string' is not assignable /,
  );
  assertEquals(code, 1);
  const right = await exerciseFor(
    `const unused: number = "";\n${Deno.readTextFileSync(SOLUTION)}`,
  );
  assertMatch(
    right.stdout,
    /10 of 10 passed\n\nTypeScript says about ada\.ts, line 1: /,
  );
  assertEquals(right.code, 0);
});

test("the exercise checks many files, for a person and for a script", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(
    `${folder}/ada.ts`,
    Deno.readTextFileSync(SOLUTION),
  );
  await Deno.writeTextFile(`${folder}/bob.ts`, "let x = ;");
  await Deno.writeTextFile(`${folder}/carol.ts`, edited({ [PRINT]: "" }));
  const args = [`${folder}/*.ts`, "--seed=7"];
  const [table, json] = await Promise.all([
    runScript("exercise", args),
    runScript("exercise", [...args, "--json"]),
  ]);
  await Deno.remove(folder, { recursive: true });
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

test("the exercise repeats a run by its seed", async () => {
  const runs = await Promise.all(
    ["7", "7", "8"].map((seed) =>
      exerciseFor(plain(`throw "";`), "--seed", seed)
    ),
  );
  const [first, again, other] = runs.map(({ stdout }) => stdout);
  assertMatch(first, /^Checking ada\.ts .*--seed 7\)\n/);
  assertEquals(again, first);
  assert(other.replace("seed 8", "seed 7") !== first);
});

test("the exercise says in one line why it cannot start", async (t) => {
  const cases = [
    {
      name: "no such file",
      args: ["no.ts"],
      code: 1,
      says: /^there is no file .*no\.ts$/,
    },
    {
      name: "no such delivery",
      args: ["--serve", "x"],
      code: 2,
      says: /^--serve takes one of "one by one", .* "random cuts", not "x"$/,
    },
    {
      name: "seed of no use",
      args: ["--seed", "x"],
      code: 2,
      says: /^--seed takes an integer from 0 to 2147483647, not "x"$/,
    },
    {
      name: "no program",
      source: "let x = ;",
      code: 1,
      says: /^ada\.ts cannot be started: .*expected \(ada\.ts, line 1\)$/,
    },
    {
      name: "import that leads nowhere",
      source: `\nimport "./no.ts";`,
      code: 1,
      says:
        /^ada\.ts cannot be started: Module not found .*no\.ts.* \(ada\.ts, line 2\)$/,
    },
  ];
  await steps(t, cases, async ({ args = [], source, code, says }) => {
    const report = source === undefined
      ? await runScript("exercise", args)
      : await exerciseFor(source);
    const [, line] = /^error: (.*)\n$/.exec(report.stderr) ?? [];
    assertMatch(line ?? report.stderr, says);
    assertEquals(report.stdout, "");
    assertEquals(report.code, code);
  });
});
