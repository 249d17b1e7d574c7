/**
 * Runs docs/chat.ts: its server and its client, among others that speak to them.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { FrameReader, FrameWriter } from "../framing.ts";

const { state } = await Deno.permissions.query({ name: "run" });

Deno.test({
  name: "docs/chat.ts passes on what one person says to everybody else" +
    (state === "granted" ? "" : " (ignored: no --allow-run)"),
  ignore: state !== "granted",
  async fn() {
    const server = start("serve", "0");
    const logged = lines(server.stderr);
    const { value: listening } = await logged.next();
    const port = listening!.split(":")[1];

    // Ann is connected before Bob, so she misses nothing that he says.
    using ann = await Deno.connect({ port: Number(port) });
    const heard = new FrameReader(ann);
    const said = new FrameWriter(ann);
    const bob = start("join", port, "Bob");
    const printed = lines(bob.stdout);
    const typed = bob.stdin.getWriter();

    await typed.write(new TextEncoder().encode("hällo\n\nis anybody he"));
    assertEquals(await next(heard), "Bob: hällo");
    assertEquals(await next(heard), "Bob: ");
    await typed.write(new TextEncoder().encode("re?\n"));
    assertEquals(await next(heard), "Bob: is anybody here?");

    const long = "x".repeat(10_000);
    for (const text of ["", "grüezi", long, "\x1b[2J"]) said.add(text);
    await said.flush();
    for (const text of ["", "grüezi", long, "\ufffd[2J"]) {
      assertEquals((await printed.next()).value, text);
    }

    // One who does not send frames has to leave, and disturbs nobody.
    using stranger = await Deno.connect({ port: Number(port) });
    await stranger.write(new TextEncoder().encode("GET / HTTP/1.1"));
    assertEquals(await stranger.read(new Uint8Array(1)), null);
    assertEquals(
      (await logged.next()).value!.slice(0, 38),
      "Somebody left: Cannot decode the frame",
    );

    await typed.write(new TextEncoder().encode("bye\n"));
    await typed.close();
    assertEquals(await next(heard), "Bob: bye");
    assertEquals((await printed.next()).done, true);
    assertEquals((await bob.status).code, 0);
    await bob.stderr.cancel();

    server.kill();
    await Promise.all([server.status, server.stdout.cancel()]);
    await server.stdin.close();
    while (!(await logged.next()).done);
  },
});

/** Starts docs/chat.ts. */
function start(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", "docs/chat.ts", ...args],
    cwd: new URL("..", import.meta.url),
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Yields the lines that a process prints. */
async function* lines(
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string> {
  let rest = "";
  for await (const text of output.pipeThrough(new TextDecoderStream())) {
    const [...all] = (rest + text).split("\n");
    rest = all.pop()!;
    yield* all;
  }
}

/** Returns the next message as text. */
async function next(frames: FrameReader): Promise<string> {
  const payload = await frames.read();
  return payload === null ? "(end)" : new TextDecoder().decode(payload);
}
