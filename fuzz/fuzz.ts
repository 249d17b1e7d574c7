/**
 * Looks for streams that a decoder of framing.ts decodes differently from the
 * reference, or fails on with an error other than FramingError.
 *
 * ```sh
 * deno task fuzz                  # for 20 seconds
 * deno task fuzz --runs 100000    # this many with each decoder
 * deno task fuzz --seed 42        # the same streams every time
 * ```
 *
 * A finding is made as small as possible and printed to stdout as one line of
 * JSON. It belongs in corpus.json, which the tests replay.
 *
 * @module
 */

import fc from "fast-check";
import {
  MAX_SEED,
  printLine,
  randomSeed,
  readFlags,
  readInteger,
} from "../lesson/command_line.ts";
import {
  anyCase,
  type Case,
  checkCase,
  payload,
  smallPayload,
} from "./cases.ts";
import { type Decode, FORMS } from "./forms.ts";
import { toText } from "./reference.ts";

/** Long payloads take most of the time, so few cases have them. */
const candidates = fc.oneof(
  { weight: 50, arbitrary: anyCase(smallPayload) },
  { weight: 1, arbitrary: anyCase(payload) },
);

/** Tries streams with one decoder. Returns how many, and the first that it gets wrong, with the difference. */
export async function fuzz(
  decode: Decode,
  parameters: fc.Parameters<[Case]>,
): Promise<{ runs: number; finding?: Case & { difference: string } }> {
  const property = fc.asyncProperty(candidates, async (candidate) => {
    const difference = await checkCase(decode, candidate);
    if (difference !== undefined) throw new Error(difference);
  });
  const { numRuns: runs, counterexample, errorInstance } = await fc.check(
    property,
    parameters,
  );
  if (counterexample === null) return { runs };
  const { message: difference } = errorInstance as Error;
  return { runs, finding: { ...counterexample[0], difference } };
}

const USAGE = `Looks for streams that a decoder of framing.ts gets wrong.

USAGE:
  deno task fuzz [OPTIONS]

OPTIONS:
  --seconds <SECONDS>  how long to look (default: 20)
  --runs <N>           streams for each decoder, whatever the time; 0 = by time
                       (default: 0)
  --seed <N>           what the streams are made from: the same gives the same
                       (default: random)
  -h, --help           print this help`;

async function main(): Promise<void> {
  const flags = readFlags(USAGE, {
    seconds: "20",
    runs: "0",
    seed: randomSeed(),
  });
  const seconds = readInteger("seconds", flags.seconds, [1, 86_400]);
  const runs = readInteger("runs", flags.runs, [0, MAX_SEED]);
  const seed = readInteger("seed", flags.seed, [0, MAX_SEED]);
  const forms = Object.entries(FORMS);
  const parameters = runs > 0 ? { seed, numRuns: runs } : {
    seed,
    numRuns: Infinity,
    interruptAfterTimeLimit: seconds * 1000 / forms.length,
  };
  console.error(`seed ${seed}`);
  for (const [form, decode] of forms) {
    const { runs, finding } = await fuzz(decode, parameters);
    console.error(`${form}: ${runs} runs`);
    if (finding === undefined) continue;
    console.error("found something; for corpus.json:");
    const why = `${form}: ${finding.difference}`;
    const { maxFrameLength } = finding;
    const chunks = finding.chunks.map(toText);
    printLine(JSON.stringify({ why, maxFrameLength, chunks }));
    Deno.exit(1);
  }
  console.error("found nothing");
}

if (import.meta.main) await main();
