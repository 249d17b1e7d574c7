/**
 * Tests of the server as a process: its messages, and what clients, systems and
 * operators do to it.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import { connect } from "node:net";
import { FrameReader } from "../framing.ts";
import {
  assertError,
  connectMany,
  copyScript,
  freePort,
  isPosix,
  output,
  readMessages,
  runScript,
  type Server,
  startScript,
  startServer,
  test,
} from "./testing.ts";

test("every client gets a stream of its own, and the server prints it", async () => {
  await using server = await startServer(["--", "--count=3"]);
  const before = Date.now();
  using clients = await connectMany(server.address.port, 2);
  const streams = await Promise.all(
    clients.map((client) => readMessages(new FrameReader(client))),
  );
  const after = Date.now();

  for (const client of clients) {
    const address = `127.0.0.1:${(client.localAddr as Deno.NetAddr).port}`;
    client.close();
    const summary = RegExp(`^${address} finished, 3 messages`, "m");
    await server.stderr.waitFor(summary);
    const start = RegExp(`^Connect from ${address} established\n`, "m");
    await server.stdout.waitFor(start);
  }
  await server.stdout.waitFor(/^Connect(.*\n){8}$/);
  const messages = streams.flat().sort();
  const lines = server.stdout.lines.filter((line) => !/^Connect/.test(line));
  assertEquals(lines.sort(), messages.map((text) => `29        ${text}`));
  const times = messages.map((text) => Number(text.slice(12)) * 1000);
  assert(times[0] >= before && times[5] < after + 1, `${times}`);
  assert(messages.some((text) => !text.endsWith("000")), "no microseconds");
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

test("a client may send at any time, or close its side at once", async () => {
  await using server = await startServer(["--interval=0.01"]);
  using clients = await connectMany(server.address.port, 2);
  const [sender, listener] = clients;
  const send = () =>
    new Blob([new Uint8Array(1e6)]).stream()
      .pipeTo(sender.writable, { preventClose: true });
  await listener.closeWrite();
  await send();
  for (const client of clients) {
    assertEquals((await readMessages(new FrameReader(client))).length, 20);
  }
  await send(); // The server reads on until the client closes.
  clients[Symbol.dispose]();
  await stopSound(server);
});

test.onPosix("clients that reset, hang up or wait for a file descriptor do no harm to others", async () => {
  const flags = ["--count=0", "--interval=0.05", "--quiet"];
  await using server = await startServer(flags, { shell: "ulimit -n 64" });
  for (let i = 0; i < 100; i++) {
    const socket = connect(server.address.port, server.address.hostname);
    await once(socket, "connect");
    if (i % 2 === 0) socket.resetAndDestroy();
    else socket.destroy();
  }

  using clients = await connectMany(server.address.port, 70);
  const readers = clients.map((client) => new FrameReader(client));
  await Promise.all(readers.slice(0, 10).map((one) => readMessages(one, 5)));
  for (const client of clients.slice(10, 50)) client.close();
  await Promise.all(readers.slice(50).map((one) => readMessages(one, 5)));
  await stopSound(server);
});

test.onLinux("clients that do not read cost one buffer each, and others are served", async () => {
  const flags = ["--count=0", "--interval=0", "--quiet"];
  await using server = await startServer(flags);
  using reader = await Deno.connect(server.address);
  const frames = new FrameReader(reader);
  await readMessages(frames, 50_000);
  const before = await memory(server);

  using _idlers = await connectMany(server.address.port, 20);
  await server.stdout.waitFor(/(^Connect .*\n){21}/m);
  assertEquals((await readMessages(frames, 200_000)).length, 200_000);
  const cost = await memory(server) - before;
  assert(cost < 50e6, `20 clients that do not read cost ${cost} bytes`);
});

test.onLinux("clients that dial while the server is stopped are all served", async () => {
  await using server = await startServer(["--interval=0", "--quiet"]);
  server.kill("SIGSTOP");
  // With the default backlog of 511, some of these would wait for ever.
  using clients = await connectMany(server.address.port, 900);
  server.kill("SIGCONT");
  await Promise.all(clients.map(async (client) => {
    assertEquals((await readMessages(new FrameReader(client))).length, 20);
  }));
});

for (const [signal, interval] of [["SIGINT", 0], ["SIGTERM", 3600]] as const) {
  test.onPosix(`${signal} ends every stream after a whole frame`, async () => {
    const flags = ["--count=0", `--interval=${interval}`, "--quiet"];
    await using server = await startServer(flags);
    using clients = await connectMany(server.address.port, 5);
    const readers = clients.map((client) => new FrameReader(client));
    using _idler = await Deno.connect(server.address);
    await server.stdout.waitFor(/(^Connect .*\n){6}/m);
    await Promise.all(readers.map((one) => readMessages(one, 1)));

    server.kill(signal);
    await Promise.all(readers.map((one) => readMessages(one)));
    assertEquals((await server.result()).code, 0);
  });
}

const LOGS: [log: string, shell: string, count: number][] = [
  ["that cannot be written", "exec >/dev/full", 20],
  // Messages without end, as a pipe has room for the lines of many.
  ["that nobody reads", 'f=$(mktemp -u); mkfifo "$f"; exec 1<>"$f"', 0],
];
for (const [log, shell, count] of LOGS) {
  test.onLinux(`a log ${log} stops neither streams nor the end of the server`, async () => {
    const flags = ["--interval=0", `--count=${count}`];
    await using server = await startServer(flags, { shell });
    using client = await Deno.connect(server.address);
    await readMessages(new FrameReader(client), count || 1000);
    client.close();
    await stopSound(server);
  });
}

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

test("the server runs in a folder with framing.ts and nothing else of the project", async () => {
  await using copy = await copyScript("streamServer.ts");
  await using server = await startServer(["--interval=0"], copy);
  using client = await Deno.connect(server.address);
  assertEquals((await readMessages(new FrameReader(client))).length, 20);
});

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
  if (isPosix) assertEquals(code, 0, stderr);
}
