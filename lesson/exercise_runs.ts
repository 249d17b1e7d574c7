/**
 * Runs a learner's client against the deliveries of the exercise, each time as a
 * process of its own, and records what it reads and prints.
 *
 * @module
 */

import { deliver, type Delivery } from "./exercise_deliveries.ts";
import type { Program } from "./exercise_files.ts";
import { kill, startDeno } from "./processes.ts";

/** What a client did with a delivery. */
export interface Trial {
  delivery: Delivery;
  /** Whether the client has connected. */
  hasConnected: boolean;
  /** Its reads with `connection.read`. Other ways of reading are not recorded. */
  reads: Read[];
  /** What it printed to stdout. */
  lines: string[];
  stderr: string;
  exitCode: number;
  /** Why it was stopped, if it was: it printed too much, came no further, or connected too often. */
  stopped?: "printing" | "idle" | "reconnecting";
}

/** One read. */
export interface Read {
  /** How many bytes it had room for. */
  room: number;
  /** How many bytes it brought, or `null` at the end of the stream. */
  size: number | null;
}

/** Running more clients at once would delay them, and their reads would bring several pieces. */
const LANES = Math.min(Math.max(navigator.hardwareConcurrency, 2), 4);

/** How long a client runs before the next one starts beside it, in milliseconds. */
const TURN = 1000;

/** How much a client may print, in characters. */
const MAX_OUTPUT = 200_000;

/** How many reads in a row may bring nothing. */
const MAX_EMPTY_READS = 20;

/** How often a client may connect. */
const MAX_CONNECTIONS = 5;

/** How many times the timeout a trial may take. */
const MAX_TIMEOUTS = 8;

/** How long a piece waits, after one that ends a message, until the client prints. */
const MAX_PAUSE = 250;

/**
 * Runs the client against all deliveries.
 *
 * @param timeout How long a client may do nothing, in milliseconds.
 * @returns The trials, in order, each when it has ended.
 */
export function startAll(
  deliveries: Delivery[],
  program: Program,
  timeout: number,
): Promise<Trial>[] {
  const lanes = Array.from({ length: LANES }, () => Promise.resolve());
  return deliveries.map((delivery, i) => {
    const turn = lanes[i % LANES];
    const trial = turn.then(() => tryOut(delivery, program, timeout));
    lanes[i % LANES] = turn.then(async () => {
      await Promise.race([trial, sleep(TURN)]);
    });
    return trial;
  });
}

async function tryOut(
  delivery: Delivery,
  program: Program,
  timeout: number,
): Promise<Trial> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  await using client = startDeno([
    "run",
    "--no-prompt",
    // Its server and nothing else. Some programs look up "localhost" first.
    `--allow-net=127.0.0.1:${port},localhost:${port}`,
    // A loop that collects without end must not take all memory.
    "--v8-flags=--max-old-space-size=64",
    `--preload=${import.meta.dirname}/exercise_reads.ts`,
    ...program.args,
    ...["--hostname", "127.0.0.1", "--port", String(port)],
  ]);
  const reads: Read[] = [];
  let connections = 0;
  let stopped: Trial["stopped"];

  function stop(reason: Trial["stopped"]): void {
    stopped ??= reason;
    kill(client);
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  function startTimer(): void {
    clearTimeout(timer);
    timer = setTimeout(() => stop("idle"), timeout);
  }

  let printing = Promise.withResolvers<void>();
  (async () => {
    for await (const connection of listener) {
      if (++connections > MAX_CONNECTIONS) stop("reconnecting");
      deliver(delivery, connection, async (endsMessage) => {
        startTimer();
        if (!endsMessage) return;
        await Promise.race([printing.promise, sleep(MAX_PAUSE)]);
      }).catch(() => {}); // The client has left.
    }
  })().catch(() => {}); // The client left before it was accepted.

  let emptyReads = 0;
  /** Records a report of exercise_reads.ts, and takes it out of stderr. */
  function takeReport(_: string, size: string, room: string): string {
    reads.push({ room: Number(room), size: JSON.parse(size) });
    emptyReads = Number(size) > 0 ? 0 : emptyReads + 1;
    if (emptyReads === 0) startTimer();
    if (emptyReads === MAX_EMPTY_READS) stop("idle");
    return "";
  }

  /** Returns all that the client prints to stdout or stderr. */
  async function collect(
    output: ReadableStream<Uint8Array<ArrayBuffer>>,
  ): Promise<string> {
    let text = "";
    for await (const part of output.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (output === client.stdout) {
        startTimer(); // Notes on stderr are no progress.
        printing.resolve();
        printing = Promise.withResolvers();
      } else {
        text = text.replaceAll(/\0read (\d+|null) of (\d+)\0/g, takeReport);
      }
      if (text.length > MAX_OUTPUT) stop("printing");
    }
    return text;
  }

  startTimer();
  const deadline = setTimeout(() => stop("idle"), MAX_TIMEOUTS * timeout);
  const [stdout, stderr, { code: exitCode }] = await Promise.all([
    collect(client.stdout),
    collect(client.stderr),
    client.status,
  ]);
  clearTimeout(timer);
  clearTimeout(deadline);
  const lines = stdout.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const hasConnected = connections > 0;
  return { delivery, hasConnected, reads, lines, stderr, exitCode, stopped };
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
