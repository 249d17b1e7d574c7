/**
 * A test of the demo.
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
