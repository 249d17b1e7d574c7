/**
 * Tests of what the stand-ins promise. They run against what `vendor/` holds, so
 * the real packages and the stand-ins have to pass the same tests.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  AssertionError,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { bold, cyan, dim, green, red, setColorEnabled } from "@std/fmt/colors";
import nodeAssert from "node:assert/strict";

/** Returns whether an assertion, or its promise, fails with an `AssertionError`. */
async function fails(assertion: () => unknown): Promise<boolean> {
  try {
    await assertion();
    return false;
  } catch (error) {
    nodeAssert(error instanceof AssertionError, String(error));
    return true;
  }
}

Deno.test("an assertion throws an AssertionError if it fails, and only then", async () => {
  const results = [
    [() => assert(true), () => assert("")],
    [
      () => assertEquals({ a: [1, undefined] }, { a: [1, undefined] }),
      () => assertEquals({ a: 1 }, { a: "1" } as never),
    ],
    [
      () => assertEquals(new Uint8Array([1]), new Uint8Array([1])),
      () => assertEquals(new Uint8Array([1]), new Uint8Array([2])),
    ],
    [() => assertEquals(NaN, NaN), () => assertEquals([1], [1, 2])],
    [
      () => assertInstanceOf(new TypeError(), Error),
      () => assertInstanceOf(new Error(), TypeError),
    ],
    [() => assertMatch("abc", /b/), () => assertMatch("abc", /x/)],
    [
      () => assertStringIncludes("abc", "b"),
      () => assertStringIncludes("abc", "x"),
    ],
  ];
  for (const [good, bad] of results) {
    nodeAssert.equal(await fails(good), false, String(good));
    nodeAssert.equal(await fails(bad), true, String(bad));
  }
});

const throwRangeError = () => {
  throw new RangeError("Cannot use 7: too large");
};

Deno.test("assertThrows returns an error of the class and with the message asked for", async () => {
  nodeAssert(assertThrows(throwRangeError) instanceof RangeError);
  const error = assertThrows(throwRangeError, RangeError, "too large");
  nodeAssert.equal(error.message, "Cannot use 7: too large");
  assert(await fails(() => assertThrows(() => 0)));
  assert(await fails(() => assertThrows(throwRangeError, TypeError)));
  assert(await fails(() => assertThrows(throwRangeError, RangeError, "small")));
});

Deno.test("assertRejects returns an error of the class and with the message asked for", async () => {
  // deno-lint-ignore require-await
  const reject = async () => throwRangeError();
  nodeAssert(await assertRejects(reject) instanceof RangeError);
  const error = await assertRejects(reject, RangeError, "too large");
  nodeAssert.equal(error.message, "Cannot use 7: too large");
  assert(await fails(() => assertRejects(() => Promise.resolve())));
  assert(await fails(() => assertRejects(reject, TypeError)));
  assert(await fails(() => assertRejects(reject, RangeError, "small")));
});

/** Flags as the scripts have them. */
const FLAGS = {
  string: ["hostname", "port"],
  boolean: ["quiet", "help"],
  alias: { h: "help" },
  default: { hostname: "127.0.0.1", port: "9092" },
} as const;
const DEFAULTS = { ...FLAGS.default, quiet: false, help: false };

/** Command lines, with the values that differ from the defaults, and what is unknown. */
const COMMAND_LINES: [args: string, values?: object, ...unknown: string[]][] = [
  ["", {}],
  // Flags that take a text.
  ["--port 9", { port: "9" }],
  ["--port=9", { port: "9" }],
  ["--port=", { port: "" }],
  ["--port", { port: "" }],
  ["--port -1", { port: "" }, "-1"],
  ["--port=-1", { port: "-1" }],
  ["--port=a=b", { port: "a=b" }],
  ["--port=1\n2", { port: "1\n2" }],
  ["--port true", { port: "true" }],
  ["--port --quiet", { port: "", quiet: true }],
  ["--port 1 --port 2", { port: "2" }],
  ["--port 1 --port", { port: "" }],
  ["--port 1 2", { port: "1" }, "2"],
  // Flags that take nothing.
  ["--quiet", { quiet: true }],
  ["--quiet --quiet", { quiet: true }],
  ["--quiet yes", { quiet: true }, "yes"],
  ["--quiet true", { quiet: true }],
  ["--quiet false", {}],
  ["--quiet false no", {}, "no"],
  ["--quiet=true", { quiet: true }],
  ["--quiet=false", {}],
  ["--quiet=no", { quiet: true }],
  ["--quiet=", { quiet: true }],
  ["--quiet --quiet=false", {}],
  ["--quiet --port 1", { quiet: true, port: "1" }],
  // Flags of one letter.
  ["-h", { help: true }],
  ["--h", { help: true }],
  ["-hh", { help: true }],
  ["-h true", { help: true }],
  ["-h yes", { help: true }, "yes"],
  ["-h=yes", { help: "yes" }],
  ["-q", {}, "-q"],
  ["-q yes", {}, "-q"],
  ["-hq", { help: true }, "-hq"],
  ["-qh", { help: true }, "-qh"],
  // What is unknown, with the argument after it.
  ["--prot 9", {}, "--prot"],
  ["--prot=9", {}, "--prot=9"],
  ["--prot --quiet", { quiet: true }, "--prot"],
  ["--no-quiet", {}, "--no-quiet"],
  ["--no-quiet yes", {}, "--no-quiet"],
  ["--no-port=9", { port: "9" }],
  ["--constructor", {}, "--constructor"],
  ["--__proto__ 1", {}, "--__proto__"],
  ["---port", {}, "---port"],
  ["-", {}, "-"],
  ["a 7", {}, "a", "7"],
  ["a --port 9 b", { port: "9" }, "a", "b"],
  // Everything after "--".
  ["--", {}],
  ["-- a --port -q", { _: ["a", "--port", "-q"] }],
  ["--port -- 9", { port: "", _: ["9"] }],
  ["--quiet -- -- true", { quiet: true, _: ["--", "true"] }],
];

Deno.test("parseArgs reads the flags it knows, and hands over the others", () => {
  for (const [line, values, ...expected] of COMMAND_LINES) {
    const unknown: string[] = [];
    const { h: _h, ...parsed }: Record<string, unknown> = parseArgs(
      line === "" ? [] : line.split(" "),
      {
        ...FLAGS,
        unknown: (arg) => {
          unknown.push(arg);
          return false;
        },
      },
    );
    assertEquals(parsed, { ...DEFAULTS, _: [], ...values }, line);
    assertEquals(unknown, expected, line);
  }
});

Deno.test("parseArgs takes no empty argument for a value", () => {
  const flags = parseArgs(["--port", "", "--hostname="], FLAGS);
  assertEquals([flags.port, flags.hostname, flags._], ["", "", [""]]);
});

Deno.test("parseArgs keeps what is unknown unless it is told to drop it", () => {
  const args = ["a", "--x", "y", "--toString", "--port", "1"];
  const flags: Record<string, unknown> = parseArgs(args, { string: ["port"] });
  assertEquals(flags, { _: ["a"], port: "1", x: "y", toString: true });
});

Deno.test("colors can be turned off, and are off if NO_COLOR is set", () => {
  const styles = [
    [bold, 1, 22],
    [dim, 2, 22],
    [red, 31, 39],
    [green, 32, 39],
    [cyan, 36, 39],
  ] as const;
  for (const [style, on, off] of styles) {
    const styled = Deno.noColor ? "text" : `\x1b[${on}mtext\x1b[${off}m`;
    assertEquals(style("text"), styled);
    setColorEnabled(false);
    assertEquals(style("text"), "text");
    setColorEnabled(true);
    assertEquals(style("text"), styled);
  }
});
