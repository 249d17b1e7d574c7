/**
 * Length-prefixed messages over a byte stream. Each message travels as a frame:
 * a header of 10 bytes, then the payload.
 *
 * Version 1.0.0 of `@messages/framing`. Copyright (c) 2026 the authors, MIT
 * License. One file that imports nothing, made to be copied.
 *
 * ```text
 *  byte  0                     10                                39
 *        | h e a d e r         | p a y l o a d                   |
 *        | 2 9 · · · · · · · · | T h e   t i m e   i s   1 7 9 … | next frame
 * ```
 *
 * The header is the payload's length in bytes, as ASCII decimal digits,
 * left-justified and padded with spaces (`·` above). Only that one spelling of
 * a length is valid: no sign, no leading zero, nothing but digits and the
 * spaces after them. A stream may end only between two frames.
 *
 * | to | use |
 * |---|---|
 * | read messages from a connection | {@linkcode FrameReader} |
 * | write messages to a connection | {@linkcode FrameWriter} |
 * | transform Web Streams | {@linkcode FrameDecoderStream}, {@linkcode FrameEncoderStream} |
 * | decode chunks that arrive by other means | {@linkcode FrameDecoder} |
 * | encode one message | {@linkcode encodeFrame} |
 *
 * Runs in Deno, Node.js 22.18 and later, Bun 1.2 and later, and browsers. Type
 * checks with TypeScript 5.2 and later, with the DOM library or `@types/node`.
 *
 * @example Messages over a socket
 * ```ts
 * import { FrameReader, FrameWriter } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using connection = await Deno.connect({ port: listener.addr.port });
 * using peer = await listener.accept();
 *
 * const frames = new FrameWriter(peer);
 * for (const text of ["one", "", "thrée"]) frames.add(text);
 * await frames.flush();
 * await peer.closeWrite();
 *
 * const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
 * const texts: string[] = [];
 * for await (const payload of new FrameReader(connection)) {
 *   texts.push(utf8.decode(payload));
 * }
 * assertEquals(texts, ["one", "", "thrée"]);
 * ```
 *
 * @module
 */

/** Length of every frame's header, in bytes. */
export const HEADER_LENGTH = 10;

/** Default limit for the length of a payload: 8 MiB, in bytes. */
export const DEFAULT_MAX_FRAME_LENGTH: number = 8 * 1024 * 1024;

/** Options that every part of this module takes. Other names throw `TypeError`. */
export interface FramingOptions {
  /**
   * Longest payload to encode or to accept, in bytes: an integer from 0 to
   * 9,999,999,999, otherwise a `RangeError` is thrown.
   *
   * @default {8_388_608}
   */
  maxFrameLength?: number;
}

/** Bytes in any container of the platform, as an `ArrayBuffer`, a `DataView`, or Node's `Buffer`. */
export type BinaryData = ArrayBufferView | ArrayBufferLike;

/** A `Uint8Array` that is not in shared memory. */
export type Bytes = ReturnType<Uint8Array["slice"]>; // Before TypeScript 5.7 there is no Uint8Array<ArrayBuffer>.

/**
 * What is wrong with a frame.
 *
 * - `INVALID_HEADER`: the bytes at a frame boundary are not a valid header.
 * - `FRAME_TOO_LARGE`: the payload is longer than `maxFrameLength`.
 * - `UNEXPECTED_EOF`: the stream ended inside a frame.
 */
export type FramingErrorCode =
  | "INVALID_HEADER"
  | "FRAME_TOO_LARGE"
  | "UNEXPECTED_EOF";

/**
 * Thrown for a bad frame. A field that does not apply to the `code` is
 * `undefined`.
 *
 * @example Find out what is wrong, and where
 * ```ts
 * import { encodeFrame, FrameDecoder, FramingError } from "./framing.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const decoder = new FrameDecoder();
 * decoder.push(encodeFrame("hi"));
 * const chunk = new TextEncoder().encode("HTTP/1.1 400");
 * const error = assertThrows(() => decoder.push(chunk), FramingError);
 *
 * assertEquals([error.code, error.offset], ["INVALID_HEADER", 12]);
 * assertEquals(error.header, "HTTP/1.1 4");
 * ```
 */
export class FramingError extends Error {
  /** Always `"FramingError"`. */
  override readonly name = "FramingError";
  /** What is wrong. */
  readonly code: FramingErrorCode;
  /** Where the bad frame begins, in bytes from the start of the stream; 0 without a stream. */
  readonly offset: number = 0;
  /** `INVALID_HEADER`: the bytes found, one character per byte, as far as they had arrived. */
  readonly header: string | undefined;
  /** `FRAME_TOO_LARGE`: length of the payload, in bytes. */
  readonly length: number | undefined;
  /** `FRAME_TOO_LARGE`: the limit, in bytes. */
  readonly maxFrameLength: number | undefined;
  /** `UNEXPECTED_EOF`: how much of the frame arrived, in bytes, header included. */
  readonly received: number | undefined;
  /** `UNEXPECTED_EOF`: length of the frame in bytes, header included, or 10 if the header is incomplete. */
  readonly expected: number | undefined;

  /** Constructs an error with a message for people, and values for the fields that apply. */
  constructor(
    code: FramingErrorCode,
    message: string,
    facts: FramingErrorFacts = {},
  ) {
    super(message);
    this.code = code;
    Object.assign(this, facts);
  }
}

/** The fields of a {@linkcode FramingError} that depend on its code. */
export type FramingErrorFacts = Partial<
  Pick<
    FramingError,
    "offset" | "header" | "length" | "maxFrameLength" | "received" | "expected"
  >
>;

/**
 * Returns a frame in memory of its own.
 *
 * @example Encode text
 * ```ts
 * import { encodeFrame } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const frame = encodeFrame("Grüße");
 * assertEquals(await new Blob([frame]).text(), "7         Grüße");
 * ```
 *
 * @param payload Bytes, or text that is sent as UTF-8.
 * @param options The limit for the payload.
 * @throws {FramingError} `FRAME_TOO_LARGE` if the payload is over the limit.
 * @throws {TypeError} If the payload is neither text nor bytes.
 */
export function encodeFrame(
  payload: string | BinaryData,
  options?: FramingOptions,
): Bytes {
  const content = typeof payload === "string" ? payload : bytesOf(payload);
  const length = payloadLength(content, maxFrameLength(options));
  const frame = new Uint8Array(HEADER_LENGTH + length);
  writeHeader(frame, 0, length);
  if (typeof content !== "string") frame.set(content, HEADER_LENGTH);
  else encoder.encodeInto(content, frame.subarray(HEADER_LENGTH));
  return frame;
}

/**
 * Returns the payload length that a header holds, in bytes.
 *
 * @example Decode a header
 * ```ts
 * import { decodeHeader } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const received = new TextEncoder().encode("29        The ti");
 * assertEquals(decodeHeader(received), 29);
 * ```
 *
 * @param header Bytes that begin with a header. Only the first 10 are read.
 * @param options The limit for the payload.
 * @throws {FramingError} `INVALID_HEADER` if the first 10 bytes are not a
 * header, or if there are fewer. `FRAME_TOO_LARGE` if the length is over the
 * limit.
 * @throws {TypeError} If `header` is not bytes.
 */
export function decodeHeader(
  header: BinaryData,
  options?: FramingOptions,
): number {
  const bytes = bytesOf(header);
  const limit = maxFrameLength(options);
  const length = readHeader(bytes, 0, bytes.length);
  if (length < 0 || length > limit) {
    throw headerError(bytes, 0, bytes.length, limit, 0);
  }
  return length;
}

/**
 * Decodes a stream of frames that arrives in chunks, for every way of cutting
 * it: a chunk may hold many frames or a part of one, and may end inside a header
 * or inside a character. It does no I/O.
 *
 * ```text
 * push("3         one3     ")  returns ["one"]
 * push("    tw")               returns []
 * push("o0         5")         returns ["two", ""]
 * end()                        throws UNEXPECTED_EOF: 1 of 10 header bytes arrived
 * ```
 *
 * **Who owns the bytes:** a payload that lies whole inside one chunk is a view
 * of that chunk, without a copy. It changes if the chunk's memory is used again,
 * and keeps the chunk in memory: `payload.slice()` is a copy that does neither.
 * A payload that spans chunks has memory of its own. The decoder keeps no
 * reference to a chunk.
 *
 * **Cost:** linear in the bytes pushed, for frames and chunks of any length. A
 * partial payload takes memory for 8 times the bytes that have arrived of it, or
 * for 512, and never more than its length.
 *
 * @example Decode chunks
 * ```ts
 * import { encodeFrame, FrameDecoder } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
 * const texts: string[] = [];
 * const decoder = new FrameDecoder();
 * for (const byte of encodeFrame("thrée")) {
 *   const payloads = decoder.push(new Uint8Array([byte]));
 *   for (const payload of payloads) texts.push(utf8.decode(payload));
 * }
 * decoder.end();
 *
 * assertEquals(texts, ["thrée"]);
 * ```
 */
export class FrameDecoder {
  readonly #maxFrameLength: number;
  /** Where the current frame begins in the stream. */
  #offset = 0;
  /** The header of a partial frame, of which `#headerSize` bytes have arrived. */
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #headerSize = 0;
  /** Its payload of `#length` bytes, of which `#size` have arrived. */
  #payload: Bytes = EMPTY;
  #length = 0;
  #size = 0;
  #hasEnded = false;
  #error: FramingError | undefined;

  /** Constructs a decoder of one stream. */
  constructor(options?: FramingOptions) {
    this.#maxFrameLength = maxFrameLength(options);
  }

  /**
   * Takes the next bytes of the stream, and returns the payloads that they
   * complete, in order.
   *
   * If whole frames precede a bad one in the same chunk, their payloads are
   * returned and the next call throws. To learn of the error before more bytes
   * arrive, push an empty chunk.
   *
   * @param chunk The next bytes, any number of them.
   * @throws {FramingError} `INVALID_HEADER` for the first byte that cannot be
   * part of a header. `FRAME_TOO_LARGE` for the last byte of a header over the
   * limit. Every later call throws the same error.
   * @throws {TypeError} If `chunk` is not bytes, or if the stream has ended.
   */
  push(chunk: BinaryData): Uint8Array[] {
    if (this.#error !== undefined) throw this.#error;
    if (this.#hasEnded) {
      throw new TypeError("Cannot push: the stream has ended");
    }
    const bytes = bytesOf(chunk);
    const payloads: Uint8Array[] = [];
    let at = 0;
    if (this.#headerSize > 0) at = this.#complete(bytes, at, payloads);
    const first = at;
    const { buffer, byteOffset, length: size } = bytes;
    while (at < size) {
      const length = readHeader(bytes, at, size);
      const start = at + HEADER_LENGTH;
      const end = start + length;
      if (length < 0 || length > this.#maxFrameLength || end > size) break;
      // Unlike `subarray`, never a `Buffer`, whose `slice` does not copy.
      payloads.push(new Uint8Array(buffer, byteOffset + start, length));
      at = end;
    }
    this.#offset += at - first;
    if (at < size) this.#complete(bytes, at, payloads);
    if (this.#error !== undefined && payloads.length === 0) throw this.#error;
    return payloads;
  }

  /**
   * Ends the stream. After it, `push` throws.
   *
   * @throws {FramingError} `UNEXPECTED_EOF` if the stream ended inside a frame,
   * or the error that `push` throws.
   */
  end(): void {
    this.#hasEnded = true;
    if (this.#headerSize > 0) {
      const received = this.#headerSize + this.#size;
      this.#error ??= unexpectedEnd(this.#offset, received, this.#length);
    }
    if (this.#error !== undefined) throw this.#error;
  }

  /** Copies the bytes of `chunk` that belong to the partial frame. Returns the index after them. */
  #complete(chunk: Uint8Array, at: number, payloads: Uint8Array[]): number {
    if (this.#headerSize < HEADER_LENGTH) {
      const header = this.#header;
      let size = this.#headerSize;
      while (size < HEADER_LENGTH && at < chunk.length) {
        header[size++] = chunk[at++];
      }
      this.#headerSize = size;
      const limit = this.#maxFrameLength;
      const length = readHeader(header, 0, size);
      if (length === INVALID || length > limit) {
        this.#error = headerError(header, 0, size, limit, this.#offset);
        return chunk.length;
      }
      if (length === INCOMPLETE) return at;
      this.#length = length;
    }
    const length = this.#length;
    const size = Math.min(length, this.#size + chunk.length - at);
    const end = at + size - this.#size;
    if (size > this.#payload.length || length === 0) this.#grow(size);
    copy(chunk, at, end, this.#payload, this.#size);
    this.#size = size;
    if (size === length) {
      payloads.push(this.#payload);
      this.#payload = EMPTY;
      this.#offset += HEADER_LENGTH + length;
      this.#headerSize = this.#length = this.#size = 0;
    }
    return end;
  }

  /** Makes room for the first `size` bytes of the partial payload, in proportion to what has arrived. */
  #grow(size: number): void {
    // Doubling keeps the copying linear. Most bytes are copied once, since a
    // payload gets all of its memory when an eighth of it has arrived.
    const isEighth = Math.max(size, 64) * 8 >= this.#length;
    const doubled = Math.max(size, this.#payload.length * 2);
    const payload = new Uint8Array(isEighth ? this.#length : doubled);
    payload.set(this.#payload);
    this.#payload = payload;
  }
}

/** Copies bytes. For a few of them a loop takes half the time. */
function copy(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): void {
  if (end - start > 64) to.set(from.subarray(start, end), at);
  else while (start < end) to[at++] = from[start++];
}

const ZERO = 0x30;
const SPACE = 0x20;
/** What `readHeader` returns if there is no length. */
const INCOMPLETE = -1;
const INVALID = -2;

/**
 * Returns the length in the header at `start`, `INCOMPLETE` if its bytes up to
 * `size` are valid so far, or `INVALID`. The only place that knows what a header
 * is. It does not throw, so that it is compiled into the loops that call it.
 */
function readHeader(bytes: Uint8Array, start: number, size: number): number {
  const whole = start + HEADER_LENGTH;
  if (whole <= size) {
    const length = readShortHeader(bytes, start);
    if (length !== INVALID) return length;
  }
  let end = Math.min(whole, size);
  if (end <= start) return INCOMPLETE;
  while (end > start + 1 && bytes[end - 1] === SPACE) end--;
  let length = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) return INVALID;
    length = length * 10 + digit;
  }
  if (bytes[start] === ZERO && end > start + 1) return INVALID;
  return whole <= size ? length : INCOMPLETE;
}

/** The same for one to four digits without a loop, which makes `FrameReader.next` a third faster. */
function readShortHeader(bytes: Uint8Array, at: number): number {
  const none = SPACE - ZERO; // A space in place of a digit.
  const a = bytes[at] - ZERO;
  const b = bytes[at + 1] - ZERO;
  const c = bytes[at + 2] - ZERO;
  const d = bytes[at + 3] - ZERO;
  const rest = bytes[at + 4] ^ SPACE | bytes[at + 5] ^ SPACE |
    bytes[at + 6] ^ SPACE | bytes[at + 7] ^ SPACE |
    bytes[at + 8] ^ SPACE | bytes[at + 9] ^ SPACE;
  if (rest !== 0 || a <= 0 || a > 9) return INVALID;
  if (b < 0 || b > 9) {
    return b === none && c === none && d === none ? a : INVALID;
  }
  if (c < 0 || c > 9) return c === none && d === none ? a * 10 + b : INVALID;
  const length = a * 100 + b * 10 + c;
  if (d < 0 || d > 9) return d === none ? length : INVALID;
  return length * 10 + d;
}

/** A source of bytes that reads into the caller's buffer, such as a `Deno.Conn` or a `Deno.FsFile`. */
export interface ByteReader {
  /** Reads at least one byte into `buffer`, from its start. Returns how many, or `null` at the end of the stream. */
  read(buffer: Bytes): Promise<number | null>;
}

/**
 * Reads frames from a connection. Nothing else may read from the same
 * connection. The reader never closes it.
 *
 * - `for await (const payload of frames)` is the everyday form. Leaving the loop
 *   loses nothing: another loop, or `read`, goes on with the next payload.
 * - {@linkcode FrameReader.read} returns one payload, for a request and its
 *   response, or for waiting with a deadline.
 * - {@linkcode FrameReader.fill} and {@linkcode FrameReader.next} are the
 *   fastest form: no promise and no object for each frame.
 *
 * **Who owns the bytes:** a payload of `for await` or `read` is a view of the
 * reader's buffer at a place that is never written again, so it may be kept. It
 * keeps that buffer in memory and shares it with its neighbors: to keep a payload
 * for long, or to transfer it, use `payload.slice()`.
 *
 * **Cost:** linear in the bytes read. The buffer begins with 4 KiB. If a read
 * fills it, it grows to 4 times its length, up to 256 KiB, or 256 KiB more than
 * the longest frame.
 *
 * **Errors:** payloads that arrived whole before an error are delivered first.
 * Then every call throws that error.
 *
 * @example Wait for a message with a deadline
 * ```ts
 * import { encodeFrame, FrameReader } from "./framing.ts";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using connection = await Deno.connect({ port: listener.addr.port });
 * using peer = await listener.accept();
 *
 * const frames = new FrameReader(connection);
 * const signal = AbortSignal.timeout(10);
 * await assertRejects(() => frames.read({ signal }), DOMException);
 *
 * await peer.write(encodeFrame("late, but not lost"));
 * const payload = await frames.read();
 * const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
 * assertEquals(utf8.decode(payload!), "late, but not lost");
 * ```
 */
export class FrameReader implements AsyncIterable<Bytes> {
  readonly #source: ByteReader;
  readonly #maxFrameLength: number;
  #bytes: Bytes = EMPTY;
  /** Where the current payload begins and ends in `#bytes`. */
  #start = 0;
  #end = 0;
  /** Where the bytes that were read end in `#bytes`. */
  #size = 0;
  /** Where `#bytes` begins in the stream. */
  #offset = 0;
  /** Whether a payload was handed out, so that `#bytes` must not be overwritten. */
  #isShared = false;
  #isReading = false;
  /** The read from the source that is under way. */
  #filling: Promise<boolean> | undefined;
  #hasEnded = false;
  #error: { reason: unknown } | undefined;

  /** Constructs a reader of one connection. */
  constructor(source: ByteReader, options?: FramingOptions) {
    this.#source = source;
    this.#maxFrameLength = maxFrameLength(options);
  }

  /** Returns an iterator over the payloads. It ends with the stream, and fails as `read` does. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Bytes> {
    const read = async (): Promise<IteratorResult<Bytes>> => {
      const value = await this.read();
      return value === null
        ? { done: true, value: undefined }
        : { done: false, value };
    };
    return {
      // Twice as fast as an async generator.
      next: () =>
        !this.#isReading && this.#advance()
          ? Promise.resolve({ done: false, value: this.#take() })
          : read(),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /**
   * Reads the next payload.
   *
   * @param options A signal that ends the waiting. What arrives later is not
   * lost: the next call returns it.
   * @returns The payload, or `null` at the end of the stream.
   * @throws {FramingError} `INVALID_HEADER`, `FRAME_TOO_LARGE`, or
   * `UNEXPECTED_EOF` if the stream ended inside a frame.
   * @throws {TypeError} If the last call has not finished, or if the source
   * returned an impossible count.
   * @throws The reason of the signal, or the error of the source.
   */
  async read(options: { signal?: AbortSignal } = {}): Promise<Bytes | null> {
    checkNames(options, "signal");
    if (this.#isReading) {
      throw new TypeError("Cannot read: the last read has not finished");
    }
    this.#isReading = true;
    try {
      while (true) {
        options.signal?.throwIfAborted();
        if (this.next()) return this.#take();
        if (!await abortable(this.fill(), options.signal)) return null;
      }
    } finally {
      this.#isReading = false;
    }
  }

  /**
   * Reads from the source once. Call it when `next` returns `false`. A call
   * during another returns the same promise, so that giving it up loses nothing.
   *
   * @returns Whether there may be more: `false` at the end of the stream.
   * @throws As `read` does.
   */
  fill(): Promise<boolean> {
    if (this.#error !== undefined) return Promise.reject(this.#error.reason);
    return this.#filling ??= this.#readSource();
  }

  /**
   * Goes on to the next payload, which is in `bytes` from `start` to `end` until
   * the next `fill`.
   *
   * @returns Whether it has arrived whole. If not, call `fill`.
   * @throws {FramingError} `INVALID_HEADER` or `FRAME_TOO_LARGE`.
   */
  next(): boolean {
    return this.#advance() || this.#isPartial();
  }

  /** The buffer that holds the current payload. */
  get bytes(): Bytes {
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

  /** Goes on to the next payload. Returns `false` if it is partial or bad. */
  #advance(): boolean {
    const length = readHeader(this.#bytes, this.#end, this.#size);
    const start = this.#end + HEADER_LENGTH;
    const end = start + length;
    const isWhole = length >= 0 && length <= this.#maxFrameLength &&
      end <= this.#size;
    if (isWhole) {
      this.#start = start;
      this.#end = end;
    }
    return isWhole;
  }

  /** Returns `false` if the next frame is partial, and throws if it is bad. */
  #isPartial(): false {
    const bytes = this.#bytes;
    const size = this.#size;
    if (size > bytes.length) {
      throw this.#fail(
        new TypeError(
          "Cannot read: the buffer of a payload was transferred, and others with it (transfer payload.slice() instead)",
        ),
      );
    }
    const limit = this.#maxFrameLength;
    const length = readHeader(bytes, this.#end, size);
    if (length !== INVALID && length <= limit) return false;
    const offset = this.#offset + this.#end;
    throw this.#fail(headerError(bytes, this.#end, size, limit, offset));
  }

  /** Hands out the current payload. */
  #take(): Bytes {
    this.#isShared = true;
    return this.#bytes.subarray(this.#start, this.#end);
  }

  async #readSource(): Promise<boolean> {
    try {
      await undefined; // `#filling` is set by now.
      if (!this.#hasEnded) {
        this.#makeRoom();
        const room = this.#bytes.subarray(this.#size);
        const count = await this.#source.read(room);
        if (count !== null) {
          checkCount(count, room.length, "the source");
          this.#size += count;
          return true;
        }
        this.#hasEnded = true;
      }
      const received = this.#size - this.#end;
      const length = readHeader(this.#bytes, this.#end, this.#size);
      if (received === 0) return false;
      if (length === INVALID) return true; // `next` throws.
      if (length >= 0 && received >= HEADER_LENGTH + length) return true;
      const offset = this.#offset + this.#end;
      throw unexpectedEnd(offset, received, Math.max(0, length));
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#filling = undefined;
    }
  }

  /** Makes room for a read behind the bytes that were not taken yet. */
  #makeRoom(): void {
    const bytes = this.#bytes;
    const rest = this.#size - this.#end;
    const next = HEADER_LENGTH + readHeader(bytes, this.#end, this.#size);
    const needed = Math.max(rest, next);
    const room = bytes.length - this.#size;
    let { length } = bytes;
    if (room === 0 && length < needed + LONGEST_READ / 4) {
      // The last read has filled the buffer: more is likely to wait.
      const grown = Math.min(4 * length, needed + LONGEST_READ);
      length = Math.max(grown, FIRST_READ);
    }
    const isTight = room < length / 4;
    if (isTight && (this.#isShared || length > bytes.length)) {
      this.#bytes = new Uint8Array(length);
      this.#bytes.set(bytes.subarray(this.#end, this.#size));
      this.#isShared = false;
    } else if (!this.#isShared && (isTight || rest <= this.#end / 4)) {
      // A short rest is moved before it must be: long reads are fewer.
      bytes.copyWithin(0, this.#end, this.#size);
    } else {
      return;
    }
    this.#offset += this.#end;
    this.#start = this.#end = 0;
    this.#size = rest;
  }

  /** Keeps the first error for every later call, and returns it. */
  #fail(error: unknown): unknown {
    this.#error ??= { reason: error };
    return this.#error.reason;
  }
}

/** Length of a reader's buffer before anything arrives. */
const FIRST_READ = 4 * 1024;
/** Longest read, unless frames are longer. */
const LONGEST_READ = 256 * 1024;

/** Waits for a promise, or until a signal aborts. */
function abortable<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", abort));
  });
}

/** A sink of bytes that may take fewer than it is given, such as a `Deno.Conn` or a `Deno.FsFile`. */
export interface ByteWriter {
  /** Writes at least one of `bytes`, from their start. They hold until the promise settles. Returns how many. */
  write(bytes: Bytes): Promise<number>;
}

/**
 * Writes frames to a connection, many in one write. Nothing else may write to the
 * same connection. The writer never closes it.
 *
 * Any number of producers may share one writer. Frames may be added while a
 * `flush` is under way. They leave in the order in which they were added.
 *
 * **Cost:** linear in the bytes added. What is added takes memory until it is
 * written: {@linkcode FrameWriter.isFull} and {@linkcode FrameWriter.size} tell
 * how much waits. The writer keeps the memory of its longest write.
 *
 * **Errors:** when the sink has failed, a part of a frame may have been written.
 * From then on `add` and `flush` throw its error. What waits is lost.
 *
 * @example Write with backpressure
 * ```ts
 * import { FrameWriter } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const written: number[] = [];
 * const connection = { // In place of a `Deno.Conn`
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
  readonly #sink: ByteWriter;
  /** The frames that wait for a flush to begin. */
  #waiting: FrameBatch;
  /** The batch that is being written. At other times it is empty. */
  #other: FrameBatch;
  /** The last flush, and the same if it has not begun. */
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #error: { reason: unknown } | undefined;

  /** Constructs a writer to one connection. */
  constructor(sink: ByteWriter, options?: FramingOptions) {
    const limit = maxFrameLength(options);
    this.#sink = sink;
    this.#waiting = new FrameBatch(limit);
    this.#other = new FrameBatch(limit);
  }

  /** How many bytes of frames wait for a `flush` to begin. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Whether 64 KiB or more wait: time to await `flush`. */
  get isFull(): boolean {
    return this.#waiting.isFull;
  }

  /**
   * Adds one frame, or nothing if it throws. The payload is copied.
   *
   * @param payload Bytes, or text that is sent as UTF-8.
   * @throws {FramingError} `FRAME_TOO_LARGE` if the payload is over the limit.
   * @throws {TypeError} If the payload is neither text nor bytes.
   * @throws The error of the sink, after it has failed.
   */
  add(payload: string | BinaryData): void {
    if (this.#error !== undefined) throw this.#error.reason;
    this.#waiting.add(payload);
  }

  /**
   * Writes everything that was added before the call. To await it is to feel
   * the backpressure of the peer.
   *
   * @returns A promise that is fulfilled when all of it is written.
   * @throws {TypeError} If the sink returned an impossible count.
   * @throws The error of the sink.
   */
  flush(): Promise<void> {
    // A flush that has not begun takes what is added until it does.
    return this.#next ??= this.#last = this.#last.then(() => {
      this.#next = undefined;
      return this.#write();
    });
  }

  async #write(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = this.#other;
    this.#other = batch;
    try {
      let rest = batch.take();
      while (rest.length > 0) {
        const count = await this.#sink.write(rest);
        checkCount(count, rest.length, "the sink");
        rest = rest.subarray(count);
      }
    } catch (error) {
      this.#error = { reason: error };
      this.#waiting.take();
      throw error;
    }
    if (this.#waiting.isEmpty) {
      // A producer that awaits each flush needs the memory of one batch only.
      this.#other = this.#waiting;
      this.#waiting = batch;
    }
  }
}

/** A batch is full with this many bytes. */
const FULL = 64 * 1024;
/** Most bytes that a UTF-16 unit takes in UTF-8. */
const MOST_UTF8 = 3;

/** Frames one after the other, in memory that is used again. */
class FrameBatch {
  readonly #maxFrameLength: number;
  #bytes: Bytes = EMPTY;
  #size = 0;
  /** Frames behind those in `#bytes`, as text: to encode many together takes a tenth of the time. */
  #text = "";
  /** The last header in `#text`, and the length it holds: neighbors often have the same. */
  #header = "";
  #headerLength = -1;

  constructor(maxFrameLength: number) {
    this.#maxFrameLength = maxFrameLength;
  }

  get isEmpty(): boolean {
    return this.#size === 0 && this.#text === "";
  }

  get size(): number {
    this.#encodeText();
    return this.#size;
  }

  get isFull(): boolean {
    const most = this.#size + this.#text.length * MOST_UTF8;
    return most >= FULL && this.size >= FULL;
  }

  add(payload: string | BinaryData): void {
    const limit = this.#maxFrameLength;
    if (typeof payload === "string") {
      const { length } = payload;
      if (length * MOST_UTF8 > limit) payloadLength(payload, limit);
      if (length !== this.#headerLength) {
        this.#header = String(length).padEnd(HEADER_LENGTH);
        this.#headerLength = length;
      }
      this.#text += this.#header + payload;
      return;
    }
    const bytes = bytesOf(payload);
    const { length } = bytes;
    if (length > limit) payloadLength(bytes, limit);
    if (this.#text !== "") this.#encodeText();
    const start = this.#size + HEADER_LENGTH;
    if (start + length > this.#bytes.length) this.#grow(start + length);
    writeHeader(this.#bytes, this.#size, length);
    this.#bytes.set(bytes, start);
    this.#size = start + length;
  }

  /** Returns all frames and empties the batch. They hold until the next `add`. */
  take(): Bytes {
    this.#encodeText();
    const frames = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    return frames;
  }

  /** The same in memory of their own. Long frames take the batch's memory along, which saves a copy. */
  takeMemory(): Bytes {
    const frames = this.take();
    if (frames.length < 2 * FULL) return frames.slice();
    this.#bytes = EMPTY;
    return frames;
  }

  #encodeText(): void {
    if (this.#text === "") return;
    // Its headers count UTF-16 units, which is right if all are ASCII. To try
    // takes a third of the time of looking at each unit first.
    if (!this.#encode(this.#text, this.#text.length)) {
      const text = withByteLengths(this.#text);
      this.#encode(text, utf8Length(text));
    }
    this.#text = "";
  }

  /** Encodes `text`, if that takes `length` bytes. Returns whether it does. */
  #encode(text: string, length: number): boolean {
    const end = this.#size + length;
    if (end > this.#bytes.length) this.#grow(end);
    const room = this.#bytes.subarray(this.#size, end);
    if (encoder.encodeInto(text, room).read < text.length) return false;
    this.#size = end;
    return true;
  }

  #grow(size: number): void {
    const bytes = new Uint8Array(Math.max(size, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = bytes;
  }
}

/** Returns a text of frames whose headers count UTF-16 units, with headers that count bytes. */
function withByteLengths(frames: string): string {
  let text = "";
  for (let at = 0; at < frames.length;) {
    const start = at + HEADER_LENGTH;
    at = start + Number(frames.slice(at, start));
    const payload = frames.slice(start, at);
    text += String(utf8Length(payload)).padEnd(HEADER_LENGTH) + payload;
  }
  return text;
}

/**
 * Transforms payloads into frames, for `pipeThrough`.
 *
 * A frame leaves at once if the consumer waits for one. Frames that are written
 * while the consumer is busy leave together, as one chunk, when it is ready. From
 * 64 KiB on, writing waits. A frame is never divided. Chunks have memory of their
 * own, and payloads are copied when they are written.
 *
 * Each end can be transferred. `desiredSize` of the writable end is the number of
 * bytes that may be written before it is full.
 *
 * The stream fails with a {@linkcode FramingError} `FRAME_TOO_LARGE` if a payload
 * is over the limit, and with a `TypeError` if it is neither text nor bytes. The
 * frames before it are delivered first.
 *
 * @example Encode two messages
 * ```ts
 * import { FrameEncoderStream } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const frames = ReadableStream.from(["Hello", new Uint8Array([33, 10])])
 *   .pipeThrough(new FrameEncoderStream());
 *
 * const stream = await new Response(frames).text();
 * assertEquals(stream, "5         Hello2         !\n");
 * ```
 */
export class FrameEncoderStream
  implements TransformStream<string | BinaryData, Bytes> {
  /** The frames. */
  readonly readable: ReadableStream<Bytes>;
  /** The payloads. */
  readonly writable: WritableStream<string | BinaryData>;

  /** Constructs a stream with this limit for payloads. */
  constructor(options?: FramingOptions) {
    const frames = new FrameBatch(maxFrameLength(options));
    const sendAll = (send: Send) => {
      if (!frames.isEmpty) send(frames.takeMemory());
    };
    const ends = makeEnds<string | BinaryData>(
      {
        write: (payload) => frames.add(payload),
        pull: sendAll,
        end: sendAll,
        isFull: () => frames.isFull,
      },
      0,
      { highWaterMark: FULL, size: frameLength },
    );
    this.readable = ends.readable;
    this.writable = ends.writable;
  }
}

/**
 * Transforms the chunks of a byte stream into the payloads of its frames, for
 * `pipeThrough`. For each frame one chunk leaves, however the stream was cut.
 *
 * Every payload has memory of its own: it may be kept, changed or transferred.
 *
 * If the stream is bad, both ends fail with the {@linkcode FramingError}:
 * `INVALID_HEADER`, `FRAME_TOO_LARGE`, or `UNEXPECTED_EOF` if it ended inside a
 * frame. The payloads that arrived whole before it are delivered first, however
 * slow the consumer is. A chunk that is not bytes makes it fail with a
 * `TypeError`.
 *
 * Each end can be transferred.
 *
 * @example Decode frames
 * ```ts
 * import { FrameDecoderStream } from "./framing.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const payloads = ReadableStream.from(["5       ", "  Hello1         !"])
 *   .pipeThrough(new TextEncoderStream())
 *   .pipeThrough(new FrameDecoderStream());
 *
 * const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
 * const texts = await Array.fromAsync(payloads, (bytes) => utf8.decode(bytes));
 * assertEquals(texts, ["Hello", "!"]);
 * ```
 */
export class FrameDecoderStream implements TransformStream<BinaryData, Bytes> {
  /** The payloads. */
  readonly readable: ReadableStream<Bytes>;
  /** The bytes of the stream. */
  readonly writable: WritableStream<BinaryData>;

  /** Constructs a stream with this limit for payloads. */
  constructor(options?: FramingOptions) {
    const decoder = new FrameDecoder(options);
    const ends = makeEnds<BinaryData>({
      write(chunk, send) {
        for (const payload of decoder.push(chunk)) {
          // A payload that was cut has memory of its own already.
          const isView = payload.buffer === bytesOf(chunk).buffer;
          send(isView ? payload.slice() : payload as Bytes);
        }
        decoder.push(EMPTY); // Throws if a bad frame follows.
      },
      pull() {},
      end: () => decoder.end(),
      isFull: (isDrained) => !isDrained,
    }, 1);
    this.readable = ends.readable;
    this.writable = ends.writable;
  }
}

type Send = (bytes: Bytes) => void;

/** What one of the two streams does. */
interface Transform<In> {
  /** Takes a chunk. May send. */
  write(chunk: In, send: Send): void;
  /** Sends what is there, if anything. The consumer waits for it. */
  pull(send: Send): void;
  /** Takes the end of the input. May send. */
  end(send: Send): void;
  /** Whether `write` must wait before it takes more. */
  isFull(isDrained: boolean): boolean;
}

/**
 * Makes the two ends of a stream. A `TransformStream` would lose chunks: an error
 * discards what the consumer has not read yet. Here the error waits for it.
 */
function makeEnds<In>(
  transform: Transform<In>,
  highWaterMark: number,
  writableStrategy?: { highWaterMark: number; size(chunk?: In): number },
): { readable: ReadableStream<Bytes>; writable: WritableStream<In> } {
  let output: ReadableStreamDefaultController<Bytes>;
  // Bun 1.3 and earlier lack the signal: there, `abort` waits with a write that
  // waits for the consumer.
  let input: { signal?: AbortSignal; error(reason?: unknown): void };
  /** Whether the consumer has taken everything and wants more. */
  let isDrained = false;
  let isCut = false;
  let wake = () => {};

  const send = (bytes: Bytes) => {
    isDrained = false; // Before `enqueue`, which may call `pull`.
    output.enqueue(bytes);
  };
  const waitWhile = async (isBlocked: () => boolean) => {
    while (isBlocked() && !isCut) {
      await new Promise<void>((resolve) => wake = resolve);
    }
  };
  const cut = () => {
    isCut = true;
    wake();
  };
  const fail = async (error: unknown) => {
    await waitWhile(() => !isDrained);
    output.error(error);
    throw error;
  };

  return {
    readable: new ReadableStream<Bytes>({
      start(controller) {
        output = controller;
      },
      pull() {
        isDrained = true;
        transform.pull(send);
        wake();
      },
      cancel(reason) {
        input.error(reason);
        cut();
      },
    }, { highWaterMark }),
    writable: new WritableStream<In>({
      start(controller: typeof input) {
        input = controller;
        input.signal?.addEventListener("abort", cut);
      },
      write(chunk) {
        try {
          transform.write(chunk, send);
          if (isDrained) transform.pull(send);
        } catch (error) {
          return fail(error);
        }
        if (transform.isFull(isDrained)) {
          return waitWhile(() => transform.isFull(isDrained));
        }
      },
      close() {
        try {
          transform.end(send);
          output.close();
        } catch (error) {
          return fail(error);
        }
      },
      abort(reason) {
        output.error(reason);
      },
    }, writableStrategy),
  };
}

/** Returns the length of a payload's frame in bytes, and 0 if it is not a payload. */
function frameLength(payload?: string | BinaryData): number {
  if (typeof payload === "string") return HEADER_LENGTH + utf8Length(payload);
  return HEADER_LENGTH + (payload?.byteLength || 0);
}

const EMPTY: Bytes = new Uint8Array(0);
const encoder = new TextEncoder();

function writeHeader(bytes: Bytes, at: number, length: number): void {
  // A loop makes small frames a tenth slower.
  bytes[at + 1] = bytes[at + 2] = bytes[at + 3] = SPACE;
  bytes[at + 4] = bytes[at + 5] = bytes[at + 6] = SPACE;
  bytes[at + 7] = bytes[at + 8] = bytes[at + 9] = SPACE;
  let last = at;
  for (let power = 10; power <= length; power *= 10) last++;
  for (let rest = length; last >= at; last--) {
    bytes[last] = ZERO + rest % 10;
    rest = Math.floor(rest / 10);
  }
}

/** Returns the error of the bad header at `start`: invalid, or over the limit. */
function headerError(
  bytes: Uint8Array,
  start: number,
  size: number,
  limit: number,
  offset: number,
): FramingError {
  const length = readHeader(bytes, start, size);
  const problem = `Cannot decode the frame at byte ${offset}`;
  if (length >= 0) {
    return new FramingError(
      "FRAME_TOO_LARGE",
      `${problem}: its payload of ${length} bytes is over the limit of ${limit} bytes`,
      { offset, length, maxFrameLength: limit },
    );
  }
  const end = Math.min(size, start + HEADER_LENGTH);
  const header = String.fromCharCode(...bytes.subarray(start, end));
  return new FramingError(
    "INVALID_HEADER",
    `${problem}: expected a header (a length in digits, then spaces, ${HEADER_LENGTH} bytes in all), found ${
      JSON.stringify(header)
    }`,
    { offset, header },
  );
}

/** Returns the error for a stream that ended `received` bytes into a frame. */
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
    { offset, received, expected: HEADER_LENGTH + length },
  );
}

/** Returns the length of a payload in bytes. */
function payloadLength(payload: string | Uint8Array, limit: number): number {
  const length = typeof payload === "string"
    ? utf8Length(payload)
    : payload.length;
  if (length > limit) {
    throw new FramingError(
      "FRAME_TOO_LARGE",
      `Cannot encode a payload of ${length} bytes: it is over the limit of ${limit} bytes`,
      { length, maxFrameLength: limit },
    );
  }
  return length;
}

/** Returns how many bytes `TextEncoder` makes of a text. A lone surrogate becomes U+FFFD, three bytes. */
function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    length += unit < 0x800 ? 1 : 2;
    // A surrogate pair takes four bytes: two units and 2 more.
    if (unit >= 0xd800 && unit < 0xdc00) {
      const low = text.charCodeAt(i + 1);
      if (low >= 0xdc00 && low < 0xe000) i++;
    }
  }
  return length;
}

/** Returns a view of bytes in any container, without a copy. */
function bytesOf(data: BinaryData): Uint8Array {
  if (data instanceof Uint8Array && data.length > 0) return data;
  if (ArrayBuffer.isView(data)) {
    // Throws if the buffer was transferred, and its bytes are gone.
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const kind = Object.prototype.toString.call(data).slice(8, -1);
  if (kind === "ArrayBuffer" || kind === "SharedArrayBuffer") {
    return new Uint8Array(data);
  }
  throw new TypeError(
    `Cannot take bytes from a value of type ${kind}: expected an ArrayBuffer or a view of one`,
  );
}

/** Longest payload whose length fits into a header, in bytes. */
const MAX_HEADER_VALUE = 9_999_999_999;

/** Returns the limit that the options set. */
function maxFrameLength(options: FramingOptions = {}): number {
  checkNames(options, "maxFrameLength");
  const { maxFrameLength = DEFAULT_MAX_FRAME_LENGTH } = options;
  if (
    !Number.isInteger(maxFrameLength) || maxFrameLength < 0 ||
    maxFrameLength > MAX_HEADER_VALUE
  ) {
    throw new RangeError(
      `Cannot use ${maxFrameLength} as maxFrameLength: expected an integer from 0 to ${MAX_HEADER_VALUE}`,
    );
  }
  return maxFrameLength;
}

/** Throws if `options` is not an object with this option only. */
function checkNames(options: object, known: string): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `Cannot use ${options} as options: expected an object`,
    );
  }
  for (const name of Object.keys(options)) {
    if (name !== known) {
      throw new TypeError(
        `Cannot use the option "${name}": expected "${known}"`,
      );
    }
  }
}

/** Throws if a source or a sink did not take or give at least one byte and at most all. */
function checkCount(count: number, most: number, who: string): void {
  if (Number.isInteger(count) && count > 0 && count <= most) return;
  throw new TypeError(
    `Cannot go on: ${who} returned ${count}, expected an integer from 1 to ${most}`,
  );
}
