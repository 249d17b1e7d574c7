/**
 * Tests of the server as a real process: its messages and their pace, and what
 * networks, clients and operators do to it. It stays up, stays small, and every
 * client gets its stream whole.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { connect } from "node:net";
import config from "../deno.json" with { type: "json" };
import type { Clock } from "./clock.ts";
import {
  connectMany,
  copyScript,
  holdings,
  isPosix,
  output,
  readMessages,
  runScript,
  type Server,
  startScript,
  startServer,
  tellsHoldings,
  test,
  until,
  within,
  writeAll,
} from "./testing.ts";

/** Messages without end, at full speed. */
const ENDLESS = ["--count=0", "--interval=0", "--quiet"];

test("the server says where it listens on stderr, and prints nothing until a client connects", async () => {
  await using server = await startServer();
  const { code, stdout, stderr } = await server.stop("SIGINT");
  assertEquals(stdout, "");
  assertMatch(stderr, /^Listening on 127\.0\.0\.1:\d+\n/);
  if (isPosix) assertEquals(code, 0);
});

test("the server prints every client, every message, and who has had everything", async () => {
  await using server = await startServer(["--interval=0.001"]);
  const messages = await dial(server);
  assertEquals(messages.length, 20);
  const [, address] = await server.stderr.waitFor(
    /^(127\.0\.0\.1:\d+) finished, 20 messages\n/m,
  );
  await server.stop(); // What it printed may arrive after what it said.
  assertEquals(server.stdout.lines, [
    `Connect from ${address} established`,
    ...messages.map((message) => `29        ${message}`),
  ]);
});

test("--quiet leaves out the line per message", async () => {
  await using server = await startServer(["--quiet", "--count=1"]);
  await dial(server);
  await server.stderr.waitFor(/ finished, 1 message\n/);
  const { stdout } = await server.stop();
  assertMatch(stdout, /^Connect from .* established\n$/);
});

test("clients are served at the same time, each with a stream of its own", async () => {
  await using server = await startServer(["--count=3"]);
  using first = await Deno.connect(server.address);
  await readSome(first, 39);
  const others = await Promise.all([dial(server), dial(server)]);
  assertEquals(others.map(({ length }) => length), [3, 3]);
  assertEquals((await readMessages(first)).length, 2);
});

const PACES: [name: string, clock: Clock, seconds: Record<number, number>][] = [
  ["messages are exactly --interval apart", {}, {}],
  ["late timers do not make the pace drift", { late: 7 }, { 1: 0.107 }],
  [
    "after the machine slept, messages go on at their pace and not in a burst",
    { at: 5, sleep: 10_000 },
    { 5: 10.1, 6: 0.04 },
  ],
  [
    "messages follow the system's clock when it is set forward",
    { at: 5, set: 3_600_000 },
    { 5: 3600.1 },
  ],
  [
    "messages follow the system's clock when it is set back",
    { at: 5, set: -3_600_000 },
    { 5: -3599.9 },
  ],
];
for (const [name, clock, exceptions] of PACES) {
  test(name, async () => {
    await using server = await startServer([], {
      env: { CLOCK: JSON.stringify(clock) },
      denoArgs: ["--allow-env=CLOCK", "--preload=tests/clock.ts"],
    });
    using client = await Deno.connect(server.address);
    const bytes = await readSome(client, 20 * 39);
    const stream = new TextDecoder().decode(bytes ?? undefined);
    const times = stream.match(/\d{10}\.\d{6}/g)?.map(Number) ?? [];
    const gaps = times.slice(1).map((time, i) => time - times[i]);
    assertEquals(gaps.length, 19);
    for (const [i, gap] of gaps.entries()) {
      // If the clock was set, the microseconds begin again.
      const error = Math.abs(gap - (exceptions[i + 1] ?? 0.1));
      assert(error < 0.001, `message ${i + 2} comes ${gap} s after the last`);
    }
  });
}

test("the time of a message is the system's, in microseconds, and never steps back", async () => {
  await using server = await startServer(
    ["--interval=0", "--count=100000", "--quiet"],
  );
  const before = Date.now();
  const messages = await dial(server);
  const after = Date.now();
  let last = before;
  for (const message of messages) {
    const time = Number(message.slice("The time is ".length)) * 1000;
    assert(time >= last && time < after + 1, `${last} ${time} ${after}`);
    last = time;
  }
  const microseconds = new Set(messages.map((text) => text.slice(-3)));
  assert(microseconds.size > 100, `${microseconds.size} of 1000`);
});

test("a client that half-closes at once gets the whole stream", async () => {
  await using server = await startServer(["--interval=0.01"]);
  using client = await Deno.connect(server.address);

  await client.closeWrite();

  assertEquals((await readMessages(client)).length, 20);
  await assertSound(server);
});

test("a client that sends junk gets the whole stream and a clean end", async () => {
  const junk = crypto.getRandomValues(new Uint8Array(60_000));
  await using server = await startServer(["--interval=0.01"]);
  using client = await Deno.connect(server.address);

  // Before the first message is read, between every two, and after the last.
  for (let i = 0; i < 6; i++) await writeAll(client, junk);
  for (let i = 0; i < 20; i++) {
    await readSome(client, 39);
    await writeAll(client, junk.subarray(0, 10_000));
  }
  assertEquals(await readSome(client, 1), null);
  for (let i = 0; i < 6; i++) await writeAll(client, junk);
  await assertSound(server);
});

test.onLinux("clients that never read cost a bounded amount, and one beside them is served", async () => {
  await using server = await startServer(ENDLESS);
  using reader = await Deno.connect(server.address);
  await readSome(reader, 1e7);
  const before = (await holdings(server)).memory;

  using _idlers = await connectMany(server.address.port, 20);
  await server.stdout.waitFor(/(^Connect .*\n){21}/m);
  assertEquals((await readSome(reader, 1e8))?.length, 1e8);
  const cost = (await holdings(server)).memory - before;
  assert(cost < 64e6, `20 clients that never read cost ${cost} bytes`);
});

test("a client that stops reading and comes back has lost nothing", async () => {
  const count = 400_000; // 16 MB, more than a system takes in for a program.
  await using server = await startServer(
    ["--count", String(count), "--interval=0", "--quiet"],
  );
  using sleeper = await Deno.connect(server.address);
  await readSome(sleeper, 39);

  assertEquals((await dial(server)).length, count);

  assertEquals((await readMessages(sleeper)).length, count - 1);
  await assertSound(server);
});

test.onLinux("a client whose machine is gone is told by keep-alive", async () => {
  await using server = await startServer(["--interval=3600"]);
  using client = await Deno.connect(server.address);
  await readSome(client, 39);

  // In this table, a connection that waits has no timer but this one.
  const port = hexPort(server.address.port);
  const peer = hexPort((client.localAddr as Deno.NetAddr).port);
  await until(() => "the keep-alive timer", async () => {
    const table = await output("cat", "/proc/net/tcp");
    return new RegExp(`:${port} \\w+:${peer} 01 \\S+ 02:`).test(table);
  });
});

test("the server lets go of hundreds of clients that hang up, reset or are killed, and serves on", async () => {
  await using server = await startServer(
    ["--count=0", "--interval=0.02", "--quiet"],
  );
  using client = await Deno.connect(server.address);
  await readSome(client, 39);
  const before = tellsHoldings ? (await holdings(server)).files : NaN;

  for (let round = 0; round < 8; round++) {
    await Promise.all(Array.from({ length: 50 }, async () => {
      await dialAndReset(server);
      using _client = await Deno.connect(server.address);
    }));
  }
  for (let i = 0; i < 10; i++) {
    await using killed = startScript("client", server.flags);
    await killed.stdout.waitFor(/^M:/m);
  }

  if (tellsHoldings) {
    await until(
      () => "its files to be closed",
      async () => (await holdings(server)).files <= before,
    );
  }
  assertEquals((await readSome(client, 390))?.length, 390);
  assert(!/Cannot accept clients/.test(server.stderr.text));
  client.close();
  await assertSound(server);
});

test.onPosix("out of file descriptors, the server says so once, and serves who waits when there is room", async () => {
  await using server = await startServer(
    ["--count=0", "--interval=0.05", "--quiet"],
    { shell: "ulimit -n 64" },
  );
  using clients = await connectMany(server.address.port, 100);
  await server.stderr.waitFor(/Cannot accept clients/);

  await server.stdout.waitFor(/(^Connect .*\n){10}/m);
  assert(server.stdout.lines.length < 64, server.stdout.text);
  assertEquals((await readSome(clients[0], 390))?.length, 390);
  // Not all that are served leave: that would be the end of this rush.
  for (const client of clients.slice(1, 61)) client.close();

  for (const client of clients.slice(61)) {
    assertEquals((await readSome(client, 39))?.length, 39);
  }
  assertEquals(server.stderr.text.match(/Cannot accept clients/g)?.length, 1);

  // When all have left, another rush is another reason to say so.
  clients[Symbol.dispose]();
  await until(() => "the end of all streams", () => {
    return server.stderr.text.match(/ left \(/g)?.length === 100;
  });
  using _others = await connectMany(server.address.port, 100);
  await server.stderr.waitFor(/Cannot accept[^]*Cannot accept/);
  await assertSound(server);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test.onPosix(`under load, ${signal} ends every stream after a whole message`, async () => {
    for (const interval of ["0", "0.001", "3600"]) {
      // Streams that are read end long before these clients would have to.
      await using server = await startServer(
        ["--count=0", "--interval", interval, "--quiet", "--grace=600"],
      );
      using clients = await connectMany(server.address.port, 50);
      for (const client of clients) {
        assertEquals((await readSome(client, 39))?.length, 39);
      }
      const streams = clients.map(async (client) => {
        await readMessages(client);
        client.close();
      });
      const { code, stderr } = await server.stop(signal);

      assertEquals(code, 0);
      await Promise.all(streams); // Each throws if its stream was cut.
      assertMatch(
        stderr,
        /^Stopping.*\n[^]*^Stopped; messages sent: \d+; clients still here: 0\n$/m,
      );
      const refused = await runScript("client", server.flags);
      assertMatch(refused.stderr, /^error: nothing listens on /);
    }
  });

  test.onPosix(`--grace bounds how long ${signal} waits for a client that does not read`, async () => {
    await using server = await startServer([...ENDLESS, "--grace=0.2"]);
    using idler = await Deno.connect(server.address);
    await readSome(idler, 39);

    const { code, stderr } = await server.stop(signal);

    assertEquals(code, 0);
    assertMatch(stderr, /clients still here: 1\n$/);
  });

  test.onPosix(`a second ${signal} ends the server at once`, async () => {
    await using server = await startServer([...ENDLESS, "--grace=3600"]);
    using idler = await Deno.connect(server.address);
    await readSome(idler, 39);

    server.kill(signal);
    // On a busy machine, the server says so long after the signal.
    await server.stderr.waitFor(/^Stopping/m);
    // The server takes a signal that comes at once for a copy of the first.
    await until(() => "the end of the server", () => {
      server.kill(signal);
      return server.hasEnded;
    });
    const { code, stderr } = await server.result();
    assertEquals(code, signal === "SIGTERM" ? 143 : 130);
    assertEquals(stderr.match(/Stopping/g)?.length, 1);
  });
}

test("the server outlives those who read its output", async () => {
  await using server = await startServer(["--interval=0.001"]);
  await server.stdout.close();
  await server.stderr.close();

  for (let i = 0; i < 3; i++) {
    assertEquals((await dial(server)).length, 20);
    await dialAndReset(server);
  }
  assert(!server.hasEnded);
  if (isPosix) assertEquals((await server.stop()).code, 0);
});

test.onLinux("thousands of clients that dial while the server stands still are all served", async () => {
  await using server = await startServer(["--interval=0", "--quiet"]);
  server.kill("SIGSTOP");
  // The default backlog of 511 would let some of these wait for ever.
  using clients = await connectMany(server.address.port, 900);
  server.kill("SIGCONT");
  const streams = await Promise.all(
    clients.map(async (client) => {
      const messages = await readMessages(client);
      client.close();
      return messages;
    }),
  );
  assert(streams.every(({ length }) => length === 20));
});

test("the server says what to do when its port is taken", async () => {
  await using server = await startServer();
  const { code, stderr } = await runScript("server", server.flags);
  assertEquals(
    stderr,
    `error: port ${server.address.port} on 127.0.0.1 is taken, perhaps by a server in another terminal. Stop that one, or give this server and its clients another port with --port\n`,
  );
  assertEquals(code, 1);
});

test("the server says what to do about an address that is not this machine's, or not allowed", async () => {
  const forbidden = await runScript("server", ["--hostname=192.0.2.1"]);
  const [, allow] = forbidden.stderr.match(
    /^error: Deno was not allowed to listen on 192\.0\.2\.1:9092\. Allow it: deno run (\S+) streamServer\.ts --hostname 192\.0\.2\.1 --port 9092\n$/,
  )!;
  assertEquals(forbidden.code, 1);

  const foreign = await runScript("server", ["--hostname=192.0.2.1"], {
    denoArgs: [allow],
  });
  assertMatch(
    foreign.stderr,
    /^error: cannot listen on 192\.0\.2\.1:9092 \(.*\)\. Use an address of this machine, such as --hostname 127\.0\.0\.1\n$/,
  );
  assertEquals(foreign.code, 1);
});

const FULL: [full: string, lines: number, ...warnings: string[]][] = [
  ["busy", 21],
  ["for good", 18, "Cannot print: Error: No space left"],
];
for (const [full, lines, ...warnings] of FULL) {
  test(`a log whose output was full, ${full}, goes on`, async () => {
    await using server = await startServer(["--interval=0.001"], {
      env: { FULL: full },
      denoArgs: ["--allow-env=FULL", "--preload=tests/full.ts"],
    });
    assertEquals((await dial(server)).length, 20);
    const { stderr } = await server.stop();
    assertEquals(stderr.match(/^Cannot print.*$/gm) ?? [], warnings);
    assertEquals(server.stdout.lines.length, lines);
  });
}

test.onPosix("a server whose output nobody reads ends when it is told to", async () => {
  await using server = await startServer(["--interval=0", "--count=0"], {
    shell:
      `full=$(mktemp -u) && mkfifo "$full" && exec 1<>"$full" && rm "$full"`,
  });
  using client = await Deno.connect(server.address);
  await readSome(client, 39_000);
  const { code, stderr } = await server.stop();
  assertEquals(code, 0);
  assertMatch(stderr, /^Stopping/m);
});

test("the server runs in a folder that holds framing.ts and nothing else of the project", async () => {
  await using copy = await copyScript("streamServer.ts");
  await using server = await startServer(["--interval=0"], copy.options);
  assertEquals((await dial(server)).length, 20);
});

Deno.test("the tasks have permission for the network alone", () => {
  for (const task of ["server", "client", "client:ex1"] as const) {
    const command = config.tasks[task].command;
    assertMatch(
      command,
      /^deno run --no-prompt --allow-net=[^ ,]+(,[^ ,]+)* \w+\.ts$/,
    );
    if (task !== "server") assert(!command.includes("0.0.0.0"), command);
  }
});

/** Takes a stream of the server to its end. */
async function dial(server: Server): Promise<string[]> {
  using client = await Deno.connect(server.address);
  return await readMessages(client);
}

/** Dials, and resets the connection as soon as it is there. */
async function dialAndReset({ address }: Server): Promise<void> {
  const socket = connect(address.port, address.hostname);
  await within(once(socket, "connect"), () => "a connection");
  socket.resetAndDestroy();
  await within(once(socket, "close"), () => "its end");
}

/** Reads `size` bytes, or fewer if the stream ends. Returns `null` if it had ended. */
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

/** A port as /proc/net/tcp has it. */
function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

/** Asserts that the server is there and has met with nothing that its code did not foresee. */
async function assertSound(server: Server): Promise<void> {
  assert(!server.hasEnded, server.stderr.text);
  const { code, stderr } = await server.stop();
  if (isPosix) assertEquals(code, 0, stderr);
  assert(!/Uncaught|^ +at /m.test(stderr), stderr);
}
