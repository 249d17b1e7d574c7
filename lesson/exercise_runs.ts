/**
 * Runs a learner's client against the deliveries of the exercise, each time as a
 * process of its own, and records what it reads and prints.
 *
 * @module
 */

import { deliver, type Delivery } from "./exercise_deliveries.ts";

/** What a client did with a delivery. */
export interface Trial {
  delivery: Delivery;
  /** How many times the client connected. */
  connections: number;
  /** Its reads with `connection.read`. Other ways of reading are not recorded. */
  reads: Read[];
  /** Whether the last read has not returned. */
  isReading: boolean;
  /** What it printed to stdout. */
  lines: string[];
  stderr: string;
  exitCode: number;
  /** Why it was stopped, if it was. */
  stopped?: Reason;
}

/** One read. */
export interface Read {
  /** How many bytes it had room for. */
  room: number;
  /** How many bytes it brought, or `null` at the end of the stream. */
  size: number | null;
}

/** Nothing happened for too long, it printed too much, or too many reads brought nothing. */
export type Reason = "late" | "printing" | "reading";

/** Running more clients at once would delay them, and their reads would bring several pieces. */
const LANES = Math.min(Math.max(navigator.hardwareConcurrency, 2), 4);

/** How long a client runs before the next one starts beside it, in milliseconds. */
const TURN = 1000;

/** How much a client may print, in characters. */
const MAX_OUTPUT = 200_000;

/** How many reads in a row may bring nothing. */
const MAX_EMPTY_READS = 1000;

/** How long a client may neither read nor print after a read, in milliseconds. */
export const SPIN_LIMIT = 3000;

/** How long a piece waits, after one that ends a message, until the client prints. */
const MAX_PAUSE = 250;

/** The processes that are running. They end with the program. */
const processes = new Set<Deno.ChildProcess>();
globalThis.addEventListener("unload", () => processes.forEach(kill));

/** Starts Deno. */
export function startDeno(args: string[]): Deno.ChildProcess {
  const process = new Deno.Command(Deno.execPath(), {
    args,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  processes.add(process);
  process.status.then(() => processes.delete(process));
  return process;
}

/** Ends a process that may have ended by itself. */
function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch {
    // It has just ended.
  }
}

/**
 * Runs the client against all deliveries.
 *
 * @param program Deno's arguments that name the client.
 * @param timeout How long a client may do nothing, in milliseconds.
 * @returns The trials, in order, each when it has ended.
 */
export function startAll(
  deliveries: Delivery[],
  program: string[],
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
  program: string[],
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
    ...program,
    ...["--hostname", "127.0.0.1", "--port", String(port)],
  ]);
  const trial: Trial = {
    delivery,
    connections: 0,
    reads: [],
    isReading: false,
    lines: [],
    stderr: "",
    exitCode: 0,
  };

  function stop(reason: Reason): void {
    trial.stopped ??= reason;
    kill(client);
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  function startTimer(): void {
    clearTimeout(timer);
    const isBusy = trial.reads.length > 0 && !trial.isReading;
    const limit = isBusy ? Math.min(timeout, SPIN_LIMIT) : timeout;
    timer = setTimeout(() => stop("late"), limit);
  }
  startTimer();

  let room = 0;
  let emptyReads = 0;
  /** Takes the reports of exercise_reads.ts out of stderr. */
  function takeReports(text: string): string {
    return text.replaceAll(/\0(asks|got) (\w+)\0/g, (_, verb, number) => {
      trial.isReading = verb === "asks";
      if (trial.isReading) {
        room = Number(number);
      } else {
        const size = number === "null" ? null : Number(number);
        trial.reads.push({ room, size });
        emptyReads = size ? 0 : emptyReads + 1;
        if (emptyReads === MAX_EMPTY_READS) stop("reading");
      }
      return "";
    });
  }

  let printing = Promise.withResolvers<void>();
  (async () => {
    for await (const connection of listener) {
      trial.connections++;
      deliver(delivery, connection, async (message) => {
        startTimer();
        if (message === undefined) return;
        await Promise.race([printing.promise, sleep(MAX_PAUSE)]);
      }).catch(() => {}); // The client has left.
    }
  })().catch(() => {}); // The client left before it was accepted.

  const [stdout, { code }] = await Promise.all([
    readText(client.stdout, (text) => {
      startTimer();
      printing.resolve();
      printing = Promise.withResolvers();
      if (text.length > MAX_OUTPUT) stop("printing");
      return text;
    }),
    client.status,
    readText(client.stderr, (text) => {
      startTimer();
      trial.stderr = takeReports(text);
      if (trial.stderr.length > MAX_OUTPUT) stop("printing");
      return trial.stderr;
    }),
  ]);
  clearTimeout(timer);
  trial.lines = stdout.split(/\r?\n/);
  if (trial.lines.at(-1) === "") trial.lines.pop();
  trial.exitCode = code;
  return trial;
}

/** Reads a stream to its end. `onText` gets the text so far and returns what to keep. */
async function readText(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onText: (text: string) => string,
): Promise<string> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text = onText(text + part);
  }
  return text;
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
