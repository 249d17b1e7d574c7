/**
 * Many clients in one process, for tests that need thousands. All connect, each
 * reads its stream to the end and checks every message, and all stay until the
 * process is ended: so they are there at once, however slow the machine is.
 *
 * ```shell
 * deno run --allow-net=127.0.0.1 crowd.ts --clients 2000 --messages 20
 * ```
 *
 * @module
 */

import { integer, parseCommandLine, portFlag } from "./command_line.ts";
import { FrameDecoder } from "./framing.ts";

const MOST = 1_000_000;

/** Reads a stream to its end, so many bytes at a time; throws where it is anything but so many whole messages, in order. */
export async function readStream(
  connection: Deno.Conn,
  messages: number,
  chunkSize: number,
): Promise<void> {
  const decoder = new FrameDecoder();
  const buffer = new Uint8Array(chunkSize);
  let count = 0;
  let last = "";
  for (let size; (size = await connection.read(buffer)) !== null;) {
    for (const payload of decoder.push(buffer.subarray(0, size))) {
      const text = utf8.decode(payload);
      if (!/^The time is \d{10}\.\d{6}$/.test(text) || text < last) {
        throw new Error(`Message ${count} is ${text}, after ${last}`);
      }
      last = text;
      count++;
    }
  }
  decoder.end();
  if (count !== messages) throw new Error(`${count} messages of ${messages}`);
}

const utf8 = new TextDecoder();

if (import.meta.main) {
  const options = parseCommandLine({
    command: "deno run --allow-net=127.0.0.1 crowd.ts",
    about:
      "Connects many clients to streamServer.ts, and checks their streams.",
  }, {
    port: portFlag("the server's port", 1),
    clients: integer({
      placeholder: "N",
      about: "how many",
      min: 1,
      max: MOST,
      fallback: 1000,
    }),
    messages: integer({
      placeholder: "N",
      about: "messages in each stream",
      min: 0,
      max: MOST,
      fallback: 20,
    }),
  });
  const address = { hostname: "127.0.0.1", port: options.port };
  const connections: Deno.Conn[] = [];
  for (let i = 0; i < options.clients; i++) {
    connections.push(await Deno.connect(address));
  }
  console.log("connected");
  await Promise.all(
    connections.map((connection) =>
      readStream(connection, options.messages, 1024)
    ),
  );
  console.log("done");
  await new Promise(() => setInterval(() => {}, 3_600_000));
}
