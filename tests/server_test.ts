/** Tests of the server as a process, and of what clients and systems do to it. @module */

import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import { connect } from "node:net";
import { FrameReader, FrameWriter } from "../framing.ts";
import {
  assertError,
  copyScript,
  freePort,
  notLinux,
  notPosix,
  output,
  runScript,
  type Server,
  startScript,
  startServer,
  test,
  until,
} from "./testing.ts";

test("every client gets a stream of its own, which is printed", async () => {
  await using copy = await copyScript("streamServer.ts");
  await using server = await startServer(["--", "--count=3"], copy);
  const before = Date.now();
  using clients = await connectMany(server, 2);
  const messages = (await Promise.all(clients.map(readAll))).flat().sort();
  const after = Date.now();

  const lines = messages.map((text) => `29        ${text}`);
  for (const client of clients) {
    const { port } = client.localAddr as Deno.NetAddr;
    lines.push(`Connect from 127.0.0.1:${port} established`);
    client.close();
    const summary = RegExp(`^127.0.0.1:${port} finished, 3 messages`, "m");
    await server.stderr.waitFor(summary);
  }
  await server.stdout.waitFor(/^(.*\n){8}$/);
  assertEquals(server.stdout.lines.sort(), lines.sort());
  const times = messages.map((text) => Number(text.slice(12)) * 1000);
  assert(times[0] >= before && times[5] < after + 1, `${times}`);
  assert(messages.some((text) => !text.endsWith("000")), "no microseconds");
});

test("messages neither drift nor come in a burst after a pause", async () => {
  await using server = await startServer(["--count=0", "--quiet"]);
  using client = await Deno.connect(server.address);
  const frames = new FrameReader(client);
  await readMessages(frames, 1);
  server.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 500));
  server.kill("SIGCONT");

  let gaps: number[] = []; // in seconds, by the server's clock
  await until(() => `one that makes up for a late one: ${gaps}`, async () => {
    const messages = await readMessages(frames, 10);
    const times = messages.map((text) => Number(text.slice(12)));
    gaps = times.slice(1).map((time, i) => time - times[i]);
    return gaps.some((gap) => gap < 0.09);
  });
  assert(gaps.filter((gap) => gap < 0.02).length < 2, `a burst: ${gaps}`);
}, notPosix);

test("a client may send at any time, or close its side at once", async () => {
  await using server = await startServer(["--interval=0.01"]);
  using clients = await connectMany(server, 2);
  const [sender, listener] = clients;
  const input = new FrameWriter(sender);
  await listener.closeWrite();
  input.add(new Uint8Array(1e6));
  await input.flush();
  for (const client of clients) {
    assertEquals((await readAll(client)).length, 20);
  }
  input.add(new Uint8Array(1e6));
  await input.flush(); // The server reads on until the client closes.
  clients[Symbol.dispose]();
  await server.stderr.waitFor(/(finished, 20 .*\n.*){2}/);
});

test("clients that reset, or wait for others, do no harm", async () => {
  const flags = ["--count=0", "--interval=0.05", "--quiet"];
  await using server = await startServer(flags, { shell: "ulimit -n 64" });
  for (let i = 0; i < 100; i++) {
    const socket = connect(server.address.port, server.address.hostname);
    await once(socket, "connect");
    if (i % 2 === 0) socket.resetAndDestroy();
    else socket.destroy();
  }

  using clients = await connectMany(server, 70); // more than it may open
  const readers = clients.map((client) => new FrameReader(client));
  await Promise.all(readers.slice(0, 10).map((one) => readMessages(one, 5)));
  for (const client of clients.slice(10, 50)) client.close();
  await Promise.all(readers.slice(50).map((one) => readMessages(one, 5)));
  assertEquals((await server.stop()).code, 0);
}, notPosix);

test("clients that do not read cost one buffer each", async () => {
  const flags = ["--count=0", "--interval=0", "--quiet"];
  await using server = await startServer(flags);
  using reader = await Deno.connect(server.address);
  const frames = new FrameReader(reader);
  const ps = ["ps", "-o", "rss=", "-p", String(server.pid)];
  await readMessages(frames, 50_000);
  const before = Number(await output(...ps));

  using _idlers = await connectMany(server, 20);
  await server.stdout.waitFor(/(^Connect .*\n){21}/m);
  await readMessages(frames, 200_000);
  const cost = Number(await output(...ps)) - before;
  assert(cost < 50_000, `20 clients that do not read cost ${cost} KiB`);
}, notLinux);

test("clients that dial a stopped server are all served", async () => {
  await using server = await startServer(["--interval=0", "--quiet"]);
  server.kill("SIGSTOP");
  // With the default backlog of 511, some of these would wait for ever.
  using clients = await connectMany(server, 900);
  server.kill("SIGCONT");
  for (const messages of await Promise.all(clients.map(readAll))) {
    assertEquals(messages.length, 20);
  }
}, notLinux);

for (const [signal, interval] of [["SIGINT", 0], ["SIGTERM", 3600]] as const) {
  test(`${signal} ends every stream after a whole frame`, async () => {
    const flags = ["--count=0", `--interval=${interval}`, "--quiet"];
    await using server = await startServer(flags);
    using clients = await connectMany(server, 6);
    const readers = clients.slice(1).map((client) => new FrameReader(client));
    await server.stdout.waitFor(/(^Connect .*\n){6}/m);
    await Promise.all(readers.map((one) => readMessages(one, 1)));

    server.kill(signal);
    await Promise.all(readers.map((one) => readMessages(one)));
    assertEquals((await server.result()).code, 0);
  }, notPosix);
}

const LOGS = {
  "on a full disk": "exec >/dev/full",
  "that nobody reads": 'f=$(mktemp -u); mkfifo "$f"; exec 1<>"$f"',
};
for (const [log, shell] of Object.entries(LOGS)) {
  test(`a log ${log} does not block the server`, async () => {
    const flags = ["--interval=0", "--count=0"];
    await using server = await startServer(flags, { shell });
    using client = await Deno.connect(server.address);
    await readMessages(new FrameReader(client), 1000);
    assertEquals((await server.stop()).code, 0);
  }, notLinux);
}

test("a server that cannot listen says where it can", async () => {
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

/** Connects many clients at once. Disposing of them closes them. */
async function connectMany({ address }: Server, size: number) {
  const connect = () => Deno.connect(address);
  const clients = await Promise.all(Array.from({ length: size }, connect));
  const close = () => clients.forEach((client) => client[Symbol.dispose]());
  return Object.assign(clients, { [Symbol.dispose]: close });
}

function readAll(client: Deno.TcpConn): Promise<string[]> {
  return readMessages(new FrameReader(client));
}

/** Reads `count` messages of the server, or all. Throws if the stream is cut or too short, or if the time steps back. */
async function readMessages(frames: FrameReader, count = Infinity) {
  const messages: string[] = [];
  const signal = AbortSignal.timeout(30_000);
  let last = "";
  while (messages.length < count) {
    const payload = await frames.read({ signal });
    if (payload === null && count === Infinity) break;
    assert(payload !== null, `the stream ended after ${last}`);
    const message = new TextDecoder().decode(payload);
    assert(/^The time is \d{10}\.\d{6}$/.test(message), message);
    assert(message >= last, `${message} after ${last}`);
    messages.push(message);
    last = message;
  }
  return messages;
}
