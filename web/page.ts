/**
 * The live page: asks for one read after the other, and draws what it brings
 * and what each of the two clients does with it.
 *
 * @module
 */

/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import { HEADER_LENGTH } from "../framing.ts";
import { Divider, type Piece } from "../lesson/reading.ts";
import {
  cells,
  type Code,
  type Reaction,
  type State,
  visible,
} from "./clients.ts";
import { Learner, type Results } from "./learner.ts";
import { type Delivery, SimulatedSocket, SIZES } from "./simulation.ts";

/** The most rows that the page keeps. */
const MAX_ROWS = 100;
/** How many characters of a message are shown. */
const MAX_TEXT = 200;
/** The most reads that are shown at once when something has been changed. */
const MAX_FAST = 60;

/** How a stream has ended. */
type Ended = Pick<CloseEvent, "code" | "reason">;

/** One stream, from its first byte to its last. */
class Stream {
  readonly #socket = openStream();
  readonly #divider = new Divider();
  #ex1 = new Learner(ex1);
  readonly #soln = new Learner(soln);
  /** What the reads have brought, for a client that begins again. */
  readonly #reads: { read: Uint8Array; runs: Run[] }[] = [];
  #bytes = 0;
  #isAsked = false;
  /** Whether the reads are shown as fast as they come. */
  #isFast: boolean;
  /** When the last read was asked for, in milliseconds. */
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(isFast = false) {
    this.#isFast = isFast && !isLive();
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => {
      this.tell();
      this.goOn();
    };
    this.#socket.onmessage = ({ data }: { data: ArrayBuffer }) =>
      this.#take(new Uint8Array(data));
    this.#socket.onclose = (event: Ended) => this.#end(event);
    this.#tryAll();
  }

  /** Asks for the next read when it is due, unless the page is paused. */
  goOn(): void {
    if (this.#isAsked || !isRunning) return;
    clearTimeout(this.#timer);
    if (this.#isFast && this.#reads.length < MAX_FAST) return this.ask();
    if (this.#isFast) {
      this.#isFast = false;
      setRunning(false);
      return;
    }
    // The screen paces the reads: a page that is slow or hidden asks for fewer.
    this.#timer = setTimeout(
      () => requestAnimationFrame(() => isRunning && this.ask()),
      this.#asked + 1000 / Number(pace.value) - performance.now() - 10,
    );
  }

  /** Asks for one read. */
  ask(): void {
    if (this.#isAsked || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#isAsked = true;
    this.#asked = performance.now();
    this.#socket.send(`${readSize}`);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => say("No bytes for 5 s. Waiting."), 5000);
  }

  /** Leaves the stream. */
  close(): void {
    clearTimeout(this.#timer);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#ex1.end();
    this.#soln.end();
  }

  /** Runs the line that has been typed on all that has been read, and then on the rest. */
  change(): void {
    this.#rerun = this.#run();
  }
  #rerun: Promise<void> | undefined;

  async #run(): Promise<void> {
    const client = new Learner(ex1);
    this.#next?.end();
    this.#next = client;
    const isReady = await client.ready;
    if (this.#next !== client) return;
    find("editor").classList.toggle("stale", !isReady);
    reads.classList.toggle("stale", !isReady);
    if (!isReady) {
      values.replaceChildren(client.state.failure!.reason);
      return;
    }
    this.#ex1.end();
    this.#ex1 = client;
    shown = undefined;
    for (const text of [values, was, now]) text.textContent = "";
    for (const [i, { read, runs }] of this.#reads.entries()) {
      const reaction = await client.read(read);
      if (this.#ex1 !== client) return;
      const row = reads.rows[reads.rows.length - this.#reads.length + i];
      const cell = drawClient("Yours", runs, client.state, reaction);
      cell.role = "cell";
      row?.cells[2].replaceWith(cell);
      showValues(i + 1, reaction, client.state);
    }
    this.#tally();
    this.#tryAll();
    this.#hasFailed = client.state.failure !== undefined;
    if (this.#hasFailed) {
      setRunning(false);
      this.#tellFailure();
      return;
    }
    if (this.#socket.readyState !== WebSocket.OPEN) {
      return this.#end({ code: 1000, reason: "" });
    }
    this.#isFast = !isLive();
    setRunning(true);
    this.goOn();
  }
  #next: Learner | undefined;

  /** Shows what the client makes of reads of every size. */
  async #tryAll(): Promise<void> {
    const client = this.#ex1;
    const found = await client.try(delivery());
    if (this.#ex1 === client) showResults(found);
  }

  #tally(): void {
    ex1Tally.textContent = tally(this.#ex1.state);
    ex1Tally.classList.toggle(
      "bad",
      this.#ex1.state.thrownAway > 0 || this.#ex1.state.failure !== undefined,
    );
    solnTally.textContent = tally(this.#soln.state);
  }

  /** Says how far the clients are. */
  tell(): void {
    const { OPEN } = WebSocket;
    if (this.#socket.readyState !== OPEN) return;
    if (this.#ex1.state.failure === undefined) {
      say(isRunning ? "Reading." : "Paused.");
    } else if (isRunning) {
      say("Your client has stopped. 01Soln reads on.");
    } else {
      this.#tellFailure();
    }
  }

  /** Says why the learner's client has stopped. */
  #tellFailure(): void {
    const { failure, thrownAway } = this.#ex1.state;
    if (failure === undefined) return;
    const { offset, reason, isMistake } = failure;
    const why = thrownAway > 0
      ? `threw away ${count(thrownAway, "byte")}, and `
      : "";
    say(
      isMistake
        ? `Your client ${reason}`
        : `Your client ${why}has lost its place: at byte ${offset} it ${reason}. Change the line.`,
    );
  }

  /** Draws what a read brings. */
  async #take(read: Uint8Array): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#reads.length === 0) reads.replaceChildren();
    this.#bytes += read.length;
    const runs = this.#divider.divide(read).map((piece) => toRun(piece));
    for (let run; run !== this.#rerun;) await (run = this.#rerun);
    const client = this.#ex1;
    const [left, right] = await Promise.all([
      client.read(read),
      this.#soln.read(read),
    ]);
    if (stream !== this) return;
    this.#reads.push({ read, runs });
    const number = this.#reads.length;
    const change = () =>
      addRow(
        element(
          "td",
          "number quiet",
          `${number}`,
          element("small", "", ` byte ${this.#bytes - read.length}`),
        ),
        element("td", "", ...drawRead(runs)),
        drawClient("Yours", runs, client.state, left),
        drawClient("01Soln", runs, this.#soln.state, right),
      );
    if (this.#isFast) change();
    else keepEndInView(change);
    this.#isAsked = false;
    if (this.#ex1 !== client) { // The line has changed meanwhile.
      this.change();
      return;
    }
    this.#tally();
    showValues(number, left, client.state);

    const { failure } = this.#soln.state;
    if (failure !== undefined) {
      this.close();
      finish(
        `The stream cannot be read: at byte ${failure.offset} the client ${failure.reason}. Is another program than streamServer.ts on that port?`,
      );
      return;
    }
    const hasJustFailed = client.state.failure !== undefined &&
      !this.#hasFailed;
    this.#hasFailed ||= hasJustFailed;
    if (hasJustFailed) this.#isFast = false;
    setRunning(isRunning && !hasJustFailed);
    this.goOn();
  }
  #hasFailed = false;

  /** Says why the stream has ended, and tries again if that can help. */
  #end({ code, reason }: Ended): void {
    clearTimeout(this.#timer);
    if (code === 4001 || code === 1006) {
      say(
        reason ||
          "The program behind this page has ended. Start it again: deno task web. The page goes on by itself.",
      );
      this.#timer = setTimeout(startStream, 1000, false);
    } else if (code !== 1000) {
      finish(`The connection broke: ${reason}`);
    } else if (this.#soln.state.has > 0) {
      finish(
        `The stream has ended inside a message, after ${
          count(this.#soln.state.has, "byte")
        } of it.`,
      );
    } else {
      const { messages, thrownAway, has, failure } = this.#ex1.state;
      const why = thrownAway === 0 && messages === this.#soln.state.messages
        ? ""
        : has > 0 && failure === undefined
        ? ` ${count(has, "byte")} are left over.`
        : "";
      finish(
        `The stream has ended. Your client has ${
          count(messages, "message")
        }, 01Soln has ${this.#soln.state.messages}.${why}`,
      );
    }
  }
}

/** Bytes of a read that belong together, and what they are. */
interface Run {
  kind: "header" | "payload" | "next" | "invalid";
  bytes: Uint8Array;
  name: string;
  detail: string;
}

/** Returns what to show of the piece of a read at an index. */
function toRun(piece: Piece): Run {
  const { part, bytes, frame, arrived, total, payloadLength } = piece;
  if (part === "invalid") {
    return { kind: part, bytes, name: "not a header", detail: "" };
  }
  return {
    kind: part === "header" && frame % 2 === 0 ? "next" : part,
    bytes,
    name: `${part} ${frame}`,
    detail: payloadLength === undefined
      ? `, ${arrived} of ${total}`
      : `: ${payloadLength} bytes follow`,
  };
}

/** Draws the bytes of a read, and below them what they are. */
function drawRead(runs: Run[]): HTMLElement[] {
  const parts = runs.map(({ kind, name, detail }) =>
    element("span", kind, name + detail)
  );
  const caption = element("p", "legend", ...parts);
  caption.ariaHidden = "true";
  return [
    element("div", "read", ...runs.map((run) => drawCells(run, run.bytes))),
    caption,
  ];
}

/** Draws bytes as cells that a screen reader reads as one thing. */
function drawCells({ kind, name, detail }: Run, bytes: Uint8Array) {
  const shown = cells(bytes);
  const drawn = element(
    "span",
    "cells",
    ...shown.map((cell) =>
      element("span", cell.length > 1 ? `${kind} hex` : kind, cell)
    ),
  );
  drawn.role = "img";
  drawn.title = drawn.ariaLabel = `${name}${detail}: ${shown.join("")}`;
  return drawn;
}

/** Draws a client's column of a row: what it does with the read, or that it has stopped. */
function drawClient(
  name: string,
  runs: Run[],
  client: State,
  reaction: Reaction | undefined,
): HTMLElement {
  const drawn = reaction === undefined
    ? [element("span", "hidden", "stopped")]
    : drawReaction(runs, client, reaction);
  return element(
    "td",
    reaction === undefined ? "client stopped" : "client",
    element("span", "who", name),
    element("div", "", ...drawn),
  );
}

/** Draws what a client does with a read. */
function drawReaction(
  runs: Run[],
  { thrownAway, has, failure }: State,
  { messages, lost, again, kept, isEnd, of, header }: Reaction,
): HTMLElement[] {
  const drawn = messages.map((text) =>
    element("p", "message", clip(visible(text)))
  );
  if (header !== undefined && messages.length === 0 && !failure?.isMistake) {
    const isBad = failure !== undefined;
    const name = isBad ? "takes for a header" : "has the header";
    const kind = isBad ? "invalid" : runs[0].kind;
    const run: Run = { kind, bytes: header, name, detail: "" };
    drawn.push(
      element("p", isBad ? "rest bad" : "rest", name, drawCells(run, header)),
    );
  }
  if (lost > 0 && messages.length > 0) {
    drawn.push(element(
      "p",
      "rest lost",
      `throws away ${count(lost, "byte")}`,
      element(
        "span",
        "bytes",
        ...drawLast(runs, isEnd ? lost + has : lost, lost),
      ),
    ));
  }
  if (failure !== undefined) {
    const what = thrownAway > 0 ? "has lost its place" : "cannot go on";
    const { offset, reason, isMistake } = failure;
    if (!isMistake && messages.length > 0 && has > 0) {
      drawn.push(
        element(
          "p",
          "rest bad",
          "takes for a header",
          drawCells(
            { kind: "invalid", bytes: kept, name: "", detail: "" },
            kept.subarray(0, HEADER_LENGTH),
          ),
        ),
      );
    }
    drawn.push(
      element(
        "p",
        "failure",
        isMistake
          ? `✗ ${reason}`
          : header === undefined && messages.length === 0
          ? `✗ ${what}: at byte ${offset} it ${reason}`
          : `✗ ${what}: at byte ${offset} is no header`,
      ),
    );
  } else if (messages.length === 0) {
    const max = of ?? HEADER_LENGTH;
    const unit = of === undefined ? "header bytes" : "bytes";
    const bar = element("progress", "");
    Object.assign(bar, { value: has, max, ariaHidden: "true" });
    drawn.push(element("p", "quiet", bar, `has ${has} of ${max} ${unit}`));
  } else if (has > 0) {
    const own = runs.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const isOld = again > 0 || !isEnd;
    drawn.push(element(
      "p",
      isOld ? "rest bad" : "rest",
      again > 0
        ? `keeps ${count(has, "byte")}, ${again} of them printed already`
        : !isEnd
        ? `has ${count(has, "byte")} that never came`
        : `keeps ${count(has, "byte")}`,
      element(
        "span",
        "bytes",
        ...(isEnd && has <= own ? drawLast(runs, has, has) : [
          drawCells(
            { kind: "invalid", bytes: kept, name: "", detail: "" },
            kept.subarray(-48),
          ),
        ]),
      ),
    ));
  } else if (lost === 0) {
    drawn.push(element("p", "quiet", "no bytes after the message"));
  }
  return drawn;
}

/** Draws bytes before the end of a read, in the colors that they have there. */
function drawLast(runs: Run[], start: number, length: number): HTMLElement[] {
  const drawn: HTMLElement[] = [];
  let skip = start - length; // the bytes after those to draw
  for (const run of runs.toReversed()) {
    const end = Math.max(0, run.bytes.length - skip);
    const bytes = run.bytes.subarray(Math.max(0, end - length), end);
    skip = Math.max(0, skip - run.bytes.length);
    length -= bytes.length;
    if (bytes.length > 0) drawn.unshift(drawCells(run, bytes));
  }
  return drawn;
}

/** Adds a row. */
function addRow(...columns: HTMLElement[]): void {
  for (const column of columns) column.role = "cell";
  const row = element("tr", "", ...columns);
  row.role = "row";
  reads.append(row);
  if (reads.rows.length > MAX_ROWS) reads.deleteRow(0);
}

/** Makes a change, and then shows the last row, unless the reader has scrolled back. */
function keepEndInView(change: () => void): void {
  const { bottom } = reads.getBoundingClientRect();
  change();
  if (bottom < innerHeight + 50) reads.scrollIntoView({ block: "end" });
}

/** Returns what a client has achieved. */
function tally({ messages, thrownAway, failure }: State): string {
  const achieved = count(messages, "message");
  if (failure !== undefined) return `${achieved}, then an error`;
  return thrownAway === 0
    ? achieved
    : `${achieved}, ${count(thrownAway, "byte")} lost`;
}

/** Returns a number of things in words. */
function count(number: number, unit: string): string {
  return `${number} ${unit}${number === 1 ? "" : "s"}`;
}

/** Returns text, without its end if it is long. */
function clip(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

/** Says in the status line what has changed. */
function say(text: string): void {
  const shown = visible(text);
  if (status.textContent !== shown) status.textContent = shown;
}

/** Ends a stream for good. */
function finish(text: string): void {
  say(text);
  for (const button of [run, step]) button.ariaDisabled = "true";
}

/** Leaves the stream, and starts another. */
function startStream(isFast = false): void {
  stream.close();
  for (const button of [run, step]) button.ariaDisabled = "false";
  stream = new Stream(isFast);
}

/** Pauses or goes on. */
function setRunning(value: boolean): void {
  isRunning = value;
  run.textContent = value ? "Pause" : "Go on";
  stream.tell();
}

/** Whether what the line does is shown: in the first read that completes a message, or that brings bytes after it. */
let shown: "first" | "rest" | undefined;

/** Shows what the line does with a message, and then with bytes after one. */
function showValues(
  number: number,
  reaction: Reaction | undefined,
  { failure }: State,
): void {
  if (shown === "rest") return;
  const step = reaction?.steps.find(({ before, end }) =>
    before.length > end || shown === undefined
  );
  if (step !== undefined) {
    const { before, end, after } = step;
    const right = before.length - end;
    const isRight = after?.length === right && isEndOf(after, before);
    values.replaceChildren(
      `read ${number}: received has `,
      element("b", "", `${before.length}`),
      " bytes, end is ",
      element("b", "", `${end}`),
      `: ${right} more. Your line leaves `,
      element("b", isRight ? "good" : "bad", `${after?.length ?? "?"}`),
    );
    drawLine(step);
    shown = step.before.length > step.end ? "rest" : "first";
  } else if (failure?.isMistake) {
    values.replaceChildren(`read ${number}: your client ${failure.reason}`);
    shown = "rest";
  }
}

/** The most bytes that are drawn above and below the line. */
const MAX_STRIP = 50;

/** Draws what the client has received, above its line as it is before, and below it as it is then. */
function drawLine(
  { before, end, after = new Uint8Array() }: Reaction["steps"][number],
): void {
  // What does not fit is left out of the payload.
  const skipped = Math.min(
    Math.max(0, before.length - MAX_STRIP),
    end - HEADER_LENGTH,
  );
  const rest = before.subarray(end);
  const isSame = isEndOf(after, before);
  const isRight = isSame && after.length === rest.length;
  const isGone = isSame && after.length < rest.length;
  const gone = isGone ? rest.length - after.length : 0;
  was.replaceChildren(
    element("small", "", "before "),
    element("span", "header", strip(before.subarray(0, HEADER_LENGTH))),
    element(
      "span",
      "payload",
      strip(before.subarray(HEADER_LENGTH + skipped, end)),
    ),
    element("span", "invalid", strip(rest.subarray(0, gone))),
    element("span", "next", strip(rest.subarray(gone))),
  );
  const width = before.length - skipped;
  const indent = isSame && after.length > 0
    ? width - after.length
    : width - rest.length;
  const kept = after.length > 0 ? strip(after) : "nothing";
  now.replaceChildren(
    element("small", "", "after  "),
    indent > 0 ? " ".repeat(indent) : "",
    element(
      "span",
      isRight ? "next" : "invalid",
      indent < 0 ? kept.slice(-width) : kept,
    ),
  );
}

/** Returns one character for each byte. */
function strip(bytes: Uint8Array): string {
  return cells(bytes).map((cell) => cell.length > 1 ? "▫" : cell).join("");
}

/** Returns whether bytes are the last ones of others. */
function isEndOf(bytes: Uint8Array, others: Uint8Array): boolean {
  const start = others.length - bytes.length;
  return bytes.every((byte, i) => byte === others[start + i]);
}

/** The numbers of bytes per read of which the reader has seen the result with the first line. */
const tried = new Set<number>();

/** Shows how many messages the client gets with each number of bytes per read. */
function showResults({ results, fails }: Partial<Results> = {}): void {
  const full = SIZES.filter((size) => results?.[size - 1] === 20);
  tried.add(readSize);
  const isOpen = line.value !== firstLine || tried.size === SIZES.length;
  bars.replaceChildren(...SIZES.map((size) => {
    const isShown = isOpen || tried.has(size);
    const number = isShown && results?.[size - 1] || 0;
    const bar = element("i", number === 20 ? "full" : isShown ? "" : "open");
    bar.style.height = isShown ? `${Math.max(4, 5 * number)}%` : "100%";
    if (size === readSize) bar.ariaCurrent = "true";
    return bar;
  }));
  const own = results?.[readSize - 1];
  const isSolved = full.length === 80 && fails === undefined;
  find("task").hidden = isSolved;
  find("editor").classList.toggle("good", isSolved);
  find("editor").classList.toggle("bad", full.length < 80);
  find("soln-code").textContent = isSolved ? soln.line : "";
  const all = !isOpen
    ? "With which sizes will it get all 20? Guess, then drag."
    : isSolved
    ? "So with every read size, and from every server: your client keeps its place. Put the line into streamClientEx1.ts."
    : full.length === 80
    ? `So with every read size here, but not from a server that ${
      server.querySelector(`[value=${fails!.server}]`)!.textContent
    }. Try it.`
    : full.length === 0
    ? "With no read size all of them."
    : `All of them with some read sizes only: ${ranges(full)}. Why?`;
  result.replaceChildren(
    element(
      "b",
      own === 20 ? "good" : "bad",
      own === undefined ? "No messages" : `${own} of 20 messages`,
    ),
    ` with ${count(readSize, "byte")} a read. `,
    element("span", "quiet", results === undefined ? "" : all),
  );
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

/** Returns how a simulated server sends, and how it is read. */
function delivery(): Delivery {
  return {
    server: isLive() ? "fast" : server.value as Delivery["server"],
    size: readSize,
    pace: Number(pace.value),
  };
}

/** Opens a stream: the live one, or one in the page itself. */
function openStream(): WebSocket | SimulatedSocket {
  return isLive() ? new WebSocket(live!) : new SimulatedSocket(delivery);
}

function isLive(): boolean {
  return server.value === "live";
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

const reads = find<HTMLTableSectionElement>("reads");
const ex1Tally = find("ex1-tally");
const solnTally = find("soln-tally");
const status = find("status");
const run = find<HTMLButtonElement>("run");
const step = find<HTMLButtonElement>("step");
const pace = find<HTMLSelectElement>("pace");

const line = find<HTMLInputElement>("line");
const values = find("values");
const was = find("was");
const now = find("is");
const result = find("result");
const bars = find("bars");
const slider = find<HTMLInputElement>("slider");
const server = find<HTMLSelectElement>("server");

const { ex1, soln, stream: live, address }: Record<"ex1" | "soln", Code> & {
  stream?: string;
  address?: string;
} = JSON.parse(find("data").textContent!);
if (live !== undefined) {
  server.prepend(new Option(`live: ${address}`, "live", true, true));
}
const at = ex1.before.lastIndexOf("\n") + 1;
find("context").textContent = ex1.before.slice(0, at).replaceAll(
  / *\/\/.*/g,
  "",
);
find("before").textContent = ex1.before.slice(at);
find("after").textContent = ex1.after;
line.value = ex1.line;
const firstLine = ex1.line;
/** The bytes per read that were last valid, as the field may be empty while someone types. */
let readSize = slider.valueAsNumber;
let isRunning = true;
let stream = new Stream();

let typing: ReturnType<typeof setTimeout> | undefined;
line.oninput = () => {
  find("editor").classList.add("changed");
  clearTimeout(typing);
  typing = setTimeout(() => {
    ex1.line = line.value;
    stream.change();
  }, 100);
};
run.onclick = () => {
  if (run.ariaDisabled === "true") return;
  setRunning(!isRunning);
  if (isRunning) reads.scrollIntoView({ block: "end" });
  stream.goOn();
};
step.onclick = () => {
  if (step.ariaDisabled === "true") return;
  setRunning(false);
  stream.ask();
};
function restart(isFast: boolean): void {
  reads.replaceChildren();
  for (const text of [ex1Tally, solnTally, values, was, now]) {
    text.textContent = "";
  }
  shown = undefined;
  isRunning = true;
  run.textContent = "Pause";
  startStream(isFast);
}
find("restart").onclick = () => restart(false);
slider.oninput = () => {
  readSize = slider.valueAsNumber;
  restart(true);
};
pace.onchange = () => server.value === "paced" ? restart(true) : stream.goOn();
server.onchange = () => restart(true);
