/**
 * What networks, clients and operators do to the server, done to it for real:
 * it stays up, stays small, and what others are sent stays whole.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "node:net";
import config from "./deno.json" with { type: "json" };
import { FrameDecoder } from "./framing.ts";
import {
  holdings,
  isPosix,
  output,
  processTest,
  runScript,
  type Server,
  startScript,
  startServer,
  tellsHoldings,
  until,
  within,
} from "./testing.ts";

const notOnWindows = isPosix ? undefined : "not on Windows";
const onlyOnLinux = tellsHoldings
  ? undefined
  : "asks Linux's /proc what the server holds";

processTest("the server serves on after hundreds of resets", async () => {
  await using server = await startServer(["--count", "3", "--interval", "0"]);

  await inRounds(400, () => dialAndReset(server));

  assertEquals((await readStream(server)).length, 3);
  assertEquals(server.stderr.text.match(/Letting nobody in/), null);
  await assertSound(server);
});

processTest(
  "the server serves on after hundreds of clients that hang up at once",
  async () => {
    await using server = await startServer(["--count", "3", "--interval", "0"]);

    await inRounds(400, async () => {
      using _client = await Deno.connect(server.address);
    });

    assertEquals((await readStream(server)).length, 3);
    await assertSound(server);
  },
);

processTest(
  "a client that half-closes at once gets the whole stream",
  async () => {
    await using server = await startServer(["--interval", "0.01"]);
    using client = await Deno.connect(server.address);

    await client.closeWrite();

    assertEquals(payloadsOf(await readAll(client)).length, 20);
    await assertSound(server);
  },
);

for (
  const [name, junk] of [
    ["random bytes", crypto.getRandomValues(new Uint8Array(60_000))],
    [
      "a request",
      new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n".repeat(2000)),
    ],
  ] as const
) {
  processTest(
    `a client that sends junk, ${name}, gets the whole stream and a clean end`,
    async () => {
      await using server = await startServer(["--interval", "0.01"]);
      using client = await Deno.connect(server.address);

      // Before the first message is read, between every two, and after the last.
      for (let i = 0; i < 6; i++) await writeAll(client, junk);
      const received: Uint8Array[] = [];
      while (true) {
        const bytes = await readSome(client, 39);
        if (bytes === null) break;
        received.push(bytes);
        await writeAll(client, junk.subarray(0, 10_000));
      }
      for (let i = 0; i < 6; i++) await writeAll(client, junk);

      assertEquals(payloadsOf(concat(received)).length, 20);
      await assertSound(server);
    },
  );
}

processTest(
  "clients that never read cost little, and one beside them is served at full speed",
  async () => {
    await using server = await startServer(
      ["--count", "0", "--interval", "0", "--quiet"],
    );
    using reader = await Deno.connect(server.address);
    const alone = await timeToRead(reader, 60_000_000);
    const before = (await holdings(server.script)).memory;
    using idlers = new DisposableStack();

    for (let i = 0; i < 20; i++) {
      idlers.use(await Deno.connect(server.address));
    }
    await server.stdout.waitFor(/(^Connect .*\n){21}/m);
    let beside = Infinity;
    // Others use this machine too: one quiet moment must do.
    for (let round = 0; round < 10 && beside > 2 * alone; round++) {
      beside = await timeToRead(reader, 60_000_000);
    }
    const cost = (await holdings(server.script)).memory - before;

    assert(cost < 64e6, `20 clients that never read cost ${cost} bytes`);
    assert(beside <= 2 * alone, `${alone} ms alone, ${beside} ms beside them`);
  },
  onlyOnLinux,
);

processTest(
  "a client that stops reading and comes back has lost nothing",
  async () => {
    const count = 400_000; // 16 MB, more than a system takes in for a program.
    await using server = await startServer(
      ["--count", String(count), "--interval", "0", "--quiet"],
    );
    using sleeper = await Deno.connect(server.address);
    const start = await readSome(sleeper, 16);
    assert(start !== null);

    assertEquals((await readStream(server)).length, count);

    const payloads = payloadsOf(concat([start, await readAll(sleeper)]));
    assertEquals(payloads.length, count);
    assert(
      payloads.every((payload, i) => i === 0 || payload >= payloads[i - 1]),
    );
    await assertSound(server);
  },
);

processTest(
  "a client whose machine is gone is told by keep-alive",
  async () => {
    await using server = await startServer(["--interval", "3600"]);
    using client = await Deno.connect(server.address);
    await readSome(client, 39);

    // In this table, a connection that waits has no timer but this one.
    const port = hexPort(server.port);
    const peer = hexPort((client.localAddr as Deno.NetAddr).port);
    await until(() => "the keep-alive timer", async () => {
      const table = await output("cat", "/proc/net/tcp");
      return new RegExp(`:${port} \\w+:${peer} 01 \\S+ 02:`).test(table);
    });
  },
  onlyOnLinux,
);

processTest(
  "the server lets go of clients that are killed or reset",
  async () => {
    await using server = await startServer(
      ["--count", "0", "--interval", "0.02", "--quiet"],
    );
    {
      using client = await Deno.connect(server.address);
      await readSome(client, 39);
    }
    const before = (await holdings(server.script)).files;

    const killed = Array.from(
      { length: 10 },
      () => startScript("client", server.flags),
    );
    for (const client of killed) {
      await client.stdout.waitFor(/^M:/m);
      await client[Symbol.asyncDispose]();
    }
    await inRounds(100, () => dialAndReset(server));

    await until(
      () => "its files to be closed",
      async () => (await holdings(server.script)).files <= before,
    );
  },
  onlyOnLinux,
);

processTest(
  "out of file descriptors, the server says so once, and serves who waits when there is room",
  async () => {
    await using server = await startServer(
      ["--count", "0", "--interval", "0.05", "--quiet"],
      { shell: "ulimit -n 64" },
    );
    using dialled = new DisposableStack();
    const clients: Deno.Conn[] = [];
    for (let i = 0; i < 100; i++) {
      clients.push(dialled.use(await Deno.connect(server.address)));
    }
    await server.stderr.waitFor(/Letting nobody in for now/);

    const connected = server.stdout.lines.length;
    assert(connected > 10 && connected < 64, `${connected} connected`);
    assertEquals((await readSome(clients[0], 390))?.length, 390);
    // Not all that are served leave: that would be the end of this rush.
    for (const client of clients.splice(1, 60)) client.close();

    for (const client of clients) {
      assertEquals((await readSome(client, 39))?.length, 39);
    }
    assertEquals(server.stderr.text.match(/Letting nobody in/g)?.length, 1);
    await assertSound(server);
  },
  notOnWindows,
);

processTest(
  "a client over --max-clients gets an empty stream, and its place when one is free",
  async () => {
    await using server = await startServer(
      ["--count", "0", "--interval", "0.05", "--max-clients", "2"],
    );
    using first = await Deno.connect(server.address);
    {
      using second = await Deno.connect(server.address);
      await readSome(first, 39);
      await readSome(second, 39);

      for (let i = 0; i < 5; i++) {
        const { code, stdout, stderr } = await runScript(
          "client",
          server.flags,
        );
        assertEquals([code, stdout], [0, ""]);
        assertMatch(
          stderr,
          /^0 messages, 0 bytes .*\n.* as many clients as it may/,
        );
      }
      using talker = await Deno.connect(server.address);
      assertEquals((await readAll(talker)).length, 0);
      // It is told to go, not cut off: what it says still arrives.
      for (let i = 0; i < 3; i++) {
        await writeAll(talker, new Uint8Array(10_000));
      }
      assertEquals(server.stderr.text.match(/Refusing clients/g)?.length, 1);
    }
    await until(() => "a free place", async () => {
      using third = await Deno.connect(server.address);
      return await readSome(third, 39) !== null;
    });
    await assertSound(server);
  },
);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  processTest(
    `under load, ${signal} ends every stream after a whole message`,
    async () => {
      for (const interval of ["0", "0.001", "3600"]) {
        // Streams that are read end long before these clients would have to.
        await using server = await startServer(
          ["--count", "0", "--interval", interval, "--quiet", "--grace", "600"],
        );
        const clients: Deno.Conn[] = [];
        for (let i = 0; i < 50; i++) {
          clients.push(await Deno.connect(server.address));
        }
        const streams = clients.map(countMessages);
        await server.stdout.waitFor(/(^Connect .*\n){50}/m);

        const { code, stderr } = await server.stop(signal);

        assertEquals(code, 0);
        const counts = await Promise.all(streams);
        assert(counts.every((count) => count > 0), String(counts));
        assertMatch(stderr, /^Stopping.*\nStopped after \d+ messages\n/m);
        const refused = await runScript("client", server.flags);
        assertMatch(refused.stderr, /^error: nothing listens on /);
      }
    },
    notOnWindows,
  );

  processTest(
    `--grace bounds how long ${signal} waits for a client that does not read`,
    async () => {
      await using server = await startServer(
        ["--count", "0", "--interval", "0", "--quiet", "--grace", "0.2"],
      );
      using idler = await Deno.connect(server.address);
      await readSome(idler, 39);

      const { code, stderr } = await server.stop(signal);

      assertEquals(code, 0);
      assertMatch(stderr, /had not left within --grace: 1\n$/);
    },
    notOnWindows,
  );

  processTest(`a second ${signal} ends the server at once`, async () => {
    await using server = await startServer(
      ["--count", "0", "--interval", "0", "--quiet", "--grace", "3600"],
    );
    using idler = await Deno.connect(server.address);
    await readSome(idler, 39);

    server.script.kill(signal);
    await server.stderr.waitFor(/Stopping/);
    const { code } = await server.stop(signal);

    assertEquals(code, signal === "SIGTERM" ? 143 : 130);
  }, notOnWindows);
}

processTest("the server outlives those who read its output", async () => {
  await using server = await startServer(["--interval", "0.001"]);
  await server.stdout.close();
  await server.stderr.close();

  for (let i = 0; i < 3; i++) {
    assertEquals((await readStream(server)).length, 20);
    await dialAndReset(server);
  }
  assert(!server.script.hasEnded);
  if (isPosix) assertEquals((await server.stop()).code, 0);
});

processTest("the tasks run with permission for the network alone", async () => {
  for (const task of ["server", "client", "client:ex1"] as const) {
    const command = config.tasks[task].command;
    assertMatch(command, /^deno run --allow-net=[^ ,]+(,[^ ,]+)* \w+\.ts$/);
    if (task !== "server") assert(!command.includes("0.0.0.0"), command);
  }
  // As all tests here, with those flags and --no-prompt.
  await using server = await startServer(["--count", "2"]);
  for (const task of ["client", "client:ex1"] as const) {
    const { code, stdout } = await runScript(task, server.flags);
    assertEquals([code, stdout.split("\n").length], [0, 3]);
  }
  await assertSound(server);
});

/** Does the same many times, some of it at once. */
async function inRounds(times: number, act: () => Promise<void>) {
  for (let done = 0; done < times; done += 50) {
    await Promise.all(Array.from({ length: 50 }, act));
  }
}

/** Dials, and resets the connection as soon as it is there. */
function dialAndReset(server: Server): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(server.port, server.hostname);
  socket.on("connect", () => socket.resetAndDestroy());
  socket.on("close", () => resolve());
  socket.on("error", reject);
  return within(promise, () => "a connection to reset");
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array) {
  for (let written = 0; written < bytes.length;) {
    written += await within(
      connection.write(bytes.subarray(written)),
      () => "room to write",
    );
  }
}

/** Reads so many bytes, fewer where the stream ends before; `null` where it ended already. */
async function readSome(
  connection: Deno.Conn,
  size: number,
): Promise<Uint8Array | null> {
  const bytes = new Uint8Array(size);
  let filled = 0;
  while (filled < size) {
    const read = await within(
      connection.read(bytes.subarray(filled)),
      () => `byte ${filled} of ${size}`,
    );
    if (read === null) break;
    filled += read;
  }
  return filled === 0 ? null : bytes.subarray(0, filled);
}

/** Reads to the end of the stream. */
async function readAll(connection: Deno.Conn): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let part; (part = await readSome(connection, 65536)) !== null;) {
    parts.push(part);
  }
  return concat(parts);
}

/** The payloads of a stream, which has to end after a whole one. */
function payloadsOf(bytes: Uint8Array): string[] {
  const decoder = new FrameDecoder();
  const payloads = decoder.push(bytes);
  decoder.end();
  const utf8 = new TextDecoder();
  return payloads.map((payload) => {
    const text = utf8.decode(payload);
    assert(/^The time is \d{10}\.\d{6}$/.test(text), text);
    return text;
  });
}

async function readStream(server: Server): Promise<string[]> {
  using client = await Deno.connect(server.address);
  return payloadsOf(await readAll(client));
}

/** Reads a stream to its end, which has to come after a whole message, and closes. */
async function countMessages(client: Deno.Conn): Promise<number> {
  using connection = client;
  const decoder = new FrameDecoder();
  let count = 0;
  for (let part; (part = await readSome(connection, 3900)) !== null;) {
    count += decoder.push(part).length;
  }
  decoder.end();
  return count;
}

async function timeToRead(connection: Deno.Conn, size: number) {
  const buffer = new Uint8Array(65536);
  const start = performance.now();
  for (let read = 0; read < size;) {
    read += await connection.read(buffer) ?? size;
  }
  return performance.now() - start;
}

function concat(parts: Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const bytes = new Uint8Array(size);
  for (const part of parts.toReversed()) {
    size -= part.length;
    bytes.set(part, size);
  }
  return bytes;
}

/** A port as /proc/net/tcp has it. */
function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

/** Asserts that the server is there and has met with nothing that its code did not foresee. */
async function assertSound(server: Server): Promise<void> {
  assert(!server.script.hasEnded, server.stderr.text);
  const { code, stderr } = await server.stop();
  if (isPosix) assertEquals(code, 0, stderr);
  assert(!/Uncaught|^ +at /m.test(stderr), stderr);
}
