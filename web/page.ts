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
import { type Code, count, isRight, type Reaction } from "./clients.ts";
import { Learner } from "./learner.ts";
import { type Delivery, Simulation, SIZES } from "./simulation.ts";

/** The most rows that the page shows, and reads that it keeps for a line that changes. */
const [MAX_ROWS, MAX_READS] = [100, 1000];

const GONE =
  "The program behind this page has ended. Start it again: deno task web. The page then goes on by itself.";
const REFUSED =
  "on the computer where deno task web runs: the stream is for that address only.";
const QUESTION = "Is another program than streamServer.ts on that port?";

/** One stream, from its first byte to its last. */
class Stream {
  readonly #simulation = isLive()
    ? undefined
    : new Simulation(delivery().server);
  #socket: WebSocket | undefined;
  readonly #divider = new Divider();
  #ex1 = startClient(line.value);
  readonly #soln = startClient(soln.line);
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
  #drawn: Promise<unknown> = Promise.resolve();

  constructor(trouble = `Connecting to ${address}.`) {
    reads.replaceChildren();
    clearLine();
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
    if (this.#simulation === undefined) {
      if (this.#socket?.readyState === 1) this.#socket.send(size.value);
      return;
    }
    const bytes = this.#simulation.read(delivery());
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
      const client = startClient(value);
      const isReady = await client.ready;
      document.body.className = isReady ? "" : "stale";
      values.textContent = `Your line ${client.last.failure}.`;
      if (!isReady) return this.tell();
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
    run.ariaDisabled = step.ariaDisabled = `${this.#end !== undefined}`;
    find("ex1-tally").textContent = tally(this.#ex1);
    find("soln-tally").textContent = tally(this.#soln);
    const text = visible(this.#describe());
    // A screen reader reads the line out when it changes.
    if (status.textContent !== text) status.textContent = text;
  }

  #describe(): string {
    if (this.#end !== undefined) return this.#end || this.#describeEnd();
    if (this.#trouble !== "") return this.#trouble;
    if (isRunning) {
      const isLate = this.#isAsked && performance.now() - this.#asked > 4900;
      return isLate ? "No bytes for 5 s. Waiting for the server." : "Reading.";
    }
    const { failure, lost } = this.#ex1.last;
    const isStale = document.body.className !== "";
    if (failure === undefined || isStale) return "Paused.";
    const cause = lost > 0 ? `has thrown away ${count(lost)}, and ` : "";
    return `Your client ${cause}${failure}. Change the line.`;
  }

  /** Returns how a stream has ended that the server has closed, or that cannot be read. */
  #describeEnd(): string {
    const soln = this.#soln.last;
    if (this.#bytes === 0) {
      return `The stream ended without a byte. ${QUESTION}`;
    }
    if (soln.failure !== undefined) {
      return `This is no stream of frames: a client ${soln.failure}. ${QUESTION}`;
    }
    if (soln.kept.length > 0) {
      const part = count(soln.kept.length);
      return `The stream ended inside a message, after ${part} of it.`;
    }
    const [left, right] = [tally(this.#ex1), tally(this.#soln)];
    return `The stream has ended. Your client: ${left}. 01Soln: ${right}. What if a read brings more, or less?`;
  }

  /** Connects to the live stream. Tells the trouble until there is one. */
  #connect(trouble: string): void {
    this.#trouble = trouble;
    const socket = this.#socket = new WebSocket(live!);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (this.#isAsked) socket.send(size.value);
      else this.schedule();
      // If nothing listens, the program behind the page says so before that.
      setTimeout(() => {
        if (socket.readyState !== 1) return;
        this.#trouble = "";
        this.tell();
      }, 300);
    };
    socket.onmessage = ({ data }) =>
      this.#inTurn(() => this.#show(new Uint8Array(data)));
    socket.onclose = (event) =>
      this.#inTurn(() => this.#end === undefined && this.#leave(event));
  }

  /** Ends a stream that its socket has left, or connects again if this can help. */
  #leave({ code, reason }: CloseEvent): void {
    const { host } = new URL(live!);
    if (code === 1000) return this.#finish();
    if (code === 4002) return this.#finish(`The connection broke: ${reason}.`);
    if (location.host !== host) {
      return this.#finish(`Open http://${host}, ${REFUSED}`);
    }
    this.#isAsked = false;
    const trouble = this.#trouble = code === 4001 ? `${reason}.` : GONE;
    this.tell();
    setTimeout(() => {
      if (stream !== this) return;
      if (this.#number > 0) startStream(trouble);
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
  #inTurn(work: () => unknown): void {
    this.#drawn = this.#drawn.then(() => stream === this && work());
  }

  /** Draws what a read brings, and what the clients do with it. */
  async #show(bytes: Uint8Array): Promise<void> {
    const pieces = this.#divider.divide(bytes);
    const [left, right] = await Promise.all([
      this.#ex1.read(bytes),
      this.#soln.read(bytes),
    ]);
    if (stream !== this) return;
    const { scrollHeight, scrollTop, clientHeight } = find("table");
    const isFollowed = scrollHeight - scrollTop - clientHeight < 50;
    if (this.#number++ < MAX_READS) this.#reads.push({ bytes, pieces });
    const template = find<HTMLTemplateElement>("row").content;
    reads.append(template.cloneNode(true));
    if (reads.rows.length > MAX_ROWS) reads.deleteRow(0);
    const { cells } = reads.rows[reads.rows.length - 1];
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
    if (isFollowed) reads.scrollIntoView({ block: "end" });
  }
}

/** Draws the bytes of a read, and below them what they are. */
function drawRead(cell: Element, pieces: Piece[]): void {
  const caption = element("p", "caption");
  caption.ariaHidden = "true"; // A screen reader has it from the bytes.
  const drawn = element("div", "read");
  for (const piece of pieces) {
    const { part, frame, arrived, total, bytes } = piece;
    const label = part === "invalid"
      ? "not a header"
      : `${part} ${frame}, ${arrived} of ${total}`;
    const colors = colorsOf([piece]);
    drawn.append(drawCells(bytes, colors, label));
    caption.append(element("span", colors[0], label));
  }
  cell.append(drawn, caption);
}

/** Returns the class of each byte of a read. */
function colorsOf(pieces: Piece[]): string[] {
  return pieces.flatMap(({ part, frame, bytes }) => {
    const color = part === "header" && frame % 2 === 0 ? "next" : part;
    return Array<string>(bytes.length).fill(color);
  });
}

/** Draws bytes as cells that a screen reader reads as one thing. */
function drawCells(bytes: Uint8Array, colors: string[], label: string) {
  const texts = cells(bytes);
  const drawn = element("span", "cells");
  drawn.append(...texts.map((text, i) => element("span", colors[i], text)));
  drawn.setAttribute("role", "img");
  drawn.ariaLabel = `${label}: ${texts.join("")}`;
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
  const notes: Reaction["notes"] = reaction?.notes ??
    [{ kind: "quiet", text: "stopped" }];
  cell.lastElementChild!.replaceChildren(
    ...notes.map(({ kind, text, bytes, needs }) => {
      const mark = kind === "message" ? "✓ " : "";
      const shown = visible(text).slice(0, 200);
      const note = element("p", kind, `${mark}${shown} `);
      if (bytes !== undefined) {
        // What a client keeps is the end of the read. A header ends in its first piece.
        const read = colorsOf(pieces);
        const colors = kind === "keeps"
          ? read.slice(-bytes.length)
          : Array(bytes.length).fill(kind === "has" ? read[0] : "invalid");
        note.append(drawCells(bytes, colors, "bytes"));
      } else if (needs !== undefined) {
        const bar = element("progress", "");
        Object.assign(bar, { value: reaction?.kept.length, max: needs });
        bar.ariaHidden = "true";
        note.prepend(bar, " ");
      }
      return note;
    }),
  );
}

/** Returns in words how far a client is. What a stopped one has printed in its last read is not known. */
function tally({ isStopped, last: { messages, lost, failure } }: Learner) {
  if (isStopped) return "stopped";
  const end = failure === undefined ? "" : ", then an error";
  const thrown = lost > 0 && end === "" ? `, ${count(lost)} lost` : "";
  return count(messages, "message") + thrown + end;
}

/** Whether the line is shown with bytes after the message. */
let isShown = false;

function clearLine(): void {
  isShown = false;
  for (const part of [before, after, values]) part.textContent = "";
}

/** Shows what the line does with a message, until there is one that has bytes after it. */
function showLine(number: number, reaction?: Reaction): void {
  if (reaction === undefined || isShown) return;
  const { steps, failure } = reaction;
  const withRest = steps.find(({ before, end }) => before.length > end);
  const step = withRest ?? steps[0];
  if (step === undefined) {
    if (failure) values.textContent = `Read ${number}: it ${failure}.`;
    return;
  }
  isShown = withRest !== undefined;
  const { before: had, end, after: has } = step;
  const rest = had.length - end;
  const left = has ? `leaves ${has.length}` : failure ?? "prints, too";
  values.textContent =
    `Read ${number}: received has ${had.length} bytes, and end is ${end}: ${rest} more. Your line ${left}.`;
  const color = isRight(step) ? "next" : "invalid";
  before.replaceChildren(
    "before ",
    element("span", "header", textOf(had.subarray(0, HEADER_LENGTH))),
    element("span", "payload", textOf(had.subarray(HEADER_LENGTH, end))),
    element("span", color, textOf(had.subarray(end))),
  );
  const indent = had.length - (has?.length || rest);
  after.replaceChildren(
    `after  ${" ".repeat(Math.max(0, indent))}`,
    element("span", color, has ? textOf(has) || "nothing" : ""),
  );
}

/** Returns one character for each byte. */
function textOf(bytes: Uint8Array): string {
  return cells(bytes).map((cell) => cell.slice(-1)).join("");
}

/** Tries the line with every read size, in a Worker of its own. */
async function tryAllSizes(isEndless = false): Promise<void> {
  trial?.end();
  const client = trial = startClient(line.value);
  const found = isEndless ? undefined : await client.try(delivery());
  const others = found && await client.try({ ...delivery(), server: "words" });
  if (trial !== client) return;
  client.end();
  results = found;
  isSolved = [found, others].every((messages) => messages?.every(isAll));
  showResults();
}

function isAll(messages: number): boolean {
  return messages === 20;
}

/** Shows how many messages the client gets with each read size. */
function showResults(): void {
  const own = size.valueAsNumber;
  seen.add(own);
  const isOpen = line.value !== ex1.line || seen.size === SIZES.length;
  bars.replaceChildren(...SIZES.map((size, i) => {
    const bar = element("i", "");
    if (size === own) bar.ariaCurrent = "true";
    if (!isOpen && !seen.has(size)) return bar;
    const number = results?.[i] ?? 0;
    bar.className = number === 20 ? "good" : "bad";
    bar.style.height = `${Math.max(4, 5 * number)}%`;
    return bar;
  }));
  find("soln-line").textContent = isSolved ? soln.line : "";
  if (results === undefined) {
    result.textContent = "The line does not come to an end.";
    return;
  }
  const full = results.filter(isAll).length;
  const number = results[own - 1];
  result.replaceChildren(
    element("b", number === 20 ? "good" : "bad", `${number} of 20 messages`),
    ` with ${count(own)} a read${isLive() ? " if all is sent at once" : ""}. `,
    !isOpen
      ? "With which sizes does it get all 20? Guess, then drag."
      : isSolved
      ? "So with every size and other texts: your client keeps its place. Put the line into streamClientEx1.ts. Then run: deno task exercise"
      : full === SIZES.length
      ? "So with every size, but not if the server sends other texts. Try it."
      : full > 0
      ? `All of them with ${full} of the 80 sizes only. Why?`
      : "",
  );
}

function isLive(): boolean {
  return server.value === "live";
}

/** Returns how the simulated server is read, which stands for a live one where all sizes are tried. */
function delivery(): Delivery {
  return {
    server: isLive() ? "fast" : server.value as Delivery["server"],
    size: size.valueAsNumber,
    pace: Number(pace.value),
  };
}

/** Starts a client that has a line. */
function startClient(line: string): Learner {
  return new Learner({ ...ex1, line }, size.valueAsNumber);
}

function element(
  name: string,
  className: string,
  ...children: (Node | string)[]
): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

function find<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Leaves the stream, and starts another. */
function startStream(trouble?: string): void {
  stream.close();
  stream = new Stream(trouble);
  setRunning(isRunning);
}

/** Starts another stream because the reader wants one. */
function restart(): void {
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
const pace = find<HTMLSelectElement>("pace");
const server = find<HTMLSelectElement>("server");
const line = find<HTMLInputElement>("line");
const size = find<HTMLInputElement>("size");
const [status, run, step] = ["status", "run", "step"].map(find);
const [before, after, values] = ["before", "after", "values"].map(find);
const [result, bars] = ["result", "bars"].map(find);

/** What the build has put into the page. */
const { ex1, soln, stream: live, address } = JSON.parse(
  find("data").textContent!,
) as { ex1: Code; soln: Code; stream?: string; address?: string };
const loop = ex1.before.slice(ex1.before.indexOf("    while (received."));
find("loop").textContent = loop.replace(/\n? *\/\/.*|^ {4}/gm, "");
line.value = ex1.line;
if (live !== undefined) {
  server.prepend(new Option(`live: ${address}`, "live", true, true));
}

/** The sizes of which the reader has seen what they do with the first line. */
const seen = new Set<number>();
let trial: Learner | undefined;
/** How many messages it gets with each size. */
let results: number[] | undefined;
let isSolved = false;
let isRunning = true;
// The page's address may have the size of a read: #78.
if (location.hash !== "") size.value = location.hash.slice(1);
let stream = new Stream();
setRunning(true);
tryAllSizes();

let typing: ReturnType<typeof setTimeout> | undefined;
line.oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(() => stream.change(), 100);
};
run.onclick = () => {
  setRunning(!isRunning);
  if (isRunning) reads.scrollIntoView({ block: "end" });
};
step.onclick = () => {
  setRunning(false);
  stream.ask();
};
find("restart").onclick = size.oninput = restart;
size.onchange = () => history.replaceState(null, "", `#${size.value}`);
onhashchange = () => location.reload();
pace.onchange = () => {
  stream.schedule();
  tryAllSizes();
};
server.onchange = () => {
  restart();
  tryAllSizes();
};
