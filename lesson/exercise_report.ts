/**
 * Draws what a client read, printed and should have printed in a delivery of the
 * exercise.
 *
 * @module
 */

import { bold } from "@std/fmt/colors";
import { escapeControls } from "./command_line.ts";
import { complaint, EXERCISE, type Program } from "./exercise_files.ts";
import type { Trial } from "./exercise_runs.ts";
import {
  amount,
  bytesOf,
  findFixedLine,
  findMistake,
  header,
  indexIn,
  judge,
  rightLines,
} from "./exercise_verdict.ts";
import { Divider } from "./reading.ts";
import { clip, columns, visible } from "./trace.ts";

const WIDTH = 80;
const MARGIN = 12;

/**
 * Returns a report about the first trial that failed.
 *
 * @param trials All trials of a client, at least one of them failed.
 * @param seed What repeats the run.
 * @returns Lines of up to 80 columns, but for what stderr says.
 */
export function report(
  trials: Trial[],
  program: Program,
  seed: number,
): string {
  const trial = trials.find((trial) => judge(trial) !== undefined)!;
  const { delivery, lines, stderr } = trial;
  const { name, stream, pieces } = delivery;
  let { what, hint } = judge(trial)!;
  const count = rightLines(trial);
  const mistake = findMistake(trials);
  const fixed = findFixedLine(trials);
  if (mistake !== undefined) {
    hint =
      `A client that ${mistake.what} prints exactly this, delivery by delivery. ${mistake.hint}`;
  } else if (fixed !== undefined && fixed === lines[count] && !hint) {
    what = "the same text is printed, whatever is sent";
    hint =
      "What is printed has to come from the bytes that were read. Notes of your own go to stderr: console.error.";
  } else {
    hint ??= delivery.hint;
  }

  const reads = bytesOf(trial);
  const came = reads.reduce((sum, { length }) => sum + length, 0);
  const sent = amount(stream.length, "byte");
  const isKnown = reads.length > 0;
  // One line more than what is wrong, on both sides.
  const start = Math.max(0, count - 1);
  const parts = isKnown ? [...reads, stream.subarray(came)] : pieces;
  const drawing = excerpt(draw(parts), start, "(end of stream)");
  const printed = excerpt(lines.map(escapeControls), start);
  const expected = excerpt(expectedLines(trial).map(escapeControls), start);
  const mark = markOf(lines[count], expectedLines(trial)[count]);
  if (mark !== undefined) {
    // Before the wrong line are "… before" and a right one, if there are any.
    const row = Math.min(count, 2) + 1;
    printed.splice(row, 0, mark);
    expected.splice(row, 0, mark);
  }
  const rows: [string, string[]][] = [
    ["problem", wrap(what)],
    isKnown
      ? ["read", [`${came} of ${sent} in ${amount(reads.length, "read")}`]]
      : ["sent", [`${sent} in ${amount(pieces.length, "piece")}`]],
    ["", drawing],
    ["printed", printed],
    ["expected", expected],
    ["signs", wrap(legend([...drawing, ...printed, ...expected], isKnown))],
    ["stderr", wrap(complaint(stderr, program))],
    ["hint", wrap(hint)],
    ["repeat", [
      `deno task exercise --serve "${name}" --seed ${seed}`,
      `and in another terminal: ${
        program.file === EXERCISE
          ? "deno task client:ex1 --verbose"
          : "your client"
      }`,
    ]],
  ];
  return [
    bold(name),
    ...rows.filter(([, lines]) => lines.length > 0).map(([name, lines]) =>
      `  ${name.padEnd(MARGIN - 2)}${lines.join(`\n${" ".repeat(MARGIN)}`)}`
    ),
  ].join("\n");
}

/** Returns the messages as the client prints those that it gets right. */
function expectedLines({ lines, delivery: { messages } }: Trial): string[] {
  // An empty message without its header may be a line of another kind.
  const sample = lines.find((line) => messages[indexIn(messages, line)]);
  const label = /^[^:]*: ?/.exec(sample ?? lines[0] ?? "")?.[0] ?? "Message:";
  const hasHeader = sample === undefined ||
    messages.some((text) => sample === label + header(text) + text);
  return messages.map((text) => label + (hasHeader ? header(text) : "") + text);
}

/** Returns a line that points at the first character in which two lines differ. */
function markOf(printed = "", expected = ""): string | undefined {
  if (printed === "" || expected === "") return undefined;
  const [left, right] = [printed, expected].map((line) =>
    [...line].map(escapeControls)
  );
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  const column = left.slice(0, at).reduce((sum, one) => sum + columns(one), 0);
  return column < WIDTH - MARGIN ? `${" ".repeat(column)}^` : undefined;
}

/** Returns three lines from `start` on, and says how many there are besides. */
function excerpt(
  lines: string[],
  start: number,
  close = lines.length === 0 ? "(nothing)" : "(nothing more)",
): string[] {
  const end = start + 3;
  const rest = lines.length - end;
  return [
    ...(start > 0 ? [`… ${start} before`] : []),
    ...lines.slice(start, end).map((line) => clip([...line], WIDTH - MARGIN)),
    rest > 0 ? `… ${rest} more` : close,
  ];
}

/** Returns the frames, each as `[header](text)`, with `|` between the parts of their stream. */
function draw(parts: Uint8Array[]): string[] {
  const divider = new Divider();
  const lines: string[] = [];
  let line = "";
  for (const [i, part] of parts.entries()) {
    if (i > 0 && part.length > 0) line += "|";
    for (const piece of divider.divide(part)) {
      const { bytes, arrived, total, payloadLength } = piece;
      const isHeader = piece.part === "header";
      const text = shorten(visible(bytes));
      if (arrived === bytes.length) line += isHeader ? "[" : "(";
      line += isHeader ? text.replaceAll(" ", "·") : text;
      if (arrived < total) continue;
      line += isHeader ? "]" : ")";
      if (payloadLength) continue;
      lines.push(payloadLength === 0 ? `${line}()` : line);
      line = "";
    }
  }
  return line === "" ? lines : [...lines, line];
}

/** Leaves out the middle of a long text. */
function shorten(characters: string[]): string {
  return characters.length <= 32
    ? characters.join("")
    : [...characters.slice(0, 16), "…", ...characters.slice(-10)].join("");
}

/** Returns what the signs in a report mean, for those that occur in it. */
function legend(lines: string[], isKnown: boolean): string {
  const signs: [sign: RegExp, meaning: string][] = [
    [/\[/, "[header](text)"],
    [/\|/, `| between ${isKnown ? "reads" : "pieces as they were sent"}`],
    [/·/, "· a space in a header"],
    [/\\x/, "\\xCE the byte CE, a part of a character"],
    [/\uFFFD/, "\uFFFD bytes that are no character"],
    [/\\[nrt]|\\u\{/, "\\n \\u{1b} characters that cannot be seen"],
    [/.…/, "… left out here"],
    [/^ *\^$/m, "^ where printed and expected part"],
  ];
  const text = lines.join("\n");
  return signs.filter(([sign]) => sign.test(text)).map(([, meaning]) => meaning)
    .join(", ");
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
