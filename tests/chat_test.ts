/**
 * Runs docs/chat.ts: its server and its client, among others that speak to them.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { FrameReader, FrameWriter } from "../framing.ts";
import { type Script, startProcess, test } from "./testing.ts";

test("docs/chat.ts passes on what one person says to everybody else", async () => {
  await using server = startChat("serve", "0");
  const [, port] = await server.stderr.waitFor(/^Listening on .*:(\d+)$/m);

  // Ann is connected before Bob, so she misses nothing that he says.
  using ann = await Deno.connect({ port: Number(port) });
  const heard = new FrameReader(ann);
  const said = new FrameWriter(ann);
  await using bob = startChat("join", port, "Bob");

  await bob.type("hällo\n\nis anybody he");
  assertEquals(await next(heard), "Bob: hällo");
  assertEquals(await next(heard), "Bob: ");
  await bob.type("re?\n");
  assertEquals(await next(heard), "Bob: is anybody here?");

  const long = "x".repeat(10_000);
  for (const text of ["", "grüezi", long, "\x1b[2J"]) said.add(text);
  await said.flush();
  await bob.stdout.waitFor(/2J\n/);
  assertEquals(bob.stdout.lines, ["", "grüezi", long, "\ufffd[2J"]);

  // One who does not send frames has to leave, and disturbs nobody.
  using stranger = await Deno.connect({ port: Number(port) });
  await stranger.write(new TextEncoder().encode("GET / HTTP/1.1"));
  assertEquals(await stranger.read(new Uint8Array(1)), null);
  await server.stderr.waitFor(/^Somebody left: Cannot decode the frame/m);

  await bob.type("bye\n");
  await bob.closeStdin();
  assertEquals(await next(heard), "Bob: bye");
  const { code, stdout } = await bob.result();
  assertEquals([code, stdout.split("\n").length], [0, 5]);
});

/** Starts docs/chat.ts. */
function startChat(...args: string[]): Script {
  const run = [Deno.execPath(), "run", "--allow-net", "docs/chat.ts"];
  return startProcess([...run, ...args]);
}

/** Returns the next message as text. */
async function next(frames: FrameReader): Promise<string> {
  const payload = await frames.read();
  return payload === null ? "(end)" : new TextDecoder().decode(payload);
}
