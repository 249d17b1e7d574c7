/**
 * Preloaded before the server, makes its first writes to stdout fail. The
 * environment variable `FULL` says how: `busy` for a pipe or a terminal that is
 * full for a moment, anything else for a disk that is full.
 *
 * @module
 */

const isBusy = Deno.env.get("FULL") === "busy";
const write = Deno.stdout.write.bind(Deno.stdout);
let failures = 0;

Deno.stdout.write = (bytes) => {
  if (failures++ >= 3) return write(bytes);
  return Promise.reject(
    isBusy ? new Deno.errors.WouldBlock("busy") : new Error("No space left"),
  );
};
