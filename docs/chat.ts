/**
 * A chat over TCP. What one person types, everybody else reads.
 *
 * ```shell
 * deno run --allow-net docs/chat.ts serve 9093
 * deno run --allow-net docs/chat.ts join 9093 Ann
 * deno run --allow-net docs/chat.ts join 9093 Bob
 * ```
 *
 * @module
 */

import { FrameReader, FrameWriter } from "../framing.ts";

const hostname = "127.0.0.1";
const maxFrameLength = 10_000;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

async function serve(port: number): Promise<void> {
  const listener = Deno.listen({ hostname, port });
  console.error(`Listening on ${hostname}:${listener.addr.port}`);
  for await (const connection of listener) relay(connection);
}

/** Everybody who is connected, and what waits for them. */
const people = new Map<Deno.Conn, FrameWriter>();

/** Passes on what one person says, until that person leaves. */
async function relay(connection: Deno.Conn): Promise<void> {
  const frames = new FrameWriter(connection);
  people.set(connection, frames);
  try {
    for await (const said of new FrameReader(connection, { maxFrameLength })) {
      for (const other of people.keys()) {
        if (other !== connection) send(other, said);
      }
    }
    await frames.flush();
  } catch (error) {
    console.error(`Somebody left: ${(error as Error).message}`);
  }
  drop(connection);
}

async function send(connection: Deno.Conn, said: Uint8Array): Promise<void> {
  const frames = people.get(connection)!;
  if (frames.isFull) return drop(connection); // Reads too slowly to stay.
  try {
    frames.add(said);
    await frames.flush();
  } catch {
    drop(connection);
  }
}

function drop(connection: Deno.Conn): void {
  if (people.delete(connection)) connection.close();
}

/** Sends what is typed, and prints what the others say. */
async function join(port: number, name: string): Promise<void> {
  using connection = await Deno.connect({ hostname, port });
  const listening = print(connection);
  const frames = new FrameWriter(connection, { maxFrameLength });
  let typed = "";
  const input = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
  for await (const text of input) {
    const lines = (typed + text).split("\n");
    typed = lines.pop()!;
    for (const line of lines) frames.add(`${name}: ${line}`);
    await frames.flush();
  }
  await connection.closeWrite(); // What is under way still arrives.
  await listening;
}

async function print(connection: Deno.Conn): Promise<void> {
  for await (const said of new FrameReader(connection, { maxFrameLength })) {
    // What a stranger sends must not command the terminal.
    console.log(utf8.decode(said).replaceAll(/\p{C}/gu, "\ufffd"));
  }
}

const [role, port, name = "Somebody"] = Deno.args;
if (role === "serve") await serve(Number(port));
else await join(Number(port), name);
