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

import config from "./deno.json" with { type: "json" };

/** How long anything may take, in milliseconds: a test that comes near this has failed. */
export const DEADLINE = 60_000;

/** Whether tests may start processes and reach them over loopback. */
export const canRun: boolean =
  Deno.permissions.querySync({ name: "run" }).state === "granted" &&
  Deno.permissions.querySync({ name: "net", host: "127.0.0.1" }).state ===
    "granted";

/** Whether this system has POSIX signals and a shell. */
export const isPosix: boolean = Deno.build.os !== "windows";

/** A task of deno.json that starts one script. */
export type Task = "server" | "client" | "client:ex1" | "exercise";

/** How to start a script. */
export interface StartOptions {
  /** Shell commands to run before it in its process, such as `ulimit -n 64`. */
  shell?: string;
  /** Environment variables on top of those there are. */
  env?: Record<string, string>;
}

/** Registers a test that starts processes: ignored, with the reason in its name, where it cannot. */
export function processTest(
  name: string,
  fn: (context: Deno.TestContext) => Promise<void>,
  reasonToIgnore?: string,
): void {
  const reason = canRun
    ? reasonToIgnore
    : "needs --allow-run and --allow-net=127.0.0.1";
  const suffix = reason === undefined ? "" : ` (ignored: ${reason})`;
  Deno.test({ name: name + suffix, ignore: reason !== undefined, fn });
}

/** Starts a script of this project. */
export function startScript(
  task: Task,
  args: string[] = [],
  options: StartOptions = {},
): Script {
  const [, run, ...flagsAndFile] = config.tasks[task].command.split(" ");
  return startProcess(
    [Deno.execPath(), run, "--no-prompt", ...flagsAndFile, ...args],
    options,
  );
}

/** Starts any program. */
export function startProcess(
  command: string[],
  options: StartOptions = {},
): Script {
  const [file, ...args] = options.shell === undefined
    ? command
    : ["sh", "-c", `${options.shell}; exec "$@"`, "sh", ...command];
  return new Script(
    new Deno.Command(file, {
      args,
      cwd: import.meta.dirname,
      env: { NO_COLOR: "1", ...options.env },
      stdin: "null",
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

/** Starts the server on a free port, and waits until it listens. */
export async function startServer(
  args: string[] = [],
  options: StartOptions = {},
): Promise<Server> {
  const script = startScript("server", ["--port", "0", ...args], options);
  try {
    const [, hostname, port] = await script.stderr.waitFor(
      /^Listening on \[?(.+?)\]?:(\d+)$/m,
    );
    return new Server(script, hostname, Number(port));
  } catch (error) {
    await script[Symbol.asyncDispose]();
    throw error;
  }
}

/** How a script ended, and all it said. */
export interface Result {
  code: number;
  signal: Deno.Signal | null;
  stdout: string;
  stderr: string;
}

/** A running script. Disposing of it ends it by force where it is still there. */
export class Script implements AsyncDisposable {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly #child: Deno.ChildProcess;
  #hasEnded = false;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.stdout = new Output(child.stdout);
    this.stderr = new Output(child.stderr);
    child.status.then(() => this.#hasEnded = true);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Sends a signal; nothing happens where the script has ended. */
  kill(signal: Deno.Signal): void {
    if (this.#hasEnded) return;
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended since.
      if (
        !(error instanceof TypeError || error instanceof Deno.errors.NotFound)
      ) {
        throw error;
      }
    }
  }

  /** Waits for its end. */
  async result(): Promise<Result> {
    const { code, signal } = await within(
      this.#child.status,
      () => `the end of the process; ${this.stderr.quote()}`,
    );
    await Promise.all([this.stdout.ended, this.stderr.ended]);
    const stdout = this.stdout.text;
    return { code, signal, stdout, stderr: this.stderr.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.#child.status;
    await Promise.all([this.stdout.close(), this.stderr.close()]);
  }
}

/** A running server. */
export class Server implements AsyncDisposable {
  readonly script: Script;
  readonly hostname: string;
  readonly port: number;

  constructor(script: Script, hostname: string, port: number) {
    this.script = script;
    this.hostname = hostname;
    this.port = port;
  }

  /** The address as `Deno.connect` takes it. */
  get address(): { hostname: string; port: number } {
    return { hostname: this.hostname, port: this.port };
  }

  /** The address as a client script takes it. */
  get flags(): string[] {
    return ["--hostname", this.hostname, "--port", String(this.port)];
  }

  get stdout(): Output {
    return this.script.stdout;
  }

  get stderr(): Output {
    return this.script.stderr;
  }

  /** Ends it with a signal, and waits until it has ended. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<Result> {
    this.script.kill(signal);
    return await this.script.result();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.script[Symbol.asyncDispose]();
  }
}

/** What a script writes, as it comes. */
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

/** Runs a program, and gives what it printed. */
export async function output(...command: string[]): Promise<string> {
  await using process = startProcess(command);
  return (await process.result()).stdout;
}

/** A port where nobody listens. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

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

/** Waits for a promise, but not for ever. */
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
