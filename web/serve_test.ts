/**
 * Tests of the program that serves the live page.
 *
 * @module
 */

import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "../fuzz/reference.ts";
import {
  holdings,
  output,
  tellsHoldings,
  test as processTest,
  until,
  within,
  writeAll,
} from "../tests/testing.ts";
import {
  type Page,
  ROOT,
  type Stage,
  startPage,
  startWeb,
  TcpServer,
  withPage,
} from "./testing.ts";

const utf8 = new TextEncoder();

/** The headers with which a browser asks for a WebSocket. */
const UPGRADE = {
  upgrade: "websocket",
  connection: "Upgrade",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
};

/** Bytes to send, as many as a socket takes at once. */
const ZEROS = new Uint8Array(64 * 1024);

test("the page and its modules are served with the policy headers", async ({ page }) => {
  const types: Record<string, string> = {
    "/": "text/html",
    "/web/page.css": "text/css",
    "/web/page.ts": "text/javascript",
    "/web/clients.ts": "text/javascript",
    "/lesson/reading.ts": "text/javascript",
    "/framing.ts": "text/javascript",
    "/streamClientEx1.ts": "text/plain",
    "/streamClient01Soln.ts": "text/plain",
  };
  for (const [path, type] of Object.entries(types)) {
    const response = await fetch(page.url + path);
    assertEquals(response.status, 200);
    const { headers } = response;
    assertEquals(headers.get("content-type"), `${type}; charset=utf-8`);
    assertEquals(
      headers.get("content-security-policy"),
      "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    );
    assertEquals(headers.get("cross-origin-resource-policy"), "same-origin");
    assertEquals(headers.get("x-content-type-options"), "nosniff");
    assertEquals(headers.get("cache-control"), "no-store");
    await response.body?.cancel();
  }
});

test("framing.ts is served as JavaScript with every character where it was", async ({ page }) => {
  const response = await fetch(`${page.url}/framing.ts`);
  const served = await response.text();
  const source = await Deno.readTextFile(`${ROOT}framing.ts`);
  assertEquals(served.length, source.length);
  for (let at = 0; at < source.length; at++) {
    if (/\S/.test(served[at]) && served[at] !== source[at]) {
      // A type may leave a semicolon behind, so that statements stay apart.
      assertEquals(served[at], ";", served.slice(at - 80, at + 20));
    }
    if (source[at] === "\n") assertEquals(served[at], "\n");
  }
  await import(`data:text/javascript,${encodeURIComponent(served)}`);
});

test("what is not the page's is refused", async ({ page }) => {
  const { host, port } = new URL(page.url);
  const origin = page.url;
  const cases: [number, string, Record<string, string>, string?][] = [
    [200, "/", {}],
    [200, "/", { host: `localhost:${port}` }],
    [421, "/", { host: `evil.example:${port}` }],
    [421, "/", { host: "127.0.0.1" }],
    [421, "/", { host: `127.0.0.1:${port}.evil.example` }],
    [421, "/stream", { ...UPGRADE, origin, host: `evil.example:${port}` }],
    [405, "/", {}, "POST"],
    [405, "/framing.ts", {}, "HEAD"],
    [404, "/deno.json", {}],
    [404, "/web/serve.ts", {}],
    [404, "/web/page.html", {}],
    [404, "/web/../deno.json", {}],
    [404, "/web/%2e%2e/deno.json", {}],
    [404, "/constructor", {}],
    [426, "/stream", { origin }],
    [403, "/stream", UPGRADE],
    [403, "/stream", { ...UPGRADE, origin: "null" }],
    [403, "/stream", { ...UPGRADE, origin: "http://evil.example" }],
    [403, "/stream", { ...UPGRADE, origin: `https://${host}` }],
    [403, "/stream", { ...UPGRADE, origin: `http://localhost:${port}` }],
    [101, "/stream", { ...UPGRADE, origin }],
  ];
  for (const [status, path, headers, method = "GET"] of cases) {
    const lines = Object.entries({ host, ...headers }).map((pair) =>
      pair.join(": ")
    );
    const all = [`${method} ${path} HTTP/1.1`, ...lines];
    const [connection, answer] = await request(Number(port), all);
    connection.close();
    assertEquals(answer, `HTTP/1.1 ${status}`, all.join("\n"));
  }
});

test("the page gets what one read brings, up to what it asked for, until the stream ends", async ({ page, tcpPort }) => {
  await using server = new TcpServer(
    tcpPort,
    (connection) =>
      writeAll(connection, join([utf8.encode("29        The ti"), ZEROS])),
  );
  await using stream = await openStream(page);
  assertEquals(decode(await stream.ask(16)), "29        The ti");
  assertEquals((await stream.ask(1)).length, 1);
  let bytes = 17;
  while (bytes < 16 + ZEROS.length) {
    const { length } = await stream.ask(4096);
    assert(length >= 1 && length <= 4096);
    bytes += length;
  }
  stream.send("16");
  assertEquals(await stream.closed, [1000, ""]);
  await server.left;
});

test("a stream that is no stream of frames arrives as it is", async ({ page, tcpPort }) => {
  const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  await using _ = new TcpServer(
    tcpPort,
    (connection) => writeAll(connection, every),
  );
  await using stream = await openStream(page);
  assertEquals(await stream.take(256), every);
});

test("a bad request ends the stream with 1008", async ({ page, tcpPort }) => {
  await using _ = new TcpServer(
    tcpPort,
    (connection) => writeAll(connection, ZEROS),
  );
  const bad = ["", "0", "01", "-1", "1e3", "16 ", "4097", "99999", "١"];
  for (const request of [...bad, new Uint8Array([49])]) {
    await using stream = await openStream(page);
    await stream.ask(4096);
    stream.send(request);
    const expected = [1008, "a request is a number up to 4096"];
    assertEquals(await stream.closed, expected, `${request}`);
  }
});

test("a flood of requests ends the stream with 1008", async ({ page, tcpPort }) => {
  await using server = new TcpServer(tcpPort);
  await using stream = await openStream(page);
  for (let i = 0; i < 16; i++) stream.send("1");
  await server.write(utf8.encode("x"));
  assertEquals(decode(await stream.next()), "x");
  for (let i = 0; i < 2; i++) stream.send("1");
  assertEquals(await stream.closed, [1008, "too many requests wait"]);
  await server.left;
});

test("a page that asks but does not read costs bounded memory", async ({ page, tcpPort }) => {
  await using server = new TcpServer(tcpPort, async (connection) => {
    while (true) await writeAll(connection, ZEROS);
  });
  const { host, port } = new URL(page.url);
  const headers = { host, origin: page.url, ...UPGRADE };
  const lines = Object.entries(headers).map((pair) => pair.join(": "));
  const [socket, answer] = await request(
    Number(port),
    ["GET /stream HTTP/1.1", ...lines],
  );
  assertEquals(answer, "HTTP/1.1 101");
  const frame = webSocketFrame("4096");
  // The stream is ended when 64 KiB are unread, after what the system buffers.
  let isOver = false;
  server.left.finally(() => isOver = true);
  while (!isOver) {
    await writeAll(socket, frame);
    // One by one, as more than 16 that wait would end the stream, too.
    await new Promise((resolve) => setTimeout(resolve));
  }
  await server.left;
  socket.close();
});

test("where nothing listens, page and terminal tell how to start the server", async ({ page, tcpPort }) => {
  const hint =
    `Nothing listens on 127.0.0.1:${tcpPort}. Start the server in another terminal: deno task server --port ${tcpPort}`;
  for (let i = 0; i < 3; i++) {
    await using stream = await openStream(page);
    assertEquals(await stream.closed, [4001, hint]);
  }
  assertEquals(page.script.stderr.text.split(hint).length, 2, "once");
  {
    await using _ = new TcpServer(
      tcpPort,
      (connection) => writeAll(connection, ZEROS),
    );
    await using stream = await openStream(page);
    await stream.ask(1);
  }
  await using stream = await openStream(page);
  assertEquals(await stream.closed, [4001, hint]);
  assertEquals(page.script.stderr.text.split(hint).length, 3, "again");
});

test("a connection that is reset ends the stream with 4002", async ({ page, tcpPort }) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.write("x");
  });
  server.listen(tcpPort, "127.0.0.1");
  await once(server, "listening");
  await using stream = await openStream(page);
  assertEquals(decode(await stream.ask(16)), "x");
  stream.send("16");
  for (const socket of sockets) socket.resetAndDestroy();
  const [code, reason] = await stream.closed;
  assertEquals(code, 4002);
  assertMatch(reason, /^[ -~]*reset[ -~]*$/i);
  server.close();
  await once(server, "close");
});

test("a page that leaves closes its connection, asked or not", async ({ page, tcpPort }) => {
  for (const isAsked of [true, false]) {
    await using server = new TcpServer(tcpPort);
    const stream = await openStream(page);
    await server.accepted;
    if (isAsked) stream.send("16");
    await stream[Symbol.asyncDispose]();
    await server.left;
  }
});

test("what the page does not ask for waits in TCP", async ({ page, tcpPort }) => {
  let written = 0;
  await using _ = new TcpServer(tcpPort, async (connection) => {
    while (true) {
      await writeAll(connection, ZEROS);
      written += ZEROS.length;
    }
  });
  await using stream = await openStream(page);
  for (let i = 0; i < 2000; i++) await stream.ask(1);
  assert(written < 2 ** 25, `the system buffers less than ${written} bytes`);
});

test("twenty pages at once get a whole stream each, at full speed", async ({ page, tcpPort }) => {
  const stream = join(Array(50).fill(ZEROS));
  await using _ = new TcpServer(
    tcpPort,
    (connection) => writeAll(connection, stream),
  );
  const take = async () => {
    await using reader = await openStream(page);
    await reader.take(stream.length);
    reader.send("1");
    assertEquals(await reader.closed, [1000, ""]);
  };
  const round = () => Promise.all(Array.from({ length: 20 }, take));
  await round();
  if (!tellsHoldings) return;
  const before = await holdings(page.script);
  for (let i = 0; i < 3; i++) await round();
  const { memory } = await holdings(page.script);
  assert(memory < before.memory + 50 * 2 ** 20, "memory stays flat");
  // A connection that is left by each page would be 60 files more.
  await until(
    () => "the end of all connections",
    async () => (await holdings(page.script)).files < before.files + 5,
  );
});

processTest(
  "deno task web answers a wrong command line with one line",
  async (t) => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const cases: [string[], number, RegExp][] = [
      [
        ["--por", "1"],
        2,
        /^unknown argument "--por"\. The flags of this program: --help$/,
      ],
      [
        ["--port", "0"],
        2,
        /^--port takes an integer from 1 to 65535, not "0"$/,
      ],
      [
        ["--web-port", "x"],
        2,
        /^--web-port takes an integer from 0 to 65535, not "x"$/,
      ],
      [
        ["--demo", "--port", "1"],
        2,
        /^--demo starts a server of its own\. Leave/,
      ],
      [
        ["--demo", "--hostname", "a"],
        2,
        /^--demo starts a server of its own\. /,
      ],
      [
        ["--web-port", `${taken.addr.port}`],
        1,
        /^port \d+ is taken, .* take any free port: --web-port 0$/,
      ],
      [
        ["--demo", "--web-port", `${taken.addr.port}`],
        1,
        /^port \d+ is taken, .* take any free port: --web-port 0$/,
      ],
      [
        ["--hostname", "example.com"],
        1,
        /^Deno was not allowed to connect to example\.com:9092\. Allow it: deno run --allow-read --allow-net=127\.0\.0\.1,example\.com:9092 web\/serve\.ts --hostname example\.com --port 9092$/,
      ],
    ];
    for (const [args, code, pattern] of cases) {
      await t.step(args.join(" "), async () => {
        await using script = startWeb(args);
        const result = await script.result();
        const [, line] = /^error: (.*)\n$/.exec(result.stderr) ?? [];
        assertMatch(line ?? result.stderr, pattern);
        assertEquals([result.code, result.stdout], [code, ""]);
      });
    }
    taken.close();
  },
);

processTest("deno task web --help shows its flags", async () => {
  await using script = startWeb(["--help"]);
  const { code, stdout } = await script.result();
  for (const flag of ["--hostname", "--port", "--web-port", "--demo"]) {
    assert(stdout.includes(`  ${flag} `));
  }
  assertEquals(code, 0);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  processTest(
    `${signal} ends deno task web and the server of --demo`,
    async () => {
      await using page = await startPage(["--demo"]);
      const { pid } = page.script;
      const child = await output("cat", `/proc/${pid}/task/${pid}/children`);
      assertMatch(child, /^\d+ $/);
      page.script.kill(signal);
      const { code } = await page.script.result();
      assertEquals(code, signal === "SIGINT" ? 130 : 143);
      await until(
        () => "the end of the server",
        async () => {
          const state = await output("cat", `/proc/${child.trim()}/stat`);
          return state === "" || /\) Z/.test(state);
        },
      );
    },
    tellsHoldings ? undefined : "needs /proc",
  );
}

/** Registers a test of the program that serves the page. */
function test(name: string, fn: (stage: Stage) => Promise<void>): void {
  processTest(`page: ${name}`, () => withPage(fn));
}

/** Opens a stream, as the page does. */
async function openStream({ url }: Page): Promise<Reader> {
  // An option of Deno's that the browser's types, which page.ts needs, lack.
  const options = { headers: { origin: url } } as never;
  const { host } = new URL(url);
  const reader = new Reader(new WebSocket(`ws://${host}/stream`, options));
  await within(reader.opened, () => "a WebSocket");
  return reader;
}

/** A page that reads a stream. */
class Reader implements AsyncDisposable {
  readonly opened: Promise<void>;
  /** Close code and reason, when the stream has ended. */
  readonly closed: Promise<[number, string]>;
  readonly #socket: WebSocket;
  readonly #reads: Uint8Array[] = [];
  #onRead = Promise.withResolvers<void>();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    this.opened = new Promise((resolve) => socket.onopen = () => resolve());
    const closed = new Promise<[number, string]>((resolve) =>
      socket.onclose = ({ code, reason }) => resolve([code, reason])
    );
    this.closed = within(closed, () => "the end of a stream");
    socket.onmessage = ({ data }) => {
      this.#reads.push(new Uint8Array(data));
      this.#onRead.resolve();
      this.#onRead = Promise.withResolvers();
    };
  }

  send(request: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(request);
  }

  /** Waits for the next answer. */
  async next(): Promise<Uint8Array> {
    while (this.#reads.length === 0) {
      const hasEnded = this.closed.then(([code]) => {
        throw new Error(`The stream has ended with ${code}`);
      });
      await Promise.race([this.#onRead.promise, hasEnded]);
    }
    return this.#reads.shift()!;
  }

  /** Asks for one read. */
  async ask(size: number): Promise<Uint8Array> {
    this.send(`${size}`);
    return await this.next();
  }

  /** Asks until a number of bytes is there. */
  async take(size: number): Promise<Uint8Array> {
    const all: Uint8Array[] = [];
    let rest = size;
    while (rest > 0) {
      const read = await this.ask(Math.min(rest, 4096));
      rest -= read.length;
      all.push(read);
    }
    return join(all);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}

/** Sends a request as it is. Returns the connection, and the beginning of the answer's first line. */
async function request(
  port: number,
  lines: string[],
): Promise<[Deno.TcpConn, string]> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await writeAll(connection, utf8.encode([...lines, "", ""].join("\r\n")));
  const answer = new Uint8Array("HTTP/1.1 200".length);
  for (let at = 0; at < answer.length;) {
    at += await connection.read(answer.subarray(at)) ?? answer.length;
  }
  return [connection, decode(answer)];
}

/** Returns a text as a frame that a browser sends over a WebSocket. */
function webSocketFrame(text: string): Uint8Array {
  const mask = [0, 0, 0, 0];
  const bytes = utf8.encode(text);
  return Uint8Array.from([0x81, 0x80 + bytes.length, ...mask, ...bytes]);
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
