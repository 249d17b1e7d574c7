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
 * The header is the payload's length in bytes, in ASCII decimal digits without
 * leading zeros, padded with spaces (`·` above). Anything else is an error. A
 * stream may end only between two frames.
 *
 * {@linkcode FrameReader} and {@linkcode FrameWriter} are for connections,
 * {@linkcode FrameDecoderStream} and {@linkcode FrameEncoderStream} for Web Streams,
 * {@linkcode FrameDecoder} and {@linkcode encodeFrame} for anything else.
 *
 * Runs in Deno, Node.js 22.18 and later, Bun 1.2 and later, and, as JavaScript, in
 * browsers. Type checks with TypeScript 5.2 and later, with the DOM library or
 * `@types/node`.
 *
 * @example Answer every message
 * ```ts
 * import { FrameReader, FrameWriter } from "./framing.ts";
 *
 * async function echo(connection: Deno.Conn): Promise<void> {
 *   const answers = new FrameWriter(connection);
 *   for await (const payload of new FrameReader(connection)) {
 *     answers.add(payload);
 *     await answers.flush();
 *   }
 * }
 * ```
 *
 * @module
 */

/** Length of every frame's header, in bytes. */
export const HEADER_LENGTH = 10;

/** Default limit for the length of a payload: 8 MiB, in bytes. */
export const DEFAULT_MAX_FRAME_LENGTH: number = 8 * 1024 * 1024;

/** Options that every part of this module takes. */
export interface FramingOptions {
  /** Longest payload to encode or to accept, in bytes: an integer from 0 to 9,999,999,999, otherwise a `RangeError` is thrown. Default: 8 MiB. */
  maxFrameLength?: number;
}

/** Bytes in any form: an `ArrayBuffer`, a `DataView`, Node's `Buffer`, and so on. */
export type BinaryData = ArrayBufferView | ArrayBufferLike;

/** A `Uint8Array` that is not in shared memory. */
export type Bytes = ReturnType<Uint8Array["slice"]>; // Before TypeScript 5.7 there is no Uint8Array<ArrayBuffer>.

/** Thrown for a bad frame. Fields that do not apply to its `code` are `undefined`. The message is printable ASCII, whatever was received. */
export class FramingError extends Error {
  /** Always `"FramingError"`. */
  override readonly name = "FramingError";
  /** The kind of problem: no valid header at a frame boundary, a payload over the limit, or a stream that ended inside a frame. */
  readonly code: "INVALID_HEADER" | "FRAME_TOO_LARGE" | "UNEXPECTED_EOF";
  /** Decoding: where the bad frame begins, in bytes from the start of the stream. Encoding: 0. */
  readonly offset: number = 0;
  /** `INVALID_HEADER`: those of its 10 bytes that had arrived, one character per byte. */
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
    code: FramingError["code"],
    message: string,
    facts: Omit<Partial<FramingError>, keyof Error | "code"> = {},
  ) {
    super(message);
    this.code = code;
    Object.assign(this, facts);
  }
}

/**
 * Returns a payload as a frame, in a new array. Text is encoded as UTF-8.
 *
 * @example A frame, and the length of its payload
 * ```ts
 * import { decodeHeader, encodeFrame } from "./framing.ts";
 *
 * const frame = encodeFrame("Grüße"); // 7         Grüße
 * console.log(decodeHeader(frame)); // 7
 * ```
 *
 * @throws {FramingError} `FRAME_TOO_LARGE` if the payload is over the limit.
 * @throws {TypeError} If the payload is neither text nor bytes.
 */
export function encodeFrame(
  payload: string | BinaryData,
  options?: FramingOptions,
): Bytes {
  const bytes = payloadOf(payload, limitOf(options));
  const frame = new Uint8Array(HEADER_LENGTH + bytes.length);
  writeHeader(frame, 0, bytes.length);
  frame.set(bytes, HEADER_LENGTH);
  return frame;
}

/**
 * Returns the payload length in the header at the start of `bytes`.
 *
 * @throws {FramingError} `INVALID_HEADER`, `FRAME_TOO_LARGE`, or `UNEXPECTED_EOF`
 * for fewer than 10 bytes.
 * @throws {TypeError} If the argument is not bytes.
 */
export function decodeHeader(
  bytes: BinaryData,
  options?: FramingOptions,
): number {
  const header = bytesOf(bytes);
  const limit = limitOf(options);
  const length = readHeader(header, 0, header.length);
  if (length >= 0 && length <= limit) return length;
  throw frameError(header, header.length, limit, 0, "the header");
}

const encoder = new TextEncoder();
const ZERO = 0x30;
const SPACE = 0x20;
const INCOMPLETE = -1; // `readHeader` returns these if there is no length.
const INVALID = -2;

/** Returns the length in the header at `start`, `INCOMPLETE` if its bytes up to `size` are valid so far, or `INVALID`. It does not throw, so that the engine inlines it. */
function readHeader(bytes: Uint8Array, start: number, size: number): number {
  const isWhole = start + HEADER_LENGTH <= size;
  if (isWhole) {
    const length = readShortHeader(bytes, start);
    if (length > 0) return length;
  }
  const end = isWhole ? start + HEADER_LENGTH : size;
  let at = start;
  let length = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! ^ ZERO; // Above 9 if the byte is not a digit
    if (digit > 9) break;
    length = length * 10 + digit;
  }
  const digits = at - start;
  if (digits === 0 && at < end) return INVALID;
  if (digits > 1 && bytes[start] === ZERO) return INVALID;
  for (; at < end; at++) if (bytes[at] !== SPACE) return INVALID;
  return isWhole ? length : INCOMPLETE;
}

/** Returns a length of one to four digits, or 0 for other headers. Without loops, `FrameReader.next` is a third faster. */
function readShortHeader(bytes: Uint8Array, at: number): number {
  const rest = bytes[at + 4]! ^ SPACE | bytes[at + 5]! ^ SPACE |
    bytes[at + 6]! ^ SPACE | bytes[at + 7]! ^ SPACE |
    bytes[at + 8]! ^ SPACE | bytes[at + 9]! ^ SPACE;
  const a = bytes[at]! ^ ZERO;
  const b = bytes[at + 1]! ^ ZERO;
  const c = bytes[at + 2]! ^ ZERO;
  const d = bytes[at + 3]! ^ ZERO;
  const none = SPACE ^ ZERO;
  if (rest !== 0 || a === 0 || a > 9) return 0;
  if (b > 9) return b === none && c === none && d === none ? a : 0;
  if (c > 9) return c === none && d === none ? a * 10 + b : 0;
  if (d > 9) return d === none ? a * 100 + b * 10 + c : 0;
  return a * 1000 + b * 100 + c * 10 + d;
}

function writeHeader(bytes: Bytes, at: number, length: number): void {
  let last = at;
  for (let power = 10; power <= length; power *= 10) last++;
  for (let i = at + HEADER_LENGTH - 1; i > last; i--) bytes[i] = SPACE;
  for (let rest = length; last >= at; last--) {
    bytes[last] = ZERO + rest % 10;
    rest = Math.floor(rest / 10);
  }
}

/** Returns the error for a frame that begins with `bytes`, and of which `received` bytes have arrived: a bad header, a length over the limit, or else a stream that has ended. */
function frameError(
  bytes: Uint8Array,
  received: number,
  limit: number,
  offset: number,
  name = `the frame at byte ${offset}`,
): FramingError {
  const problem = `Cannot decode ${name}:`;
  const length = readHeader(bytes, 0, received);
  if (length === INVALID) {
    const header = String.fromCharCode(...bytes.subarray(0, HEADER_LENGTH));
    // Whatever is not printable ASCII is an escape.
    const escape = (byte: string) => `\\u00${byte.charCodeAt(0).toString(16)}`;
    const found = JSON.stringify(header).replace(/[^ -~]/g, escape);
    const expected = "a header (digits, then spaces, 10 bytes in all)";
    const message = `${problem} expected ${expected}, found ${found}`;
    return new FramingError("INVALID_HEADER", message, { offset, header });
  }
  if (length > limit) {
    const message = `${problem} ${length} bytes are over the limit of ${limit}`;
    const facts = { offset, length, maxFrameLength: limit };
    return new FramingError("FRAME_TOO_LARGE", message, facts);
  }
  const arrived = length === INCOMPLETE
    ? `${received} of its ${HEADER_LENGTH} header bytes`
    : `${received - HEADER_LENGTH} of its ${length} payload bytes`;
  const message = `${problem} the stream ended after ${arrived}`;
  const expected = HEADER_LENGTH + Math.max(0, length);
  const facts = { offset, received, expected };
  return new FramingError("UNEXPECTED_EOF", message, facts);
}

/** Returns the bytes of a payload, text as UTF-8. Throws if they are over the limit. */
function payloadOf(data: string | BinaryData, limit: number): Uint8Array {
  const isText = typeof data === "string";
  const bytes = isText ? encoder.encode(data) : bytesOf(data);
  const { length } = bytes;
  if (length <= limit) return bytes;
  const message = `Cannot encode ${length} bytes: the limit is ${limit}`;
  const facts = { length, maxFrameLength: limit };
  throw new FramingError("FRAME_TOO_LARGE", message, facts);
}

/** Returns the limit that the options set. */
function limitOf(options: FramingOptions = {}): number {
  const { maxFrameLength: limit = DEFAULT_MAX_FRAME_LENGTH } = options;
  const most = 10 ** HEADER_LENGTH - 1;
  if (Number.isInteger(limit) && limit >= 0 && limit <= most) return limit;
  throw new RangeError(
    `Cannot use ${limit} as maxFrameLength: expected an integer from 0 to ${most}`,
  );
}

/** Returns a view of bytes in any container, without a copy. */
function bytesOf(data: BinaryData): Uint8Array {
  if (data instanceof Uint8Array && data.length > 0) return data;
  try {
    // These throw for what is no buffer, and for one that was transferred or cut.
    const view = ArrayBuffer.isView(data) ? data : new DataView(data);
    if ("values" in view) (view as Uint8Array).values();
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  } catch {
    const kind = Object.prototype.toString.call(data).slice(8, -1);
    throw new TypeError(
      `Cannot take bytes from a value of type ${kind}: expected an ArrayBuffer or a view of one that was not transferred`,
    );
  }
}

/**
 * Decodes a stream of frames that arrives in chunks, however it is cut.
 *
 * A payload that lies whole inside one chunk is a view of that chunk, and changes
 * with it: `payload.slice()` is a copy. Any other has memory of its own: while it is
 * partial, at most 4 KiB, or 16 times what has arrived. No chunk is kept.
 *
 * @example Decode chunks
 * ```ts
 * import { FrameDecoder } from "./framing.ts";
 *
 * const decoder = new FrameDecoder();
 * for (const chunk of ["3         one3     ", "    tw", "o0         "]) {
 *   const payloads = decoder.push(new TextEncoder().encode(chunk));
 *   console.log(payloads.length); // 1, then 0, then 2: "two" and an empty one
 * }
 * decoder.end(); // Throws if the stream stops inside a frame.
 * ```
 */
export class FrameDecoder {
  readonly #limit: number;
  #offset = 0; // Where the current frame begins in the stream
  #received = 0; // How many of its bytes were kept from earlier chunks
  readonly #header: Bytes = new Uint8Array(HEADER_LENGTH);
  #length = 0; // Length of its payload, when the header is complete
  #payload: Uint8Array = EMPTY; // What has arrived of it
  #hasEnded = false;
  #error: unknown;

  /** Constructs a decoder of one stream. */
  constructor(options?: FramingOptions) {
    this.#limit = limitOf(options);
  }

  /**
   * Takes the next bytes of the stream, and returns the payloads that they
   * complete, in order. If some precede a bad frame, the next call throws, even for
   * an empty chunk. After the error of a bad frame, every call throws it.
   *
   * @throws {FramingError} For the first byte that shows that a frame is bad.
   * @throws {TypeError} If `chunk` is not bytes, or if the stream has ended.
   */
  push(chunk: BinaryData): Uint8Array[] {
    if (this.#error !== undefined) throw this.#error;
    if (this.#hasEnded) throw new TypeError("Cannot push: it has ended");
    const bytes = bytesOf(chunk);
    const size = bytes.length;
    const payloads: Uint8Array[] = [];
    try {
      let at = this.#received > 0 ? this.#keep(bytes, 0, payloads) : 0;
      if (at === size) return payloads; // All of it belongs to a partial frame.
      const first = at;
      const { buffer, byteOffset } = bytes;
      while (at < size) {
        const length = readHeader(bytes, at, size);
        const start = at + HEADER_LENGTH;
        const end = start + length;
        if (length < 0 || length > this.#limit || end > size) break;
        // Unlike `subarray`, never a `Buffer`, whose `slice` does not copy.
        payloads.push(new Uint8Array(buffer, byteOffset + start, length));
        at = end;
      }
      this.#offset += at - first;
      if (at < size) this.#keep(bytes, at, payloads);
    } catch (error) {
      this.#error = error; // A bad frame, or no memory for a payload
      if (payloads.length === 0) throw error;
    }
    return payloads;
  }

  /**
   * Ends the stream. After it, `push` throws.
   *
   * @throws {FramingError} `UNEXPECTED_EOF` inside a frame, or that of a bad frame.
   */
  end(): void {
    this.#hasEnded = true;
    if (this.#received > 0) this.#error ??= this.#frameError();
    if (this.#error !== undefined) throw this.#error;
  }

  /** Takes the bytes of `chunk` from `at` on that belong to the partial frame. Returns the index after them. */
  #keep(chunk: Uint8Array, at: number, payloads: Uint8Array[]): number {
    let received = this.#received;
    if (received < HEADER_LENGTH) {
      const header = this.#header;
      while (received < HEADER_LENGTH && at < chunk.length) {
        header[received++] = chunk[at++]!;
      }
      this.#received = received;
      const length = readHeader(header, 0, received);
      if (length === INVALID || length > this.#limit) throw this.#frameError();
      if (length === INCOMPLETE) return at;
      this.#length = length;
    }
    const length = this.#length;
    const from = received - HEADER_LENGTH;
    const size = Math.min(length, from + chunk.length - at);
    const end = at + size - from;
    let payload = this.#payload;
    if (size > payload.length || length === 0) {
      if (end - at === length) { // It lies whole in this chunk.
        const { buffer, byteOffset } = chunk;
        payload = new Uint8Array(buffer, byteOffset + at, length);
        at = end; // Nothing is left to copy.
      } else {
        payload = new Uint8Array(roomFor(HEADER_LENGTH + size, length));
        if (from > 0) payload.set(this.#payload);
      }
      this.#payload = payload;
    }
    // For a few bytes, a loop takes half the time of `set`.
    if (end - at > 64) payload.set(chunk.subarray(at, end), from);
    else for (let to = from; at < end;) payload[to++] = chunk[at++]!;
    this.#received = HEADER_LENGTH + size;
    if (size === length) {
      payloads.push(payload);
      this.#offset += this.#received;
      this.#received = this.#length = 0;
      this.#payload = EMPTY;
    }
    return end;
  }

  #frameError(): FramingError {
    const received = this.#received;
    const header = this.#header.subarray(0, received);
    return frameError(header, received, this.#limit, this.#offset);
  }
}

const EMPTY: Bytes = new Uint8Array(0);

/** Returns how much memory to get for `length` bytes when `received` bytes of the frame have arrived: little for what is only promised, and soon all, so that few bytes are copied twice. */
function roomFor(received: number, length: number): number {
  const isWorthAll = length <= Math.max(16 * received, 4096);
  return isWorthAll ? length : Math.max(2 * received, 4096);
}

/** A source of bytes that reads into the caller's buffer, such as a `Deno.Conn` or a `Deno.FsFile`. */
export interface ByteReader {
  /** Reads at least one byte into `buffer`, from its start. Returns how many, or `null` at the end of the stream. */
  read(buffer: Bytes): Promise<number | null>;
}

/**
 * Reads frames from a connection, or from any async iterable of chunks, such as the
 * body of a response or `socket.iterator({ destroyOnReturn: false })` of Node.js.
 * The reader never closes it, and nothing else may read from it. Leaving a loop over
 * the reader loses nothing: another loop, or `read`, goes on with the next payload.
 *
 * Payloads are views of the reader's buffer, which is not overwritten where they
 * lie. To keep one for long, or to transfer it, use `payload.slice()`. The buffer
 * begins with 4 KiB, and grows with what arrives to 256 KiB, or to the longest frame.
 *
 * Payloads that arrived whole before an error are delivered first. Then every call
 * throws that error.
 *
 * {@linkcode FrameReader.fill} and {@linkcode FrameReader.next} are the fastest form,
 * without a promise and an object for each frame:
 * `while (await frames.fill()) while (frames.next()) count++;`
 */
export class FrameReader implements AsyncIterable<Bytes> {
  readonly #source: ByteReader;
  readonly #limit: number;
  /** What was read, up to `#size`. The current payload lies from `#start` to `#end`. */
  #bytes: Bytes = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #size = 0;
  #offset = 0; // Where `#bytes` begins in the stream
  #isShared = false; // Whether a payload was handed out, so that `#bytes` must not be overwritten
  #isPartial = false; // Whether `next` has found no whole frame after the current one
  #hasEnded = false;
  #error: { reason: unknown } | undefined;
  #filling: Promise<boolean> | undefined; // The read from the source that is under way
  #isReading = false;
  #wake = () => {}; // Ends the waiting of a `read` with a signal

  /** Constructs a reader of one connection, or of one iterable of chunks. */
  constructor(
    source: ByteReader | AsyncIterable<BinaryData>,
    options?: FramingOptions,
  ) {
    this.#limit = limitOf(options);
    this.#source = Symbol.asyncIterator in source ? readerOf(source) : source;
  }

  /** Returns an iterator over the payloads. It ends with the stream, and fails as `read` does. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Bytes> {
    // Twice as fast as an async generator.
    const next = (): Promise<IteratorResult<Bytes>> =>
      !this.#isReading && this.#advance()
        ? Promise.resolve({ done: false, value: this.#take() })
        : this.read().then((value) =>
          value ? { done: false, value } : { done: true, value: undefined }
        );
    return { next, [Symbol.asyncIterator]: () => this[Symbol.asyncIterator]() };
  }

  /**
   * Reads the next payload. Returns `null` at the end of the stream. If the signal
   * aborts, the waiting ends, and the next call returns what arrives later.
   *
   * @throws {TypeError} If the last call, or that of a loop, has not finished.
   * @throws The reason of the signal, or what `fill` and `next` throw.
   */
  async read({ signal }: { signal?: AbortSignal } = {}): Promise<Bytes | null> {
    signal?.throwIfAborted();
    if (this.#isReading) throw new TypeError("Cannot read: a read is pending");
    this.#isReading = true;
    const abort = () => this.#wake();
    signal?.addEventListener("abort", abort);
    try {
      while (!this.next()) {
        if (this.#hasEnded) return null;
        await (signal ? this.#fillOrWake() : this.fill());
        signal?.throwIfAborted();
      }
      return this.#take();
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#isReading = false;
    }
  }

  /**
   * Reads from the source, unless what is there may hold a whole frame. Returns
   * whether `next` is worth a call: `false` at the end of the stream. A call during
   * another returns the same promise, so nothing is lost if you stop waiting for one.
   *
   * @throws {TypeError} If the source returned an impossible count, or no bytes.
   * @throws The error of the source.
   */
  fill(): Promise<boolean> {
    if (this.#error !== undefined) return Promise.reject(this.#error.reason);
    const hasMore = this.#end < this.#size && !this.#isPartial;
    if (hasMore || this.#hasEnded) return Promise.resolve(hasMore);
    return this.#filling ??= this.#readSource();
  }

  /**
   * Goes on to the next payload, which is in `bytes` from `start` to `end` until
   * the next `fill`. Returns whether it has arrived whole. If not, call `fill`.
   *
   * @throws {FramingError} If the frame is bad, or the stream ended inside it.
   */
  next(): boolean {
    if (this.#advance()) return true;
    this.#checkRest();
    this.#isPartial = true;
    return false;
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

  /** Waits for a fill, or until `#wake` is called. */
  #fillOrWake(): Promise<void> {
    const woken = new Promise<void>((resolve) => this.#wake = resolve);
    // One reaction for each fill, however many reads stop waiting for it. If it
    // fails, `next` throws.
    if (this.#filling === undefined) this.fill().catch(() => {});
    return woken;
  }

  /** Goes on to the next payload. Returns `false` if it is partial or bad. */
  #advance(): boolean {
    const length = readHeader(this.#bytes, this.#end, this.#size);
    const start = this.#end + HEADER_LENGTH;
    const end = start + length;
    if (length < 0 || length > this.#limit || end > this.#size) return false;
    this.#start = start;
    this.#end = end;
    return true;
  }

  /** Throws unless what has arrived of the next frame may become a whole one. */
  #checkRest(): void {
    if (this.#error !== undefined) throw this.#error.reason;
    const limit = this.#limit;
    const length = readHeader(this.#bytes, this.#end, this.#size);
    const isCut = this.#hasEnded && this.#end < this.#size;
    if (length === INVALID || length > limit || isCut) {
      const rest = this.#bytes.subarray(this.#end, this.#size);
      const offset = this.#offset + this.#end;
      const reason = frameError(rest, rest.length, limit, offset);
      this.#error = { reason };
      throw reason;
    }
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
      if (count === null) this.#hasEnded = true;
      else this.#size += checkCount(count, room.length, "the source");
      this.#isPartial = false;
      return this.#end < this.#size;
    } catch (reason) {
      this.#error = { reason };
      throw reason;
    } finally {
      this.#filling = undefined;
      this.#wake();
    }
  }

  /** Makes room for a read after the part of the next frame that is there. */
  #makeRoom(): void {
    const bytes = this.#bytes;
    const room = bytes.length - this.#size;
    let { length } = bytes;
    if (room > 0 && (room >= length / 4 || this.#end === 0)) return;
    const rest = bytes.subarray(this.#end, this.#size);
    if (room === 0) {
      // The last read has filled the buffer: more is likely to wait. A buffer of the
      // length of a long frame gets none of the next one, which would be moved.
      const frame = HEADER_LENGTH + readHeader(rest, 0, rest.length);
      const grown = Math.min(Math.max(4 * length, FIRST_READ), LONGEST_READ);
      length = Math.max(length, grown, roomFor(rest.length, frame));
    }
    if (this.#isShared || length > bytes.length) {
      this.#bytes = new Uint8Array(length);
      this.#isShared = false;
    }
    this.#bytes.set(rest);
    this.#offset += this.#end;
    this.#start = this.#end = 0;
    this.#size = rest.length;
  }
}

const FIRST_READ = 4 * 1024; // Length of a reader's buffer before anything arrives
const LONGEST_READ = 256 * 1024; // Longest read, unless frames are longer

/** Returns a source that reads chunks. It never calls `return`, which would close a socket. */
function readerOf(chunks: AsyncIterable<BinaryData>): ByteReader {
  const iterator = chunks[Symbol.asyncIterator]();
  let chunk: Uint8Array = EMPTY;
  let at = 0; // How many of its bytes were read. If it was transferred, `subarray` throws.
  return {
    async read(buffer) {
      while (at === chunk.length) {
        const { done, value } = await iterator.next();
        if (done) return null;
        [chunk, at] = [bytesOf(value), 0];
      }
      const part = chunk.subarray(at, at + buffer.length);
      buffer.set(part);
      at += part.length;
      if (at === chunk.length) [chunk, at] = [EMPTY, 0]; // Not kept while none arrives
      return part.length;
    },
  };
}

/** Returns `count`, or throws unless it is an integer from 1 to `max`. */
function checkCount(count: number, max: number, who: string): number {
  if (Number.isInteger(count) && count > 0 && count <= max) return count;
  throw new TypeError(`Cannot go on: ${who} returned ${count} of ${max} bytes`);
}

/** A sink of bytes that may take fewer than it is given, such as a `Deno.Conn` or a `Deno.FsFile`. */
export interface ByteWriter {
  /** Writes at least one of `bytes`, from their start, and returns how many. When the promise settles, they are overwritten. They must not be transferred. */
  write(bytes: Bytes): Promise<number>;
}

/**
 * Writes frames to a connection, many in one write, in the order in which any number
 * of producers add them, during a `flush` too. It keeps up to a few times the memory
 * of its longest write. It never closes the connection; nothing else may write to it.
 *
 * When the sink has failed, perhaps after a part of a frame, every call throws its
 * error. Frames not yet written are lost.
 */
export class FrameWriter {
  readonly #sink: ByteWriter;
  readonly #limit: number;
  /** The frames that wait for a flush to begin, up to `#size`. */
  #bytes: Bytes = EMPTY;
  #size = 0;
  /** More of them, with headers that count UTF-16 units. To encode many at once takes a tenth of the time. */
  #text = "";
  #spare: Bytes = EMPTY; // Memory for frames that are added during a flush
  /** The last flush requested. `#next` is that flush until it begins. */
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #error: { reason: unknown } | undefined;

  /** Constructs a writer to one connection. */
  constructor(sink: ByteWriter, options?: FramingOptions) {
    this.#sink = sink;
    this.#limit = limitOf(options);
  }

  /** How many bytes of frames wait for a `flush` to begin. */
  get size(): number {
    this.#encodeText();
    return this.#size;
  }

  /** Whether about 64 KiB or more wait. If so, await `flush`. */
  get isFull(): boolean {
    return this.#size + this.#text.length >= FULL;
  }

  /**
   * Adds one frame, or nothing if it throws. The payload is copied, text as UTF-8.
   *
   * @throws {FramingError} `FRAME_TOO_LARGE` if the payload is over the limit.
   * @throws {TypeError} If the payload is neither text nor bytes.
   * @throws The error of the sink, after it has failed.
   */
  add(payload: string | BinaryData): void {
    if (this.#error !== undefined) throw this.#error.reason;
    const most = Math.min(this.#limit, FULL);
    if (typeof payload === "string" && MAX_UTF8 * payload.length <= most) {
      const { length } = payload;
      const header = HEADERS[length] ?? String(length).padEnd(HEADER_LENGTH);
      this.#text += header + payload;
      if (this.#text.length >= FULL) this.#encodeText();
      return;
    }
    const bytes = payloadOf(payload, this.#limit);
    this.#encodeText();
    const at = this.#size;
    this.#reserve(HEADER_LENGTH + bytes.length);
    writeHeader(this.#bytes, at, bytes.length);
    this.#bytes.set(bytes, at + HEADER_LENGTH);
    this.#size = at + HEADER_LENGTH + bytes.length;
  }

  /**
   * Writes what was added before. Await it, so that a slow peer slows the producer.
   *
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
    try {
      this.#encodeText();
      let rest = this.#bytes.subarray(0, this.#size);
      [this.#bytes, this.#spare] = [this.#spare, this.#bytes];
      this.#size = 0;
      while (rest.length > 0) {
        const count = await this.#sink.write(rest);
        rest = rest.subarray(checkCount(count, rest.length, "the sink"));
      }
    } catch (reason) {
      this.#error = { reason };
      throw reason;
    }
    // A producer that awaits each flush needs one buffer only.
    if (this.size === 0) {
      [this.#bytes, this.#spare] = [this.#spare, this.#bytes];
    }
  }

  #encodeText(): void {
    const text = this.#text;
    if (text === "") return;
    const at = this.#size;
    this.#reserve(text.length); // Enough for ASCII
    let count = encoder.encodeInto(text, this.#bytes.subarray(at));
    if (count.read < text.length) {
      this.#reserve(MAX_UTF8 * text.length);
      count = encoder.encodeInto(text, this.#bytes.subarray(at));
    }
    this.#text = "";
    this.#size += count.written;
    if (count.written > text.length) countBytes(this.#bytes, at, this.#size);
  }

  /** Makes room for `length` bytes more. */
  #reserve(length: number): void {
    const size = this.#size + length;
    if (size <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(size, 2 * this.#bytes.length));
    bytes.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = bytes;
  }
}

const FULL = 64 * 1024; // A writer is full with this many bytes.
const MAX_UTF8 = 3; // Most bytes that a UTF-16 unit takes in UTF-8

/** Headers of short texts. To make one takes longer than the rest of `add`. */
const HEADERS = Array.from({ length: 1024 }, (_, i) => String(i).padEnd(10));

/** Corrects the headers of frames of text, from UTF-16 units to bytes. */
function countBytes(frames: Bytes, at: number, end: number): void {
  while (at < end) {
    let units = readHeader(frames, at, end);
    let next = at + HEADER_LENGTH;
    while (units > 0) {
      // A character's first byte tells its length. One of 4 bytes is 2 units.
      const first = frames[next]!;
      next += first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
      units -= first < 0xf0 ? 1 : 2;
    }
    writeHeader(frames, at, next - at - HEADER_LENGTH);
    at = next;
  }
}

/**
 * Transforms payloads into frames, for `pipeThrough`. A frame leaves at once if the
 * consumer waits for one. Frames that are written while it is busy leave together,
 * in chunks of about 64 KiB, with memory of their own. A payload must not change
 * before its `write` has settled. Both ends fail with what {@linkcode encodeFrame}
 * throws, after the frames before it.
 */
export class FrameEncoderStream
  implements TransformStream<string | BinaryData, Bytes> {
  /** The frames. */
  readonly readable: ReadableStream<Bytes>;
  /** The payloads. */
  readonly writable: WritableStream<string | BinaryData>;

  /** Constructs a stream with this limit for payloads. */
  constructor(options?: FramingOptions) {
    let output: TransformStreamDefaultController<Bytes>;
    const frames = new FrameWriter({
      write(bytes) {
        output.enqueue(bytes.slice());
        return Promise.resolve(bytes.length);
      },
    }, options);
    let waiting = 0; // Payloads written, and not transformed yet
    const stream = new TransformStream<string | BinaryData, Bytes>({
      start: (controller) => void (output = controller),
      // Runs when the consumer has read what was sent. Until something is sent
      // again, it runs for every payload that waits.
      transform(payload) {
        waiting--;
        if (waiting === 0 && frames.size === 0) {
          return output.enqueue(encodeFrame(payload, options));
        }
        try {
          frames.add(payload);
        } catch (error) {
          return frames.flush().then(() => Promise.reject(error));
        }
        if (waiting === 0 || frames.isFull) return frames.flush();
      },
      // A `write` after `close` is refused, but was counted.
      flush: () => frames.flush(),
    }, {
      highWaterMark: QUEUE,
      // Called once for each `write`.
      size(payload) {
        waiting++;
        try {
          const isText = typeof payload === "string";
          return HEADER_LENGTH + (isText ? payload : bytesOf(payload!)).length;
        } catch {
          return 0; // `transform` throws, so that both ends fail.
        }
      },
    });
    this.readable = stream.readable;
    this.writable = stream.writable;
  }
}

/** Limit of the queue of a FrameEncoderStream, in bytes. With 64 KiB, collecting small payloads as garbage takes half of the time. */
const QUEUE = 8 * 1024;

/**
 * Transforms the chunks of a byte stream into the payloads of its frames, for
 * `pipeThrough`. Each has memory of its own, to be kept, changed or transferred.
 *
 * Both ends fail with what {@linkcode FrameDecoder} throws. The payloads that
 * arrived whole before are delivered first, however slow the consumer is.
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
    // An error discards what waits in a TransformStream. Here payloads wait in a
    // stream after it, which pulls a chunk only when all of them were read.
    const batches = readable.getReader();
    this.writable = writable;
    this.readable = new ReadableStream<Bytes>({
      async pull(output) {
        const { done, value } = await batches.read();
        if (done) return output.close();
        for (const payload of value) output.enqueue(payload);
      },
      // An error after the last payload that was read is of no use any more.
      cancel: (reason) => batches.cancel(reason).catch(() => {}),
    }, { highWaterMark: 0 });
  }
}
