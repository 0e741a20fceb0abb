/**
 * Building blocks of the bundled plugins' option schemas: every message says what was expected and what was found.
 * @module
 */
import * as v from "valibot";
import { nearest } from "./nearest.ts";

/** A message in the house form: `expected <what>, got <found>`. */
export function expected(what: string): (issue: v.BaseIssue<unknown>) => string {
  return (issue) => `expected ${what}, got ${issue.received}`;
}

/** A table without unknown keys; an unknown one is answered with the nearest right one. */
export function table<const E extends v.ObjectEntries>(
  entries: E,
): v.StrictObjectSchema<E, (issue: v.StrictObjectIssue) => string> {
  return v.strictObject(entries, (issue) => {
    if (issue.expected === "never") {
      const key = String(issue.path?.at(-1)?.key);
      const near = nearest(key, Object.keys(entries));
      return `unknown key "${key}"${near === undefined ? "" : `, did you mean "${near}"`}`;
    }
    if (issue.received === "undefined" && issue.path !== undefined) {
      return "expected a value, got nothing";
    }
    return `expected a table, got ${issue.received}`;
  });
}

/** Text that is not empty and holds no control characters. */
export function text(what: string) {
  return v.pipe(
    v.string(expected(what)),
    v.minLength(1, `expected ${what}, got an empty string`),
    v.regex(/^[^\x00-\x1f\x7f]*$/, `expected ${what} without control characters`),
  );
}

/** A whole number from `min`. */
export function whole(min: number) {
  const message = expected(`a whole number from ${min}`);
  return v.pipe(v.number(message), v.safeInteger(message), v.minValue(min, message));
}

/** A finite number. */
export function finite() {
  const message = expected("a number");
  return v.pipe(v.number(message), v.finite(message));
}

/** True or false. */
export function flag() {
  return v.boolean(expected("true or false"));
}

/** One of some words. */
export function oneOf<const W extends readonly string[]>(words: W) {
  return v.picklist(words, expected(words.map((word) => `"${word}"`).join(" or ")));
}

const units: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** A duration such as `"15m"`, longer than zero; the output is milliseconds. */
export function duration() {
  const message = expected('a duration such as "30s", "15m" or "1h"');
  return v.pipe(
    v.string(message),
    v.regex(/^[0-9]{1,9}(?:ms|s|m|h|d)$/, message),
    v.transform((value) => parseInt(value, 10) * units.get(value.slice(value.search(/[a-z]/)))!),
    v.minValue(1, "expected a duration longer than zero"),
  );
}

const sizes: ReadonlyMap<string, number> = new Map([
  ["B", 1],
  ["KiB", 1024],
  ["MiB", 1024 ** 2],
  ["GiB", 1024 ** 3],
]);

/** An amount: a whole number from 1, or a size such as `"25MiB"`. */
export function amount() {
  const message = expected('a whole number from 1 or a size such as "25MiB"');
  const fromText = v.pipe(
    v.string(message),
    v.regex(/^[1-9][0-9]{0,8}(?:B|KiB|MiB|GiB)$/, message),
    v.transform((value) => parseInt(value, 10) * sizes.get(value.slice(value.search(/[A-Z]/)))!),
  );
  return v.union(
    [v.pipe(v.number(), v.safeInteger(message), v.minValue(1, message)), fromText],
    message,
  );
}
