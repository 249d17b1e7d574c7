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
import {
  type Script,
  startProcess,
  startServer,
  test,
  until,
  within,
} from "./testing.ts";

/** What this test uses of a configuration in launch.json. */
interface Configuration {
  name: string;
  runtimeArgs: string[];
  attachSimplePort: number;
  program: string;
  preLaunchTask: string;
}

const configurations: Configuration[] = launch.configurations;

test("A debugger at line 13 of streamClient01Soln.ts sees each read in msg", async () => {
  await using server = await startServer(["--interval", "0"]);
  await using client = startConfiguration("Client 01 Soln", server.flags);
  using debug = await Debugger.attach(client);
  const breakpoint = await debug.setBreakpoint("streamClient01Soln.ts", 13);

  await debug.resume();
  assertEquals(await debug.readLocal("msg"), "29        The ti");
  await debug.resume();
  assertMatch(String(await debug.readLocal("msg")), /^me is \d{10}$/);

  await debug.removeBreakpoint(breakpoint);
  await debug.resume();
  const { code, stdout } = await client.result();
  assertEquals(code, 0);
  assertMatch(stdout, /^(M:29 {8}The time is \d{10}\.\d{6}\n){20}$/);
});

// Not the client of the exercise, which a learner may be changing.
for (const { name, program } of configurations.filter(isNotExercise)) {
  test(`F5 starts ${name}`, async () => {
    if (program.endsWith("/streamServer.ts")) {
      await using server = startConfiguration(name, ["--port", "0"]);
      using debug = await Debugger.attach(server);
      await debug.resume();
      await server.stderr.waitFor(/^Listening on /m);
    } else {
      await using server = await startServer(["--count", "3"]);
      await using client = startConfiguration(name, server.flags);
      using debug = await Debugger.attach(client);
      await debug.resume();
      const { code, stdout } = await client.result();
      assertEquals(code, 0);
      assertMatch(stdout, /^(.+:29 {8}The time is .+\n){3}$/);
    }
  });
}

Deno.test("launch.json gives each script the permissions of its task in deno.json", () => {
  const commands = Object.values(config.tasks).map(({ command }) => command);
  for (const { runtimeArgs, program } of configurations) {
    const [run, _inspect, ...permissions] = runtimeArgs;
    const file = program.replace("${workspaceFolder}/", "");
    const command = ["deno", run, ...permissions, file].join(" ");
    assert(commands.includes(command), command);
  }
});

Deno.test("launch.json gives each configuration an inspector port of its own", () => {
  const ports = configurations.map(({ attachSimplePort }) => attachSimplePort);
  assertEquals(new Set(ports).size, configurations.length);
  for (const { runtimeArgs, attachSimplePort } of configurations) {
    assertEquals(runtimeArgs[1], `--inspect-brk=127.0.0.1:${attachSimplePort}`);
  }
});

Deno.test("launch.json starts the client when the server says that it listens", () => {
  const [{ name, pattern }] = launch.configurations.flatMap(
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

function isNotExercise({ program }: Configuration): boolean {
  return !program.endsWith("/streamClientEx1.ts");
}

/** Starts a script as VS Code does, but for the port of the inspector, and with more flags. */
function startConfiguration(name: string, flags: string[]): Script {
  const configuration = configurations.find((one) => one.name === name);
  assert(configuration !== undefined, name);
  const { runtimeArgs, attachSimplePort, program } = configuration;
  return startProcess([
    Deno.execPath(),
    ...runtimeArgs.map((arg) =>
      arg.replace(/(?<=^--inspect.*:)\d+$/, (port) => {
        assertEquals(port, String(attachSimplePort));
        return "0";
      })
    ),
    program.replace("${workspaceFolder}", "."),
    ...flags,
  ]);
}

/** The debugger's side of the Chrome DevTools Protocol. */
class Debugger implements Disposable {
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
  async setBreakpoint(file: string, line: number): Promise<string> {
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
    return (await this.#request("Debugger.setBreakpoint", { location }))
      .breakpointId;
  }

  async removeBreakpoint(breakpointId: string): Promise<void> {
    await this.#request("Debugger.removeBreakpoint", { breakpointId });
  }

  async resume(): Promise<void> {
    this.#pause = Promise.withResolvers();
    await this.#request("Debugger.resume");
  }

  /** Waits for the next stop, and reads a variable of the innermost block there. */
  async readLocal(name: string): Promise<unknown> {
    const { callFrames: [frame] } = await this.#paused();
    const [scope] = frame.scopeChain;
    assertEquals(scope.type, "block");
    const { result } = await this.#request("Runtime.getProperties", {
      objectId: scope.object.objectId,
    });
    return result.find((property: Json) => property.name === name)?.value.value;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #paused(): Promise<Json> {
    return within(this.#pause.promise, () => "a stop");
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
    // The program has ended, and stays for as long as its debugger does.
    if (method === "Runtime.executionContextDestroyed") this.#socket.close();
  }
}

/** A message of the protocol, or a part of one. */
// deno-lint-ignore no-explicit-any
type Json = any;
