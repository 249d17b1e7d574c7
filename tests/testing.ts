/** Runs programs as a user does, the scripts with the permissions of their tasks. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DEADLINE = 30_000; // of every wait, in milliseconds

/** Whether tests may start processes. */
export const canRun: boolean =
  Deno.permissions.querySync({ name: "run" }).state === "granted";

const { os } = Deno.build;
/** Why a test cannot run on this system, if so. */
export const notLinux = os === "linux" ? undefined : "only on Linux";
export const notPosix = os !== "windows" ? undefined : "not on Windows";

/** Registers a test that starts processes. If it cannot run, it is ignored, with the reason in its name. */
export function test(
  name: string,
  fn: (context: Deno.TestContext) => Promise<void>,
  reasonToIgnore?: string,
): void {
  const reason = canRun ? reasonToIgnore : "needs deno task test";
  const suffix = reason === undefined ? "" : ` (ignored: ${reason})`;
  Deno.test({ name: name + suffix, ignore: reason !== undefined, fn });
}

/** Returns why to ignore a test that needs a program that is not installed. */
export async function reasonWithout(program: string) {
  if (!canRun || notPosix) return notPosix; // `test` says why
  const path = await output("sh", "-c", 'command -v "$0"', program);
  return path === "" ? `${program} is not installed` : undefined;
}

export type Task = keyof typeof config.tasks;

/** How to start a process. */
export interface StartOptions {
  shell?: string; // commands that its process runs first, such as `ulimit -n 64`
  env?: Record<string, string>; // on top of this process's environment
  cwd?: string; // if it is not the project's folder
  file?: string; // the script, if it is not the task's
}

/** Returns the command of a task that runs a script, without the setup before it. */
export function denoCommand(task: Task, file?: string): string[] {
  const [, command] = config.tasks[task].command.split(" && deno run ");
  const flags = command.split(" ");
  const script = flags.pop()!;
  const run = [Deno.execPath(), "run", "--config", `${ROOT}deno.json`];
  return [...run, ...flags, file ?? script];
}

/** Starts any program. */
export function startProcess(
  command: string[],
  { shell, env, cwd = ROOT }: StartOptions = {},
): Script {
  const [file, ...args] = shell === undefined
    ? command
    : ["sh", "-c", `${shell} && exec "$@"`, "sh", ...command];
  // For Node.js, an empty FORCE_COLOR is a demand for colors.
  const { FORCE_COLOR: _, ...inherited } = Deno.env.toObject();
  return new Script(
    new Deno.Command(file, {
      args,
      cwd,
      clearEnv: true,
      env: { ...inherited, NO_COLOR: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn(),
  );
}

/** Starts a script of this project. */
export function startScript(
  task: Task,
  args: string[] = [],
  options: StartOptions = {},
): Script {
  return startProcess([...denoCommand(task, options.file), ...args], options);
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

export type Server = Awaited<ReturnType<typeof startServer>>;

/** Starts the server on a free port. Returns it with its address, and the flags for a client. */
export async function startServer(args: string[] = [], options?: StartOptions) {
  const script = startScript("server", [...args, "--port", "0"], options);
  const [, port] = await script.stderr.waitFor(/^Listening on .*:(\d+)$/m);
  const address = { hostname: "127.0.0.1", port: Number(port) };
  return Object.assign(script, { address, flags: ["--port", port] });
}

/** How a process ended, and all that it printed. */
type Result = { code: number; stdout: string; stderr: string };

/** A running process. Disposing of it kills it if it still runs. */
export class Script implements AsyncDisposable {
  readonly pid: number;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly #child: Deno.ChildProcess;
  readonly #closing = new AbortController();
  #hasEnded = false;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.pid = child.pid;
    this.stdout = new Output(child.stdout, this.#closing);
    this.stderr = new Output(child.stderr, this.#closing);
    child.status.then(() => this.#hasEnded = true);
  }

  /** Writes to its stdin, or types at its terminal: `"\x03"` is Ctrl+C. */
  async type(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  kill(signal: Deno.Signal): void {
    if (!this.#hasEnded) this.#child.kill(signal);
  }

  /** Ends it with a signal, and waits until it has ended. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<Result> {
    this.kill(signal);
    return await this.result();
  }

  async result(): Promise<Result> {
    const { stdout, stderr } = this;
    const { code } = await within(this.#child.status, () => "its end");
    await Promise.all([stdout.ended, stderr.ended]);
    return { code, stdout: stdout.text, stderr: stderr.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.#child.status;
    await this.#child.stdin.close().catch(() => {});
    this.#closing.abort();
    await Promise.all([this.stdout.ended, this.stderr.ended]);
  }
}

/** What a process prints, as it arrives. */
export class Output {
  text = "";
  readonly ended: Promise<void>;
  #hasEnded = false;

  constructor(bytes: Deno.SubprocessReadableStream, closing: AbortController) {
    const write = (text: string) => void (this.text += text);
    this.ended = bytes.pipeThrough(new TextDecoderStream())
      .pipeTo(new WritableStream({ write }), closing)
      .catch(() => {}) // It was closed.
      .finally(() => this.#hasEnded = true);
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }

  /** Waits until the text matches, which it may already. */
  async waitFor(pattern: RegExp): Promise<RegExpMatchArray> {
    const what = () => `${pattern} in ${JSON.stringify(this.text)}`;
    return await until(what, () => {
      const found = this.text.match(pattern);
      if (found !== null || !this.#hasEnded) return found;
      throw new Error(`No ${what()}`);
    });
  }
}

/** Runs a program. Returns what it printed. */
export async function output(...command: string[]): Promise<string> {
  await using process = startProcess(command);
  return (await process.result()).stdout;
}

/** Copies a script and framing.ts to a folder of their own, with parts of the script replaced. Returns how to start it. */
export async function copyScript(
  name: string,
  edits: Record<string, string> = {},
) {
  let source = await Deno.readTextFile(ROOT + name);
  for (const [text, by] of Object.entries(edits)) {
    assert(source.includes(text), `no longer in ${name}: ${text}`);
    source = source.replace(text, by);
  }
  const folder = await Deno.makeTempDir({ prefix: "a folder " });
  await Deno.copyFile(`${ROOT}framing.ts`, `${folder}/framing.ts`);
  await Deno.writeTextFile(`${folder}/${name}`, source);
  return {
    file: `${folder}/${name}`,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Asserts that a script ended with one line that begins with `error: ` and has these words in it. Returns the line. */
export function assertError(
  { code, stderr }: Result,
  expectedCode: number,
  ...words: string[]
): string {
  assertMatch(stderr, /^error: \P{C}+\n$/u);
  for (const word of words) assert(stderr.includes(word), stderr);
  assertEquals(code, expectedCode);
  return stderr.trimEnd();
}

/** Returns a port at which nothing listens. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Serves every client the same bytes. Then it ends the stream, or stalls. */
export async function serveBytes(
  bytes: Uint8Array | string,
  ending: "end" | "stall" = "end",
) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {}); // A client may leave at any time.
    socket.resume();
    socket.write(bytes);
    if (ending === "end") socket.end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    flags: ["--port", String(port)],
    reset: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), "close");
    },
  };
}

/** Waits until a function returns neither `null` nor `false`. Returns what it returns. */
export async function until<T>(
  what: () => string,
  find: () => T | null | false | Promise<T | null | false>,
): Promise<T> {
  const start = performance.now();
  while (performance.now() - start < DEADLINE) {
    const found = await find();
    if (found !== null && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Waited in vain for ${what()}`);
}

/** Waits for a promise, up to the deadline. */
export async function within<T>(
  promise: Promise<T>,
  what: () => string,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const fail = () => late.reject(new Error(`Waited in vain for ${what()}`));
  const timer = setTimeout(fail, DEADLINE);
  const first = Promise.race([promise, late.promise]);
  return await first.finally(() => clearTimeout(timer));
}
