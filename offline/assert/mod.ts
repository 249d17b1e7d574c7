/**
 * Stands in for `@std/assert` if JSR cannot be reached: the functions that
 * this project's tests import, on top of `node:assert`.
 *
 * @module
 */

import nodeAssert from "node:assert/strict";

export { AssertionError } from "node:assert";

/** A class of errors. */
export type ErrorClass<E> = abstract new (...args: never[]) => E;

/** Throws unless `condition` is truthy. */
export function assert(condition: unknown, message = ""): asserts condition {
  nodeAssert(condition, message);
}

/** Throws unless the two are deeply equal. */
export function assertEquals<T>(
  actual: T,
  expected: T,
  message?: string,
): void {
  nodeAssert.deepEqual(actual, expected, message);
}

/** Throws unless `actual` is an instance of `type`. */
export function assertInstanceOf<
  T extends abstract new (...args: never[]) => unknown,
>(actual: unknown, type: T): asserts actual is InstanceType<T> {
  nodeAssert(
    actual instanceof type,
    `Expected an instance of ${type.name}, got ${String(actual)}`,
  );
}

/** Throws unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp): void {
  nodeAssert.match(actual, expected);
}

/** Throws unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string): void {
  const text = JSON.stringify(actual);
  const part = JSON.stringify(expected);
  nodeAssert(actual.includes(expected), `Expected ${text} to contain ${part}`);
}

/** Returns the error that `fn` throws. Throws unless it is an `ErrorClass` whose message contains `messageIncludes`. */
export function assertThrows<E = unknown>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  messageIncludes?: string,
): E {
  try {
    fn();
  } catch (error) {
    return check(error, errorClass, messageIncludes);
  }
  nodeAssert.fail("Expected the function to throw");
}

/** Returns the error with which the promise of `fn` rejects. Throws unless it is an `ErrorClass` whose message contains `messageIncludes`. */
export async function assertRejects<E = unknown>(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  messageIncludes?: string,
): Promise<E> {
  const promise = fn(); // an error thrown here is not a rejection
  try {
    await promise;
  } catch (error) {
    return check(error, errorClass, messageIncludes);
  }
  nodeAssert.fail("Expected the promise to reject");
}

function check<E>(
  error: unknown,
  errorClass?: ErrorClass<E>,
  messageIncludes = "",
): E {
  if (errorClass !== undefined) {
    assertInstanceOf(error, errorClass);
    assertStringIncludes((error as Error).message, messageIncludes);
  }
  return error as E;
}
