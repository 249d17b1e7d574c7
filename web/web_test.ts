/**
 * Tests of the live page: the two clients in it, the program that serves it,
 * and the page in a real Chromium.
 *
 * @module
 */

import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { encodeFrame, FrameDecoder } from "../framing.ts";
import { Divider } from "../lesson/reading.ts";
import {
  canRun,
  freePort,
  holdings,
  output,
  processTest,
  runScript,
  tellsHoldings,
  until,
  within,
} from "../tests/testing.ts";
import {
  Browser,
  hasChromedriver,
  type Page,
  ROOT,
  type Screen,
  startPage,
  startWeb,
} from "./testing.ts";
import {
  carryOverCode,
  cells,
  Client,
  ex1,
  EX1_CODE,
  soln,
  visible,
} from "./clients.ts";

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

/** The clients' tasks, and what the page has for them. */
const SCRIPTS = [["client:ex1", ex1], ["client", soln]] as const;

/** The headers with which a browser asks for a WebSocket. */
const UPGRADE = {
  upgrade: "websocket",
  connection: "Upgrade",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
};

/** Bytes to send, as many as a socket takes at once. */
const ZEROS = new Uint8Array(64 * 1024);

// ---------------------------------------------------------------------------
// The two clients

const utf8 = new TextEncoder();

/** Twenty messages as the server sends them, all of the same length. */
const TIMES = Array.from(
  { length: 20 },
  (_, i) => `The time is 1795392089.6955${10 + i}`,
);

Deno.test("the client that keeps the rest equals FrameDecoder for every read size", () => {
  const texts = ["", "one", "Grüße 🙂", "", ...TIMES, "x".repeat(100)];
  const stream = concat(texts.map((text) => encodeFrame(text)));
  for (let size = 1; size <= 200; size++) {
    const client = new Client(soln);
    const decoder = new FrameDecoder();
    for (const read of reads(stream, size)) {
      const payloads = decoder.push(read);
      const { messages, rest, thrownAway } = client.read(read);
      assertEquals(messages, payloads.map((bytes) => decode(bytes)));
      assertEquals(thrownAway, 0);
      if (messages.length > 0) assertEquals(client.pending, rest.length);
    }
    assertEquals(client.pending, 0);
    assertEquals(client.messages, texts.length);
  }
});

Deno.test("the client of the exercise prints all messages with reads of 1, 3, 13 and 39 bytes only", () => {
  const stream = concat(TIMES.map((text) => encodeFrame(text)));
  const sizes = Array.from({ length: 64 }, (_, i) => i + 1);
  const whole = sizes.filter((size) => {
    const client = new Client(ex1);
    for (const read of reads(stream, size)) client.read(read);
    return client.failure === undefined && client.messages === 20;
  });
  assertEquals(whole, [1, 3, 13, 39]);
});

Deno.test("the client of the exercise tells what it throws away and where it fails", () => {
  const client = new Client(ex1);
  const stream = concat(TIMES.map((text) => encodeFrame(text)));
  const [, , third, fourth] = reads(stream, 16).map((read) =>
    client.read(read)
  );
  assertEquals(third.messages, TIMES.slice(0, 1));
  assertEquals(decode(third.rest), "29       ");
  assertEquals(third.thrownAway, 9);
  assertEquals(third.failure, undefined);
  assertEquals(fourth.failure, {
    offset: 48,
    reason: "finds “·The·time·”, which is not a header",
    thrownAway: 9,
  });
});

processTest("the page's clients print and fail as the scripts do", async () => {
  const stream = concat(TIMES.map((text) => encodeFrame(text)));
  const port = freePort();
  await using _ = new TcpServer(port, (client) => writeAll(client, stream));
  for (const size of [13, 16, 20, 64, 78]) {
    for (const [task, carryOver] of SCRIPTS) {
      const client = new Client(carryOver);
      const texts = reads(stream, size).flatMap((read) =>
        client.failure === undefined ? client.read(read).messages : []
      );
      const args = ["--port", `${port}`, "--chunk", `${size}`];
      const { stdout, stderr } = await runScript(task, args);
      const printed = stdout.split("\n").slice(0, -1).map((line) =>
        line.replace(/^M(essage)?:29 {8}/, "")
      );
      assertEquals(printed, texts, `${task}, ${size} bytes`);
      if (client.failure === undefined) continue;
      const { offset } = client.failure;
      assertMatch(stderr, new RegExp(`^error: .*\\bbyte ${offset}\\b`));
    }
  }
});

Deno.test("a client says what it has of a message that is not complete", () => {
  const client = new Client(soln);
  const pending = (text: string) => {
    const { has, of } = client.read(utf8.encode(text));
    return [has, of];
  };
  assertEquals(pending("3    "), [5, undefined]);
  assertEquals(pending("     o"), [11, 13]);
});

Deno.test("a client stops at a length over the limit, and at text that is not UTF-8", () => {
  const tooLong = new Client(soln);
  tooLong.read(utf8.encode("2         hi9999999999"));
  assertEquals(tooLong.failure, {
    offset: 12,
    reason: "finds “9999999999”, a length over the limit of 8388608",
    thrownAway: 0,
  });
  const noText = new Client(soln);
  const { messages } = noText.read(
    concat([encodeFrame("hi"), encodeFrame(new Uint8Array([0xff]))]),
  );
  assertEquals(messages, ["hi"]);
  assertEquals(noText.failure, {
    offset: 12,
    reason: "finds text that is not UTF-8",
    thrownAway: 0,
  });
});

processTest(
  "the page's code for each client is the code in its script",
  async () => {
    const read = (file: string) => Deno.readTextFile(ROOT + file);
    const code = carryOverCode(await read("streamClientEx1.ts"));
    assertEquals(code, EX1_CODE);
    const [, value] = /return (.*;)/.exec(`${ex1}`)!;
    assertEquals(code, `received = ${value}`);
    const [, kept] = /return (.*;)/.exec(`${soln}`)!;
    const solved = carryOverCode(await read("streamClient01Soln.ts"));
    assertEquals(solved, `received = ${kept}`);
  },
);

processTest(
  "the code of a learner's client is found, whatever stands there",
  async () => {
    const source = await Deno.readTextFile(`${ROOT}streamClientEx1.ts`);
    const solved = "const rest = received.slice(end);\n      received = rest;";
    const own = source.replace(EX1_CODE, solved);
    assertEquals(
      carryOverCode(own),
      "const rest = received.slice(end); received = rest;",
    );
    assertEquals(carryOverCode(source.replace(EX1_CODE, "")), "");
    assertEquals(carryOverCode("// something else"), undefined);
  },
);

Deno.test("Divider tells the payload's length where a header ends", () => {
  const divider = new Divider();
  const lengths = [
    "29   ",
    "     The",
    ` time is 1795392089.695505${"0         7"}`,
  ]
    .flatMap((read) => divider.divide(utf8.encode(read)))
    .map(({ part, payloadLength }) => [part, payloadLength]);
  assertEquals(lengths, [
    ["header", undefined],
    ["header", 29],
    ["payload", undefined],
    ["payload", undefined],
    ["header", 0],
    ["header", undefined],
  ]);
});

Deno.test("every byte and every text is shown with something that can be seen", () => {
  const all = cells(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  assertEquals(new Set(all).size, 256);
  for (const cell of all) assertMatch(cell, /^([!-~·]|[\dA-F]{2})$/);
  assertEquals(all[0x41] + all[0x20] + all[0x0a] + all[0xc3], "A·0AC3");
  assertEquals(
    visible("a\u202eb\x1b c\u2028"),
    "a\\u{202e}b\\u{1b} c\\u{2028}",
  );
});

// ---------------------------------------------------------------------------
// The program that serves the page

pageTest(
  "the page and its modules are served with the policy headers",
  async ({ page }) => {
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
  },
);

pageTest(
  "framing.ts is served as JavaScript with every character where it was",
  async ({ page }) => {
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
  },
);

pageTest("what is not the page's is refused", async ({ page }) => {
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

pageTest(
  "the page gets what one read brings, up to what it asked for, until the stream ends",
  async ({ page, tcpPort }) => {
    await using server = new TcpServer(
      tcpPort,
      (connection) =>
        writeAll(connection, concat([utf8.encode("29        The ti"), ZEROS])),
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
  },
);

pageTest(
  "a stream that is no stream of frames arrives as it is",
  async ({ page, tcpPort }) => {
    const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await using _ = new TcpServer(
      tcpPort,
      (connection) => writeAll(connection, every),
    );
    await using stream = await openStream(page);
    assertEquals(await stream.take(256), every);
  },
);

pageTest(
  "a bad request ends the stream with 1008",
  async ({ page, tcpPort }) => {
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
  },
);

pageTest(
  "a flood of requests ends the stream with 1008",
  async ({ page, tcpPort }) => {
    await using server = new TcpServer(tcpPort);
    await using stream = await openStream(page);
    for (let i = 0; i < 16; i++) stream.send("1");
    await server.write(utf8.encode("x"));
    assertEquals(decode(await stream.next()), "x");
    for (let i = 0; i < 2; i++) stream.send("1");
    assertEquals(await stream.closed, [1008, "too many requests wait"]);
    await server.left;
  },
);

pageTest(
  "a page that asks but does not read costs bounded memory",
  async ({ page, tcpPort }) => {
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
  },
);

pageTest(
  "where nothing listens, page and terminal tell how to start the server",
  async ({ page, tcpPort }) => {
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
  },
);

pageTest(
  "a connection that is reset ends the stream with 4002",
  async ({ page, tcpPort }) => {
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
  },
);

pageTest(
  "a page that leaves closes its connection, asked or not",
  async ({ page, tcpPort }) => {
    for (const isAsked of [true, false]) {
      await using server = new TcpServer(tcpPort);
      const stream = await openStream(page);
      await server.accepted;
      if (isAsked) stream.send("16");
      await stream[Symbol.asyncDispose]();
      await server.left;
    }
  },
);

pageTest(
  "what the page does not ask for waits in TCP",
  async ({ page, tcpPort }) => {
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
  },
);

pageTest(
  "twenty pages at once get a whole stream each, at full speed",
  async ({ page, tcpPort }) => {
    const stream = concat(Array(50).fill(ZEROS));
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
  },
);

processTest(
  "deno task web answers a wrong command line with one line",
  async (t) => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const cases: [string[], number, RegExp][] = [
      [
        ["--por", "1"],
        2,
        /^unknown flag --por\. The flags of this program: --help$/,
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

// ---------------------------------------------------------------------------
// The page in a browser

browserTest(
  "Ex1 has 1 message and 01Soln has 20 at full speed",
  async ({ browser }) => {
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
  },
);

browserTest(
  "text from the network stays text that can be seen",
  async ({ browser, page, tcpPort }) => {
    const texts = [
      "<img src=x onerror=document.title='bad'>",
      "a\u202eb\x1b[2J\u2028",
      "Ω" + "x".repeat(8000),
    ];
    await using _ = new TcpServer(tcpPort, (connection) =>
      writeAll(
        connection,
        concat(texts.map((text) => encodeFrame(text))),
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
  },
);

browserTest(
  "everything can be done with the keyboard alone",
  async ({ browser }) => {
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
  },
);

browserTest(
  "the page fits every width, and its head stays",
  async ({ browser }) => {
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
  },
);

browserTest(
  "light, dark, forced colors and reduced motion are respected",
  async ({ browser }) => {
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
  },
);

browserTest(
  "axe finds nothing, at both widths, light and dark",
  async ({ browser }) => {
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
  },
);

browserTest(
  "the page goes on by itself when a server is there, and when the bridge is back",
  async ({ browser, tcpPort }) => {
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
  },
);

browserTest(
  "the page says how else a stream ends, or that nothing comes",
  async ({ browser, page, tcpPort }) => {
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
        (connection) => writeAll(connection, utf8.encode(text)),
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
  },
);

browserTest(
  "a breakpoint in framing.ts stops the browser's debugger",
  async ({ browser }) => {
    await using page = await startPage(["--demo"]);
    await browser.open(page.url);
    await browser.says(/ Paused\.$/);
    const source = await Deno.readTextFile(`${ROOT}framing.ts`);
    const lines = source.split("\n");
    const start = lines.findIndex((line) =>
      /function decodeHeader\(/.test(line)
    );
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
  },
);

browserTest(
  "a learner's own code is shown, and told from what the column does",
  async ({ browser }) => {
    const solved = "received = received.slice(end);";
    const folder = await Deno.makeTempDir();
    try {
      for (const name of ["web", "lesson"]) {
        await Deno.mkdir(
          `${folder}/${name}`,
        );
      }
      const files = [
        ...["serve.ts", "page.html", "page.css", "page.ts", "clients.ts"]
          .map((name) => `web/${name}`),
        ...["lesson/reading.ts", "lesson/command_line.ts", "framing.ts"],
        ...["streamServer.ts", "streamClient01Soln.ts", "deno.json"],
        "streamClientEx1.ts",
      ];
      for (const file of files) {
        await Deno.copyFile(
          ROOT + file,
          `${folder}/${file}`,
        );
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
  },
);

// ---------------------------------------------------------------------------
// Helpers

/** What a test of the page works with. */
interface Stage {
  /** A page that reads from `tcpPort`. */
  page: Page;
  /** The TCP port from which that page reads. It is free at first. */
  tcpPort: number;
}

/** Registers a test of the program that serves the page. */
function pageTest(name: string, fn: (stage: Stage) => Promise<void>): void {
  processTest(`page: ${name}`, async () => {
    const tcpPort = freePort();
    await using page = await startPage(["--port", `${tcpPort}`]);
    await fn({ page, tcpPort });
  });
}

/** Registers a test of the page in a browser. */
function browserTest(
  name: string,
  fn: (stage: Stage & { browser: Browser }) => Promise<void>,
): void {
  processTest(`browser: ${name}`, async () => {
    const tcpPort = freePort();
    await using page = await startPage(["--port", `${tcpPort}`]);
    await using browser = await Browser.start();
    await browser.show(LIGHT);
    await fn({ browser, page, tcpPort });
  }, reasonWithoutBrowser);
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
    return concat(all);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}

/** A server of this test. */
class TcpServer implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #connections: Deno.TcpConn[] = [];
  readonly #accepted = Promise.withResolvers<void>();
  readonly #left = Promise.withResolvers<void>();
  readonly #serving: Promise<void>;

  /** Listens, and sends each client what `send` writes. Then it ends the stream. */
  constructor(
    port: number,
    send?: (client: Deno.TcpConn) => Promise<void>,
  ) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#serving = this.#serve(send);
  }

  /** Settles when there is a client. */
  get accepted(): Promise<void> {
    return within(this.#accepted.promise, () => "a client");
  }

  /** Settles when a client has closed its connection. */
  get left(): Promise<void> {
    return within(this.#left.promise, () => "a client to leave");
  }

  /** Sends bytes to the first client. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.accepted;
    await writeAll(this.#connections[0], bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    for (const connection of this.#connections) connection.close();
  }

  async #serve(send?: (client: Deno.TcpConn) => Promise<void>): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.#connections.push(connection);
        this.#accepted.resolve();
        drain(connection).finally(() => this.#left.resolve());
        send?.(connection).then(() => connection.closeWrite()).catch(() => {
          // The client has left.
        });
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

/** Reads until the other side closes. */
async function drain(connection: Deno.TcpConn): Promise<void> {
  try {
    while (await connection.read(new Uint8Array(1024)) !== null);
  } catch {
    // It is closed already.
  }
}

async function writeAll(
  connection: Deno.TcpConn,
  bytes: Uint8Array,
): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(await connection.write(rest));
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

/** Cuts a stream into reads of one size. */
function reads(stream: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(stream.length / size);
  return Array.from(
    { length: count },
    (_, i) => stream.subarray(i * size, (i + 1) * size),
  );
}

function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
