/**
 * The command line of the programs around the lesson: strict flags with a usage
 * text made from them, errors of one line, and lines on stdout.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";

/** One flag. Its value becomes a `T`. */
export interface Flag<T> {
  /** What the usage text shows for the value. A flag without it takes no value. */
  placeholder?: string;
  /** What the flag is for. */
  about: string;
  /** The values that the flag takes, for the error text. */
  allowed: string;
  /** The value if the flag is not given. */
  fallback: T;
  /** What the usage text shows for `fallback`. With "", it shows no default. */
  fallbackText?: string;
  /** Returns the value, or `undefined` if the text is not allowed. */
  parse(text: string): T | undefined;
}

/** Returns a flag that takes an integer from `min` to `max`. */
export function integer(
  options: Omit<Flag<number>, "parse" | "allowed"> & {
    min: number;
    max: number;
  },
): Flag<number> {
  const { min, max } = options;
  return {
    ...options,
    allowed: `an integer from ${min} to ${max}`,
    parse: (text) =>
      /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max
        ? Number(text)
        : undefined,
  };
}

/** Returns a flag that takes a time in seconds, with fractions. */
export function seconds(
  options: Omit<Flag<number>, "parse" | "allowed" | "placeholder">,
): Flag<number> {
  const max = 86_400;
  return {
    ...options,
    placeholder: "SECONDS",
    allowed: `seconds from 0 to ${max}, such as 0.5`,
    parse: (text) =>
      /^(\d+\.?\d*|\.\d+)$/.test(text) && Number(text) <= max
        ? Number(text)
        : undefined,
  };
}

/** Returns a flag that takes no value. */
export function toggle(about: string): Flag<boolean> {
  return {
    about,
    allowed: "no value",
    fallback: false,
    parse: (text) => text === "" ? true : undefined,
  };
}

const NAME = /^[\w-]+(\.[\w-]+)*\.?$/;
const IPV6 = /^[\da-f.]*:[\da-f.]*:[\da-f:.]*(%\w+)?$/i;

/** Returns `--hostname`. */
export function hostnameFlag(about: string): Flag<string> {
  return {
    placeholder: "HOST",
    about,
    allowed: "a name or an IP address",
    fallback: "127.0.0.1",
    parse: (text) => NAME.test(text) || IPV6.test(text) ? text : undefined,
  };
}

/** Returns `--port`. */
export function portFlag(about: string, min: number): Flag<number> {
  return integer({
    placeholder: "PORT",
    about,
    min,
    max: 65_535,
    fallback: 9092,
  });
}

/** Returns `--seed`, which is random if it is not given. */
export function seedFlag(about: string): Flag<number> {
  const max = 2 ** 31 - 1;
  return integer({
    placeholder: "N",
    about,
    min: 0,
    max,
    fallback: Math.floor(Math.random() * max),
    fallbackText: "random",
  });
}

/** What the usage text says about a program. */
export interface Program {
  /** The command that starts it, such as `deno task server`. */
  command: string;
  /** What it does, in a sentence or two. */
  about: string;
  /** What the usage text calls its operands, such as `FILE...`. Without it, the program takes none. */
  operands?: string;
}

type Values<F> = { [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/**
 * Reads the command line. With `--help` it prints the usage text and ends the
 * program with 0. If anything on the command line is wrong, it ends the program
 * with 2.
 *
 * @param program What the usage text says about the program.
 * @param flags The flags that the program takes, by name.
 * @returns The value of each flag, and the operands.
 */
export function parseCommandLine<F extends Record<string, Flag<unknown>>>(
  program: Program,
  flags: F,
): Values<F> & { operands: string[] } {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args.map(endToggle).reduce(joinNumber, []), {
    string: [...Object.keys(flags), "help"],
    alias: { h: "help" },
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  const given = args as Record<string, string | undefined>;
  const operands = [...unknown, ...args._.map(String)];

  for (const arg of unknown) {
    if (/^-./.test(arg)) refuse(`unknown flag ${arg.split("=")[0]}. ${HELP}`);
  }
  if (given.help !== undefined) {
    printOrEnd(usage(program, flags));
    Deno.exit(0);
  }
  if (program.operands === undefined && operands.length > 0) {
    refuse(`unknown argument "${operands[0]}". ${HELP}`);
  }
  const values = Object.entries(flags).map(([name, flag]) => {
    const text = given[name];
    if (text === undefined) return [name, flag.fallback];
    const value = flag.parse(text);
    if (value === undefined) {
      refuse(`--${name} takes ${flag.allowed}, not "${text}"`);
    }
    return [name, value];
  });
  return { ...Object.fromEntries(values), operands };

  /** Returns `--json=` for `--json`, so that the next argument is not its value. */
  function endToggle(arg: string): string {
    const name = arg.replace(/^--/, "");
    const isToggle = name !== arg && Object.hasOwn(flags, name) &&
      flags[name].placeholder === undefined;
    return isToggle ? `${arg}=` : arg;
  }
}

const HELP = "The flags of this program: --help";

/** Appends an argument. `--port -1` becomes `--port=-1`: the value is wrong, not a flag `-1`. */
function joinNumber(args: string[], arg: string): string[] {
  const flag = args.at(-1) ?? "";
  return /^-[\d.]/.test(arg) && /^--[^=]+$/.test(flag)
    ? [...args.slice(0, -1), `${flag}=${arg}`]
    : [...args, arg];
}

function refuse(message: string): never {
  fail(escapeControls(message), 2);
}

function usage(program: Program, flags: Record<string, Flag<unknown>>): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const { placeholder, about, fallback, fallbackText = fallback } = flag;
    const value = placeholder === undefined ? "" : ` <${placeholder}>`;
    const hasDefault = value !== "" && fallbackText !== "";
    return [
      `--${name}${value}`,
      about + (hasDefault ? ` (default: ${fallbackText})` : ""),
    ];
  });
  rows.push(["-h, --help", "print this help"]);
  const width = Math.max(...rows.map(([flag]) => flag.length));
  const operands = program.operands === undefined
    ? ""
    : ` [${program.operands}]`;
  return [
    program.about,
    "",
    "USAGE:",
    `  ${program.command} [OPTIONS]${operands}`,
    "",
    "OPTIONS:",
    ...rows.map(([flag, about]) => `  ${flag.padEnd(width)}  ${about}`),
  ].join("\n");
}

/** Ends the program with one line on stderr. */
export function fail(message: string, code = 1): never {
  console.error(`error: ${message}`);
  Deno.exit(code);
}

/** Returns `HOST:PORT`, with brackets around an IPv6 address. */
export function formatAddress(
  address: { hostname: string; port: number },
): string {
  return `${address.hostname.replace(/.*:.*/, "[$&]")}:${address.port}`;
}

/** Returns text with escapes in place of characters that are invisible or command a terminal. */
export function escapeControls(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => ESCAPES[char] ?? `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
}

const ESCAPES: Record<string, string> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/**
 * Writes a line to stdout, all of it before it returns.
 *
 * @throws {Deno.errors.BrokenPipe} If nobody reads stdout any more.
 */
export function printLine(line: string): void {
  let rest = new TextEncoder().encode(`${line}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(Deno.stdout.writeSync(rest));
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10); // full
    }
  }
}

/** Writes a line to stdout, and ends the program if that is impossible. */
export function printOrEnd(line: string): void {
  try {
    printLine(line);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(141); // as `| head`
    fail(`cannot print: ${(error as Error).message}`);
  }
}
