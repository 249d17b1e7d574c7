/**
 * The whole activity in one command, for a first look: the real server, and the
 * real clients that read from it.
 *
 * ```shell
 * deno task demo
 * ```
 *
 * @module
 */

import { bold, setColorEnabled } from "@std/fmt/colors";

/** The processes that are running. */
const children = new Set<Deno.ChildProcess>();

async function main(): Promise<void> {
  setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
  const paced = await startServer();
  const fast = await startServer("--interval", "0");

  heading("streamClientEx1.ts, a message every 0.1 s: all 20");
  await runClient("streamClientEx1.ts", paced);

  heading(
    "streamClientEx1.ts, the same messages at full speed: loses its place",
  );
  await runClient("streamClientEx1.ts", fast);

  heading("streamClient01Soln.ts at full speed: all 20");
  await runClient("streamClient01Soln.ts", fast);

  heading("What streamServer.ts printed");
  console.log(abbreviate(await stopServer(paced)));
  console.log(abbreviate(await stopServer(fast)));

  heading("What the difference means");
  console.log(
    "TCP carries bytes, not messages: one read may bring the end of one message and the beginning of the next, and only a client that keeps that beginning stays in its place.",
  );
}

interface Server {
  process: Deno.ChildProcess;
  port: string;
  /** Everything that it prints to stdout. */
  output: Promise<string>;
}

/** Starts the server on a port that is free, and waits until it listens there. */
async function startServer(...args: string[]): Promise<Server> {
  const process = start("streamServer.ts", ["--port", "0", ...args], "piped");
  const output = new Response(process.stdout).text();
  let said = "";
  const lines = process.stderr.pipeThrough(new TextDecoderStream());
  for await (const text of lines.values({ preventCancel: true })) {
    said += text;
    const port = /^Listening on .*:(\d+)$/m.exec(said)?.[1];
    if (port !== undefined) return { process, port, output };
  }
  console.error(said);
  throw new Error("Cannot run the demo: the server did not start");
}

async function stopServer({ process, output }: Server): Promise<string> {
  process.kill(Deno.build.os === "windows" ? "SIGKILL" : "SIGINT");
  return await output;
}

async function runClient(file: string, { port }: Server): Promise<void> {
  await start(file, ["--port", port], "inherit").status;
}

function start(
  file: string,
  args: string[],
  output: "piped" | "inherit",
): Deno.ChildProcess {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-net=127.0.0.1", file, ...args],
    cwd: new URL(".", import.meta.url),
    stdin: "null",
    stdout: output,
    stderr: output,
  }).spawn();
  children.add(child);
  child.status.then(() => children.delete(child));
  return child;
}

/** Of each client's messages the first and the last, and how many there are between them. */
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

/** Leaves no process behind, whichever way the demo ends. */
function stop(): void {
  for (const child of children) child.kill("SIGKILL");
}

function interrupt(): never {
  stop();
  Deno.exit(130);
}

Deno.addSignalListener("SIGINT", interrupt);
if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", interrupt);
try {
  await main();
} finally {
  stop();
}
Deno.exit();
