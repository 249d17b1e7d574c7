/**
 * `deno task bench`: runs the benchmarks of `codec_bench.ts` in rounds, each in
 * a process of its own, and compares.
 *
 * @module
 */

import { benchmarks } from "./codec_bench.ts";
import { buildGo, compare, folder, type Round } from "./rounds.ts";

const goProgram = await buildGo();
const flags = ["--no-check", "--allow-env=READABLE_STREAM"];
const script = ["run", ...flags, "codec_bench.ts"];

/** Measures everything once. */
async function measure(): Promise<Round> {
  const round: Round = {};
  for (const { group, name, stream } of benchmarks) {
    const rates = round[group] ??= {};
    rates[name] = await run(Deno.execPath(), ...script, group, name);
    // Go also reads into a buffer of its own.
    if (name === "FrameReader.next" && goProgram !== undefined) {
      const { length, count, chunk, times } = stream!;
      const numbers = [length, count, chunk, times].map(String);
      rates["Go, bufio"] = await run(goProgram, "decode", ...numbers);
    }
  }
  return round;
}

/** Returns the payloads per second that a program reports. */
async function run(program: string, ...args: string[]): Promise<number> {
  const { success, stdout } = await new Deno.Command(program, {
    args,
    cwd: folder,
    stderr: "inherit",
  }).output();
  if (!success) Deno.exit(1);
  return Number(new TextDecoder().decode(stdout));
}

await compare(7, measure);
