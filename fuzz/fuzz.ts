/**
 * Looks for streams that a decoder of framing.ts decodes differently from the
 * reference, fails on with an error other than FramingError, or takes too much
 * memory for.
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
  checkMemory,
  payload,
  smallPayload,
} from "./cases.ts";
import { FORMS } from "./forms.ts";
import { toText } from "./reference.ts";

type Form = keyof typeof FORMS;

/** A stream that a decoder got wrong. */
export interface Finding extends Case {
  form: Form;
  difference: string;
}

/** Long payloads take most of the time, so few cases have them. */
const candidates = fc.oneof(
  { weight: 50, arbitrary: anyCase(smallPayload) },
  { weight: 1, arbitrary: anyCase(payload) },
);

/** Tries streams with one decoder. Returns how many, and the first that it gets wrong. */
export async function fuzz(
  form: Form,
  parameters: fc.Parameters<[Case]>,
): Promise<{ runs: number; finding?: Finding }> {
  const property = fc.asyncProperty(candidates, async (candidate) => {
    const difference = await checkCase(FORMS[form], candidate) ??
      (form === "FrameDecoder" ? checkMemory(candidate) : undefined);
    if (difference !== undefined) throw new Error(difference);
  });
  const { numRuns: runs, counterexample, errorInstance } = await fc.check(
    property,
    parameters,
  );
  if (counterexample === null) return { runs };
  const { message: difference } = errorInstance as Error;
  return { runs, finding: { form, difference, ...counterexample[0] } };
}

/** Returns a finding as an entry of corpus.json. Each character of a chunk is a byte. */
function toJson({ form, difference, maxFrameLength, chunks }: Finding): string {
  const why = `${form}: ${difference}`;
  return JSON.stringify({ why, maxFrameLength, chunks: chunks.map(toText) });
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
  const forms = Object.keys(FORMS) as Form[];
  const parameters = runs > 0 ? { seed, numRuns: runs } : {
    seed,
    numRuns: Infinity,
    interruptAfterTimeLimit: seconds * 1000 / forms.length,
  };
  console.error(`seed ${seed}`);
  for (const form of forms) {
    const { runs, finding } = await fuzz(form, parameters);
    console.error(`${form}: ${runs} runs`);
    if (finding === undefined) continue;
    console.error("found something; for corpus.json:");
    printLine(toJson(finding));
    Deno.exit(1);
  }
  console.error("found nothing");
}

if (import.meta.main) await main();
