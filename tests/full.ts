/**
 * Preloaded before a script, makes its first writes fail: of the server, those to
 * stdout. The environment variable `FULL` says how: `busy` for a pipe or a
 * terminal that is full for a moment, anything else for a disk that is full.
 *
 * @module
 */

const isBusy = Deno.env.get("FULL") === "busy";
let writes = 0;

function failAtFirst(): void {
  if (writes++ >= 3) return;
  throw isBusy
    ? new Deno.errors.WouldBlock("busy")
    : new Error("No space left");
}

const write = Deno.stdout.write.bind(Deno.stdout);
Deno.stdout.write = async (bytes) => {
  failAtFirst();
  return await write(bytes);
};

for (const output of [Deno.stdout, Deno.stderr]) {
  const writeSync = output.writeSync.bind(output);
  output.writeSync = (bytes) => {
    failAtFirst();
    return writeSync(bytes);
  };
}

console.error = () => {}; // It loses what does not fit.
