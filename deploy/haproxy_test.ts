/**
 * Two servers behind HAProxy, with the configuration beside this file.
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
  startProcess,
  startServer,
  test,
  until,
} from "../tests/testing.ts";

test(
  "a server that is stopped ends its streams whole, and new clients get the other",
  async () => {
    const flags = ["--count=0", "--interval=0.05", "--quiet"];
    await using one = await startServer(flags);
    await using two = await startServer(flags);
    const port = freePort();
    const env = {
      LISTEN: `127.0.0.1:${port}`,
      SERVER_1: `127.0.0.1:${one.address.port}`,
      SERVER_2: `127.0.0.1:${two.address.port}`,
    };
    const command = ["haproxy", "-db", "-f", "deploy/haproxy.cfg"];
    await using proxy = startProcess(command, { env });
    using early = await until(
      () => `HAProxy: ${proxy.stderr.text}`,
      () => connectMany(port, 20).catch(() => null),
    );

    const readers = early.map((client) => new FrameReader(client));
    await Promise.all(readers.map((reader) => readMessages(reader, 1)));
    let ended = 0;
    const streams = readers.map(async (reader) => {
      await readMessages(reader); // Throws if the stream is cut.
      ended++;
    });
    assertEquals((await one.stop()).code, 0);
    await until(() => `the end of half, not ${ended}`, () => ended >= 8);
    using late = await connectMany(port, 5);
    for (const client of late) await readMessages(new FrameReader(client), 1);
    assert(ended <= 12 && !two.hasEnded, `${ended} of 20 have ended`);

    assertEquals((await two.stop()).code, 0);
    await Promise.all(streams);
  },
  await reasonWithout("haproxy"),
);
