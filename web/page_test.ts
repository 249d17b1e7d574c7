/**
 * Tests of the live page in a real Chromium.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { encodeFrame } from "../framing.ts";
import { join } from "../fuzz/reference.ts";
import {
  canRun,
  test as processTest,
  within,
  writeAll,
} from "../tests/testing.ts";
import { EX1_CODE } from "./clients.ts";
import {
  Browser,
  hasChromedriver,
  ROOT,
  type Screen,
  type Stage,
  startPage,
  TcpServer,
  withPage,
} from "./testing.ts";

const reasonWithoutBrowser = canRun && await hasChromedriver()
  ? undefined
  : "needs chromedriver";

const LIGHT: Screen = { width: 1280, height: 800 };

const DARK: Screen = { ...LIGHT, media: { "prefers-color-scheme": "dark" } };

const TAB = "\ue004";
const BACKSPACE = "\ue003";
const ENTER = "\ue007";
const ARROW_UP = "\ue013";
const ARROW_DOWN = "\ue015";

test("Ex1 has 1 message and 01Soln has 20 at full speed", async ({ browser }) => {
  await using page = await startPage(["--demo"]);
  await browser.open(page.url);
  await browser.says(
    /^Ex1 threw away 9 bytes, and has lost its place: at byte 48 it finds “·The·time·”, which is not a header. Paused\.$/,
  );
  const rows = await browser.run<string[]>(
    "return Array.from(document.querySelectorAll('tbody tr'), (row) => row.innerText)",
  );
  assertEquals(rows.length, 4, "it stops for a look");
  assertEquals(
    await browser.run(
      "const { role, ariaLabel } = document.querySelector('.cells'); return [role, ariaLabel]",
    ),
    ["img", "header: 29 bytes follow: 29········"],
    "what a screen reader reads",
  );
  assertMatch(rows[0], /header: 29 bytes follow\s+.*payload, 6 of 29/s);
  assertMatch(rows[2], /throws away 9 bytes.*keeps 9 bytes/s);
  assertMatch(
    rows[3],
    /✗ has lost its place: at byte 48 .*has 25 of 39 bytes/s,
  );
  await browser.run("pace.value = 60; run.click()");
  await browser.says(/^Ex1 has lost its place\. 01Soln reads on\.$/);
  await browser.says(
    /^The stream has ended\. Ex1 has 1 message, 01Soln has 20\.$/,
  );
  assertEquals(await browser.text("#ex1-tally"), "1 message, then an error");
  assertEquals(await browser.text("#soln-tally"), "20 messages");
  assertEquals(await browser.text("#total"), "49 reads, 780 bytes");
  assertEquals(await browser.text("#ex1-code"), EX1_CODE);
  assert(
    await browser.run("return document.getElementById('ex1-note').hidden"),
  );
  assertEquals(
    await browser.text("#soln-code"),
    "received = received.subarray(end);",
  );
  await browser.run(`
      const { setTimeout: set, clearTimeout: clear } = window;
      window.waits = new Set();
      window.setTimeout = (callback, delay) => {
        const timer = set(callback, delay);
        if (delay === 5000) waits.add(timer);
        return timer;
      };
      window.clearTimeout = (timer) => {
        waits.delete(timer);
        clear(timer);
      };
      restart.click()`);
  await browser.says(/ Paused\.$/);
  const waits = await browser.run("return waits.size");
  assertEquals(waits, 0, "a page that is paused waits for no bytes");
  await browser.run("size.value = 13; size.onchange(); restart.click()");
  await browser.says(
    /^The stream has ended\. Ex1 has 20 messages, 01Soln has 20\. No read brought bytes after a message, so Ex1 threw none away\.$/,
  );
});

test("text from the network stays text that can be seen", async ({ browser, page, tcpPort }) => {
  const texts = [
    "<img src=x onerror=document.title='bad'>",
    "a\u202eb\x1b[2J\u2028",
    "Ω" + "x".repeat(8000),
  ];
  await using _ = new TcpServer(tcpPort, (connection) =>
    writeAll(
      connection,
      join(texts.map((text) => encodeFrame(text))),
    ));
  await browser.open(page.url);
  await browser.run(
    "size.value = 64; size.onchange(); pace.value = 60; restart.click()",
  );
  await browser.says(/^Ex1 .* Paused\.$/);
  const shown = () =>
    browser.run<string[]>(
      "return Array.from(document.querySelectorAll('td:last-child bdi'), (text) => text.textContent)",
    );
  await browser.waitFor("return reads.rows.length === 2");
  assertEquals(await shown(), [texts[0], "a\\u{202e}b\\u{1b}[2J\\u{2028}"]);
  assertEquals(await browser.run("return document.images.length"), 0);
  await browser.run("run.click()");
  await browser.says(/^The stream has ended\./);
  assertEquals(await shown(), ["Ω" + "x".repeat(199) + "…"]);
  assertEquals(await browser.run("return reads.rows.length"), 100);
});

test("everything can be done with the keyboard alone", async ({ browser }) => {
  await using page = await startPage(["--demo"]);
  await browser.open(page.url);
  await browser.says(/ Paused\.$/);
  const focused = () =>
    browser.run<string>(
      "return document.activeElement.id || document.activeElement.tagName",
    );
  await browser.press(TAB); // into the page
  const order = [];
  for (let i = 0; i < 6; i++) {
    await browser.press(TAB);
    order.push(await focused());
  }
  assertEquals(order, ["run", "step", "restart", "size", "pace", "MAIN"]);
  const outline =
    "return getComputedStyle(document.activeElement).outlineStyle";
  assertEquals(await browser.run(outline), "solid", "focus can be seen");

  await browser.run("step.focus()");
  await browser.press(" ");
  await browser.waitFor("return reads.rows.length === 5");
  assertEquals(await browser.text("#run"), "Go on");
  await browser.press(TAB, TAB, ARROW_UP, TAB, ARROW_DOWN, ARROW_DOWN);
  assertEquals(await browser.run("return size.value + pace.value"), "1760");
  await browser.run("restart.focus()");
  await browser.press(TAB, BACKSPACE); // Tab selects what is in the field
  await browser.run("step.click()");
  await browser.waitFor("return reads.rows.length === 6");
  await browser.press(TAB);
  assertEquals(await browser.run("return size.value"), "17");

  await browser.run("run.focus()");
  await browser.press(" ");
  await browser.says(/^The stream has ended\./);
  await browser.press(" ", TAB, " ");
  await browser.says(/^The stream has ended\./);
  assertEquals(await browser.text("#run"), "Pause", "nothing to go on with");
  await browser.press(TAB, ENTER);
  await browser.says(/^Ex1 .* Paused\.$/);
});

test("the page fits every width, and its head stays", async ({ browser }) => {
  await using page = await startPage(["--demo"]);
  for (const width of [1280, 1000, 900, 899, 390, 320]) {
    for (const size of [16, 64]) {
      await browser.show({ width, height: 700 });
      await browser.open(page.url);
      await browser.run(
        "size.value = arguments[0]; size.onchange(); pace.value = 60",
        size,
      );
      await browser.says(/^(Ex1 .* Paused|The stream has ended)\./);
      const where = `${width} pixels, ${size} bytes`;
      const overflow = `return Math.max(0, ...Array.from(
          document.querySelectorAll("body *"),
          (part) => part.getBoundingClientRect().right - innerWidth))`;
      assertEquals(await browser.run(overflow), 0, where);
      const head = `
        const { top, bottom } = document.querySelector("th:last-child").getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight`;
      assert(await browser.run(head), where);
      const isBlock = `
        const [, brings, left, right] = reads.rows[0].cells;
        return left.offsetTop > brings.offsetTop && right.offsetTop > left.offsetTop`;
      assertEquals(await browser.run(isBlock), width < 900, where);
    }
  }
});

test("light, dark, forced colors and reduced motion are respected", async ({ browser }) => {
  await using page = await startPage(["--demo"]);
  const look = async (screen: Screen) => {
    await browser.show(screen);
    await browser.open(page.url);
    await browser.says(/ Paused\.$/);
    return await browser.run<string[]>(`
      const style = (what) => getComputedStyle(document.querySelector(what));
      return [
        style(":root").backgroundColor,
        style(".cells.header span").backgroundColor,
        style("tbody tr").animationName,
      ]`);
  };
  const [white, black] = ["rgb(255, 255, 255)", "rgb(21, 25, 31)"];
  const [blue, lightBlue] = ["rgb(29, 79, 215)", "rgb(134, 177, 255)"];
  assertEquals(await look(LIGHT), [white, blue, "appear"]);
  assertEquals(await look(DARK), [black, lightBlue, "appear"]);
  const still = { ...LIGHT, media: { "prefers-reduced-motion": "reduce" } };
  assertEquals(await look(still), [white, blue, "none"]);
  const forced = { ...LIGHT, media: { "forced-colors": "active" } };
  assertEquals((await look(forced))[1], blue);
});

test("axe finds nothing, at both widths, light and dark", async ({ browser }) => {
  const { default: axe } = await import("axe-core");
  await using page = await startPage(["--demo"]);
  for (const { width, height } of [LIGHT, { width: 390, height: 844 }]) {
    for (const { media } of [LIGHT, DARK]) {
      await browser.show({ width, height, media });
      await browser.open(page.url);
      await browser.says(/ Paused\.$/);
      await browser.run("run.click()");
      await browser.waitFor("return reads.rows.length > 5");
      await browser.run("run.click()");
      await browser.waitFor("return document.getAnimations().length === 0");
      await browser.run(`${axe.source}; axe.run().then((found) => {
        window.found = found;
      })`);
      await browser.waitFor("return window.found !== undefined");
      const violations = await browser.run(
        "return found.violations.map(({ id, nodes }) => [id, nodes[0].html])",
      );
      assertEquals(violations, [], `${width} ${JSON.stringify(media)}`);
    }
  }
});

test("the page goes on by itself when a server is there, and when the bridge is back", async ({ browser, tcpPort }) => {
  const flags = ["--port", `${tcpPort}`];
  let url: string;
  {
    await using page = await startPage(flags);
    url = page.url;
    await browser.open(url);
    await browser.says(
      /^Nothing listens on .*: deno task server --port \d+$/,
    );
    await using _ = new TcpServer(
      tcpPort,
      (connection) => writeAll(connection, encodeFrame("hi")),
    );
    await browser.says(
      /^The stream has ended\. Ex1 has 1 message, 01Soln has 1/,
    );
    await browser.run("restart.click()");
    await browser.says(/^The stream has ended/);
  }
  await browser.run("restart.click()");
  await browser.says(
    /^The program behind this page has ended\. Start it again/,
  );
  assertEquals(await browser.text("#total"), "");
  const { port } = new URL(url);
  await using _ = new TcpServer(
    tcpPort,
    (connection) => writeAll(connection, encodeFrame("hi")),
  );
  await using _page = await startPage([...flags, "--web-port", port]);
  await browser.says(
    /^The stream has ended\. Ex1 has 1 message, 01Soln has 1/,
  );
});

test("the page says how else a stream ends, or that nothing comes", async ({ browser, page, tcpPort }) => {
  const cases: [string, RegExp][] = [
    [
      "29        The time",
      /^The stream has ended inside a message, after 18 bytes of it\.$/,
    ],
    [
      "HTTP/1.1 400 Bad Request",
      /^The stream cannot be read: at byte 0 the client finds “HTTP\/1\.1·4”, which is not a header\. Is another program than streamServer\.ts on that port\?$/,
    ],
  ];
  for (const [text, says] of cases) {
    await using _ = new TcpServer(
      tcpPort,
      (connection) => writeAll(connection, new TextEncoder().encode(text)),
    );
    await browser.open(page.url);
    await browser.says(says);
  }
  await using server = new TcpServer(tcpPort);
  await browser.open(page.url);
  await browser.says(/^No bytes for 5 s\. Waiting\.$/);
  await server.write(encodeFrame("hi"));
  await browser.waitFor("return reads.rows.length === 1");
  await browser.says(/^Reading\.$/);
});

test("a breakpoint in framing.ts stops the browser's debugger", async ({ browser }) => {
  await using page = await startPage(["--demo"]);
  await browser.open(page.url);
  await browser.says(/ Paused\.$/);
  const source = await Deno.readTextFile(`${ROOT}framing.ts`);
  const lines = source.split("\n");
  const start = lines.findIndex((line) => /function decodeHeader\(/.test(line));
  const lineNumber = lines.findIndex((line, i) =>
    i > start && /^ {2}const /.test(line)
  );
  const response = await fetch(`http://${browser.debuggerAddress}/json`);
  const targets = await response.json() as {
    url: string;
    webSocketDebuggerUrl: string;
  }[];
  const target = targets.find(({ url }) => url.startsWith(page.url));
  const debug = new WebSocket(target!.webSocketDebuggerUrl);
  const paused = Promise.withResolvers<unknown>();
  debug.onmessage = ({ data }) => {
    const { method, params } = JSON.parse(data);
    if (method === "Debugger.paused") {
      const { functionName, location } = params.callFrames[0];
      paused.resolve([functionName, location.lineNumber]);
    }
  };
  await within(
    new Promise((resolve) => debug.onopen = resolve),
    () => "a debugger",
  );
  const commands: [string, unknown?][] = [
    ["Debugger.enable"],
    ["Debugger.setBreakpointByUrl", {
      lineNumber,
      url: `${page.url}/framing.ts`,
    }],
    ["Runtime.evaluate", { expression: "run.click()" }],
  ];
  for (const [i, [method, params]] of commands.entries()) {
    debug.send(JSON.stringify({ id: i + 1, method, params }));
  }
  const stop = await within(paused.promise, () => "a stop");
  assertEquals(stop, ["decodeHeader", lineNumber]);
  const closed = new Promise((resolve) => debug.onclose = resolve);
  debug.close();
  await closed;
});

test("a learner's own code is shown, and told from what the column does", async ({ browser }) => {
  const solved = "received = received.slice(end);";
  const folder = await Deno.makeTempDir();
  try {
    for (const name of ["web", "lesson"]) {
      await Deno.mkdir(`${folder}/${name}`);
    }
    const files = [
      ...["serve.ts", "page.html", "page.css", "page.ts", "clients.ts"]
        .map((name) => `web/${name}`),
      ...["lesson/reading.ts", "lesson/command_line.ts", "framing.ts"],
      ...["streamServer.ts", "streamClient01Soln.ts", "deno.json"],
      "streamClientEx1.ts",
    ];
    for (const file of files) {
      await Deno.copyFile(ROOT + file, `${folder}/${file}`);
    }
    await Deno.symlink(`${ROOT}vendor`, `${folder}/vendor`);
    const ex1File = `${folder}/streamClientEx1.ts`;
    const source = await Deno.readTextFile(ex1File);
    await Deno.writeTextFile(ex1File, source.replace(EX1_CODE, solved));
    await using page = await startPage(["--demo"], `${folder}/`);
    await browser.open(page.url);
    await browser.waitFor(
      `return !document.getElementById("ex1-note").hidden`,
    );
    assertEquals(
      await browser.text("#ex1-note"),
      `Your streamClientEx1.ts has another line now: ${solved} This column still shows what the line above does.`,
    );
    assertEquals(await browser.text("#ex1-code"), EX1_CODE);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Registers a test of the page in a browser. */
function test(
  name: string,
  fn: (stage: Stage & { browser: Browser }) => Promise<void>,
): void {
  const run = async (stage: Stage) => {
    await using browser = await Browser.start();
    await browser.show(LIGHT);
    await fn({ ...stage, browser });
  };
  processTest(`browser: ${name}`, () => withPage(run), reasonWithoutBrowser);
}
