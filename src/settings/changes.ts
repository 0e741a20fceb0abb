/**
 * What differs between two configurations: what a reload takes, and what needs a restart.
 * @module
 */
import type { Settings } from "./settings.ts";

/** Keys of the top level that differ and are not about plugins, as the file has them. */
export function restartNeeded(before: Settings, after: Settings): readonly string[] {
  const { plugins: _, received: __, baseDir: ___, ...kept } = before;
  return (Object.keys(kept) as (keyof typeof kept)[])
    .filter((key) => !isSameValue(before[key], after[key]))
    .map((key) => key === "dataDir" ? "data_dir" : key);
}

/** Same text, number, list or table, all the way down; anything else is the same only as itself. */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => isSameValue(item, b[i]));
  }
  if (!isTable(a) || !isTable(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && isSameValue(a[key], b[key]));
}

function isTable(value: object): value is { readonly [key: string]: unknown } {
  const parent = Object.getPrototypeOf(value);
  return parent === null || parent === Object.prototype;
}
