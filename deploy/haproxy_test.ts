/**
 * Two servers behind HAProxy, as deploy/haproxy.cfg ships: one may go while
 * clients stream, and none of them notices more than the end of its stream.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { FrameReader } from "../framing.ts";
import {
  connectMany,
  freePort,
  readMessages,
  reasonWithout,
  reasonWithoutFiles,
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
    const config = "deploy/haproxy.cfg";
    await using proxy = startProcess(["haproxy", "-db", "-f", config], {
      env: {
        LISTEN: `127.0.0.1:${port}`,
        SERVER_1: `127.0.0.1:${one.address.port}`,
        SERVER_2: `127.0.0.1:${two.address.port}`,
      },
    });
    await until(() => `HAProxy ${proxy.stderr.quote()}`, () => canReach(port));

    using connections = await connectMany(port, 200);
    const clients = connections.map((client) => new FrameReader(client));
    for (const client of clients) assert(await client.read() !== null);
    one.kill("SIGTERM");
    await until(
      () => "the server to refuse",
      async () => !await canReach(one.address.port),
    );
    using late = await connectMany(port, 50);

    const counts = await Promise.all(
      clients.map(async (client) => (await Array.fromAsync(client)).length),
    );
    const whole = counts.filter((count) => count === COUNT - 1).length;
    assert(whole >= 80 && whole <= 120, `${whole} of 200 were on the other`);
    for (const client of late) {
      assertEquals((await readMessages(client)).length, COUNT);
    }
    assertEquals((await one.result()).code, 0);
    assert(!two.hasEnded && !proxy.hasEnded, proxy.stderr.text);
  },
  // haproxy.cfg takes two for each of 8000 streams.
  await reasonWithout("haproxy", "-v") ?? await reasonWithoutFiles(16_100),
);

async function canReach(port: number): Promise<boolean> {
  try {
    using _connection = await Deno.connect({ hostname: "127.0.0.1", port });
    return true;
  } catch {
    return false;
  }
}
