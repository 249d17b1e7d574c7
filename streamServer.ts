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

import {
  fail,
  formatAddress,
  hostnameFlag,
  integer,
  parseCommandLine,
  portFlag,
  printLine,
  seconds,
  toggle,
} from "./command_line.ts";
import { FrameWriter, HEADER_LENGTH } from "./framing.ts";

/** Lets clients in, one after the other, and serves all of them at once. */
async function serve(listener: Deno.TcpListener): Promise<void> {
  while (!isStopping) {
    let connection: Deno.TcpConn;
    try {
      connection = await listener.accept();
    } catch (error) {
      if (isStopping) break;
      if (hasLeft(error)) continue;
      // As a rule the process may open no more files. Those who dial wait in
      // the listener's backlog until some of those who are here have left.
      say("accept", `Letting nobody in for now: ${(error as Error).message}`);
      await until(performance.now() + 100);
      continue;
    }
    if (clients.size >= options["max-clients"]) {
      refuse(connection);
      continue;
    }
    const client = stream(connection).finally(() => {
      clients.delete(client);
      if (clients.size === 0) said.clear();
    });
    clients.add(client);
  }
  await Promise.all(clients);
}

/** Whether a client was not let in because it has left already, as port scanners do. */
function hasLeft(error: unknown): boolean {
  return error instanceof Deno.errors.NotConnected ||
    error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionAborted ||
    (error as { code?: string }).code === "EINVAL"; // So says macOS.
}

/** Sends one client its messages, each when it is due, and sees it off. */
async function stream(client: Deno.TcpConn): Promise<void> {
  using connection = client;
  const address = formatAddress(connection.remoteAddr);
  const { count, interval, quiet } = options;
  let made = 0;
  let sent = 0;
  let lines = "";
  const frames = new FrameWriter(connection);

  /** Takes note of what has been written. */
  function note(): void {
    messages += made - sent;
    sent = made;
    if (lines !== "") print(lines);
    lines = "";
  }

  print(`Connect from ${address} established`);
  try {
    connection.setKeepAlive(); // Tells, after hours, that a client's machine is gone.
    const closed = discardInput(connection);
    let due = performance.now();
    while (made < count || count === 0) {
      if (interval > 0) {
        if (due > performance.now() && !isStopping) await until(due);
        due = nextDue(due);
      }
      if (isStopping) break;
      const message = `The time is ${timestamp()}`;
      frames.add(message);
      made++;
      if (!quiet) {
        const header = String(message.length).padEnd(HEADER_LENGTH);
        lines += `${lines && "\n"}${header}${message}`;
      }
      // A message that is due goes out by itself; at full speed, as many as fill
      // a buffer go together. No more are made until the client has room for
      // them, so one that reads slowly, or not at all, costs one buffer.
      if (interval > 0 || frames.isFull) {
        await frames.flush();
        note();
      }
    }
    await frames.flush();
    note();
    await connection.closeWrite();
    // A client that stands still in a debugger takes the rest when it goes on,
    // however late. Were the connection closed, the system would keep what is
    // under way for some minutes only.
    await closed;
  } catch (error) {
    warn(
      `${address} left after ${sent} messages: ${(error as Error).message}`,
    );
  }
}

/** Ends the stream of a client that is one too many before its first message. */
async function refuse(client: Deno.TcpConn): Promise<void> {
  using connection = client;
  const { "max-clients": max } = options;
  say("refuse", `Refusing clients for now: ${max} are here (--max-clients)`);
  try {
    const closed = discardInput(connection);
    await connection.closeWrite();
    const timer = setTimeout(() => connection.close(), REFUSAL);
    await closed;
    clearTimeout(timer);
  } catch {
    // It has left by itself.
  }
}

/**
 * Reads what a client sends and throws it away, until it closes. To close a
 * connection with input unread would reset it, and cost the client the messages
 * that it has not read yet.
 */
async function discardInput(connection: Deno.TcpConn): Promise<void> {
  try {
    while (await connection.read(discarded) !== null);
  } catch {
    // It was reset: writing to it will say so.
  }
}

/** When the message is due that follows one which was due. */
function nextDue(due: number): number {
  // Due times are a fixed interval apart, so the pace does not drift. After a
  // pause (a laptop slept, a client was busy) a stream catches up with half the
  // interval between messages rather than with a burst; 10 ms of lateness is
  // what timers may have.
  const interval = options.interval * 1000;
  return Math.max(due + interval, performance.now() + interval / 2 - 10);
}

/** Waits until a time in milliseconds, less where the server is told to stop. */
function until(due: number): Promise<void> {
  const time = Math.ceil(due);
  const shared = alarms.get(time);
  if (shared !== undefined) return shared.promise;
  const alarm = Promise.withResolvers<void>();
  alarms.set(time, alarm);
  setTimeout(() => {
    alarms.delete(time);
    alarm.resolve();
  }, Math.max(0, Math.ceil(time - performance.now())));
  return alarm.promise;
}

/** Seconds since the Unix epoch with exactly six decimals, so that every message has the same length. */
function timestamp(): string {
  const now = performance.timeOrigin + performance.now();
  const millisecond = Math.floor(now);
  if (millisecond !== time.millisecond) {
    const second = Math.floor(millisecond / 1000);
    const text = `${second}.${THOUSANDTHS[millisecond % 1000]}`;
    time = { millisecond, text };
  }
  return time.text + THOUSANDTHS[Math.floor((now - millisecond) * 1000)];
}

/** Prints to stdout, as long as somebody reads it: a server outlives its log. */
function print(lines: string): void {
  if (isUnheard) return;
  try {
    printLine(lines);
  } catch (error) {
    isUnheard = true;
    warn(`Printing no more: ${(error as Error).message}`);
  }
}

/** Says on stderr what is the matter, once until the rush is over. */
function say(matter: string, message: string): void {
  if (!said.has(matter)) warn(message);
  said.add(matter);
}

function warn(message: string): void {
  try {
    console.error(message);
  } catch {
    // Nobody reads stderr any more, which is no reason to end.
  }
}

/** The first signal ends every stream after a whole message; a second one ends the program at once. */
function stop(signal: Deno.Signal): void {
  if (isStopping) Deno.exit(signal === "SIGTERM" ? 143 : 130);
  isStopping = true;
  warn(`Stopping; clients still here: ${clients.size}`);
  listener.close();
  for (const alarm of alarms.values()) alarm.resolve();
  setTimeout(finish, options.grace * 1000);
}

function finish(): never {
  const rest = clients.size === 0
    ? ""
    : `; clients that had not left within --grace: ${clients.size}`;
  warn(`Stopped after ${messages} messages${rest}`);
  Deno.exit(0);
}

function listen(): Deno.TcpListener {
  const { hostname, port } = options;
  const address = formatAddress(options);
  try {
    // The default backlog (511) loses clients when thousands dial at once.
    return Deno.listen({ hostname, port, tcpBacklog: 4096 });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      fail(
        `port ${port} on ${hostname} is taken, maybe by a server that is still running: stop that one, or choose another port with --port (and start the clients with the same)`,
      );
    }
    if (error instanceof Deno.errors.NotCapable) {
      fail(
        `Deno was not allowed to listen on ${address}: start it with deno run --allow-net=${address} streamServer.ts --hostname ${hostname} --port ${port}`,
      );
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      fail(
        `the system does not permit to listen on ${address}: choose a port from 1024 to 65535 with --port`,
      );
    }
    fail(
      `cannot listen on ${address}, which may be no address of this machine: try --hostname 127.0.0.1 (${
        (error as Error).message
      })`,
    );
  }
}

/** How long a client that is refused may take to leave, in milliseconds. */
const REFUSAL = 2_000;

const options = parseCommandLine({
  command: "deno task server",
  about:
    "Sends every client that connects a stream of messages, each behind a header of 10 bytes.",
}, {
  hostname: hostnameFlag(
    "address to listen on; 0.0.0.0 for all of this machine",
  ),
  port: portFlag("port to listen on; 0 for any that is free", 0),
  count: integer({
    placeholder: "N",
    about: "messages for each client; 0 for as long as it stays",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    fallback: 20,
  }),
  interval: seconds({
    about: "time from message to message; 0 for full speed",
    fallback: 0.1,
  }),
  "max-clients": integer({
    placeholder: "N",
    about: "clients served at once; more are refused",
    min: 1,
    max: 1_000_000,
    fallback: 20_000,
  }),
  grace: seconds({
    about: "how long clients may take to finish when the server is stopped",
    fallback: 1.5,
  }),
  quiet: toggle("no line per message"),
});

/** The streams that are running. */
const clients = new Set<Promise<void>>();
/** How many messages have been sent. */
let messages = 0;
/** The current millisecond and how it is written: at full speed, thousands of messages share it. */
let time = { millisecond: NaN, text: "" };
/** 0 to 999 in three digits. */
const THOUSANDTHS = Array.from(
  { length: 1000 },
  (_, i) => String(i).padStart(3, "0"),
);
/** When somebody is to be woken, in milliseconds: thousands of clients share one timer for each. */
const alarms = new Map<number, PromiseWithResolvers<void>>();
let isStopping = false;
let isUnheard = false;
const said = new Set<string>();
/** Where input goes, everyone's in one place, as nobody looks at it. */
const discarded = new Uint8Array(16 * 1024);

const listener = listen();
Deno.addSignalListener("SIGINT", () => stop("SIGINT"));
if (Deno.build.os !== "windows") {
  Deno.addSignalListener("SIGTERM", () => stop("SIGTERM"));
}
warn(`Listening on ${formatAddress(listener.addr)}`);
await serve(listener);
finish();
