/** Tests of what the stand-ins promise. The real packages pass them too. @module */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { bold, cyan, dim, green, red, setColorEnabled } from "@std/fmt/colors";
import { equal, rejects } from "node:assert/strict";

const fail = () => new URL("7"); // throws a TypeError, "Invalid URL: '7'"
const reject = () => new Promise(fail);

/** Assertions, each with arguments for which it holds, and for which it fails. */
const ASSERTIONS = [
  [assert, [1], [""]],
  [assertEquals, [{ a: [NaN] }, { a: [NaN] }], [{ a: [1] }, { a: [1, 2] }]],
  [assertEquals, [new Uint8Array(2), new Uint8Array(2)], [1, "1"]],
  [assertInstanceOf, [new TypeError(), Error], [new Error(), TypeError]],
  [assertMatch, ["abc", /b/], ["abc", /x/]],
  [assertStringIncludes, ["abc", "b"], ["abc", "x"]],
  [assertThrows, [fail], [() => 0]],
  [assertThrows, [fail, TypeError], [fail, RangeError]],
  [assertThrows, [fail, Error, "'7'"], [fail, Error, "'8'"]],
  [assertRejects, [reject], [() => Promise.resolve()]],
  [assertRejects, [reject, TypeError], [reject, RangeError]],
  [assertRejects, [reject, Error, "'7'"], [reject, Error, "'8'"]],
] as const;

Deno.test("an assertion throws an AssertionError if it fails, and only then", async () => {
  for (const [assertion, good, bad] of ASSERTIONS) {
    const run = assertion as (...args: readonly unknown[]) => unknown;
    await run(...good);
    await rejects(async () => await run(...bad), { name: "AssertionError" });
  }
});

Deno.test("assertions say what they are given, and return the error that they expect", async () => {
  assertThrows(() => assert(0, "<a>"), Error, "<a>");
  assertThrows(() => assertEquals(1, 2, "<a>"), Error, "<a>");
  equal(assertThrows(fail, TypeError).message, "Invalid URL: '7'");
  equal((await assertRejects(reject, TypeError)).message, "Invalid URL: '7'");
  await rejects(assertRejects(fail as never)); // it throws, and rejects nothing
});

const DEFAULTS = { port: "9092", quiet: false, help: false, _: [] };

/** Command lines, what differs from the defaults, and what is unknown. */
const COMMAND_LINES: [line: string, flags?: object, ...unknown: string[]][] = [
  ["--host x --port=a=b", { host: "x", port: "a=b" }],
  ["--host= --port -1", { host: "", port: "" }, "-1"],
  ["--port --quiet", { port: "", quiet: true }],
  ["--port 1 --port 2 3", { port: "2" }, "3"],
  ["--port true --host=1\n2", { port: "true", host: "1\n2" }],
  ["--quiet yes -h", { quiet: true, help: true }, "yes"],
  ["--quiet=no --help --help false", { quiet: true }],
  ["--quiet=false --h", { help: true }],
  ["--prot 9 --x=9 --no-x - -q", {}, "--prot", "--x=9", "--no-x", "-", "-q"],
  ["--constructor a port", {}, "--constructor", "port"],
  ["--port -- 9 --port", { port: "", _: ["9", "--port"] }],
];

Deno.test("parseArgs reads the flags it knows, and hands over what it does not", () => {
  for (const [line, values, ...rest] of COMMAND_LINES) {
    const unknown: string[] = [];
    const flags: Record<string, unknown> = parseArgs(line.split(" "), {
      string: ["host", "port"],
      boolean: ["quiet", "help"],
      alias: { h: "help" },
      default: { port: "9092" },
      unknown: (arg) => unknown.push(arg) === 0, // false: drop it
    });
    delete flags.h;
    assertEquals([flags, unknown], [{ ...DEFAULTS, ...values }, rest], line);
  }
});

Deno.test("parseArgs keeps what is unknown if it may", () => {
  const args = ["a", "--x", "y", "--s", "9", "", "--z"];
  const flags = parseArgs(args, { string: ["s"] });
  assertEquals<object>(flags, { _: ["a", ""], x: "y", s: "9", z: true });
});

Deno.test("colors can be turned off, and are off if NO_COLOR is set", () => {
  const draw = () => red(bold("a") + dim("b") + green("c") + cyan("d") + "e");
  const codes = "[31m[1ma[22m[2mb[22m[32mc[31m[36md[31me[39m";
  const styled = Deno.noColor ? "abcde" : codes.replaceAll("[", "\x1b[");
  assertEquals(draw(), styled);
  setColorEnabled(false);
  assertEquals(draw(), "abcde");
  setColorEnabled(true);
  assertEquals(draw(), styled);
});
