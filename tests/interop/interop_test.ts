/**
 * Two independent implementations agree: the scripts against a client and a
 * server in Python.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import {
  isPosix,
  reasonWithout,
  startProcess,
  startScript,
  startServer,
  test,
} from "../testing.ts";

const python = isPosix ? "python3" : "python";
const noPython = await reasonWithout(python, "--version");

test("a Python client reads what the server sends", async () => {
  await using server = await startServer(["--interval", "0"]);
  const port = String(server.address.port);
  await using client = startProcess([python, "tests/interop/client.py", port]);
  const { code, stdout, stderr } = await client.result();
  assertEquals(stderr, "");
  assertMatch(stdout, /^(The time is \d{10}\.\d{6}\r?\n){20}$/);
  assertEquals(code, 0);
}, noPython);

test(
  "01Soln prints what a Python server sends, though it leaves the connection open",
  async () => {
    await using server = startProcess([python, "tests/interop/server.py"]);
    const [port] = await server.stdout.waitFor(/^\d+(?=\r?\n)/);
    await using client = startScript("client", [`--port=${port}`]);
    await client.stdout.waitFor(/(M:.*\n){20}/);
    await server.stdout.waitFor(/(The time is .*\n){20}/);

    const size = (text: string) => new TextEncoder().encode(text).length;
    assertEquals(
      client.stdout.lines,
      server.stdout.lines.slice(1).map((line) => line.trimEnd()).map((text) =>
        `M:${String(size(text)).padEnd(10)}${text}`
      ),
    );
  },
  noPython,
);
