/**
 * Tests at a pseudo-terminal, as a person uses the programs: Ctrl+C ends each of
 * them, no process is left, and no message commands the terminal.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
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
  ? await reasonWithout("script")
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

for (const times of ["once", "twice"]) {
  test(`Ctrl+C pressed ${times} ends deno task server`, async () => {
    const flags = ["--port=0", "--interval=3600"];
    await using terminal = startAtTerminal([...TASK, "server", ...flags]);
    const [, port] = await terminal.stdout.waitFor(/Listening on .*:(\d+)/);
    const address = { hostname: "127.0.0.1", port: Number(port) };
    // The server waits for a client that keeps its connection open.
    using client = await Deno.connect(address);
    const frames = new FrameReader(client);
    await readMessages(frames, 1);

    await terminal.type(CTRL_C);
    if (times === "twice") {
      await until(() => "the end of the server", async () => {
        await terminal.type(CTRL_C);
        return /code: /.test(terminal.stdout.text);
      });
    } else await readMessages(frames); // to the end, after a whole frame
    assertEquals(await endAtTerminal(terminal), times === "once" ? 0 : 130);
  });
}

const PARENTS: [task: string, args: string[], child: RegExp][] = [
  ["demo", [], /streamClient/],
  ["web", ["--web-port=0"], /serve\.ts/],
  ["exercise", [], /Ex1\.ts/],
];
for (const [task, args, child] of PARENTS) {
  test(`Ctrl+C at deno task ${task} leaves no process`, async () => {
    await using terminal = startAtTerminal([...TASK, task, ...args]);
    await until(() => `${child}`, async () => {
      return child.test((await processesAt(terminal)).join("\n"));
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
    assertEquals(line.slice(2, 2 + header.length), header);
    assertMatch(line.slice(2 + header.length), /^[^\p{C}\p{Zl}\p{Zp}]+$/u);
  }
  assertEquals(await output(...command), `M:38        ${text}\n`);
});

/** Registers a test that needs a pseudo-terminal as Linux has it. */
function test(name: string, fn: () => Promise<void>): void {
  processTest(name, fn, reason);
}

/** Starts a command at a pseudo-terminal, under a shell that prints the exit code. */
function startAtTerminal(
  command: string[],
  { env, cwd }: StartOptions = {},
): Script {
  const words = command.map((word) => `'${word}'`).join(" ");
  // The shell stays, so that the processes that the command leaves stay too.
  const shell =
    `tty; trap : INT; ${words}; echo code: $?; trap '' INT; exec sleep 3600`;
  return startProcess(["script", "-qfec", shell, "/dev/null"], {
    env: { SHELL: "/bin/sh", ...env },
    cwd,
  });
}

/** Returns the command lines of the processes at a terminal, but the shell's. */
async function processesAt({ stdout }: Script): Promise<string[]> {
  const [terminal] = await stdout.waitFor(/^\/dev\/\S+/m);
  const list = await output("ps", "-o", "args=", "-t", terminal);
  return list.split("\n").filter((line) => line && !/sleep 3600/.test(line));
}

/** Waits until a terminal's command has ended and left no process. Returns its exit code. */
async function endAtTerminal(terminal: Script): Promise<number> {
  const [, code] = await terminal.stdout.waitFor(/code: (\d+)/);
  let left: string[] = [];
  await until(() => `the end of ${left}`, async () => {
    left = await processesAt(terminal);
    return left.length === 0;
  });
  return Number(code);
}
