/**
 * Tests of what the stand-ins promise. They run against whatever `vendor/` holds,
 * so the real packages and the stand-ins have to pass the same tests.
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

/** Whether an assertion fails, as a failed assertion does. */
function fails(assertion: () => unknown): boolean {
  try {
    assertion();
    return false;
  } catch (error) {
    nodeAssert(error instanceof AssertionError, String(error));
    return true;
  }
}

async function failsLater(assertion: () => Promise<unknown>): Promise<boolean> {
  try {
    await assertion();
    return false;
  } catch (error) {
    nodeAssert(error instanceof AssertionError, String(error));
    return true;
  }
}

Deno.test("assertions fail for what is not so, and only for that", () => {
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
    nodeAssert.equal(fails(good), false, String(good));
    nodeAssert.equal(fails(bad), true, String(bad));
  }
});

const throwRangeError = () => {
  throw new RangeError("Cannot use 7: too large");
};

Deno.test("assertThrows gives the error, of the class and with the message asked for", () => {
  nodeAssert(assertThrows(throwRangeError) instanceof RangeError);
  const error = assertThrows(throwRangeError, RangeError, "too large");
  nodeAssert.equal(error.message, "Cannot use 7: too large");
  assert(fails(() => assertThrows(() => 0)));
  assert(fails(() => assertThrows(throwRangeError, TypeError)));
  assert(fails(() => assertThrows(throwRangeError, RangeError, "small")));
});

Deno.test("assertRejects gives the error, of the class and with the message asked for", async () => {
  // deno-lint-ignore require-await
  const reject = async () => throwRangeError();
  nodeAssert(await assertRejects(reject) instanceof RangeError);
  const error = await assertRejects(reject, RangeError, "too large");
  nodeAssert.equal(error.message, "Cannot use 7: too large");
  assert(await failsLater(() => assertRejects(() => Promise.resolve())));
  assert(await failsLater(() => assertRejects(reject, TypeError)));
  assert(await failsLater(() => assertRejects(reject, RangeError, "small")));
});

Deno.test("parseArgs reads flags that take a text, and hands over the others", () => {
  const cases: [args: string[], values: object, unknown: unknown[]][] = [
    [[], {}, []],
    [["--port", "9"], { port: "9" }, []],
    [["--port=9"], { port: "9" }, []],
    [["--port="], { port: "" }, []],
    [["--port"], { port: "" }, []],
    [["--port=-1"], { port: "-1" }, []],
    [["--port=a=b\nc"], { port: "a=b\nc" }, []],
    [["--port", "--quiet"], { port: "", quiet: "" }, []],
    [["--port", "1", "--port", "2"], { port: "2" }, []],
    [["--port", ""], { port: "" }, [[""]]],
    [["--quiet", "yes"], { quiet: "yes" }, []],
    [["-h"], { help: "" }, []],
    [["--help"], { help: "" }, []],
    [["--prot", "9"], {}, [["--prot"]]],
    [["--prot=9"], {}, [["--prot=9"]]],
    [["--no-quiet"], {}, [["--no-quiet"]]],
    [["--constructor"], {}, [["--constructor"]]],
    [["-x"], {}, [["-x"]]],
    [["-"], {}, [["-"]]],
    [["a", "7"], {}, [["a"], ["7"]]],
    [["--", "a", "--port"], { _: ["a", "--port"] }, []],
  ];
  for (const [args, values, expected] of cases) {
    const unknown: unknown[] = [];
    const parsed = parseArgs(args, {
      string: ["port", "quiet", "help"],
      alias: { h: "help" },
      unknown: (arg) => {
        unknown.push([arg]);
        return false;
      },
    });
    const { h: _, ...others } = parsed as Record<string, unknown>;
    assertEquals(others, { _: [], ...values }, args.join(" "));
    assertEquals(unknown, expected, args.join(" "));
  }
});

Deno.test("colours can be turned off, and are off where NO_COLOR is set", () => {
  const styles = [[bold, 1, 22], [dim, 2, 22], [red, 31, 39], [green, 32, 39], [
    cyan,
    36,
    39,
  ]] as const;
  for (const [style, on, off] of styles) {
    setColorEnabled(false);
    assertEquals(style("text"), "text");
    setColorEnabled(true);
    if (!Deno.noColor) {
      assertEquals(style("text"), `\x1b[${on}mtext\x1b[${off}m`);
    }
  }
  setColorEnabled(!Deno.noColor);
});
