/**
 * The decoders of framing.ts behind one function, so that one check covers all of
 * them.
 *
 * Each decoder gets its bytes in the least convenient way that it allows: in a
 * buffer that is used again, in views that do not begin at 0, with garbage after
 * the bytes of a read, in chunks that are overwritten after they are written.
 *
 * @module
 */

import {
  type ByteReader,
  FrameDecoder,
  FrameDecoderStream,
  FrameReader,
  type FramingOptions,
} from "../framing.ts";
import type { Outcome } from "./reference.ts";

/** Decodes a stream that arrives in `chunks`. */
export type Decode = (
  chunks: Uint8Array[],
  options?: FramingOptions,
) => Outcome | Promise<Outcome>;

/** Every form of the decoder, by name. */
export const FORMS = {
  FrameDecoder: decodePushed,
  FrameReader: decodeIterated,
  "FrameReader.next": decodeFilled,
  FrameDecoderStream: decodePiped,
} satisfies Record<string, Decode>;

/** The bytes around those that a decoder is given. They could be a header. */
const RUBBISH = 0x39;
const RUBBISH_LENGTH = 16;

/** Decodes with FrameDecoder, the only synchronous decoder. */
export function decodePushed(
  chunks: Uint8Array[],
  options?: FramingOptions,
): Outcome {
  const payloads: Uint8Array[] = [];
  const decoder = new FrameDecoder(options);
  try {
    for (const chunk of chunks) {
      const memory = withRubbish(chunk);
      const end = memory.length - RUBBISH_LENGTH;
      for (const payload of decoder.push(memory.subarray(1, end))) {
        // Only a payload that lies whole in its chunk changes with it.
        const isView = payload.buffer === memory.buffer;
        payloads.push(isView ? payload.slice() : payload);
      }
      memory.fill(RUBBISH);
    }
    decoder.end();
  } catch (error) {
    return { payloads, error };
  }
  return { payloads };
}

async function decodeIterated(
  chunks: Uint8Array[],
  options?: FramingOptions,
): Promise<Outcome> {
  const payloads: Uint8Array[] = [];
  try {
    // Payloads are kept without a copy, and must not change.
    for await (const payload of new FrameReader(readerOf(chunks), options)) {
      payloads.push(payload);
    }
  } catch (error) {
    return { payloads, error };
  }
  return { payloads };
}

async function decodeFilled(
  chunks: Uint8Array[],
  options?: FramingOptions,
): Promise<Outcome> {
  const payloads: Uint8Array[] = [];
  const frames = new FrameReader(readerOf(chunks), options);
  try {
    while (await frames.fill()) {
      while (frames.next()) {
        payloads.push(frames.bytes.slice(frames.start, frames.end));
      }
    }
  } catch (error) {
    return { payloads, error };
  }
  return { payloads };
}

async function decodePiped(
  chunks: Uint8Array[],
  options?: FramingOptions,
): Promise<Outcome> {
  const payloads: Uint8Array[] = [];
  const stream = new FrameDecoderStream(options);
  const [reading, writing] = await Promise.allSettled([
    (async () => {
      for await (const payload of stream.readable) payloads.push(payload);
    })(),
    writeAll(stream.writable, chunks),
  ]);
  const errors = [reading, writing].map((end) =>
    end.status === "rejected" ? end.reason : undefined
  );
  if (errors[0] !== errors[1]) {
    return { payloads, error: `Its two ends differ: ${errors.join(" and ")}` };
  }
  return { payloads, error: errors[0] };
}

/** Returns a source whose reads bring one chunk each, or as much of it as fits. It skips empty chunks. */
export function readerOf(pieces: Uint8Array[]): ByteReader {
  const chunks = pieces.filter(({ length }) => length > 0);
  let next = 0;
  let at = 0;
  let hasEnded = false;
  return {
    async read(buffer) {
      await undefined;
      if (buffer.length === 0) throw new Error("Cannot read: no room");
      if (next === chunks.length) {
        if (hasEnded) throw new Error("Cannot read: it has ended");
        hasEnded = true;
        return null;
      }
      const piece = chunks[next].subarray(at, at + buffer.length);
      buffer.set(piece);
      buffer.fill(RUBBISH, piece.length, piece.length + RUBBISH_LENGTH);
      at += piece.length;
      if (at === chunks[next].length) {
        next++;
        at = 0;
      }
      return piece.length;
    },
  };
}

async function writeAll(
  writable: WritableStream<Uint8Array>,
  chunks: Uint8Array[],
): Promise<void> {
  const writer = writable.getWriter();
  writer.closed.catch(() => {}); // The same error as that of write or close.
  for (const chunk of chunks) {
    const memory = withRubbish(chunk);
    await writer.write(memory.subarray(1, memory.length - RUBBISH_LENGTH));
    memory.fill(RUBBISH);
  }
  await writer.close();
}

function withRubbish(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const memory = new Uint8Array(1 + chunk.length + RUBBISH_LENGTH);
  memory.fill(RUBBISH);
  memory.set(chunk, 1);
  return memory;
}
