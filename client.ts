/**
 * What both clients of the activity have around their reading loops: flags,
 * printing, `--trace`, and errors that say what to do. The loops themselves, in
 * which the lesson is, stand in streamClientEx1.ts and streamClient01Soln.ts.
 *
 * @module
 */

import { cyan, setColorEnabled } from "@std/fmt/colors";
import {
  fail,
  formatAddress,
  hostnameFlag,
  integer,
  parseCommandLine,
  portFlag,
  printOrEnd,
  seconds,
  toggle,
} from "./command_line.ts";
import {
  decodeHeader,
  FrameDecoder,
  FramingError,
  HEADER_LENGTH,
} from "./framing.ts";
import { drawLoss, drawRead, invalidUtf8 } from "./trace.ts";

/** What one client script says of itself. */
export interface ClientScript {
  /** The script's file. */
  file: string;
  /** How it is started. */
  command: string;
  /** What it does, in a sentence. */
  about: string;
  /** What it prints in front of every message. */
  label: string;
  /** The line where the exercise is, in a script that holds one. */
  exerciseLine?: number;
}

/**
 * Runs a client, from its command line to its exit code: 0 where the stream
 * ended after a whole message, 1 for an error, 130 for Ctrl+C.
 *
 * @param script What the client says of itself.
 * @param receive Its reading loop. It connects, reads to the end of the stream,
 * and hands what it reads to the {@linkcode Client}.
 */
export async function runClient(
  script: ClientScript,
  receive: (client: Client) => Promise<void>,
): Promise<void> {
  const client = new Client(script);
  Deno.addSignalListener("SIGINT", () => client.interrupt());
  setInterval(() => client.sayWhenSilent(), SILENCE);
  try {
    await receiveWhenThere(client, receive);
  } catch (error) {
    if (client.isMistake(error)) throw error; // Deno shows where it is.
    client.fail(client.explain(error));
  }
  client.summarize();
  Deno.exit();
}

/** Waits for the server as long as `--wait` says. */
async function receiveWhenThere(
  client: Client,
  receive: (client: Client) => Promise<void>,
): Promise<void> {
  const deadline = performance.now() + client.patience;
  for (let tries = 1;; tries++) {
    try {
      return await receive(client);
    } catch (error) {
      const isEarly = error instanceof Deno.errors.ConnectionRefused;
      if (!isEarly || performance.now() >= deadline) throw error;
      if (tries === 1) {
        console.error(
          `Waiting for a server on ${formatAddress(client.address)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** After how long without a byte a client says that it waits, in milliseconds. */
const SILENCE = 5000;

/** The flags of a client, and what it does with the bytes that its loop brings. */
export class Client {
  /** The server's address, as `Deno.connect` takes it. */
  readonly address: { hostname: string; port: number };
  /** How many bytes to ask for per read (`--chunk`). */
  readonly chunkSize: number;
  /** How long to wait for a server that is not there, in milliseconds (`--wait`). */
  readonly patience: number;
  readonly #script: ClientScript;
  readonly #traces: boolean;
  readonly #quiet: boolean;
  readonly #start = performance.now();
  #reads = 0;
  /** Bytes read so far, and at the last look of `sayWhenSilent`. */
  #size = 0;
  #sizeSeen = 0;
  #isSilent = false;
  /** Where `append` puts what is read. */
  #memory: Uint8Array<ArrayBuffer> = new Uint8Array();
  /** What the loop holds, and how many bytes of that it has printed. */
  #received: Uint8Array = new Uint8Array();
  #printed = 0;
  /** How many bytes it has thrown away. */
  #lost = 0;
  #messages = 0;
  /** Messages to be written, so that all that one read completes takes one write. */
  #waiting: Uint8Array[] = [];

  /**
   * Reads the command line.
   *
   * @param script What the client says of itself.
   */
  constructor(script: ClientScript) {
    const flags = parseCommandLine(script, {
      hostname: hostnameFlag("the server's address"),
      port: portFlag("the server's port", 1),
      chunk: integer({
        placeholder: "BYTES",
        about: "bytes asked for per read",
        min: 1,
        max: 2 ** 24,
        fallback: 16,
      }),
      wait: seconds({
        about: "how long to wait for a server that is not there yet",
        fallback: 0,
      }),
      trace: toggle("draw every read as it arrives, on stderr"),
      quiet: toggle("no line per message, summary only"),
    });
    this.#script = script;
    this.address = { hostname: flags.hostname, port: flags.port };
    this.chunkSize = flags.chunk;
    this.patience = flags.wait * 1000;
    this.#traces = flags.trace;
    this.#quiet = flags.quiet;
  }

  /**
   * Puts a read behind what is left of earlier ones.
   *
   * @param received What is left of earlier reads.
   * @param read What this read brought. It is copied.
   * @param msg The same as text.
   * @returns Both. What `received` had behind its end is gone.
   */
  append(
    received: Uint8Array,
    read: Uint8Array,
    msg: string,
  ): Uint8Array<ArrayBuffer> {
    this.#keep(received);
    const size = received.length + read.length;
    let start = received.byteOffset;
    if (
      received.buffer !== this.#memory.buffer ||
      start + size > this.#memory.length
    ) {
      // Room for as much again, or a long message that arrives in small reads
      // would be copied with each of them.
      this.#memory = new Uint8Array(2 * size);
      this.#memory.set(received);
      start = 0;
    }
    this.#memory.set(read, start + received.length);
    const joined = this.#memory.subarray(start, start + size);
    this.#received = joined;
    this.#size += read.length;
    this.#reads++;
    if (this.#traces) {
      setColorEnabled(paintsStderr);
      console.error(drawRead(this.#reads, joined, received.length, msg));
    }
    // That is: as soon as the loop waits for its next read.
    queueMicrotask(() => this.#flush());
    return joined;
  }

  /**
   * Prints a message.
   *
   * @param message Its frame, header and payload.
   */
  print(message: Uint8Array): void {
    const invalid = invalidUtf8(message);
    if (invalid !== undefined) {
      const offset = this.#offset();
      this.fail(
        this.#loss(message) ??
          `the message at byte ${offset} is not UTF-8 text: byte ${
            offset + invalid
          } is 0x${message[invalid].toString(16).toUpperCase()}`,
      );
    }
    this.#printed += message.length;
    this.#messages++;
    if (!this.#quiet) this.#waiting.push(message);
  }

  /**
   * Ends the stream: with an error where that is inside a message, or messages
   * are missing.
   *
   * @param received What is left of all reads.
   */
  end(received: Uint8Array): void {
    this.#keep(received);
    if (received.length > 0) this.fail(this.#explainRest(received));
    // Of a loop that prints by other means it is not known what it has lost.
    const loss = this.#messages > 0 ? this.#loss() : undefined;
    if (loss !== undefined) this.fail(loss);
  }

  /** What it means that the stream has ended and there are bytes left. */
  #explainRest(rest: Uint8Array): string {
    try {
      const frames = new FrameDecoder().push(rest).length;
      return this.#loss(rest) ??
        (frames > 0
          ? `the stream ended, and messages that had arrived whole are not printed: ${frames} from byte ${this.#offset()} on. One read may bring several`
          : `the stream ended inside the message at byte ${this.#offset()}: ${
            progress(rest)
          }. Was the server ended by force?`);
    } catch (error) {
      return this.explain(error);
    }
  }

  /** Prints what is left, and how much it was in all. */
  summarize(): void {
    this.#flush();
    const time = ((performance.now() - this.#start) / 1000).toFixed(2);
    console.error(
      `${this.#messages} messages, ${this.#size} bytes in ${time} s`,
    );
    if (this.#size === 0) {
      console.error(
        "The server ended the stream before its first message: it is being stopped, or serves as many clients as it may.",
      );
    }
  }

  /** Ends the program for Ctrl+C. */
  interrupt(): never {
    this.#flush();
    Deno.exit(130);
  }

  /** Ends the program with an error, after it has printed what arrived whole. */
  fail(message: string): never {
    this.#flush();
    fail(message);
  }

  /** Says that nothing has arrived since the last call, once until something does. */
  sayWhenSilent(): void {
    const isSilent = this.#size === this.#sizeSeen;
    if (isSilent && !this.#isSilent) {
      console.error(
        `Nothing has arrived from ${formatAddress(this.address)} for ${
          SILENCE / 1000
        } s; still waiting (Ctrl+C ends)`,
      );
    }
    this.#isSilent = isSilent;
    this.#sizeSeen = this.#size;
  }

  /** Whether an error comes from the loop's own code rather than from outside. */
  isMistake(error: unknown): boolean {
    // The system has plain errors too, but only until there is a connection.
    const isPlain = error instanceof Error && error.constructor === Error;
    return error instanceof RangeError || error instanceof ReferenceError ||
      error instanceof TypeError || (isPlain && this.#size > 0);
  }

  /** What an error that ended the reading loop means, and what to do. */
  explain(error: unknown): string {
    const { hostname, port } = this.address;
    const server = formatAddress(this.address);
    const pending = this.#received.subarray(this.#printed);
    if (error instanceof FramingError) {
      const loss = this.#loss(pending);
      if (loss !== undefined) return loss;
      const { header, length, maxFrameLength } = error.details;
      const found = header === undefined
        ? `begins a message of ${length} bytes, the limit is ${maxFrameLength}`
        : `stands ${JSON.stringify(header)}, expected ${EXPECTED}`;
      return `at byte ${this.#offset()} ${found}. Is the program on ${server} the activity's server?`;
    }
    if (error instanceof Deno.errors.ConnectionRefused) {
      const flag = port === 9092 ? "" : ` --port ${port}`;
      return `nothing listens on ${server}. Start the server first, in another terminal: deno task server${flag}`;
    }
    if (error instanceof Deno.errors.NotCapable) {
      return `Deno was not allowed to connect to ${server}. Allow it: deno run --allow-net=${server} ${this.#script.file} --hostname ${hostname} --port ${port}`;
    }
    const reason = error instanceof Error ? error.message : String(error);
    const isReset = error instanceof Deno.errors.ConnectionReset ||
      error instanceof Deno.errors.ConnectionAborted;
    if (this.#size === 0 && !isReset) {
      return `cannot reach ${server}: ${reason}. Check --hostname and --port`;
    }
    const place = pending.length === 0
      ? `after ${this.#messages} whole messages`
      : `inside the message at byte ${this.#offset()}: ${progress(pending)}`;
    return `the connection to ${server} broke ${place} (${reason})`;
  }

  /** Where what the loop has not printed yet begins in the stream. */
  #offset(): number {
    return this.#size - this.#received.length + this.#printed;
  }

  /** Takes note of what the loop keeps. What it neither printed nor keeps is lost. */
  #keep(kept: Uint8Array): void {
    const size = this.#received.length - this.#printed - kept.length;
    if (size > 0) {
      this.#lost += size;
      const lost = this.#received.subarray(this.#printed, this.#printed + size);
      if (this.#traces && this.#messages > 0) {
        setColorEnabled(paintsStderr);
        console.error(drawLoss(lost));
      }
    }
    this.#received = kept;
    this.#printed = 0;
  }

  /** The error where bytes are lost, which is behind whatever else went wrong. */
  #loss(found?: Uint8Array): string | undefined {
    if (this.#lost === 0) return undefined;
    const { file, exerciseLine } = this.#script;
    const symptom = found === undefined
      ? "messages are missing"
      : `lost its place: at byte ${this.#offset()} stands ${
        JSON.stringify(utf8.decode(found.subarray(0, HEADER_LENGTH)))
      }, expected ${EXPECTED}`;
    const cure = exerciseLine === undefined
      ? ""
      : `. To keep them is the exercise: edit ${file} at line ${exerciseLine}`;
    return `${symptom}. What came together with the end of a message was thrown away (bytes so far: ${this.#lost})${cure}`;
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    setColorEnabled(paintsStdout);
    const lines = this.#waiting.map((message) => {
      const text = utf8.decode(message);
      const header = cyan(text.slice(0, HEADER_LENGTH));
      return this.#script.label + header + text.slice(HEADER_LENGTH);
    });
    this.#waiting = [];
    printOrEnd(lines.join("\n"));
  }
}

/** What the loop has of a frame that did not arrive whole. */
function progress(frame: Uint8Array): string {
  const expected = frame.length < HEADER_LENGTH
    ? HEADER_LENGTH
    : HEADER_LENGTH + decodeHeader(frame);
  const part = frame.length < HEADER_LENGTH ? " of its header" : "";
  return `${frame.length} of ${expected} bytes${part} arrived`;
}

const EXPECTED =
  `a header: a length in digits, then spaces, ${HEADER_LENGTH} bytes in all`;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const paintsStdout = Deno.stdout.isTerminal() && !Deno.noColor;
const paintsStderr = Deno.stderr.isTerminal() && !Deno.noColor;
