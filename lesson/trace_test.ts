/**
 * Tests of the trace.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { encodeFrame } from "../framing.ts";
import { runScript, serveBytes, startScript, test } from "../tests/testing.ts";

test("the trace draws every read of a stream, and says that it ended inside a frame", async () => {
  const frames = ["The time", "", "é\n"].flatMap((text) => [
    ...encodeFrame(text),
  ]);
  await using server = await serveBytes(Uint8Array.from([...frames, 0x32]));
  const flags = ["--chunk=19", ...server.flags];
  const { code, stdout, stderr } = await runScript("trace", flags);
  assertEquals(
    stdout,
    `\
read 1      19 bytes                      '8         The time0'
  header    10 bytes, complete            [8         ]
  payload   8 bytes, complete             (The time)
  header    1 byte, 9 to come             [0]
read 2      19 bytes                      '         3         '
  header    9 bytes, complete             [         ]
  header    10 bytes, complete            [3         ]
read 3      4 bytes                       'é\\n2'
  payload   3 bytes, complete             (é\\n)
  header    1 byte, 9 to come             [2]
`,
  );
  assertEquals(
    stderr,
    "error: cannot decode the frame at byte 41: the stream ended after 1 of its 10 header bytes\n",
  );
  assertEquals(code, 1);
});

test("the trace ends without an error if the stream ends between frames", async () => {
  await using server = await serveBytes(encodeFrame("The time"));
  const { code, stderr } = await runScript("trace", server.flags);
  assertEquals([stderr, code], ["", 0]);
});

test("the trace says so while a server sends nothing", async () => {
  await using server = await serveBytes("", "stall");
  await using trace = startScript("trace", server.flags);
  await trace.stderr.waitFor(/^No bytes from .* for 5 s\n/);
});

test("the trace says at once that a stream is not frames, safe to read at a terminal", async () => {
  await using server = await serveBytes("HTTP/1.1\x9bBad", "stall");
  const { code, stdout, stderr } = await runScript("trace", server.flags);
  assertEquals(
    stdout,
    `\
read 1      13 bytes                      'HTTP/1.1\\u{9b}Bad'
  invalid   13 bytes, not a header        ?HTTP/1.1\\u{9b}Bad?
`,
  );
  assertEquals(
    stderr,
    `error: cannot decode the frame at byte 0: expected a header (a length in digits, then spaces, 10 bytes in all), found "HTTP/1.1Â\\u{9b}". Is the program on ${server.address} the activity's server?\n`,
  );
  assertEquals(code, 1);
});
