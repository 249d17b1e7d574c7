// deno-lint-ignore-file no-import-prefix -- what deno.json imports is fetched before every task, for everyone
/**
 * The packages on npm that do the same work, behind one interface. Each gets the
 * input it is fastest with: frames with its own header, Node's buffers if it is
 * made for them, all input at once. Each must return a payload in one piece, as
 * framing.ts does.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import { Buffer } from "node:buffer";
import frameStream from "npm:frame-stream@4.0.1";
import * as itLengthPrefixed from "npm:it-length-prefixed@11.0.1";
import lengthPrefixedStream from "npm:length-prefixed-stream@2.0.0";

/** A package that decodes frames. */
export interface Peer {
  /** Its name and version. */
  name: string;
  /** Returns its header for a payload of `length` bytes. */
  header(length: number): Uint8Array;
  /** Decodes a stream that is cut into chunks. Returns how many bytes come out. */
  decode(chunks: Uint8Array[]): number | Promise<number>;
}

/** All packages. */
export const peers: Peer[] = [
  {
    name: "npm length-prefixed-stream 2.0.0",
    header: varint,
    decode: (chunks) => pump(lengthPrefixedStream.decode(), chunks),
  },
  {
    name: "npm frame-stream 4.0.1",
    header: uint32,
    decode: (chunks) => pump(frameStream.decode(), chunks),
  },
  {
    name: "npm it-length-prefixed 11.0.1",
    header: varint,
    decode(chunks) {
      let bytes = 0;
      for (const payload of itLengthPrefixed.decode(chunks)) {
        bytes += payload.subarray().length;
      }
      return bytes;
    },
  },
];

/** Writes everything to one of Node's streams. */
function pump(stream: Duplex, chunks: Uint8Array[]): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    stream.on("data", (chunk: Uint8Array) => bytes += chunk.length);
    stream.on("end", () => resolve(bytes));
    stream.on("error", reject);
    for (const { buffer, byteOffset, length } of chunks) {
      stream.write(Buffer.from(buffer, byteOffset, length));
    }
    stream.end();
  });
}

/** A varint: seven bits per byte, the lowest first. The highest bit says that more follow. */
function varint(length: number): Uint8Array {
  const bytes: number[] = [];
  for (; length > 0x7f; length >>>= 7) bytes.push(length & 0x7f | 0x80);
  return Uint8Array.of(...bytes, length);
}

function uint32(length: number): Uint8Array {
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, length);
  return header;
}
