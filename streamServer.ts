/**
 * The server of the activity. Every client that connects gets a stream of
 * messages, "The time is …", each behind a header that holds its length.
 *
 * ```shell
 * deno task server
 * deno task server --port 9000 --count 100 --interval 0
 * deno task server --help
 * ```
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { FrameWriter, HEADER_LENGTH } from "./framing.ts";

/** Accepts clients one after another, and serves all of them at once. */
async function serve(listener: Deno.TcpListener): Promise<void> {
  while (!isStopping) {
    try {
      const client = stream(await listener.accept()).finally(() => {
        clients.delete(client);
        if (clients.size === 0) warnings.clear();
      });
      clients.add(client);
    } catch (error) {
      const { code, message } = error as Error & { code: string };
      if (isStopping || LEFT.includes(code)) continue;
      // Usually the process cannot open any more files. New clients wait in the
      // backlog until others have left.
      warnOnce(`Cannot accept clients: ${message}`);
      await sleep(100);
    }
  }
}

/** Sends one client its messages, each when it is due, and lets it finish. */
async function stream(client: Deno.TcpConn): Promise<void> {
  using connection = client;
  const address = formatAddress(connection.remoteAddr);
  const frames = new FrameWriter(connection);
  let added = 0;
  let sent = 0;
  let lines = "";
  try {
    await print(`Connect from ${address} established\n`);
    connection.setKeepAlive(); // notices a client whose machine is gone
    const closed = discardInput(connection);
    closed.catch(() => {}); // awaited when the stream has ended
    let due = performance.now();
    while (added < count) {
      if (interval > 0) {
        await until(due);
        // Due times are a fixed interval apart, so that the pace does not drift.
        // After a pause, as when a laptop slept, the missed messages are not
        // sent in a burst: a stream makes up for half an interval at most, plus
        // 10 ms, as timers may be late.
        due = Math.max(due + interval, performance.now() + interval / 2 - 10);
      }
      if (isStopping) break;
      const message = `The time is ${timestamp()}`;
      frames.add(message);
      added++;
      if (!quiet) {
        lines += `${String(message.length).padEnd(HEADER_LENGTH)}${message}\n`;
      }
      // At full speed, as many messages as fill a buffer go together, and no
      // more are made until the client has room: a slow client costs one buffer.
      if (interval > 0 || frames.isFull || added === count) {
        await frames.flush();
        messages += added - sent;
        sent = added;
        if (!quiet) await print(lines);
        lines = "";
      }
    }
    await connection.closeWrite();
    // A client paused in a debugger takes the rest when it goes on.
    await closed;
    warn(`${address} finished, ${sent} message${sent === 1 ? "" : "s"}\n`);
  } catch (error) {
    const reason = (error as Error).message;
    warn(`${address} left (${reason}); messages sent: ${sent}\n`);
  }
}

/**
 * Reads what a client sends and throws it away, until the client closes. Closing
 * a connection with unread input would reset it, and cost the client its last
 * messages.
 */
async function discardInput(connection: Deno.TcpConn): Promise<void> {
  while (await connection.read(discarded) !== null);
}

/** Waits until a time in milliseconds, or until the server is told to stop. */
async function until(due: number): Promise<void> {
  const time = Math.ceil(due);
  const wait = time - performance.now();
  if (wait <= 0 || isStopping) return;
  // Thousands of clients share one timer per millisecond.
  let alarm = alarms.get(time);
  if (alarm === undefined) {
    alarm = Promise.withResolvers();
    alarms.set(time, alarm);
    setTimeout(alarm.resolve, Math.ceil(wait));
  }
  await alarm.promise;
  alarms.delete(time);
}

/** Returns the seconds since 1970, always with six decimals. */
function timestamp(): string {
  let now = origin + performance.now();
  if (now >= millisecond + 1) {
    // Every new millisecond is taken from the system's clock, which may have been
    // set. The monotonic clock adds the microseconds, as it never steps back.
    millisecond = Date.now();
    const right = Math.min(Math.max(now, millisecond), millisecond + 0.999);
    origin += right - now;
    now = right;
    seconds = (millisecond / 1000).toFixed(3);
  }
  const microseconds = Math.floor((now - millisecond) * 1000);
  return seconds + String(microseconds).padStart(3, "0");
}

/** Returns a function that writes lines in order. The server outlives a reader of its output that leaves. */
function logTo(output: typeof Deno.stdout): (lines: string) => Promise<void> {
  let writing = Promise.resolve();
  async function write(lines: string): Promise<void> {
    let rest = new TextEncoder().encode(lines);
    while (rest.length > 0) {
      try {
        rest = rest.subarray(await output.write(rest));
      } catch (error) {
        const isFull = error instanceof Deno.errors.WouldBlock;
        if (!isFull) return warnOnce(`Cannot print: ${error}`);
        await sleep(10);
      }
    }
  }
  return (lines) => writing = writing.then(() => write(lines));
}

/** Writes a warning to stderr, and does not repeat it until all clients have left. */
function warnOnce(warning: string): void {
  if (!warnings.has(warning)) warn(`${warning}\n`);
  warnings.add(warning);
}

/** Waits for some milliseconds. */
function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Ends every stream after a whole message. */
function stop(): void {
  if (isStopping) return;
  isStopping = true;
  warn(`Stopping; clients still here: ${clients.size}\n`);
  listener.close();
  for (const alarm of alarms.values()) alarm.resolve();
  // A second signal ends the program at once, but not the copy of the first that
  // `deno task` passes on. A person takes longer to press Ctrl+C twice.
  setTimeout(() => {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, stop);
  }, 200);
}

/** Returns why the server cannot listen, and what to do about it. */
function explain({ name, message }: Error): string {
  const address = formatAddress({ hostname, port });
  switch (name) {
    case "AddrInUse":
      return `port ${port} on ${hostname} is taken, perhaps by a server in another terminal. Stop that one, or give this server and its clients another port with --port`;
    case "NotCapable":
      return `Deno was not allowed to listen on ${address}. Allow it: deno run --allow-net=${address} streamServer.ts --hostname ${hostname} --port ${port}`;
    case "PermissionDenied":
      return `the system does not let you listen on port ${port}. Use a port from 1024 on, such as --port 9092`;
    default:
      return `cannot listen on ${address} (${message}). Use an address of this machine, such as --hostname 127.0.0.1`;
  }
}

/** Returns `HOST:PORT`, with brackets around an IPv6 address. */
function formatAddress(address: { hostname: string; port: number }): string {
  return `${address.hostname.replace(/.*:.*/, "[$&]")}:${address.port}`;
}

/** Ends the program with one line on stderr. */
function fail(message: string, code = 1): never {
  console.error(`error: ${message}`);
  Deno.exit(code);
}

const USAGE = `Sends every client that connects a stream of messages.

USAGE:
  deno task server [OPTIONS]

OPTIONS:
  --hostname <HOST>     address to listen on; 0.0.0.0 for all that this machine has
                        (default: 127.0.0.1)
  --port <PORT>         port to listen on; 0 for any free one (default: 9092)
  --count <N>           messages per client; 0 for no end (default: 20)
  --interval <SECONDS>  time between messages; 0 for full speed (default: 0.1)
  --grace <SECONDS>     how long clients may take to finish when the server is
                        stopped (default: 1.5)
  --quiet               print no line per message
  -h, --help            print this help`;

const flags = parseArgs(Deno.args, {
  string: ["hostname", "port", "count", "interval", "grace"],
  boolean: ["quiet", "help"],
  alias: { h: "help" },
  default: {
    hostname: "127.0.0.1",
    port: "9092",
    count: "20",
    interval: "0.1",
    grace: "1.5",
  },
  unknown: refuse,
});
flags._.forEach(refuse);
if (flags.help) {
  console.log(USAGE);
  Deno.exit();
}
const { hostname, quiet } = flags;
if (!/^(\w[\w.-]*|[\da-f]*:[\da-f]*:[\w:.%]*)$/i.test(hostname)) {
  fail(`--hostname takes a name or an IP address, not "${hostname}"`, 2);
}
const SECONDS = "seconds (such as 0.5)";
const port = number("port", 65_535);
const count = number("count", Number.MAX_SAFE_INTEGER) || Infinity;
const interval = 1000 * number("interval", 86_400, SECONDS); // milliseconds
const grace = 1000 * number("grace", 86_400, SECONDS);

/** Ends the program for an argument that it does not take. */
function refuse(arg: unknown): never {
  const fault = /^--(chunk|verbose)\b/.test(`${arg}`)
    ? `${arg} is a flag of the clients`
    : /^-[\d.]/.test(`${arg}`)
    ? `no flag takes a negative number such as "${arg}"`
    : `unknown argument "${arg}"`;
  fail(`${fault}. The flags of this program: --help`, 2);
}

type NumberFlag = "port" | "count" | "interval" | "grace";

/** Returns the value of a flag that takes a number. */
function number(name: NumberFlag, max: number, kind = "an integer"): number {
  const text = flags[name];
  const format = kind === SECONDS ? /^\d*\.?\d+$/ : /^\d+$/;
  if (format.test(text) && Number(text) <= max) return Number(text);
  fail(`--${name} takes ${kind} from 0 to ${max}, not "${text}"`, 2);
}

const print = logTo(Deno.stdout);
const warn = logTo(Deno.stderr);
const warnings = new Set<string>(); // those written since the last time without clients
const clients = new Set<Promise<void>>(); // the streams that are running
let messages = 0; // how many have been sent
let isStopping = false;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** The errors of clients that left before they were accepted. macOS says EINVAL. */
const LEFT = ["ENOTCONN", "ECONNRESET", "ECONNABORTED", "EINVAL"];
/** The input of all clients goes here, as nobody looks at it. */
const discarded = new Uint8Array(16 * 1024);
/** The timers that streams wait for, by the millisecond at which they are due. */
const alarms = new Map<number, PromiseWithResolvers<void>>();
/** The system's clock when the monotonic clock was 0, in milliseconds. */
let origin = performance.timeOrigin;
/** The latest millisecond, and its text: at full speed, thousands of messages share it. */
let millisecond = 0;
let seconds = "";

let listener: Deno.TcpListener;
try {
  // The default backlog (511) loses clients when thousands dial at once.
  listener = Deno.listen({ hostname, port, tcpBacklog: 4096 });
} catch (error) {
  fail(explain(error as Error));
}
for (const signal of SIGNALS) Deno.addSignalListener(signal, stop);
await warn(`Listening on ${formatAddress(listener.addr)}\n`);
await serve(listener);
await Promise.race([Promise.all(clients), sleep(grace)]);
setTimeout(Deno.exit, 1000, 0); // in case nobody reads the logs
await print(""); // waits for the lines before it
await warn(
  `Stopped; messages sent: ${messages}; clients still here: ${clients.size}\n`,
);
Deno.exit();
