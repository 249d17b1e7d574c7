/**
 * Plays VS Code's debugger: starts a client with the arguments of
 * .vscode/launch.json, and speaks the protocol of Deno's inspector with it.
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
} from "./testing.ts";

const FILE = "streamClient01Soln.ts";

test("a debugger at line 13 of streamClient01Soln.ts sees each read in msg", async () => {
  await using server = await startServer(["--interval=0"]);
  const { runtimeArgs } = launch.configurations
    .find(({ name }) => name === "Client 01 Soln")!;
  const args = runtimeArgs.map((arg) => arg.replace(/:\d{4}$/, ":0"));
  await using client = startProcess(
    [Deno.execPath(), ...args, FILE, ...server.flags],
  );
  const inspector = await Inspector.attach(client);
  await inspector.setBreakpoint(13);

  assertEquals(await inspector.readAtStop("msg"), "29        The ti");
  assertMatch(await inspector.readAtStop("msg"), /^me is \d{10}$/);
  inspector.detach();
  const { code, stdout } = await client.result();
  assertMatch(stdout, /^(M:29 {8}The time is \d{10}\.\d{6}\n){20}$/);
  assertEquals(code, 0);
});

Deno.test("launch.json gives each script the permissions of its task in deno.json", () => {
  const commands = Object.values(config.tasks)
    .map(({ command }) => command.split(" && ").at(-1));
  for (
    const { runtimeArgs, program, attachSimplePort } of launch.configurations
  ) {
    const [run, inspect, ...permissions] = runtimeArgs;
    const file = program.replace("${workspaceFolder}/", "");
    const command = ["deno", run, ...permissions, file].join(" ");
    assert(commands.includes(command), command);
    // A port of its own, so that a server and a client are debugged at once.
    assertEquals(inspect, `--inspect-brk=127.0.0.1:${attachSimplePort}`);
  }
  const ports = launch.configurations.map((one) => one.attachSimplePort);
  assertEquals(new Set(ports).size, ports.length);
});

Deno.test("launch.json runs setup first, and a client when the server listens", () => {
  const [{ label, command, args }] = vscodeTasks.tasks;
  assertEquals([command, ...args].join(" "), `deno task ${label}`);
  assert(label in config.tasks);
  const names = launch.configurations.map(({ name }) => name);
  for (const one of launch.configurations) {
    assertEquals(one.preLaunchTask, label);
    if (one.serverReadyAction === undefined) continue;
    const { pattern, name } = one.serverReadyAction;
    assertMatch("Listening on 127.0.0.1:9092", RegExp(pattern));
    assert(names.includes(name), name);
  }
});

/** The debugger's side of the Chrome DevTools Protocol. */
class Inspector {
  readonly #socket: WebSocket;
  /** All that has arrived. */
  readonly #messages: Json[] = [];
  #calls = 0;
  #stops = 0;

  /** Connects to a program that waits for a debugger, and stops it before its first statement. */
  static async attach({ stderr }: Script): Promise<Inspector> {
    const [, url] = await stderr.waitFor(/^Debugger listening on (ws:\S+)/m);
    const inspector = new Inspector(url);
    await until(() => url, () => inspector.#socket.readyState === 1);
    await inspector.#call("Runtime.enable");
    await inspector.#call("Debugger.enable");
    await until(() => "a stop at the start", async () => {
      // Deno ignores this if it arrives too early.
      await inspector.#call("Runtime.runIfWaitingForDebugger");
      return inspector.#find("Debugger.paused") !== undefined;
    });
    inspector.#stops++;
    return inspector;
  }

  private constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) =>
      this.#messages.push(JSON.parse(data));
  }

  /** Sets a breakpoint at the beginning of a line of TypeScript, and runs on. */
  async setBreakpoint(line: number): Promise<void> {
    const { scriptId, sourceMapURL } =
      this.#messages.find(({ params }) => params?.url?.endsWith(FILE)).params;
    const map = new SourceMap(await (await fetch(sourceMapURL)).json());
    const { locations } = await this.#call(
      "Debugger.getPossibleBreakpoints",
      { start: { scriptId, lineNumber: 0 } },
    );
    const location = locations.find((location: Json) => {
      const origin = map.findEntry(location.lineNumber, location.columnNumber);
      return "originalLine" in origin && origin.originalLine === line - 1;
    });
    await this.#call("Debugger.setBreakpoint", { location });
  }

  /** Runs to the next stop, and reads a variable of the innermost block there. */
  async readAtStop(name: string): Promise<string> {
    await this.#call("Debugger.resume");
    const { callFrames: [frame] } = await until(
      () => "a stop",
      () => this.#find("Debugger.paused", this.#stops)?.params ?? null,
    );
    this.#stops++;
    const [{ type, object: { objectId } }] = frame.scopeChain;
    assertEquals(type, "block");
    const { result } = await this.#call("Runtime.getProperties", { objectId });
    return result.find((property: Json) => property.name === name)?.value.value;
  }

  /** Lets the program run on without a debugger. */
  detach(): void {
    this.#socket.close();
  }

  #find(method: string, index = 0): Json {
    return this.#messages.filter((one) => one.method === method)[index];
  }

  async #call(method: string, params: Json = {}): Promise<Json> {
    const id = ++this.#calls;
    this.#socket.send(JSON.stringify({ id, method, params }));
    const answer = await until(
      () => `the answer to ${method}`,
      () => this.#messages.find((one) => one.id === id) ?? null,
    );
    return answer.result;
  }
}

/** A message of the protocol, or a part of one. */
// deno-lint-ignore no-explicit-any
type Json = any;
