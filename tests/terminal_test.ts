/** Tests of the programs at a pseudo-terminal, as a person uses them. @module */

import { assertEquals, assertMatch } from "@std/assert";
import { encodeFrame } from "../framing.ts";
import {
  copyScript,
  denoCommand,
  notLinux,
  output,
  reasonWithout,
  type Script,
  serveBytes,
  startProcess,
  startServer,
  test,
  until,
} from "./testing.ts";

const CTRL_C = "\x03";
const TASK = [Deno.execPath(), "task", "-q"];
const reason = notLinux ?? await reasonWithout("script");

test("Ctrl+C ends a client whose loop spins for ever", async () => {
  await using server = await startServer();
  const edits = { "bytes += size;": "while (true);" };
  await using copy = await copyScript("streamClient01Soln.ts", edits);
  const client = denoCommand("client", copy.file);
  const flags = [...server.flags, "--verbose"];
  await using terminal = startAtTerminal([...client, ...flags]);
  await terminal.stdout.waitFor(/got: '/);
  await terminal.type(CTRL_C);
  assertEquals(await endAtTerminal(terminal), 130);
}, reason);

for (const [times, code] of [["once", 0], ["twice", 130]] as const) {
  test(`Ctrl+C pressed ${times} ends deno task server`, async () => {
    const flags = ["--port=0", "--interval=3600"];
    await using terminal = startAtTerminal([...TASK, "server", ...flags]);
    const [, port] = await terminal.stdout.waitFor(/Listening on .*:(\d+)/);
    const address = { hostname: "127.0.0.1", port: Number(port) };
    // The server waits for a client that keeps its connection open.
    using client = await Deno.connect(address);
    await client.read(new Uint8Array(39));

    await terminal.type(CTRL_C);
    await until(() => "the end of the server", async () => {
      if (times === "twice") await terminal.type(CTRL_C);
      return /code: /.test(terminal.stdout.text);
    });
    assertEquals(await endAtTerminal(terminal), code);
  }, reason);
}

test("Ctrl+C ends every other task, and leaves no process", async () => {
  await using server = await startServer(["--count=0"]);
  const tasks: [program: RegExp, ...args: string[]][] = [
    [/Soln\.ts/, "client", ...server.flags],
    [/Ex1\.ts/, "demo"],
    [/Ex1\.ts/, "exercise"],
    [/serve\.ts/, "web", "--web-port=0"],
  ];
  await Promise.all(tasks.map(async ([program, ...args]) => {
    await using terminal = startAtTerminal([...TASK, ...args]);
    await until(() => `${program}`, async () => {
      return program.test((await processesAt(terminal)).join("\n"));
    });
    await terminal.type(CTRL_C);
    assertEquals(await endAtTerminal(terminal), 130);
  }));
}, reason);

test("no message commands the terminal, and NO_COLOR is obeyed", async () => {
  const text = "\x1b]0;title\x07\x1b[2J\x9b1m\u202Eabc\u2028\u200B\x7f ü🌍";
  await using server = await serveBytes(encodeFrame(text));
  const command = [...denoCommand("client"), ...server.flags];
  for (const [noColor, header] of [["", "\x1b[36m38\x1b[39m"], ["1", "38"]]) {
    await using terminal = startAtTerminal(command, noColor);
    const [line] = await terminal.stdout.waitFor(/^M:.*ü🌍/m);
    assertEquals(line.slice(2, 2 + header.length), header);
    assertMatch(line.slice(2 + header.length), /^[^\p{C}\p{Zl}\p{Zp}]+$/u);
  }
  assertEquals(await output(...command), `M:38        ${text}\n`);
}, reason);

/** Starts a command at a pseudo-terminal, under a shell that prints the exit code. */
function startAtTerminal(command: string[], noColor = "1"): Script {
  const words = command.map((word) => `'${word}'`).join(" ");
  // The shell stays, so that the processes that the command leaves stay too.
  const shell =
    `tty; trap : INT; ${words}; echo code: $?; trap '' INT; exec sleep 3600`;
  const env = { SHELL: "/bin/sh", NO_COLOR: noColor };
  return startProcess(["script", "-qfec", shell, "/dev/null"], { env });
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
