/**
 * Runs the scripts of this project as a user does, for their tests: as processes
 * of their own, with the flags that deno.json's tasks give them and no other
 * permission. A test waits for what a script says, never for a time to pass.
 *
 * ```ts ignore
 * await using server = await startServer(["--count", "3"]);
 * const { code, stdout } = await runScript("client", server.flags);
 * ```
 *
 * @module
 */

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import config from "../deno.json" with { type: "json" };
import { FrameDecoder } from "../framing.ts";

/** The project's folder. */
const ROOT = new URL("../", import.meta.url);

/** Deadline of every wait, in milliseconds: only what never comes takes as long, on a busy machine too. */
const DEADLINE = 300_000;

/** Whether tests may start processes, reach them over loopback, and use files. */
export const canRun: boolean = ([
  { name: "run" },
  { name: "net", host: "127.0.0.1" },
  { name: "read" },
  { name: "write" },
] as const).every((one) => Deno.permissions.querySync(one).state === "granted");

/** Whether this system has POSIX signals and a shell. */
export const isPosix: boolean = Deno.build.os !== "windows";

/** A task of deno.json that starts one script. */
export type Task =
  | "server"
  | "client"
  | "client:ex1"
  | "demo"
  | "exercise"
  | "trace"
  | "web";

/** How to start a script. */
export interface StartOptions {
  /** Shell commands to run before it in its process, such as `ulimit -n 64`. */
  shell?: string;
  /** Environment variables on top of those there are. */
  env?: Record<string, string>;
  /** The folder to run in, when it is not the project's. */
  cwd?: string;
  /** Arguments for Deno, in front of the script's file. */
  denoArgs?: string[];
  /** The script's file, when it is not the task's own. */
  file?: string;
}

/** Returns why to ignore a test that needs a program which is not installed. */
export async function reasonWithout(
  program: string,
  versionFlag: string,
): Promise<string | undefined> {
  if (!canRun) return undefined; // `test` says so.
  try {
    const command = new Deno.Command(program, { args: [versionFlag] });
    if ((await command.output()).success) return undefined;
  } catch {
    // There is no such program.
  }
  return `${program} is not installed`;
}

/** Returns why to ignore a test of a process that needs this many open files. */
export async function reasonWithoutFiles(
  files: number,
): Promise<string | undefined> {
  if (!canRun) return undefined; // `test` says so.
  if (!isPosix) return "not on Windows";
  await using shell = startProcess(["true"], { shell: `ulimit -n ${files}` });
  const { code } = await shell.result();
  return code === 0 ? undefined : "this system allows too few open files";
}

/** Registers a test that starts processes. If it cannot run, it is ignored, with the reason in its name. */
export function test(
  name: string,
  fn: (context: Deno.TestContext) => Promise<void>,
  reasonToIgnore?: string,
): void {
  const reason = canRun
    ? reasonToIgnore
    : "needs --allow-run, --allow-net=127.0.0.1, --allow-read, --allow-write";
  const suffix = reason === undefined ? "" : ` (ignored: ${reason})`;
  Deno.test({ name: name + suffix, ignore: reason !== undefined, fn });
}

/** Registers a test that needs POSIX signals or a shell. */
test.onPosix = (name: string, fn: () => Promise<void>): void =>
  test(name, fn, isPosix ? undefined : "not on Windows");

/** Registers a test that needs /proc or /dev/full. */
test.onLinux = (name: string, fn: () => Promise<void>): void =>
  test(name, fn, tellsHoldings ? undefined : "only on Linux");

/** Starts a script of this project. */
export function startScript(
  task: Task,
  args: string[] = [],
  options: StartOptions = {},
): Script {
  return startProcess([...denoCommand(task, options), ...args], options);
}

/** Returns the command of a task in deno.json, word by word. */
export function denoCommand(task: Task, options: StartOptions = {}): string[] {
  const [, command] = config.tasks[task].command.split(" && deno run ");
  const words = command.split(" ");
  const file = options.file ?? words.at(-1)!;
  return [
    Deno.execPath(),
    "run",
    ...words.slice(0, -1),
    ...options.denoArgs ?? [],
    file,
  ];
}

/** Starts any program. */
export function startProcess(
  command: string[],
  options: StartOptions = {},
): Script {
  const [file, ...args] = options.shell === undefined
    ? command
    : ["sh", "-c", `${options.shell} && exec "$@"`, "sh", ...command];
  return new Script(
    new Deno.Command(file, {
      args,
      cwd: options.cwd ?? ROOT,
      env: { NO_COLOR: "1", ...options.env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn(),
  );
}

/** Runs a script of this project to its end. */
export async function runScript(
  task: Task,
  args: string[] = [],
  options: StartOptions = {},
): Promise<Result> {
  await using script = startScript(task, args, options);
  return await script.result();
}

/** A running server: its address as `Deno.connect` takes it, and as a client script does. */
export type Server = Script & {
  address: { hostname: string; port: number };
  flags: string[];
};

/** Starts the server on a free port, and waits until it listens. */
export async function startServer(
  args: string[] = [],
  options: StartOptions = {},
): Promise<Server> {
  const script = startScript("server", ["--port", "0", ...args], options);
  const [, port] = await script.stderr.waitFor(
    /^Listening on 127\.0\.0\.1:(\d+)$/m,
  );
  return Object.assign(script, {
    address: { hostname: "127.0.0.1", port: Number(port) },
    flags: ["--port", port],
  });
}

/** How a script ended, and all it said. */
export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** A running script. Disposing of it kills it if it still runs. */
export class Script implements AsyncDisposable {
  readonly pid: number;
  readonly stdout: Output;
  readonly stderr: Output;
  hasEnded = false;
  readonly #child: Deno.ChildProcess;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.pid = child.pid;
    this.stdout = new Output(child.stdout);
    this.stderr = new Output(child.stderr);
    child.status.then(() => this.hasEnded = true);
  }

  /** Writes to the script's stdin, or types at its terminal: `"\x03"` is Ctrl+C. */
  async type(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  /** Ends the script's stdin. */
  async closeStdin(): Promise<void> {
    await this.#child.stdin.close();
  }

  /** Sends a signal, unless the script has ended. */
  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended.
    }
  }

  /** Ends it with a signal, and waits until it has ended. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<Result> {
    this.kill(signal);
    return await this.result();
  }

  /** Waits for its end. */
  async result(): Promise<Result> {
    const { code } = await within(
      this.#child.status,
      () => `the end of the process; ${this.stderr.quote()}`,
    );
    await Promise.all([this.stdout.ended, this.stderr.ended]);
    return { code, stdout: this.stdout.text, stderr: this.stderr.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.#child.status;
    await this.closeStdin().catch(() => {});
    await Promise.all([this.stdout.close(), this.stderr.close()]);
  }
}

/** What a script writes, as it arrives. */
export class Output {
  /** All so far. */
  text = "";
  /** Settles when the script writes no more. */
  readonly ended: Promise<void>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #hasEnded = false;
  #onChange = Promise.withResolvers<void>();

  constructor(bytes: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = bytes.pipeThrough(new TextDecoderStream()).getReader();
    this.ended = this.#collect();
  }

  /** All whole lines so far. */
  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }

  /** Waits until the text matches, which it may already. */
  async waitFor(pattern: RegExp): Promise<RegExpMatchArray> {
    return await within(
      this.#find(pattern),
      () => `${pattern} ${this.quote()}`,
    );
  }

  /** The text, for the message of an error. */
  quote(): string {
    return `in ${JSON.stringify(this.text.slice(-2000))}`;
  }

  /** Reads no more. */
  async close(): Promise<void> {
    await this.#reader.cancel();
    await this.ended;
  }

  async #find(pattern: RegExp): Promise<RegExpMatchArray> {
    while (true) {
      const found = this.text.match(pattern);
      if (found !== null) return found;
      if (this.#hasEnded) throw new Error(`No ${pattern} ${this.quote()}`);
      await this.#onChange.promise;
    }
  }

  async #collect(): Promise<void> {
    while (true) {
      const { value, done } = await this.#reader.read();
      this.text += value ?? "";
      this.#hasEnded = done;
      this.#onChange.resolve();
      this.#onChange = Promise.withResolvers();
      if (done) return;
    }
  }
}

/** What a process holds, as Linux's /proc tells. */
export interface Holdings {
  /** Memory, in bytes. */
  memory: number;
  /** Open files and sockets. */
  files: number;
}

/** Whether this system tells what a process holds. */
export const tellsHoldings: boolean = Deno.build.os === "linux";

/** What a process holds now. */
export async function holdings({ pid }: Script): Promise<Holdings> {
  // By programs, as Deno itself reads /proc with --allow-all only.
  const [status, files] = await Promise.all([
    output("cat", `/proc/${pid}/status`),
    output("ls", `/proc/${pid}/fd`),
  ]);
  const kilobytes = status.match(/^VmRSS:\s+(\d+) kB$/m)?.[1];
  return {
    memory: Number(kilobytes) * 1024,
    files: files.split("\n").length - 1,
  };
}

/** Runs a program. Returns what it printed. */
export async function output(...command: string[]): Promise<string> {
  await using process = startProcess(command);
  return (await process.result()).stdout;
}

/** Connects many clients at once to a port on loopback. Disposing of them closes them. */
export async function connectMany(
  port: number,
  size: number,
): Promise<Deno.TcpConn[] & Disposable> {
  const clients = await within(
    Promise.all(Array.from(
      { length: size },
      () => Deno.connect({ hostname: "127.0.0.1", port }),
    )),
    () => `${size} connections`,
  );
  return Object.assign(clients, {
    [Symbol.dispose]() {
      for (const client of clients) client[Symbol.dispose]();
    },
  });
}

/** Writes all of some bytes. */
export async function writeAll(
  connection: Deno.Conn,
  bytes: Uint8Array,
): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await within(
      connection.write(bytes.subarray(written)),
      () => "room to write",
    );
  }
}

/** Returns a port on loopback at which nothing listens. */
export function freePort(): number {
  // Not one of those that systems give to whoever asks for any, as programs do
  // before the test uses it.
  const port = 10_000 + Math.floor(Math.random() * 22_000);
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return port;
  } catch {
    return freePort(); // That one is taken.
  }
}

/** Serves every client the same bytes. Then it ends the stream, stalls or resets the connection. */
export async function serveBytes(
  bytes: Uint8Array | string,
  ending: "end" | "stall" | "reset" = "end",
) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {}); // A client may leave at any time.
    socket.resume();
    socket.write(bytes);
    if (ending === "end") socket.end();
    if (ending === "reset") socket.resetAndDestroy();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    flags: ["--port", String(port)],
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await within(once(server.close(), "close"), () => "the server's end");
    },
  };
}

/**
 * Reads the server's messages to the end of their stream, `chunk` bytes at a
 * time. Throws unless all are messages of the activity, complete and in order.
 */
export async function readMessages(
  connection: Deno.Conn,
  chunk = 65_536,
): Promise<string[]> {
  const decoder = new FrameDecoder();
  const buffer = new Uint8Array(chunk);
  const messages: string[] = [];
  while (true) {
    const size = await within(
      connection.read(buffer),
      () => `message ${messages.length + 1}`,
    );
    if (size === null) break;
    for (const payload of decoder.push(buffer.subarray(0, size))) {
      const message = utf8.decode(payload);
      const isInOrder = messages.length === 0 || message >= messages.at(-1)!;
      if (!isInOrder || !/^The time is \d{10}\.\d{6}$/.test(message)) {
        throw new Error(`${message} after ${messages.at(-1)}`);
      }
      messages.push(message);
    }
  }
  decoder.end();
  return messages;
}

/** Copies 01Soln with some of its text replaced. */
export function copyClient(edits: Record<string, string>) {
  return copyScript("streamClient01Soln.ts", edits);
}

/** Copies a script with some of its text replaced, and framing.ts, into a folder that is removed when the copy is disposed of. */
export async function copyScript(
  name: string,
  edits: Record<string, string> = {},
) {
  let source = await Deno.readTextFile(new URL(name, ROOT));
  for (const [text, by] of Object.entries(edits)) {
    if (!source.includes(text)) throw new Error(`${name} has no ${text}`);
    source = source.replace(text, by);
  }
  const folder = await Deno.makeTempDir({ prefix: "a learner's folder " });
  await Deno.copyFile(new URL("framing.ts", ROOT), `${folder}/framing.ts`);
  await Deno.writeTextFile(`${folder}/${name}`, source);
  return {
    /** With these, `startScript` runs the copy. */
    options: {
      file: `${folder}/${name}`,
      denoArgs: ["--config", `${import.meta.dirname}/../deno.json`],
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** What turns 01Soln into exercise 1, whatever streamClientEx1.ts holds by now. */
export const EXERCISE: Record<string, string> = {
  "received = received.subarray(end);": "received = new Uint8Array();",
  "`M:": "`Message:",
};

/** Runs a function for several values, four at a time, as it mostly waits for processes. */
export async function inParallel<T>(
  values: Iterable<T>,
  act: (value: T) => Promise<void>,
): Promise<void> {
  const rest = Iterator.from(values);
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (const value of rest) await act(value);
  }));
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Waits until a condition holds that nothing announces. */
export async function until(
  what: () => string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const start = performance.now();
  while (!await condition()) {
    if (performance.now() - start > DEADLINE) {
      throw new Error(`Waited in vain for ${what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits for a promise, up to the deadline. */
export async function within<T>(
  promise: Promise<T>,
  what: () => string,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`Waited in vain for ${what()}`)),
    DEADLINE,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
