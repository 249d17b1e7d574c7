/**
 * Checks a learner's client: starts it as a process of its own, against servers
 * that deliver messages in different ways, and judges what it prints, its exit
 * code, and that it ends by itself. The texts are new for every run, and are the
 * same again with `--seed`.
 *
 * ```shell
 * deno task exercise
 * deno task exercise solutions/ada.ts
 * deno task exercise --help
 * ```
 *
 * It exits 0 where the client passes everything, and 1 where it does not.
 *
 * @module
 */

import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { bold, green, red, setColorEnabled } from "@std/fmt/colors";
import {
  fail,
  integer,
  parseCommandLine,
  printOrEnd,
  seedFlag,
} from "./command_line.ts";
import config from "../deno.json" with { type: "json" };
import { encodeFrame, HEADER_LENGTH } from "../framing.ts";
import { clip, visible } from "./trace.ts";

async function main(): Promise<void> {
  const file = await findFile(flags.operand ?? "streamClientEx1.ts");
  const program = await programOf(file);
  const obstacle = await load(program, file);
  if (obstacle !== undefined) {
    fail(`${basename(file)} cannot be started: ${obstacle}`);
  }

  const { seed } = flags;
  printOrEnd(`Checking ${basename(file)} (to repeat this run: --seed ${seed})`);
  const deliveries = makeDeliveries(randomNumbers(seed));
  const trials: Trial[] = [];
  for (const run of startAll(deliveries, program)) {
    const trial = await run;
    trials.push(trial);
    const verdict = judge(trial) === undefined
      ? green("passed")
      : red("FAILED");
    printOrEnd(`${verdict}  ${trial.delivery.name}`);
  }

  const failed = trials.filter((trial) => judge(trial) !== undefined);
  printOrEnd(`${trials.length - failed.length} of ${trials.length} passed`);
  if (failed.length === 0) Deno.exit(0);
  printOrEnd(`\n${explain(failed[0], trials, file)}`);
  Deno.exit(1);
}

// ---------------------------------------------------------------------------
// What is sent, and in which pieces

/** Some messages as a stream, cut into pieces in a certain way. */
interface Delivery {
  name: string;
  messages: string[];
  /** Whether the stream breaks off inside one more message. */
  isCut: boolean;
  stream: Uint8Array<ArrayBuffer>;
  /** Where frames begin in the stream and, last, where it ends. */
  frames: number[];
  /** The same for pieces. */
  pieces: number[];
  /** What to think about, for those whose client fails here. */
  hint: string;
}

/** Where to cut, in ascending order, given where frames begin and how long the stream is. */
type Cut = (frames: number[], size: number) => number[];

/** Gives the next random integer from 0 to `limit` - 1. */
type Random = (limit: number) => number;

const oneByOne: Cut = (frames) => frames;
const together: Cut = () => [];

/**
 * All deliveries, the simplest first, as the first that fails is explained. A
 * client that takes every read for a part of one message passes the first three.
 */
function makeDeliveries(random: Random): Delivery[] {
  const texts = (count: number, words = WORDS) =>
    Array.from({ length: count }, () => text(random, words));
  // Each is short enough for one read of 16 bytes to bring more than itself.
  const first = 10 + random(70);
  const short = Array.from({ length: 12 }, (_, i) => String(first + i));
  return [
    delivery(
      "one by one",
      texts(4),
      oneByOne,
      "The simplest delivery: each message comes alone, in as many reads as its length takes. The header says how many bytes of text follow it. Once a message is printed, its bytes are done with: all of them, and no others.",
    ),
    delivery(
      "header cut in two",
      texts(5),
      (frames) =>
        frames.slice(0, -1).flatMap((at, i) => [at, at + 1 + (4 * i) % 9]),
      "A read may bring less than a header. When may your client look at the length, and what does it do until then?",
    ),
    delivery(
      "byte by byte",
      texts(3),
      (_, size) => Array.from({ length: size }, (_, at) => at),
      "A read may bring a single byte. Does your client keep what it has, header or text, until the rest has come?",
    ),
    delivery(
      "all together",
      texts(25),
      together,
      "A read may bring the end of one message and the beginning of the next. To which message do the bytes after the end belong, and where are they when the next read comes?",
    ),
    delivery(
      "several messages in one read",
      short,
      (frames) => frames.filter((_, i) => i % 4 === 0),
      "When a message has been taken out, what is left may hold another whole one. Does your client look again before it waits for more bytes?",
    ),
    delivery(
      "sizes 0, 1, 9, 10, 11 and 5000 bytes",
      [5000, 11, 10, 9, 1, 0].map((size) => textOfSize(random, size)),
      oneByOne,
      "A message may be much longer than a read, shorter than a header, or empty: then its header is all there is of it.",
    ),
    delivery(
      "text outside ASCII",
      texts(8, FOREIGN_WORDS),
      (_, size) => Array.from({ length: Math.ceil(size / 3) }, (_, i) => 3 * i),
      "The header counts bytes. In UTF-8 a character such as ü or 🙂 takes 2 to 4 of them, and a read may end inside one. What does your client count, and when does it turn bytes into text?",
    ),
    delivery(
      "end of stream, before any message",
      [],
      together,
      "A server may end the stream before its first message. Then there is nothing to print and nothing wrong: the exit code is 0.",
    ),
    delivery(
      "end of stream, inside a message",
      texts(3),
      oneByOne,
      "Here the stream breaks off inside a message. The messages before it are to be printed, the cut one is not, and the exit code is to say that something went wrong: any but 0.",
      encodeFrame(text(random, WORDS)).subarray(0, HEADER_LENGTH + 5),
    ),
    delivery(
      "random cuts",
      texts(24).flatMap((text, i) => [text, ...short.slice(i, i + 1)]),
      (_, size) =>
        Array.from({ length: size }, (_, at) => at)
          .filter(() => random(12) === 0),
      "Pieces end anywhere: inside a header, inside a text, between messages. What your client prints must not depend on how many bytes a read happens to bring.",
    ),
  ];
}

function delivery(
  name: string,
  messages: string[],
  cut: Cut,
  hint: string,
  cutFrame?: Uint8Array<ArrayBuffer>,
): Delivery {
  const parts = messages.map((text) => encodeFrame(text));
  if (cutFrame !== undefined) parts.push(cutFrame);
  const frames = [0];
  for (const part of parts) frames.push(frames.at(-1)! + part.length);
  const size = frames.at(-1)!;
  const stream = new Uint8Array(size);
  parts.forEach((part, i) => stream.set(part, frames[i]));
  const pieces = [...new Set([0, ...cut(frames, size), size])];
  const isCut = cutFrame !== undefined;
  return { name, messages, isCut, stream, frames, pieces, hint };
}

const WORDS = ["amber", "birch", "coral", "delta", "fjord", "grove", "heron"];
const FOREIGN_WORDS = ["Grüße", "žluť", "Ærø", "Ωmega", "мир", "語言", "🙂🚲"];

/** A text like those of the real server: it ends in digits, as the header after it begins. */
function text(random: Random, words: string[]): string {
  const word = () => words[random(words.length)];
  return `${word()} ${word()} ${random(90_000) + 10_000}`;
}

function textOfSize(random: Random, size: number): string {
  const letter = () => String.fromCharCode(97 + random(26));
  return Array.from({ length: size }, letter).join("");
}

/** A linear congruential generator: all that matters is that a seed repeats it. */
function randomNumbers(seed: number): Random {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit); // The high bits are the random ones.
  };
}

// ---------------------------------------------------------------------------
// Running the client

/** What a client did with a delivery. */
interface Trial {
  delivery: Delivery;
  isConnected: boolean;
  /** What it printed to stdout. */
  lines: string[];
  stderr: string;
  exitCode: number;
  /** Why it was ended by force, if it was: nothing happened for too long, or it printed far too much. */
  ended?: "late" | "endless";
}

/** How many clients are started at once: more would take turns, and read pieces together that were sent apart. */
const LANES = Math.min(Math.max(navigator.hardwareConcurrency, 2), 4);

/** When a client that runs on lets the next one start beside it, in milliseconds. */
const TURN = 1000;

/** How much a client may print, in characters. */
const MAX_OUTPUT = 200_000;

/** Pause after a piece, in milliseconds: as a rule, a client reads what comes later by itself. */
const PAUSE = 5;

/** How long to wait, after a piece that ends a message, until the client prints. */
const MAX_PAUSE = 250;

function startAll(
  deliveries: Delivery[],
  program: string[],
): Promise<Trial>[] {
  const lanes = Array.from({ length: LANES }, () => Promise.resolve());
  return deliveries.map((delivery, i) => {
    const turn = lanes[i % LANES];
    const trial = turn.then(() => tryOut(delivery, program));
    lanes[i % LANES] = turn.then(async () => {
      await Promise.race([trial, sleep(TURN)]);
    });
    return trial;
  });
}

async function tryOut(
  delivery: Delivery,
  program: string[],
): Promise<Trial> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using client = start(program, listener.addr.port);

  let ended: Trial["ended"];
  function end(reason: Trial["ended"]): void {
    ended ??= reason;
    kill(client);
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  function startTimer(): void {
    clearTimeout(timer);
    timer = setTimeout(() => end("late"), flags.timeout * 1000);
  }
  startTimer();

  let isConnected = false;
  let printing = Promise.withResolvers<void>();
  (async () => {
    for await (const connection of listener) {
      isConnected = true;
      deliver(delivery, connection, {
        nextPrint: () => printing.promise,
        onPiece: startTimer,
      }).catch(() => {/* The client has left. */});
    }
  })().catch(() => {/* It left before it was let in. */});

  const [stdout, stderr, status] = await Promise.all([
    readText(client.stdout, (size) => {
      startTimer();
      printing.resolve();
      printing = Promise.withResolvers();
      if (size > MAX_OUTPUT) end("endless");
    }),
    readText(client.stderr, (size) => {
      if (size > MAX_OUTPUT) end("endless");
    }),
    client.status,
  ]);
  clearTimeout(timer);
  const lines = stdout.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const exitCode = status.code;
  return { delivery, isConnected, lines, stderr, exitCode, ended };
}

async function deliver(
  { stream, frames, pieces }: Delivery,
  client: Deno.TcpConn,
  { nextPrint, onPiece }: {
    nextPrint: () => Promise<void>;
    onPiece: () => void;
  },
): Promise<void> {
  using connection = client;
  connection.setNoDelay();
  const writer = connection.writable.getWriter();
  let start = 0;
  for (const end of pieces.slice(1)) {
    onPiece();
    const print = frames.includes(end) ? nextPrint() : undefined;
    await writer.write(stream.subarray(start, end));
    if (print !== undefined) await Promise.race([print, sleep(MAX_PAUSE)]);
    await sleep(PAUSE);
    start = end;
  }
  await connection.closeWrite();
  // To close with input unread would reset the connection under the client.
  while (await connection.read(new Uint8Array(1024)) !== null);
}

async function readText(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onText: (size: number) => void,
): Promise<string> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text += part;
    onText(text.length);
  }
  return text;
}

/** The client as a process that may reach its server and nothing else. */
function start(program: string[], port: number): Deno.ChildProcess {
  const client = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      `--allow-net=127.0.0.1:${port}`,
      // A loop without end that collects things must not take all memory.
      "--v8-flags=--max-old-space-size=64",
      ...program,
      ...["--hostname", "127.0.0.1", "--port", String(port)],
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  clients.add(client);
  client.status.then(() => clients.delete(client));
  return client;
}

/** The clients that are running. */
const clients = new Set<Deno.ChildProcess>();

/** Ends a client that may have ended by itself. */
function kill(client: Deno.ChildProcess): void {
  try {
    client.kill("SIGKILL");
  } catch {
    // It has just ended.
  }
}

/** Leaves no client behind, and no file: `unload` removes that. */
function interrupt(code: number): never {
  clients.forEach(kill);
  Deno.exit(code);
}

async function findFile(name: string): Promise<string> {
  // A task runs in the project's folder, wherever it was started.
  const file = resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), name);
  for (const path of [file, resolve(name)]) {
    if (await isFile(path)) return path;
  }
  fail(`there is no file ${file}`);
}

/**
 * Deno's arguments that name the client. It may stand outside the project's
 * folder: there it gets the project's dependencies, and each of the project's
 * modules that it imports from its own folder and that is not there.
 */
async function programOf(file: string): Promise<string[]> {
  const program = [`--config=${resolve(ROOT, "deno.json")}`, file];
  const imports: Record<string, string> = {};
  for (const module of MODULES) {
    const path = resolve(file, "..", module);
    if (!await isFile(path)) {
      // Deno spells a tilde as it is, node:url does not.
      const url = pathToFileURL(path).href.replaceAll("%7E", "~");
      imports[url] = import.meta.resolve(`.${module}`);
    }
  }
  if (Object.keys(imports).length === 0) return program;

  // An import map replaces the imports of deno.json.
  for (const [name, target] of Object.entries(config.imports)) {
    imports[name] = target;
    imports[`${name}/`] = `${target.replace(":", ":/")}/`;
  }
  // In a file, as Deno 2.9 fails on a data URL where deno.json has links.
  // Setup makes the folder, but need not have run where packages are linked.
  const dir = resolve(ROOT, "vendor");
  await Deno.mkdir(dir, { recursive: true });
  const map = await Deno.makeTempFile({ dir });
  globalThis.addEventListener("unload", () => Deno.removeSync(map));
  await Deno.writeTextFile(map, JSON.stringify({ imports }));
  return [`--import-map=${map}`, ...program];
}

const ROOT = resolve(import.meta.dirname!, "..");
const MODULES = ["./framing.ts"];

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** Has Deno load the client and all that it imports; gives what is in the way, if anything. */
async function load(
  program: string[],
  file: string,
): Promise<string | undefined> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--quiet", ...program],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  return success
    ? undefined
    : complaint(new TextDecoder().decode(stderr), file);
}

/** What a program's stderr says is wrong, in one line, and where in the file. */
function complaint(stderr: string, file: string): string {
  const lines = stderr.split(/\r?\n/).filter((line) => line.trim() !== "");
  const line = lines.find((line) => /^error: |^# Fatal/.test(line)) ??
    lines.at(-1) ?? "";
  const place = stderr.split(`/${basename(file)}:`)[1];
  const where = place === undefined
    ? ""
    : ` (${basename(file)}, line ${parseInt(place)})`;
  return line.replace(/^(error: (Uncaught (\(in promise\) )?)?|# )/, "") +
    where;
}

// ---------------------------------------------------------------------------
// Judging what it did

/** What is wrong with a trial. */
interface Fault {
  what: string;
  hint: string;
}

/** Finds what is wrong, or `undefined`. */
function judge(trial: Trial): Fault | undefined {
  const { delivery, lines, stderr, exitCode, ended } = trial;
  const { messages, isCut, hint } = delivery;
  const count = rightLines(trial);
  const isComplete = count === messages.length && count === lines.length;
  const far = isComplete
    ? "all messages printed"
    : `${count} of ${messages.length} messages printed`;

  if (/out of memory/.test(stderr) || ended === "endless") {
    return {
      what: "the client never stops: it prints or collects without end",
      hint:
        `A loop goes round for ever. What is different from one round to the next? ${hint}`,
    };
  }
  if (!trial.isConnected) {
    return {
      what: ended === "late"
        ? `the client hangs: it did not connect for ${flags.timeout} s`
        : `the client ended without connecting, exit code ${exitCode}`,
      hint:
        "The client is started with --hostname and --port, on a port that is another one each time. Does it connect there?",
    };
  }
  if (ended === "late") {
    return {
      what:
        `the client hangs: ${far}, then nothing happened for ${flags.timeout} s`,
      hint: isComplete
        ? "The server has ended the stream. What does a read give then, and what does your client do?"
        : `It waits for bytes that do not come, or goes round and nothing changes. ${hint}`,
    };
  }
  if (!isComplete || !isCut) { // An error is the right answer to a cut message.
    if (/^error: Uncaught/m.test(stderr)) {
      return {
        what: `${far}, then the client crashed`,
        hint:
          `An error that nothing catches ends a program, and names the line. ${hint}`,
      };
    }
  }
  if (count < lines.length) {
    const sent = messages.findIndex((text) => isMessage(lines[count], text));
    if (sent >= 0 && sent < count) {
      return {
        what: `message ${sent + 1} was printed twice`,
        hint:
          "One message, one line. Once a message is printed, what is it that makes your client print it again?",
      };
    }
    return {
      what: sent > count
        ? `message ${count + 1} was left out`
        : count === messages.length
        ? "a line was printed that is no message"
        : `message ${count + 1} was printed wrongly`,
      hint,
    };
  }
  if (!isComplete) {
    const what = `${far}, then the client ended with exit code ${exitCode}`;
    if (count === 20) {
      return {
        what,
        hint:
          "The server's 20 messages are its default and no rule. What tells a client that nothing more will come?",
      };
    }
    if (count === messages.length - 1 && messages[count] !== "") {
      return {
        what: `the last message is missing: ${what}`,
        hint:
          "After the last message nothing follows but the end of the stream. How does your client know that a message is whole?",
      };
    }
    return { what, hint };
  }
  if (isCut && exitCode === 0) {
    return { what: `${far}, but the exit code is 0`, hint };
  }
  if (!isCut && exitCode !== 0) {
    return {
      what: `${far}, but the exit code is ${exitCode}`,
      hint:
        "The stream ended after a whole message, as it should. What makes your client end with an error?",
    };
  }
}

/** How many lines, from the first, are the messages that were sent. */
function rightLines({ lines, delivery: { messages } }: Trial): number {
  const count = lines.findIndex((line, i) =>
    i === messages.length || !isMessage(line, messages[i])
  );
  return count < 0 ? lines.length : count;
}

/** Whether a line is a message, with its header or without, behind any word and a colon. */
function isMessage(line: string, text: string): boolean {
  const printed = line.replace(/^[^:]*:/, "");
  const frame = header(text) + text;
  return [frame, ` ${frame}`, text, ` ${text}`].includes(printed);
}

function header(text: string): string {
  return String(utf8.encode(text).length).padEnd(HEADER_LENGTH);
}

/** Whether a line was printed in other trials too, though it was not sent: as texts are random, it does not depend on them. */
function isFixed(line: string, trials: Trial[]): boolean {
  const isInvented = ({ lines, delivery: { messages } }: Trial) =>
    lines.includes(line) && !messages.some((text) => isMessage(line, text));
  const text = line.replace(/^[^:]*:/, "").trim();
  return text !== "" && trials.filter(isInvented).length > 1;
}

// ---------------------------------------------------------------------------
// Explaining it

const utf8 = new TextEncoder();
const WIDTH = 80;
const MARGIN = 12;

/** What was sent, what was printed, what was expected, and a hint. */
function explain(
  trial: Trial,
  trials: Trial[],
  file: string,
): string {
  const { delivery, lines, stderr } = trial;
  const { messages, stream, pieces } = delivery;
  let { what, hint } = judge(trial)!;
  const count = rightLines(trial);
  const wrong = trial.ended === "endless" ? undefined : lines[count];
  if (wrong !== undefined && isFixed(wrong, trials)) {
    what = "the same text is printed, whatever is sent";
    hint =
      "Only what came from the server belongs on stdout. For notes of your own there is stderr: console.error.";
  }
  // One line more than what is wrong, on both sides.
  const start = Math.max(0, count - 1);
  const label = /^[^:]*:/.exec(lines[0] ?? "")?.[0] ?? "Message:";
  const expected = messages.map((text) => label + header(text) + text);
  const rows: [string, string[]][] = [
    ["problem", wrap(what)],
    ["sent", [
      `${amount(messages.length, "message")} in ${
        amount(pieces.length - 1, "piece")
      }, ${amount(stream.length, "byte")}: [header](text), | between pieces`,
      ...excerpt(draw(delivery), start, "(end of stream)"),
    ]],
    ["printed", excerpt(lines, start)],
    ["expected", excerpt(expected, start)],
    ["stderr", wrap(complaint(stderr, file))],
    ["hint", wrap(hint)],
  ];
  return [
    bold(delivery.name),
    ...rows.filter(([, lines]) => lines.length > 0).map(([name, lines]) =>
      `  ${name.padEnd(MARGIN - 2)}${lines.join(`\n${" ".repeat(MARGIN)}`)}`
    ),
  ].join("\n");
}

/** Three lines from `start` on, and how many there are besides. */
function excerpt(
  lines: string[],
  start: number,
  close = lines.length === 0 ? "(nothing)" : "(nothing more)",
): string[] {
  const end = start + 3;
  const rest = lines.length - end;
  return [
    ...(start > 0 ? [`… ${start} before`] : []),
    ...lines.slice(start, end).map((line) =>
      clip(visible(utf8.encode(line)), WIDTH - MARGIN)
    ),
    rest > 0 ? `… ${rest} more` : close,
  ];
}

/** The frames, each as `[header](text)`, with `|` between pieces. */
function draw({ stream, frames, pieces, isCut }: Delivery): string[] {
  const borders = new Set(pieces.slice(1, -1));
  function drawPart(from: number, to: number): string {
    let drawing = "";
    let at = from;
    for (let end = from + 1; end <= to; end++) {
      if (end < to && !borders.has(end)) continue;
      if (at > from) drawing += "|";
      drawing += shorten(visible(stream.subarray(at, end)));
      at = end;
    }
    return drawing;
  }
  return frames.slice(1).map((end, i) => {
    const start = frames[i];
    const text = start + HEADER_LENGTH;
    const header = drawPart(start, text).replaceAll(" ", "·");
    const close = isCut && end === stream.length ? "" : ")";
    return `${borders.has(start) ? "|" : ""}[${header}]${
      borders.has(text) ? "|" : ""
    }(${drawPart(text, end)}${close}`;
  });
}

/** Leaves out the middle of a long text. */
function shorten(characters: string[]): string {
  return characters.length <= 32
    ? characters.join("")
    : [...characters.slice(0, 16), " … ", ...characters.slice(-10)].join("");
}

/** Breaks a text between its words. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && longer.length <= WIDTH - MARGIN) {
      lines[lines.length - 1] = longer;
    } else if (word !== "") {
      lines.push(word);
    }
  }
  return lines;
}

function amount(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

const flags = parseCommandLine({
  command: "deno task exercise",
  about:
    "Checks a client, streamClientEx1.ts unless another FILE is given, against servers\nthat deliver messages in different ways.",
  operand: "FILE",
}, {
  seed: seedFlag("repeats the texts and cuts of an earlier run"),
  timeout: integer({
    placeholder: "SECONDS",
    about: "how long the client may do nothing",
    min: 1,
    max: 3600,
    fallback: 8,
  }),
});
setColorEnabled(Deno.stdout.isTerminal());
Deno.addSignalListener("SIGINT", () => interrupt(130));
if (Deno.build.os !== "windows") {
  Deno.addSignalListener("SIGTERM", () => interrupt(143));
}
await main();
