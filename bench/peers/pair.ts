/**
 * A pair of processes in Deno: one sends messages to the first client that
 * connects, the other receives them.
 *
 * ```shell
 * deno run --allow-net=127.0.0.1 pair.ts send FORM LENGTH COUNT
 * deno run --allow-net=127.0.0.1 pair.ts receive FORM LENGTH PORT
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

interface Form {
  send(connection: Deno.TcpConn, length: number, count: number): Promise<void>;
  /** Returns the number of messages that arrived, and of bytes with their headers. */
  receive(connection: Deno.TcpConn, length: number): Promise<[number, number]>;
}

const forms: Record<string, Form> = {
  /** As many bytes without frames: the limit of the socket. */
  pump: {
    async send(connection, length, count) {
      const buffer = new Uint8Array(64 * 1024);
      for (let rest = count * (HEADER_LENGTH + length); rest > 0;) {
        rest -= await connection.write(buffer.subarray(0, rest));
      }
    },
    async receive(connection, length) {
      const buffer = new Uint8Array(256 * 1024);
      let bytes = 0;
      while (true) {
        const read = await connection.read(buffer);
        if (read === null) return [bytes / (HEADER_LENGTH + length), bytes];
        bytes += read;
      }
    },
  },

  bytes: {
    send: (connection, length, count) =>
      write(connection, new Uint8Array(length), count),
    async receive(connection) {
      let messages = 0;
      let bytes = 0;
      const frames = new FrameReader(connection);
      while (await frames.fill()) {
        while (frames.next()) {
          messages++;
          bytes += HEADER_LENGTH + frames.end - frames.start;
        }
      }
      return [messages, bytes];
    },
  },

  iterated: {
    send: (connection, length, count) =>
      write(connection, new Uint8Array(length), count),
    async receive(connection) {
      let messages = 0;
      let bytes = 0;
      for await (const payload of new FrameReader(connection)) {
        messages++;
        bytes += HEADER_LENGTH + payload.length;
      }
      return [messages, bytes];
    },
  },

  text: {
    send: (connection, length, count) =>
      write(connection, "a".repeat(length), count),
    async receive(connection) {
      let messages = 0;
      let bytes = 0;
      const utf8 = new TextDecoder();
      const frames = new FrameReader(connection);
      while (await frames.fill()) {
        while (frames.next()) {
          const payload = frames.bytes.subarray(frames.start, frames.end);
          messages++;
          bytes += HEADER_LENGTH + utf8.decode(payload).length;
        }
      }
      return [messages, bytes];
    },
  },

  streams: {
    async send(connection, length, count) {
      const payload = new Uint8Array(length);
      await new ReadableStream<Uint8Array>({
        pull(controller) {
          if (count-- > 0) controller.enqueue(payload);
          else controller.close();
        },
      }).pipeThrough(new FrameEncoderStream()).pipeTo(connection.writable);
    },
    async receive(connection) {
      let messages = 0;
      let bytes = 0;
      const payloads = connection.readable
        .pipeThrough(new FrameDecoderStream());
      for await (const payload of payloads) {
        messages++;
        bytes += HEADER_LENGTH + payload.length;
      }
      return [messages, bytes];
    },
  },
};

async function write(
  connection: Deno.TcpConn,
  payload: string | Uint8Array,
  count: number,
): Promise<void> {
  const frames = new FrameWriter(connection);
  for (let i = 0; i < count; i++) {
    frames.add(payload);
    if (frames.isFull) await frames.flush();
  }
  await frames.flush();
}

const [role, form, length, last] = Deno.args;
const hostname = "127.0.0.1";
if (role === "send") {
  const listener = Deno.listen({ hostname, port: 0 });
  console.error(`Listening on ${hostname}:${listener.addr.port}`);
  const connection = await listener.accept();
  await forms[form].send(connection, Number(length), Number(last));
  Deno.exit();
} else {
  const connection = await Deno.connect({ hostname, port: Number(last) });
  const start = performance.now();
  const [messages, bytes] = await forms[form]
    .receive(connection, Number(length));
  const time = (performance.now() - start) / 1000;
  console.error(`${messages} messages, ${bytes} bytes in ${time} s`);
}
