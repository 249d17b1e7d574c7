/**
 * Tests of the scripts as a learner runs them: real processes over loopback, on
 * ports that are free.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { encodeFrame } from "./framing.ts";
import {
  processTest,
  runScript,
  startProcess,
  startScript,
  startServer,
} from "./testing.ts";

const MESSAGE = /^29 {8}The time is \d{10}\.\d{6}$/;

/** Checks that these are messages as the server makes them, `count` of them, each behind the label. */
function assertMessages(stdout: string, label: string, count: number): void {
  const lines = stdout.split("\n");
  assertEquals(lines.pop(), "", "stdout ends with a line end");
  assertEquals(lines.length, count);
  for (const line of lines) {
    assert(line.startsWith(label), line);
    assertMatch(line.slice(label.length), MESSAGE);
  }
}

processTest(
  "the server says where it listens on stderr, and nothing on stdout until a client connects",
  async () => {
    await using server = await startServer();
    const { code, stdout, stderr } = await server.stop("SIGINT");
    assertEquals(stdout, "");
    assertMatch(stderr, /^Listening on 127\.0\.0\.1:\d+\n/);
    if (Deno.build.os !== "windows") assertEquals(code, 0);
  },
);

processTest(
  "server and 01Soln agree on every line, by default 20 of them at a pace",
  async () => {
    await using server = await startServer();
    const client = await runScript("client", server.flags);
    assertMessages(client.stdout, "M:", 20);
    assertMatch(client.stderr, /^20 messages, 780 bytes in \d+\.\d\d s\n$/);
    assertEquals(client.code, 0);

    const lines = client.stdout.replaceAll(/^M:/gm, "");
    await server.stdout.waitFor(/(29 .*\n){20}/);
    assertMatch(
      server.stdout.text,
      /^Connect from 127\.0\.0\.1:\d+ established\n/,
    );
    assertEquals(server.stdout.text.replace(/^.*\n/, ""), lines);

    const times = [...lines.matchAll(/[\d.]{17}/g)].map(Number);
    const pace = (times[19] - times[0]) / 19;
    assert(pace > 0.09, `a message every ${pace} s`);
  },
);

processTest(
  "Ex1 prints all 20 messages when they arrive one by one",
  async () => {
    await using server = await startServer();
    const { code, stdout } = await runScript("client:ex1", server.flags);
    assertMessages(stdout, "Message:", 20);
    assertEquals(code, 0);
  },
);

processTest(
  "Ex1 loses its place at full speed, and says where and which line to edit",
  async () => {
    const source = await Deno.readTextFile(
      new URL("streamClientEx1.ts", import.meta.url),
    );
    const lines = source.split("\n");
    const line = lines.findIndex((text) => /\/\/ Exercise:/.test(text)) + 4;
    assertEquals(lines[line - 1].trim(), "received = new Uint8Array();");

    await using server = await startServer(["--interval", "0"]);
    const { code, stdout, stderr } = await runScript(
      "client:ex1",
      server.flags,
    );
    assertMessages(stdout, "Message:", 1);
    assertMatch(
      stderr,
      /^error: lost its place: at byte 48 stands " The time "/,
    );
    assertMatch(
      stderr,
      new RegExp(`edit streamClientEx1.ts at line ${line}\n$`),
    );
    assertEquals(code, 1);
  },
);

processTest("Ex1 does not hide that it dropped whole messages", async () => {
  await using server = await startServer(["--interval", "0"]);
  const { code, stdout, stderr } = await runScript("client:ex1", [
    ...server.flags,
    "--chunk=780",
  ]);
  assertMessages(stdout, "Message:", 1);
  assertMatch(
    stderr,
    /^error: messages are missing\. .* thrown away \(bytes so far: 741\)/,
  );
  assertEquals(code, 1);
});

processTest("Ex1 and 01Soln differ in the carry-over alone", async () => {
  const [ex1, soln] = await Promise.all(
    ["streamClientEx1.ts", "streamClient01Soln.ts"].map(async (file) => {
      const source = await Deno.readTextFile(new URL(file, import.meta.url));
      const loop = source.slice(source.indexOf("async function"));
      return loop.slice(0, loop.indexOf("\n}\n"))
        .split("\n").filter((line) => !/^\s*\/\//.test(line));
    }),
  );
  const differing = ex1.filter((line, i) => line !== soln[i]);
  assertEquals(ex1.length, soln.length);
  assertEquals(differing.map((line) => line.trim()), [
    "received = new Uint8Array();",
  ]);
});

for (const chunk of [1, 2, 7, 10, 16, 39, 40, 1000, 65_536]) {
  processTest(
    `01Soln prints all 20 messages at full speed, ${chunk} bytes a read`,
    async () => {
      await using server = await startServer(["--interval", "0"]);
      const { code, stdout } = await runScript("client", [
        ...server.flags,
        `--chunk=${chunk}`,
      ]);
      assertMessages(stdout, "M:", 20);
      assertEquals(code, 0);
    },
  );
}

processTest(
  "clients are served at the same time, each with a stream of its own",
  async () => {
    await using server = await startServer(["--count", "5"]);
    const clients = await Promise.all(
      Array.from({ length: 4 }, () => runScript("client", server.flags)),
    );
    for (const { code, stdout } of clients) {
      assertMessages(stdout, "M:", 5);
      assertEquals(code, 0);
    }
    await server.stdout.waitFor(/(Connect from .* established\n[^C]*){4}/);
  },
);

processTest("--count 0 sends for as long as the client stays", async () => {
  await using server = await startServer(["--count=0", "--interval=0"]);
  await using client = startScript("client", [...server.flags, "--chunk=4096"]);
  await client.stdout.waitFor(/(M:.*\n){5000}/);
});

processTest("--quiet leaves the summary", async () => {
  await using server = await startServer(["--quiet", "--interval=0"]);
  const { stdout, stderr } = await runScript("client", [
    ...server.flags,
    "--quiet",
  ]);
  assertEquals(stdout, "");
  assertMatch(stderr, /^20 messages, 780 bytes/);
  assertMatch(server.stdout.text, /^Connect from .* established\n$/);
});

processTest("--wait lets a client start before its server", async () => {
  const { port } = freeAddress();
  await using client = startScript("client", [
    `--port=${port}`,
    "--wait=60",
    "--quiet",
  ]);
  await client.stderr.waitFor(/^Waiting for a server on 127\.0\.0\.1:\d+\n/);
  await using _server = await startServer([`--port=${port}`, "--interval=0"]);
  const { code, stderr } = await client.result();
  assertMatch(stderr, /\n20 messages/);
  assertEquals(code, 0);
});

processTest(
  "--trace draws every read on stderr and leaves stdout alone",
  async () => {
    using server = serveBytes(
      encodeFrame("The time"),
      encodeFrame(""),
      encodeFrame("é\n"),
    );
    const { stdout, stderr } = await runScript("client", [
      ...server.flags,
      "--trace",
      "--chunk=19",
    ]);
    assertEquals(
      stdout,
      "M:8         The time\nM:0         \nM:3         é\n\n",
    );
    assertEquals(
      stderr.replace(/[\d.]+ s\n$/, "…"),
      `\
read 1      19 bytes                      '8         The time0'
  header    10 bytes, announces 8         [8         ]
  payload   8 bytes, message whole        (The time)
  header    1 byte, 9 to come             [0]
read 2      19 bytes                      '         3         '
  header    9 bytes, announces 0          [         ]
  payload   0 bytes, message whole        ()
  header    10 bytes, announces 3         [3         ]
read 3      3 bytes                       'é\\n'
  payload   3 bytes, message whole        (é\\n)
3 messages, 41 bytes in …`,
    );
  },
);

processTest(
  "--trace shows the bytes of a character that is cut, and what Ex1 throws away",
  async () => {
    using server = serveBytes(encodeFrame("é"), encodeFrame("ab"));
    const { stderr } = await runScript("client:ex1", [
      ...server.flags,
      "--trace",
      "--chunk=11",
    ]);
    assertStringIncludes(
      stderr,
      `\
read 1      11 bytes                      '2         \uFFFD'
  header    10 bytes, announces 2         [2         ]
  payload   1 byte, 1 to come             (\\xC3)
read 2      11 bytes                      '\uFFFD2         '
  payload   1 byte, message whole         (\\xA9)
  header    10 bytes, announces 2         [2         ]
  lost      10 bytes, thrown away         {2         }
`,
    );
  },
);

processTest("01Soln prints text of every script, cut anywhere", async () => {
  const texts = ["Grüße, 世界 🌍", "", "\uFEFFé", "a".repeat(5000), "👩‍👩‍👧‍👦"];
  for (const chunk of [1, 3, 16, 64]) {
    using server = serveBytes(...texts.map((text) => encodeFrame(text)));
    const { code, stdout } = await runScript("client", [
      ...server.flags,
      `--chunk=${chunk}`,
    ]);
    const size = (text: string) => new TextEncoder().encode(text).length;
    const expected = texts.map((text) =>
      `M:${String(size(text)).padEnd(10)}${text}\n`
    );
    assertEquals(stdout, expected.join(""));
    assertEquals(code, 0);
  }
});

processTest("a stream without a message is no error", async () => {
  using server = serveBytes();
  const { code, stdout, stderr } = await runScript("client", server.flags);
  assertEquals(stdout, "");
  assertMatch(
    stderr,
    /^0 messages, 0 bytes in .*\nThe server ended the stream/,
  );
  assertEquals(code, 0);
});

// What a client says of a stream that is bad after one whole message.
const utf8 = new TextEncoder();
const BAD_STREAMS: [name: string, bytes: string | Uint8Array, error: string][] =
  [
    [
      "another server",
      "SSH-2.0-OpenSSH_9.9\r\n",
      `at byte 12 stands "SSH-2.0-Op", expected a header: a length in digits, then spaces, 10 bytes in all. Is the program on ADDRESS the activity's server?`,
    ],
    [
      "an impossible length",
      "29x       The time",
      `at byte 12 stands "29x       ", expected a header`,
    ],
    [
      "a message over the limit",
      "8388609   ",
      "at byte 12 begins a message of 8388609 bytes, the limit is 8388608. Is the program on ADDRESS the activity's server?",
    ],
    [
      "an end inside a header",
      "29  ",
      "the stream ended inside the message at byte 12: 4 of 10 bytes of its header arrived",
    ],
    [
      "an end right after a header",
      "29        ",
      "the stream ended inside the message at byte 12: 10 of 39 bytes arrived",
    ],
    [
      "an end inside a payload",
      "29        The time",
      "the stream ended inside the message at byte 12: 18 of 39 bytes arrived",
    ],
    [
      "bytes that are not UTF-8",
      new Uint8Array([...utf8.encode("3         a"), 0xff, 0x62]),
      "the message at byte 12 is not UTF-8 text: byte 23 is 0xFF",
    ],
  ];
for (const [name, bytes, error] of BAD_STREAMS) {
  processTest(
    `01Soln says what is wrong with ${name}, after printing what arrived whole`,
    async () => {
      const bad = typeof bytes === "string" ? utf8.encode(bytes) : bytes;
      for (const chunk of [5, 16, 1000]) {
        using server = serveBytes(encodeFrame("ok"), bad);
        const { code, stdout, stderr } = await runScript("client", [
          ...server.flags,
          `--chunk=${chunk}`,
        ]);
        assertEquals(stdout, "M:2         ok\n");
        assertMatch(stderr, /^error: .*\n$/);
        assertStringIncludes(stderr, error.replace("ADDRESS", server.address));
        assertEquals(code, 1);
      }
    },
  );
}

processTest("a client with no server says how to start it", async () => {
  const { address, flags, port } = freeAddress();
  for (const task of ["client", "client:ex1"] as const) {
    const { code, stdout, stderr } = await runScript(task, flags);
    assertEquals(stdout, "");
    assertEquals(
      stderr,
      `error: nothing listens on ${address}. Start the server first, in another terminal: deno task server --port ${port}\n`,
    );
    assertEquals(code, 1);
  }
});

processTest(
  "a client that may not connect, or finds no such machine, says so",
  async () => {
    const forbidden = await runScript("client", ["--hostname=192.0.2.1"]);
    assertMatch(
      forbidden.stderr,
      /^error: Deno was not allowed to connect to 192\.0\.2\.1:9092\. Allow it: deno run --allow-net=192\.0\.2\.1:9092 streamClient01Soln\.ts .*\n$/,
    );
    assertEquals(forbidden.code, 1);
  },
);

processTest("the server says what to do when its port is taken", async () => {
  await using server = await startServer();
  const { code, stderr } = await runScript("server", server.flags);
  assertMatch(
    stderr,
    new RegExp(
      `^error: port ${server.port} on 127.0.0.1 is taken.*--port.*\n$`,
    ),
  );
  assertEquals(code, 1);
});

processTest(
  "the server says what to do about an address that is not this machine's, or not allowed",
  async () => {
    const foreign = await startProcess([
      ...[Deno.execPath(), "run", "--no-prompt", "--allow-net"],
      ...["streamServer.ts", "--hostname=192.0.2.1"],
    ]).result();
    assertMatch(
      foreign.stderr,
      /^error: cannot listen on 192\.0\.2\.1:9092, which may be no address of this machine: try --hostname 127\.0\.0\.1 .*\n$/,
    );
    assertEquals(foreign.code, 1);

    const forbidden = await runScript("server", ["--hostname=192.0.2.1"]);
    assertMatch(
      forbidden.stderr,
      /^error: Deno was not allowed to listen on .*\n$/,
    );
    assertEquals(forbidden.code, 1);
  },
);

const COMMON: [args: string[], error: string][] = [
  [["--prot", "9"], "unknown flag --prot"],
  [["--prot=9"], "unknown flag --prot"],
  [["-x"], "unknown flag -x"],
  [["-hq"], "unknown flag -hq"],
  [["--no-quiet"], "unknown flag --no-quiet"],
  [["9093"], `stray argument "9093"`],
  [["--", "--quiet"], `stray argument "--quiet"`],
  [["-"], `stray argument "-"`],
  [[""], `stray argument ""`],
  [["--port"], "--port got no value: allowed is an integer from"],
  [["--port="], "--port got no value"],
  [["--port", "--quiet"], "--port got no value"],
  [["--port", "-1"], `--port got "-1": allowed is an integer from`],
  [["--port", "65536"], `--port got "65536": allowed is an integer from`],
  [["--port", "9092.5"], `--port got "9092.5"`],
  [["--port", "0x10"], `--port got "0x10"`],
  [["--port", "1e3"], `--port got "1e3"`],
  [["--port", "http"], `--port got "http"`],
  [["--hostname"], "--hostname got no value"],
  [["--hostname", "a b"], `--hostname got "a b"`],
  [["--hostname", "127.0.0.1:9092"], `--hostname got "127.0.0.1:9092"`],
  [["--hostname", "http://localhost"], `--hostname got "http://localhost"`],
  [["--hostname", ".."], `--hostname got ".."`],
  [["--quiet=yes"], `--quiet got "yes": allowed is no value`],
  [["--quiet", "yes"], `--quiet got "yes": allowed is no value`],
];
const BAD_COMMAND_LINES = {
  "server": [
    ...COMMON,
    [["--count", "-1"], `--count got "-1": allowed is an integer from 0 to`],
    [["--count", "1.5"], `--count got "1.5"`],
    [["--interval", "-0.1"], `--interval got "-0.1": allowed is a number of`],
    [["--interval", "soon"], `--interval got "soon"`],
    [["--interval", "Infinity"], `--interval got "Infinity"`],
    [["--interval", "1e9"], `--interval got "1e9"`],
    [["--max-clients", "0"], `--max-clients got "0"`],
    [["--trace"], "unknown flag --trace"],
  ],
  "client": [
    ...COMMON,
    [["--port", "0"], `--port got "0": allowed is an integer from 1 to 65535`],
    [["--chunk", "0"], `--chunk got "0": allowed is an integer from 1 to`],
    [["--chunk", "16 "], `--chunk got "16 "`],
    [["--trace=1"], `--trace got "1": allowed is no value`],
    [["--count", "1"], "unknown flag --count"],
  ],
} as const;
for (const task of ["server", "client"] as const) {
  processTest(
    `the ${task} refuses a wrong command line with one line and exit code 2`,
    async () => {
      await Promise.all(BAD_COMMAND_LINES[task].map(async ([args, error]) => {
        const { code, stdout, stderr } = await runScript(task, [...args]);
        assertEquals(stdout, "");
        assertMatch(stderr, /^error: .*\n$/);
        assertStringIncludes(stderr, error);
        assertEquals(code, 2);
      }));
    },
  );
}

for (const task of ["server", "client", "client:ex1"] as const) {
  processTest(
    `${task} --help tells every flag with its default, on stdout`,
    async () => {
      const help = await runScript(task, ["--help"]);
      assertMatch(help.stdout, new RegExp(`USAGE:\n  deno task ${task} \\[`));
      assertMatch(help.stdout, /--port <PORT> .*\(default: 9092\)/);
      assertMatch(help.stdout, /-h, --help/);
      assertEquals(help.stderr, "");
      assertEquals(help.code, 0);
      assertEquals(
        (await runScript(task, ["--port=x", "-h"])).stdout,
        help.stdout,
      );
    },
  );
}

processTest("the demo shows both outcomes and ends by itself", async () => {
  const { code, stdout, stderr } = await startProcess([
    ...[Deno.execPath(), "run", "--no-prompt", "--allow-run", "demo.ts"],
  ]).result();
  assertEquals(stdout.match(/^Message:29 /gm)?.length, 21);
  assertEquals(stdout.match(/^M:29 /gm)?.length, 20);
  assertEquals(stdout.match(/^Connect from /gm)?.length, 3);
  assertEquals(stdout.match(/^== .* ==$/gm)?.length, 5);
  assertMatch(stderr, /^error: lost its place/m);
  assertEquals(code, 0);
});

/** A server in this process that sends every client these bytes, and ends the stream. */
function serveBytes(...parts: Uint8Array[]) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const bytes = new Uint8Array(parts.flatMap((part) => [...part]));
  (async () => {
    for await (const connection of listener) {
      using open = connection;
      const writer = open.writable.getWriter();
      await writer.write(bytes);
      await writer.close();
    }
  })();
  const { port } = listener.addr;
  return {
    address: `127.0.0.1:${port}`,
    flags: [`--port=${port}`],
    [Symbol.dispose]: () => listener.close(),
  };
}

/** An address where nothing listens. */
function freeAddress() {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  return { port, address: `127.0.0.1:${port}`, flags: [`--port=${port}`] };
}
