/**
 * Tests of the page: its parts, the programs that make and serve it, and all of
 * it in a browser.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { encodeFrame, FrameDecoder } from "../framing.ts";
import {
  freePort,
  reasonWithout,
  runScript,
  type Script,
  serveBytes,
  startProcess,
  startScript,
  startServer,
  test,
  until,
  within,
} from "../tests/testing.ts";
import { Browser, KEYS } from "./browser.ts";
import { addModule, buildPage, readClient } from "./build.ts";
import { Client, type Program, programText } from "./clients.ts";
import { type Delivery, MESSAGES, Simulation, SIZES } from "./simulation.ts";

type Server = Delivery["server"];

const SERVERS = Object.keys(MESSAGES) as Server[];
const SOLVED = "received = received.subarray(end);";
const UNSOLVED = "received = new Uint8Array();";
const LUCKY = "received = received.subarray(39);";

Deno.test("01Soln's loop prints what FrameDecoder decodes, whatever a read brings", async () => {
  for (const server of SERVERS) {
    for (const size of SIZES) {
      const { printed, failure } = await runLine(SOLVED, server, size);
      const decoder = new FrameDecoder();
      const decoded = readAll(server, size)
        .flatMap((read) => decoder.push(read)).map((text) => utf8.decode(text));
      decoder.end();
      assertEquals([printed, failure], [decoded, undefined], `${size}`);
    }
  }
});

Deno.test("a client is told what its line does", async () => {
  const cases: [line: string, printed: number, lost: number, says?: RegExp][] =
    [
      [SOLVED, 20, 0],
      ["received = received.slice(end);", 20, 0],
      ["received = new Uint8Array(received.subarray(end))", 20, 0],
      [LUCKY, 20, 0],
      [UNSOLVED, 1, 9, /^·The·time·$/],
      ["received = received.subarray(end + 1);", 1, 1, /^9········T$/],
      ["received = received.subarray(end - 1);", 1, 0, /^029·······$/],
      ["received = received.subarray(HEADER_LENGTH);", 1, 0, /^The·time·i/],
      ["received = buffer.subarray(7);", 1, 0, /^me·is·179·$/],
      ["received.subarray(end);", 1, 0, /again/],
      ["", 1, 0, /again/],
      ["return;", 1, 0, /leaves the loop/],
      ["recieved = received.subarray(end);", 1, 0, /recieved is not defined/],
      ["received = received.splice(end);", 1, 0, /splice is not a function/],
      ["received = [];", 1, 0, /Uint8Array/],
      ["received = undefined;", 1, 0, /undefined/],
    ];
  for (const [line, printed, lost, says] of cases) {
    const result = await runLine(line, "fast", 16);
    const said = result.said;
    assertEquals([result.printed.length, result.lost], [printed, lost], line);
    assert(says?.test(said ?? "") ?? said === undefined, `${line}: ${said}`);
  }
  const { printed } = await runLine(LUCKY, "words", 16);
  assert(printed.length < 20, "texts of other lengths");
});

test("the simulated server sends what the real one does", async () => {
  await using server = await startServer(["--interval", "0", "--quiet"]);
  using connection = await Deno.connect(server.address);
  const real = await new Response(connection.readable).text();
  const simulated = readAll("fast", 16).map((read) => utf8.decode(read));
  const withoutTimes = (text: string) => text.replace(/\d{10}\.\d{6}/g, "…");
  assertEquals(withoutTimes(simulated.join("")), withoutTimes(real));
  assertEquals(simulated.length, Math.ceil(real.length / 16));
  // A client that reads more often than messages are sent gets each apart.
  const lengths = readAll("paced", 16, 60).map((read) => read.length);
  assertEquals(lengths, Array(20).fill([16, 16, 7]).flat());
});

test("the page is one file with no address but its own stream", async () => {
  const stream = "ws://127.0.0.1:8000/stream";
  const live = await buildPage({ stream, address: "127.0.0.1:9092" });
  const addresses = /\b(https?|wss?):\/\/[^\s$";&]+|\b(src|href)="(?!data:)/g;
  assertEquals([...new Set(live.html.match(addresses))], [stream]);

  const folder = await Deno.makeTempDir();
  const file = `${folder}/page.html`;
  await using page = startProcess(
    [Deno.execPath(), "run", "--allow-read", "--allow-write", "web/build.ts"]
      .concat(file),
  );
  assertEquals((await page.result()).code, 0);
  const html = await Deno.readTextFile(file);
  await Deno.remove(folder, { recursive: true });
  assertEquals(html, (await buildPage()).html);
  assertEquals(html.match(addresses), null);
});

Deno.test("the page is not built from what it would not run", async () => {
  const texts = [
    'import b from "./b.ts";',
    'import * as b from "./b.ts";',
    'import { x as y } from "./b.ts";',
    'import { z } from "./b.ts";',
    'import "./b.ts";',
    'import { x } from "@std/assert";',
    'const b = () => import("./b.ts");',
    "const here = import.meta.url;",
    "export default 1;",
    "export let x = 1;",
    'export { x } from "./b.ts";',
    "enum E { x }",
    'const x = "</script>";',
  ];
  const sources: Record<string, string> = {
    "lib/b.ts": "export const x: number = 1;\nexport function* y() {}",
    "lib/circle.ts": 'import { a } from "../a.ts";\nexport const x = a;',
  };
  const build = async (source: string) => {
    const modules = new Map();
    const read = (path: string) =>
      Promise.resolve(path === "a.ts" ? source : sources[path]);
    await addModule("a.ts", modules, read);
    return Array.from(modules.keys());
  };
  const good = 'import {\n  type A,\n  x,\n  y,\n} from "./lib/b.ts";\nx;';
  assertEquals(await build(good), ["lib/b.ts", "a.ts"]);
  for (const text of texts) {
    await assertRejects(
      () => build(text.replace("./", "./lib/")),
      Error,
      "a.ts",
    );
  }
  const circle = 'import { x } from "./lib/circle.ts";\nexport const a = x;';
  await assertRejects(() => build(circle), Error, "does not export");
});

test("the page's program answers nobody but the page", async () => {
  await using page = await startPage([]);
  const { origin, port } = new URL(page.url);
  const cases: [status: number, path: string, headers: Headers][] = [
    [200, "/", {}],
    [200, "/", { host: `localhost:${port}` }],
    [421, "/", { host: `localhost:${Number(port) + 1}` }],
    [421, "/", { host: `evil.example:${port}` }],
    [421, "/", { host: "127.0.0.1" }],
    [421, "/", { host: "a b" }],
    [421, "/stream", { origin, host: `evil.example:${port}` }],
    [404, "/web/serve.ts", {}],
    [405, "/", { method: "POST" }],
    [405, "/stream", { method: "HEAD", origin }],
    [426, "/stream", { origin }],
    [426, "/stream", { origin, upgrade: "websocket" }],
    [403, "/stream", {}],
    [403, "/stream", { origin: "null" }],
    [403, "/stream", { origin: "http://evil.example" }],
    [403, "/stream", { origin: `https://127.0.0.1:${port}` }],
    [403, "/stream", { origin: `http://localhost:${port}` }],
    [403, "/stream", { origin, host: `localhost:${port}` }],
  ];
  for (const [status, path, headers] of cases) {
    const answer = await ask(page.url + path, headers);
    const text = `${path} ${Deno.inspect(headers)}`;
    assertEquals(answer.status, status, text);
    assertMatch(
      `${answer.policy}`,
      /default-src 'none'.*frame-ancestors 'none'/,
    );
    if (status === 421) assert(answer.body.includes(page.url), text);
  }
  const { code } = await page.stop("SIGINT");
  assertEquals(code, 130);
});

test("a page gets what it asks for, and the rest waits in TCP", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using page = await startPage(["--port", `${listener.addr.port}`]);
  const accepted = listener.accept();
  await using stream = await openStream(page.url);
  using client = await accepted;
  for (let i = 0; i < 16; i++) stream.socket.send("1");
  await client.write(new Uint8Array(16));
  await until(() => "16 answers", () => stream.reads.length === 16);

  const bytes = Uint8Array.from({ length: 65_536 }, (_, i) => i);
  let written = 0;
  const writing = (async () => {
    while (written < 2 ** 26) written += await client.write(bytes);
  })().catch(() => {}); // The page leaves.
  const sizes = Array.from({ length: 600 }, (_, i) => [1, 16, 4096][i % 3]);
  for (const [i, size] of sizes.entries()) {
    const read = await stream.ask(size);
    assert(read.length <= size, `${read.length} bytes in read ${i}`);
  }
  assert(written < 2 ** 25, `the system buffers less than ${written} bytes`);
  await stream[Symbol.asyncDispose]();
  await within(writing, () => "the end of the connection");
});

test("a stream ends with a code that tells why", async () => {
  await using server = await serveBytes("x", "stall");
  await using page = await startPage(server.flags);
  for (const bad of ["", "0", "01", "-1", "1e3", "16 ", "4097", "99999", "١"]) {
    await using stream = await openStream(page.url);
    await stream.ask(16);
    stream.socket.send(bad);
    assertEquals((await stream.closed).code, 1008, bad);
  }
  await using flood = await openStream(page.url);
  await flood.ask(16);
  for (let i = 0; i < 17; i++) flood.socket.send("16");
  assertEquals((await flood.closed).code, 1008);
  await using reset = await openStream(page.url);
  await reset.ask(16);
  reset.socket.send("16");
  server.reset();
  assertEquals((await reset.closed).code, 4002);
});

test("where nothing listens, the page is told the command that helps", async () => {
  const port = freePort();
  await using page = await startPage(["--port", `${port}`]);
  await using refused = await openStream(page.url);
  const { code, reason } = await refused.closed;
  assertEquals(code, 4001);
  const [, flags] = /: deno task server (.*)$/.exec(reason)!;
  await using server = startScript("server", flags.split(" "));
  await server.stderr.waitFor(/^Listening/m);
  await using stream = await openStream(page.url);
  assertEquals(utf8.decode(await stream.ask(10)), "29        ");
});

test("a wrong command line gets one line and exit code 2", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const cases: [code: number, says: string, ...args: string[]][] = [
    [2, "--por", "--por", "1"],
    [2, "stray", "stray"],
    [2, "65535", "--port", "0"],
    [2, '"x"', "--", "--web-port", "x"],
    [1, `127.0.0.1:${taken.addr.port}`, "--web-port", `${taken.addr.port}`],
  ];
  await Promise.all(cases.map(async ([code, says, ...args]) => {
    const result = await runScript("web", args);
    assertEquals([result.code, result.stdout], [code, ""], says);
    assertMatch(result.stderr, /^error: .*\n$/);
    assert(result.stderr.includes(says), result.stderr);
  }));
});

/** Returns what a client with a line of code does with a simulated stream. */
async function runLine(line: string, server: Server, size: number) {
  const text = programText({ ...CODE!, line });
  const make = new Function(`"use strict"; return ${text}`);
  const client = new Client(make() as Program, size);
  const printed: string[] = [];
  for (const read of readAll(server, size)) {
    const { notes, failure, lost } = await client.read(read);
    const messages = notes.filter(({ kind }) => kind === "message");
    printed.push(...messages.map(({ text }) => text));
    if (failure === undefined) continue;
    const header = notes.find(({ text }) => text === "takes for a header");
    const said = header === undefined
      ? failure
      : utf8.decode(header.bytes).replaceAll(" ", "·");
    return { printed, failure, lost, said };
  }
  return { printed, lost: (await client.read(new Uint8Array())).lost };
}

const CODE = await readClient("streamClientEx1.ts");

/** Returns what all reads of a simulated stream bring. */
function readAll(server: Server, size: number, pace = 4): Uint8Array[] {
  const simulation = new Simulation(server);
  const reads: Uint8Array[] = [];
  while (true) {
    const read = simulation.read({ size, pace });
    if (read === null) return reads;
    reads.push(read);
  }
}

const utf8 = new TextDecoder();

/** Starts the page's program on a free port, and waits until the page can be opened. */
async function startPage(args: string[]): Promise<Script & { url: string }> {
  const script = startScript("web", ["--web-port", "0", ...args]);
  const [, url] = await script.stderr.waitFor(/^Open (http:\S+) in /m);
  return Object.assign(script, { url });
}

type Headers = Record<string, string>;

/** Sends a request, with headers that `fetch` does not let through. */
async function ask(url: string, { method = "GET", ...headers }: Headers) {
  const request = httpRequest(url, { method, headers }).end();
  const [response] = await once(request, "response");
  let body = "";
  for await (const text of response.setEncoding("utf8")) body += text;
  const policy = response.headers["content-security-policy"];
  return { status: response.statusCode, body, policy };
}

/** Opens a stream, as the page does. */
async function openStream(url: string) {
  // An option of Deno's that the browser's types, which page.ts needs, lack.
  const options = { headers: { origin: url } } as never;
  const socket = new WebSocket(`${url.replace("http", "ws")}/stream`, options);
  socket.binaryType = "arraybuffer";
  const reads: Uint8Array[] = [];
  socket.onmessage = ({ data }) => reads.push(new Uint8Array(data));
  const closed = once(socket, "close").then(([event]) => event as CloseEvent);
  await within(once(socket, "open"), () => "a stream");
  return {
    socket,
    reads,
    closed: within(closed, () => "the end of the stream"),
    /** Asks for one read. */
    async ask(size: number): Promise<Uint8Array> {
      const answered = once(socket, "message");
      socket.send(`${size}`);
      await within(answered, () => "a read");
      return reads.at(-1)!;
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await closed;
    },
  };
}
