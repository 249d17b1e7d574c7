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
  carryOverCode,
  cells,
  Client,
  EX1_CODE,
  type Reaction,
  visible,
} from "./clients.ts";

/** The most rows that the page keeps. */
const MAX_ROWS = 100;
/** Cells in a line. */
const LINE_LENGTH = 16;
/** How many characters of a message are shown. */
const MAX_TEXT = 200;

/** One stream, from its first byte to its last. */
class Stream {
  readonly #socket = new WebSocket(`ws://${location.host}/stream`);
  readonly #divider = new Divider();
  readonly #ex1 = new Client({ keepsRest: false });
  readonly #soln = new Client({ keepsRest: true });
  #reads = 0;
  #bytes = 0;
  #isAsked = false;
  /** When the next read is due, in milliseconds. A read that is late does not delay the others. */
  #due = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.goOn();
    this.#socket.onmessage = ({ data }) =>
      keepEndInView(() => this.#take(new Uint8Array(data)));
    this.#socket.onclose = (event) => this.#end(event);
  }

  /** Asks for the next read when it is due, unless the page is paused. */
  goOn(): void {
    if (this.#isAsked || !isRunning) return;
    clearTimeout(this.#timer);
    // The screen paces the reads: a page that is slow or hidden asks for fewer.
    this.#timer = setTimeout(
      () => requestAnimationFrame(() => isRunning && this.ask()),
      this.#due - performance.now() - 10,
    );
  }

  /** Asks for one read. */
  ask(): void {
    if (this.#isAsked || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#isAsked = true;
    const interval = 1000 / Number(pace.value);
    this.#due = Math.max(this.#due + interval, performance.now());
    this.#socket.send(`${readSize}`);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => say("No bytes for 5 s. Waiting."), 5000);
  }

  /** Leaves the stream. */
  close(): void {
    clearTimeout(this.#timer);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  /** Says how far the clients are. */
  tell(): void {
    const { OPEN } = WebSocket;
    if (this.#reads === 0 || this.#socket.readyState !== OPEN) return;
    const { failure, thrownAway } = this.#ex1;
    if (failure === undefined) {
      say("Reading.");
    } else if (isRunning) {
      say("Ex1 has lost its place. 01Soln reads on.");
    } else {
      say(
        `Ex1 threw away ${
          count(thrownAway, "byte")
        }, and has lost its place: at byte ${failure.offset} it ${failure.reason}. Paused.`,
      );
    }
  }

  /** Draws what a read brings. */
  #take(read: Uint8Array): void {
    this.#isAsked = false;
    clearTimeout(this.#timer);
    if (this.#reads === 0) reads.replaceChildren();
    this.#reads++;
    this.#bytes += read.length;
    total.textContent = `${count(this.#reads, "read")}, ${
      count(this.#bytes, "byte")
    }`;

    const runs = this.#divider.divide(read).map(toRun);
    const left = this.#ex1.read(read);
    const right = this.#soln.read(read);
    addRow(
      element("td", "number quiet", `${this.#reads}`),
      element("td", "", ...drawRead(runs)),
      drawClient("Ex1", runs, this.#ex1, left),
      drawClient("01Soln", runs, this.#soln, right),
    );
    ex1Tally.textContent = tally(this.#ex1);
    ex1Tally.classList.toggle("bad", this.#ex1.thrownAway > 0);
    solnTally.textContent = tally(this.#soln);

    const { failure } = this.#soln;
    if (failure !== undefined) {
      this.close();
      finish(
        `The stream cannot be read: at byte ${failure.offset} the client ${failure.reason}. Is another program than streamServer.ts on that port?`,
      );
      return;
    }
    const hasJustFailed = left !== undefined && this.#ex1.failure !== undefined;
    setRunning(isRunning && !hasJustFailed);
    this.goOn();
  }

  /** Says why the stream has ended, and tries again if that can help. */
  #end({ code, reason }: CloseEvent): void {
    clearTimeout(this.#timer);
    if (code === 4001 || code === 1006) {
      say(
        reason ||
          "The program behind this page has ended. Start it again: deno task web. The page goes on by itself.",
      );
      this.#timer = setTimeout(startStream, 1000);
    } else if (code !== 1000) {
      finish(`The connection broke: ${reason}`);
    } else if (this.#soln.has > 0) {
      finish(
        `The stream has ended inside a message, after ${
          count(this.#soln.has, "byte")
        } of it.`,
      );
    } else {
      const { messages, thrownAway } = this.#ex1;
      const why = thrownAway === 0
        ? " No read brought bytes after a message, so Ex1 threw none away."
        : "";
      finish(
        `The stream has ended. Ex1 has ${
          count(messages, "message")
        }, 01Soln has ${this.#soln.messages}.${why}`,
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
function toRun(piece: Piece, index: number): Run {
  const { part, bytes, arrived, total, payloadLength } = piece;
  if (part === "invalid") {
    return { kind: part, bytes, name: "not a header", detail: "" };
  }
  const isNext = part === "header" && index > 0;
  return {
    kind: isNext ? "next" : part,
    bytes,
    name: isNext ? "next header" : part,
    detail: payloadLength === undefined
      ? `, ${arrived} of ${total}`
      : `: ${payloadLength} bytes follow`,
  };
}

/** Draws the bytes of a read, 16 in a line, and below them what they are. */
function drawRead(runs: Run[]): HTMLElement[] {
  const lines: HTMLElement[] = [];
  let room = 0;
  for (const run of runs) {
    const label = element(
      "span",
      "label",
      element("span", "", run.name),
      element("span", "", run.detail),
    );
    label.ariaHidden = "true";
    let longest = 0;
    for (let rest = run.bytes; rest.length > 0;) {
      if (room === 0) {
        lines.push(element("div", "line"));
        room = LINE_LENGTH;
      }
      const bytes = rest.subarray(0, room);
      const part = element("span", "", drawCells(run, bytes));
      lines.at(-1)!.append(part);
      // A run that goes on in the next line has its label where there is most room.
      if (bytes.length > longest) part.append(label);
      longest = Math.max(longest, bytes.length);
      room -= bytes.length;
      rest = rest.subarray(bytes.length);
    }
  }
  return lines;
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
  client: Client,
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
  { keepsRest, thrownAway, has, failure }: Client,
  { messages, rest, of }: Reaction,
): HTMLElement[] {
  const drawn = messages.map((text) =>
    element("p", "message", clip(visible(text)))
  );
  if (failure !== undefined) {
    const what = thrownAway > 0 ? "has lost its place" : "cannot go on";
    const { offset, reason } = failure;
    const text = `✗ ${what}: at byte ${offset} it ${reason}`;
    drawn.push(element("p", "failure", text));
  } else if (messages.length === 0) {
    const max = of ?? HEADER_LENGTH;
    const unit = of === undefined ? "header bytes" : "bytes";
    const bar = element("progress", "");
    Object.assign(bar, { value: has, max, ariaHidden: "true" });
    drawn.push(element("p", "quiet", bar, `has ${has} of ${max} ${unit}`));
  } else if (rest === 0) {
    drawn.push(element("p", "quiet", "no bytes after the message"));
  } else {
    drawn.push(element(
      "p",
      keepsRest ? "rest" : "rest lost",
      `${keepsRest ? "keeps" : "throws away"} ${count(rest, "byte")}`,
      element("span", "bytes", ...drawLast(runs, rest)),
    ));
  }
  return drawn;
}

/** Draws the last bytes of a read, in the colors that they have there. */
function drawLast(runs: Run[], length: number): HTMLElement[] {
  const drawn: HTMLElement[] = [];
  for (const run of runs.toReversed()) {
    if (length === 0) break;
    const bytes = run.bytes.subarray(-length);
    length -= bytes.length;
    drawn.unshift(drawCells(run, bytes));
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
function tally({ messages, thrownAway, failure }: Client): string {
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
function startStream(): void {
  stream.close();
  for (const button of [run, step]) button.ariaDisabled = "false";
  stream = new Stream();
}

/** Pauses or goes on. */
function setRunning(value: boolean): void {
  isRunning = value;
  run.textContent = value ? "Pause" : "Go on";
  stream.tell();
}

/** Shows the lines of code in which the scripts differ. */
async function showCode(): Promise<void> {
  const [ex1Code, solnCode] = await Promise.all(
    ["streamClientEx1.ts", "streamClient01Soln.ts"].map(async (file) => {
      const response = await fetch(`/${file}`);
      return carryOverCode(await response.text());
    }),
  );
  find("ex1-code").textContent = EX1_CODE;
  find("soln-code").textContent = solnCode ?? "";
  if (ex1Code === EX1_CODE) return;
  const own = ex1Code === ""
    ? "no line here now."
    : ex1Code === undefined
    ? "other code now."
    : `another line now: ${ex1Code}`;
  find("ex1-note").textContent =
    `Your streamClientEx1.ts has ${own} This column still shows what the line above does.`;
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
const total = find("total");
const status = find("status");
const run = find<HTMLButtonElement>("run");
const step = find<HTMLButtonElement>("step");
const size = find<HTMLInputElement>("size");
const pace = find<HTMLSelectElement>("pace");

/** The bytes per read that were last valid, as the field may be empty while someone types. */
let readSize = size.valueAsNumber;
let isRunning = true;
let stream = new Stream();

run.onclick = () => {
  if (run.ariaDisabled === "true") return;
  setRunning(!isRunning);
  stream.goOn();
};
step.onclick = () => {
  if (step.ariaDisabled === "true") return;
  setRunning(false);
  stream.ask();
};
find("restart").onclick = () => {
  reads.replaceChildren();
  for (const text of [total, ex1Tally, solnTally]) text.textContent = "";
  setRunning(true);
  say("Connecting to the server.");
  startStream();
};
size.oninput = () => {
  if (size.validity.valid) readSize = size.valueAsNumber;
};
size.onchange = () => {
  const wanted = Math.trunc(size.valueAsNumber) || readSize;
  readSize = Math.min(Math.max(wanted, Number(size.min)), Number(size.max));
  size.value = `${readSize}`;
};
pace.onchange = () => stream.goOn();

await showCode();
