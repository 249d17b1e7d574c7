/** The server: every client that connects gets a stream of messages. @module */
import { parseArgs } from "@std/cli/parse-args";
import { FrameWriter, HEADER_LENGTH } from "./framing.ts";

/** Sends one client its messages, each when it is due, and lets it finish. */
async function stream(client: Deno.TcpConn): Promise<void> {
  using connection = client;
  const address = format(connection.remoteAddr);
  const frames = new FrameWriter(connection);
  let sent = 0;
  let lines = "";
  try {
    await log(`Connect from ${address} established\n`);
    connection.setKeepAlive(); // notices a client whose machine is gone
    const closed = discardInput(connection);
    closed.catch(() => {}); // awaited when the stream has ended
    let due = performance.now();
    while (sent < count) {
      if (interval > 0) {
        await sleep(Math.max(0, due - performance.now()));
        // The pace does not drift. After a pause, as when a laptop slept, the
        // missed messages do not come in a burst. Timers may be 10 ms late.
        due = Math.max(due + interval, performance.now() + interval / 2 - 10);
      }
      if (isStopping) break;
      const message = `The time is ${timestamp()}`;
      frames.add(message); // the header, then the message
      sent++;
      if (!quiet) {
        lines += `${String(message.length).padEnd(HEADER_LENGTH)}${message}\n`;
      }
      // At full speed, messages go by the buffer, and no more are made until the
      // client has room: one that is slow, or does not read, costs one buffer.
      if (interval > 0 || frames.isFull || sent === count) {
        await frames.flush();
        if (!quiet) await log(lines);
        lines = "";
      }
    }
    await connection.closeWrite();
    await closed;
    await log(`${address} finished, ${sent} messages\n`, Deno.stderr);
  } catch (error) {
    const { message } = error as Error;
    await log(`${address} left after ${sent}: ${message}\n`, Deno.stderr);
  }
}

/**
 * Reads until the client closes. Unread input would turn closing into a reset,
 * which costs the client its last messages.
 */
async function discardInput(connection: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(1024);
  while (await connection.read(buffer) !== null);
}

/** Accepts clients one after another, and serves all of them at once. */
async function serve(): Promise<void> {
  while (!isStopping) {
    try {
      const client = stream(await listener.accept());
      clients.add(client);
      client.finally(() => clients.delete(client));
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      if (code !== "EMFILE" && code !== "ENFILE") continue; // it left already
      log(`Cannot accept clients: ${message}\n`, Deno.stderr);
      await sleep(1000); // New clients wait until others have left.
    }
  }
}

/** Returns the seconds since 1970, with six decimals. */
function timestamp(): string {
  // The system's clock has milliseconds, and may be set at any time. The
  // monotonic clock adds the digits below them, and does not step back.
  const millisecond = Date.now();
  const time = origin + performance.now();
  const right = Math.min(Math.max(time, millisecond), millisecond + 0.999);
  origin += right - time;
  return (right / 1000).toFixed(6);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Writes lines. The server outlives a full disk, and a reader that leaves. */
async function log(lines: string, output = Deno.stdout): Promise<void> {
  await output.write(new TextEncoder().encode(lines)).catch(() => {});
}

/** Returns `HOST:PORT`, with brackets around an IPv6 address. */
function format(address: { hostname: string; port: number }): string {
  const { hostname: host, port } = address;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Has every stream end after a whole message. */
function stop(): void {
  if (isStopping) return;
  isStopping = true;
  listener.close();
  setTimeout(Deno.exit, 1500, 0); // for clients that take longer to finish
  // A second Ctrl+C ends the program at once, but not the copy of the first
  // that `deno task` passes on within milliseconds.
  setTimeout(Deno.removeSignalListener, 200, "SIGINT", stop);
}

/** Ends the program with one line on stderr. */
function fail(message: string, code = 1): never {
  console.error(`error: ${message}`);
  Deno.exit(code);
}

const flags = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
  string: ["hostname", "port", "count", "interval"],
  boolean: ["quiet", "help"],
  alias: { h: "help" },
  default: { hostname: "127.0.0.1", port: "9092", count: "20", interval: ".1" },
  unknown: (arg) => fail(`unknown argument "${arg}". The flags: --help`, 2),
});
if (flags.help) {
  console.log(`Sends every client that connects a stream of messages.

  --hostname <HOST>     address to listen on (default: 127.0.0.1)
  --port <PORT>         port to listen on; 0 for any free one (default: 9092)
  --count <N>           messages per client; 0 for no end (default: 20)
  --interval <SECONDS>  time between messages; 0 for full speed (default: 0.1)
  --quiet               print no line per message
  -h, --help            print this help`);
  Deno.exit();
}
const { hostname, quiet } = flags;
const port = number("port", 65_535);
const count = number("count", Number.MAX_SAFE_INTEGER) || Infinity;
const interval = 1000 * number("interval", 86_400, "a number"); // milliseconds

type NumberFlag = "port" | "count" | "interval";

/** Returns the value of a flag that takes a number. */
function number(name: NumberFlag, max: number, kind = "an integer"): number {
  const value = Number(flags[name] || NaN);
  const isRight = kind === "a number" || Number.isInteger(value);
  if (isRight && value >= 0 && value <= max) return value;
  fail(`--${name} takes ${kind} from 0 to ${max}, not "${flags[name]}"`, 2);
}

const clients = new Set<Promise<void>>(); // the streams that are running
let origin = performance.timeOrigin; // the time when the monotonic clock was 0
let isStopping = false;
let listener: Deno.TcpListener;
try {
  // The default backlog (511) loses clients when thousands dial at once.
  listener = Deno.listen({ hostname, port, tcpBacklog: 4096 });
} catch (error) {
  const { name, message } = error as Error;
  const isPort = name === "AddrInUse" || name === "PermissionDenied";
  const advice = isPort
    ? "Stop the program that has this port, or let the system choose one, which the clients then need, too: --port 0"
    : "Use an address of this machine: --hostname 127.0.0.1";
  fail(`cannot listen on ${format({ hostname, port })}: ${message}. ${advice}`);
}
Deno.addSignalListener("SIGINT", stop);
Deno.addSignalListener("SIGTERM", stop);
await log(`Listening on ${format(listener.addr)}\n`, Deno.stderr);
await serve();
await Promise.all(clients);
Deno.exit();
