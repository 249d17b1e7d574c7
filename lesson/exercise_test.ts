/**
 * Has exercise.ts judge clients as learners write them, right ones and wrong
 * ones. They stand in a folder outside the project, as handed-in ones do.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { processTest, type Result, runScript } from "../tests/testing.ts";

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

/** Edits after which a client does not look at how its stream ended. */
const UNCHECKED = {
  "if (received.length > 0) fail": "if (false) fail",
  "if (printed < bytes) fail": "if (false) fail",
};

/** A client in a style of its own: reads 16 bytes at a time and uses nothing of the project. */
function plain(loop: string, after = ""): string {
  return `
    const port = Number(Deno.args[Deno.args.indexOf("--port") + 1]);
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const buffer = new Uint8Array(16);
    const utf8 = new TextDecoder();
    let bytes = new Uint8Array();
    let text = "";
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
  /** For those that run on; few, as the test waits that long. */
  timeout?: string;
}

const WRONG: WrongClient[] = [
  {
    name: "drops what follows a message in a read",
    source: () =>
      edited({
        "received = received.subarray(end);": "received = new Uint8Array();",
      }),
    says: [/FAILED all together /, /FAILED random cuts /],
  },
  {
    name: "keeps the rest but forgets a second whole message",
    source: () =>
      plain(`
      bytes = new Uint8Array([...bytes, ...read]);
      const end = 10 + parseInt(utf8.decode(bytes));
      if (bytes.length >= end) {
        console.log("M:" + utf8.decode(bytes.slice(0, end)));
        bytes = bytes.slice(end);
      }`),
    says: [/FAILED several messages in one read /],
  },
  {
    name: "trusts that a read holds a header",
    source: () =>
      edited({
        "while (received.length >= HEADER_LENGTH)":
          "while (received.length > 0)",
      }),
    says: [/FAILED header cut in two /, /FAILED all together /],
  },
  {
    name: "slices by characters",
    source: () =>
      plain(`
      text += utf8.decode(read, { stream: true });
      while (text.length >= 10) {
        const end = 10 + parseInt(text);
        if (text.length < end) break;
        console.log("M:" + text.slice(0, end));
        text = text.slice(end);
      }`),
    says: [/text outside ASCII problem .*hint .*The header counts bytes\./],
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
    says: [/text outside ASCII problem .*hint .*The header counts bytes\./],
  },
  {
    name: "stops after 20",
    source: () =>
      edited({
        "while (true)": "let count = 0;\nwhile (true)",
        [PRINT]: `${PRINT} if (++count === 20) return;`,
      }),
    says: [/20 of 25 messages printed, .*hint The server's 20 messages/],
  },
  {
    name: "does not notice the end of the stream",
    source: () => edited({ "=== null) break": "=== null) continue" }),
    says: [/one by one problem the client hangs: /],
    timeout: "3",
  },
  {
    name: "takes the same message for ever",
    source: () => edited({ "received = received.subarray(end);": "" }),
    says: [
      /one by one problem the client (never stops|hangs): /,
      / goes round /,
    ],
    timeout: "3",
  },
  {
    name: "prints for ever",
    source: () => plain('while (true) console.log("M:" + utf8.decode(read));'),
    says: [/one by one problem the client never stops/],
  },
  {
    name: "crashes",
    source: () => plain('throw new TypeError("no idea");'),
    says: [
      /one by one problem 0 of 4 messages printed, then the client crashed/,
      /stderr TypeError: no idea \(ada\.ts, line 12\)/,
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
      /one by one problem the same text is printed, .*printed Hi .*console\.error/,
    ],
  },
  {
    name: "waits for the next message before it prints one",
    source: () =>
      edited({
        "received.length < end": "received.length <= end",
        ...UNCHECKED,
      }),
    says: [/one by one problem the last message is missing: 3 of 4 /],
  },
  {
    name: "ends with an exit code of its own",
    source: () => edited({ "const seconds": "Deno.exit(1);\nconst seconds" }),
    says: [/one by one problem all messages printed, but the exit code is 1/],
  },
  {
    name: "takes a cut message for the end",
    source: () => edited(UNCHECKED),
    says: [
      /passed random cuts .*end of stream, inside a message problem all messages printed, but the exit code is 0/,
    ],
  },
  {
    name: "connects to a port of its own",
    source: () => edited({ "{ hostname, port }": "{ port: 9092 }" }),
    says: [
      /one by one problem the client ended without connecting, exit code 1/,
    ],
  },
];

test("the exercise fails wrong clients, and says why", async (t) => {
  await steps(t, WRONG, async ({ source, says, timeout = "30" }) => {
    const { code, stdout } = await exerciseFor(source(), "--timeout", timeout);
    const text = stdout.replaceAll(/\s+/g, " "); // Hints are wrapped.
    for (const part of says) assertMatch(text, part);
    assert(!text.includes("\x1b"), "no colour where it is not a terminal");
    assertEquals(code, 1);
  });
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
      name: "two files",
      args: ["a.ts", "b.ts"],
      code: 2,
      says: /^stray argument "b\.ts"; /,
    },
    {
      name: "seed of no use",
      args: ["--seed", "x"],
      code: 2,
      says: /^--seed got "x": allowed is an integer/,
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
