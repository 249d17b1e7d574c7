/**
 * Tests at a pseudo-terminal, as a person uses the programs: Ctrl+C ends each of
 * them, no process is left, and no message commands the terminal.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { encodeFrame, FrameReader } from "../framing.ts";
import {
  copyScript,
  denoCommand,
  output,
  readMessages,
  reasonWithout,
  type Script,
  serveBytes,
  type StartOptions,
  startProcess,
  startServer,
  test as processTest,
  until,
} from "./testing.ts";

const CTRL_C = "\x03";
const TASK = [Deno.execPath(), "task", "-q"];
const reason = Deno.build.os === "linux"
  ? await reasonWithout("python3") ?? await reasonWithout("ps")
  : "only on Linux";

test("Ctrl+C ends a client whose loop spins for ever", async () => {
  await using server = await startServer();
  await using copy = await copyScript("streamClient01Soln.ts", {
    "bytes += size;": "while (true);",
  });
  const client = denoCommand("client", copy.file);
  const command = [...client, ...server.flags, "--verbose"];
  await using terminal = startAtTerminal(command, copy);
  await terminal.stdout.waitFor(/got: '/);
  await terminal.type(CTRL_C);
  assertEquals(await endAtTerminal(terminal), 130);
});

test("Ctrl+C ends deno task client", async () => {
  await using server = await startServer(["--count=0"]);
  const command = [...TASK, "client", ...server.flags];
  await using terminal = startAtTerminal(command);
  await terminal.stdout.waitFor(/29 {8}The time/);
  await terminal.type(CTRL_C);
  assertEquals(await endAtTerminal(terminal), 130);
  assert(!/error/i.test(terminal.stdout.text), terminal.stdout.text);
});

for (const isPressedAgain of [false, true]) {
  const name = isPressedAgain ? "A second Ctrl+C" : "Ctrl+C";
  const end = isPressedAgain ? "at once" : "after a whole frame of each stream";
  test(`${name} ends deno task server ${end}`, async () => {
    const flags = ["--port=0", "--count=0", "--interval=0", "--quiet"];
    await using terminal = startAtTerminal([...TASK, "server", ...flags]);
    const [, port] = await terminal.stdout.waitFor(/Listening on .*:(\d+)/);
    const address = { hostname: "127.0.0.1", port: Number(port) };
    using client = await Deno.connect(address);
    const frames = new FrameReader(client);
    await readMessages(frames, 1);

    // The client keeps its connection open, so the server waits for a while.
    await terminal.type(CTRL_C);
    if (isPressedAgain) {
      await until(() => "the end of the server", async () => {
        await terminal.type(CTRL_C);
        return /code: /.test(terminal.stdout.text);
      });
    } else await readMessages(frames);
    assertEquals(await endAtTerminal(terminal), isPressedAgain ? 130 : 0);
  });
}

const TASKS: [task: string, args: string[], running: RegExp][] = [
  ["demo", [], /streamClient/],
  ["web", ["--web-port=0"], /serve\.ts/],
  ["exercise", [], /Ex1\.ts/],
];
for (const [task, args, running] of TASKS) {
  test(`Ctrl+C at deno task ${task} leaves no process`, async () => {
    await using terminal = startAtTerminal([...TASK, task, ...args]);
    await until(() => `${running}`, async () => {
      return running.test((await processesAt(terminal)).join("\n"));
    });
    await terminal.type(CTRL_C);
    await endAtTerminal(terminal);
  });
}

test("messages cannot command the terminal, and headers have color unless NO_COLOR is set", async () => {
  const text = "\x1b]0;title\x07\x1b[2J\x9b1m\u202Eabc\u2028\u200B\x7f ü🌍";
  await using server = await serveBytes(encodeFrame(text));
  const command = [...denoCommand("client"), ...server.flags];
  for (const [noColor, header] of [["", "\x1b[36m38\x1b[39m"], ["1", "38"]]) {
    const env = { NO_COLOR: noColor };
    await using terminal = startAtTerminal(command, { env });
    const [line] = await terminal.stdout.waitFor(/^M:.*ü🌍/m);
    assert(line.startsWith(`M:${header} `), line);
    const rest = line.slice(`M:${header}`.length);
    assert(/^[^\p{C}\p{Zl}\p{Zp}]*abc[^\p{C}\p{Zl}\p{Zp}]*$/u.test(rest), rest);
  }
  assertEquals(await output(...command), `M:38        ${text}\n`);
});

/** Registers a test that needs a pseudo-terminal as Linux has it. */
function test(name: string, fn: () => Promise<void>): void {
  processTest(name, fn, reason);
}

/** Starts a command at a pseudo-terminal, which terminal.py describes. */
function startAtTerminal(command: string[], options?: StartOptions): Script {
  const program = fileURLToPath(import.meta.resolve("./terminal.py"));
  return startProcess(["python3", program, ...command], options);
}

/** Returns the command lines of the processes at a terminal, but its own. */
async function processesAt({ stdout }: Script): Promise<string[]> {
  const [terminal] = await stdout.waitFor(/^\/dev\/\S+/m);
  const list = await output("ps", "-o", "args=", "-t", terminal);
  return list.split("\n").filter((line) => line && !/--shell/.test(line));
}

/** Waits until a terminal's command has ended and left no process. Returns its exit code. */
async function endAtTerminal(terminal: Script): Promise<number> {
  const [, code] = await terminal.stdout.waitFor(/code: (\d+)\r\n/);
  let list: string[] = [];
  await until(() => `the end of ${list}`, async () => {
    list = await processesAt(terminal);
    return list.length === 0;
  });
  return Number(code);
}
