/** Stands in for `@std/fmt/colors`. @module */

let enabled = !Deno.noColor;

/** Turns styles on or off. They stay off if `NO_COLOR` is set. */
export function setColorEnabled(value: boolean): void {
  if (!Deno.noColor) enabled = value;
}

/** Returns a text in a style. */
export type Style = (text: string) => string;

/** A style inside `text` ends this one too, so this one begins again after it. */
function style(begin: string, end: string): Style {
  return (text) => enabled ? begin + text.replaceAll(end, begin) + end : text;
}

export const bold: Style = style("\x1b[1m", "\x1b[22m");
export const dim: Style = style("\x1b[2m", "\x1b[22m");
export const red: Style = style("\x1b[31m", "\x1b[39m");
export const green: Style = style("\x1b[32m", "\x1b[39m");
export const cyan: Style = style("\x1b[36m", "\x1b[39m");
