/**
 * Tests of the server as a process: its messages, and what clients, systems and
 * operators do to it.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { connect } from "node:net";
import { FrameReader } from "../framing.ts";
import {
  assertError,
  connectMany,
  copyScript,
  freePort,
  output,
  readMessages,
  runScript,
  type Server,
  startScript,
  startServer,
  test,
  within,
} from "./testing.ts";

/** Messages without end, at full speed. */
const ENDLESS = ["--count=0", "--interval=0", "--quiet"];

test("every client gets a stream of its own, and the server prints it", async () => {
  await using server = await startServer(["--", "--count=3"]);
  using clients = await connectMany(server.address.port, 2);

  const streams = await Promise.all(
    clients.map((client) => readMessages(new FrameReader(client))),
  );
  for (const client of clients) {
    const { port } = client.localAddr as Deno.NetAddr;
    client.close();
    await server.stderr.waitFor(
      RegExp(`^127.0.0.1:${port} finished, 3 messages`, "m"),
    );
    await server.stdout.waitFor(
      RegExp(`^Connect from 127.0.0.1:${port} established\n`, "m"),
    );
  }
  await server.stdout.waitFor(/^Connect from(.*\n){8}$/);
  assertEquals(
    server.stdout.lines.filter((line) => !line.startsWith("Connect")).sort(),
    streams.flat().map((message) => `29        ${message}`).sort(),
  );
});

test("the time of a message is the system's, with microseconds", async () => {
  await using server = await startServer([...ENDLESS, "--count=50000"]);
  const before = Date.now();
  const messages = await dial(server);
  const after = Date.now();

  const times = messages.map((text) => Number(text.slice(12)) * 1000);
  assertEquals(times.length, 50_000);
  assert(times[0] >= before && times.at(-1)! < after + 1);
  const microseconds = new Set(messages.map((text) => text.slice(-3)));
  assert(microseconds.size > 100, `${microseconds.size} of 1000`);
});

test.onPosix("messages keep their pace, and take it up again after a pause", async () => {
  await using server = await startServer(["--quiet"]);
  using client = await Deno.connect(server.address);
  const frames = new FrameReader(client);
  const messages = await readMessages(frames, 1);
  server.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 300));
  server.kill("SIGCONT");
  messages.push(...await readMessages(frames));

  const times = messages.map((text) => Number(text.slice(12)));
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  // Without drift, the message after a late one is nearer to it.
  assert(Math.min(...gaps) < 0.08, `none catches up: ${gaps}`);
  assert(Math.min(...gaps) > 0.02, `a burst: ${gaps}`);
});

test("a client that sends much, and closes its side at once, gets its last messages", async () => {
  await using server = await startServer(["--interval=0.01"]);
  using client = await Deno.connect(server.address);
  const junk = new Blob([new Uint8Array(1e7)]).stream();

  await junk.pipeTo(client.writable, { preventClose: true });
  await client.closeWrite();
  assertEquals((await readMessages(new FrameReader(client))).length, 20);
  client.close();
  await stopSound(server);
});

test.onPosix("clients that reset, hang up or wait for a file descriptor do no harm to others", async () => {
  const flags = ["--count=0", "--interval=0.05", "--quiet"];
  await using server = await startServer(flags, { shell: "ulimit -n 64" });
  for (let i = 0; i < 100; i++) {
    const socket = connect(server.address.port, server.address.hostname);
    await within(once(socket, "connect"), () => `connection ${i}`);
    if (i % 2 === 0) socket.resetAndDestroy();
    else socket.destroy();
  }

  using clients = await connectMany(server.address.port, 70);
  const readers = clients.map((client) => new FrameReader(client));
  await Promise.all(readers.slice(0, 10).map((one) => readMessages(one, 5)));
  for (const client of clients.slice(10, 50)) client.close();
  await Promise.all(readers.slice(50).map((one) => readMessages(one, 5)));

  clients[Symbol.dispose]();
  await stopSound(server);
});

test.onLinux("clients that do not read cost one buffer each, and others are served", async () => {
  await using server = await startServer(ENDLESS);
  using reader = await Deno.connect(server.address);
  const frames = new FrameReader(reader);
  await readMessages(frames, 200_000);
  const before = await memory(server);

  using _idlers = await connectMany(server.address.port, 20);
  await server.stdout.waitFor(/(^Connect .*\n){21}/m);
  assertEquals((await readMessages(frames, 400_000)).length, 400_000);
  const cost = await memory(server) - before;
  assert(cost < 50e6, `20 clients that do not read cost ${cost} bytes`);
});

test.onLinux("clients that dial while the server is stopped are all served", async () => {
  await using server = await startServer(["--interval=0", "--quiet"]);
  server.kill("SIGSTOP");
  // With the default backlog of 511, some of these would wait for ever.
  using clients = await connectMany(server.address.port, 900);
  server.kill("SIGCONT");
  const streams = clients.map(async (client) => {
    assertEquals((await readMessages(new FrameReader(client))).length, 20);
  });
  await within(Promise.all(streams), () => "900 streams");
});

for (const [signal, interval] of [["SIGINT", 0], ["SIGTERM", 3600]] as const) {
  test.onPosix(`${signal} ends every stream after a whole frame`, async () => {
    await using server = await startServer(
      ["--count=0", `--interval=${interval}`, "--quiet"],
    );
    using clients = await connectMany(server.address.port, 5);
    using _idler = await Deno.connect(server.address);
    await server.stdout.waitFor(/(^Connect .*\n){6}/m);
    const readers = clients.map((client) => new FrameReader(client));
    await Promise.all(readers.map((one) => readMessages(one, 1)));

    server.kill(signal);
    await Promise.all(readers.map((one) => readMessages(one)));
    assertEquals((await server.result()).code, 0);
  });
}

const LOGS: [log: string, shell: string, count: number][] = [
  ["that cannot be written", "exec >/dev/full", 20],
  // Of a server that has no end, as a pipe takes in the lines of many messages.
  [
    "that nobody reads",
    'f=$(mktemp -u) && mkfifo "$f" && exec 1<>"$f" && rm "$f"',
    0,
  ],
];
for (const [log, shell, count] of LOGS) {
  test.onLinux(`a server with a log ${log} sends messages, and ends when it is told to`, async () => {
    const flags = ["--interval=0", `--count=${count}`];
    await using server = await startServer(flags, { shell });
    using client = await Deno.connect(server.address);
    await readMessages(new FrameReader(client), count || 1000);
    await stopSound(server);
  });
}

const WRONG: [arg: string, ...words: string[]][] = [
  ["--prot=9", "--prot"],
  ["9093", "9093"],
  ["--port=65536", "--port", "65535", "65536"],
  ["--port=", "--port"],
  ["--count=1.5", "--count", "1.5"],
  ["--count=-1", "--count", "-1"],
  ["--interval=soon", "--interval", "soon"],
  ["--interval=-1", "--interval", "-1"],
];
test("the server refuses a wrong command line with exit code 2", async () => {
  await Promise.all(WRONG.map(async ([arg, ...words]) => {
    const result = await runScript("server", [arg]);
    assertError(result, 2, ...words);
    assertEquals(result.stdout, "");
  }));
});

test("--help names every flag with its default", async () => {
  const { code, stdout, stderr } = await runScript("server", ["--help"]);
  assertMatch(stdout, /--hostname.*127\.0\.0\.1[^]*--port.*9092/);
  assertMatch(stdout, /--count.*20[^]*--interval.*0\.1[^]*--quiet/);
  assertEquals([code, stderr], [0, ""]);
});

test("the server says which address it cannot listen on, and what to do instead", async () => {
  await using server = await startServer();
  const cases = [
    ["127.0.0.1", String(server.address.port)],
    ["192.0.2.1", String(freePort())],
  ];
  for (const [hostname, port] of cases) {
    const flags = ["--hostname", hostname, "--port", port];
    const refused = await runScript("server", flags);
    const line = assertError(refused, 1, `${hostname}:${port}`);
    const [, ...advice] = line.match(/(--\w+) (\S+)$/)!;
    await using other = startScript("server", [...flags, ...advice]);
    await other.stderr.waitFor(/^Listening/);
  }
});

test("the server runs in a folder with framing.ts and a deno.json that names @std", async () => {
  await using copy = await copyScript("streamServer.ts");
  await using server = await startServer(["--interval=0"], copy);
  assertEquals((await dial(server)).length, 20);
});

/** Takes a stream of the server to its end. */
async function dial(server: Server): Promise<string[]> {
  using client = await Deno.connect(server.address);
  return await readMessages(new FrameReader(client));
}

/** Returns the memory of a process, in bytes. */
async function memory({ pid }: Server): Promise<number> {
  // Deno itself reads /proc with --allow-all only.
  const status = await output("cat", `/proc/${pid}/status`);
  return Number(status.match(/^VmRSS:\s+(\d+) kB$/m)![1]) * 1024;
}

/** Stops the server. Asserts that it was there, and met nothing that its code does not foresee. */
async function stopSound(server: Server): Promise<void> {
  assert(!server.hasEnded, server.stderr.text);
  const { code, stderr } = await server.stop();
  assert(!/Uncaught|^ +at /m.test(stderr), stderr);
  assertEquals(code, Deno.build.os === "windows" ? 1 : 0, stderr);
}
