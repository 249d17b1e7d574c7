/**
 * What both benchmarks share: the peer in Go, rounds that measure everything
 * once, and a table of medians. A machine is never quiet, and what disturbs a
 * round disturbs everything in it. So ratios are taken within each round, and the
 * table has their medians.
 *
 * @module
 */

/** The folder of the benchmarks. */
export const folder = import.meta.dirname!;

/** How long all rounds may take, in milliseconds. */
const PATIENCE = 170_000;

/** The results of a round: by group and name, the payloads per second. */
export type Round = Record<string, Record<string, number>>;

/**
 * Measures in rounds and prints a table for each group.
 *
 * @param rounds The number of rounds, if there is time for all of them.
 * @param measure Runs one.
 */
export async function compare(
  rounds: number,
  measure: () => Promise<Round>,
): Promise<void> {
  const found: Round[] = [];
  const start = performance.now();
  let time = 0;
  // The next round might take too long.
  while (
    found.length < rounds && time + time / (found.length || 1) < PATIENCE
  ) {
    found.push(await measure());
    time = performance.now() - start;
    console.error(`round ${found.length}, of ${rounds} at the most`);
  }
  console.log(`Medians of ${found.length} rounds`);
  for (const [group, forms] of Object.entries(found[0])) {
    const [first] = Object.keys(forms);
    const table = Object.keys(forms).map((name) => {
      const rates = found.map((round) => round[group][name]);
      const ratios = found.map((round, i) => rates[i] / round[group][first]);
      return [name, {
        "payloads/s": Math.round(median(rates)),
        [`against ${first}`]: Number(median(ratios).toPrecision(2)),
      }];
    });
    console.log(`\n${group}`);
    console.table(Object.fromEntries(table));
  }
}

/** Returns the median. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/** Builds the peer in Go, or says that it cannot. */
export async function buildGo(): Promise<string | undefined> {
  // In a folder that git ignores and `deno task setup` makes.
  const program = `${folder}/../vendor/bench_pair.exe`;
  if (await succeeds("go", "build", "-o", program, "peers/pair.go")) {
    return program;
  }
  console.error("Go is left out: there is no `go` that can build it");
}

/** Returns whether a program exists and succeeds. */
export async function succeeds(
  program: string,
  ...args: string[]
): Promise<boolean> {
  try {
    const command = { args, cwd: folder, stderr: "inherit" } as const;
    return (await new Deno.Command(program, command).output()).success;
  } catch {
    return false;
  }
}
