/** Tests of the checker with clients as learners write them, of the trace and the demo. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { encodeFrame } from "../framing.ts";
import SOLUTION from "../streamClient01Soln.ts" with { type: "text" };
import {
  assertError,
  freePort,
  runScript,
  serveBytes,
  type Task,
  test,
} from "../tests/testing.ts";
import { DELIVERIES, type Delivery, judge, tryOut } from "./exercise.ts";

/** What wrong clients have in place of a part of the solved one, and how each fails in a delivery. */
const WRONG: Record<string, Record<string, [delivery: string, RegExp]>> = {
  "=== null) break": {
    "=== null) await new Promise(setInterval)": ["byte", /^3 .*did not end/],
  },
  "received, buffer.subarray(0, size)": {
    "received, buffer": ["one by one", /^1 of 6 /],
  },
  "received.length >= HEADER_LENGTH": {
    "received.length > 0": ["header cut", / of 6 /],
    "received.length > HEADER_LENGTH": ["sizes", /^5 of 6 /],
  },
  "print(received.subarray(0, end));": {
    "print(received);": ["all together", /^0 of 24 .*exit code/],
    "print(received); print(received);": ["one by one", /"almond 1"/],
    "console.log(utf8.decode(received).slice(0, end));": [
      "text",
      /^[01] of 4 /,
    ],
  },
  "received = received.subarray(end);": {
    "received = buffer.subarray(end);": ["all together", /^1 of 24 /],
    "received = received.subarray(end - 1);": ["one by one", /^1 of 6 /],
    "received = received.subarray(end); break;": ["several", / of 8 /],
    "": ["one by one", /^1 of 6 .* without end/],
  },
  "messages++;": {
    "if (++messages === 20) Deno.exit();": ["all together", /^20 of 24 /],
  },
  "if (printed !== bytes)": {
    "if (false)": ["end of stream, inside", /exit code is 0/],
    "if (received[9]) print(received); if (true)": ["end of", /"incomp"/],
  },
};

/** Returns the solved client with a part of its text replaced. */
function edited(part: string, by: string): string {
  assert(SOLUTION.includes(part), `no longer in the solution: ${part}`);
  return SOLUTION.replace(part, by);
}

test("the checker passes a right client, and finds what is wrong with others", async () => {
  const runs: [source: string, Delivery, fault: RegExp][] = DELIVERIES
    .map((delivery) => [SOLUTION, delivery, /^$/]);
  for (const [part, edits] of Object.entries(WRONG)) {
    for (const [by, [name, fault]] of Object.entries(edits)) {
      const named = DELIVERIES.filter((one) => one.name.startsWith(name));
      runs.push([edited(part, by), named.at(-1)!, fault]);
    }
  }
  const folder = await Deno.makeTempDir({ prefix: "thirty solutions " });
  const framing = new URL("../framing.ts", import.meta.url);
  await Deno.copyFile(framing, `${folder}/framing.ts`);
  const rest = runs.entries();
  async function runInTurn(): Promise<void> {
    for (const [i, [source, delivery, expected]] of rest) {
      const file = `${folder}/ada_${i}.ts`;
      await Deno.writeTextFile(file, source);
      const trial = await tryOut(delivery, file);
      const { fault = "" } = judge(delivery, trial);
      const what = `${delivery.name}: ${fault}\n${trial.stderr}\n${source}`;
      assert(expected.test(fault), what);
    }
  }
  await Promise.all([runInTurn(), runInTurn(), runInTurn(), runInTurn()]);
  await Deno.remove(folder, { recursive: true });
});

/** Ways to print a message: right ones, and what wrong clients do. */
type Style = (text: string, header: string, i: number) => string;
const STYLES: Style[] = [
  (text) => text,
  (text, header) => `Message:${header}${text}`,
  (text, header) => `${parseInt(header)}${text} (after ${header})\r`,
  (text, _, i) => `#${i}: \x1b[32m'${text}'\x1b[0m\n`,
  (text, header) => JSON.stringify({ header, text }),
  (text, header) => `Header: ${header}\nText: ${text}`,
];
const WRONG_STYLES: Style[] = [
  (text) => `M:${text}9`, // with a byte of the next header
  (text) => `M:${text.slice(1)}`,
  (text) => `M:${text}\nM:${text}`,
  (text, _, i) => `M:${i > 0 ? "almond 1" : ""}${text}`,
  (text, _, i) => i === 0 ? "" : `M:${text}`,
];

/** Returns what is wrong with a client that prints in a style and ends as it should. */
function faultOf(style: Style, delivery: Delivery): string | undefined {
  const lines = delivery.messages.flatMap((text, i) => {
    const length = new TextEncoder().encode(text).length;
    return style(text, `${length}`.padEnd(10), i).split("\n");
  });
  const code = delivery.incomplete === "" ? 0 : 1;
  return judge(delivery, { lines, code, stderr: "" }).fault;
}

Deno.test("the checker judges what is printed, not how", () => {
  for (const delivery of DELIVERIES.filter(({ messages }) => messages[0])) {
    for (const style of STYLES) {
      assertEquals(faultOf(style, delivery), undefined);
    }
    for (const style of WRONG_STYLES) {
      assert(faultOf(style, delivery), `${style}`);
    }
  }
});

test("the exercise reports on files of another folder, whatever FORCE_COLOR says", async () => {
  const folder = await Deno.makeTempDir({ prefix: "thirty solutions " });
  const line = "received = received.subarray(end);";
  const original = "// Exercise: …\n      received = new Uint8Array();";
  await Deno.writeTextFile(`${folder}/ada.ts`, edited(line, original));
  await Deno.writeTextFile(`${folder}/bob.ts`, edited(line, `const ${line}`));
  const env = { INIT_CWD: folder, FORCE_COLOR: "1", NO_COLOR: "" };
  const args = ["--", "ada.ts", "bob.ts"];
  const { stdout, code } = await runScript("exercise", args, { env });
  await Deno.remove(folder, { recursive: true });
  const [, ada, bob] = stdout.split(/^Checking .*\n/m);
  assertMatch(ada, /\n6 of 10 [^]*\n {2}\[8·{9}\]\(almond 1\)\n[^]* original/);
  assertMatch(bob, /ReferenceError: [^]*\(bob\.ts:\d+:\d+\)\n/);
  assertEquals(bob.match(/^ +const received/gm)?.length, 1); // by TypeScript
  assert(!stdout.includes("\x1b"), stdout);
  assertEquals(code, 1);
});

test("the exercise and the trace say what is wrong with an argument", async () => {
  const port = `${freePort()}`;
  const cases: [Task, string[], code: number, fact: string][] = [
    ["exercise", ["--seed"], 2, "--seed"],
    ["exercise", ["nobody.ts"], 1, "nobody.ts"],
    ["exercise", ["docs"], 1, "directory"],
    ["trace", ["--chunk=0"], 2, "--chunk"],
    ["trace", ["--", "--port", port], 1, "deno task server"],
  ];
  for (const [task, args, code, fact] of cases) {
    assertError(await runScript(task, args), code, fact);
  }
});

test("the trace draws each read, whatever the server sends", async () => {
  const frames = ["hello\x1b", "", "üx"].map((text) =>
    new TextDecoder().decode(encodeFrame(text))
  );
  const drawn = "[6·········](hello|\\u{1b})[0·········]()[3···|······](üx)";
  const cases = [
    [`${frames.join("")}12 `, `${drawn}[12·`],
    ["HTTP/1.1 400 Bad", "?HTTP/1.1 400 Ba?|?d?"],
  ];
  for (const [stream, drawn] of cases) {
    await using server = await serveBytes(stream);
    const flags = ["--chunk=15", ...server.flags];
    const { code, stdout } = await runScript("trace", flags);
    assertEquals(stdout.match(/(?<=bytes? {2}).*/g)?.join("|"), drawn);
    assertEquals(code, 0);
  }
});

test("the demo runs the server and both clients", async () => {
  const { code, stdout } = await runScript("demo");
  assertEquals(stdout.match(/^M:29 {8}The time is /gm)?.length, 20);
  assertMatch(stdout, /^Message:29 {8}The time is .*\n(?!Message)/m);
  assertEquals(code, 0);
});
