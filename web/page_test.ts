/**
 * Tests of the live page in a real Chromium.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { encodeFrame } from "../framing.ts";
import { join, toBytes } from "../fuzz/reference.ts";
import {
  EXERCISE,
  freePort,
  reasonWithout,
  test as processTest,
  writeAll,
} from "../tests/testing.ts";
import { EX1_CODE } from "./clients.ts";
import {
  Browser,
  type Screen,
  type Stage,
  startPage,
  TcpServer,
  TIMES,
  withPage,
} from "./testing.ts";

const reasonWithoutBrowser = await reasonWithout("chromedriver", "--version");

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
    "return Array.from(reads.rows, (row) => row.innerText)",
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
  assertEquals(
    // In the same step, as the stream ends less than a second later.
    await browser.run(
      "pace.value = 60; run.click(); return document.querySelector('#status').textContent",
    ),
    "Ex1 has lost its place. 01Soln reads on.",
  );
  await browser.says(
    /^The stream has ended\. Ex1 has 1 message, 01Soln has 20\.$/,
  );
  assertEquals(await browser.text("#ex1-tally"), "1 message, then an error");
  assertEquals(await browser.text("#soln-tally"), "20 messages");
  assertEquals(await browser.text("#total"), "49 reads, 780 bytes");
  await browser.run("size.value = 13; size.onchange(); restart.click()");
  await browser.says(
    /^The stream has ended\. Ex1 has 20 messages, 01Soln has 20\. No read brought bytes after a message, so Ex1 threw none away\.$/,
  );
});

test("text from the network stays text that can be seen", async ({ browser, page, server }) => {
  const texts = [
    "<img src=x onerror=document.title='bad'>",
    "a\u202eb\x1b[2J\u2028",
    "Ω" + "x".repeat(8000),
  ];
  server.bytes = join(texts.map((text) => encodeFrame(text)));
  await browser.open(page.url);
  await browser.run(
    "size.value = 64; size.onchange(); pace.value = 60; restart.click()",
  );
  await browser.says(/^Ex1 .* Paused\.$/);
  const shown = () =>
    browser.run<string[]>(
      "return Array.from(document.querySelectorAll('td:last-child .message'), (text) => text.textContent)",
    );
  await browser.waitFor("return reads.rows.length === 2");
  assertEquals(await shown(), [texts[0], "a\\u{202e}b\\u{1b}[2J\\u{2028}"]);
  assertEquals(await browser.run("return document.images.length"), 0);
  await browser.run("run.click()");
  await browser.says(/^The stream has ended\./);
  assertEquals(await shown(), ["Ω" + "x".repeat(199) + "…"]);
  assertEquals(await browser.run("return reads.rows.length"), 100);
});

test("everything can be done with the keyboard alone", async ({ browser, page }) => {
  await browser.open(page.url);
  await browser.says(/ Paused\.$/);
  const order = [];
  for (let i = 0; order.length < 6 && i < 7; i++) {
    await browser.press(TAB);
    const { id, outline } = await browser.run<Record<string, string>>(`
      const { id, localName } = document.activeElement;
      const outline = getComputedStyle(document.activeElement).outlineStyle;
      return { id: id || localName, outline };`);
    // In some versions of Chromium, the first Tab only enters the page.
    if (i === 0 && id === "body") continue;
    assertEquals(outline, "solid", "focus can be seen");
    order.push(id);
  }
  assertEquals(order, ["run", "step", "restart", "size", "pace", "main"]);

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

test("the page fits every width, and its head stays", async ({ browser, page }) => {
  for (const width of [1280, 1000, 900, 899, 390, 320]) {
    for (const size of [16, 64]) {
      await browser.show({ width, height: 700 });
      await browser.open(page.url);
      await browser.run(
        "size.value = arguments[0]; size.onchange(); pace.value = 60",
        size,
      );
      await browser.says(/^(Ex1 .* Paused|The stream has ended)\./);
      const look = await browser.run(`
        const right = Math.max(...Array.from(
          document.querySelectorAll("body :not(.label span)"),
          (part) => part.getBoundingClientRect().right));
        const head = document.querySelector("th:last-child").getBoundingClientRect();
        const [, brings, ex1, soln] = reads.rows[0].cells;
        return {
          fits: right <= innerWidth,
          headStays: head.top >= 0 && head.bottom <= innerHeight,
          isBlock: ex1.offsetTop > brings.offsetTop && soln.offsetTop > ex1.offsetTop,
        };`);
      assertEquals(
        look,
        { fits: true, headStays: true, isBlock: width < 900 },
        `${width} pixels, ${size} bytes`,
      );
    }
  }
});

test("light, dark, forced colors and reduced motion are respected", async ({ browser, page }) => {
  const [white, black] = ["rgb(255, 255, 255)", "rgb(21, 25, 31)"];
  const [blue, lightBlue] = ["rgb(29, 79, 215)", "rgb(134, 177, 255)"];
  const cases: [media: Record<string, string>, ...look: string[]][] = [
    [{}, white, blue, "appear"],
    [{ "prefers-color-scheme": "dark" }, black, lightBlue, "appear"],
    [{ "prefers-reduced-motion": "reduce" }, white, blue, "none"],
    [{ "forced-colors": "active" }, white, blue, "appear"],
  ];
  for (const [media, ...look] of cases) {
    await browser.show({ ...LIGHT, media });
    await browser.open(page.url);
    await browser.says(/ Paused\.$/);
    const actual = await browser.run(`
      const style = (what) => getComputedStyle(document.querySelector(what));
      return [
        style(":root").backgroundColor,
        style(".cells .header").backgroundColor,
        style("tbody tr").animationName,
      ]`);
    assertEquals(actual, look);
  }
});

test("axe finds nothing, at both widths, light and dark", async ({ browser, page }) => {
  const { default: axe } = await import("axe-core");
  for (const { width, height } of [LIGHT, { width: 390, height: 844 }]) {
    for (const { media } of [LIGHT, DARK]) {
      await browser.show({ width, height, media });
      await browser.open(page.url);
      await browser.says(/ Paused\.$/);
      // Step by step, so that no row appears while axe looks.
      for (const count of [5, 6]) {
        await browser.run("step.click()");
        await browser.waitFor(`return reads.rows.length === ${count}`);
      }
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

test("the page goes on by itself when a server is there, and when the bridge is back", async ({ browser }) => {
  const tcpPort = freePort();
  const flags = ["--port", `${tcpPort}`];
  const hasEnded = /^The stream has ended\. Ex1 has 1 message, 01Soln has 1/;
  let url: string;
  {
    await using page = await startPage(flags);
    url = page.url;
    await browser.open(url);
    await browser.says(
      /^Nothing listens on .*: deno task server --port \d+$/,
    );
    await using _ = new TcpServer(tcpPort, encodeFrame("hi"));
    await browser.says(hasEnded);
  }
  await browser.run("restart.click()");
  await browser.says(
    /^The program behind this page has ended\. Start it again/,
  );
  assertEquals(await browser.text("#total"), "");
  const { port } = new URL(url);
  await using _ = new TcpServer(tcpPort, encodeFrame("hi"));
  await using _page = await startPage([...flags, "--web-port", port]);
  await browser.says(hasEnded);
});

test("the page says how else a stream ends, or that nothing comes", async ({ browser, page, server }) => {
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
    server.bytes = toBytes(text);
    await browser.open(page.url);
    await browser.says(says);
  }
  server.bytes = undefined;
  await browser.open(page.url);
  await browser.says(/^No bytes for 5 s\. Waiting\.$/);
  // What it says next is kept, as it stays for 5 s only.
  await browser.run(`
    const line = document.querySelector("#status");
    window.said = [];
    new MutationObserver(() => said.push(line.textContent))
      .observe(line, { childList: true });`);
  await writeAll(await server.client(cases.length + 1), encodeFrame("hi"));
  await browser.waitFor("return reads.rows.length === 1");
  await browser.waitFor("return said[0] === 'Reading.'");
});

test("a page that is paused waits for no bytes", async ({ browser, page }) => {
  await browser.open(page.url);
  await browser.says(/ Paused\.$/);
  await browser.run("setTimeout(() => window.isLater = true, 6000)");
  await browser.devTools("Emulation.setVirtualTimePolicy", {
    policy: "advance",
    budget: 7000,
  });
  await browser.waitFor("return window.isLater === true");
  await browser.says(/ Paused\.$/);
});

test("the clients' code is shown, and a learner's own is told from what the column does", async ({ browser, page }) => {
  const file = new URL("../streamClient01Soln.ts", import.meta.url);
  const source = await Deno.readTextFile(file);
  const [[solved]] = Object.entries(EXERCISE);
  const own = "received = received.slice(end);";
  const still = "This column still shows what the line above does.";
  const notes: [replaced: string, code: string, note: string][] = [
    [solved, EX1_CODE, ""],
    [
      solved,
      own,
      `Your streamClientEx1.ts has another line now: ${own} ${still}`,
    ],
    [solved, "", `Your streamClientEx1.ts has no line here now. ${still}`],
    ["print(", "log(", `Your streamClientEx1.ts has other code now. ${still}`],
  ];
  for (const [replaced, code, note] of notes) {
    const ex1 = JSON.stringify(source.replace(replaced, code));
    await browser.devTools("Page.addScriptToEvaluateOnNewDocument", {
      source: `
        window.fetch = ((fetch) => async (path) =>
          path === "/streamClientEx1.ts" ? new Response(${ex1}) : fetch(path)
        )(window.fetch);`,
    });
    await browser.open(page.url);
    await browser.waitFor(
      "return document.querySelector('#soln-code').textContent !== ''",
    );
    assertEquals(await browser.text("#ex1-code"), EX1_CODE);
    assertEquals(await browser.text("#soln-code"), solved);
    assertEquals(await browser.text("#ex1-note"), note);
  }
});

/** Registers a test of the page in a browser. */
function test(
  name: string,
  fn: (stage: Stage & { browser: Browser }) => Promise<void>,
): void {
  const run = async (stage: Stage) => {
    stage.server.bytes = join(TIMES.map((text) => encodeFrame(text)));
    await using browser = await Browser.start();
    await browser.show(LIGHT);
    await fn({ ...stage, browser });
  };
  processTest(`browser: ${name}`, () => withPage(run), reasonWithoutBrowser);
}
