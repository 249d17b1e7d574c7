/** Stands in for `@std/assert`, on top of `node:assert`. @module */

import nodeAssert from "node:assert/strict";

/** A class, as the operand of `instanceof`. */
export type Class<T> = abstract new (...args: never[]) => T;

/** Throws unless `condition` is truthy. */
export function assert(condition: unknown, msg = ""): asserts condition {
  nodeAssert(condition, msg);
}

/** Throws unless the two are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  nodeAssert.deepEqual(actual, expected, msg);
}

/** Throws unless `actual` is an instance of `type`. */
export function assertInstanceOf<T>(
  actual: unknown,
  type: Class<T>,
): asserts actual is T {
  nodeAssert(actual instanceof type, `Not a ${type.name}: ${String(actual)}`);
}

/** Throws unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp): void {
  nodeAssert.match(actual, expected);
}

/** Throws unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string): void {
  nodeAssert(actual.includes(expected), `Not in "${actual}": "${expected}"`);
}

/** Returns what `fn` throws: an `errorClass` whose message contains `text`. */
export function assertThrows<E = unknown>(
  fn: () => unknown,
  errorClass?: Class<E>,
  text?: string,
): E {
  try {
    fn();
  } catch (error) {
    return check(error, errorClass, text);
  }
  nodeAssert.fail("Expected the function to throw");
}

/** Returns what the promise rejects with, as {@linkcode assertThrows} does. */
export async function assertRejects<E = unknown>(
  fn: () => PromiseLike<unknown>,
  errorClass?: Class<E>,
  text?: string,
): Promise<E> {
  const promise = fn(); // an error thrown here is no rejection
  try {
    await promise;
  } catch (error) {
    return check(error, errorClass, text);
  }
  nodeAssert.fail("Expected the promise to reject");
}

function check<E>(error: unknown, errorClass?: Class<E>, text = ""): E {
  if (errorClass !== undefined) {
    assertInstanceOf(error, errorClass);
    assertStringIncludes((error as Error).message, text);
  }
  return error as E;
}
