/**
 * Runs servers for minutes with clients of every kind. Good clients check every
 * message of their streams, while bad ones connect, send junk, stall, reset and
 * leave at random. At the end a server must hold no more memory and files than at
 * the beginning.
 *
 * ```shell
 * deno task soak
 * deno task soak --seconds 600 --seed 42
 * ```
 *
 * @module
 */

import { connect, type Socket } from "node:net";
import {
  fail,
  MAX_SEED,
  randomSeed,
  readFlags,
  readInteger,
} from "../lesson/command_line.ts";
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

/** After this time in milliseconds, the servers hold what they need for good. */
const WARM_UP = 10_000;

/** Returns random numbers from 0 to 1: Marsaglia's xorshift. */
type Random = () => number;

function randomFrom(seed: number): Random {
  let state = (seed * 2_654_435_769 + 1) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

interface Target {
  server: Server;
  count: number;
}

/** Number of clients so far, and of messages to good ones. */
const tally = { good: 0, messages: 0, bad: 0 };

/** Runs good clients, one after another, until the time is over. */
async function comeInGood(targets: Target[], random: Random, end: number) {
  while (performance.now() < end) {
    const { server, count } = pick(targets, random);
    using connection = await Deno.connect(server.address);
    const chunkSize = Math.ceil(count * 39 / (20 + random() * 2000));
    // A client that reads late finds messages waiting.
    if (random() < 0.3) await sleep(random() * 200);
    const { length } = await readMessages(connection, chunkSize);
    if (length !== count) throw new Error(`${length} messages of ${count}`);
    tally.good++;
    tally.messages += count;
  }
}

/** Runs bad clients, one after another, until the time is over. */
async function comeInBad(targets: Target[], random: Random, end: number) {
  while (performance.now() < end) {
    const { server } = pick(targets, random);
    const socket = connect(server.port, server.hostname);
    const closed = Promise.withResolvers<void>();
    socket.on("close", () => closed.resolve());
    socket.on("error", () => {}); // It was asked for.
    await within(
      Promise.race([
        new Promise<void>((resolve) => socket.once("connect", resolve)),
        closed.promise,
      ]),
      () => "a connection",
    );
    await pick(BEHAVIOURS, random)(socket, random);
    if (random() < 0.5) socket.resetAndDestroy();
    else socket.destroy();
    await within(closed.promise, () => "a connection to close");
    tally.bad++;
  }
}

/** What bad clients do before they leave. */
const BEHAVIOURS: ((socket: Socket, random: Random) => Promise<void> | void)[] =
  [
    function leavesAtOnce() {},
    function readsForSomeTime(socket, random) {
      socket.resume();
      return sleep(random() * 500);
    },
    function neverReads(socket, random) {
      socket.pause();
      return sleep(random() * 2000);
    },
    function halfCloses(socket, random) {
      socket.resume();
      socket.end();
      return sleep(random() * 500);
    },
    async function sendsJunk(socket, random) {
      socket.resume();
      const junk = new Uint8Array(random() * 100_000).fill(random() * 256);
      for (let i = 0; i < 5; i++) {
        socket.write(junk);
        await sleep(random() * 50);
      }
    },
    async function readsInFits(socket, random) {
      for (let i = 0; i < 5; i++) {
        socket.resume();
        await sleep(random() * 50);
        socket.pause();
        await sleep(random() * 200);
      }
    },
  ];

function pick<T>(values: T[], random: Random): T {
  return values[Math.floor(random() * values.length)];
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Lets clients of both kinds come and go for a time in milliseconds. */
async function comeAndGo(targets: Target[], seed: number, duration: number) {
  const end = performance.now() + duration;
  await Promise.all(
    Array.from({ length: GOOD + BAD }, (_, i) => {
      const comeIn = i < GOOD ? comeInGood : comeInBad;
      return comeIn(targets, randomFrom(seed * 1000 + i), end);
    }),
  );
}

/** Waits until a server holds as little as before. */
async function comeBack(server: Server, before: Holdings): Promise<Holdings> {
  let now = before;
  await until(
    () => `a server that held ${show(before)} to be back there: ${show(now)}`,
    async () => {
      now = await holdings(server.script);
      return now.files <= before.files + SPARE_FILES &&
        now.memory <= before.memory + SPARE_MEMORY;
    },
  );
  return now;
}

function show({ memory, files }: Holdings): string {
  return `${(memory / 2 ** 20).toFixed(1)} MiB and ${files} files`;
}

async function soak(seed: number, duration: number): Promise<void> {
  await using servers = new AsyncDisposableStack();
  const targets: Target[] = [];
  for (const { count, interval } of PACES) {
    const flags = ["--count", `${count}`, "--interval", `${interval}`];
    const server = servers.use(await startServer([...flags, "--quiet"]));
    targets.push({ server, count });
  }

  await comeAndGo(targets, seed, WARM_UP);
  const before = tellsHoldings
    ? await Promise.all(targets.map(({ server }) => holdings(server.script)))
    : [];
  await comeAndGo(targets, seed + 1, duration * 1000);
  for (const [i, { server }] of targets.entries()) {
    if (tellsHoldings) {
      const after = await comeBack(server, before[i]);
      console.error(`server ${i + 1}: ${show(before[i])}, then ${show(after)}`);
    }
    const log = server.stderr.text;
    if (server.script.hasEnded || /Uncaught|^ +at /m.test(log)) {
      throw new Error(`A server has come to harm: ${log.slice(-2000)}`);
    }
  }
  if (!tellsHoldings) {
    console.error("what the servers hold was not looked at: only on Linux");
  }
}

const USAGE =
  `Runs the server among good and bad clients, and checks that the good ones miss
nothing.

USAGE:
  deno task soak [OPTIONS]

OPTIONS:
  --seconds <SECONDS>  how long, after 10 to warm up (default: 60)
  --seed <N>           what the clients' doings are made from (default: random)
  -h, --help           print this help`;

const flags = readFlags(USAGE, { seconds: "60", seed: randomSeed() });
const seconds = readInteger("seconds", flags.seconds, [0, 86_400]);
const seed = readInteger("seed", flags.seed, [0, MAX_SEED]);

console.error(`seed ${seed}`);
try {
  await soak(seed, seconds);
} catch (error) {
  fail((error as Error).message);
}
console.error(
  `${tally.good} clients got all of ${tally.messages} messages, beside ${tally.bad} that came, stalled, reset and left`,
);
