/**
 * Preloaded before a script, makes its first writes to stdout fail. The
 * environment variable `FULL` says how: `busy` for a pipe or a terminal that is
 * full for a moment, anything else for a disk that is full.
 *
 * @module
 */

const isBusy = Deno.env.get("FULL") === "busy";
const write = Deno.stdout.write.bind(Deno.stdout);
const writeSync = Deno.stdout.writeSync.bind(Deno.stdout);
let writes = 0;

function failAtFirst(): void {
  if (writes++ >= 3) return;
  throw isBusy
    ? new Deno.errors.WouldBlock("busy")
    : new Error("No space left");
}

// deno-lint-ignore require-await
Deno.stdout.write = async (bytes) => {
  failAtFirst();
  return write(bytes);
};

Deno.stdout.writeSync = (bytes) => {
  failAtFirst();
  return writeSync(bytes);
};
