/**
 * `deno task bench`: runs `codec_bench.ts` in rounds, each in a process of its
 * own, and compares.
 *
 * @module
 */

import { compare, type Round } from "./rounds.ts";

/** What is needed of the JSON that `deno bench --json` prints. */
interface Report {
  benches: {
    group: string;
    name: string;
    results: ({ ok: { avg: number } } | { failed: unknown })[];
  }[];
}

async function measure(): Promise<Round> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bench",
      "--json",
      "--no-check",
      "--allow-env=READABLE_STREAM",
      "codec_bench.ts",
    ],
    cwd: import.meta.dirname,
    stderr: "inherit",
  }).output();
  if (!success) Deno.exit(1);
  const { benches }: Report = JSON.parse(new TextDecoder().decode(stdout));
  const round: Round = {};
  for (const { group, name, results: [result] } of benches) {
    if (!("ok" in result)) {
      throw new Error(`${name}: ${JSON.stringify(result)}`);
    }
    const payloads = parseInt(group.replace(/^\D+/, ""));
    (round[group] ??= {})[name] = payloads / result.ok.avg * 1e9;
  }
  return round;
}

await compare(7, measure);
