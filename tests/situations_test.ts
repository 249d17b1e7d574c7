/**
 * A test that the tests named in docs/situations.md exist.
 *
 * @module
 */

import { assert } from "@std/assert";
import { test } from "./testing.ts";

test("every test that docs/situations.md names exists", async () => {
  const root = new URL("../", import.meta.url);
  const page = await Deno.readTextFile(new URL("docs/situations.md", root));
  const tests = [...page.matchAll(/\]\(\.\.\/(\S+)\): (.*?) +\|$/gm)];
  assert(tests.length > 50, "the tables have another form");
  for (const [, file, name] of tests) {
    const source = await Deno.readTextFile(new URL(file, root));
    assert(source.includes(name), `${file} has no test "${name}"`);
  }
});
