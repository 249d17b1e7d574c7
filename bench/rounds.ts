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
    const names = Object.keys(forms);
    const rates = (name: string) => found.map((round) => round[group][name]);
    const [baseline] = names.map(rates);
    printTable(
      [group, "payloads/s", `against ${names[0]}`],
      names.map((name) => [
        name,
        Math.round(median(rates(name))).toLocaleString("en"),
        formatRatio(median(rates(name).map((rate, i) => rate / baseline[i]))),
      ]),
    );
  }
}

function formatRatio(ratio: number): string {
  return ratio < 10 ? ratio.toPrecision(2) : ratio.toFixed();
}

/** Returns the median. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/** Prints rows in columns: the first column as text, the others as numbers. */
function printTable(heading: string[], rows: string[][]): void {
  const widths = heading.map((_, column) =>
    Math.max(...[heading, ...rows].map((row) => row[column].length))
  );
  console.log();
  for (const [first, ...rest] of [heading, ...rows]) {
    const numbers = rest.map((text, i) => text.padStart(widths[i + 1] + 2));
    console.log(first.padEnd(widths[0]) + numbers.join(""));
  }
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
