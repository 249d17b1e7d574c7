/**
 * The server and thousands of clients.
 *
 * @module
 */

import { assert, assertMatch } from "@std/assert";
import {
  reasonWithoutFiles,
  startProcess,
  startServer,
  test,
} from "./testing.ts";

const CLIENTS = 10_000;
/** A process needs one open file for each client, and some more. */
const FILES = CLIENTS + 200;
const manyFiles = { shell: `ulimit -n ${FILES}` };

test("10,000 clients at once get 20 whole messages each", async () => {
  const flags = ["--quiet", "--interval=0.25"];
  await using server = await startServer(flags, manyFiles);
  await using crowd = startProcess([
    ...[Deno.execPath(), "run", "--no-prompt", "--allow-net=127.0.0.1"],
    ...["tests/crowd.ts", String(server.address.port), String(CLIENTS)],
  ], manyFiles);

  await crowd.stdout.waitFor(/^done: true$/m);

  const { stderr } = await server.stop();
  assertMatch(stderr, new RegExp(`^Stopping; .* here: ${CLIENTS}$`, "m"));
  assertMatch(stderr, /^Stopped; messages sent: 200000;/m);
  assert(!/ left \(|Uncaught/.test(stderr), stderr);
}, await reasonWithoutFiles(FILES));
