/**
 * Two servers behind HAProxy, as deploy/haproxy.cfg ships: one may go while
 * clients stream, and none of them notices more than the end of its stream.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { FrameReader } from "../framing.ts";
import {
  freePort,
  isPosix,
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

    using connections = new DisposableStack();
    const connect = (count: number) =>
      Promise.all(Array.from({ length: count }, async () => {
        const connection = await Deno.connect({ hostname: "127.0.0.1", port });
        return new FrameReader(connections.use(connection));
      }));
    const countRest = async (frames: FrameReader) =>
      (await Array.fromAsync(frames)).length;
    const clients = await connect(200);
    for (const client of clients) assert(await client.read() !== null);
    one.kill("SIGTERM");
    await until(
      () => "the server to refuse",
      async () => !await canReach(one.address.port),
    );
    const late = await connect(50);

    const counts = await Promise.all(clients.map(countRest));
    const whole = counts.filter((count) => count === COUNT - 1).length;
    assert(whole >= 80 && whole <= 120, `${whole} of 200 were on the other`);
    for (const client of late) assertEquals(await countRest(client), COUNT);
    assertEquals((await one.result()).code, 0);
    assert(!two.hasEnded && !proxy.hasEnded, proxy.stderr.text);
  },
  isPosix ? await reasonWithout("haproxy", "-v") : "not on Windows",
);

async function canReach(port: number): Promise<boolean> {
  try {
    using _connection = await Deno.connect({ hostname: "127.0.0.1", port });
    return true;
  } catch {
    return false;
  }
}
