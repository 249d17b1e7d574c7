/**
 * What both benchmarks have in common: rounds, each of which measures
 * everything once, and a table of the medians over them. A machine is never
 * quiet, and what disturbs one round disturbs all that is compared in it: so
 * ratios are taken within each round, and of those the median.
 *
 * @module
 */

/** No round is begun after so long: with the last one it is under 3 minutes. */
const PATIENCE = 110_000;

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
  while (found.length < rounds && performance.now() - start < PATIENCE) {
    found.push(await measure());
    console.error(`round ${found.length} of ${rounds}`);
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

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
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
