/**
 * Tests of the demo.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { runScript, test } from "../tests/testing.ts";

test("the demo shows all clients and ends by itself", async () => {
  const { code, stdout } = await runScript("demo");
  // What Ex1 prints is not looked at: a learner may have changed it.
  assertEquals(stdout.match(/^M:29 /gm)?.length, 20);
  assertEquals(stdout.match(/^Connect from /gm)?.length, 3);
  assertEquals(stdout.match(/^== .* ==$/gm)?.length, 5);
  assertEquals(code, 0);
});

test("the demo takes --help and nothing else", async () => {
  const help = await runScript("demo", ["--help"]);
  assertEquals(help.stdout.match(/deno task demo/g)?.length, 1);
  assertEquals([help.stderr, help.code], ["", 0]);
  const { code, stdout, stderr } = await runScript("demo", ["--port", "1"]);
  const error = 'unknown argument "--port". The flags of this program: --help';
  assertEquals([stderr, stdout], [`error: ${error}\n`, ""]);
  assertEquals(code, 2);
});
