/** Exercise 1, solved: a client that keeps its place in the stream. @module */
import { Client, runClient } from "./client.ts";
import { decodeHeader, HEADER_LENGTH } from "./framing.ts";

async function receive(client: Client): Promise<void> {
  using connection = await Deno.connect(client.address);
  const buffer = new Uint8Array(client.chunkSize);
  let received = new Uint8Array(); // what has arrived and is not printed yet
  while (true) {
    const size = await connection.read(buffer); // at least 1 byte, or null
    if (size === null) break; // the server has ended the stream
    const msg = utf8.decode(buffer.subarray(0, size)); // this read as text
    received = client.append(received, buffer.subarray(0, size), msg);

    // A message is whole once its header is there, and as many bytes after the
    // header as it says. One read may bring a part of one, or several.
    while (received.length >= HEADER_LENGTH) {
      const end = HEADER_LENGTH + decodeHeader(received);
      if (received.length < end) break; // the rest is still on its way
      client.print(received.subarray(0, end));
      // What came together with the end of this message begins the next one.
      received = received.subarray(end);
    }
  }
  client.end(received);
}

const utf8 = new TextDecoder();

await runClient({
  file: "streamClient01Soln.ts",
  command: "deno task client",
  about: "Prints the messages of streamServer.ts, for any way they arrive.",
  label: "M:",
}, receive);
