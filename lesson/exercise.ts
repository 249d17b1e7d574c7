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

import { basename } from "node:path";
import { green, red, setColorEnabled } from "@std/fmt/colors";
import {
  escapeControls,
  fail,
  MAX_SEED,
  printOrEnd,
  randomSeed,
  readFlags,
  readInteger,
} from "./command_line.ts";
import {
  deliver,
  type Delivery,
  makeDeliveries,
  randomFrom,
} from "./exercise_deliveries.ts";
import {
  type Complaint,
  findFiles,
  load,
  programOf,
  typeCheck,
} from "./exercise_files.ts";
import { report } from "./exercise_report.ts";
import { startAll, type Trial } from "./exercise_runs.ts";
import { judge } from "./exercise_verdict.ts";

/** What came of a client. */
interface Result {
  file: string;
  /** Why it cannot be started, if it cannot. */
  obstacle?: string;
  trials: Trial[];
  /** What TypeScript says about it. */
  mistake?: Complaint;
}

async function main(): Promise<void> {
  const deliveries = makeDeliveries(randomFrom(seed));
  if (flags.serve !== "") return await serve(deliveries);
  const files = await findFiles(
    flags._.length === 0 ? ["streamClientEx1.ts"] : flags._,
  );
  const results = flags.json
    ? await checkForScript(deliveries, files)
    : files.length === 1
    ? [await checkOne(deliveries, files[0])]
    : await checkMany(deliveries, files);
  Deno.exit(results.every(hasPassed) ? 0 : 1);
}

/** Checks a client, and prints a line per delivery and a report about the first that failed. */
async function checkOne(
  deliveries: Delivery[],
  file: string,
): Promise<Result> {
  const name = basename(file);
  const result = await check(deliveries, file, (trial) => {
    if (trial === undefined) {
      printOrEnd(`Checking ${name} (to repeat this run: --seed ${seed})`);
      return;
    }
    const verdict = judge(trial) === undefined
      ? green("passed")
      : red("FAILED");
    printOrEnd(`${verdict}  ${trial.delivery.name}`);
  });
  const { obstacle, trials, mistake } = result;
  if (obstacle !== undefined) fail(`${name} cannot be started: ${obstacle}`);
  const passed = trials.filter((trial) => judge(trial) === undefined).length;
  printOrEnd(`${passed} of ${trials.length} passed`);
  if (mistake !== undefined) {
    const place = mistake.place === undefined ? "" : ` about ${mistake.place}`;
    printOrEnd(
      `\nTypeScript says${place}: ${escapeControls(mistake.message)}`,
    );
  }
  if (passed < trials.length) printOrEnd(`\n${report(trials, file, seed)}`);
  return result;
}

/** Checks clients in turn, and prints a table. */
async function checkMany(
  deliveries: Delivery[],
  files: string[],
): Promise<Result[]> {
  const names = files.map((file) => escapeControls(basename(file)));
  const width = Math.max("file".length, ...names.map(({ length }) => length));
  printOrEnd(`${"file".padEnd(width)}  passed    first fault`);
  const results: Result[] = [];
  for (const [i, file] of files.entries()) {
    const result = await check(deliveries, file);
    results.push(result);
    const passed = `${passedIn(result)} of ${deliveries.length}`.padEnd(8);
    const color = hasPassed(result) ? green : red;
    const row = `${names[i].padEnd(width)}  ${color(passed)}  ${
      firstFault(result) ?? ""
    }`;
    printOrEnd(row.trimEnd());
  }
  const whole = results.filter(hasPassed).length;
  printOrEnd(
    `${whole} of ${files.length} passed everything (to repeat this run: --seed ${seed})`,
  );
  return results;
}

/** Checks clients in turn, and prints one JSON document. */
async function checkForScript(
  deliveries: Delivery[],
  files: string[],
): Promise<Result[]> {
  const results: Result[] = [];
  for (const file of files) results.push(await check(deliveries, file));
  const document = {
    seed,
    clients: results.map((result) => ({
      file: result.file,
      passed: passedIn(result),
      total: deliveries.length,
      error: result.obstacle,
      typeError: result.mistake?.message,
      deliveries: result.trials.map((trial) => ({
        name: trial.delivery.name,
        fault: judge(trial)?.what ?? null,
      })),
    })),
  };
  printOrEnd(JSON.stringify(document, null, 2));
  return results;
}

/** Runs a client against all deliveries. `onTrial` is called at the start, and after each. */
async function check(
  deliveries: Delivery[],
  file: string,
  onTrial?: (trial?: Trial) => void,
): Promise<Result> {
  const program = await programOf(file);
  const obstacle = await load(program, file);
  if (obstacle !== undefined) return { file, obstacle, trials: [] };
  onTrial?.();
  const mistake = typeCheck(program, file);
  const trials: Trial[] = [];
  for (const run of startAll(deliveries, program, timeout)) {
    const { name } = deliveries[trials.length];
    showProgress(`${basename(file)}: ${name} …`);
    const trial = await run;
    trials.push(trial);
    showProgress("");
    onTrial?.(trial);
  }
  showProgress("TypeScript …");
  const result = { file, trials, mistake: await mistake };
  showProgress("");
  return result;
}

/** Shows on a terminal what the program waits for. */
function showProgress(text: string): void {
  if (!Deno.stderr.isTerminal() || !Deno.stdout.isTerminal()) return;
  const { columns } = Deno.consoleSize();
  const line = escapeControls(text).slice(0, columns - 1);
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${line}`));
}

function hasPassed(result: Result): boolean {
  return firstFault(result) === undefined;
}

function passedIn({ trials }: Result): number {
  return trials.filter((trial) => judge(trial) === undefined).length;
}

function firstFault({ obstacle, trials }: Result): string | undefined {
  if (obstacle !== undefined) return `cannot be started: ${obstacle}`;
  const failed = trials.find((trial) => judge(trial) !== undefined);
  return failed && `${failed.delivery.name}: ${judge(failed)?.what}`;
}

/** Delivers one stream to every client that connects, until Ctrl+C. */
async function serve(deliveries: Delivery[]): Promise<void> {
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
                       Ctrl+C
  --port <PORT>        the port for --serve (default: 9092)
  --json               print the results as JSON (docs/exercise.md)
  --timeout <SECONDS>  how long a client may do nothing (default: 8)
  -h, --help           print this help`;

const flags = readFlags(USAGE, {
  seed: randomSeed(),
  serve: "",
  port: "9092",
  timeout: "8",
}, { toggles: ["json"], takesFiles: true });
const seed = readInteger("seed", flags.seed, [0, MAX_SEED]);
const port = readInteger("port", flags.port, [0, 65_535]);
const timeout = 1000 * readInteger("timeout", flags.timeout, [1, 3600]);
setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
// On the way out, clients and temporary files go (`unload`).
Deno.addSignalListener("SIGINT", () => Deno.exit(130));
if (Deno.build.os !== "windows") {
  Deno.addSignalListener("SIGTERM", () => Deno.exit(143));
}
await main();
