import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { encodeFrame, FrameDecoder } from "./framing.ts";

Deno.test("FrameDecoder gives back what was encoded", () => {
  fc.assert(fc.property(fc.uint8Array(), (payload) => {
    assertEquals(new FrameDecoder().push(encodeFrame(payload)), [payload]);
  }));
});
