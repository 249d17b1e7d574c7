/**
 * What both benchmarks have in common: the peer in Go; rounds, each of which
 * measures everything once; and a table of the medians over them. A machine is
 * never quiet, and what disturbs one round disturbs all that is compared in it:
 * so ratios are taken within each round, and of those the median.
 *
 * @module
 */

/** Where the benchmarks are. */
export const folder = import.meta.dirname!;

/** How long all rounds may take, in milliseconds. */
const PATIENCE = 170_000;

/** What one round found: of each group, by name, how many payloads a second each form managed. */
export type Round = Record<string, Record<string, number>>;

/**
 * Measures in rounds and prints a table for each group.
 *
 * @param rounds How many rounds, if there is time for as many.
 * @param measure Runs one.
 */
export async function compare(
  rounds: number,
  measure: () => Promise<Round>,
): Promise<void> {
  const found: Round[] = [];
  const start = performance.now();
  let time = 0;
  // No round is begun that might take too long.
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

/** The median of some numbers. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/** Prints rows in columns: the first as words, the others as numbers. */
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

/** Builds the peer in Go where that is possible, and says so where it is not. */
export async function buildGo(): Promise<string | undefined> {
  // In a folder that git ignores and `deno task setup` makes.
  const program = `${folder}/../vendor/bench_pair.exe`;
  if (await succeeds("go", "build", "-o", program, "peers/pair.go")) {
    return program;
  }
  console.error("Go is left out: there is no `go` that can build it");
}

/** Whether a program is there and ends well. */
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
