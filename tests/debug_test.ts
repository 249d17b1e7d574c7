/**
 * Plays VS Code's debugger: starts the scripts with the arguments of
 * .vscode/launch.json, and speaks the protocol of Deno's inspector with them.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { SourceMap } from "node:module";
import launch from "../.vscode/launch.json" with { type: "json" };
import vscodeTasks from "../.vscode/tasks.json" with { type: "json" };
import config from "../deno.json" with { type: "json" };
import { type Script, startProcess, test, until, within } from "./testing.ts";

const { configurations } = launch;

test("A debugger at line 13 of streamClient01Soln.ts sees each read in msg", async () => {
  await using server = startConfiguration("Server", "--port=0", "--interval=0");
  (await Debugger.attach(server)).detach();
  const [, port] = await server.stderr.waitFor(/^Listening on .*:(\d+)$/m);

  await using client = startConfiguration("Client 01 Soln", `--port=${port}`);
  const debug = await Debugger.attach(client);
  await debug.setBreakpoint("streamClient01Soln.ts", 13);
  await debug.resume();
  assertEquals(await debug.readLocal("msg"), "29        The ti");
  await debug.resume();
  assertMatch(String(await debug.readLocal("msg")), /^me is \d{10}$/);
  debug.detach();
  const { code, stdout } = await client.result();
  assertEquals(code, 0);
  assertMatch(stdout, /^(M:29 {8}The time is \d{10}\.\d{6}\n){20}$/);
});

Deno.test("launch.json gives each script the permissions of its task in deno.json, and an inspector port of its own", () => {
  const commands = Object.values(config.tasks).map(({ command }) => command);
  for (const { runtimeArgs, program, attachSimplePort } of configurations) {
    const [run, inspect, ...permissions] = runtimeArgs;
    const file = program.replace("${workspaceFolder}/", "");
    const command = ["deno task -q setup && deno", run, ...permissions, file]
      .join(" ");
    assert(commands.includes(command), command);
    assertEquals(inspect, `--inspect-brk=127.0.0.1:${attachSimplePort}`);
  }
  const ports = configurations.map(({ attachSimplePort }) => attachSimplePort);
  assertEquals(new Set(ports).size, configurations.length);
});

Deno.test("launch.json starts the client when the server says that it listens", () => {
  const [{ name, pattern }] = configurations.flatMap(
    ({ serverReadyAction }) => serverReadyAction ?? [],
  );
  assertMatch("Listening on 127.0.0.1:9092", new RegExp(pattern));
  assert(configurations.some((one) => one.name === name), name);
});

Deno.test("tasks.json has tasks of deno.json, and the one that F5 runs first", () => {
  for (const { label, command, args } of vscodeTasks.tasks) {
    assertEquals([command, ...args], ["deno", "task", label]);
    assert(label in config.tasks, label);
  }
  const labels = vscodeTasks.tasks.map(({ label }) => label);
  for (const { preLaunchTask } of configurations) {
    assert(labels.includes(preLaunchTask), preLaunchTask);
  }
});

/** Starts a script as VS Code does, but for the port of the inspector, and with more flags. */
function startConfiguration(name: string, ...flags: string[]): Script {
  const { runtimeArgs, attachSimplePort, program } = configurations
    .find((one) => one.name === name)!;
  return startProcess([
    Deno.execPath(),
    ...runtimeArgs.map((arg) => arg.replace(`:${attachSimplePort}`, ":0")),
    program.replace("${workspaceFolder}", "."),
    ...flags,
  ]);
}

/** The debugger's side of the Chrome DevTools Protocol. */
class Debugger {
  readonly #socket: WebSocket;
  /** Every request so far, by its id. */
  readonly #requests = new Map<number, PromiseWithResolvers<Json>>();
  /** The programs that the debuggee has loaded, by file name. */
  readonly #scripts = new Map<string, Json>();
  #pause = Promise.withResolvers<Json>();

  /** Connects to a program that waits for a debugger, and stops it before its first statement. */
  static async attach(script: Script): Promise<Debugger> {
    const [, url] = await script.stderr.waitFor(
      /^Debugger listening on (ws:\S+)/m,
    );
    const socket = new WebSocket(url);
    const opened = Promise.withResolvers<unknown>();
    socket.onopen = opened.resolve;
    await within(opened.promise, () => url);
    const debug = new Debugger(socket);
    await debug.#request("Runtime.enable");
    await debug.#request("Debugger.enable");
    // Deno ignores this if it arrives too early.
    let isPaused = false;
    debug.#pause.promise.then(() => isPaused = true);
    await until(() => "a stop at the start", async () => {
      await debug.#request("Runtime.runIfWaitingForDebugger");
      return isPaused;
    });
    return debug;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
  }

  /** Sets a breakpoint at the beginning of a line of TypeScript. */
  async setBreakpoint(file: string, line: number): Promise<void> {
    const { scriptId, sourceMapURL } = this.#scripts.get(file);
    const map = new SourceMap(await (await fetch(sourceMapURL)).json());
    const { locations } = await this.#request(
      "Debugger.getPossibleBreakpoints",
      { start: { scriptId, lineNumber: 0 } },
    );
    const location = locations.find((location: Json) => {
      const origin = map.findEntry(location.lineNumber, location.columnNumber);
      return "originalLine" in origin && origin.originalLine === line - 1;
    });
    assert(location !== undefined, `${file} does nothing at line ${line}`);
    await this.#request("Debugger.setBreakpoint", { location });
  }

  async resume(): Promise<void> {
    this.#pause = Promise.withResolvers();
    await this.#request("Debugger.resume");
  }

  /** Waits for the next stop, and reads a variable of the innermost block there. */
  async readLocal(name: string): Promise<unknown> {
    const { callFrames: [frame] } = await within(
      this.#pause.promise,
      () => "a stop",
    );
    const [scope] = frame.scopeChain;
    assertEquals(scope.type, "block");
    const { result } = await this.#request("Runtime.getProperties", {
      objectId: scope.object.objectId,
    });
    return result.find((property: Json) => property.name === name)?.value.value;
  }

  /** Lets the program run on without a debugger. */
  detach(): void {
    this.#socket.close();
  }

  #request(method: string, params: Json = {}): Promise<Json> {
    const id = this.#requests.size + 1;
    const request = Promise.withResolvers<Json>();
    this.#requests.set(id, request);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return within(request.promise, () => `the answer to ${method}`);
  }

  #receive({ id, result, error, method, params }: Json): void {
    if (error === undefined) this.#requests.get(id)?.resolve(result);
    else this.#requests.get(id)?.reject(new Error(error.message));
    if (method === "Debugger.scriptParsed") {
      this.#scripts.set(params.url.split("/").at(-1), params);
    }
    if (method === "Debugger.paused") this.#pause.resolve(params);
  }
}

/** A message of the protocol, or a part of one. */
// deno-lint-ignore no-explicit-any
type Json = any;
