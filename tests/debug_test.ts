/** Plays VS Code's debugger: starts a client as .vscode/launch.json says, and speaks the inspector's protocol. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { SourceMap } from "node:module";
import launch from "../.vscode/launch.json" with { type: "json" };
import vscodeTasks from "../.vscode/tasks.json" with { type: "json" };
import {
  type Script,
  startProcess,
  startServer,
  test,
  until,
} from "./testing.ts";

const FILE = "streamClient01Soln.ts";
const { configurations } = launch;

// deno-lint-ignore no-explicit-any
type Json = any; // a message of the inspector's protocol, or a part of one

test("a debugger at line 13 of streamClient01Soln.ts sees each read in msg", async () => {
  const { runtimeArgs } = configurations
    .find(({ name }) => name === "Client 01 Soln")!;
  const args = runtimeArgs.map((arg) => arg.replace(/:\d{4}$/, ":0"));
  await using server = await startServer(["--interval=0"]);
  await using client = startProcess(
    [Deno.execPath(), ...args, FILE, ...server.flags],
  );
  const { call, stop, script, detach } = await attach(client);

  const map = new SourceMap(await (await fetch(script.sourceMapURL)).json());
  const start = { scriptId: script.scriptId, lineNumber: 0 };
  const possible = await call("Debugger.getPossibleBreakpoints", { start });
  const location = possible.locations.find((location: Json) => {
    const origin = map.findEntry(location.lineNumber, location.columnNumber);
    return "originalLine" in origin && origin.originalLine === 13 - 1;
  });
  await call("Debugger.setBreakpoint", { location });
  for (const expected of [/^29 {8}The ti$/, /^me is \d{10}$/]) {
    await call("Debugger.resume");
    const { callFrames: [{ scopeChain: [scope] }] } = await stop();
    assertEquals(scope.type, "block"); // VS Code shows it open.
    const { objectId } = scope.object;
    const { result } = await call("Runtime.getProperties", { objectId });
    const msg = result.find(({ name }: Json) => name === "msg");
    assertMatch(msg.value.value, expected);
  }

  detach();
  const { code, stdout } = await client.result();
  assertMatch(stdout, /^(M:29 {8}The time is \d{10}\.\d{6}\n){20}$/);
  assertEquals(code, 0);
});

Deno.test("launch.json starts each program on a port of its own, after setup", () => {
  const [{ label, command, args }] = vscodeTasks.tasks;
  assertEquals([command, ...args].join(" "), "deno task setup");
  const ports = configurations.map(({ preLaunchTask, runtimeArgs }) => {
    assertEquals(preLaunchTask, label);
    return Number(runtimeArgs[1].split("--inspect-brk=127.0.0.1:")[1]);
  });
  assertEquals(ports, configurations.map((one) => one.attachSimplePort));
  assertEquals(new Set(ports).size, 4);
  const [ready] = configurations.flatMap((one) => one.serverReadyAction ?? []);
  assertMatch("Listening on 127.0.0.1:9092", RegExp(ready.pattern));
  assert(configurations.some(({ name }) => name === ready.name));
});

/** Connects to a program that waits for a debugger, and stops it before its first statement. */
async function attach({ stderr }: Script) {
  const [, url] = await stderr.waitFor(/^Debugger listening on (ws:\S+)/m);
  const socket = new WebSocket(url);
  const messages: Json[] = []; // those that nobody has taken
  socket.onmessage = ({ data }) => messages.push(JSON.parse(data));
  await until(() => url, () => socket.readyState === WebSocket.OPEN);

  /** Waits for a message, and takes it. */
  function take(isIt: (message: Json) => boolean): Promise<Json> {
    return until(() => `a message with ${isIt}`, () => {
      const index = messages.findIndex(isIt);
      return index >= 0 && messages.splice(index, 1)[0];
    });
  }

  let calls = 0;
  async function call(method: string, params: Json = {}): Promise<Json> {
    const id = ++calls;
    socket.send(JSON.stringify({ id, method, params }));
    return (await take((message) => message.id === id)).result;
  }

  const isStop = ({ method }: Json) => method === "Debugger.paused";
  const stop = async () => (await take(isStop)).params;

  await call("Runtime.enable");
  await call("Debugger.enable");
  await until(() => "a stop at the start", async () => {
    // Deno ignores this if it arrives too early.
    await call("Runtime.runIfWaitingForDebugger");
    return messages.some(isStop);
  });
  await stop();
  const isScript = ({ params }: Json) => params?.url?.endsWith(FILE);
  const { params: script } = await take(isScript);
  return { call, stop, script, detach: () => socket.close() };
}
