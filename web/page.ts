/**
 * The page: asks for one read after the other, and draws what it brings and what
 * each of the two clients does with it.
 *
 * @module
 */

/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import { HEADER_LENGTH } from "../framing.ts";
import { Divider, type Piece, visible } from "../lesson/reading.ts";
import { type Code, compare, type Reaction, type Step } from "./clients.ts";
import { Learner } from "./learner.ts";
import { type Delivery, Simulation, SIZES } from "./simulation.ts";
import type { Results } from "./worker.ts";

/** The most rows that the page shows. */
const MAX_ROWS = 100;
/** The most reads that it keeps for a line that is changed. */
const MAX_READS = 1000;
/** How many reads are shown at once when the line, the size or the server is changed. */
const FAST_READS = 60;

const EXERCISE =
  "Put the line into streamClientEx1.ts, and run: deno task exercise";

/** Some bytes of a read, and what they are. */
interface Run {
  kind: "header" | "payload" | "next" | "invalid";
  bytes: Uint8Array;
  label: string;
}

/** One stream, from its first byte to its last. */
class Stream {
  readonly #simulation = isLive() ? undefined : new Simulation(sender());
  #socket: WebSocket | undefined;
  readonly #divider = new Divider();
  #ex1 = new Learner({ ...ex1, line: line.value }, size.valueAsNumber);
  readonly #soln = new Learner(soln, size.valueAsNumber);
  /** The reads, for a line that is changed. */
  readonly #reads: { bytes: Uint8Array; runs: Run[] }[] = [];
  #number = 0;
  #bytes = 0;
  /** How many reads are shown at once. */
  #fast: number;
  /** Whether a read has been asked for and is not yet drawn. */
  #isAsked = false;
  #isWanted = false;
  #isLate = false;
  /** When the next read is due, in milliseconds. */
  #due = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Why there are no bytes, if this may change by itself. */
  #trouble = "";
  /** How the stream has ended. */
  #end: { code: number; reason: string } | undefined;
  /** Settles when what has been begun is drawn. */
  #drawn: Promise<void> = Promise.resolve();

  constructor(fast: number, trouble = `Connecting to ${address}.`) {
    this.#fast = isLive() ? 0 : fast;
    if (isLive()) this.#connect(trouble);
  }

  /** Asks for the next read when it is due, unless the page is paused. */
  schedule(): void {
    if (this.#isAsked || !isRunning || !this.#isOpen) return;
    clearTimeout(this.#timer);
    if (this.#number < this.#fast) return this.ask();
    // The screen paces the reads: a page that is slow or hidden asks for fewer.
    this.#timer = setTimeout(
      () => requestAnimationFrame(() => isRunning && this.ask()),
      this.#due - performance.now() - 10,
    );
  }

  /** Asks for one read. */
  ask(): void {
    if (!this.#isOpen) this.#isWanted = true;
    if (this.#isAsked || !this.#isOpen) return;
    clearTimeout(this.#timer);
    this.#isAsked = true;
    this.#isWanted = false;
    const reads = { size: size.valueAsNumber, pace: Number(pace.value) };
    this.#due = performance.now() + 1000 / reads.pace;
    if (this.#simulation === undefined) {
      this.#socket!.send(`${reads.size}`);
      this.#timer = setTimeout(() => this.tell(this.#isLate = true), 5000);
      return;
    }
    const bytes = this.#simulation.read(reads);
    if (bytes !== null) this.#inTurn(() => this.#show(bytes));
    else this.#inTurn(() => this.#finish({ code: 1000, reason: "" }));
  }

  /** Leaves the stream. */
  close(): void {
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#ex1.end();
    this.#soln.end();
  }

  /** Runs the line that has been changed on all reads, and then on new ones. */
  change(): void {
    const { value } = line;
    this.#inTurn(async () => {
      if (line.value !== value) return; // A later change is waiting.
      const client = new Learner({ ...ex1, line: value }, size.valueAsNumber);
      const isReady = await client.ready;
      document.body.classList.toggle("stale", !isReady);
      if (!isReady) {
        values.textContent = `Your line ${client.last.failure!.reason}`;
        return;
      }
      this.#ex1.end();
      this.#ex1 = client;
      if (this.#reads.length < this.#number) return restart(0);
      clearLine();
      for (const [i, { bytes, runs }] of this.#reads.entries()) {
        const reaction = await client.read(bytes);
        if (stream !== this) return;
        const row = reads.rows[reads.rows.length - this.#number + i];
        row?.cells[2].replaceWith(drawClient("Yours", runs, reaction));
        showLine(i + 1, reaction);
      }
      tryAllSizes();
      this.#fast = isLive() ? 0 : this.#number + FAST_READS;
      setRunning(client.last.failure === undefined);
    });
  }

  /** Says how far the stream and the clients are. */
  tell(_changed?: unknown): void {
    const say = (text: string) => {
      // A status line is read out when it changes.
      if (status.textContent !== visible(text)) {
        status.textContent = visible(text);
      }
    };
    const isOver = this.#end !== undefined;
    for (const button of [run, step]) {
      button.setAttribute("aria-disabled", `${isOver}`);
    }
    showTally("ex1-tally", this.#ex1.last);
    showTally("soln-tally", this.#soln.last);
    const { failure } = this.#ex1.last;
    if (this.#end !== undefined) say(this.#describeEnd(this.#end));
    else if (this.#trouble !== "") say(this.#trouble);
    else if (failure !== undefined && isRunning) {
      say("Your client has stopped. 01Soln reads on.");
    } else if (failure !== undefined) {
      say(`Your client ${describeFailure(this.#ex1.last)}`);
    } else if (!isRunning) say("Paused.");
    else if (this.#isLate) say("No bytes for 5 s. Waiting for the server.");
    else say("Reading.");
  }

  get #isOpen(): boolean {
    if (this.#simulation !== undefined) return this.#end === undefined;
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects to the live stream, and says what the trouble is until there is a stream. */
  #connect(trouble: string): void {
    this.#trouble = trouble;
    const socket = this.#socket = new WebSocket(live!);
    socket.binaryType = "arraybuffer";
    let isAccepted = false;
    socket.onopen = () => {
      isAccepted = true;
      if (this.#isWanted) this.ask();
      else this.schedule();
      // The program behind the page tells by then if it cannot connect.
      setTimeout(() => {
        if (stream !== this || !this.#isOpen) return;
        this.tell(this.#trouble = "");
      }, 300);
    };
    socket.onmessage = ({ data }) =>
      this.#inTurn(() => this.#show(new Uint8Array(data)));
    socket.onclose = (event) => {
      const { host } = new URL(live!);
      if (!isAccepted && location.host !== host) {
        const reason =
          `This page may not read the stream from here. Open http://${host} on the computer that serves it.`;
        this.#inTurn(() => this.#finish({ code: 1008, reason }));
      } else {
        this.#inTurn(() => this.#finish(event));
      }
    };
  }

  /** Does one thing after the other: reads, and what a change needs. */
  #inTurn(work: () => Promise<void> | void): void {
    this.#drawn = this.#drawn.then(() => stream === this ? work() : undefined);
  }

  /** Draws what a read brings, and what the clients do with it. */
  async #show(bytes: Uint8Array): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#number === 0) reads.replaceChildren();
    this.#trouble = "";
    this.#isLate = false;
    const runs = this.#divider.divide(bytes).map(toRun);
    const [left, right] = await Promise.all([
      this.#ex1.read(bytes),
      this.#soln.read(bytes),
    ]);
    if (stream !== this) return;
    this.#number++;
    if (this.#number <= MAX_READS) this.#reads.push({ bytes, runs });
    else this.#reads.length = 0;
    addRow(
      this.#number > this.#fast,
      element(
        "td",
        "number quiet",
        `${this.#number}`,
        element("small", "", ` byte ${this.#bytes}`),
      ),
      element("td", "", ...drawRead(runs)),
      drawClient("Yours", runs, left),
      drawClient("01Soln", runs, right),
    );
    this.#bytes += bytes.length;
    this.#isAsked = false;
    showLine(this.#number, left);
    if (right?.failure !== undefined) this.#finish({ code: 0, reason: "" });
    if (left?.failure !== undefined) this.#fast = 0;
    setRunning(isRunning && left?.failure === undefined);
  }

  /** Ends the stream, or tries to connect again if that can help. */
  #finish({ code, reason }: { code: number; reason: string }): void {
    if (this.#end !== undefined) return;
    clearTimeout(this.#timer);
    this.#isAsked = false;
    if ([0, 1000, 1008, 4002].includes(code)) {
      this.#end = { code, reason };
      this.#socket?.close();
    } else {
      const trouble = code === 4001
        ? `${reason}.`
        : "The program behind this page has ended. Start it again: deno task web. The page then goes on by itself.";
      this.#trouble = trouble;
      this.#timer = setTimeout(() => {
        if (this.#number > 0) startStream(0, trouble);
        else this.#connect(trouble);
      }, 1000);
    }
    this.tell();
  }

  #describeEnd({ code, reason }: { code: number; reason: string }): string {
    const question = `Is another program than streamServer.ts on that port?`;
    const { last: left } = this.#ex1;
    const { last: right } = this.#soln;
    if (right.failure !== undefined) {
      return `This is no stream of frames: the client ${
        describeFailure(right)
      } ${question}`;
    }
    if (code === 4002) return `The connection broke: ${reason}`;
    if (code !== 1000) return reason;
    if (this.#number === 0) {
      return `The stream has ended without a byte. ${question}`;
    }
    if (right.kept.length > 0) {
      return `The stream has ended inside a message, after ${
        count(right.kept.length, "byte")
      } of it.`;
    }
    const totals = `The stream has ended. Your client has ${
      count(left.messages, "message")
    }, 01Soln has ${right.messages}.`;
    if (left.failure !== undefined) return `${totals} Change the line.`;
    if (left.lost > 0) {
      return `${totals} It has thrown away ${
        count(left.lost, "byte")
      } without an error. Which line would keep them?`;
    }
    if (left.kept.length > 0) {
      return `${totals} ${count(left.kept.length, "byte")} are left over.`;
    }
    if (isSolved()) return totals;
    return `${totals} Does it with every read size?`;
  }
}

/** Returns why a client cannot go on, to be read after its name. */
function describeFailure({ failure, lost, isRight }: Reaction): string {
  const { reason, header, offset } = failure!;
  if (header === undefined) return reason;
  const why = lost > 0 ? `has thrown away ${count(lost, "byte")}. It ` : "";
  const what = isRight ? "cannot go on" : "has lost its place";
  const where = offset === undefined ? "" : `at byte ${offset}, `;
  return `${why}${what}: ${where}“${cells(header).join("")}” ${reason}.`;
}

/** Returns what to show of a part of a frame. */
function toRun(piece: Piece): Run {
  const { part, bytes, frame, arrived, total, payloadLength } = piece;
  return {
    kind: part === "header" && frame % 2 === 0 ? "next" : part,
    bytes,
    label: part === "invalid"
      ? "not a header"
      : payloadLength === undefined
      ? `${part} ${frame}, ${arrived} of ${total}`
      : `${part} ${frame}: ${count(payloadLength, "byte")} follow${
        payloadLength === 1 ? "s" : ""
      }`,
  };
}

/** Draws the bytes of a read, and below them what they are. */
function drawRead(runs: Run[]): HTMLElement[] {
  const caption = element(
    "p",
    "caption",
    ...runs.map(({ kind, label }) => element("span", kind, label)),
  );
  caption.setAttribute("aria-hidden", "true"); // The bytes have it as their name.
  return [element("div", "read", ...runs.map(drawCells)), caption];
}

/** Draws bytes as cells that a screen reader reads as one thing. */
function drawCells({ kind, bytes, label }: Run): HTMLElement {
  const shown = cells(bytes);
  const drawn = element(
    "span",
    "cells",
    ...shown.map((cell) =>
      element("span", cell.length > 1 ? `${kind} hex` : kind, cell)
    ),
  );
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `${label}: ${shown.join("")}`);
  return drawn;
}

/** Returns what to show for each byte: ASCII as it is, a space as `·`, and others in hexadecimal. */
function cells(bytes: Uint8Array): string[] {
  return Array.from(bytes, (byte) => {
    if (byte === 0x20) return "·";
    if (byte > 0x20 && byte < 0x7f) return String.fromCodePoint(byte);
    return byte.toString(16).toUpperCase().padStart(2, "0");
  });
}

/** Draws a client's column of a row: what it does with the read, or that it has stopped. */
function drawClient(
  name: string,
  runs: Run[],
  reaction: Reaction | undefined,
): HTMLElement {
  return element(
    "td",
    reaction === undefined ? "client stopped" : "client",
    element("span", "who", name),
    reaction === undefined
      ? element("span", "hidden", "stopped")
      : element("div", "", ...drawReaction(runs, reaction)),
  );
}

function drawReaction(
  runs: Run[],
  { steps, kept, wanted, failure, isRight }: Reaction,
): HTMLElement[] {
  const drawn: HTMLElement[] = [];
  /** Draws what is told, and the bytes that it is about. */
  function tell(className: string, text: string, ...about: Run[]): void {
    const bytes = element("span", "read", ...about.map(drawCells));
    drawn.push(
      element("p", className, text, ...about.length > 0 ? [bytes] : []),
    );
  }
  const invalid = (bytes: Uint8Array): Run => (
    { kind: "invalid", bytes, label: "bytes" }
  );
  const read = runs.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const had = kept.length - read;
  for (const step of steps) {
    tell("message", visible(step.text).slice(0, 200));
    const { lost } = compare(step);
    if (lost === 0) continue;
    tell(
      "lost",
      `throws away ${count(lost, "byte")}`,
      invalid(step.before.subarray(step.end, step.end + lost)),
    );
  }
  if (failure?.header !== undefined) {
    tell("bad", "takes for a header", invalid(failure.header));
    const what = isRight ? "cannot go on" : "has lost its place";
    const { offset, reason } = failure;
    const where = offset === undefined ? "this" : `at byte ${offset}`;
    tell("failure", `✗ ${what}: ${where} ${reason}`);
  } else if (failure !== undefined) {
    tell("failure", `✗ ${failure.reason}`);
  } else if (steps.length === 0) {
    if (had > 0 && had < HEADER_LENGTH && wanted !== undefined) {
      const { kind } = runs[0];
      const bytes = kept.subarray(0, HEADER_LENGTH);
      tell("", "has the header", { kind, bytes, label: "header" });
    }
    const max = wanted ?? HEADER_LENGTH;
    const bar = element("progress", "");
    Object.assign(bar, { value: kept.length, max });
    bar.setAttribute("aria-hidden", "true");
    const unit = wanted === undefined ? "header bytes" : "bytes";
    tell("quiet", `has ${kept.length} of ${max} ${unit}`);
    drawn.at(-1)!.prepend(bar);
  } else {
    const last = steps[steps.length - 1];
    const { lost, again, isOther } = compare(last);
    const text = `keeps ${count(kept.length, "byte")}`;
    if (isOther) {
      const rest = count(last.before.length - last.end, "byte");
      tell("bad", `${text}, other than the ${rest} after the message`);
    } else if (again > 0) {
      tell(
        "bad",
        `${text}, ${again} of them printed already`,
        invalid(kept.subarray(0, 48)),
      );
    } else if (kept.length > 0) {
      tell("", text, ...slice(runs, read - kept.length));
    } else if (lost === 0) {
      tell("quiet", "no bytes after the message");
    }
  }
  return drawn;
}

/** Returns the runs of a read from a byte on. */
function slice(runs: Run[], start: number): Run[] {
  let at = 0;
  return runs.flatMap((run) => {
    const bytes = run.bytes.subarray(Math.max(0, start - at));
    at += run.bytes.length;
    return bytes.length === 0 ? [] : [{ ...run, bytes }];
  });
}

/** Adds a row, and keeps the end in view unless the reader has scrolled back. */
function addRow(isFollowed: boolean, ...columns: HTMLElement[]): void {
  for (const column of columns) column.setAttribute("role", "cell");
  const row = element("tr", "", ...columns);
  row.setAttribute("role", "row");
  const { bottom } = reads.getBoundingClientRect();
  reads.append(row);
  if (reads.rows.length > MAX_ROWS) reads.deleteRow(0);
  if (isFollowed && bottom < innerHeight + 50) showEnd();
}

function showEnd(): void {
  reads.scrollIntoView({ block: "end" });
}

/** Shows in the table's head what a client has achieved. */
function showTally(id: string, { messages, lost, failure }: Reaction): void {
  const tally = find(id);
  tally.textContent = count(messages, "message") +
    (failure !== undefined
      ? ", then an error"
      : lost > 0
      ? `, ${count(lost, "byte")} lost`
      : "");
  tally.classList.toggle("bad", lost > 0 || failure !== undefined);
}

/** The step that is shown around the line. */
let shown: Step | undefined;

function clearLine(): void {
  shown = undefined;
  for (const part of [before, after, values]) part.textContent = "";
}

/** Shows what the line does with its first message, and then with the first after which there are bytes. */
function showLine(number: number, reaction: Reaction | undefined): void {
  const hasRest = ({ before, end }: Step) => before.length > end;
  if (reaction === undefined || shown !== undefined && hasRest(shown)) return;
  const { steps, failure } = reaction;
  const step = steps.find(hasRest) ?? (shown ? undefined : steps[0]);
  const mistake = failure?.header === undefined ? failure?.reason : undefined;
  if (step === undefined) {
    if (mistake !== undefined) {
      values.textContent = `Read ${number}: it ${mistake}`;
    }
    return;
  }
  shown = step;
  drawLine(step);
  const rest = step.before.length - step.end;
  values.textContent = `Read ${number}: received has ${
    count(step.before.length, "byte")
  }, and end is ${step.end}: ${rest} more. Your line ${
    step.after === undefined || steps.length > 2 && mistake
      ? mistake
      : `leaves ${step.after.length}.`
  }`;
}

/** Draws what `received` holds above the line, and below it what it holds then. */
function drawLine(step: Step): void {
  const { end } = step;
  const rest = step.before.subarray(end);
  const left = step.after;
  const { lost, again, isOther } = compare(step);
  // Of a long payload, the beginning is left out.
  const skipped = Math.max(0, end - 45);
  const strip = (kind: string, bytes: Uint8Array) =>
    element(
      "span",
      kind,
      cells(bytes).map((cell) => cell[1] ? "▫" : cell).join(""),
    );
  before.replaceChildren(
    "before ",
    strip("header", step.before.subarray(0, HEADER_LENGTH)),
    strip("payload", step.before.subarray(HEADER_LENGTH + skipped, end)),
    strip("invalid", rest.subarray(0, lost)),
    strip("next", rest.subarray(lost)),
  );
  if (left === undefined) return after.replaceChildren();
  const isWrong = isOther || again > 0 || lost > 0;
  const indent = left.length === 0 ? end : step.before.length - left.length;
  const bytes = left.length > 0
    ? strip(
      isWrong ? "invalid" : "next",
      left.subarray(Math.max(0, skipped - indent)),
    )
    : element("span", isWrong ? "invalid" : "next", "nothing");
  after.replaceChildren(
    "after  ",
    " ".repeat(Math.max(0, indent - skipped)),
    bytes,
  );
}

/** Tries the line with every read size, in a Worker of its own. */
async function tryAllSizes(): Promise<void> {
  trial?.end();
  const client = trial = new Learner({ ...ex1, line: line.value }, 1);
  const found = await client.try({
    server: sender(),
    size: 1,
    pace: Number(pace.value),
  });
  client.end();
  if (trial !== client) return;
  results = found;
  showResults();
  stream.tell();
}

function isSolved(): boolean {
  return results !== undefined && results.failsWith === undefined &&
    results.messages.every((number) => number === 20);
}

/** Shows how many messages the client gets with each read size. */
function showResults(): void {
  const own = size.valueAsNumber;
  seen.add(own);
  const isOpen = line.value !== ex1.line || seen.size === SIZES.length;
  const messages = results?.messages ?? [];
  bars.replaceChildren(...SIZES.map((size, i) => {
    const isShown = isOpen || seen.has(size);
    const number = messages[i] ?? 0;
    const bar = element("i", !isShown ? "open" : number === 20 ? "full" : "");
    bar.style.height = isShown ? `${Math.max(4, 5 * number)}%` : "100%";
    if (size === own) bar.classList.add("own");
    return bar;
  }));
  const number = messages[own - 1];
  const full = SIZES.filter((_, i) => messages[i] === 20);
  const solved = isSolved();
  find("task").hidden = solved;
  find("editor").className = solved ? "good" : "bad";
  find("soln-line").textContent = solved ? soln.line : "";
  result.replaceChildren();
  if (number === undefined) {
    return result.append("The line does not come to an end.");
  }
  const isGood = number === 20;
  const name = optionOf(sender());
  result.append(
    element("b", isGood ? "good" : "bad", `${number} of 20 messages`),
    ` with ${count(own, "byte")} a read from the server that ${name}. `,
  );
  const text = !isOpen
    ? "With which sizes will it get all 20? Guess, then drag."
    : solved
    ? `So with every size, and from every server: your client keeps its place. ${EXERCISE}`
    : results?.failsWith !== undefined
    ? `So with every size, but not from the server that ${
      optionOf(results.failsWith)
    }. Try it.`
    : full.length === 0
    ? "All of them with no size."
    : full.length === SIZES.length
    ? ""
    : `All of them with some sizes only: ${ranges(full)}. Why?`;
  result.append(element("span", "quiet", text));
}

/** Returns numbers in words: `1 to 3, 13`. */
function ranges(numbers: number[]): string {
  return numbers.filter((number) => !numbers.includes(number - 1)).map(
    (start) => {
      let end = start;
      while (numbers.includes(end + 1)) end++;
      return start === end ? `${start}` : `${start} to ${end}`;
    },
  ).join(", ");
}

/** Returns a number of things in words. */
function count(number: number, unit: string): string {
  return `${number} ${unit}${number === 1 ? "" : "s"}`;
}

function isLive(): boolean {
  return server.value === "live";
}

/** Returns the simulated server: of a live one, the page does not know when it sends. */
function sender(): Delivery["server"] {
  return isLive() ? "fast" : server.value as Delivery["server"];
}

function optionOf(name: string): string {
  return server.querySelector(`[value=${name}]`)!.textContent!;
}

/** Returns a new element. */
function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

/** Returns the element of page.html that has an id. */
function find<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Leaves the stream, and starts another. */
function startStream(fast: number, trouble?: string): void {
  stream.close();
  stream = new Stream(fast, trouble);
  setRunning(isRunning);
}

/** Starts another stream at the reader's wish. */
function restart(fast: number): void {
  reads.replaceChildren();
  clearLine();
  isRunning = true;
  startStream(fast);
}

/** Pauses or goes on. */
function setRunning(value: boolean): void {
  isRunning = value;
  run.textContent = value ? "Pause" : "Go on";
  stream.tell();
  stream.schedule();
}

const reads = find<HTMLTableSectionElement>("reads");
const status = find("status");
const run = find<HTMLButtonElement>("run");
const step = find<HTMLButtonElement>("step");
const pace = find<HTMLSelectElement>("pace");
const server = find<HTMLSelectElement>("server");
const line = find<HTMLInputElement>("line");
const [before, after, values] = ["before", "after", "values"].map(find);
const [result, bars] = ["result", "bars"].map(find);
const size = find<HTMLInputElement>("size");

const { ex1, soln, stream: live, address }: {
  ex1: Code;
  soln: Code;
  stream?: string;
  address?: string;
} = JSON.parse(find("data").textContent!);

const loop = ex1.before.slice(ex1.before.indexOf("    while (received."))
  .replace(/ *\/\/.*/g, "").replace(/^ {4}/gm, "").split("\n").slice(0, -1);
find("print").textContent = loop.pop()!;
find("context").textContent = `${loop.join("\n")}\n`;
find("rest").textContent = "}";
line.value = ex1.line;
if (live !== undefined) {
  server.prepend(new Option(`live: ${address}`, "live", true, true));
}

/** The read sizes of which the reader has seen what they do with the first line. */
const seen = new Set<number>();
let trial: Learner | undefined;
let results: Results | undefined;
let isRunning = true;
readAddress();
let stream = new Stream(0);
setRunning(true);
tryAllSizes();

/** Takes the read size from the page's address, `#78`. */
function readAddress(): void {
  const number = Number(location.hash.slice(1));
  if (SIZES.includes(number)) size.value = `${number}`;
}

let typing: ReturnType<typeof setTimeout> | undefined;
line.oninput = () => {
  document.body.classList.add("changed");
  clearTimeout(typing);
  typing = setTimeout(() => stream.change(), 100);
};
run.onclick = () => {
  if (run.getAttribute("aria-disabled") === "true") return;
  setRunning(!isRunning);
  if (isRunning) showEnd();
};
step.onclick = () => {
  if (step.getAttribute("aria-disabled") === "true") return;
  setRunning(false);
  stream.ask();
};
find("restart").onclick = () => restart(0);
size.oninput = () => {
  restart(FAST_READS);
  showResults();
};
size.onchange = () => history.replaceState(null, "", `#${size.value}`);
onhashchange = () => {
  readAddress();
  restart(FAST_READS);
  showResults();
};
pace.onchange = () => {
  stream.schedule();
  tryAllSizes();
};
server.onchange = () => {
  restart(FAST_READS);
  tryAllSizes();
};
