/**
 * Two servers behind HAProxy, as deploy/haproxy.cfg ships: one may go while
 * clients stream, and none of them notices more than the end of its stream.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  freePort,
  isPosix,
  readMessages,
  reasonWithout,
  startProcess,
  startServer,
  test,
  until,
} from "../tests/testing.ts";

/** Messages a stream: it runs for 4 s, in which one server is stopped. */
const COUNT = 80;

test(
  "while 200 clients stream through HAProxy, a server that is stopped ends its streams whole, and new clients get the other",
  async () => {
    const args = ["--count", String(COUNT), "--interval", "0.05", "--quiet"];
    await using one = await startServer(args);
    await using two = await startServer(args);
    const port = freePort();
    await using proxy = startProcess([
      "haproxy",
      "-db",
      "-f",
      "deploy/haproxy.cfg",
    ], {
      env: {
        LISTEN: `127.0.0.1:${port}`,
        SERVER_1: `127.0.0.1:${one.address.port}`,
        SERVER_2: `127.0.0.1:${two.address.port}`,
      },
    });
    await until(() => `HAProxy ${proxy.stderr.quote()}`, () => canReach(port));

    const clients = Array.from({ length: 200 }, () => stream(port));
    await Promise.all(clients.map((client) => client.begun));
    one.kill("SIGTERM");
    await until(
      () => "the server to refuse",
      async () => !await canReach(one.address.port),
    );
    const late = Array.from({ length: 50 }, () => stream(port));

    const counts = await Promise.all(clients.map((client) => client.count));
    const whole = counts.filter((count) => count === COUNT).length;
    assert(whole >= 80 && whole <= 120, `${whole} of 200 were on the other`);
    assert(counts.every((count) => count > 0), String(counts));
    for (const client of late) assertEquals(await client.count, COUNT);
    assertEquals((await one.result()).code, 0);
    assert(!two.hasEnded && !proxy.hasEnded, proxy.stderr.text);
  },
  isPosix ? await reasonWithout("haproxy", "-v") : "not on Windows",
);

/** Starts a client that counts the messages of its stream. */
function stream(
  port: number,
): { begun: Promise<void>; count: Promise<number> } {
  const begun = Promise.withResolvers<void>();
  const count = async () => {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    if (await connection.read(new Uint8Array(39)) === 39) begun.resolve();
    return 1 + (await readMessages(connection)).length;
  };
  return { begun: begun.promise, count: count() };
}

async function canReach(port: number): Promise<boolean> {
  try {
    using _connection = await Deno.connect({ hostname: "127.0.0.1", port });
    return true;
  } catch {
    return false;
  }
}
