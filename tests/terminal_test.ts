/**
 * Tests at a pseudo-terminal, as a person sees and uses the programs: Ctrl+C
 * ends each of them, no process is left, and no message commands the terminal.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname } from "node:path";
import { encodeFrame } from "../framing.ts";
import {
  copyClient,
  denoCommand,
  output,
  readMessages,
  reasonWithout,
  type Script,
  serveBytes,
  type StartOptions,
  startProcess,
  startServer,
  tellsHoldings,
  test as processTest,
  until,
} from "./testing.ts";

const CTRL_C = "\x03";

const reason = tellsHoldings
  ? await reasonWithout("python3", "--version") ??
    await reasonWithout("ps", "--version")
  : "only on Linux";

/** A client without this line spins for ever in its inner loop. */
const CARRY_OVER = "received = received.subarray(end);";

test("Ctrl+C ends a client whose loop spins for ever", async () => {
  await using server = await startServer(["--interval", "0"]);
  await using copy = await copyClient({ [CARRY_OVER]: "" });
  await using terminal = startAtTerminal(
    [...denoCommand("client", copy.options), ...server.flags, "--verbose"],
  );
  await terminal.stdout.waitFor(/got: '/);
  await endByCtrlC(terminal);
});

test("Ctrl+C at deno task client ends it at once", async () => {
  await using server = await startServer(["--count", "0"]);
  await using terminal = startAtTerminal(
    [Deno.execPath(), "task", "client", ...server.flags],
  );
  await terminal.stdout.waitFor(/29 {8}The time/);
  await endByCtrlC(terminal);
  assert(!/error/i.test(terminal.stdout.text), terminal.stdout.text);
});

/** Starts the task `server` at a terminal, with a client that has connected. */
async function startWithClient(args: string[]) {
  const terminal = startAtTerminal([
    ...[Deno.execPath(), "task", "server", "--port=0", "--quiet"],
    ...["--count=0", ...args],
  ]);
  const [, port] = await terminal.stdout.waitFor(
    /Listening on 127\.0\.0\.1:(\d+)/,
  );
  const client = await Deno.connect({
    hostname: "127.0.0.1",
    port: Number(port),
  });
  await terminal.stdout.waitFor(/Connect from/);
  return { terminal, client };
}

test("Ctrl+C at deno task server ends every stream after a whole message", async () => {
  for (const interval of ["3600", "0"]) {
    const { terminal, client } = await startWithClient(
      ["--grace=600", `--interval=${interval}`],
    );
    await using _ = terminal;
    using connection = client;
    await connection.read(new Uint8Array(39));
    await terminal.type(CTRL_C);
    await terminal.stdout.waitFor(/Stopping/);
    // By the time that a process has run, `deno task` has passed on its copy
    // of the signal.
    await output(Deno.execPath(), "--version");
    await readMessages(connection);
    connection.close();
    assertEquals(await endAtTerminal(terminal), 0);
    assertMatch(
      terminal.stdout.text,
      /Stopped; messages sent: \d+; clients still here: 0\r\n/,
    );
  }
});

test("a second Ctrl+C at deno task server ends it at once", async () => {
  const { terminal, client } = await startWithClient(
    ["--grace=3600", "--interval=0"],
  );
  await using _ = terminal;
  using _client = client; // does not read
  await until(() => "the end of the server", async () => {
    await terminal.type(CTRL_C);
    return /code: /.test(terminal.stdout.text);
  });
  assertEquals(await endAtTerminal(terminal), 130);
});

/** Programs that start others, what they print, and the processes that run by then. */
const PARENTS: [
  task: string,
  args: string[],
  ready: RegExp,
  running?: RegExp,
][] = [
  ["demo", [], /Message:29/],
  ["soak", [], /Task soak/, /streamServer\.ts [^]*streamServer\.ts /],
  ["web", ["--demo", "--web-port=0"], /Open http/],
  ["exercise", ["--serve=random cuts", "--port=0"], /Listening on /],
  // Its one test runs for 5 s. A signal is lost in a process that just begins.
  [
    "test",
    ["tests/client_test.ts", "--filter=says so while"],
    /running \d+ test/,
    /streamClient01Soln/,
  ],
];
for (const [task, args, ready, running] of PARENTS) {
  test(`Ctrl+C at deno task ${task} leaves no process`, async () => {
    await using terminal = startAtTerminal(
      [Deno.execPath(), "task", task, ...args],
    );
    await terminal.stdout.waitFor(ready);
    if (running !== undefined) {
      await until(() => `${running}`, async () => {
        const processes = await processesAt(terminal);
        return running.test(processes.join("\n"));
      });
    }
    await endByCtrlC(terminal);
  });
}

test("a demo that nobody reads leaves no process", async () => {
  const demo = `${Deno.execPath()} task demo | head -n 1`;
  await using terminal = startAtTerminal(["sh", "-c", demo]);
  assertEquals(await endAtTerminal(terminal), 0);
});

test("Ctrl+C at deno task exercise leaves no client and no file", async () => {
  await using copy = await copyClient({ [CARRY_OVER]: "" });
  const file = copy.options.file!;
  const folder = dirname(file);
  // Without framing.ts beside it, a client needs a temporary file.
  await Deno.remove(`${folder}/framing.ts`);
  await using terminal = startAtTerminal(
    [Deno.execPath(), "task", "exercise", file],
    { env: { TMPDIR: folder } },
  );
  await terminal.stdout.waitFor(/Checking streamClient01Soln\.ts/);
  await endByCtrlC(terminal);
  const names = Array.from(Deno.readDirSync(folder), ({ name }) => name);
  assertEquals(names, ["streamClient01Soln.ts"]);
});

test("at a terminal, control characters are escapes, and headers have color unless NO_COLOR is set", async () => {
  const text = "\x1b]0;title\x07\x1b[2J\x9b1m\u202Eabc\u2028\u200B\x7f ü🌍";
  const shown = "\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{9b}1m\\u{202e}abc" +
    "\\u{2028}\\u{200b}\\u{7f} ü🌍";
  await using server = await serveBytes(encodeFrame(text));
  const command = [...denoCommand("client"), ...server.flags];
  const headers = { "": "\x1b[36m38        \x1b[39m", "1": "38        " };
  for (const [noColor, header] of Object.entries(headers)) {
    await using terminal = startAtTerminal(command, {
      env: { NO_COLOR: noColor },
    });
    await endAtTerminal(terminal);
    const line = `M:${header}${shown}\r\n`;
    assert(terminal.stdout.text.includes(line), terminal.stdout.text);
  }
  assertEquals(await output(...command), `M:38        ${text}\n`);
});

test("output that is full for a moment costs a client no message", async () => {
  const nonBlocking = `
import fcntl, os, sys
for fd in 1, 2:
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_WRONLY | os.O_NONBLOCK)
os.execvp(sys.argv[1], sys.argv[1:])`;
  const flags = ["--interval=0", "--count=20000", "--quiet"];
  await using server = await startServer(flags);
  await using client = startProcess([
    ...["python3", "-c", nonBlocking, ...denoCommand("client")],
    ...[...server.flags, "--verbose"],
  ]);
  const { code, stdout, stderr } = await client.result();
  assertEquals(stdout.match(/^M:29 /gm)?.length, 20_000);
  assert((stderr.match(/^got: /gm)?.length ?? 0) >= 48_750);
  assertEquals(code, 0);
});

/** Registers a test that needs a pseudo-terminal as Linux has it. */
function test(name: string, fn: () => Promise<void>): void {
  processTest(name, fn, reason);
}

/** Starts a command at a pseudo-terminal, which terminal.py describes. */
function startAtTerminal(
  command: string[],
  options: StartOptions = {},
): Script {
  return startProcess(["python3", "tests/terminal.py", ...command], options);
}

/** Returns the command lines of the processes at a terminal, but its own. */
async function processesAt({ stdout }: Script): Promise<string[]> {
  const [terminal] = await stdout.waitFor(/^\/dev\/\S+/m);
  const list = await output("ps", "-o", "args=", "-t", terminal);
  return list.trim().split("\n")
    .filter((args) => !/terminal\.py --shell/.test(args));
}

/** Waits until a terminal's command has ended and left no process. Returns its exit code. */
async function endAtTerminal(terminal: Script): Promise<number> {
  const [, code] = await terminal.stdout.waitFor(/code: (\d+)\r\n/);
  let processes: string[] = [];
  await until(() => `the end of ${processes}`, async () => {
    processes = await processesAt(terminal);
    return processes.length === 0;
  });
  return Number(code);
}

async function endByCtrlC(terminal: Script): Promise<void> {
  await terminal.type(CTRL_C);
  assertEquals(await endAtTerminal(terminal), 130);
}
