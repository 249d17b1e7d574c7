/**
 * A pair of processes in Deno: one sends messages to the first client that
 * connects, the other receives them.
 *
 * ```shell
 * deno run --allow-net=127.0.0.1 pair.ts FORM send LENGTH COUNT
 * deno run --allow-net=127.0.0.1 pair.ts FORM receive LENGTH PORT
 * ```
 *
 * @module
 */

import {
  FrameDecoderStream,
  FrameEncoderStream,
  FrameReader,
  FrameWriter,
  HEADER_LENGTH,
} from "../../framing.ts";

async function send(
  connection: Deno.TcpConn,
  form: string,
  length: number,
  count: number,
): Promise<void> {
  if (form === "pump") {
    const buffer = new Uint8Array(64 * 1024);
    for (let rest = count * (HEADER_LENGTH + length); rest > 0;) {
      rest -= await connection.write(buffer.subarray(0, rest));
    }
    return;
  }
  if (form === "streams") {
    const payload = new Uint8Array(length);
    return await new ReadableStream<Uint8Array>({
      pull(controller) {
        if (count-- > 0) controller.enqueue(payload);
        else controller.close();
      },
    }).pipeThrough(new FrameEncoderStream()).pipeTo(connection.writable);
  }
  const payload = form === "text" ? "a".repeat(length) : new Uint8Array(length);
  const frames = new FrameWriter(connection);
  for (let i = 0; i < count; i++) {
    frames.add(payload);
    if (frames.isFull) await frames.flush();
  }
  await frames.flush();
}

/** The ways to receive. Each returns how many bytes of payload arrived. */
const receivers: Record<
  string,
  (connection: Deno.TcpConn, length: number) => Promise<number>
> = {
  /** As many bytes without frames: the limit of the socket. */
  async pump(connection, length) {
    const buffer = new Uint8Array(256 * 1024);
    let bytes = 0;
    while (true) {
      const read = await connection.read(buffer);
      if (read === null) return bytes / (HEADER_LENGTH + length) * length;
      bytes += read;
    }
  },

  async bytes(connection) {
    let bytes = 0;
    const frames = new FrameReader(connection);
    while (await frames.fill()) {
      while (frames.next()) bytes += frames.end - frames.start;
    }
    return bytes;
  },

  async iterated(connection) {
    let bytes = 0;
    for await (const payload of new FrameReader(connection)) {
      bytes += payload.length;
    }
    return bytes;
  },

  async text(connection) {
    let bytes = 0;
    const utf8 = new TextDecoder();
    const frames = new FrameReader(connection);
    while (await frames.fill()) {
      while (frames.next()) {
        const payload = frames.bytes.subarray(frames.start, frames.end);
        bytes += utf8.decode(payload).length;
      }
    }
    return bytes;
  },

  async streams(connection) {
    let bytes = 0;
    const payloads = connection.readable.pipeThrough(new FrameDecoderStream());
    for await (const payload of payloads) bytes += payload.length;
    return bytes;
  },
};

const [form, role, ...numbers] = Deno.args;
const [length, last] = numbers.map(Number);
const hostname = "127.0.0.1";
if (role === "send") {
  const listener = Deno.listen({ hostname, port: 0 });
  console.error(`Listening on ${hostname}:${listener.addr.port}`);
  await send(await listener.accept(), form, length, last);
  Deno.exit();
} else {
  const connection = await Deno.connect({ hostname, port: last });
  const start = performance.now();
  const bytes = await receivers[form](connection, length);
  const time = (performance.now() - start) / 1000;
  const messages = bytes / length;
  console.error(
    `${messages} messages, ${
      bytes + messages * HEADER_LENGTH
    } bytes in ${time} s`,
  );
}
