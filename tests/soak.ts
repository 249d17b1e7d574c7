/**
 * Runs servers for minutes with clients of every kind. Good clients check every
 * message of their streams, while bad ones connect, send junk, stall, reset and
 * leave at random. At the end a server must hold no more memory and files than at
 * the beginning.
 *
 * ```shell
 * deno task soak
 * deno task soak --seconds 600
 * ```
 *
 * @module
 */

import { connect } from "node:net";
import { fail, readFlags, readInteger } from "../lesson/command_line.ts";
import {
  type Holdings,
  holdings,
  readMessages,
  type Server,
  startServer,
  tellsHoldings,
  until,
  within,
} from "./testing.ts";

/** Servers at two paces. At full speed, a stream is longer than what the system buffers for a client. */
const PACES = [
  { count: 100, interval: 0.01 },
  { count: 150_000, interval: 0 },
];

/** Number of clients of each kind at any time. */
const GOOD = 20;
const BAD = 40;

/** How much more memory a server may hold at the end, in bytes, because of garbage. */
const SPARE_MEMORY = 32 * 1024 * 1024;
/** How many more files. Thousands of clients would leave more. */
const SPARE_FILES = 4;

/** After this time in seconds, the servers hold what they need for good. */
const WARM_UP = 10;

interface Target {
  server: Server;
  count: number;
}

/** Number of clients so far, and of messages to good ones. */
const tally = { good: 0, messages: 0, bad: 0 };

/** Runs one good client, which gets a whole stream. */
async function comeInGood({ server, count }: Target): Promise<void> {
  using connection = await Deno.connect(server.address);
  const chunkSize = Math.ceil(count * 39 / (20 + random(2000)));
  // A client that reads late finds messages waiting.
  if (random(1) < 0.3) await sleep(random(200));
  const { length } = await readMessages(connection, chunkSize);
  if (length !== count) throw new Error(`${length} messages of ${count}`);
  tally.good++;
  tally.messages += count;
}

/** Runs one bad client, which may send junk, half-close, stall, reset and leave. */
async function comeInBad({ server }: Target): Promise<void> {
  const socket = connect(server.address.port, server.address.hostname);
  const connected = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  socket.on("connect", () => connected.resolve());
  socket.on("close", () => closed.resolve());
  socket.on("error", () => {}); // It was asked for.
  await within(
    Promise.race([connected.promise, closed.promise]),
    () => "a connection",
  );
  if (random(1) < 0.7) socket.resume(); // Otherwise it never reads.
  if (random(1) < 0.2) socket.end();
  const writes = socket.writable && random(1) < 0.3 ? 5 : 0;
  for (let i = 0; i < writes; i++) {
    socket.write(new Uint8Array(random(100_000)).fill(random(256)));
    await sleep(random(50));
  }
  if (random(1) < 0.8) await sleep(random(800));
  if (random(1) < 0.5) socket.resetAndDestroy();
  else socket.destroy();
  await within(closed.promise, () => "a connection to close");
  tally.bad++;
}

function random(below: number): number {
  return Math.random() * below;
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Lets clients of both kinds come and go, one after another in each place. */
async function comeAndGo(targets: Target[], seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: GOOD + BAD }, async (_, i) => {
      const comeIn = i < GOOD ? comeInGood : comeInBad;
      while (performance.now() < end) {
        await comeIn(targets[Math.floor(random(targets.length))]);
      }
    }),
  );
}

/** Waits until a server holds as little as before. */
async function comeBack(server: Server, before: Holdings): Promise<void> {
  let now = before;
  await until(
    () => `a server that held ${show(before)} to be back there: ${show(now)}`,
    async () => {
      now = await holdings(server);
      return now.files <= before.files + SPARE_FILES &&
        now.memory <= before.memory + SPARE_MEMORY;
    },
  );
  console.error(`a server held ${show(before)}, then ${show(now)}`);
}

function show({ memory, files }: Holdings): string {
  return `${(memory / 2 ** 20).toFixed(1)} MiB and ${files} files`;
}

async function soak(seconds: number): Promise<void> {
  await using servers = new AsyncDisposableStack();
  const targets: Target[] = [];
  for (const { count, interval } of PACES) {
    const flags = ["--quiet", `--count=${count}`, `--interval=${interval}`];
    targets.push({ server: servers.use(await startServer(flags)), count });
  }

  await comeAndGo(targets, WARM_UP);
  const before = tellsHoldings
    ? await Promise.all(targets.map(({ server }) => holdings(server)))
    : [];
  await comeAndGo(targets, seconds);
  for (const [i, holdings] of before.entries()) {
    await comeBack(targets[i].server, holdings);
  }
  if (!tellsHoldings) {
    console.error("what the servers hold was not looked at: only on Linux");
  }
  for (const { server } of targets) {
    const log = server.stderr.text;
    if (server.hasEnded || /Uncaught|^ +at /m.test(log)) {
      throw new Error(`A server has come to harm: ${log.slice(-2000)}`);
    }
  }
}

const USAGE =
  `Runs the server among good and bad clients, and checks that the good ones miss
nothing.

USAGE:
  deno task soak [OPTIONS]

OPTIONS:
  --seconds <SECONDS>  how long, after 10 to warm up (default: 60)
  -h, --help           print this help`;

const flags = readFlags(USAGE, { seconds: "60" });
const seconds = readInteger("seconds", flags.seconds, [0, 86_400]);

try {
  await soak(seconds);
} catch (error) {
  fail((error as Error).message);
}
console.error(
  `${tally.good} clients got all of ${tally.messages} messages, beside ${tally.bad} that came, stalled, reset and left`,
);
