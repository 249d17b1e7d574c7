/**
 * What the programs of this project share as programs on a command line: strict
 * flags with a usage text made from them, errors of one line, and lines on
 * stdout.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";

/** One flag: `T` is what its value becomes. */
export interface Flag<T> {
  /** What stands for the value in the usage text; none where the flag takes no value. */
  placeholder?: string;
  /** What the flag is for. */
  about: string;
  /** What values are allowed, for the error text. */
  allowed: string;
  /** The value where the flag is not given. */
  fallback: T;
  /** What the usage text says of it instead. */
  fallbackText?: string;
  /** Gives the value, or `undefined` where the text is not allowed. */
  parse(text: string): T | undefined;
}

/** A flag that takes an integer from `min` to `max`. */
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

/** A flag that takes a time in seconds, fractions allowed. */
export function seconds(
  options: Omit<Flag<number>, "parse" | "allowed" | "placeholder">,
): Flag<number> {
  const max = 86_400;
  return {
    ...options,
    placeholder: "SECONDS",
    allowed: `a number of seconds from 0 to ${max}`,
    parse: (text) =>
      /^(\d+\.?\d*|\.\d+)$/.test(text) && Number(text) <= max
        ? Number(text)
        : undefined,
  };
}

/** A flag that is given or not. */
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

/** `--hostname`, with what it means to the program. */
export function hostnameFlag(about: string): Flag<string> {
  return {
    placeholder: "HOST",
    about,
    allowed: "the name or the IP address of a machine",
    fallback: "127.0.0.1",
    parse: (text) => NAME.test(text) || IPV6.test(text) ? text : undefined,
  };
}

/** `--port`, with what it means to the program. */
export function portFlag(about: string, min: number): Flag<number> {
  return integer({
    placeholder: "PORT",
    about,
    min,
    max: 65_535,
    fallback: 9092,
  });
}

/** `--seed`, with what is made from it; where it is not given, another one for each run. */
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

/** What a program says of itself. */
export interface Program {
  /** How it is started, such as `deno task server`. */
  command: string;
  /** What it does, in a sentence or two. */
  about: string;
  /** The operand that it takes, such as `FILE`; none by default. */
  operand?: string;
}

type Values<F> = { [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/**
 * Reads the command line. With `--help` it prints the usage and ends the program
 * with 0; a command line that is wrong in any way ends it with 2.
 *
 * @param program What the program says of itself.
 * @param flags The flags it takes, by name.
 * @returns The value of each flag, and the operand where there is one.
 */
export function parseCommandLine<F extends Record<string, Flag<unknown>>>(
  program: Program,
  flags: F,
): Values<F> & { operand?: string } {
  const unknown: string[] = [];
  const args = parseArgs(joinNegativeNumbers(Deno.args), {
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
    if (/^-./.test(arg)) {
      const [name] = arg.split("=");
      const known = [...Object.keys(flags), "help"].map((flag) => `--${flag}`);
      refuse(program, `unknown flag ${name}: allowed are ${known.join(", ")}`);
    }
  }
  if (given.help !== undefined) {
    printOrEnd(usage(program, flags));
    Deno.exit(0);
  }
  const stray = operands[program.operand === undefined ? 0 : 1];
  if (stray !== undefined) {
    refuse(program, `stray argument ${JSON.stringify(stray)}`);
  }
  const values = Object.entries(flags).map(([name, flag]) => {
    const text = given[name];
    if (text === undefined) return [name, flag.fallback];
    const value = flag.parse(text);
    if (value === undefined) {
      const found = text === "" ? "no value" : JSON.stringify(text);
      refuse(program, `--${name} got ${found}: allowed is ${flag.allowed}`);
    }
    return [name, value];
  });
  return { ...Object.fromEntries(values), operand: operands[0] };
}

/** `--port -1` means the value -1, not a flag `-1`: so it is told what is wrong with the value. */
function joinNegativeNumbers(args: string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const flag = joined.at(-1);
    if (/^-[\d.]/.test(arg) && flag !== undefined && /^--[^=]+$/.test(flag)) {
      joined[joined.length - 1] = `${flag}=${arg}`;
    } else {
      joined.push(arg);
    }
  }
  return joined;
}

function refuse(program: Program, message: string): never {
  fail(`${message}; for help: ${program.command} --help`, 2);
}

function usage(program: Program, flags: Record<string, Flag<unknown>>): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const { placeholder, about, fallback, fallbackText = fallback } = flag;
    return placeholder === undefined
      ? [`--${name}`, about]
      : [`--${name} <${placeholder}>`, `${about} (default: ${fallbackText})`];
  });
  rows.push(["-h, --help", "show this help"]);
  const width = Math.max(...rows.map(([flag]) => flag.length));
  const operand = program.operand === undefined ? "" : ` [${program.operand}]`;
  return [
    program.about,
    "",
    "USAGE:",
    `  ${program.command} [OPTIONS]${operand}`,
    "",
    "OPTIONS:",
    ...rows.map(([flag, about]) => `  ${flag.padEnd(width)}  ${about}`),
  ].join("\n");
}

/** Ends the program: one line on stderr that begins with `error: `, and an exit code that is 1 by default. */
export function fail(message: string, code = 1): never {
  console.error(`error: ${message}`);
  Deno.exit(code);
}

/** `HOST:PORT`, with brackets around an IPv6 address. */
export function formatAddress(address: { hostname: string; port: number }) {
  const { hostname, port } = address;
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}

const utf8 = new TextEncoder();

/**
 * Writes a line to stdout, all of it before it returns.
 *
 * @throws {Deno.errors.BrokenPipe} Where nobody reads stdout any more.
 */
export function printLine(line: string): void {
  const bytes = utf8.encode(`${line}\n`);
  for (let written = 0; written < bytes.length;) {
    written += Deno.stdout.writeSync(bytes.subarray(written));
  }
}

/** Writes a line to stdout, and ends the program where that is impossible. */
export function printOrEnd(line: string): void {
  try {
    printLine(line);
  } catch (error) {
    // Whoever read our output has seen enough, such as `| head -1`: a program
    // ends for that without a word, and with this exit code.
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(141);
    fail(`cannot write to stdout: ${(error as Error).message}`);
  }
}
