/**
 * Stands in for `@std/cli/parse-args` if JSR cannot be reached: flags with a
 * text, flags without, defaults, one-letter aliases, and a callback for
 * everything else.
 *
 * @module
 */

/** The options of the real function that this project uses. */
export interface ParseOptions<S extends string, B extends string> {
  /** Names of the flags that take a text. */
  string?: readonly S[];
  /** Names of the flags that take nothing. */
  boolean?: readonly B[];
  /** One-letter names of flags that take nothing, each with the flag's long name. */
  alias?: Record<string, string>;
  /** Values of flags that are not given. Without it, a flag that takes nothing is `false`. */
  default?: Record<string, unknown>;
  /** Called for every other flag, and for every operand before `--`. `false` drops it. */
  unknown?: (arg: string) => unknown;
}

/** What {@linkcode parseArgs} returns. */
export type Args<S extends string, B extends string> =
  & { [name in S]: string }
  & { [name in B]: boolean }
  & { _: string[] };

/**
 * Parses a command line: `--name=value`, `--name value`, `--name`, `-n`, `-nm`,
 * and operands. Everything after `--` is an operand. A flag that takes a text
 * and has none is `""`.
 */
export function parseArgs<S extends string = never, B extends string = never>(
  args: string[],
  options: ParseOptions<S, B>,
): Args<S, B> {
  const { alias = {}, unknown = () => true } = options;
  const strings: readonly string[] = options.string ?? [];
  const booleans: readonly string[] = options.boolean ?? [];
  const values: Record<string, unknown> = {
    ...Object.fromEntries(booleans.map((name) => [name, false])),
    ...options.default,
  };
  const end = args.indexOf("--");
  const operands: string[] = [];
  const rest = end === -1 ? [...args] : args.slice(0, end);

  function keyOf(name: string): string {
    return Object.hasOwn(alias, name) ? alias[name] : name;
  }

  function set(arg: string, name: string, value: unknown): void {
    const key = keyOf(name);
    const isKnown = strings.includes(key) || booleans.includes(key);
    if (isKnown || unknown(arg) !== false) values[key] = value;
  }

  /** Returns the value of a flag that has none in its own argument. */
  function takeValue(name: string): unknown {
    const [next = ""] = rest;
    const isBoolean = booleans.includes(keyOf(name));
    if (isBoolean ? /^(true|false)$/.test(next) : /^[^-]/.test(next)) {
      rest.shift();
      return isBoolean ? next === "true" : next;
    }
    return strings.includes(keyOf(name)) ? "" : true;
  }

  while (rest.length > 0) {
    const arg = rest.shift()!;
    // "--no-name=text" is "--name=text", as it is to the real function.
    const [, name, text] = /^--(?:no-(?=.+=))?([^=]+)(?:=(.*))?$/s.exec(arg) ??
      [];
    if (text !== undefined) {
      const isBoolean = booleans.includes(keyOf(name));
      set(arg, name, isBoolean ? text !== "false" : text);
    } else if (name !== undefined) {
      set(arg, name, takeValue(name));
    } else if (/^-./s.test(arg)) {
      setLetters(arg);
    } else if (unknown(arg) !== false) {
      operands.push(arg);
    }
  }

  /** Reads `-abc`, the flags of one letter each, and `-a=text`. */
  function setLetters(arg: string): void {
    for (let i = 1; i < arg.length; i++) {
      const letter = arg[i];
      const text = arg.slice(i + 1);
      if (/^[-=]$|^\W.|=.|\d$/s.test(text)) {
        return set(arg, letter, text.replace(/^.*?=/s, ""));
      }
      set(arg, letter, text === "" ? takeValue(letter) : true);
    }
  }

  if (end !== -1) operands.push(...args.slice(end + 1));
  return Object.assign(values, { _: operands }) as Args<S, B>;
}
