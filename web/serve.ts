/**
 * Serves the page of the lesson, and bridges the server's TCP stream to a
 * WebSocket from which the page asks for one read after another.
 *
 * The page sends how many bytes it wants, `16`, and gets one binary message
 * with what one read of that size brings. Bytes that the page does not ask for
 * wait in TCP, so that neither side needs memory for them.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { fail } from "../lesson/processes.ts";
import { buildPage } from "./build.ts";

/** The most bytes that one read may bring. */
const MAX_READ = 4096;

/** The most requests of a page that may wait for an answer. */
const MAX_WAITING = 16;

const USAGE =
  "use --hostname and --port of the server, and --web-port of the page, 0 for any free one";

/** Answers one request of a browser. */
async function handle(request: Request): Promise<Response> {
  // A page of another site may reach this program by a name of its own.
  const host = request.headers.get("host") ?? "";
  if (!hosts.includes(host)) {
    const advice =
      "on the computer where this program runs. For another computer, forward this port to the same port there, and open the same address there.";
    return reply(421, `Open http://${hosts[0]} ${advice}`);
  }
  const { pathname } = new URL(request.url);
  if (pathname !== "/" && pathname !== "/stream") {
    return reply(404, `Nothing is here. Open http://${host}`);
  }
  if (request.method !== "GET") {
    return reply(405, "Only GET is allowed", { allow: "GET" });
  }
  if (pathname === "/stream") {
    const isOwn = request.headers.get("origin") === `http://${host}`;
    return isOwn ? bridge(request) : reply(403, "Only the page may read this");
  }
  const stream = `ws://${host}/stream`;
  const { html, policy } = await buildPage({ stream, address });
  return reply(200, html, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": `${policy}; frame-ancestors 'none'`,
  });
}

function reply(status: number, body: string, headers = {}): Response {
  return new Response(body, {
    status,
    headers: {
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "cross-origin-resource-policy": "same-origin",
      "x-content-type-options": "nosniff",
      ...headers,
    },
  });
}

/** Connects a page to a stream of its own. */
function bridge(request: Request): Response {
  let upgraded: Deno.WebSocketUpgrade;
  try {
    // No timeout: a page paused in a debugger loses nothing.
    upgraded = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  } catch {
    return reply(426, "This is a WebSocket", { upgrade: "websocket" });
  }
  const { socket, response } = upgraded;
  const buffer = new Uint8Array(MAX_READ);
  let connection: Deno.TcpConn | undefined;
  let waiting = 0;
  let answered: Promise<void>;

  async function connect(): Promise<void> {
    try {
      connection = await Deno.connect({ hostname, port });
    } catch (error) {
      const { name, message } = error as Error;
      const hint = name === "ConnectionRefused"
        ? `Nothing listens on ${address}. Start the server: deno task server --hostname ${hostname} --port ${port}`
        : `Cannot connect to ${address}: ${message}`;
      end(4001, hint);
    }
    if (socket.readyState !== WebSocket.OPEN) disconnect(); // The page has left.
  }

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

  /** Ends the stream, unless the page has left. */
  function end(code: number, reason = ""): void {
    if (socket.readyState === WebSocket.OPEN) {
      // A reason may have at most 123 bytes.
      socket.close(code, reason.replace(/[^ -~]/g, "?").slice(0, 123));
    }
    disconnect();
  }

  function disconnect(): void {
    connection?.close();
    connection = undefined;
  }

  // Set at once, as the page sends its first request before TCP is connected.
  socket.onopen = () => answered = connect();
  socket.onmessage = ({ data }) => {
    const isSize = /^[1-9]\d{0,3}$/.test(data) && Number(data) <= MAX_READ;
    if (!isSize) return end(1008, `A request is a number up to ${MAX_READ}`);
    if (++waiting > MAX_WAITING) return end(1008, "Too many requests wait");
    answered = answered.then(() => answer(Number(data)));
  };
  socket.onclose = disconnect;
  return response;
}

const flags = parseArgs(Deno.args.filter((arg) => arg !== "--"), {
  string: ["hostname", "port", "web-port"],
  default: { hostname: "127.0.0.1", port: "9092", "web-port": "8000" },
  unknown: (arg) => fail(`unknown argument "${arg}": ${USAGE}`, 2),
});
const { hostname } = flags;
const port = toPort("port", 1);
const address = `${hostname.replace(/.*:.*/, "[$&]")}:${port}`;
const webPort = toPort("web-port", 0);

/** Returns the value of a flag that takes a port. */
function toPort(name: "port" | "web-port", min: number): number {
  const text = flags[name];
  const value = Number(text || NaN);
  if (Number.isInteger(value) && value >= min && value <= 65_535) return value;
  fail(`--${name} takes an integer from ${min} to 65535, not "${text}"`, 2);
}

let page: Deno.HttpServer<Deno.NetAddr>;
try {
  page = Deno.serve({
    hostname: "127.0.0.1",
    port: webPort,
    onListen() {},
    onError: (error) => reply(500, `${error}`),
  }, handle);
} catch (error) {
  const { message } = error as Error;
  fail(`cannot serve the page: ${message}. Take any free port: --web-port 0`);
}
const hosts = ["127.0.0.1", "localhost"].map((name) =>
  new URL(`http://${name}:${page.addr.port}`).host // without port 80
);
console.error(`Open http://${hosts[0]} in a browser. Ctrl+C ends this program`);
