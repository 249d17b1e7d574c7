/**
 * Checks clients of the exercise. Each runs as a process of its own, against
 * servers that deliver messages in ten ways, and is judged by what it prints and
 * how it ends. The texts are new for every run, and `--seed` repeats them.
 *
 * ```shell
 * deno task exercise
 * deno task exercise solutions/ada.ts
 * deno task exercise solutions/*.ts
 * deno task exercise --serve "random cuts" --seed 7
 * ```
 *
 * The exit code is 0 if every client passes everything, otherwise 1.
 *
 * @module
 */

import { green, red, setColorEnabled } from "@std/fmt/colors";
import {
  fail,
  MAX_SEED,
  printOrEnd,
  randomSeed,
  readFlags,
  readInteger,
} from "./command_line.ts";
import { deliver, makeDeliveries, randomFrom } from "./exercise_deliveries.ts";
import {
  findPrograms,
  load,
  type Program,
  typeCheck,
} from "./exercise_files.ts";
import { report } from "./exercise_report.ts";
import { startAll, type Trial } from "./exercise_runs.ts";
import { judge } from "./exercise_verdict.ts";
import { exitOnSignals } from "./processes.ts";

/** What came of a client. */
interface Result {
  program: Program;
  /** Why it cannot be started, if it cannot. */
  obstacle?: string;
  trials: Trial[];
  /** How many of the trials it passed. */
  passed: number;
  /** What TypeScript says about it. */
  typeError?: string;
}

async function main(): Promise<void> {
  if (flags.serve !== "none") return await serve();
  const programs = await findPrograms(
    flags._.length === 0 ? ["streamClientEx1.ts"] : flags._,
  );
  const results = flags.json
    ? await checkForScript(programs)
    : programs.length === 1
    ? [await checkOne(programs[0])]
    : await checkMany(programs);
  Deno.exit(results.every(hasPassed) ? 0 : 1);
}

/** Checks a client, and prints a line per delivery and a report about the first that failed. */
async function checkOne(program: Program): Promise<Result> {
  const result = await check(program, printOrEnd);
  const { obstacle, trials, passed, typeError } = result;
  if (obstacle !== undefined) {
    fail(`${program.name} cannot be started: ${obstacle}`);
  }
  printOrEnd(`${passed} of ${trials.length} passed`);
  if (typeError !== undefined) printOrEnd(`\nTypeScript says: ${typeError}`);
  if (!hasPassed(result)) printOrEnd(`\n${report(trials, program, seed)}`);
  return result;
}

/** Checks clients in turn, and prints a table. */
async function checkMany(programs: Program[]): Promise<Result[]> {
  const names = ["file", ...programs.map(({ name }) => name)];
  const width = Math.max(...names.map(({ length }) => length));
  printOrEnd(`${"file".padEnd(width)}  passed    first fault`);
  const results: Result[] = [];
  for (const program of programs) {
    const result = await check(program);
    results.push(result);
    const color = hasPassed(result) ? green : red;
    const passed = `${result.passed} of ${deliveries.length}`.padEnd(8);
    const fault = firstFault(result) ?? "";
    const row = `${program.name.padEnd(width)}  ${color(passed)}  ${fault}`;
    printOrEnd(row.trimEnd());
  }
  printOrEnd(
    `${
      results.filter(hasPassed).length
    } of ${programs.length} passed everything (to repeat this run: --seed ${seed})`,
  );
  return results;
}

/** Checks clients in turn, and prints one JSON document. */
async function checkForScript(programs: Program[]): Promise<Result[]> {
  const results: Result[] = [];
  for (const program of programs) results.push(await check(program));
  const document = {
    seed,
    clients: results.map((result) => ({
      file: result.program.file,
      passed: result.passed,
      total: deliveries.length,
      error: result.obstacle,
      typeError: result.typeError,
      deliveries: result.trials.map((trial) => ({
        name: trial.delivery.name,
        fault: judge(trial)?.what ?? null,
      })),
    })),
  };
  printOrEnd(JSON.stringify(document, null, 2));
  return results;
}

/** Runs a client against all deliveries. `print` gets a line at the start, and one per delivery. */
async function check(
  program: Program,
  print: (line: string) => void = () => {},
): Promise<Result> {
  const obstacle = await load(program);
  if (obstacle !== undefined) {
    return { program, obstacle, trials: [], passed: 0 };
  }
  print(`Checking ${program.name} (to repeat this run: --seed ${seed})`);
  const typeError = typeCheck(program);
  const trials: Trial[] = [];
  let passed = 0;
  for (const run of startAll(deliveries, program, timeout)) {
    showProgress(`${program.name}: ${deliveries[trials.length].name} …`);
    const trial = await run;
    showProgress("");
    trials.push(trial);
    const isRight = judge(trial) === undefined;
    if (isRight) passed++;
    const verdict = isRight ? green("passed") : red("FAILED");
    print(`${verdict}  ${trial.delivery.name}`);
  }
  showProgress("TypeScript …");
  const result = { program, trials, passed, typeError: await typeError };
  showProgress("");
  return result;
}

/** Shows at a terminal what the program waits for. */
function showProgress(text: string): void {
  if (!Deno.stdout.isTerminal() || !Deno.stderr.isTerminal()) return;
  const { columns } = Deno.consoleSize();
  const line = text.slice(0, columns - 1);
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${line}`));
}

function hasPassed({ passed }: Result): boolean {
  return passed === deliveries.length;
}

function firstFault({ obstacle, trials }: Result): string | undefined {
  if (obstacle !== undefined) return `cannot be started: ${obstacle}`;
  const failed = trials.find((trial) => judge(trial) !== undefined);
  return failed && `${failed.delivery.name}: ${judge(failed)?.what}`;
}

/** Delivers one stream to every client that connects, until Ctrl+C. */
async function serve(): Promise<void> {
  const delivery = deliveries.find(({ name }) => name === flags.serve);
  if (delivery === undefined) {
    const names = deliveries.map(({ name }) => `"${name}"`).join(", ");
    fail(`--serve takes one of ${names}, not "${flags.serve}"`, 2);
  }
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: "127.0.0.1", port });
  } catch (error) {
    fail(
      error instanceof Deno.errors.AddrInUse
        ? `port ${port} is taken, perhaps by the server in another terminal. Stop it first`
        : `cannot listen on port ${port} (${(error as Error).message})`,
    );
  }
  console.error(
    `Listening on 127.0.0.1:${listener.addr.port}: every client gets "${delivery.name}" (--seed ${seed}). Ctrl+C ends this program`,
  );
  for await (const client of listener) {
    deliver(delivery, client, () => {}).catch(() => {}); // The client has left.
  }
}

const USAGE =
  `Checks clients, streamClientEx1.ts unless other FILES are given, against servers
that deliver messages in different ways.

USAGE:
  deno task exercise [OPTIONS] [FILES]

OPTIONS:
  --seed <N>           repeats the texts and cuts of an earlier run
                       (default: random)
  --serve <NAME>       deliver only this to every client that connects, until
                       Ctrl+C (default: none)
  --port <PORT>        the port for --serve (default: 9092)
  --json               print the results as JSON (docs/exercise.md)
  --timeout <SECONDS>  how long a client may do nothing (default: 8)
  -h, --help           print this help`;

const flags = readFlags(USAGE, {
  seed: randomSeed(),
  serve: "none",
  port: "9092",
  timeout: "8",
}, { toggles: ["json"], takesFiles: true });
const seed = readInteger("seed", flags.seed, [0, MAX_SEED]);
const deliveries = makeDeliveries(randomFrom(seed));
const port = readInteger("port", flags.port, [0, 65_535]);
const timeout = 1000 * readInteger("timeout", flags.timeout, [1, 3600]);
setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
exitOnSignals();
await main();
