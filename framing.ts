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
 * const writer = new FrameWriter(peer);
 * for (const text of ["one", "", "thrée"]) {
 *   writer.add(text);
 *   if (writer.isFull) await writer.flush();
 * }
 * await writer.flush();
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

/** Bytes in any form that the platform has: an `ArrayBuffer`, a `DataView`, Node's `Buffer`, and so on. */
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
 * import { FrameDecoder, FramingError } from "./framing.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const chunk = new TextEncoder().encode("HTTP/1.1 400");
 * const push = () => new FrameDecoder().push(chunk);
 * const { code, offset, header } = assertThrows(push, FramingError);
 * assertEquals([code, offset, header], ["INVALID_HEADER", 0, "HTTP/1.1 4"]);
 * ```
 */
export class FramingError extends Error {
  /** Always `"FramingError"`. */
  override readonly name = "FramingError";
  /** What is wrong. */
  readonly code: FramingErrorCode;
  /** Where the bad frame begins, in bytes from the start of the stream; 0 when encoding. */
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
    facts: Omit<Partial<FramingError>, keyof Error | "code"> = {},
  ) {
    super(message);
    this.code = code;
    Object.assign(this, facts);
  }
}

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
 * @throws {RangeError} If there is no memory for the frame.
 * @throws {TypeError} If the payload is neither text nor bytes.
 */
export function encodeFrame(
  payload: string | BinaryData,
  options?: FramingOptions,
): Bytes {
  const limit = maxFrameLength(options);
  if (typeof payload === "string") {
    const frame = encodeText(withHeader(payload));
    checkLength(frame.length - HEADER_LENGTH, limit);
    return frame;
  }
  const bytes = bytesOf(payload);
  checkLength(bytes.length, limit);
  const frame = new Uint8Array(HEADER_LENGTH + bytes.length);
  writeHeader(frame, 0, bytes.length);
  frame.set(bytes, HEADER_LENGTH);
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
 * Decodes a stream of frames that arrives in chunks, however it is cut: a chunk
 * may end inside a header, or inside a character. It does no I/O.
 *
 * A payload that lies whole inside one chunk is a view of that chunk, and
 * changes with it: `payload.slice()` is a copy. A payload that spans chunks has
 * memory of its own. The decoder keeps no reference to a chunk.
 *
 * Time is linear in the bytes pushed. A partial payload takes at most 8 times the
 * bytes of it that have arrived, or 512 bytes if that is more, and never more than
 * its length.
 *
 * @example Decode chunks
 * ```ts
 * import { FrameDecoder } from "./framing.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const decoder = new FrameDecoder();
 * const push = (chunk: string) =>
 *   decoder.push(new TextEncoder().encode(chunk))
 *     .map((payload) => new TextDecoder().decode(payload));
 *
 * assertEquals(push("3         one3     "), ["one"]);
 * assertEquals(push("    tw"), []);
 * assertEquals(push("o0         5"), ["two", ""]);
 * assertThrows(() => decoder.end()); // 1 of 10 header bytes arrived.
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
  #error: unknown;

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
   * @throws {RangeError} If there is no memory for a payload. Every later call
   * throws the same error.
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
    try {
      if (size > this.#payload.length || length === 0) this.#grow(size);
    } catch (error) {
      this.#error = error; // No memory: the chunk is lost.
      return chunk.length;
    }
    if (end - at > 64) this.#payload.set(chunk.subarray(at, end), this.#size);
    // For a few bytes a loop takes half the time.
    else for (let to = this.#size; at < end;) this.#payload[to++] = chunk[at++];
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

const ZERO = 0x30;
const SPACE = 0x20;
/** What `readHeader` returns if there is no length. */
const INCOMPLETE = -1;
const INVALID = -2;

/**
 * Returns the length in the header at `start`, `INCOMPLETE` if its bytes up to
 * `size` are valid so far, or `INVALID`. Nothing else parses headers. It does not
 * throw, so that the engine can inline it.
 */
function readHeader(bytes: Uint8Array, start: number, size: number): number {
  const whole = start + HEADER_LENGTH;
  if (whole <= size) {
    const length = readShortHeader(bytes, start);
    if (length > 0) return length;
  }
  const end = Math.min(whole, size);
  let at = start;
  let length = 0;
  for (; at < end; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  if (at === start && at < end) return INVALID;
  if (at > start + 1 && bytes[start] === ZERO) return INVALID;
  for (; at < end; at++) if (bytes[at] !== SPACE) return INVALID;
  return whole <= size ? length : INCOMPLETE;
}

/**
 * Returns a length of one to four digits, or 0 for any other header. Without
 * loops, which makes `FrameReader.next` a third faster.
 */
function readShortHeader(bytes: Uint8Array, at: number): number {
  const rest = bytes[at + 4] ^ SPACE | bytes[at + 5] ^ SPACE |
    bytes[at + 6] ^ SPACE | bytes[at + 7] ^ SPACE |
    bytes[at + 8] ^ SPACE | bytes[at + 9] ^ SPACE;
  const a = bytes[at] - ZERO;
  if (rest !== 0 || a <= 0 || a > 9) return 0;
  const b = bytes[at + 1] - ZERO;
  const c = bytes[at + 2] - ZERO;
  const d = bytes[at + 3] - ZERO;
  const none = SPACE - ZERO;
  if (b === none && c === none && d === none) return a;
  if (b < 0 || b > 9) return 0;
  if (c === none && d === none) return a * 10 + b;
  if (c < 0 || c > 9) return 0;
  if (d === none) return a * 100 + b * 10 + c;
  return d < 0 || d > 9 ? 0 : a * 1000 + b * 100 + c * 10 + d;
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
 * Payloads from a loop or from `read` are views of the reader's buffer, which is
 * not overwritten where they lie. Each keeps the whole buffer in memory: to keep a
 * payload for long, or to transfer it, use `payload.slice()`.
 *
 * Time is linear in the bytes read. The buffer begins with 4 KiB. If a read fills
 * it, it grows to 4 times its length, up to 256 KiB, or 256 KiB more than the
 * longest frame.
 *
 * Payloads that arrived whole before an error are delivered first. Then every
 * loop, `read` and `fill` throws that error.
 *
 * @example Read at full speed
 * ```ts
 * import { type ByteReader, FrameReader } from "./framing.ts";
 *
 * async function countBytes(connection: ByteReader): Promise<number> {
 *   let count = 0;
 *   const frames = new FrameReader(connection);
 *   while (await frames.fill()) {
 *     // The payload is in `frames.bytes`.
 *     while (frames.next()) count += frames.end - frames.start;
 *   }
 *   return count;
 * }
 * ```
 */
export class FrameReader implements AsyncIterable<Bytes> {
  readonly #source: ByteReader;
  readonly #maxFrameLength: number;
  #bytes: Bytes = new Uint8Array(0);
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
  /** The fill that ends the waiting of `read` by `#wake`. */
  #watched: Promise<boolean> | undefined;
  #wake = () => {};
  #hasEnded = false;
  #error: { reason: unknown } | undefined;

  /** Constructs a reader of one connection. */
  constructor(source: ByteReader, options?: FramingOptions) {
    this.#source = source;
    this.#maxFrameLength = maxFrameLength(options);
  }

  /** Returns an iterator over the payloads. It ends with the stream, and fails as `read` does. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Bytes> {
    return {
      // Twice as fast as an async generator.
      next: () =>
        !this.#isReading && this.#advance()
          ? Promise.resolve({ done: false, value: this.#take() })
          : this.read().then((value) =>
            value === null
              ? { done: true, value: undefined }
              : { done: false, value }
          ),
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
        if (!await this.#abortable(this.fill(), options.signal)) return null;
      }
    } finally {
      this.#isReading = false;
    }
  }

  /**
   * Reads from the source once. Call it when `next` returns `false`. A call
   * during another returns the same promise, so nothing is lost if you stop
   * waiting for one.
   *
   * @returns Whether `next` is worth a call: `false` at the end of the stream.
   * @throws The error of the source, or the error of an earlier call.
   */
  fill(): Promise<boolean> {
    if (this.#error !== undefined) return Promise.reject(this.#error.reason);
    if (this.#hasEnded) return Promise.resolve(this.#end < this.#size);
    return this.#filling ??= this.#readSource();
  }

  /**
   * Goes on to the next payload, which is in `bytes` from `start` to `end` until
   * the next `fill`.
   *
   * @returns Whether it has arrived whole. If not, call `fill`.
   * @throws {FramingError} `INVALID_HEADER`, `FRAME_TOO_LARGE`, or
   * `UNEXPECTED_EOF` if the stream ended inside the frame.
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

  /** Returns `false` if more of the next frame may arrive. Otherwise throws what is wrong with it. */
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
    const offset = this.#offset + this.#end;
    const length = readHeader(bytes, this.#end, size);
    if (length === INVALID || length > limit) {
      throw this.#fail(headerError(bytes, this.#end, size, limit, offset));
    }
    const received = size - this.#end;
    if (this.#hasEnded && received > 0) {
      throw this.#fail(unexpectedEnd(offset, received, Math.max(0, length)));
    }
    return false;
  }

  /** Hands out the current payload. */
  #take(): Bytes {
    this.#isShared = true;
    return this.#bytes.subarray(this.#start, this.#end);
  }

  async #readSource(): Promise<boolean> {
    try {
      this.#makeRoom();
      const room = this.#bytes.subarray(this.#size);
      const count = await this.#source.read(room);
      if (count === null) {
        this.#hasEnded = true;
        return this.#end < this.#size;
      }
      checkCount(count, room.length, "the source");
      this.#size += count;
      return true;
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#filling = undefined;
    }
  }

  /** Waits for a fill, or until a signal aborts. */
  #abortable(filling: Promise<boolean>, signal?: AbortSignal) {
    if (!signal) return filling;
    if (this.#watched !== filling) {
      // One reaction for each fill, however many reads stop waiting for it.
      this.#watched = filling;
      const wake = () => this.#watched === filling && this.#wake();
      filling.then(wake, wake);
    }
    return new Promise<boolean>((resolve, reject) => {
      const abort = () => reject(signal.reason);
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort);
      this.#wake = () => {
        signal.removeEventListener("abort", abort);
        resolve(filling);
      };
    });
  }

  /** Makes room for a read after the bytes not yet consumed. */
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
    const isNew = this.#isShared || length > bytes.length;
    if (room >= length / 4 || !isNew && this.#end === 0) return;
    if (isNew) this.#bytes = new Uint8Array(length);
    this.#isShared = false;
    this.#bytes.set(bytes.subarray(this.#end, this.#size));
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

/** A sink of bytes that may take fewer than it is given, such as a `Deno.Conn` or a `Deno.FsFile`. */
export interface ByteWriter {
  /** Writes at least one of `bytes`, from their start. They stay unchanged until the promise settles, and must not be transferred. Returns how many. */
  write(bytes: Bytes): Promise<number>;
}

/**
 * Writes frames to a connection, many in one write. Nothing else may write to the
 * same connection. The writer never closes it.
 *
 * Any number of producers may share one writer. Frames may be added while a
 * `flush` is under way. They leave in the order in which they were added.
 *
 * Time is linear in the bytes added. What is added takes memory until it is
 * written. The writer keeps up to twice the memory of its longest write, for each
 * of two buffers if frames are added while it flushes.
 *
 * When the sink has failed, a part of a frame may have been written. From then on
 * `add` and `flush` throw its error. Frames not yet written are lost.
 */
export class FrameWriter {
  readonly #sink: ByteWriter;
  /** The frames that wait for a flush to begin. */
  #waiting: FrameBatch;
  /** The batch that is being written. At other times it is empty. */
  #other: FrameBatch;
  /** The last flush requested. `#next` is that flush until it begins. */
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

  /** Whether 64 KiB or more wait, in bytes, or characters of text: time to await `flush`. */
  get isFull(): boolean {
    return this.#waiting.isFull;
  }

  /**
   * Adds one frame, or nothing if it throws. The payload is copied.
   *
   * @param payload Bytes, or text that is sent as UTF-8.
   * @throws {FramingError} `FRAME_TOO_LARGE` if the payload is over the limit.
   * @throws {RangeError} If there is no memory for the frame.
   * @throws {TypeError} If the payload is neither text nor bytes.
   * @throws The error of the sink, after it has failed.
   */
  add(payload: string | BinaryData): void {
    if (this.#error !== undefined) throw this.#error.reason;
    this.#waiting.add(payload);
  }

  /**
   * Writes everything that was added before the call. Await it, so that a slow
   * peer slows the producer.
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
      throw error;
    }
    // A producer that awaits each flush needs the memory of one batch only.
    if (this.#waiting.isEmpty) {
      this.#other = this.#waiting;
      this.#waiting = batch;
    }
  }
}

/** A batch is full with this many bytes. */
const FULL = 64 * 1024;

/** Frames one after the other, in memory that is used again. */
class FrameBatch {
  readonly #maxFrameLength: number;
  #bytes: Bytes = EMPTY;
  #size = 0;
  /** Frames behind those in `#bytes`. To encode many together takes a tenth of the time. */
  #text = "";

  constructor(maxFrameLength: number) {
    this.#maxFrameLength = maxFrameLength;
  }

  get isEmpty(): boolean {
    return this.#size === 0 && this.#text === "";
  }

  get isFull(): boolean {
    return this.#size + this.#text.length >= FULL;
  }

  get size(): number {
    this.#encodeText();
    return this.#size;
  }

  add(payload: string | BinaryData): void {
    const limit = this.#maxFrameLength;
    if (typeof payload === "string") {
      if (payload.length * 3 > limit) { // UTF-8 takes 3 bytes a unit at most.
        checkLength(encoder.encode(payload).length, limit);
      }
      this.#text += withHeader(payload);
      if (this.#text.length >= FULL) this.#encodeText();
      return;
    }
    const bytes = bytesOf(payload);
    checkLength(bytes.length, limit);
    this.#encodeText();
    const start = this.#size;
    this.#reserve(HEADER_LENGTH + bytes.length);
    writeHeader(this.#bytes, start, bytes.length);
    this.#bytes.set(bytes, start + HEADER_LENGTH);
  }

  /** Returns all frames and empties the batch. They stay unchanged until the next `add`. */
  take(): Bytes {
    this.#encodeText();
    const frames = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    return frames;
  }

  #encodeText(): void {
    const text = this.#text;
    if (text === "") return;
    const start = this.#size;
    this.#reserve(text.length);
    this.#text = "";
    const room = this.#bytes.subarray(start, this.#size);
    if (encoder.encodeInto(text, room).read === text.length) return;
    const frames = encodeText(text);
    this.#size = start;
    this.#reserve(frames.length);
    this.#bytes.set(frames, start);
  }

  /** Adds `length` bytes to the size. */
  #reserve(length: number): void {
    const size = this.#size + length;
    if (size > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(size, this.#bytes.length * 2));
      bytes.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = bytes;
    }
    this.#size = size;
  }
}

/**
 * How many bytes a FrameEncoderStream lets wait. With 64 KiB, small payloads wait
 * for so long that collecting garbage takes more than half of the time.
 */
const QUEUE = 8 * 1024;

/**
 * Transforms payloads into frames, for `pipeThrough`.
 *
 * A frame leaves at once if the consumer waits for one. Frames that are written
 * while the consumer is busy leave together. A chunk ends with the frame that
 * makes it 64 KiB long, or longer. Chunks have memory of their own.
 *
 * `desiredSize` of the writable end is what may be written before the producer
 * should wait for `ready`, in bytes, or characters of text: 8 KiB at first. A
 * payload must not change before its `write` has settled.
 *
 * The stream fails with a {@linkcode FramingError} `FRAME_TOO_LARGE` if a payload
 * is over the limit, and with a `TypeError` if it is neither text nor bytes. The
 * frames before it are delivered first, to a read that waits.
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
  extends TransformStream<string | BinaryData, Bytes> {
  /** Constructs a stream with this limit for payloads. */
  constructor(options?: FramingOptions) {
    const frames = new FrameBatch(maxFrameLength(options));
    let waiting = 0; // Payloads written, and not transformed yet
    const send = (output: TransformStreamDefaultController<Bytes>) => {
      if (!frames.isEmpty) output.enqueue(frames.take().slice());
    };
    super({
      // Runs when the consumer has read what was sent. Until something is sent
      // again, it runs for every payload that waits.
      transform(payload, output) {
        waiting--;
        try {
          frames.add(payload);
        } catch (error) {
          send(output);
          throw error;
        }
        if (waiting === 0 || frames.isFull) send(output);
      },
      flush: send,
    }, {
      highWaterMark: QUEUE,
      // Called once for each `write`.
      size(payload) {
        waiting++;
        try {
          const content = typeof payload === "string"
            ? payload
            : bytesOf(payload as BinaryData);
          return HEADER_LENGTH + content.length;
        } catch {
          return 0; // `transform` throws, so that both ends fail.
        }
      },
    });
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
 * `TypeError`. The readable end learns of the end, or of an error, when it is read.
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
    const { readable, writable } = new TransformStream<BinaryData, Bytes[]>({
      transform(chunk, output) {
        const { buffer } = bytesOf(chunk);
        // A payload that was cut has memory of its own already.
        const own = decoder.push(chunk).map((payload) =>
          payload.buffer === buffer ? payload.slice() : payload as Bytes
        );
        if (own.length > 0) output.enqueue(own);
        decoder.push(EMPTY); // Throws if a bad frame follows.
      },
      flush: () => decoder.end(),
    });
    // An error discards the chunks that wait in a TransformStream. Here none wait
    // inside it, as it runs only while `pull` reads. They wait in the outer stream.
    const batches = readable.getReader();
    this.writable = writable;
    this.readable = new ReadableStream<Bytes>({
      async pull(output) {
        const { done, value } = await batches.read();
        if (done) return output.close();
        for (const payload of value) output.enqueue(payload);
      },
      // An error behind the last payload that was read is of no use any more.
      cancel: (reason) => batches.cancel(reason).catch(() => {}),
    }, { highWaterMark: 0 });
  }
}

const EMPTY: Bytes = new Uint8Array(0);
const encoder = new TextEncoder();

function writeHeader(bytes: Bytes, at: number, length: number): void {
  let last = at;
  for (let power = 10; power <= length; power *= 10) last++;
  for (let i = at + HEADER_LENGTH - 1; i > last; i--) bytes[i] = SPACE;
  for (let rest = length; last >= at; last--) {
    bytes[last] = ZERO + rest % 10;
    rest = Math.floor(rest / 10);
  }
}

function textHeader(length: number): string {
  return String(length).padEnd(HEADER_LENGTH);
}

/** The headers of short texts. To make one takes longer than the rest of `add`. */
const HEADERS = Array.from({ length: 1024 }, (_, length) => textHeader(length));

/** Returns a text behind a header that counts UTF-16 units, which is right for ASCII. */
function withHeader(text: string): string {
  return (HEADERS[text.length] ?? textHeader(text.length)) + text;
}

/** Encodes frames made by `withHeader`, and corrects headers that have to count bytes. */
function encodeText(frames: string): Bytes {
  const bytes = encoder.encode(frames);
  if (bytes.length === frames.length) return bytes; // All ASCII
  for (let at = 0, end = 0; at < bytes.length; at = end) {
    const start = at + HEADER_LENGTH;
    let units = readHeader(bytes, at, start);
    for (end = start; units > 0 || isContinuation(bytes[end]); end++) {
      // Characters of four bytes are two units, all others are one.
      if (!isContinuation(bytes[end])) units -= bytes[end] < 0xf0 ? 1 : 2;
    }
    writeHeader(bytes, at, end - start);
  }
  return bytes;
}

/** Returns whether a byte is not the first one of a UTF-8 character. */
function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
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

/** Throws if a payload is over the limit. */
function checkLength(length: number, limit: number): void {
  if (length <= limit) return;
  throw new FramingError(
    "FRAME_TOO_LARGE",
    `Cannot encode a payload of ${length} bytes: it is over the limit of ${limit} bytes`,
    { length, maxFrameLength: limit },
  );
}

/** Returns a view of bytes in any container, without a copy. */
function bytesOf(data: BinaryData): Uint8Array {
  if (data instanceof Uint8Array && data.length > 0) return data;
  if (ArrayBuffer.isView(data)) {
    // Throws, as `byteLength` of a DataView does, if the buffer was transferred
    // or has become too short for the view.
    if ("values" in data) (data as Uint8Array).values();
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const kind = Object.prototype.toString.call(data).slice(8, -1);
  if (kind === "ArrayBuffer" || kind === "SharedArrayBuffer") {
    return new Uint8Array(new DataView(data).buffer); // throws for others
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
  const { maxFrameLength: limit = DEFAULT_MAX_FRAME_LENGTH } = options;
  if (Number.isInteger(limit) && limit >= 0 && limit <= MAX_HEADER_VALUE) {
    return limit;
  }
  throw new RangeError(
    `Cannot use ${limit} as maxFrameLength: expected an integer from 0 to ${MAX_HEADER_VALUE}`,
  );
}

/** Throws if `options` is not an object with this option only. */
function checkNames(options: object, known: string): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot use ${options} as options: expected an object`);
  }
  const unknown = Object.keys(options).find((name) => name !== known);
  if (unknown === undefined) return;
  throw new TypeError(
    `Cannot use the option "${unknown}": expected "${known}"`,
  );
}

/** Throws unless `count` is an integer from 1 to `most`. */
function checkCount(count: number, most: number, who: string): void {
  if (Number.isInteger(count) && count > 0 && count <= most) return;
  throw new TypeError(
    `Cannot go on: ${who} returned ${count}, expected an integer from 1 to ${most}`,
  );
}
