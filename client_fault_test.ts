/**
 * What servers and terminals do to the clients, done to them for real: what
 * arrived whole is printed, then one line says what went wrong, and where.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { createServer, type Socket } from "node:net";
import { encodeFrame } from "./framing.ts";
import {
  freePort,
  isPosix,
  processTest,
  type Result,
  runScript,
  startScript,
  startServer,
  type Task,
  within,
} from "./testing.ts";

const notOnWindows = isPosix ? undefined : "not on Windows";

const first = encodeFrame("The time is 1795392089.695505");
const second = encodeFrame("The time is 1795392089.795505");
const printed = "M:29        The time is 1795392089.695505\n";
const stream = Uint8Array.from([...first, ...second]);

processTest(
  "a client says how much is missing of a stream that is cut anywhere",
  async () => {
    await inParallel(range(1, 77), async (size) => {
      const whole = size - size % 39;
      const rest = size - whole;
      const result = await receive("client", stream.subarray(0, size));

      assertEquals(result.stdout, whole === 0 ? "" : printed);
      if (rest === 0) return assertEquals(result.code, 0);
      const missing = rest < 10
        ? `${rest} of 10 bytes of its header arrived`
        : `${rest} of 39 bytes arrived`;
      assertError(
        result,
        `the stream ended inside the message at byte ${whole}: ${missing}`,
      );
    });
  },
);

processTest(
  "a client says how much is missing of a stream that is reset anywhere",
  async () => {
    await inParallel([1, 9, 10, 38, 39, 40, 48, 49, 77, 78], async (size) => {
      const whole = size - size % 39;
      await using server = await hostileServer(
        stream.subarray(0, size),
        "stall",
      );
      await using client = startScript(
        "client",
        [...server.flags, "--trace", "--chunk", "1000"],
      );
      await client.stderr.waitFor(/^read 1 /m);
      server.reset();
      const result = await client.result();

      assertEquals(result.stdout.length, printed.length * whole / 39);
      const place = size === whole
        ? `broke after ${whole / 39} whole messages`
        : `broke inside the message at byte ${whole}: ${size % 39} of `;
      assertError(result, place);
    });
  },
);

processTest("a client says what stands where a header belongs", async () => {
  const bad = [
    "HTTP/1.1 400 Bad Request\r\n",
    "SSH-2.0-OpenSSH\r\n",
    " 29       ",
    "029       ",
    "+29       ",
    "-1        ",
    "2 9       ",
    "29\t       ",
    "0x1d      ",
    "1e3       ",
    "          ",
    "\0\0\0\x1dThe time",
    "{",
    "\x16\x03\x01\x02",
  ];
  await inParallel(bad, async (header) => {
    const bytes = Uint8Array.from([...first, ...utf8.encode(header)]);
    const result = await receive("client", bytes);

    assertEquals(result.stdout, printed);
    assertError(result, "at byte 39 stands ");
    assertMatch(
      result.stderr,
      /expected a header: .* the activity's server\?$/m,
    );
  });
});

processTest(
  "a client refuses a message over the limit before it arrives",
  async () => {
    await inParallel([8_388_609, 9_999_999_999], async (length) => {
      const header = utf8.encode(String(length).padEnd(10));
      const bytes = Uint8Array.from([...first, ...header]);
      const result = await receive("client", bytes, "stall");

      assertEquals(result.stdout, printed);
      assertError(
        result,
        `at byte 39 begins a message of ${length} bytes, the limit is 8388608`,
      );
    });
  },
);

processTest("a client prints the longest message that is allowed", async () => {
  const frame = encodeFrame("x".repeat(8_388_608));
  const result = await receive("client", frame);

  assertEquals(result.code, 0, result.stderr);
  assertEquals(result.stdout.length, 2 + frame.length + 1);
});

processTest("a client says where a message is not UTF-8", async () => {
  const bad = encodeFrame(Uint8Array.from([0x61, 0xc3, 0xa9, 0xff, 0x62]));
  const result = await receive("client", Uint8Array.from([...first, ...bad]));

  assertEquals(result.stdout, printed);
  assertError(
    result,
    "the message at byte 39 is not UTF-8 text: byte 52 is 0xFF",
  );
});

processTest("a client takes a stream that arrives byte by byte", async () => {
  for (const chunk of ["1", "16", "1000"]) {
    const result = await receive("client", stream, "drip", ["--chunk", chunk]);

    assertEquals(result.code, 0, result.stderr);
    assertEquals(result.stdout.length, 2 * printed.length);
  }
});

processTest(
  "a client waits for a server that stalls, and says so; Ctrl+C ends it with 130",
  async () => {
    await inParallel(["client", "client:ex1"] as const, async (task) => {
      await using server = await hostileServer(stream.subarray(0, 50), "stall");
      await using client = startScript(task, server.flags);
      await client.stdout.waitFor(/695505\n/);
      await client.stderr.waitFor(/^Nothing has arrived .* still waiting/m);

      client.kill("SIGINT");
      const { code, signal, stdout, stderr } = await client.result();

      assertEquals([code, signal], [130, null]);
      assertEquals(stdout.split("\n").length, 2);
      assertEquals(stderr.split("\n").length, 2, stderr);
    });
  },
  notOnWindows,
);

processTest(
  "Ctrl+C ends a client that waits for a server with 130",
  async () => {
    const port = freePort();
    await using client = startScript("client", [
      "--port",
      String(port),
      "--wait",
      "3600",
    ]);
    await client.stderr.waitFor(/^Waiting for a server/m);

    client.kill("SIGINT");
    const { code, stdout, stderr } = await client.result();

    assertEquals([code, stdout], [130, ""]);
    assertEquals(stderr.split("\n").length, 2, stderr);
  },
  notOnWindows,
);

for (const interval of ["0", "0.001"]) {
  processTest(
    `a client whose output is closed early, as by head -n 1, ends quietly: interval ${interval}`,
    async () => {
      await using server = await startServer(
        ["--count", "0", "--interval", interval, "--quiet"],
      );
      await using client = startScript("client", server.flags);
      await client.stdout.waitFor(/\n/);

      await client.stdout.close();
      const { code, stderr } = await client.result();

      assertEquals([code, stderr], [141, ""]);
    },
    notOnWindows,
  );
}

for (const task of ["server", "client", "client:ex1"] as const) {
  processTest(`${task} --help ends quietly where nobody reads it`, async () => {
    await using script = startScript(task, ["--help"]);

    await script.stdout.close();
    const { code, stderr } = await script.result();

    assertEquals([code, stderr], [141, ""]);
  }, notOnWindows);
}

processTest("a client whose output cannot be written says so", async () => {
  await using server = await hostileServer(stream, "end");
  await using client = startScript("client", server.flags, {
    shell: "exec >/dev/full",
  });

  assertError(await client.result(), "cannot write to stdout: No space left");
}, Deno.build.os === "linux" ? undefined : "needs Linux's /dev/full");

/** How a server ends a stream, or does not. */
type Ending = "end" | "stall" | "drip";

/** Runs a client against a server that sends these bytes. */
async function receive(
  task: Task,
  bytes: Uint8Array,
  ending: Ending = "end",
  args: string[] = [],
): Promise<Result> {
  await using server = await hostileServer(bytes, ending);
  return await runScript(task, [...server.flags, ...args]);
}

async function hostileServer(bytes: Uint8Array, ending: Ending) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {}); // A client may leave as it likes.
    if (ending === "drip") return drip(socket, bytes);
    socket.write(bytes);
    if (ending === "end") socket.end();
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await within(listening.promise, () => "a port to listen on");
  const { port } = server.address() as { port: number };
  return {
    flags: ["--port", String(port)],
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}

/** Sends byte after byte, each in a packet of its own. */
function drip(socket: Socket, bytes: Uint8Array): void {
  socket.setNoDelay();
  let sent = 0;
  const timer = setInterval(() => {
    if (sent === bytes.length) {
      clearInterval(timer);
      socket.end();
    } else {
      socket.write(bytes.subarray(sent, ++sent));
    }
  }, 1);
  socket.once("close", () => clearInterval(timer));
}

/** Asserts that a program ended with one error, its last line, and printed no stack trace. */
function assertError(result: Result, message: string): void {
  const { code, stderr } = result;
  assertEquals(code, 1, stderr);
  assertMatch(stderr, /(^|\n)error: [^\n]+\n$/);
  assert(stderr.split("\n").at(-2)?.includes(message), stderr);
  assertEquals(stderr.match(/^error: /gm)?.length, 1);
  assert(!/Uncaught|^ +at /m.test(stderr), stderr);
}

/** Runs some at once: starting a process is mostly waiting. */
async function inParallel<T>(
  values: readonly T[],
  act: (value: T) => Promise<void>,
): Promise<void> {
  const rest = values.values();
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (const value of rest) await act(value);
  }));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

const utf8 = new TextEncoder();
