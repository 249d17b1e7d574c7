/**
 * The command line of the programs around the lesson, which they read as the
 * scripts do: strict flags, errors of one line, and lines on stdout.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";

/**
 * Reads the command line. `--help` prints the usage and ends the program with 0.
 * An argument that the program does not take ends it with 2.
 *
 * @param usage What `--help` prints.
 * @param defaults The flags with a value, and their defaults.
 * @param options `toggles` are flags without a value. A program that takes files
 * gets them as `_`.
 */
export function readFlags<Name extends string, Toggle extends string = never>(
  usage: string,
  defaults: Record<Name, string>,
  { toggles = [], takesFiles = false }: {
    toggles?: Toggle[];
    takesFiles?: boolean;
  } = {},
): Record<Name, string> & Record<Toggle, boolean> & { _: string[] } {
  const refuse = (arg: unknown) => {
    if (takesFiles && !/^-./.test(`${arg}`)) return;
    const text = escapeControls(`${arg}`);
    const fault = /^-[\d.]/.test(text)
      ? `no flag takes a negative number such as "${text}"`
      : `unknown argument "${text}"`;
    fail(`${fault}. The flags of this program: --help`, 2);
  };
  const flags = parseArgs(Deno.args, {
    string: [...Object.keys(defaults), "_"],
    boolean: [...toggles, "help"] as string[],
    alias: { h: "help" },
    default: defaults as Record<string, string>,
    unknown: refuse,
  });
  flags._.forEach(refuse);
  if (flags.help) {
    printOrEnd(usage);
    Deno.exit();
  }
  return flags as never;
}

/** Returns the integer that a flag holds. */
export function readInteger(
  name: string,
  text: string,
  [min, max]: [number, number],
): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  refuseValue(name, text, `an integer from ${min} to ${max}`);
}

/** Returns the name or address that `--hostname` holds. */
export function readHostname(text: string): string {
  if (/^(\w[\w.-]*|[\da-f]*:[\da-f]*:[\w:.%]*)$/i.test(text)) return text;
  refuseValue("hostname", text, "a name or an IP address");
}

function refuseValue(name: string, text: string, allowed: string): never {
  fail(`--${name} takes ${allowed}, not "${escapeControls(text)}"`, 2);
}

/** The largest `--seed`. */
export const MAX_SEED = 2 ** 31 - 1;

/** Returns a random `--seed`. */
export function randomSeed(): string {
  return String(Math.floor(Math.random() * MAX_SEED));
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

/** Returns the command that starts a server at an address. */
export function serverCommand(
  { hostname, port }: { hostname: string; port: number },
): string {
  return "deno task server" +
    (hostname === "127.0.0.1" ? "" : ` --hostname ${hostname}`) +
    (port === 9092 ? "" : ` --port ${port}`);
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
