/**
 * Length-prefixed messages over a byte stream: each message travels as a
 * frame, a header of 10 bytes and then the payload.
 *
 * ```text
 *  byte  0                 10                                   39
 *        |  h e a d e r    |  p a y l o a d                     |
 *        | 2 9 · · · · · · · · | T h e   t i m e   i s   1 7 9 … |  next frame
 * ```
 *
 * The header is the payload's length in bytes, as ASCII decimal digits,
 * left-justified and padded with spaces (`·` above). Only that one spelling of
 * a length is valid: no sign, no leading zero, nothing but digits and the
 * spaces after them. A stream may end only between two frames.
 *
 * | to | use |
 * |---|---|
 * | frame one payload | {@linkcode encodeFrame} |
 * | take frames out of chunks, whoever reads them | {@linkcode FrameDecoder} |
 * | transform Web Streams | {@linkcode FrameEncoderStream}, {@linkcode FrameDecoderStream} |
 * | own the reading loop, at full speed | {@linkcode FrameReader} |
 * | write many small frames, at full speed | {@linkcode FrameWriter} |
 *
 * This module imports nothing and uses Web APIs only: the same file runs in
 * Deno, Node.js, Bun and browsers.
 *
 * @example Messages over a pair of streams
 * ```ts
 * import { FrameDecoderStream, FrameEncoderStream } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const messages = ReadableStream.from(["one", "two", "three"])
 *   .pipeThrough(new FrameEncoderStream()) // … and over a socket …
 *   .pipeThrough(new FrameDecoderStream());
 *
 * const utf8 = new TextDecoder();
 * const texts = await Array.fromAsync(messages, (bytes) => utf8.decode(bytes));
 * assertEquals(texts, ["one", "two", "three"]);
 * ```
 *
 * @module
 */

/** Length of every frame's header, in bytes. */
export const HEADER_LENGTH = 10;

/** The longest payload that is let through unless told otherwise: 8 MiB, in bytes. */
export const DEFAULT_MAX_FRAME_LENGTH: number = 8 * 1024 * 1024;

/** The longest payload whose length a header can hold, in bytes. */
const MAX_HEADER_VALUE = 9_999_999_999;

/** Options that all parts of this module share. */
export interface FramingOptions {
  /**
   * The longest payload to encode or to accept, in bytes: an integer from 0 to
   * 9,999,999,999.
   *
   * @default {8_388_608}
   */
  maxFrameLength?: number;
}

/**
 * What went wrong with a frame.
 *
 * - `INVALID_HEADER`: what stands where a header belongs is none.
 * - `FRAME_TOO_LARGE`: the payload is longer than `maxFrameLength`.
 * - `UNEXPECTED_EOF`: the stream ended inside a frame.
 */
export type FramingErrorCode =
  | "INVALID_HEADER"
  | "FRAME_TOO_LARGE"
  | "UNEXPECTED_EOF";

/** The facts that a {@linkcode FramingError} carries, each where there is one. */
export interface FramingErrorDetails {
  /** `INVALID_HEADER`: what stood there, one character a byte, as far as it had arrived. */
  header?: string;
  /** `FRAME_TOO_LARGE`: length of the payload, in bytes. */
  length?: number;
  /** `FRAME_TOO_LARGE`: the limit that it exceeds, in bytes. */
  maxFrameLength?: number;
  /** `UNEXPECTED_EOF`: how much of the frame arrived, in bytes, header included. */
  received?: number;
  /** `UNEXPECTED_EOF`: how long the frame is, in bytes, header included; 10 where the header itself is cut. */
  expected?: number;
}

/**
 * The error that everything in this module throws for a bad frame.
 *
 * @example What it tells
 * ```ts
 * import { FrameDecoder, FramingError } from "./framing.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const decoder = new FrameDecoder();
 * decoder.push(new TextEncoder().encode("2         hi"));
 * const error = assertThrows(
 *   () => decoder.push(new TextEncoder().encode("HTTP/1.1 400")),
 *   FramingError,
 * );
 *
 * assertEquals(error.code, "INVALID_HEADER");
 * assertEquals(error.offset, 12);
 * assertEquals(error.details.header, "HTTP/1.1 4");
 * ```
 */
export class FramingError extends Error {
  /** Always `"FramingError"`. */
  override readonly name = "FramingError";
  /** What went wrong. */
  readonly code: FramingErrorCode;
  /** Where the bad frame's header begins, in bytes from the start of the stream; 0 where there is no stream. */
  readonly offset: number;
  /** The header's text or the lengths concerned. */
  readonly details: FramingErrorDetails;

  /**
   * Constructs a new instance.
   *
   * @param code What went wrong.
   * @param message The same for people.
   * @param offset Where the bad frame's header begins, in bytes.
   * @param details The header's text or the lengths concerned.
   */
  constructor(
    code: FramingErrorCode,
    message: string,
    offset: number,
    details: FramingErrorDetails = {},
  ) {
    super(message);
    this.code = code;
    this.offset = offset;
    this.details = details;
  }
}

/**
 * Makes one frame.
 *
 * @example A text
 * ```ts
 * import { encodeFrame } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const frame = encodeFrame("Grüße");
 * assertEquals(new TextDecoder().decode(frame), "7         Grüße");
 * ```
 *
 * @param payload Any bytes, or a text that is sent as UTF-8.
 * @param options The limit for the payload.
 * @returns The frame, header and a copy of the payload, in memory of its own.
 * @throws {FramingError} `FRAME_TOO_LARGE` where the payload is over the limit.
 * @throws {RangeError} Where `maxFrameLength` is out of range.
 */
export function encodeFrame(
  payload: string | Uint8Array,
  options?: FramingOptions,
): Uint8Array<ArrayBuffer> {
  const length = payloadLength(payload, maxFrameLength(options));
  const frame = new Uint8Array(HEADER_LENGTH + length);
  writeFrame(frame, 0, payload, length);
  return frame;
}

/**
 * Reads a frame's header.
 *
 * @example The length of a payload
 * ```ts
 * import { decodeHeader } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const received = new TextEncoder().encode("29        The ti");
 * assertEquals(decodeHeader(received), 29);
 * ```
 *
 * @param header Bytes that begin with the header. Only the first 10 are looked at.
 * @param options The limit for the payload.
 * @returns The payload's length in bytes.
 * @throws {FramingError} `INVALID_HEADER` where the first 10 bytes are no
 * header, or there are fewer; `FRAME_TOO_LARGE` where the length is over the
 * limit. Its `offset` counts from the header: 0.
 * @throws {RangeError} Where `maxFrameLength` is out of range.
 */
export function decodeHeader(
  header: Uint8Array,
  options?: FramingOptions,
): number {
  const limit = maxFrameLength(options);
  const length = readHeader(header, 0, header.length);
  if (length < 0 || length > limit) {
    throw headerError(header, 0, header.length, limit, 0);
  }
  return length;
}

/** What of `chunk` to push next, from `at` on, so that no payload is a view of it. */
let ownPiece: (
  decoder: FrameDecoder,
  chunk: Uint8Array,
  at: number,
) => Uint8Array;

/**
 * Takes the payloads out of a stream of frames that arrives in chunks, for any
 * way of cutting it: a chunk may hold many frames, or a part of one, and may end
 * inside a header or inside a character. It does no I/O and never waits.
 *
 * ```text
 * push("3         one3     ")  returns ["one"]
 * push("    tw")               returns []
 * push("o0         5")         returns ["two", ""]
 * end()                        throws UNEXPECTED_EOF: 1 of 10 header bytes arrived
 * ```
 *
 * **Who owns the bytes:** a payload that lies whole inside one chunk is a view
 * of that chunk, without a copy. Whoever reads into the same buffer again must
 * be done with the payloads by then, and whoever keeps one keeps its chunk in
 * memory: `payload.slice()` is a copy that does neither. A payload that
 * spans chunks is memory of its own, as is every byte that the decoder still
 * needs when `push` returns.
 *
 * **Cost:** linear in the bytes pushed, for frames and chunks of any size. What
 * a header announces costs nothing until it arrives: the memory for a payload is
 * 8 times what has arrived of it, at the most, and never more than its length.
 *
 * @example A reading loop
 * ```ts
 * import { encodeFrame, FrameDecoder } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * // On a socket: `for await (const chunk of connection.readable)`.
 * const chunks = ReadableStream.from([
 *   encodeFrame("one").subarray(0, 4),
 *   encodeFrame("one").subarray(4),
 * ]);
 *
 * const utf8 = new TextDecoder();
 * const texts: string[] = [];
 * const decoder = new FrameDecoder();
 * for await (const chunk of chunks) {
 *   for (const payload of decoder.push(chunk)) texts.push(utf8.decode(payload));
 * }
 * decoder.end();
 *
 * assertEquals(texts, ["one"]);
 * ```
 */
export class FrameDecoder {
  static {
    ownPiece = (decoder, chunk, at) => decoder.#ownPiece(chunk, at);
  }

  readonly #maxFrameLength: number;
  /** Where the current frame begins in the stream. */
  #offset = 0;
  /** The first bytes of a frame that is cut: its header, as far as it arrived. */
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #headerSize = 0;
  /** Its payload: `#length` bytes in all, the first `#size` of them in `#memory`. */
  #length = 0;
  #memory: Uint8Array<ArrayBuffer> = EMPTY;
  #size = 0;
  readonly #slab = new Slab();
  #error: FramingError | undefined;

  /**
   * Constructs a new instance.
   *
   * @param options The limit for payloads.
   * @throws {RangeError} Where `maxFrameLength` is out of range.
   */
  constructor(options?: FramingOptions) {
    this.#maxFrameLength = maxFrameLength(options);
  }

  /**
   * Takes in the next bytes of the stream.
   *
   * Where whole frames come before a bad one in the same chunk, their payloads
   * are returned, and the next call throws: so what is returned does not depend
   * on how the stream was cut.
   *
   * @param chunk The next bytes, any number of them.
   * @returns The payloads that these bytes complete, in order; often none.
   * @throws {FramingError} `INVALID_HEADER`, as soon as a byte arrives that
   * cannot stand in a header; `FRAME_TOO_LARGE`, as soon as the header is whole.
   * After an error, every call throws that error again.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#error !== undefined) throw this.#error;
    let payloads: Uint8Array[] = [];
    const at = this.#headerSize > 0 ? this.#resume(chunk, 0, payloads) : 0;
    const rest = chunk.length - at;
    if (rest > HEADER_LENGTH) payloads = this.#views(chunk, at, payloads);
    else if (rest > 0) this.#resume(chunk, at, payloads);
    if (this.#error !== undefined && payloads.length === 0) throw this.#error;
    return payloads;
  }

  /**
   * Says that the stream has ended.
   *
   * @throws {FramingError} `UNEXPECTED_EOF` where that is inside a frame.
   */
  end(): void {
    if (this.#error === undefined && this.#headerSize > 0) {
      this.#error = unexpectedEnd(
        this.#offset,
        this.#headerSize + this.#size,
        this.#length,
      );
    }
    if (this.#error !== undefined) throw this.#error;
  }

  /** Adds the payloads of all that `chunk` has from `at` on, as views of it; gives them all. */
  #views(chunk: Uint8Array, at: number, before: Uint8Array[]): Uint8Array[] {
    const { buffer, byteOffset, length: size } = chunk;
    const limit = this.#maxFrameLength;
    let payloads = before;
    if (size - at >= LONG_CHUNK) {
      // Room from the start, for frames like the first, saves an array's growing.
      const likely = HEADER_LENGTH + Math.max(0, readHeader(chunk, at, size));
      const room = Math.min(Math.floor((size - at) / likely), MOST_ROOM);
      payloads = new Array(before.length + room);
      if (before.length > 0) payloads[0] = before[0];
    }
    let count = before.length;
    const first = at;
    while (true) {
      const length = readHeader(chunk, at, size);
      const start = at + HEADER_LENGTH;
      const end = start + length;
      if (length < 0 || length > limit || end > size) break;
      // `subarray` takes a fifth longer than the constructor.
      payloads[count++] = new Uint8Array(buffer, byteOffset + start, length);
      at = end;
    }
    if (count < payloads.length) payloads.length = count;
    this.#offset += at - first;
    if (at < size) this.#resume(chunk, at, payloads);
    return payloads;
  }

  #ownPiece(chunk: Uint8Array, at: number): Uint8Array {
    const size = chunk.length;
    if (this.#headerSize > 0) {
      // What a frame that is cut still needs is copied by `#resume`.
      const missing = this.#headerSize < HEADER_LENGTH
        ? HEADER_LENGTH - this.#headerSize
        : this.#length - this.#size;
      return chunk.subarray(at, at + missing);
    }
    const length = readHeader(chunk, at, size);
    const end = at + HEADER_LENGTH + length;
    if (length < 0 || end > size) return chunk.subarray(at);
    // Small frames are copied together: memory costs as much as hundreds of them.
    const least = Math.min(at + PIECE_LENGTH, size);
    return new Uint8Array(chunk.subarray(at, Math.max(end, least)));
  }

  /** Adds to the frame that is cut what `chunk` has of it from `at` on; gives where that ends. */
  #resume(chunk: Uint8Array, at: number, payloads: Uint8Array[]): number {
    if (this.#headerSize < HEADER_LENGTH) {
      const header = this.#header;
      const limit = this.#maxFrameLength;
      let size = this.#headerSize;
      while (size < HEADER_LENGTH && at < chunk.length) {
        header[size++] = chunk[at++];
      }
      const length = readHeader(header, 0, size);
      this.#headerSize = size;
      if (length === INVALID || length > limit) {
        this.#error = headerError(header, 0, size, limit, this.#offset);
        return chunk.length;
      }
      if (length === INCOMPLETE) return at;
      this.#length = length;
    }
    const length = this.#length;
    const size = this.#size;
    const count = Math.min(length - size, chunk.length - at);
    if (size + count > this.#memory.length) this.#reserve(size + count);
    copy(chunk, at, count, this.#memory, size);
    this.#size += count;
    if (this.#size === length) {
      payloads.push(length > 0 ? this.#memory : new Uint8Array());
      this.#offset += HEADER_LENGTH + length;
      this.#memory = EMPTY;
      this.#headerSize = this.#length = this.#size = 0;
    }
    return at + count;
  }

  /** Makes room for at least `size` bytes of the payload, and for no more than some times what has arrived. */
  #reserve(size: number): void {
    const length = this.#length;
    if (length <= SLAB_PAYLOAD) {
      this.#memory = this.#slab.take(length);
    } else {
      // Doubled, all the copying is linear; and most is copied once only, as the
      // whole payload gets its memory when an eighth of it has arrived.
      const memory = new Uint8Array(
        size * MOST_AHEAD < length
          ? Math.max(size, this.#memory.length * 2)
          : length,
      );
      memory.set(this.#memory.subarray(0, this.#size));
      this.#memory = memory;
    }
  }
}

/**
 * A source of bytes that is read into a buffer of the caller's: what a
 * `Deno.Conn` and a `Deno.FsFile` are.
 */
export interface ByteReader {
  /**
   * Reads some bytes into `buffer`, from its start.
   *
   * @param buffer Where to put them; never empty.
   * @returns How many bytes were read, or `null` at the end of the stream.
   */
  read(buffer: Uint8Array): Promise<number | null>;
}

/** A sink of bytes that may take fewer than it is given: what a `Deno.Conn` and a `Deno.FsFile` are. */
export interface ByteWriter {
  /**
   * Writes some of `bytes`, from their start.
   *
   * @param bytes What to write.
   * @returns How many bytes were written.
   */
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * Reads frames at full speed, for those who own the reading loop: it owns the
 * buffer that is read into, and says where each payload stands in it, without a
 * copy and without an object per frame.
 *
 * **Who owns the bytes:** the reader. `bytes`, `start`, `end` and `payload` hold
 * good until the next call of `read`, which overwrites them; keep
 * `payload.slice()`.
 *
 * **Cost:** linear in the bytes read. The buffer begins with 256 KiB and grows,
 * by what really arrives, to the longest frame seen and 256 KiB more.
 *
 * @example A reading loop
 * ```ts
 * import { encodeFrame, FrameReader } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const [connection, client] = await Promise.all([
 *   Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
 *   listener.accept(),
 * ]);
 * await client.write(encodeFrame("one"));
 * client.close();
 *
 * let bytes = 0;
 * const frames = new FrameReader(connection);
 * while (await frames.read()) {
 *   while (frames.next()) bytes += frames.end - frames.start;
 * }
 * connection.close();
 *
 * assertEquals(bytes, 3);
 * ```
 */
export class FrameReader {
  readonly #reader: ByteReader;
  readonly #maxFrameLength: number;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(READ_BUFFER_LENGTH);
  #start = 0;
  #end = 0;
  /** Where the bytes that were read end. */
  #size = 0;
  /** Where the first byte of the buffer stands in the stream. */
  #offset = 0;

  /**
   * Constructs a new instance.
   *
   * @param reader What to read from. It is not closed.
   * @param options The limit for payloads.
   * @throws {RangeError} Where `maxFrameLength` is out of range.
   */
  constructor(reader: ByteReader, options?: FramingOptions) {
    this.#reader = reader;
    this.#maxFrameLength = maxFrameLength(options);
  }

  /** The buffer, in which the current payload stands from `start` to `end`. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Where the current payload begins in `bytes`. */
  get start(): number {
    return this.#start;
  }

  /** Where the current payload ends in `bytes`, exclusive. */
  get end(): number {
    return this.#end;
  }

  /** The current payload, as a view of `bytes`. */
  get payload(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /**
   * Reads once from the source. Call it when `next` has no more: frames not yet
   * taken stay, but the current payload does not.
   *
   * @returns Whether there may be more: `false` at the end of the stream.
   * @throws {FramingError} `UNEXPECTED_EOF` where the stream ends inside a frame.
   */
  async read(): Promise<boolean> {
    const room = this.#bytes.length - this.#size;
    const rest = this.#size - this.#end;
    if (rest <= this.#end / 4 || room < READ_MINIMUM) this.#slide();
    if (this.#size === this.#bytes.length) this.#grow();
    const count = await this.#reader.read(this.#bytes.subarray(this.#size));
    if (count !== null) {
      this.#size += count;
      return true;
    }
    if (this.#size === this.#end) return false;
    const received = this.#size - this.#end;
    const length = Math.max(0, this.#nextLength());
    if (received < HEADER_LENGTH + length) {
      throw unexpectedEnd(this.#offset + this.#end, received, length);
    }
    return true; // Frames that were not taken.
  }

  /**
   * Goes on to the next payload among the bytes that were read.
   *
   * @returns Whether there is one that has arrived whole: else `read` again.
   * @throws {FramingError} `INVALID_HEADER`, as soon as a byte arrives that
   * cannot stand in a header; `FRAME_TOO_LARGE`, as soon as the header is whole.
   * Every later call throws it again.
   */
  next(): boolean {
    const length = this.#nextLength();
    const start = this.#end + HEADER_LENGTH;
    const end = start + length;
    if (length === INCOMPLETE || end > this.#size) return false;
    this.#start = start;
    this.#end = end;
    return true;
  }

  /** Length of the payload after the current one, or `INCOMPLETE`. */
  #nextLength(): number {
    const at = this.#end;
    const length = readHeader(this.#bytes, at, this.#size);
    const limit = this.#maxFrameLength;
    if (length === INVALID || length > limit) {
      throw headerError(this.#bytes, at, this.#size, limit, this.#offset + at);
    }
    return length;
  }

  /** Moves what has not been taken yet, a part of a frame as a rule, to the front. */
  #slide(): void {
    const taken = this.#end;
    if (taken === 0) return;
    this.#bytes.copyWithin(0, taken, this.#size);
    this.#offset += taken;
    this.#size -= taken;
    this.#start = this.#end = 0;
  }

  /** Makes room where one frame, or some that were not taken, fill the buffer: for them and what follows, but only some times what has arrived. */
  #grow(): void {
    const bytes = new Uint8Array(
      Math.min(
        this.#size * READ_BUFFER_GROWTH,
        Math.max(this.#size, HEADER_LENGTH + this.#nextLength()) +
          READ_BUFFER_LENGTH,
      ),
    );
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}

/**
 * Writes frames at full speed: it puts them together in one buffer, so that many
 * small frames cost one write.
 *
 * @example A writing loop
 * ```ts
 * import { FrameWriter } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const written: number[] = [];
 * const connection = { // stands for a `Deno.Conn`
 *   write(bytes: Uint8Array) {
 *     written.push(bytes.length);
 *     return Promise.resolve(bytes.length);
 *   },
 * };
 *
 * const frames = new FrameWriter(connection);
 * for (const message of ["one", "two", "three"]) {
 *   frames.add(message);
 *   if (frames.isFull) await frames.flush();
 * }
 * await frames.flush();
 *
 * assertEquals(written, [41]);
 * ```
 */
export class FrameWriter {
  readonly #writer: ByteWriter;
  readonly #maxFrameLength: number;
  #bytes: Uint8Array<ArrayBuffer> = EMPTY;
  /** Where the frames in `#bytes` end; they begin at `WRITE_BUFFER_START`. */
  #end = WRITE_BUFFER_START;
  /** Frames after those, still text: encoding many together costs a tenth of encoding each. */
  #text = "";
  /** The header that was last put in `#text`, and the length it holds: neighbours often have one length. */
  #header = "";
  #headerLength = -1;
  #isFlushing = false;

  /**
   * Constructs a new instance.
   *
   * @param writer What to write to. It is not closed.
   * @param options The limit for payloads.
   * @throws {RangeError} Where `maxFrameLength` is out of range.
   */
  constructor(writer: ByteWriter, options?: FramingOptions) {
    this.#writer = writer;
    this.#maxFrameLength = maxFrameLength(options);
  }

  /** How many bytes of frames wait for `flush`. */
  get size(): number {
    this.#encodeText();
    return this.#end - WRITE_BUFFER_START;
  }

  /** Whether it is time to `flush`: 64 KiB or more are waiting. Adding more is possible, and takes memory. */
  get isFull(): boolean {
    const most = this.#end + this.#text.length * UTF8_MOST;
    return most >= WRITE_BUFFER_LENGTH && this.size >= WRITE_BUFFER_LENGTH;
  }

  /**
   * Adds one frame. The payload is copied.
   *
   * @param payload Any bytes, or a text that is sent as UTF-8.
   * @throws {FramingError} `FRAME_TOO_LARGE` where the payload is over the limit; the writer stays as it was.
   * @throws {TypeError} Where `flush` has not finished.
   */
  add(payload: string | Uint8Array): void {
    if (this.#isFlushing) {
      throw new TypeError("Cannot add a frame: flush has not finished");
    }
    const isText = typeof payload === "string";
    const length = payload.length;
    const limit = this.#maxFrameLength;
    if (length * (isText ? UTF8_MOST : 1) > limit) {
      payloadLength(payload, limit);
    }
    if (isText) {
      if (length !== this.#headerLength) {
        this.#header = encodeHeader(length);
        this.#headerLength = length;
      }
      this.#text += this.#header + payload;
    } else {
      if (this.#text !== "") this.#encodeText();
      const at = this.#end;
      const end = at + HEADER_LENGTH + length;
      if (end > this.#bytes.length) this.#reserve(end);
      writeFrame(this.#bytes, at, payload, length);
      this.#end = end;
    }
  }

  /**
   * Writes all that was added, and waits until it is written: that is where
   * backpressure is felt.
   *
   * @throws Whatever the sink's `write` rejects with; what was added is then lost.
   * @throws {TypeError} Where the `flush` before has not finished.
   */
  async flush(): Promise<void> {
    if (this.#isFlushing) {
      throw new TypeError("Cannot flush: the flush before has not finished");
    }
    this.#encodeText();
    const bytes = this.#bytes.subarray(WRITE_BUFFER_START, this.#end);
    this.#end = WRITE_BUFFER_START;
    this.#isFlushing = true;
    try {
      for (let written = 0; written < bytes.length;) {
        written += await this.#writer.write(bytes.subarray(written));
      }
    } finally {
      this.#isFlushing = false;
    }
  }

  #encodeText(): void {
    let text = this.#text;
    if (text === "") return;
    // Its headers count characters: right where all are ASCII, and that is found
    // out afterwards, at a third of what looking at each of them before costs.
    if (!this.#encode(text, text.length)) {
      text = withByteLengths(text);
      this.#encode(text, utf8Length(text));
    }
    this.#text = "";
  }

  /** Adds `text` to `#bytes` if it makes `length` bytes, and else nothing; gives whether it did. */
  #encode(text: string, length: number): boolean {
    const end = this.#end + length;
    if (end > this.#bytes.length) this.#reserve(end);
    const room = this.#bytes.subarray(this.#end, end);
    if (encoder.encodeInto(text, room).read < text.length) return false;
    this.#end = end;
    return true;
  }

  #reserve(size: number): void {
    const bytes = new Uint8Array(Math.max(size, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = bytes;
  }
}

/**
 * Transforms payloads into frames, for `pipeThrough`.
 *
 * A payload of up to 4 KiB leaves as one chunk, its frame, which shares memory
 * with its neighbours. A longer one is not copied: it leaves as two chunks, its
 * header and then the payload itself, which must not be changed until it has
 * been consumed.
 *
 * The stream fails with a {@linkcode FramingError} `FRAME_TOO_LARGE` where a
 * payload is over the limit.
 *
 * @example Frame two messages
 * ```ts
 * import { FrameEncoderStream } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const frames = ReadableStream.from(["Hello", new Uint8Array([33, 10])])
 *   .pipeThrough(new FrameEncoderStream())
 *   .pipeThrough(new TextDecoderStream());
 *
 * assertEquals(await Array.fromAsync(frames), [
 *   "5         Hello",
 *   "2         !\n",
 * ]);
 * ```
 */
export class FrameEncoderStream
  extends TransformStream<string | Uint8Array, Uint8Array> {
  /**
   * Constructs a new instance.
   *
   * @param options The limit for payloads.
   * @throws {RangeError} Where `maxFrameLength` is out of range.
   */
  constructor(options?: FramingOptions) {
    const limit = maxFrameLength(options);
    const slab = new Slab();
    super({
      transform(payload, controller) {
        const length = payloadLength(payload, limit);
        if (length <= SMALL || typeof payload === "string") {
          const frame = slab.take(HEADER_LENGTH + length);
          writeFrame(frame, 0, payload, length);
          controller.enqueue(frame);
        } else {
          const header = slab.take(HEADER_LENGTH);
          writeHeader(header, 0, length);
          controller.enqueue(header);
          controller.enqueue(payload);
        }
      },
    });
  }
}

/**
 * Transforms a stream of bytes into the payloads of its frames, for
 * `pipeThrough`. However the stream is cut, one chunk leaves for each frame.
 *
 * A payload may be kept: it does not share memory with the chunks that went in,
 * and keeps no more than 16 KiB beside itself alive. That is its neighbours:
 * whoever wants to transfer its buffer transfers that of a `slice()`.
 *
 * Where the stream is bad, every payload that arrived whole is delivered before
 * the {@linkcode FramingError} is, to a slow consumer too: `INVALID_HEADER`,
 * `FRAME_TOO_LARGE`, or `UNEXPECTED_EOF` where it ends inside a frame.
 *
 * @example Take frames apart
 * ```ts
 * import { FrameDecoderStream } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const payloads = ReadableStream.from(["5       ", "  Hello1         !"])
 *   .pipeThrough(new TextEncoderStream())
 *   .pipeThrough(new FrameDecoderStream());
 *
 * const utf8 = new TextDecoder();
 * const texts = await Array.fromAsync(payloads, (bytes) => utf8.decode(bytes));
 * assertEquals(texts, ["Hello", "!"]);
 * ```
 */
export class FrameDecoderStream
  extends TransformStream<Uint8Array, Uint8Array> {
  // A plain transformer would lose payloads: an error that it throws, as `flush`
  // must for a cut frame, empties the queue of what the consumer has not read.
  // So the two ends are made here, and an error waits for the queue to drain.
  /** The payloads. */
  override readonly readable: ReadableStream<Uint8Array>;
  /** The bytes of the stream. */
  override readonly writable: WritableStream<Uint8Array>;

  /**
   * Constructs a new instance.
   *
   * @param options The limit for payloads.
   * @throws {RangeError} Where `maxFrameLength` is out of range.
   */
  constructor(options?: FramingOptions) {
    super();
    const decoder = new FrameDecoder(options);
    let payloads: ReadableStreamDefaultController<Uint8Array>;
    let input: WritableStreamDefaultController;
    let onDrained: (() => void) | undefined;
    const drained = () => onDrained?.();

    this.readable = new ReadableStream<Uint8Array>({
      start(controller) {
        payloads = controller;
      },
      pull: drained, // As the highWaterMark is 1: when the queue is empty.
      cancel(reason) {
        input.error(reason);
        drained();
      },
    }, { highWaterMark: 1 });

    this.writable = new WritableStream<Uint8Array>({
      start(controller) {
        input = controller;
        controller.signal.addEventListener("abort", drained);
      },
      async write(chunk) {
        let error: unknown;
        try {
          for (let at = 0; at < chunk.length;) {
            const piece = ownPiece(decoder, chunk, at);
            for (const payload of decoder.push(piece)) {
              payloads.enqueue(payload);
            }
            at += piece.length;
          }
          // The error of a bad frame behind these comes with the next call.
          decoder.push(EMPTY);
        } catch (caught) {
          error = caught;
        }
        if (payloads.desiredSize! < 1) {
          await new Promise<void>((resolve) => onDrained = resolve);
          onDrained = undefined;
        }
        if (error !== undefined) {
          payloads.error(error);
          throw error;
        }
      },
      close() {
        try {
          decoder.end();
          payloads.close();
        } catch (error) {
          payloads.error(error);
          throw error;
        }
      },
      abort(reason) {
        payloads.error(reason);
      },
    });
  }
}

// Costs that the code above weighs: a typed array of its own costs 0.3 µs and
// more however small, a view of one a tenth of that, a loop over a byte 1 ns.

/** Payloads up to this many bytes are copied to stand behind their header. */
const SMALL = 4096;
/** A chunk of this many bytes may hold many frames. */
const LONG_CHUNK = 4096;
/** As many payloads are given room at once, at the most. */
const MOST_ROOM = 8192;
/** Frames are copied together up to this many bytes: as much as a payload that is kept may keep alive. */
const PIECE_LENGTH = 16 * 1024;
/** So few bytes are copied one by one. */
const FEW = 64;
/** As many bytes as one UTF-16 unit can make. */
const UTF8_MOST = 3;
/** Cut payloads up to `SLAB_PAYLOAD` bytes share slabs. */
const SLAB_LENGTH = 8192;
const SLAB_PAYLOAD = 1024;
/** A long payload has so many times as much memory as has arrived of it, at the most. */
const MOST_AHEAD = 8;
const READ_BUFFER_LENGTH = 256 * 1024;
/** A read buffer grows a few times in its life only, so by less at a time. */
const READ_BUFFER_GROWTH = 4;
/** A read is worth its cost where so many bytes fit, at least. */
const READ_MINIMUM = 64 * 1024;
const WRITE_BUFFER_LENGTH = 64 * 1024;
/**
 * Long arrays tend to begin at the same place of a page. Behind a header alone a
 * payload would be copied to almost that place of another, and there are
 * processors (AMD's Zen) that take ten times as long for it.
 */
const WRITE_BUFFER_START = 64;
const EMPTY = new Uint8Array();

const ZERO = 0x30;
const SPACE = 0x20;
/** A space where a digit may stand. */
const NONE = SPACE - ZERO;

/** What `readHeader` gives in place of a length. */
const INCOMPLETE = -1;
const INVALID = -2;

const encoder = new TextEncoder();

function maxFrameLength(options: FramingOptions | undefined): number {
  const limit = options?.maxFrameLength ?? DEFAULT_MAX_FRAME_LENGTH;
  if (!Number.isInteger(limit) || limit < 0 || limit > MAX_HEADER_VALUE) {
    throw new RangeError(
      `Cannot use ${limit} as maxFrameLength: expected an integer from 0 to ${MAX_HEADER_VALUE}`,
    );
  }
  return limit;
}

/**
 * The one place that knows what a header is: gives its value, or `INCOMPLETE`
 * where it is valid so far, or `INVALID`. It does not throw: small, it is
 * compiled into the loops that call it.
 */
function readHeader(bytes: Uint8Array, start: number, size: number): number {
  const whole = start + HEADER_LENGTH;
  if (whole <= size) {
    const length = readShortHeader(bytes, start);
    if (length !== INVALID) return length;
  }
  let end = whole < size ? whole : size;
  if (end === start) return INCOMPLETE;
  // The spaces from behind; what is in front of them has to be digits.
  while (end > start + 1 && bytes[end - 1] === SPACE) end--;
  let length = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) return INVALID;
    length = length * 10 + digit;
  }
  if (bytes[start] === ZERO && end - start > 1) return INVALID;
  return whole <= size ? length : INCOMPLETE;
}

/** The same for one to four digits, as nearly all headers have, without a loop: that takes half the time. */
function readShortHeader(bytes: Uint8Array, at: number): number {
  const a = bytes[at] - ZERO;
  const b = bytes[at + 1] - ZERO;
  const c = bytes[at + 2] - ZERO;
  const d = bytes[at + 3] - ZERO;
  const rest = bytes[at + 4] ^ SPACE | bytes[at + 5] ^ SPACE |
    bytes[at + 6] ^ SPACE | bytes[at + 7] ^ SPACE |
    bytes[at + 8] ^ SPACE | bytes[at + 9] ^ SPACE;
  if (rest !== 0 || a <= 0 || a > 9) return INVALID;
  if (b < 0 || b > 9) {
    return b === NONE && c === NONE && d === NONE ? a : INVALID;
  }
  if (c < 0 || c > 9) return c === NONE && d === NONE ? a * 10 + b : INVALID;
  const length = a * 100 + b * 10 + c;
  if (d < 0 || d > 9) return d === NONE ? length : INVALID;
  return length * 10 + d;
}

/** What is wrong with the header at `start`: it is none, or it is over the limit. */
function headerError(
  bytes: Uint8Array,
  start: number,
  size: number,
  limit: number,
  offset: number,
): FramingError {
  const length = readHeader(bytes, start, size);
  if (length < 0) return invalidHeader(bytes, start, size, offset);
  return new FramingError(
    "FRAME_TOO_LARGE",
    `Cannot decode the frame at byte ${offset}: its payload of ${length} bytes is over the limit of ${limit} bytes`,
    offset,
    { length, maxFrameLength: limit },
  );
}

function invalidHeader(
  bytes: Uint8Array,
  start: number,
  size: number,
  offset: number,
): FramingError {
  const header = String.fromCharCode(
    ...bytes.subarray(start, Math.min(size, start + HEADER_LENGTH)),
  );
  return new FramingError(
    "INVALID_HEADER",
    `Cannot decode the frame at byte ${offset}: expected a header (a length in digits, then spaces, ${HEADER_LENGTH} bytes in all), found ${
      JSON.stringify(header)
    }`,
    offset,
    { header },
  );
}

/** For a stream that ended `received` bytes into a frame, whose payload is `length` bytes long. */
function unexpectedEnd(
  offset: number,
  received: number,
  length: number,
): FramingError {
  const arrived = received < HEADER_LENGTH
    ? `${received} of its ${HEADER_LENGTH} header bytes`
    : `${received - HEADER_LENGTH} of its ${length} payload bytes`;
  return new FramingError(
    "UNEXPECTED_EOF",
    `Cannot decode the frame at byte ${offset}: the stream ended after ${arrived}`,
    offset,
    { received, expected: HEADER_LENGTH + length },
  );
}

/** Length of the payload in bytes, once encoded. */
function payloadLength(payload: string | Uint8Array, limit: number): number {
  const length = typeof payload === "string"
    ? utf8Length(payload)
    : payload.length;
  if (length > limit) {
    throw new FramingError(
      "FRAME_TOO_LARGE",
      `Cannot encode a payload of ${length} bytes: it is over the limit of ${limit} bytes`,
      0,
      { length, maxFrameLength: limit },
    );
  }
  return length;
}

/** How many bytes `TextEncoder` makes of a text; a lone surrogate becomes U+FFFD, three bytes. */
function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    length += unit < 0x800 ? 1 : 2;
    // Four bytes for a surrogate pair: two units, and one step of 2 more.
    if (unit >= 0xd800 && unit < 0xdc00) {
      const low = text.charCodeAt(i + 1);
      if (low >= 0xdc00 && low < 0xe000) i++;
    }
  }
  return length;
}

function encodeHeader(length: number): string {
  return String(length).padEnd(HEADER_LENGTH);
}

function writeHeader(bytes: Uint8Array, at: number, length: number): void {
  // A loop would make small frames a tenth slower.
  bytes[at + 1] = bytes[at + 2] = bytes[at + 3] = SPACE;
  bytes[at + 4] = bytes[at + 5] = bytes[at + 6] = SPACE;
  bytes[at + 7] = bytes[at + 8] = bytes[at + 9] = SPACE;
  let last = at;
  for (let power = 10; power <= length; power *= 10) last++;
  for (let rest = length; last >= at; last--) {
    const tenth = Math.floor(rest / 10);
    bytes[last] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
}

/** Writes a frame whose payload makes `length` bytes. */
function writeFrame(
  bytes: Uint8Array,
  at: number,
  payload: string | Uint8Array,
  length: number,
): void {
  writeHeader(bytes, at, length);
  const start = at + HEADER_LENGTH;
  if (typeof payload !== "string") {
    bytes.set(payload, start);
  } else if (length <= FEW && length === payload.length) {
    for (let i = 0; i < length; i++) bytes[start + i] = payload.charCodeAt(i);
  } else {
    encoder.encodeInto(payload, bytes.subarray(start));
  }
}

/** Makes headers that count bytes of headers that count UTF-16 units, in a text of frames. */
function withByteLengths(frames: string): string {
  let text = "";
  for (let at = 0; at < frames.length;) {
    const start = at + HEADER_LENGTH;
    at = start + Number(frames.slice(at, start));
    const payload = frames.slice(start, at);
    text += encodeHeader(utf8Length(payload)) + payload;
  }
  return text;
}

/** Copies bytes; for a few of them a loop is quicker than a view and `set`. */
function copy(
  from: Uint8Array,
  start: number,
  count: number,
  to: Uint8Array,
  at: number,
): void {
  if (count <= FEW) {
    for (let i = 0; i < count; i++) to[at + i] = from[start + i];
  } else {
    to.set(from.subarray(start, start + count), at);
  }
}

/** Memory for small things, many of them in one piece: the same idea as Node's Buffer pool. */
class Slab {
  #buffer = EMPTY.buffer;
  #used = 0;

  take(length: number): Uint8Array<ArrayBuffer> {
    if (this.#buffer.byteLength - this.#used < length) {
      this.#buffer = new ArrayBuffer(Math.max(SLAB_LENGTH, length));
      this.#used = 0;
    }
    const memory = new Uint8Array(this.#buffer, this.#used, length);
    this.#used += length;
    return memory;
  }
}
