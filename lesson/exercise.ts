/**
 * Checks clients of the exercise. Each runs as a process of its own against
 * servers that deliver messages in ten ways, and is judged by what it prints and
 * how it ends. The exit code is 0 if every client passes everything.
 *
 * ```shell
 * deno task exercise
 * deno task exercise solutions/ada.ts
 * ```
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { bold, green, red, setColorEnabled } from "@std/fmt/colors";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { encodeFrame } from "../framing.ts";
import { exitOnSignals, fail, kill, pathOf, startDeno } from "./processes.ts";
import { Divider, draw, visible } from "./reading.ts";

const FRUITS = ["almond", "banana", "cherry", "damson", "lychee", "orange"];
/** Different texts: with their headers, each is longer than a read of 16 bytes. */
const NUMBERED = Array.from(Array(24), (_, i) => `${FRUITS[i % 6]} ${2 ** i}`);

/** All deliveries, the simplest first, as the first failure is explained. */
export const DELIVERIES: Delivery[] = [
  delivery(
    "one by one",
    NUMBERED.slice(0, 6),
    "Each message comes alone here, in two reads. Which bytes does your client have after each of them, and which are done with when the message has been printed?",
  ),
  delivery(
    "header cut in two",
    FRUITS,
    "A read may bring less than a header. When may your client look at the length, and what does it do until then?",
    { cut: 8 },
  ),
  delivery(
    "byte by byte",
    FRUITS.slice(0, 3),
    "A read may bring a single byte. Does your client keep what it has, header or text, until the rest has come?",
    { cut: 1 },
  ),
  delivery(
    "all together",
    NUMBERED,
    "A read may bring the end of one message and the beginning of the next. Where are the bytes after the end? In the exercise, `end` counts in all that was received, and `buffer` holds the last read only.",
    { cut: Infinity },
  ),
  delivery(
    "several messages in one read",
    ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"],
    "When a message has been taken out, what is left may hold another complete one. Does your client look again before it waits for more bytes?",
    { cut: 48 },
  ),
  delivery(
    "sizes 5000, 11, 10, 9, 1 and 0 bytes",
    [5000, 11, 10, 9, 1, 0].map((size) => "z".repeat(size)),
    "A message may be much longer than a read, shorter than a header, or empty. How many bytes follow the header of an empty message, and when is it complete?",
  ),
  delivery(
    "text outside ASCII",
    ["🙂🚲🙂🚲🙂", "Grüße", "мир", "語言"],
    "The header counts bytes. In UTF-8 a character such as ü or 🙂 takes 2 to 4 of them, and a read may end inside one. What does your client count, and when does it turn bytes into text?",
    { cut: 3 },
  ),
  delivery(
    "end of stream, before any message",
    [],
    "A server may end the stream before its first message. Then nothing is wrong, and the exit code is 0. What does your client do at the end of the stream?",
  ),
  delivery(
    "end of stream, inside a message",
    FRUITS.slice(0, 3),
    "The stream breaks off inside a message here. That message must not be printed, and the exit code must not be 0: Deno.exit(1). How does your client know that bytes are missing?",
    { incomplete: "incomp" },
  ),
  delivery(
    "odd cuts",
    NUMBERED.slice(0, 18),
    "Pieces end anywhere. Does what your client prints depend on how many bytes a read happens to bring?",
    { cut: 7 },
  ),
];

/**
 * Returns messages, and the pieces in which their stream is sent: one for each
 * message, or of `cut` bytes. After `incomplete`, which is the first part of one
 * more message, the stream breaks off.
 */
function delivery(
  name: string,
  messages: string[],
  question: string,
  { cut = 0, incomplete = "" } = {},
) {
  let pieces = messages.map((text) => encodeFrame(text));
  if (incomplete !== "") {
    pieces.push(encodeFrame(`${incomplete}lete`).subarray(0, -4));
  }
  if (cut > 0) {
    const stream = Uint8Array.from(pieces.flatMap((frame) => [...frame]));
    pieces = [];
    for (let at = 0; at < stream.length; at += cut) {
      pieces.push(stream.subarray(at, at + cut));
    }
  }
  return { name, messages, pieces, question, incomplete };
}

export type Delivery = ReturnType<typeof delivery>;

/** What a client did with a delivery. */
export interface Trial {
  /** What it printed to stdout. */
  lines: string[];
  stderr: string;
  code: number;
  /** Why it was stopped, if it was. */
  stopped?: string;
}

/** Runs a client against a delivery, for a limited time. */
export async function tryOut(delivery: Delivery, file: string): Promise<Trial> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  await using client = startDeno([
    ...["run", "--quiet", "--no-prompt", "--cached-only", CONFIG],
    "--v8-flags=--max-old-space-size=64", // for a loop that collects without end
    // Its server and no other, nor a download. Some look up "localhost" first.
    `--allow-net=127.0.0.1:${port},localhost:${port}`,
    ...[file, "--hostname", "127.0.0.1", "--port", `${port}`],
  ]);
  let stopped: string | undefined;
  function stop(reason: string): void {
    stopped ??= reason;
    kill(client);
  }
  const timer = setTimeout(stop, 10_000, "did not end");

  let stdout = "";
  const stderr = new Response(client.stderr).text();
  deliver(delivery, listener, () => stdout).catch(() => {}); // The client has left.
  for await (const part of client.stdout.pipeThrough(new TextDecoderStream())) {
    stdout += part;
    if (stdout.length > 200_000) stop("printed without end");
  }
  const { code } = await client.status;
  clearTimeout(timer);

  const lines = stdout.replace(/\r?\n$/, "").split(/\r?\n/);
  return { lines, stderr: rename(await stderr, file), code, stopped };
}

/** Sends the first client the pieces, one by one, and waits until it leaves. */
async function deliver(
  { pieces }: Delivery,
  listener: Deno.TcpListener,
  printed: () => string,
): Promise<void> {
  using client = await listener.accept();
  client.setNoDelay();
  const writer = client.writable.getWriter();
  const divider = new Divider();
  for (const piece of pieces) {
    const before = printed();
    await writer.write(piece);
    // The next piece is to be a read of its own. A client that prints a message
    // has read this one. If there is none to print, a pause is usually enough.
    const endsMessage = draw(divider.divide(piece)).includes(")");
    for (let pauses = endsMessage ? 40 : 1; pauses > 0; pauses--) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (printed() !== before) break;
    }
  }
  await client.closeWrite();
  // To close with unread input would reset the connection under the client.
  while (await client.read(new Uint8Array(1024)) !== null);
}

/**
 * Returns what is wrong with a trial, how many messages were printed before it,
 * and the lines that are not messages. A message is a line with its text, and
 * with the same words around it in each line. Which words makes no difference.
 */
export function judge(
  { messages, incomplete }: Delivery,
  { lines, code, stopped }: Trial,
): { fault?: string; right: number; others: string[] } {
  let right = 0;
  let label: string | undefined;
  const others: string[] = [];
  for (const line of lines) {
    const words = wordsAround(messages.at(right), line);
    if (words !== undefined && words === (label ?? words)) {
      label = words;
      right++;
    } else if (line.trim() !== "") others.push(line);
  }
  const surplus = [...messages, incomplete].find((text) =>
    label !== undefined && text !== "" &&
    others.some((line) => wordsAround(text, line) === label)
  );
  const problem = stopped !== undefined
    ? `the client ${stopped} and was stopped`
    : surplus !== undefined
    ? `"${surplus}" was printed as well`
    : right < messages.length || (code === 0) !== (incomplete === "")
    ? `the exit code is ${code}`
    : undefined;
  const count = `${right} of ${messages.length} messages are right`;
  return { fault: problem && `${count}; ${problem}`, right, others };
}

/** Returns the letters around a text in a line, or `undefined` if the text is not there. */
function wordsAround(text: string | undefined, line: string) {
  if (text === undefined) return undefined;
  // A digit after the text would be the beginning of the next header.
  const pattern = new RegExp(`${RegExp.escape(text)}(?![\\p{L}\\p{N}])`, "u");
  if (!pattern.test(line)) return undefined;
  return line.replace(pattern, "").replaceAll(/\P{L}/gu, "");
}

/** Checks a client, and prints what comes of it. Returns whether it passes everything. */
async function check(file: string): Promise<boolean> {
  const source = await Deno.readTextFile(file)
    .catch(({ message }) => fail(`cannot read a file: ${message}`));
  console.log(`Checking ${visible(basename(file))}`);
  const program = placeBesideFraming(file, source);
  // First, as this fetches what the client imports: when it runs, it cannot.
  const mistake = await askTypeScript(program);
  let passed = 0;
  let details = "";
  for (const delivery of DELIVERIES) {
    const trial = await tryOut(delivery, program);
    const { fault, others } = judge(delivery, trial);
    if (fault === undefined) {
      const note = others.length > 0 ? " (notes belong on stderr)" : "";
      console.log(`${green("passed")}  ${delivery.name}${note}`);
      passed++;
      continue;
    }
    console.log(`${red("FAILED")}  ${delivery.name}`);
    details ||= report(delivery, trial);
    if (trial.stopped === "did not end") {
      console.log("        the others are not tried");
      break;
    }
  }
  console.log(`${passed} of ${DELIVERIES.length} passed${details}`);
  if (/Exercise:.*\n *received = new Uint8Array\(\);/.test(source)) {
    console.log("\nThis is still the original line. Is the file saved?");
  }
  if (mistake !== undefined) console.log(`\nTypeScript says:\n${mistake}`);
  return details === "";
}

/** Returns what was sent, printed and expected around the fault, and a question. */
function report(delivery: Delivery, trial: Trial): string {
  const { name, messages, pieces, question } = delivery;
  const { fault, right } = judge(delivery, trial);
  const divider = new Divider();
  const sent = pieces.map((piece) => draw(divider.divide(piece))).join("|")
    .replaceAll(/\)(\|?)\[/g, ")$1\n["); // a frame in each line
  const from = right < messages.length ? Math.max(0, right - 1) : 0;
  return [
    `\n\n${bold(wrap(`${name}: ${fault}`))}`,
    section("sent, | between pieces", sent, from),
    section("printed", trial.lines.join("\n"), from),
    section("expected", messages.join("\n"), from),
    section("stderr", wrap(trial.stderr.trimEnd())),
    `\n${wrap(question)}`,
  ].join("\n");
}

/** Returns a title and some lines of a text, from one of them on. */
function section(title: string, text: string, from = 0): string {
  const lines = (text || "(nothing)").split("\n");
  const shown = lines.slice(from, from + 5).map(visible)
    .map((line) => line.length > 78 ? `${line.slice(0, 77)}…` : line);
  const left = lines.length - from - shown.length;
  if (from > 0) shown.unshift(`… ${from} before`);
  if (left > 0) shown.push(`… ${left} more`);
  return [`${title}:`, ...shown].join("\n  ");
}

/** Breaks the long lines of a text between words. */
function wrap(text: string): string {
  return text.replaceAll(/(?=.{79})(.{1,78}) /g, "$1\n");
}

/** Returns the file to run: a copy, if the client needs framing.ts beside it. */
function placeBesideFraming(file: string, source: string): string {
  if (dirname(file) === ROOT || !source.includes('"./framing.ts"')) return file;
  const folder = Deno.makeTempDirSync({ prefix: "exercise_" });
  const remove = () => Deno.removeSync(folder, { recursive: true });
  globalThis.addEventListener("unload", remove);
  const copy = `${folder}/${basename(file)}`;
  Deno.copyFileSync(file, copy);
  Deno.copyFileSync(`${ROOT}/framing.ts`, `${folder}/framing.ts`);
  return copy;
}

/** Returns the first mistake that TypeScript finds in a client, if any. */
async function askTypeScript(file: string): Promise<string | undefined> {
  await using deno = startDeno(["check", "--quiet", CONFIG, file]);
  const stderr = new TextDecoder().decode((await deno.output()).stderr);
  const mistake = /^TS\d+ \[ERROR\]: ([^]*?)\n\n(TS|Found|error)/m.exec(stderr);
  return mistake?.[1] && wrap(rename(mistake[1], file));
}

/** Returns an error without the folder of the client's file. */
function rename(stderr: string, file: string): string {
  return stderr.replaceAll(pathToFileURL(file).href, basename(file));
}

const ROOT = resolve(import.meta.dirname!, "..");
const CONFIG = `--config=${ROOT}/deno.json`;

async function main(): Promise<void> {
  const { _: names } = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
    string: ["_"],
    unknown(arg) {
      if (arg.startsWith("-")) fail(`"${arg}" is not the name of a file`, 2);
    },
  });
  setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
  exitOnSignals();
  const files = names.map((name) => pathOf(`${name}`));
  if (files.length === 0) files.push(`${ROOT}/streamClientEx1.ts`);
  let isRight = true;
  for (const file of files) isRight = await check(file) && isRight;
  Deno.exit(isRight ? 0 : 1);
}

if (import.meta.main) await main();
