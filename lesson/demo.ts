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
  const paced = await startServer("0.1");
  const fast = await startServer("0");

  heading("streamClientEx1.ts, with a message every 0.1 s");
  await runClient("streamClientEx1.ts", paced);
  heading("streamClientEx1.ts, with messages at full speed");
  const isLost = !await runClient("streamClientEx1.ts", fast);
  heading("streamClient01Soln.ts, at full speed");
  await runClient("streamClient01Soln.ts", fast);

  heading("What the servers printed");
  for (const server of [paced, fast]) {
    kill(server.process);
    console.log(abbreviate(await server.output));
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
async function startServer(interval: string): Promise<Server> {
  const process = startDeno([
    ...["run", "--quiet", "--allow-net=127.0.0.1", "streamServer.ts"],
    ...["--port=0", `--interval=${interval}`],
  ]);
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
  const args = ["--allow-net=127.0.0.1", file, `--port=${port}`];
  const client = startDeno(["run", "--quiet", ...args], "inherit");
  return (await client.status).success;
}

/** Returns the first and the last message of each client, and how many are between them. */
function abbreviate(output: string): string {
  return output.trimEnd().replaceAll(
    /^(\d+ .*\n)((?:\d+ .*\n)+)(?=\d+ )/gm,
    (_, first: string, others: string) =>
      `${first}… ${others.split("\n").length - 1} more …\n`,
  );
}

function heading(text: string): void {
  console.log(`\n${bold(`== ${text} ==`)}`);
}

const [arg] = Deno.args.filter((arg) => arg !== "--");
if (arg === "-h" || arg === "--help") {
  console.log("Runs the server and both clients: deno task demo");
  Deno.exit();
}
if (arg !== undefined) fail("this program takes no arguments", 2);
setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
exitOnSignals();
await main();
Deno.exit();
