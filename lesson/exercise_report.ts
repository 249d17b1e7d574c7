/**
 * Draws what a client read, printed and should have printed in a delivery of the
 * exercise.
 *
 * @module
 */

import { basename } from "node:path";
import { bold } from "@std/fmt/colors";
import { HEADER_LENGTH } from "../framing.ts";
import { escapeControls } from "./command_line.ts";
import type { Delivery } from "./exercise_deliveries.ts";
import { complaint } from "./exercise_files.ts";
import type { Trial } from "./exercise_runs.ts";
import {
  amount,
  findFixedLine,
  findMistake,
  header,
  isMessage,
  judge,
  rightLines,
} from "./exercise_verdict.ts";
import { clip, columns, visible } from "./trace.ts";

const WIDTH = 80;
const MARGIN = 12;

/**
 * Returns a report about the first trial that failed.
 *
 * @param trials All trials of a client, at least one of them failed.
 * @param file The client's file.
 * @param seed What repeats the run.
 * @returns Lines of up to 80 columns, but for what stderr says.
 */
export function report(trials: Trial[], file: string, seed: number): string {
  const trial = trials.find((trial) => judge(trial) !== undefined)!;
  const { delivery, lines, reads, stderr } = trial;
  const { name, messages, stream, pieces } = delivery;
  let { what, hint } = judge(trial)!;
  const count = rightLines(trial);
  const isCrash = /crashed/.test(what);
  const mistake = findMistake(trials);
  const fixed = findFixedLine(trials);
  if (mistake !== undefined) {
    hint =
      `A client that ${mistake.what} prints exactly this, delivery by delivery. ${mistake.hint}`;
  } else if (fixed !== undefined && fixed === lines[count] && !hint) {
    what = "the same text is printed, whatever is sent";
    hint =
      "What is printed has to come from the bytes that were read. Notes of your own go to stderr: console.error.";
  } else if (!isCrash) {
    hint ??= delivery.hint;
  }

  const brought = reads.flatMap(({ size }) => size ?? []);
  const isKnown = brought.length > 0;
  const borders = isKnown ? offsets(brought) : pieces;
  // One line more than what is wrong, on both sides.
  const start = Math.max(0, count - 1);
  const drawing = excerpt(draw(delivery, borders), start, "(end of stream)");
  const printed = excerpt(lines.map(escapeControls), start);
  const expected = excerpt(expectedLines(trial).map(escapeControls), start);
  const mark = markOf(lines[count], expectedLines(trial)[count]);
  // The rows before the wrong line: "… before" and a right one, if there are any.
  const row = count === 0 ? 0 : start > 0 ? 2 : 1;
  if (mark !== undefined) {
    printed.splice(row + 1, 0, mark);
    expected.splice(row + 1, 0, mark);
  }
  const said = complaint(stderr, file);
  const rows: [string, string[]][] = [
    ["problem", wrap(what)],
    [isKnown ? "read" : "sent", [
      `${amount(messages.length, "message")}, ${
        amount(stream.length, "byte")
      } in ${
        isKnown
          ? amount(brought.length, "read")
          : amount(pieces.length - 1, "piece")
      }`,
      ...drawing,
    ]],
    ["printed", printed],
    ["expected", expected],
    ["signs", wrap(legend([...drawing, ...printed, ...expected], isKnown))],
    ["stderr", wrap(escapeControls(said.message) + place(said.place))],
    ["hint", wrap(hint ?? "")],
    ["repeat", [
      `deno task exercise --serve "${name}" --seed ${seed}`,
      `and in another terminal: ${
        basename(file) === "streamClientEx1.ts"
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

function place(place: string | undefined): string {
  return place === undefined ? "" : ` (${place})`;
}

/** Returns the messages as the client prints those that it gets right. */
function expectedLines({ lines, delivery: { messages } }: Trial): string[] {
  const sample = lines.find((line) =>
    messages.some((text) => isMessage(line, text))
  );
  const label = /^[^:]*: ?/.exec(sample ?? lines[0] ?? "")?.[0] ?? "Message:";
  const hasHeader = sample === undefined ||
    messages.some((text) => sample === label + header(text) + text);
  return messages.map((text) => label + (hasHeader ? header(text) : "") + text);
}

/** Returns a line that points at the first character in which two lines differ. */
function markOf(printed = "", expected = ""): string | undefined {
  if (printed === "" || expected === "") return undefined;
  const [left, right] = [printed, expected].map((line) =>
    visible(new TextEncoder().encode(line))
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

/** Returns the offsets at which parts of these sizes begin and end. */
function offsets(sizes: number[]): number[] {
  const ends = [0];
  for (const size of sizes) ends.push(ends[ends.length - 1] + size);
  return ends;
}

/** Returns the frames, each as `[header](text)`, with `|` between reads. */
function draw(
  { stream, frames, isCut }: Delivery,
  offsets: number[],
): string[] {
  const borders = new Set(offsets.slice(1));
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
    return `${start > 0 && borders.has(start) ? "|" : ""}[${header}]${
      text < end && borders.has(text) ? "|" : ""
    }(${drawPart(text, end)}${close}`;
  });
}

/** Leaves out the middle of a long text. */
function shorten(characters: string[]): string {
  return characters.length <= 32
    ? characters.join("")
    : [...characters.slice(0, 16), "…", ...characters.slice(-10)].join("");
}

/** What the signs in a report mean, for those that occur in it. */
const SIGNS: [sign: RegExp, meaning: string][] = [
  [/\[/, "[header](text)"],
  [/·/, "· a space in a header"],
  [/\\x/, "\\xCE the byte CE, a part of a character"],
  [/\uFFFD/, "\uFFFD bytes that are no character"],
  [/\\[nrt]|\\u\{/, "\\n \\u{1b} characters that cannot be seen"],
  [/.…/, "… left out here"],
  [/^ *\^$/m, "^ where printed and expected part"],
];

function legend(lines: string[], isKnown: boolean): string {
  const text = lines.join("\n");
  const border = isKnown
    ? "| between reads"
    : "| between pieces as they were sent";
  const signs = SIGNS.filter(([sign]) => sign.test(text)).map(([, it]) => it);
  if (/\[.*\|/.test(text)) signs.splice(1, 0, border);
  return signs.join(", ");
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
