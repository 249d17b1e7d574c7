/** `deno task demo`: the real server, and both clients reading from it. @module */

import { bold, setColorEnabled } from "@std/fmt/colors";
import { exitOnSignals, fail, startDeno } from "./processes.ts";

const RUN = ["run", "--quiet", "--allow-net=127.0.0.1"];

/** Starts a server on a free port, and waits until it listens. Returns the port. */
async function startServer(pace: string): Promise<string> {
  const server = startDeno([...RUN, "streamServer.ts", "--port=0", pace]);
  let said = "";
  const lines = server.stderr.pipeThrough(new TextDecoderStream());
  for await (const text of lines) {
    said += text;
    const port = /^Listening on .*:(\d+)$/m.exec(said)?.[1];
    if (port !== undefined) return port;
  }
  fail(`the server did not start: ${said.trim()}`);
}

/** Runs a client to its end. */
async function runClient(file: string, port: string): Promise<void> {
  await startDeno([...RUN, file, `--port=${port}`], "inherit").status;
}

function heading(text: string): void {
  console.log(`\n${bold(`== ${text} ==`)}`);
}

setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
exitOnSignals();
const paced = await startServer("--interval=0.1");
const fast = await startServer("--interval=0");
heading("streamClientEx1.ts, with a message every 0.1 s");
await runClient("streamClientEx1.ts", paced);
heading("streamClientEx1.ts, with messages at full speed");
await runClient("streamClientEx1.ts", fast);
heading("streamClient01Soln.ts, at full speed");
await runClient("streamClient01Soln.ts", fast);

heading("What the difference means");
console.log(
  `TCP carries bytes, not messages: one read may bring the end of one message and
the beginning of the next. Only a client that keeps this beginning keeps its
place in the stream. To make Ex1 such a client is the exercise.`,
);
Deno.exit();
