/** Stands in for `@std/cli/parse-args`. @module */

/** The options of the real function that this project uses. */
export interface ParseOptions<S extends string, B extends string, D> {
  /** Names of flags that take a text. Without one, the flag is `""`. */
  string?: readonly S[];
  /** Names of flags that take nothing. */
  boolean?: readonly B[];
  /** Other names of flags that take nothing, each with the flag's name. */
  alias?: Record<string, string>;
  /** Values of flags that are not given. */
  default?: D;
  /** Called for every other flag and operand. `false` drops it. */
  unknown?: (arg: string) => unknown;
}

/** What {@linkcode parseArgs} returns. */
export type Args<S extends string, B extends string, D> =
  & { [name in S]: name extends keyof D ? string : string | undefined }
  & { [name in B]: boolean }
  & { _: (string | number)[] };

/** Parses a command line. Takes no `-abc`, and numbers as texts. */
export function parseArgs<
  S extends string = never,
  B extends string = never,
  D extends Record<string, unknown> = Record<never, never>,
>(
  args: readonly string[],
  options: ParseOptions<S, B, D> = {},
): Args<S, B, D> {
  const strings = new Set<string>(options.string);
  const booleans = new Set<string>(options.boolean);
  const aliases = new Map(Object.entries(options.alias ?? {}));
  const isKept = (arg: string) => options.unknown?.(arg) !== false;

  const flags: Record<string, unknown> = { ...options.default };
  for (const name of booleans) flags[name] ??= false;
  const operands: unknown[] = [];

  const end = args.indexOf("--");
  const rest = end === -1 ? [...args] : args.slice(0, end);

  /** Returns the next argument if it can be the value of the flag before it. */
  function takeNext(pattern: RegExp): string | undefined {
    return pattern.test(rest[0] ?? "") ? rest.shift() : undefined;
  }

  while (rest.length > 0) {
    const arg = rest.shift()!;
    const [flag, long, text, letter] = FLAG.exec(arg) ?? [];
    const name = aliases.get(long ?? letter) ?? long ?? letter;

    if (flag === undefined) {
      if (isKept(arg)) operands.push(arg);
    } else if (booleans.has(name)) {
      flags[name] = (text ?? takeNext(/^(true|false)$/)) !== "false";
    } else {
      const value = text ?? takeNext(/^[^-]/);
      if (strings.has(name)) flags[name] = value ?? "";
      else if (isKept(arg)) flags[name] = value ?? true;
    }
  }
  if (end !== -1) operands.push(...args.slice(end + 1));
  return Object.assign(flags, { _: operands }) as Args<S, B, D>;
}

/** Matches `--name`, `--name=text` and `-n`. */
const FLAG = /^--([^=]+)(?:=(.*))?$|^-(.)$/s;
