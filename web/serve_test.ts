/**
 * Tests of the program that serves the live page.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "../fuzz/reference.ts";
import {
  freePort,
  inParallel,
  runScript,
  serveBytes,
  test as processTest,
  until,
  within,
  writeAll,
} from "../tests/testing.ts";
import {
  type Page,
  type Stage,
  startPage,
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

/** More bytes than the system buffers. */
const PLENTY = new Uint8Array(2 ** 26);

test("every answer has the policy headers", async ({ page }) => {
  const types = {
    "/": "text/html",
    "/framing.ts": "text/javascript",
    "/streamClientEx1.ts": "text/plain",
    "/streamClient01Soln.ts": "text/plain",
    "/nothing": "text/plain",
  };
  for (const [path, type] of Object.entries(types)) {
    const { headers, body } = await fetch(page.url + path);
    await body?.cancel();
    assertEquals(headers.get("content-type")?.split(";")[0], type, path);
    assertEquals(
      headers.get("content-security-policy"),
      "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    );
    assertEquals(headers.get("cross-origin-resource-policy"), "same-origin");
    assertEquals(headers.get("x-content-type-options"), "nosniff");
    assertEquals(headers.get("cache-control"), "no-store");
  }
});

test("framing.ts is served as JavaScript with every character where it was", async ({ page }) => {
  const response = await fetch(`${page.url}/framing.ts`);
  const served = await response.text();
  const source = await Deno.readTextFile(
    new URL("../framing.ts", import.meta.url),
  );
  assertEquals(served.length, source.length);
  for (let at = 0; at < source.length; at++) {
    // A type may leave a semicolon behind, so that statements stay apart.
    const isBlank = /[ ;]/.test(served[at]) && source[at] !== "\n";
    const text = served.slice(at - 80, at + 20);
    assert(isBlank || served[at] === source[at], text);
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
    const line = `${method} ${path}`;
    const all = { host, ...headers };
    const [connection, answer] = await request(Number(port), line, all);
    connection.close();
    assertEquals(answer, `HTTP/1.1 ${status}`, `${line} ${Deno.inspect(all)}`);
  }
});

test("a stream that is no stream of frames arrives as it is, in reads of up to what was asked for", async ({ page, server }) => {
  server.bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i);
  await using stream = await openStream(page);
  const reads: Uint8Array[] = [];
  for (let rest = server.bytes.length; rest > 0;) {
    const size = Math.min(rest, [1, 16, 4096][reads.length % 3]);
    const read = await stream.ask(size);
    assert(read.length >= 1 && read.length <= size);
    rest -= read.length;
    reads.push(read);
  }
  assertEquals(join(reads), server.bytes);
  stream.send("16");
  assertEquals(await stream.closed, [1000, ""]);
  await server.left();
});

test("a bad request ends the stream with 1008", async ({ page, server }) => {
  server.bytes = PLENTY;
  const bad = ["", "0", "01", "-1", "1e3", "16 ", "4097", "99999", "١"];
  for (const request of [...bad, new Uint8Array([49])]) {
    await using stream = await openStream(page);
    await stream.ask(4096);
    stream.send(request);
    const expected = [1008, "a request is a number up to 4096"];
    assertEquals(await stream.closed, expected, `${request}`);
  }
});

test("a flood of requests ends the stream with 1008", async ({ page, server }) => {
  await using stream = await openStream(page);
  for (let i = 0; i < 15; i++) stream.send("1");
  const answer = stream.ask(1);
  await writeAll(await server.client(), utf8.encode("x"));
  assertEquals(decode(await answer), "x");
  for (let i = 0; i < 2; i++) stream.send("1");
  assertEquals(await stream.closed, [1008, "too many requests wait"]);
  await server.left();
});

processTest(
  "page: where nothing listens, page and terminal tell how to start the server",
  async () => {
    const port = freePort();
    await using page = await startPage(["--port", `${port}`]);
    const hint =
      `Nothing listens on 127.0.0.1:${port}. Start the server in another terminal: deno task server --port ${port}`;
    for (let i = 0; i < 3; i++) {
      await using stream = await openStream(page);
      assertEquals(await stream.closed, [4001, hint]);
    }
    await page.stderr.waitFor(/Nothing listens/);
    assertEquals(page.stderr.text.split(hint).length, 2, "once");
    {
      await using _ = new TcpServer(port, PLENTY);
      await using stream = await openStream(page);
      await stream.ask(1);
    }
    await using stream = await openStream(page);
    assertEquals(await stream.closed, [4001, hint]);
    // The terminal's line may arrive after the page's.
    await until(() => "the hint again", () => {
      return page.stderr.text.split(hint).length === 3;
    });
  },
);

processTest(
  "page: a connection that is reset ends the stream with 4002",
  async () => {
    await using server = await serveBytes("x", "stall");
    await using page = await startPage(server.flags);
    await using stream = await openStream(page);
    assertEquals(decode(await stream.ask(16)), "x");
    stream.send("16");
    server.reset();
    const [code, reason] = await stream.closed;
    assertEquals(code, 4002);
    assertMatch(reason, /^[ -~]*reset[ -~]*$/i);
  },
);

test("a page that leaves closes its connection, asked or not", async ({ page, server }) => {
  for (const number of [1, 2]) {
    await using stream = await openStream(page);
    await server.client(number);
    if (number === 1) stream.send("16");
    await stream[Symbol.asyncDispose]();
    await server.left(number);
  }
});

test("twenty pages at once get a whole stream each", async ({ page, server }) => {
  server.bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i);
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    await using stream = await openStream(page);
    await server.client(20);
    const reads: Uint8Array[] = [];
    for (let rest = 70_000; rest > 0; rest -= reads.at(-1)!.length) {
      reads.push(await stream.ask(1000 + i));
    }
    assertEquals(join(reads), server.bytes);
    stream.send("1");
    assertEquals(await stream.closed, [1000, ""]);
  }));
});

test("what the page does not ask for waits in TCP", async ({ page, server }) => {
  server.bytes = PLENTY;
  await using stream = await openStream(page);
  for (let i = 0; i < 2000; i++) await stream.ask(1);
  assert(server.sent < 2 ** 25, `the system buffers less than ${server.sent}`);
});

processTest.onPosix(
  "page: out of file descriptors, streams go on, and new pages can come when there is room",
  async () => {
    await using server = new TcpServer(0, PLENTY);
    const flags = ["--port", `${server.port}`];
    await using page = await startPage(flags, { shell: "ulimit -n 64" });
    await using stream = await openStream(page);
    await stream.ask(16);
    const port = Number(new URL(page.url).port);
    const crowd = await Promise.allSettled(
      Array.from({ length: 64 }, () => Deno.connect({ port })),
    );
    await page.stderr.waitFor(/^Cannot accept pages: .*\n/m);
    await stream.ask(16);
    for (const dial of crowd) {
      if (dial.status === "fulfilled") dial.value.close();
    }
    await until(
      () => "room",
      () =>
        fetch(page.url).then((page) => page.text()).then(Boolean, () => false),
    );
  },
);

processTest(
  "deno task web answers a wrong command line with one line",
  async () => {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = taken.addr;
    const alone =
      "--demo starts a server of its own. Leave out --demo, or --hostname and --port";
    const cases: [args: string, code: number, error: string][] = [
      [
        "--por 1",
        2,
        `unknown argument "--por". The flags of this program: --help`,
      ],
      [
        "--port -1",
        2,
        `no flag takes a negative number such as "-1". The flags of this program: --help`,
      ],
      ["--port 0", 2, `--port takes an integer from 1 to 65535, not "0"`],
      [
        "--web-port x",
        2,
        `--web-port takes an integer from 0 to 65535, not "x"`,
      ],
      ["--demo --port 1", 2, alone],
      ["--demo --hostname a", 2, alone],
      [
        `--web-port ${port}`,
        1,
        `port ${port} is taken, perhaps by this program in another terminal. Stop that one, or take any free port: --web-port 0`,
      ],
      [
        "--hostname example.com",
        1,
        "Deno was not allowed to connect to example.com:9092. Allow it: deno run --allow-read --allow-net=127.0.0.1,example.com:9092 web/serve.ts --hostname example.com --port 9092",
      ],
    ];
    await inParallel(cases, async ([args, expectedCode, error]) => {
      const { code, stdout, stderr } = await runScript("web", args.split(" "));
      assertEquals([stderr, stdout], [`error: ${error}\n`, ""]);
      assertEquals(code, expectedCode);
    });
  },
);

processTest("deno task web --help shows its flags", async () => {
  const { code, stdout } = await runScript("web", ["--help"]);
  for (const flag of ["--hostname", "--port", "--web-port", "--demo"]) {
    assert(stdout.includes(`  ${flag} `));
  }
  assertEquals(code, 0);
});

/** Registers a test of the program that serves the page. */
function test(name: string, fn: (stage: Stage) => Promise<void>): void {
  processTest(`page: ${name}`, () => withPage(fn));
}

/** Opens a stream, as the page does. */
async function openStream({ url }: Page): Promise<Reader> {
  // An option of Deno's that the browser's types, which page.ts needs, lack.
  const options = { headers: { origin: url } } as never;
  const { host } = new URL(url);
  const socket = new WebSocket(`ws://${host}/stream`, options);
  const reader = new Reader(socket);
  await event(socket, "open");
  return reader;
}

/** A page that reads a stream. */
class Reader implements AsyncDisposable {
  /** Close code and reason, when the stream has ended. */
  readonly closed: Promise<[number, string]>;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    this.closed = event(socket, "close")
      .then(({ code, reason }) => [code, reason]);
  }

  send(request: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(request);
  }

  /** Asks for one read. Returns the next answer. */
  async ask(size: number): Promise<Uint8Array> {
    this.send(`${size}`);
    return new Uint8Array((await event(this.#socket, "message")).data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}

/** Waits for an event. */
function event<K extends keyof WebSocketEventMap>(
  socket: WebSocket,
  type: K,
): Promise<WebSocketEventMap[K]> {
  const next = new Promise<WebSocketEventMap[K]>((resolve) =>
    socket.addEventListener(type, resolve, { once: true })
  );
  return within(next, () => type);
}

/** Sends a request. Returns the connection, and the beginning of the answer's first line. */
async function request(
  port: number,
  line: string,
  headers: Record<string, string>,
): Promise<[Deno.TcpConn, string]> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const pairs = Object.entries(headers).map((pair) => pair.join(": "));
  const lines = [`${line} HTTP/1.1`, ...pairs, "", ""];
  await writeAll(connection, utf8.encode(lines.join("\r\n")));
  const answer = new Uint8Array("HTTP/1.1 200".length);
  for (let at = 0; at < answer.length;) {
    at += await connection.read(answer.subarray(at)) ?? answer.length;
  }
  return [connection, decode(answer)];
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
