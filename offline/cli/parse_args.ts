/**
 * Stands in for `@std/cli/parse-args` where JSR cannot be reached: flags that
 * take a text, one-letter aliases, and a callback for what is not known.
 *
 * @module
 */

/** The options of the real function that this project uses. */
export interface ParseOptions {
  /** Names of the flags. */
  string: string[];
  /** One-letter names, each with the flag that it stands for. */
  alias?: Record<string, string>;
  /** Called for every other flag and, with no `key`, for every operand; `false` drops it. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/**
 * Parses a command line: `--name=value`, `--name value`, `--name` and `-n`
 * (whose value is `""`), and operands; all after `--` is an operand.
 */
export function parseArgs(
  args: string[],
  { string, alias = {}, unknown = () => true }: ParseOptions,
): Record<string, string> & { _: string[] } {
  const values: Record<string, string> = {};
  const operands: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === "--") {
      operands.push(...args.slice(i + 1));
      break;
    }
    const [, name, equals, text] = /^--?([^=]+)(=)?(.*)$/s.exec(arg) ?? [];
    if (name === undefined) {
      if (unknown(arg) !== false) operands.push(arg);
      continue;
    }
    const key = alias[name] ?? name;
    let value = text;
    if (equals === undefined && /^[^-]/.test(args[i + 1] ?? "")) {
      value = args[++i];
    }
    if (string.includes(key)) {
      values[key] = value;
    } else {
      unknown(arg, name, value === "" && equals === undefined ? true : value);
    }
  }
  return Object.assign(values, { _: operands });
}
