/**
 * Stands in for `@std/fmt/colors` if JSR cannot be reached: the styles that
 * this project uses, on top of `node:util`.
 *
 * @module
 */

import { styleText } from "node:util";

let enabled = !Deno.noColor;

/** Turns styling on or off. It stays off if `NO_COLOR` is set. */
export function setColorEnabled(value: boolean): void {
  if (!Deno.noColor) enabled = value;
}

/** Returns a text with a style added. */
export type Style = (text: string) => string;

function style(format: Parameters<typeof styleText>[0]): Style {
  return (text) =>
    enabled ? styleText(format, text, { validateStream: false }) : text;
}

/** Bold. */
export const bold: Style = style("bold");
/** Faint. */
export const dim: Style = style("dim");
/** Red. */
export const red: Style = style("red");
/** Green. */
export const green: Style = style("green");
/** Cyan. */
export const cyan: Style = style("cyan");
