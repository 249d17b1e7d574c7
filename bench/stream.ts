/**
 * `deno task bench:stream`: messages over loopback, from one process to
 * another. Every pair that is compared sends the same messages in the same
 * frames; the receiver measures the time from its connection to the end of the
 * stream.
 *
 * @module
 */

import { buildGo, compare, folder, type Round, succeeds } from "./rounds.ts";

/** A program and its arguments. */
type Command = [program: string, ...args: string[]];

/** Two processes. The sender prints its port on stderr, and the receiver prints what it got at the end. */
interface Pair {
  name: string;
  send(length: number, count: number): Command;
  receive(length: number, port: string): Command;
  /** Number of messages of 29 B, 1 KiB, 64 KiB and 1 MiB, for about half a second. */
  counts: (number | undefined)[];
}

const lengths = [29, 1024, 64 * 1024, 1024 * 1024];

/** The number of clients, the messages for each, and the interval between them. */
const crowd = { clients: 5000, count: 20, milliseconds: 50 };

const goProgram = await buildGo();

/** All pairs that can run here. The others are compared with the first. */
async function findPairs(): Promise<Pair[]> {
  const deno = (form: string): Command => [...script("peers/pair.ts"), form];
  const both = "FrameWriter, FrameReader";
  const streams = "FrameEncoderStream, FrameDecoderStream";
  const pairs = [
    pair("Deno, bytes without frames", deno("pump"), [8e6, 1e6, 16e3, 1e3]),
    pair(`${both}: bytes`, deno("bytes"), [8e6, 1e6, 16e3, 1e3]),
    pair(`${both}: for await`, deno("iterated"), [6e6, 1e6, 12e3, 800]),
    pair(`${both}: text`, deno("text"), [2e6, 4e5, 8e3, 500]),
    pair(streams, deno("streams"), [8e5, 2e5, 6e3, 300]),
    scripts,
  ];
  if (goProgram !== undefined) {
    pairs.push(pair("Go, bufio", [goProgram], [8e6, 1e6, 16e3, 1e3]));
  }
  if (await succeeds("python3", "--version")) {
    const program: Command = ["python3", "peers/pair.py"];
    pairs.push(pair("Python, as in courses", program, [50e3, 3e3, 40]), {
      ...pair("Python, the same with the time", program, [50e3]),
      send: (_, count) => [...program, "send", "time", `${count}`],
    });
  } else {
    console.error("Python is left out: there is no `python3`");
  }
  return pairs;
}

function pair(name: string, program: Command, counts: number[]): Pair {
  return {
    name,
    send: (length, count) => [...program, "send", `${length}`, `${count}`],
    receive: (length, port) => [...program, "receive", `${length}`, port],
    counts,
  };
}

/** The scripts as they are used. Their messages have 29 bytes. */
const scripts: Pair = {
  name: "streamServer.ts, streamClient01Soln.ts",
  send: (_, count) => server(count, 0),
  receive: (_, port) => [
    ...script("../streamClient01Soln.ts"),
    ...["--port", port, "--chunk", "65536", "--quiet"],
  ],
  counts: [1e6],
};

function server(count: number, interval: number): Command {
  const flags = `--port 0 --quiet --count ${count} --interval ${interval}`;
  return [...script("../streamServer.ts"), ...flags.split(" ")];
}

function script(file: string): Command {
  return [Deno.execPath(), "run", "--no-check", "--allow-net=127.0.0.1", file];
}

/** Measures every pair once, with messages of every length. */
async function measure(pairs: Pair[]): Promise<Round> {
  const round: Round = {};
  for (const [i, length] of lengths.entries()) {
    for (const pair of pairs) {
      const count = pair.counts[i];
      if (count === undefined) continue;
      (round[`messages of ${length} B`] ??= {})[pair.name] = await run(
        count,
        pair.send(length, count),
        (port) => pair.receive(length, port),
      );
    }
  }
  if (goProgram !== undefined) {
    const { clients, count, milliseconds } = crowd;
    const rates = round[`${clients} clients at once`] = {} as Round[string];
    const servers: Record<string, Command> = {
      "streamServer.ts": server(count, milliseconds / 1000),
      "Go": [goProgram, "serve", `${count}`, `${milliseconds}`],
    };
    for (const [name, send] of Object.entries(servers)) {
      rates[name] = await run(
        clients * count,
        send,
        (port) => [goProgram, "crowd", `${clients}`, port],
      );
    }
  }
  return round;
}

/** Returns how many messages per second arrived. */
async function run(
  count: number,
  send: Command,
  receive: (port: string) => Command,
): Promise<number> {
  const sender = spawn(send);
  try {
    const [, port] = await find(sender, /^Listening on .*:(\d+)\n/m);
    const receiver = spawn(receive(port));
    const [all, messages, seconds] = await find(
      receiver,
      /^(\d+) messages, \d+ bytes in ([\d.]+) s\n/m,
    );
    await receiver.status;
    if (Number(messages) !== count) {
      throw new Error(`${send.join(" ")} sent ${count} messages: ${all}`);
    }
    return count / Number(seconds);
  } finally {
    // The scripts' server runs until it is stopped.
    try {
      sender.kill();
    } catch {
      // The others have ended.
    }
    await sender.status;
  }
}

function spawn([program, ...args]: Command): Deno.ChildProcess {
  return new Deno.Command(program, {
    args,
    cwd: folder,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/** Waits for a line on a process's stderr. */
async function find(
  process: Deno.ChildProcess,
  pattern: RegExp,
): Promise<RegExpExecArray> {
  let said = "";
  const texts = process.stderr.pipeThrough(new TextDecoderStream());
  for await (const text of texts) {
    said += text;
    const match = pattern.exec(said);
    if (match !== null) return match;
  }
  throw new Error(`Cannot find ${pattern} in what a process said: ${said}`);
}

const pairs = await findPairs();
await compare(7, () => measure(pairs));
