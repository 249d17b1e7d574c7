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

/** Decodes a stream that arrives in `chunks`. */
export type Decode = (
  chunks: Uint8Array[],
  options?: FramingOptions,
) => AsyncIterable<Uint8Array>;

/** Every form of the decoder, by name. The payloads are kept and must not change. */
export const FORMS: Record<string, Decode> = {
  async *FrameDecoder(chunks, options) {
    const decoder = new FrameDecoder(options);
    for (const chunk of chunks) {
      const bytes = inRubbish(chunk);
      for (const payload of decoder.push(bytes)) {
        // Only a payload that lies whole in its chunk changes with it.
        yield payload.buffer === bytes.buffer ? payload.slice() : payload;
      }
      overwrite(bytes);
    }
    decoder.end();
  },

  FrameReader: (chunks, options) => new FrameReader(readerOf(chunks), options),

  async *"FrameReader.next"(chunks, options) {
    const frames = new FrameReader(readerOf(chunks), options);
    while (await frames.fill()) {
      while (frames.next()) yield frames.bytes.slice(frames.start, frames.end);
    }
  },

  async *FrameDecoderStream(chunks, options) {
    const { readable, writable } = new FrameDecoderStream(options);
    const writing = writeAll(writable, chunks).catch((error) => error);
    try {
      yield* readable;
    } catch (error) {
      if (await writing === error) throw error;
      throw new Error(`Its two ends differ: ${error} and ${await writing}`);
    }
    if (await writing !== undefined) throw await writing;
  },
};

/** The bytes around those that a decoder is given. They could be a header. */
const RUBBISH = 0x39;
const RUBBISH_LENGTH = 16;

/** Returns a source whose reads bring one chunk each, or as much of it as fits. It skips empty chunks. */
export function readerOf(chunks: Uint8Array[]): ByteReader {
  const rest = chunks.filter(({ length }) => length > 0);
  let hasEnded = false;
  return {
    async read(buffer) {
      await undefined;
      if (buffer.length === 0) throw new Error("Cannot read: no room");
      if (hasEnded) throw new Error("Cannot read: it has ended");
      if (rest.length === 0) {
        hasEnded = true;
        return null;
      }
      const part = rest[0].subarray(0, buffer.length);
      buffer.set(part);
      buffer.fill(RUBBISH, part.length, part.length + RUBBISH_LENGTH);
      rest[0] = rest[0].subarray(part.length);
      if (rest[0].length === 0) rest.shift();
      return part.length;
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
    const bytes = inRubbish(chunk);
    await writer.write(bytes);
    overwrite(bytes);
  }
  await writer.close();
}

/** Returns a copy in the middle of other bytes. */
function inRubbish(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const memory = new Uint8Array(1 + chunk.length + RUBBISH_LENGTH);
  memory.fill(RUBBISH);
  memory.set(chunk, 1);
  return memory.subarray(1, 1 + chunk.length);
}

function overwrite({ buffer }: Uint8Array): void {
  new Uint8Array(buffer).fill(RUBBISH);
}
