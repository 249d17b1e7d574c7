/**
 * Judges what a client did with a delivery of the exercise.
 *
 * @module
 */

import { HEADER_LENGTH } from "../framing.ts";
import { type Client, type Mistake, MISTAKES } from "./exercise_mistakes.ts";
import type { Trial } from "./exercise_runs.ts";

/** What is wrong with a trial. */
export interface Fault {
  what: string;
  /** What to think about, if that is known from what happened. Empty if the error says it. */
  hint?: string;
}

/** Returns what is wrong with a trial, or `undefined`. */
export function judge(trial: Trial): Fault | undefined {
  const { delivery, lines, stderr, exitCode, stopped } = trial;
  const { messages, isCut } = delivery;
  const count = rightLines(trial);
  const isComplete = isRight(trial);
  const far = isComplete
    ? "all messages were printed"
    : `${count} of ${amount(messages.length, "message")} printed`;

  if (/heap limit|out of memory/i.test(stderr)) {
    return {
      what: `${far}, then the client ran out of memory (it gets 64 MB)`,
      hint:
        "A loop collects bytes or text without end. What makes it go round once more?",
    };
  }
  const hasCrashed = /^error: Uncaught/m.test(stderr);
  if (!trial.hasConnected) {
    if (hasCrashed) {
      return { what: "the client crashed before it connected", hint: "" };
    }
    return {
      what: stopped === undefined
        ? `the client ended without connecting, with exit code ${exitCode}`
        : "the client did not connect",
      hint:
        "The client gets --hostname and --port, with another port each time. Does it connect there?",
    };
  }
  // A client that has crashed may be stopped while it ends, on a busy machine.
  if (stopped !== undefined && !hasCrashed) return judgeStopped(trial, far);
  // An error that nothing catches is a right answer to a cut message.
  if (hasCrashed && !(isComplete && isCut)) {
    return { what: `${far}, then the client crashed`, hint: "" };
  }
  const others = lines.length - messages.length;
  const isIncomplete = isCut && count === lines.length - 1;
  if (others > 0 && !isIncomplete && hasPrintedAll(trial)) {
    return {
      what: `all messages were printed, and ${
        amount(others, "other line")
      } with them`,
      hint:
        "Only messages belong on stdout. Print notes of your own with console.error.",
    };
  }
  if (count < lines.length) return judgeLine(trial, count);
  if (!isComplete) {
    return {
      what: `${far}, then the client ended with exit code ${exitCode}`,
      hint: hintAtEnd(trial, count),
    };
  }
  if (isCut && exitCode === 0) {
    return { what: `${far}, but the exit code is 0` };
  }
  if (!isCut && exitCode !== 0) {
    return {
      what: `${far}, but the exit code is ${exitCode}`,
      hint:
        "The stream ended after a complete message, as it should. What makes your client end with an error?",
    };
  }
}

/** Returns what is known of why a client ended before it had printed all messages. */
function hintAtEnd(trial: Trial, count: number): string | undefined {
  const { delivery: { messages }, lines, reads, stderr, exitCode } = trial;
  if (count === 20) {
    return "The server sends 20 messages unless it is told otherwise. What tells a client that nothing more will come?";
  }
  if (exitCode === 0 && reads.length > 0 && reads.at(-1)!.size !== null) {
    return "The client ended while there was more to read. What tells a client that nothing more will come?";
  }
  if (lines.length === 0 && indexIn(messages, stderr.split("\n")[0]) >= 0) {
    return "The messages are on stderr. They belong on stdout: console.log.";
  }
}

/** Returns what is wrong with a client that had to be stopped. */
function judgeStopped(trial: Trial, far: string): Fault {
  const { lines, reads, stopped, delivery: { stream, messages } } = trial;
  if (stopped === "printing") {
    const notes = trial.stderr.split("\n");
    const printed = notes.length > lines.length ? notes : lines;
    const line = printed.at(-2) ?? ""; // the last one may be incomplete
    const times = printed.filter((other) => other === line).length;
    const number = 1 + indexIn(messages, line);
    const repeated = number > 0 ? `message ${number}` : "the same line";
    const what = times < 2
      ? `the client printed ${amount(printed.length, "line")}, and was stopped`
      : `the client printed ${repeated} again and again, ${times} times, and was stopped`;
    const count = rightLines(trial);
    if (printed === lines && count < messages.length && lines[count] !== line) {
      return { what: `message ${count + 1} was printed wrongly, then ${what}` };
    }
    return {
      what,
      hint:
        "A loop goes round without end. What is different from one round to the next, and what ends it?",
    };
  }
  if (stopped === "reconnecting") {
    return {
      what: `${far}, and the client connects again and again`,
      hint:
        "The server sends the whole stream on one connection. How often does your client connect?",
    };
  }
  if (reads.length === 0) {
    return {
      what: `${far}, then nothing happened until the client was stopped`,
    };
  }
  const last = reads[reads.length - 1].size;
  if (last === null) {
    return {
      what: `${far}, but the client does not end with the stream`,
      hint:
        "At the end of the stream, read returns null. What does your client do then?",
    };
  }
  if (last === 0) {
    return {
      what:
        `${far}, then the client went on reading into a buffer without room`,
      hint:
        "A read brings no more bytes than the buffer has room for. How many does yours have?",
    };
  }
  const read = reads.reduce((sum, { size }) => sum + (size ?? 0), 0);
  return {
    what: `${far}, then the client read nothing more, with ${read} of ${
      amount(stream.length, "byte")
    } read`,
    hint:
      "A loop goes round without end, and nothing changes in it. What is different from one round to the next, and what ends it?",
  };
}

/** Returns what is wrong with the first line that is not the message that was due. */
function judgeLine({ lines, delivery }: Trial, count: number): Fault {
  const { messages } = delivery;
  const sent = indexIn(messages, lines[count]);
  if (sent >= 0 && sent < count) {
    return {
      what: `message ${sent + 1} was printed twice`,
      hint:
        "One message, one line. When a message has been printed, what makes your client print it again?",
    };
  }
  if (sent > count) return { what: `message ${count + 1} was left out` };
  return {
    what: count < messages.length
      ? `message ${count + 1} was printed wrongly`
      : delivery.isCut
      ? "the incomplete message was printed"
      : "a line was printed that is no message",
  };
}

/** Returns how many lines, from the first, are the messages that were sent. */
export function rightLines({ lines, delivery: { messages } }: Trial): number {
  const count = lines.findIndex((line, i) =>
    i === messages.length || !isMessage(line, messages[i])
  );
  return count < 0 ? lines.length : count;
}

/** Returns the index of the message that a line is, or -1. */
export function indexIn(messages: string[], line: string): number {
  return messages.findIndex((text) => isMessage(line, text));
}

/** Returns whether a line is a message, with or without its header, behind a label or not. */
function isMessage(line: string, text: string): boolean {
  const printed = withoutLabel(line).replace(/^ /, "");
  return printed === text || printed === header(text) + text;
}

/** Returns the header of a text's frame. */
export function header(text: string): string {
  return String(new TextEncoder().encode(text).length).padEnd(HEADER_LENGTH);
}

function withoutLabel(line: string): string {
  return line.replace(/^[^:]*:/, "");
}

/**
 * Returns the line that was printed in several trials though it was not sent, if
 * there is one. The texts are random, so it does not come from them.
 */
export function findFixedLine(trials: Trial[]): string | undefined {
  const wrong = trials.flatMap(({ lines, delivery: { messages } }) => [
    ...new Set(
      lines.filter((line) =>
        withoutLabel(line).trim() !== "" && indexIn(messages, line) < 0
      ),
    ),
  ]);
  // In all trials, as some bytes of headers are alike.
  const count = trials.filter(({ lines }) => lines.length > 0).length;
  return wrong.find((line) =>
    count > 1 && wrong.filter((other) => other === line).length === count
  );
}

/**
 * Returns the mistake that explains all trials: a client that makes it, and gets
 * the same reads, prints the same lines.
 */
export function findMistake(trials: Trial[]): Mistake | undefined {
  const known = trials.filter(({ reads, stopped }) =>
    reads.length > 0 && stopped === undefined
  );
  const failed = trials.find((trial) => judge(trial) !== undefined);
  // The report is about this trial, so the others alone do not explain it.
  if (failed === undefined || !known.includes(failed)) return undefined;
  if (/^error: Uncaught .*\b(Reference|Type)Error:/m.test(failed.stderr)) {
    return undefined; // a mistake of another kind, such as a mistyped name
  }
  if (hasPrintedAll(failed)) return undefined;
  return MISTAKES.find((mistake) =>
    mistake.clients.some((client) =>
      known.every((trial) => doesTheSame(client, trial))
    )
  );
}

/** Returns whether a client does what the one of a trial did, for the same reads. */
function doesTheSame(client: Client, trial: Trial): boolean {
  const { lines, reads } = trial;
  const brought = bytesOf(trial);
  const expected = client(brought, reads[0].room);
  const { failedAt } = expected;
  const isWhole = reads.at(-1)?.size === null;
  const isSame = (line: string, i: number) => {
    const printed = withoutLabel(lines[i] ?? "").trim();
    const texts = [line, line.slice(HEADER_LENGTH)];
    return texts.some((text) => text.trim() === printed);
  };
  // A client may end with an error in place of printing a part of a character.
  const broken = expected.lines.findIndex((line) => line.includes("\uFFFD"));
  if (!isWhole && broken >= 0 && broken === lines.length) {
    return expected.lines.slice(0, broken).every(isSame);
  }
  if (!expected.lines.every(isSame)) return false;
  const isAll = lines.length === expected.lines.length;
  if (failedAt === undefined) return isWhole && isAll;
  // What follows is chance if a client goes on with something that is no header.
  return isWhole
    ? rightLines(trial) === rightLines({ ...trial, lines: expected.lines })
    : isAll && failedAt === brought.length - 1;
}

/** Returns what each read brought. */
export function bytesOf({ reads, delivery }: Trial): Uint8Array[] {
  let at = 0;
  return reads.flatMap(({ size }) =>
    size === null ? [] : [delivery.stream.subarray(at, at += size)]
  );
}

/** Returns whether all messages were printed, whatever else was. */
function hasPrintedAll(trial: Trial): boolean {
  const { lines, delivery: { messages } } = trial;
  const printed = lines.filter((line) => indexIn(messages, line) >= 0);
  return isRight({ ...trial, lines: printed });
}

/** Returns whether all messages were printed and nothing else. */
function isRight(trial: Trial): boolean {
  const count = rightLines(trial);
  return count === trial.lines.length &&
    count === trial.delivery.messages.length;
}

/** Returns a number with its unit, such as `1 byte` and `2 bytes`. */
export function amount(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
