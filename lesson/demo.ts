/**
 * The activity in one command, for a first look: the real server, and both
 * clients reading from it.
 *
 * ```shell
 * deno task demo
 * ```
 *
 * @module
 */

import { bold, setColorEnabled } from "@std/fmt/colors";
import { exitOnSignals, fail, kill, startDeno } from "./processes.ts";

async function main(): Promise<void> {
  const paced = await startServer("--interval=0.1");
  const fast = await startServer("--interval=0");

  heading("streamClientEx1.ts, with a message every 0.1 s");
  await runClient("streamClientEx1.ts", paced);
  heading("streamClientEx1.ts, with messages at full speed");
  const isLost = !await runClient("streamClientEx1.ts", fast);
  heading("streamClient01Soln.ts, at full speed");
  await runClient("streamClient01Soln.ts", fast);

  heading("What the servers printed");
  for (const server of [paced, fast]) {
    kill(server.process);
    const lines = (await server.output).trimEnd().split("\n");
    console.log(lines.slice(0, 3).join("\n"));
    console.log(`… ${lines.length - 3} more`);
  }
  heading("What the difference means");
  console.log(
    `TCP carries bytes, not messages: one read may bring the end of one message and
the beginning of the next. Only a client that keeps this beginning keeps its
place in the stream. Ex1 ${
      isLost
        ? "throws it away: to change that is the exercise."
        : "kept its place here: is the exercise solved?\nCheck it: deno task exercise"
    }`,
  );
}

interface Server {
  process: Deno.ChildProcess;
  port: string;
  /** All that the server prints to stdout. */
  output: Promise<string>;
}

/** Starts a server on a free port, and waits until it listens. */
async function startServer(pace: string): Promise<Server> {
  const process = startDeno([...RUN, "streamServer.ts", "--port=0", pace]);
  const output = new Response(process.stdout).text();
  let said = "";
  const lines = process.stderr.pipeThrough(new TextDecoderStream());
  for await (const text of lines.values({ preventCancel: true })) {
    said += text;
    const port = /^Listening on .*:(\d+)$/m.exec(said)?.[1];
    if (port !== undefined) return { process, port, output };
  }
  fail(`the server did not start: ${said.trim()}`);
}

/** Runs a client to its end. Returns whether it succeeded. */
async function runClient(file: string, { port }: Server): Promise<boolean> {
  const client = startDeno([...RUN, file, `--port=${port}`], "inherit");
  return (await client.status).success;
}

function heading(text: string): void {
  console.log(`\n${bold(`== ${text} ==`)}`);
}

const RUN = ["run", "--quiet", "--allow-net=127.0.0.1"];

if (Deno.args.some((arg) => arg !== "--")) {
  fail("deno task demo takes no arguments", 2);
}
setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
exitOnSignals();
await main().catch((error) => fail(error.message)); // such as a full disk
Deno.exit();
