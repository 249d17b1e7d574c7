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
import {
  type Code,
  count,
  isRight,
  type Note,
  type Reaction,
  type Step,
} from "./clients.ts";
import { Learner } from "./learner.ts";
import { type Delivery, Simulation, SIZES } from "./simulation.ts";
import type { Results } from "./worker.ts";

/** The most rows that the page shows. */
const MAX_ROWS = 100;
/** The most reads that are repeated for a line that has changed. */
const MAX_READS = 1000;
/** How much of a text is shown. */
const MAX_TEXT = 200;

const GONE =
  "The program behind this page has ended. Start it again: deno task web. The page then goes on by itself.";

/** One stream, from its first byte to its last. */
class Stream {
  readonly #simulation = isLive() ? undefined : new Simulation(sender());
  #socket: WebSocket | undefined;
  readonly #divider = new Divider();
  #ex1 = new Learner({ ...ex1, line: line.value }, size.valueAsNumber);
  readonly #soln = new Learner(soln, size.valueAsNumber);
  readonly #reads: { bytes: Uint8Array; pieces: Piece[] }[] = [];
  #number = 0;
  #bytes = 0;
  /** Whether a read is asked for and not drawn yet, and when this was, in milliseconds. */
  #isAsked = false;
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Why there is no live stream, while the page tries to get one. */
  #trouble = "";
  /** Defined when the stream has ended for good: why, if the page cannot tell from the clients. */
  #end: string | undefined;
  /** Settles when everything that has come is drawn. */
  #drawn: Promise<void> = Promise.resolve();

  constructor(trouble: string) {
    if (isLive()) this.#connect(trouble);
  }

  /** Asks for the next read when it is due, unless the page is paused. */
  schedule(): void {
    if (this.#isAsked || !isRunning) return;
    clearTimeout(this.#timer);
    const due = this.#asked + 1000 / Number(pace.value);
    // The screen paces the reads: a page that is slow or hidden asks for fewer.
    this.#timer = setTimeout(
      () => requestAnimationFrame(() => isRunning && this.ask()),
      due - performance.now() - 10,
    );
  }

  /** Asks for one read, now or when there is a connection. */
  ask(): void {
    if (this.#isAsked || this.#end !== undefined) return;
    this.#isAsked = true;
    this.#asked = performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.tell(), 5000);
    if (this.#simulation === undefined) return this.#send();
    const read = { size: size.valueAsNumber, pace: Number(pace.value) };
    const bytes = this.#simulation.read(read);
    this.#inTurn(() => bytes === null ? this.#finish() : this.#show(bytes));
  }

  /** Leaves the stream. */
  close(): void {
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#ex1.end();
    this.#soln.end();
  }

  /** Runs a changed line on the reads that have come, and goes on. */
  change(): void {
    const { value } = line;
    this.#inTurn(async () => {
      if (line.value !== value) return; // The next change is waiting.
      const client = new Learner({ ...ex1, line: value }, size.valueAsNumber);
      const isReady = await client.ready;
      document.body.classList.toggle("stale", !isReady);
      if (!isReady) {
        values.textContent = `Your line ${client.last.failure}.`;
        return;
      }
      this.#ex1.end();
      this.#ex1 = client;
      if (this.#number > MAX_READS) return restart();
      clearLine();
      for (const [i, { bytes, pieces }] of this.#reads.entries()) {
        const reaction = await client.read(bytes);
        if (stream !== this) return;
        const row = reads.rows[reads.rows.length - this.#number + i];
        if (row !== undefined) drawClient(row.cells[2], pieces, reaction);
        showLine(i + 1, reaction);
      }
      tryAllSizes(client.isStopped);
      setRunning(client.last.failure === undefined);
    });
  }

  /** Says how far the stream and the clients are. */
  tell(): void {
    for (const button of [run, step]) {
      button.ariaDisabled = `${this.#end !== undefined}`;
    }
    showTally("ex1-tally", this.#ex1.last);
    showTally("soln-tally", this.#soln.last);
    const text = visible(this.#describe());
    // A screen reader reads the line out when it changes.
    if (status.textContent !== text) status.textContent = text;
  }

  #describe(): string {
    if (this.#end !== undefined) return this.#end || this.#describeEnd();
    if (this.#trouble !== "") return this.#trouble;
    const { failure, lost } = this.#ex1.last;
    if (failure !== undefined) {
      if (isRunning) return "Your client has stopped. 01Soln reads on.";
      const why = lost > 0 ? `has thrown away ${count(lost)}, and ` : "";
      return `Your client ${why}${failure}. Change the line.`;
    }
    if (!isRunning) return "Paused.";
    const isLate = this.#isAsked && performance.now() - this.#asked > 4900;
    return isLate ? "No bytes for 5 s. Waiting for the server." : "Reading.";
  }

  /** Returns how a stream has ended that the server has closed, or that cannot be read. */
  #describeEnd(): string {
    const [left, right] = [this.#ex1.last, this.#soln.last];
    const question = "Is another program than streamServer.ts on that port?";
    if (right.failure !== undefined) {
      return `This is no stream of frames: a client ${right.failure}. ${question}`;
    }
    if (this.#bytes === 0) {
      return `The stream ended without a byte. ${question}`;
    }
    const rest = count(right.kept.length);
    if (right.kept.length > 0) {
      return `The stream ended inside a message, after ${rest} of it.`;
    }
    const messages = count(left.messages, "message");
    const totals =
      `The stream has ended. Your client has ${messages}, 01Soln has ${right.messages}.`;
    if (left.failure !== undefined) return `${totals} Change the line.`;
    if (left.lost > 0) {
      const lost = count(left.lost);
      return `${totals} It threw away ${lost}, and there was no error.`;
    }
    return isSolved() ? totals : `${totals} Does it with every size of a read?`;
  }

  /** Connects to the live stream. Tells the trouble until there is one. */
  #connect(trouble: string): void {
    this.#trouble = trouble;
    const { host } = new URL(live!);
    const socket = this.#socket = new WebSocket(live!);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (this.#isAsked) this.#send();
      else this.schedule();
      // If nothing listens, the program behind the page says so before that.
      setTimeout(() => this.#goOn(), 300);
    };
    socket.onmessage = ({ data }) =>
      this.#inTurn(() => this.#show(new Uint8Array(data)));
    socket.onclose = ({ code, reason }) =>
      this.#inTurn(() => {
        if (this.#end !== undefined) return;
        if (code === 1000) this.#finish();
        else if (code === 4001) this.#retry(`${reason}.`);
        else if (code === 4002) {
          this.#finish(`The connection broke: ${reason}.`);
        } else if (location.host === host) this.#retry(GONE);
        else {this.#finish(
            `The stream is not for this address. Open http://${host}, on the computer with the server.`,
          );}
      });
  }

  #goOn(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#trouble = "";
    this.tell();
  }

  #send(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(size.value);
  }

  #retry(trouble: string): void {
    this.#trouble = trouble;
    this.#isAsked = false;
    this.tell();
    setTimeout(() => {
      if (stream !== this) return;
      if (this.#bytes > 0) startStream(trouble);
      else this.#connect(trouble);
    }, 1000);
  }

  /** Ends the stream for good. */
  #finish(text = ""): void {
    clearTimeout(this.#timer);
    this.#end = text;
    this.#socket?.close();
    this.tell();
  }

  /** Does one thing after the other: what reads bring, and what a change takes. */
  #inTurn(work: () => Promise<void> | void): void {
    this.#drawn = this.#drawn.then(() => {
      if (stream === this) return work();
    });
  }

  /** Draws what a read brings, and what the clients do with it. */
  async #show(bytes: Uint8Array): Promise<void> {
    const pieces = this.#divider.divide(bytes);
    const [left, right] = await Promise.all([
      this.#ex1.read(bytes),
      this.#soln.read(bytes),
    ]);
    if (stream !== this) return;
    if (this.#number === 0) reads.replaceChildren();
    const isFollowed = isEndInView();
    if (this.#number++ < MAX_READS) this.#reads.push({ bytes, pieces });
    const { cells } = addRow();
    const place = element("small", "", ` byte ${this.#bytes}`);
    cells[0].append(`${this.#number}`, place);
    drawRead(cells[1], pieces);
    drawClient(cells[2], pieces, left);
    drawClient(cells[3], pieces, right);
    showLine(this.#number, left);
    this.#bytes += bytes.length;
    this.#isAsked = false;
    this.#trouble = "";
    if (right?.failure !== undefined) this.#finish();
    setRunning(isRunning && left?.failure === undefined);
    if (isFollowed) showEnd();
  }
}

/** Draws the bytes of a read, and below them what they are. */
function drawRead(cell: Element, pieces: Piece[]): void {
  const labels = pieces.map((piece) =>
    element("span", kindOf(piece), labelOf(piece))
  );
  const caption = element("p", "caption", ...labels);
  caption.ariaHidden = "true"; // A screen reader has it from the bytes.
  cell.append(element("div", "read", ...drawPieces(pieces)), caption);
}

function drawPieces(pieces: Piece[]): HTMLElement[] {
  return pieces.map((piece) =>
    drawCells(piece.bytes, kindOf(piece), labelOf(piece))
  );
}

/** Returns how a part of a frame is colored. */
function kindOf({ part, frame }: Piece): string {
  return part === "header" && frame % 2 === 0 ? "next" : part;
}

function labelOf({ part, frame, arrived, total }: Piece): string {
  if (part === "invalid") return "not a header";
  return `${part} ${frame}, ${arrived} of ${total}`;
}

/** Draws bytes as cells that a screen reader reads as one thing. */
function drawCells(bytes: Uint8Array, kind: string, label: string) {
  const shown = cells(bytes);
  const drawn = element(
    "span",
    "cells",
    ...shown.map((cell) => element("span", kind, cell)),
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

/** Draws what a client does with a read, or that it has stopped before. */
function drawClient(cell: Element, pieces: Piece[], reaction?: Reaction): void {
  const stopped: Note[] = [{ kind: "quiet", text: "stopped" }];
  const { notes, kept } = reaction ?? { notes: stopped, kept: undefined };
  cell.lastElementChild!.replaceChildren(
    ...notes.map(({ kind, text, bytes, needs }) => {
      const note = element("p", kind, `${visible(text).slice(0, MAX_TEXT)} `);
      if (kind === "keeps") {
        note.append(...drawPieces(lastOf(pieces, bytes!.length)));
      } else if (bytes !== undefined) {
        const color = kind === "has" ? kindOf(pieces[0]) : "invalid";
        note.append(drawCells(bytes, color, "bytes"));
      } else if (needs !== undefined) {
        const bar = element("progress", "");
        Object.assign(bar, { value: kept!.length, max: needs });
        bar.ariaHidden = "true";
        note.prepend(bar, " ");
      }
      return note;
    }),
  );
}

/** Returns the pieces of the last bytes of a read. */
function lastOf(pieces: Piece[], length: number): Piece[] {
  let skipped = -length;
  for (const { bytes } of pieces) skipped += bytes.length;
  return pieces.flatMap((piece) => {
    const bytes = piece.bytes.subarray(Math.max(0, skipped));
    skipped -= piece.bytes.length;
    return bytes.length > 0 ? [{ ...piece, bytes }] : [];
  });
}

function addRow(): HTMLTableRowElement {
  const template = find<HTMLTemplateElement>("row");
  reads.append(template.content.cloneNode(true));
  if (reads.rows.length > MAX_ROWS) reads.deleteRow(0);
  return reads.rows[reads.rows.length - 1];
}

function isEndInView(): boolean {
  const { bottom } = reads.getBoundingClientRect();
  return bottom < reads.closest("main")!.getBoundingClientRect().bottom + 50;
}

function showEnd(): void {
  reads.scrollIntoView({ block: "end" });
}

/** Shows in the table's head how far a client is. */
function showTally(id: string, { messages, lost, failure }: Reaction): void {
  const more = failure !== undefined
    ? ", then an error"
    : lost > 0
    ? `, ${count(lost)} lost`
    : "";
  find(id).textContent = count(messages, "message") + more;
  find(id).className = more === "" ? "" : "bad";
}

/** Whether a step is shown around the line, and one after which there are bytes. */
let shown: "" | "first" | "rest" = "";

function clearLine(): void {
  shown = "";
  for (const part of [before, after, values]) part.textContent = "";
}

/** Shows what the line does with the first message, and then with the first that has bytes after it. */
function showLine(number: number, reaction?: Reaction): void {
  if (reaction === undefined || shown === "rest") return;
  const { steps, failure } = reaction;
  const hasRest = steps.find(({ before, end }) => before.length > end);
  const step = hasRest ?? (shown === "" ? steps[0] : undefined);
  if (step !== undefined) {
    shown = hasRest ? "rest" : "first";
    drawLine(step);
    const { before, end, after } = step;
    const what = after ? `leaves ${after.length}` : failure;
    values.textContent = `Read ${number}: received has ${
      count(before.length)
    }, and end is ${end}: ${before.length - end} more. Your line ${what}.`;
  } else if (failure !== undefined) {
    values.textContent = `Read ${number}: your client ${failure}.`;
  }
}

/** Draws what `received` holds before the line, and below it what it holds after. */
function drawLine(step: Step): void {
  const { end, after: left } = step;
  const kind = isRight(step) ? "next" : "invalid";
  const strip = (kind: string, bytes: Uint8Array) =>
    element("span", kind, cells(bytes).map((cell) => cell.slice(-1)).join(""));
  before.replaceChildren(
    "before ",
    strip("header", step.before.subarray(0, HEADER_LENGTH)),
    strip("payload", step.before.subarray(HEADER_LENGTH, end)),
    strip(kind, step.before.subarray(end)),
  );
  if (left === undefined) return after.replaceChildren();
  const indent = left.length > 0 ? step.before.length - left.length : end;
  after.replaceChildren(
    `after  ${" ".repeat(Math.max(0, indent))}`,
    left.length > 0 ? strip(kind, left) : element("span", kind, "nothing"),
  );
}

/** Tries the line with every read size, in a Worker of its own. */
async function tryAllSizes(isEndless = false): Promise<void> {
  trial?.end();
  const client = trial = new Learner({ ...ex1, line: line.value }, 1);
  const delivery = { server: sender(), size: 1, pace: Number(pace.value) };
  const found = isEndless ? undefined : await client.try(delivery);
  if (trial !== client) return;
  client.end();
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
  const { messages, failsWith } = results ?? { messages: [] };
  seen.add(own);
  const isOpen = line.value !== ex1.line || seen.size === SIZES.length;
  bars.replaceChildren(...SIZES.map((size, i) => {
    const isShown = isOpen || seen.has(size);
    const number = isShown ? messages[i] ?? 0 : 20;
    const bar = element("i", !isShown ? "" : number === 20 ? "good" : "bad");
    bar.style.height = `${Math.max(4, 5 * number)}%`;
    bar.ariaCurrent = `${size === own}`;
    return bar;
  }));
  const solved = isSolved();
  find("task").hidden = solved;
  find("editor").className = solved ? "good" : "bad";
  find("soln-line").textContent = solved ? soln.line : "";
  const number = messages[own - 1];
  if (number === undefined) {
    result.textContent = "The line does not come to an end.";
    return;
  }
  const full = messages.filter((number) => number === 20).length;
  result.replaceChildren(
    element("b", number === 20 ? "good" : "bad", `${number} of 20 messages`),
    ` with ${count(own)} a read${isLive() ? ", simulated" : ""}. `,
    !isOpen
      ? "With which sizes does it get all 20? Guess, then drag."
      : solved
      ? "So with every size, and from every server: your client keeps its place. Put the line into streamClientEx1.ts. Then run: deno task exercise"
      : failsWith !== undefined
      ? `So with every size, but not if the ${nameOf(failsWith)}. Try it.`
      : full > 0 && full < SIZES.length
      ? `All of them with ${full} of the 80 sizes only. Why?`
      : "",
  );
}

function isLive(): boolean {
  return server.value === "live";
}

/** Returns the simulated server to read from, or to try in place of a live one. */
function sender(): Delivery["server"] {
  return isLive() ? "fast" : server.value as Delivery["server"];
}

function nameOf(name: Delivery["server"]): string {
  return server.querySelector(`[value=${name}]`)!.textContent!;
}

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

function find<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Leaves the stream, and starts another. */
function startStream(trouble = `Connecting to ${address}.`): void {
  stream.close();
  stream = new Stream(trouble);
  setRunning(isRunning);
}

/** Starts another stream because the reader wants one. */
function restart(): void {
  reads.replaceChildren();
  clearLine();
  isRunning = true;
  startStream();
  showResults();
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
const size = find<HTMLInputElement>("size");
const [before, after, values] = ["before", "after", "values"].map(find);
const [result, bars] = ["result", "bars"].map(find);

const { ex1, soln, stream: live, address }: {
  ex1: Code;
  soln: Code;
  stream?: string;
  address?: string;
} = JSON.parse(find("data").textContent!);
const loop = ex1.before.slice(ex1.before.indexOf("    while (received."));
find("loop").textContent = loop.replace(/ *\/\/.*/g, "").replace(/^ {4}/gm, "");
line.value = ex1.line;
if (live !== undefined) {
  server.prepend(new Option(`live: ${address}`, "live", true, true));
}

/** The sizes of which the reader has seen what they do with the first line. */
const seen = new Set<number>();
let trial: Learner | undefined;
let results: Results | undefined;
let isRunning = true;
readAddress();
let stream = new Stream(`Connecting to ${address}.`);
setRunning(true);
tryAllSizes();

/** Takes the size of a read from the page's address, `#78`. */
function readAddress(): void {
  const number = Number(location.hash.slice(1));
  if (SIZES.includes(number)) size.value = `${number}`;
}

let typing: ReturnType<typeof setTimeout> | undefined;
line.oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(() => stream.change(), 100);
};
run.onclick = () => {
  setRunning(!isRunning);
  if (isRunning) showEnd();
};
step.onclick = () => {
  setRunning(false);
  stream.ask();
};
find("restart").onclick = () => restart();
size.oninput = () => restart();
size.onchange = () => history.replaceState(null, "", `#${size.value}`);
onhashchange = () => {
  readAddress();
  restart();
};
pace.onchange = () => {
  stream.schedule();
  tryAllSizes();
};
server.onchange = () => {
  restart();
  tryAllSizes();
};
