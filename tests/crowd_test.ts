/**
 * The server and thousands of clients.
 *
 * @module
 */

import { assert, assertMatch } from "@std/assert";
import { canRun, isPosix, startProcess, startServer, test } from "./testing.ts";

const CLIENTS = 10_000;
/** A process may open a limited number of files, so several share the clients. */
const CROWDS = 5;
/** Files that the server needs beside its clients', and some to spare. */
const SPARE = 200;

test("10,000 clients at once get 20 whole messages each", async () => {
  await using server = await startServer(
    ["--quiet", "--interval", "0.25"],
    { shell: `ulimit -n ${CLIENTS + SPARE}` },
  );
  await using crowds = new AsyncDisposableStack();
  const size = CLIENTS / CROWDS;
  const started = Array.from({ length: CROWDS }, () =>
    crowds.use(startProcess(
      [
        Deno.execPath(),
        ...["run", "--no-prompt", "--allow-net=127.0.0.1", "tests/crowd.ts"],
        ...[String(server.address.port), String(size)],
      ],
      { shell: `ulimit -n ${size + SPARE}` },
    )));

  for (const crowd of started) await crowd.stdout.waitFor(/^done: true$/m);

  const { stderr } = await server.stop();
  assertMatch(stderr, new RegExp(`^Stopping; .* here: ${CLIENTS}$`, "m"));
  assertMatch(stderr, /^Stopped after 200000 messages/m);
  assert(!/left after|Uncaught/.test(stderr), stderr);
}, await reasonToIgnore());

async function reasonToIgnore(): Promise<string | undefined> {
  if (!canRun) return undefined; // test says so.
  if (!isPosix) return "not on Windows";
  await using shell = startProcess(["sh", "-c", "ulimit -n"], {
    shell: `ulimit -n ${CLIENTS + SPARE}`,
  });
  const { code } = await shell.result();
  return code === 0 ? undefined : "this system allows too few open files";
}
