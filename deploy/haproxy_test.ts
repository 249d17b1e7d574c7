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
  reasonWithout,
  reasonWithoutFiles,
  startProcess,
  startServer,
  test,
  until,
} from "../tests/testing.ts";

test(
  "while 200 clients stream through HAProxy, a server that is stopped ends its streams whole, and new clients get the other",
  async () => {
    const args = ["--count=0", "--interval=0.05", "--quiet"];
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

    let ended = 0;
    const streams = clients.map(async (client) => {
      for await (const _ of client); // Throws if the stream was cut.
      ended++;
    });
    assertEquals((await one.result()).code, 0);
    await until(() => `the end of half, not ${ended}`, () => ended >= 80);
    const others = late.map((client) => new FrameReader(client));
    for (const client of others) assert(await client.read() !== null);
    assert(ended <= 120, `${ended} of 200 were on the one that was stopped`);
    assert(!two.hasEnded && !proxy.hasEnded, proxy.stderr.text);

    assertEquals((await two.stop()).code, 0);
    await Promise.all(streams);
    for (const client of others) await Array.fromAsync(client);
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
