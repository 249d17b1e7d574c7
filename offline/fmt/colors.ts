/**
 * Stands in for `@std/fmt/colors` where JSR cannot be reached: the styles that
 * this project uses, on top of `node:util`.
 *
 * @module
 */

import { styleText } from "node:util";

let enabled = !Deno.noColor;

/** Turns styling on or off; off where `NO_COLOR` is set. */
export function setColorEnabled(value: boolean): void {
  if (!Deno.noColor) enabled = value;
}

type Style = Parameters<typeof styleText>[0];

function style(format: Style): (text: string) => string {
  return (text) =>
    enabled ? styleText(format, text, { validateStream: false }) : text;
}

/** Bold. */
export const bold = style("bold");
/** Faint. */
export const dim = style("dim");
/** Crossed out. */
export const strikethrough = style("strikethrough");
/** Red. */
export const red = style("red");
/** Green. */
export const green = style("green");
/** Yellow. */
export const yellow = style("yellow");
/** Cyan. */
export const cyan = style("cyan");
