/**
 * Tests of the trace.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { encodeFrame } from "../framing.ts";
import { runScript, serveBytes, test } from "../tests/testing.ts";

test("the trace draws every read of a stream", async () => {
  const frames = ["The time", "", "é\n"].flatMap((text) => [
    ...encodeFrame(text),
  ]);
  await using server = await serveBytes(Uint8Array.from([...frames, 0x1b]));
  const flags = ["--chunk=19", ...server.flags];
  const { code, stdout } = await runScript("trace", flags);
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
read 3      4 bytes                       'é\\n\\u{1b}'
  payload   3 bytes, complete             (é\\n)
  header    1 byte, 9 to come             [\\u{1b}]
`,
  );
  assertEquals(code, 0);
});
