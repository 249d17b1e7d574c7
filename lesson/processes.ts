/** Starts Deno for programs that run others, and leaves no process behind. @module */

import { resolve } from "node:path";
import { visible } from "./reading.ts";

const processes = new Set<Deno.ChildProcess>();

/** Starts Deno in the project's folder. The process ends with this program. */
export function startDeno(
  args: string[],
  output: "piped" | "inherit" = "piped",
): Deno.ChildProcess {
  const process = new Deno.Command(Deno.execPath(), {
    args,
    cwd: new URL("../", import.meta.url),
    // What this program reads has no colors, whatever its own environment says.
    env: output === "piped" ? { NO_COLOR: "1", FORCE_COLOR: "" } : {},
    stdin: "null",
    stdout: output,
    stderr: output,
  }).spawn();
  processes.add(process);
  process.status.then(() => processes.delete(process));
  return process;
}

/** Ends a process that may have ended by itself. */
export function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch {
    // It has just ended.
  }
}

globalThis.addEventListener("unload", () => processes.forEach(kill));

/** Has signals end this program as `Deno.exit` does, which runs `unload`. */
export function exitOnSignals(): void {
  Deno.addSignalListener("SIGINT", () => Deno.exit(130));
  Deno.addSignalListener("SIGTERM", () => Deno.exit(143));
}

/** Returns the path of a file that an argument names. A task runs in the project's folder, wherever it is started. */
export function pathOf(file: string): string {
  return resolve(Deno.env.get("INIT_CWD") ?? ".", file);
}

/** Ends the program with one line on stderr. */
export function fail(message: string, code = 1): never {
  console.error(`error: ${visible(message)}`);
  Deno.exit(code);
}
