/**
 * The live page: serves it, and bridges the server's TCP stream to a WebSocket
 * from which the page asks for one read after another.
 *
 * ```shell
 * deno task web
 * deno task web --help
 * ```
 *
 * The page sends how many bytes it wants, `16`, and gets one binary message
 * with what one read of that size brings. Bytes that the page does not ask for
 * wait in TCP, so that neither side needs memory for them.
 *
 * @module
 */

import { buildPage } from "./build.ts";
import {
  fail,
  formatAddress,
  readFlags,
  readHostname,
  readInteger,
  serverCommand,
} from "../lesson/command_line.ts";

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff",
};

/** The most bytes that one read may bring. */
const MAX_READ = 4096;

/** The most requests of a page that may wait for an answer. */
const MAX_WAITING = 16;

/** Answers one request of a browser. */
async function handle(request: Request): Promise<Response> {
  const host = request.headers.get("host") ?? "";
  // Pages of other sites may reach this address by a name of their own.
  if (!hosts.includes(host)) return reply(421, `This is ${hosts[0]}`);
  if (request.method !== "GET") {
    return reply(405, "Only GET is allowed", { allow: "GET" });
  }
  const { pathname } = new URL(request.url);
  if (pathname === "/stream") {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return reply(426, "This is a WebSocket", { upgrade: "websocket" });
    }
    if (request.headers.get("origin") !== `http://${host}`) {
      return reply(403, "Only the page itself may read the stream");
    }
    return bridge(request);
  }
  if (pathname !== "/") return reply(404, "Nothing is here");
  const body = await buildPage(`ws://${host}/stream`, address);
  return reply(200, body, { "content-type": "text/html; charset=utf-8" });
}

function reply(
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(body, { status, headers: { ...HEADERS, ...headers } });
}

/** Connects a page to a stream of its own. */
function bridge(request: Request): Response {
  // No timeout: a page paused in a debugger loses nothing.
  const { socket, response } = Deno.upgradeWebSocket(request, {
    idleTimeout: 0,
  });
  const buffer = new Uint8Array(MAX_READ);
  let connection: Deno.TcpConn | undefined;
  let waiting = 0;
  let answered: Promise<void>;

  async function connect(): Promise<void> {
    try {
      connection = await Deno.connect(server);
    } catch (error) {
      end(4001, report(error as Error));
      return;
    }
    reported = "";
    if (socket.readyState !== WebSocket.OPEN) disconnect();
  }

  // A stream ends with 1000, or with 4001 if there is no connection, 4002 if it
  // broke, and 1008 if the page asks for too much.

  /** Answers one request with one read. */
  async function answer(size: number): Promise<void> {
    if (connection === undefined) return;
    try {
      const count = await connection.read(buffer.subarray(0, size));
      if (count === null) end(1000);
      else socket.send(buffer.slice(0, count));
    } catch (error) {
      end(4002, (error as Error).message);
    }
    waiting--;
  }

  function disconnect(): void {
    connection?.close();
    connection = undefined;
  }

  /** Ends the stream, if the page has not done so. */
  function end(code: number, reason = ""): void {
    if (socket.readyState === WebSocket.OPEN) {
      // A reason may have at most 123 bytes.
      socket.close(code, reason.replace(/[^ -~]/g, "?").slice(0, 123));
    }
    disconnect();
  }

  socket.onopen = () => answered = connect();
  socket.onmessage = ({ data }) => {
    const isSize = /^[1-9]\d{0,3}$/.test(data) && Number(data) <= MAX_READ;
    if (!isSize) return end(1008, `a request is a number up to ${MAX_READ}`);
    if (++waiting > MAX_WAITING) return end(1008, "too many requests wait");
    answered = answered.then(() => answer(Number(data)));
  };
  socket.onclose = disconnect;
  return response;
}

/** Returns why there is no connection, and says so in the terminal, too. */
function report({ name, message }: Error): string {
  const text = name === "ConnectionRefused"
    ? `Nothing listens on ${address}. Start the server in another terminal: ${
      serverCommand(server)
    }`
    : `Cannot connect to ${address} (${message})`;
  warnOnce(text);
  return text;
}

/** Says in the terminal what does not work, once until it works or something else does not. */
function warnOnce(text: string): void {
  if (text !== reported) console.error(text);
  reported = text;
}

/** Serves the page again: Deno.serve ends if the process cannot open any more files. Open streams go on. */
function serveAgain({ message }: Error): void {
  warnOnce(`Cannot accept pages: ${message}`);
  pause().then(() => listen(page.addr.port).finished).catch(serveAgain);
}

/** Waits for files to be closed. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 100));
}

/** Returns the address of the TCP server, if this program may connect to it. */
function findServer(): { hostname: string; port: number } {
  const hostname = readHostname(flags.hostname);
  const port = readInteger("port", flags.port, [1, 65_535]);
  const host = formatAddress({ hostname, port });
  if (Deno.permissions.querySync({ name: "net", host }).state !== "granted") {
    fail(
      `Deno was not allowed to connect to ${host}. Allow it: deno run --allow-read --allow-net=127.0.0.1,${host} web/serve.ts --hostname ${hostname} --port ${port}`,
    );
  }
  return { hostname, port };
}

/** Serves the page. */
function listen(port: number): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({
    hostname: "127.0.0.1",
    port,
    onListen() {},
    onError(error) {
      console.error(`Cannot answer the browser: ${error}`);
      return reply(500, `${error}`);
    },
  }, handle);
}

/** Returns why the page cannot be served, and what to do about it. */
function explain({ name, message }: Error): string {
  return name === "AddrInUse"
    ? `port ${webPort} is taken, perhaps by this program in another terminal. Stop that one, or take any free port: --web-port 0`
    : `cannot listen on 127.0.0.1:${webPort} (${message}). Start the page as a task, on any free port: deno task web --web-port 0`;
}

const USAGE =
  `Serves a page that draws every read from streamServer.ts, and what both clients
make of it.

USAGE:
  deno task web [OPTIONS]

OPTIONS:
  --hostname <HOST>  the server's address (default: 127.0.0.1)
  --port <PORT>      the server's port (default: 9092)
  --web-port <PORT>  port of the page, on 127.0.0.1; 0 for any free one
                     (default: 8000)
  -h, --help         print this help`;

const flags = readFlags(
  USAGE,
  { hostname: "127.0.0.1", port: "9092", "web-port": "8000" },
);
const webPort = readInteger("web-port", flags["web-port"], [0, 65_535]);

/** What was last said in the terminal about what does not work. */
let reported = "";
const server = findServer();
const address = formatAddress(server);
let page: Deno.HttpServer<Deno.NetAddr>;
try {
  page = listen(webPort);
} catch (error) {
  fail(explain(error as Error));
}
page.finished.catch(serveAgain);
const hosts = ["127.0.0.1", "localhost"].map((name) =>
  new URL(`http://${name}:${page.addr.port}`).host
);
console.error(`Open http://${hosts[0]} in a browser. Ctrl+C ends this program`);
