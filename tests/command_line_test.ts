/**
 * Tests of the scripts' command lines: help, and one line about everything that
 * is wrong.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { inParallel, runScript, test } from "./testing.ts";

const HELP = "The flags of this program: --help";

/** What is wrong in every script, and what the script says. */
const COMMON: [args: string[], error: string][] = [
  [["--prot", "9"], `unknown argument "--prot". ${HELP}`],
  [["--prot=9"], `unknown argument "--prot=9". ${HELP}`],
  [["-x"], `unknown argument "-x". ${HELP}`],
  [["--no-quiet"], `unknown argument "--no-quiet". ${HELP}`],
  [["9093"], `unknown argument "9093". ${HELP}`],
  [["--", "--quiet"], `unknown argument "--quiet". ${HELP}`],
  [[""], `unknown argument "". ${HELP}`],
  [["--quiet", "yes"], `unknown argument "yes". ${HELP}`],
  ...["-1", "-16", "-0.5", "-.5"].map((value): [string[], string] => [
    ["--port", value],
    `no flag takes a negative number such as "${value}". ${HELP}`,
  ]),
  ...["a b", "127.0.0.1:9092", "http://localhost", "..", ""].map((
    value,
  ): [string[], string] => [
    [`--hostname=${value}`],
    `--hostname takes a name or an IP address, not "${value}"`,
  ]),
];

/** Flags that take an integer, for each script, with the limits. */
const INTEGERS = {
  server: { port: "0 to 65535", count: "0 to 9007199254740991" },
  client: { port: "1 to 65535", chunk: "1 to 16777216" },
};

const OWN: Record<"server" | "client", [args: string[], error: string][]> = {
  server: [
    ...["-0.1", "soon", "Infinity", "1e3", "0,5", "86401", "0x1", "."].map((
      value,
    ): [string[], string] => [
      [`--interval=${value}`],
      `--interval takes seconds (such as 0.5) from 0 to 86400, not "${value}"`,
    ]),
    [
      ["--grace="],
      '--grace takes seconds (such as 0.5) from 0 to 86400, not ""',
    ],
    [["--verbose"], `--verbose is a flag of the clients. ${HELP}`],
    [["--chunk=1"], `--chunk=1 is a flag of the clients. ${HELP}`],
  ],
  client: [
    [["--port", "0"], '--port takes an integer from 1 to 65535, not "0"'],
    [["--chunk", "0"], '--chunk takes an integer from 1 to 16777216, not "0"'],
    [["--interval", "0"], `--interval is a flag of streamServer.ts. ${HELP}`],
    [["--count=1"], `--count=1 is a flag of streamServer.ts. ${HELP}`],
  ],
};

for (const task of ["server", "client"] as const) {
  test(`the ${task} refuses a wrong command line with one line and exit code 2`, async () => {
    const integers = Object.entries(INTEGERS[task]).flatMap(([name, range]) =>
      ["", "x", "1.5", "1e3", "0x10", "16 ", "9".repeat(20)].map((
        value,
      ): [string[], string] => [
        [`--${name}`, ...value === "" ? [] : [value]],
        `--${name} takes an integer from ${range}, not "${value}"`,
      ])
    );
    await inParallel(
      [...COMMON, ...OWN[task], ...integers],
      async ([args, error]) => {
        const { code, stdout, stderr } = await runScript(task, args);
        assertEquals([stderr, stdout], [`error: ${error}\n`, ""]);
        assertEquals(code, 2);
      },
    );
  });
}

for (const task of ["server", "client", "client:ex1"] as const) {
  test(`${task} --help prints every flag, with its default, to stdout`, async () => {
    const help = await runScript(task, ["--port=x", "--help"]);
    assertMatch(
      help.stdout,
      new RegExp(`USAGE:\n[^]*  deno task ${task} \\[`),
    );
    assertMatch(help.stdout, /--port <PORT> .*\(default: 9092\)/);
    assertMatch(help.stdout, /-h, --help/);
    assertEquals([help.stderr, help.code], ["", 0]);
    assertEquals((await runScript(task, ["-h"])).stdout, help.stdout);
  });
}
