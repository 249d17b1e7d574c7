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

/** Accepts clients one after the other, and serves all of them at once. */
async function serve(listener: Deno.TcpListener): Promise<void> {
  while (!isStopping) {
    try {
      const client = stream(await listener.accept()).finally(() => {
        clients.delete(client);
        if (clients.size === 0) warnings.clear();
      });
      clients.add(client);
    } catch (error) {
      if (isStopping || isGone(error as Error)) continue;
      // As a rule the process may open no more files. New clients wait in the
      // backlog until others have left.
      warnOnce(`Cannot accept clients: ${(error as Error).message}`);
      await until(performance.now() + 100);
    }
  }
  await Promise.all(clients);
}

/** Sends one client its messages, each when it is due, and lets it finish. */
async function stream(client: Deno.TcpConn): Promise<void> {
  using connection = client;
  const address = formatAddress(connection.remoteAddr);
  const frames = new FrameWriter(connection);
  let added = 0;
  let sent = 0;
  let lines = "";

  /** Sends the messages that were added, and logs them. */
  async function send(): Promise<void> {
    await frames.flush();
    messages += added - sent;
    sent = added;
    if (lines !== "") await print(lines);
    lines = "";
  }

  try {
    await print(`Connect from ${address} established\n`);
    connection.setKeepAlive(); // notices a client whose machine is gone
    const closed = discardInput(connection);
    let due = performance.now();
    while (added < count || count === 0) {
      if (interval > 0) {
        await until(due);
        due = nextDue(due);
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
      if (interval > 0 || frames.isFull) await send();
    }
    await send();
    await connection.closeWrite();
    // A client paused in a debugger takes the rest when it goes on.
    await closed;
    warn(`${address} finished, ${sent} messages\n`);
  } catch (error) {
    const reason = (error as Error).message;
    warn(`${address} left after ${sent} messages: ${reason}\n`);
  }
}

/**
 * Reads what a client sends and throws it away, until the client closes. Closing
 * a connection with unread input would reset it, and cost the client its last
 * messages.
 */
function discardInput(connection: Deno.TcpConn): Promise<void> {
  const closed = (async () => {
    while (await connection.read(discarded) !== null);
  })();
  closed.catch(() => {}); // awaited when the stream has ended
  return closed;
}

/** Returns when the message after the one at `due` is due, in milliseconds. */
function nextDue(due: number): number {
  // Due times are a fixed interval apart, so that the pace does not drift. After
  // a pause, as when a laptop slept, what was missed is not sent in a burst: a
  // stream makes up for half an interval, and for 10 ms, as timers may be late.
  return Math.max(due + interval, performance.now() + interval / 2 - 10);
}

/** Waits until a time in milliseconds, or until the server is told to stop. */
function until(due: number): Promise<void> {
  const time = Math.ceil(due);
  const wait = time - performance.now();
  if (wait <= 0 || isStopping) return Promise.resolve();
  // Thousands of clients share one timer a millisecond.
  let alarm = alarms.get(time);
  if (alarm === undefined) {
    alarm = Promise.withResolvers();
    alarms.set(time, alarm);
    setTimeout(() => {
      alarms.delete(time);
      alarm?.resolve();
    }, Math.ceil(wait));
  }
  return alarm.promise;
}

/** Returns the seconds since 1970, always with six decimals. */
function timestamp(): string {
  let now = origin + performance.now();
  if (!(now < latest.millisecond + 1)) {
    // In every new millisecond, the system's clock is right: it may have been
    // set. The monotonic clock adds the microseconds, and never steps back.
    const clock = Date.now();
    const right = Math.min(Math.max(now, clock), clock + 0.999);
    origin += right - now;
    now = right;
    const millisecond = Math.floor(now);
    latest = { millisecond, text: (millisecond / 1000).toFixed(3) };
  }
  const microsecond = Math.floor((now - latest.millisecond) * 1000);
  return latest.text + String(microsecond).padStart(3, "0");
}

/** Returns a function that writes lines in order. The server outlives a reader that leaves. */
function logTo(output: typeof Deno.stdout): (lines: string) => Promise<void> {
  let isRead = true;
  let writing = Promise.resolve();
  async function write(lines: string): Promise<void> {
    let rest = new TextEncoder().encode(lines);
    while (rest.length > 0 && isRead) {
      try {
        rest = rest.subarray(await output.write(rest));
      } catch (error) {
        if (error instanceof Deno.errors.WouldBlock) { // full for a moment
          await new Promise((resolve) => setTimeout(resolve, 10));
          continue;
        }
        isRead = !(error instanceof Deno.errors.BrokenPipe);
        if (output === Deno.stdout) warnOnce(`Cannot print: ${error}`);
        return;
      }
    }
  }
  return (lines) => writing = writing.then(() => write(lines));
}

/** Writes a warning to stderr, once until all clients have left. */
function warnOnce(warning: string): void {
  if (!warnings.has(warning)) warn(`${warning}\n`);
  warnings.add(warning);
}

/** Returns whether a client was not accepted because it has left already. */
function isGone({ name, code }: Error & { code?: string }): boolean {
  return code === "EINVAL" || // on macOS
    ["NotConnected", "ConnectionReset", "ConnectionAborted"].includes(name);
}

/** Ends every stream after a whole message. A second signal ends the program at once. */
function stop(signal: "SIGINT" | "SIGTERM"): void {
  const now = performance.now();
  // `deno task` passes on the signal that the terminal has sent already. A
  // person takes longer than that to press Ctrl+C twice.
  if (isStopping && now - stopped < 100) return;
  if (isStopping) Deno.exit(signal === "SIGINT" ? 130 : 143);
  isStopping = true;
  stopped = now;
  warn(`Stopping; clients still here: ${clients.size}\n`);
  listener.close();
  for (const alarm of alarms.values()) alarm.resolve();
  setTimeout(finish, grace);
}

/** Says what was sent, and ends the program. */
async function finish(): Promise<never> {
  const rest = clients.size === 0
    ? ""
    : `; clients that had not left within --grace: ${clients.size}`;
  setTimeout(Deno.exit, 500, 0); // when nobody reads the logs
  await print("");
  await warn(`Stopped after ${messages} messages${rest}\n`);
  Deno.exit(0);
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

/** Returns the value of a flag that takes a number. */
function number(
  name: "port" | "count" | "interval" | "grace",
  max: number,
  [kind, format]: [string, RegExp],
): number {
  const text = flags[name];
  if (format.test(text) && Number(text) <= max) return Number(text);
  fail(`--${name} takes ${kind} from 0 to ${max}, not "${text}"`, 2);
}

/** Ends the program for an argument that it does not take. */
function refuse(arg: unknown): never {
  const fault = /^--(chunk|verbose)\b/.test(`${arg}`)
    ? `${arg} is a flag of the clients`
    : `unknown argument "${arg}"`;
  fail(`${fault}. The flags of this program: --help`, 2);
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
  --hostname <HOST>     address to listen on; 0.0.0.0 for all of this machine
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
const INTEGER: [string, RegExp] = ["an integer", /^\d+$/];
const SECONDS: [string, RegExp] = [
  "seconds (such as 0.5)",
  /^(\d+\.?\d*|\.\d+)$/,
];
const port = number("port", 65_535, INTEGER);
const count = number("count", Number.MAX_SAFE_INTEGER, INTEGER);
const interval = 1000 * number("interval", 86_400, SECONDS); // milliseconds
const grace = 1000 * number("grace", 86_400, SECONDS);

const print = logTo(Deno.stdout);
const warn = logTo(Deno.stderr);
/** The warnings since there were no clients. */
const warnings = new Set<string>();
/** The streams that are running. */
const clients = new Set<Promise<void>>();
/** How many messages have been sent. */
let messages = 0;
/** The input of all clients goes here, as nobody looks at it. */
const discarded = new Uint8Array(16 * 1024);
/** The timers that streams wait for, by the millisecond at which they are due. */
const alarms = new Map<number, PromiseWithResolvers<void>>();
/** The system's clock when the monotonic clock was 0, in milliseconds. */
let origin = performance.timeOrigin;
/** The latest millisecond, and its text: at full speed, thousands of messages share it. */
let latest = { millisecond: NaN, text: "" };
/** When the first signal came, in milliseconds. */
let stopped = NaN;
let isStopping = false;

let listener: Deno.TcpListener;
try {
  // The default backlog (511) loses clients when thousands dial at once.
  listener = Deno.listen({ hostname, port, tcpBacklog: 4096 });
} catch (error) {
  fail(explain(error as Error));
}
Deno.addSignalListener("SIGINT", () => stop("SIGINT"));
if (Deno.build.os !== "windows") {
  Deno.addSignalListener("SIGTERM", () => stop("SIGTERM"));
}
await warn(`Listening on ${formatAddress(listener.addr)}\n`);
await serve(listener);
await finish();
