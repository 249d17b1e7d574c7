/**
 * Tests of the page: its parts, the programs that make and serve it, and all of
 * it in a browser.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { once } from "node:events";
import { get } from "node:http";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import {
  assertError,
  canRun,
  freePort,
  reasonWithout,
  runScript,
  serveBytes,
  startScript,
  startServer,
  test,
  within,
} from "../tests/testing.ts";
import { Browser } from "./browser.ts";
import { addModule, buildPage, readLoop } from "./build.ts";
import { Client, type Program, programText } from "./clients.ts";
import { type Delivery, MESSAGES, Simulation, SIZES } from "./simulation.ts";

/** The source of axe-core, if this is `deno task test`, which fetches it. */
const AXE_CORE = "axe-core"; // A literal would be fetched for a type check.
const axe = canRun &&
  await import(AXE_CORE).then((module) => module.default.source, () => {});

type Sender = Delivery["server"];

const SOLVED = "received = received.subarray(end);";
const UNSOLVED = "received = new Uint8Array();";
const LUCKY = "received = received.subarray(39);";

test("01Soln's loop prints what is sent, whatever the size of a read", async () => {
  for (const sender of Object.keys(MESSAGES) as Sender[]) {
    for (const size of SIZES) {
      const { printed, complaints } = await runLine(SOLVED, sender, size);
      assertEquals([printed, complaints], [MESSAGES[sender], ""]);
    }
  }
});

test("a client is told what its line does", async () => {
  const cases: [line: string, printed: number, lost: number, says: RegExp][] = [
    [LUCKY, 20, 0, /^$/],
    [UNSOLVED, 1, 9, /header {2}The time .* 48 /],
    ["received = received.subarray(end + 1);", 1, 1, /header 9 {8}T.* 40 /],
    ["received = received.subarray(end - 1);", 1, 0, /header 029 {7}.* 38 /],
    ["received = buffer.subarray(7);", 1, 0, /header me is 179 /],
    ["received = new Uint8Array(9).fill(65);", 1, 0, /header A+ \D*$/],
    ["received.subarray(end);", 1, 0, /again/],
    ["return;", 1, 0, /leaves the loop/],
    ["recieved = received.subarray(end);", 1, 0, /recieved is not defined/],
    ["received = received.splice(end);", 1, 0, /splice is not a function/],
    ["received = msg.slice(end);", 1, 0, /String/],
  ];
  for (const [line, printed, lost, says] of cases) {
    const result = await runLine(line, "fast", 16);
    assertEquals([result.printed.length, result.lost], [printed, lost], line);
    assertMatch(result.complaints, says);
  }
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
  const addresses = /\b(https?|wss?):\/\/[^\s$";&]+|\b(src|href)="(?!data:)/g;
  const stream = "ws://127.0.0.1:8000/stream";
  const live = await buildPage({ stream, address: "127.0.0.1:9092" });
  assertEquals([...new Set(live.html.match(addresses))], [stream]);
  assert(live.policy.includes(`; connect-src ${stream}; `), live.policy);

  const file = await Deno.makeTempFile({ suffix: ".html" });
  assertEquals((await runScript("page", [file])).code, 0);
  const html = await Deno.readTextFile(file);
  await Deno.remove(file);
  assertEquals(html, (await buildPage()).html);
  assertEquals(html.match(addresses), null);
});

Deno.test("the page is not built from what it would not run", async () => {
  const bad = [
    'import { x as y } from "./b.ts";',
    'import { x } from "@std/assert";',
    'const b = () => import("./b.ts");',
    "export let x = 1;",
    'const x = "</script>";',
  ];
  for (const source of bad) {
    const read = (path: string) =>
      Promise.resolve(path === "a.ts" ? source : "export const x = 1;");
    const building = () => addModule("a.ts", new Map(), read);
    await assertRejects(building, Error, "a.ts");
  }
});

test("the page's program answers nobody but the page", async () => {
  await using page = await startPage([]);
  const { origin, port } = new URL(page.url);
  const cases: [number, string, Record<string, string>][] = [
    [200, "/", {}],
    [200, "/", { host: `localhost:${port}` }],
    [421, "/", { host: `evil.example:${port}` }],
    [421, "/stream", { origin, host: `evil.example:${port}` }],
    [404, "/web/serve.ts", {}],
    [405, "/", { method: "POST" }],
    [426, "/stream", { origin }],
    [426, "/stream", { origin, upgrade: "websocket" }],
    [403, "/stream", {}],
    [403, "/stream", { origin: `https://127.0.0.1:${port}` }],
    [403, "/stream", { origin, host: `localhost:${port}` }],
  ];
  for (const [status, path, { method = "GET", ...headers }] of cases) {
    const request = get(page.url + path, { method, headers });
    const [response] = await once(request, "response");
    const body = await text(response);
    const what = `${path} ${Deno.inspect(headers)}`;
    assertEquals(response.statusCode, status, what);
    const policy = response.headers["content-security-policy"];
    assertMatch(policy, /^default-src 'none'.*; frame-ancestors 'none'$/);
    if (status === 421) assert(body.includes(page.url), what);
  }
  assertEquals((await page.stop("SIGINT")).code, 130);
});

test("a page gets what it asks for, and the rest waits in TCP", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using page = await startPage(["--port", `${listener.addr.port}`]);
  const accepted = listener.accept();
  await using stream = await openStream(page.url);
  using client = await accepted;
  const bytes = Uint8Array.from({ length: 65_536 }, (_, i) => i);
  let written = 0;
  const writing = (async () => {
    while (written < 2 ** 26) written += await client.write(bytes);
  })().catch(() => {}); // The page leaves.
  for (let i = 0; i < 600; i++) {
    const size = [1, 16, 4096][i % 3];
    const read = await stream.ask(size);
    assert(read.length <= size, `${read.length} bytes`);
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
  const hostname = `${"x".repeat(120)}.invalid`; // more than a reason can hold
  await using other = await startPage(["--hostname", hostname]);
  await using refused = await openStream(other.url);
  assertEquals((await refused.closed).code, 4001);
});

test("a wrong command line gets one line", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const cases: ["web" | "page", number, string][] = [
    ["web", 2, "--por 1"],
    ["web", 2, "--port 0"],
    ["web", 1, `--web-port ${taken.addr.port}`],
    ["page", 2, "one two"],
    ["page", 1, "no-such-folder/x"],
  ];
  for (const [task, code, args] of cases) {
    assertError(await runScript(task, args.split(" ")), code);
  }
});

test("the page in a browser", async (context) => {
  await using browser = new Browser();
  await browser.start();
  const path = await Deno.makeTempFile({ suffix: ".html" });
  await Deno.writeTextFile(path, (await buildPage()).html);
  const file = pathToFileURL(path).href;

  await context.step("Ex1 loses its place until it is changed", async () => {
    await browser.open(file);
    await browser.says(/byte 48/);
    assertEquals(await browser.get("reads.rows.length"), 4);
    await browser.get("pace.value = 60, run.click()");
    await browser.says(/ended\. .* 1 message, .* 20 /);
    assertEquals(await browser.text("#soln-line"), "");
    await type(browser, SOLVED);
    await browser.says(/ended\. .* 20 messages\. .* 20 /);
    await browser.says(/deno task exercise/, "#result");
    assertEquals(await browser.text("#soln-line"), SOLVED);
  });

  await context.step("an endless loop does not stop the page", async () => {
    await type(browser, "while (true);");
    await browser.says(/after 1 s/, "#reads");
    await type(browser, "received = received.sub(");
    await browser.says(/JavaScript/, "#values");
    assert(!/after 1 s/.test(await browser.text("#status")));
    await browser.says(/after 1 s/, "#reads");
    await type(browser, "break;"); // prints the first message with each read
    await browser.says(/^1 of 20 /, "#result");
    await type(browser, LUCKY);
    await browser.says(/not if the server sends other texts/, "#result");
  });

  await context.step("everything can be reached by keyboard", async () => {
    await browser.open(file);
    await browser.says(/byte 48/);
    const order: string[] = [];
    while (order.at(-1) !== "server" && order.length < 9) {
      await browser.press("\ue004");
      order.push(await browser.get("document.activeElement.id"));
    }
    const all = "line,size,run,step,restart,pace,server";
    assertEquals(order.slice(-7).join(), all);
    await browser.get("step.focus()");
    await browser.press(" ");
    await browser.waitFor("reads.rows.length === 5");
    assertEquals(await browser.text("#run"), "Go on");
  });

  await context.step("all can be seen and read out on any screen", async () => {
    const screens: [width: number, height: number, scheme: string][] = [
      [1280, 800, "light"],
      [1280, 800, "dark"],
      [390, 844, "light"],
      [844, 390, "dark"],
    ];
    const isInView = `document.body.scrollWidth <= innerWidth &&
      [run, line].every((it) => it.getBoundingClientRect().bottom < innerHeight)`;
    for (const [width, height, scheme] of screens) {
      const what = `${width}×${height}, ${scheme}`;
      const size = { width, height, deviceScaleFactor: 1, mobile: false };
      await browser.devTools("Emulation.setDeviceMetricsOverride", size);
      const features = [{ name: "prefers-color-scheme", value: scheme }];
      await browser.devTools("Emulation.setEmulatedMedia", { features });
      await browser.open(file);
      await browser.says(/byte 48/);
      assert(await browser.get(isInView), what);
      const color = "getComputedStyle(document.body).color";
      const isLight = /\(\d?\d,/.test(await browser.get(color)); // dark text
      assertEquals(isLight, scheme === "light", what);
      const tree = JSON.stringify(
        await browser.devTools("Accessibility.getFullAXTree"),
      );
      assertEquals(tree.split('"value":"columnheader"').length, 5, what);
      if (!axe) continue;
      await browser.get(`void ${axe}`);
      await browser.get("void axe.run().then((it) => window.found = it)");
      await browser.waitFor("window.found !== undefined");
      const found = "found.violations.map(({ nodes }) => nodes[0].html)";
      assertEquals(await browser.get(found), [], what);
    }
    await browser.devTools("Emulation.clearDeviceMetricsOverride");
  });

  await context.step("live, 01Soln has what the server sends", async () => {
    const flags = ["--port", `${freePort()}`];
    let page = await startPage(flags);
    await browser.open(page.url);
    await browser.get("pace.value = 60");
    await browser.says(/Nothing listens/);
    const args = [...flags, "--interval", "0"];
    await using server = startScript("server", args);
    await browser.says(/byte 48/);
    await browser.get("run.click()");
    await browser.says(/ended\. .* 1 message, .* 20 /);
    const sent = server.stdout.lines.filter((line) => /^29/.test(line));
    const shown = await browser.text("#reads");
    for (const line of sent) assert(shown.includes(line.slice(10)), line);

    // A paused page knows when its program has ended, and that it is back.
    await browser.get("restart.click()");
    await browser.says(/byte 48/);
    const { port } = new URL(page.url);
    await page.stop();
    await browser.says(/deno task web/);
    page = await startPage(flags, port);
    await browser.says(/^(?!The program)/);
    await page.stop();
  });

  await context.step("bad streams are told, and text stays text", async () => {
    const hostile = `<b>\u202e\x1b[${"x".repeat(8992)}`;
    const streams: [bytes: string, says: RegExp][] = [
      ["29        The time", /inside a message.* 18 bytes/],
      [`9000      ${hostile}`, /^The stream has ended/],
    ];
    for (const [bytes, says] of streams) {
      await using server = await serveBytes(bytes);
      await using page = await startPage(server.flags);
      await browser.open(`${page.url}/#80`);
      await browser.get("pace.value = 60");
      await browser.says(says);
    }
    assertEquals(await browser.get("reads.rows.length"), 100);
    const text = await browser.text("#reads tr:last-child td:last-child");
    assertMatch(text, /<b>\\u\{202e\}\\u\{1b\}\[x/);
  });

  const name = "axe (ignored: axe-core cannot be had)";
  if (!axe) await context.step({ name, ignore: true, fn() {} });
  await Deno.remove(path);
}, await reasonWithout("chromedriver"));

/** Puts a line in place of the one that is there, at once: a half of it would be tried, too. */
async function type(browser: Browser, text: string): Promise<void> {
  const value = JSON.stringify(text);
  await browser.get(`void (line.value = ${value}, line.oninput())`);
}

/** Returns what a client with a line of code does with a simulated stream. */
async function runLine(line: string, sender: Sender, size: number) {
  const text = programText({ ...await readLoop(), line });
  const make = new Function(`"use strict"; return ${text}`);
  const client = new Client(make() as Program, size);
  const printed: string[] = [];
  let complaints = "";
  for (const read of readAll(sender, size)) {
    const { notes, failure, lost } = await client.read(read);
    for (const { kind, text, bytes } of notes) {
      if (kind === "message") printed.push(text);
      if (kind === "bad") complaints += `${text} ${utf8.decode(bytes)}`;
    }
    if (failure !== undefined) return { printed, complaints, lost };
  }
  return { printed, complaints, lost: 0 };
}

/** Returns what all reads of a simulated stream bring. */
function readAll(sender: Sender, size: number, pace = 4): Uint8Array[] {
  const simulation = new Simulation(sender);
  const reads: Uint8Array[] = [];
  while (true) {
    const read = simulation.read({ size, pace });
    if (read === null) return reads;
    reads.push(read);
  }
}

const utf8 = new TextDecoder();

/** Starts the page's program, and waits until the page can be opened. */
async function startPage(args: string[], port = "0") {
  const script = startScript("web", ["--web-port", port, ...args]);
  const [, url] = await script.stderr.waitFor(/^Open (http:\S+) in /m);
  return Object.assign(script, { url });
}

/** Opens a stream, as the page does. */
async function openStream(url: string) {
  // An option of Deno's that the browser's types, which page.ts needs, lack.
  const options = { headers: { origin: url } } as never;
  const socket = new WebSocket(`${url.replace("http", "ws")}/stream`, options);
  socket.binaryType = "arraybuffer";
  const closed = once(socket, "close").then(([event]) => event as CloseEvent);
  await within(once(socket, "open"), () => "a stream");
  return {
    socket,
    closed: within(closed, () => "the end of the stream"),
    /** Asks for one read. */
    async ask(size: number): Promise<Uint8Array> {
      const answered = once(socket, "message");
      socket.send(`${size}`);
      const [{ data }] = await within(answered, () => "a read");
      return new Uint8Array(data);
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await closed;
    },
  };
}
