/**
 * Looks for streams that a decoder of framing.ts decodes differently from the
 * reference, fails on with an error other than FramingError, or takes too much
 * memory for.
 *
 * ```sh
 * deno task fuzz                      # for 20 seconds
 * deno task fuzz --runs 1000000       # this many with FrameDecoder, fewer with the others
 * deno task fuzz --seed 42            # the same runs every time
 * ```
 *
 * A finding is made as small as possible and printed to stdout as one line of
 * JSON. It belongs in corpus.json, which the tests replay.
 *
 * @module
 */

import fc from "fast-check";
import {
  integer,
  parseCommandLine,
  printLine,
  seconds,
  seedFlag,
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

/** A stream that a decoder got wrong. */
export interface Finding extends Case {
  form: string;
  difference: string;
}

/** The parts of a batch. FrameDecoder is the fastest, and gets most runs. */
const BATCH: {
  form: keyof typeof FORMS;
  payload: fc.Arbitrary<Uint8Array>;
  runs: number;
  check?: (candidate: Case) => ReturnType<typeof checkCase>;
}[] = [
  { form: "FrameDecoder", payload: smallPayload, runs: 10_000 },
  { form: "FrameDecoder", payload, runs: 500 },
  { form: "FrameDecoder", payload, runs: 100, check: checkMemory },
  { form: "FrameReader", payload: smallPayload, runs: 500 },
  { form: "FrameReader", payload, runs: 50 },
  { form: "FrameReader.next", payload: smallPayload, runs: 500 },
  { form: "FrameReader.next", payload, runs: 50 },
  { form: "FrameDecoderStream", payload: smallPayload, runs: 500 },
  { form: "FrameDecoderStream", payload, runs: 50 },
];

/** How many runs each decoder has had. */
export type Runs = Record<keyof typeof FORMS, number>;

/** Runs batches until `isEnough` returns true or there is a finding. Each part has a seed of its own. */
export async function fuzz(
  seed: number,
  isEnough: (runs: Runs) => boolean,
): Promise<{ runs: Runs; finding?: Finding }> {
  const runs = Object.fromEntries(
    Object.keys(FORMS).map((form) => [form, 0]),
  ) as Runs;
  while (!isEnough(runs)) {
    for (const { form, payload, runs: numRuns, ...part } of BATCH) {
      // Seeds are far apart, so that runs with neighboring seeds share no part.
      seed = (seed + 0x9e3779b9) | 0;
      const finding = await search(
        form,
        part.check ?? ((candidate) => checkCase(FORMS[form], candidate)),
        anyCase(payload),
        { seed, numRuns },
      );
      if (finding !== undefined) return { runs, finding };
      runs[form] += numRuns;
    }
  }
  return { runs };
}

/** Runs one part of a batch, and makes a finding smaller. */
async function search(
  form: keyof typeof FORMS,
  check: (candidate: Case) => ReturnType<typeof checkCase>,
  arbitrary: fc.Arbitrary<Case>,
  parameters: { seed: number; numRuns: number },
): Promise<Finding | undefined> {
  // A property that is not async runs twice as fast.
  const property = form === "FrameDecoder"
    ? fc.property(arbitrary, (candidate) => {
      throwIf(check(candidate));
    })
    : fc.asyncProperty(arbitrary, async (candidate) => {
      throwIf(await check(candidate));
    });
  const { counterexample, errorInstance } = await fc.check<[Case]>(
    property,
    parameters,
  );
  if (counterexample === null) return;
  const { message: difference } = errorInstance as Error;
  return { form, difference, ...counterexample[0] };
}

function throwIf(difference: unknown): void {
  if (difference !== undefined) throw new Error(String(difference));
}

/** Returns a finding as an entry of corpus.json. Each character of a chunk is a byte. */
function toJson({ form, difference, maxFrameLength, chunks }: Finding): string {
  const why = `${form}: ${difference}`;
  return JSON.stringify({ why, maxFrameLength, chunks: chunks.map(toText) });
}

if (import.meta.main) {
  const flags = parseCommandLine({
    command: "deno task fuzz",
    about: "Looks for streams that a decoder of framing.ts gets wrong.",
  }, {
    seconds: seconds({ about: "how long to look", fallback: 20 }),
    runs: integer({
      placeholder: "N",
      about: "runs with FrameDecoder, whatever the time; 0 = by time",
      min: 0,
      max: 1e12,
      fallback: 0,
    }),
    seed: seedFlag("what the runs are made from: the same gives the same"),
  });
  const { seed } = flags;

  console.error(`seed ${seed}`);
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const { runs, finding } = await fuzz(
    seed,
    flags.runs > 0
      ? (runs) => runs.FrameDecoder >= flags.runs
      : () => elapsed() >= flags.seconds,
  );
  for (const [form, count] of Object.entries(runs)) {
    console.error(`${form}: ${count} runs`);
  }
  const time = `${elapsed().toFixed(1)} s`;
  if (finding !== undefined) {
    console.error(`found something after ${time}; for corpus.json:`);
    printLine(toJson(finding));
    Deno.exit(1);
  }
  console.error(`found nothing in ${time}`);
}
