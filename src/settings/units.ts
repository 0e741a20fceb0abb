/**
 * Durations and sizes as people write them.
 *
 * Owns: the units and their limits.   Never: guesses a unit; a bare number is a size in octets and no duration at all.
 * @module
 */

/** Longest duration: what a timer can hold (2^31 - 1 milliseconds), in whole days. A longer one would fire at once. */
export const LONGEST_DURATION = 24 * 86_400_000;

/** What {@linkcode duration} reads, for schemas that can hold a pattern only. */
export const DURATION_PATTERN = /^(?:\d{1,12}(?:\.\d{1,6})?(?:ms|s|m|h|d))+$/;

/** What {@linkcode size} reads, for schemas that can hold a pattern only. */
export const SIZE_PATTERN = /^\d{1,15}(?:\.\d{1,6})?(?:B|KB|KiB|MB|MiB|GB|GiB)$/;

const MILLISECONDS = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

const OCTETS = new Map([
  ["B", 1],
  ["KB", 1000],
  ["KiB", 1024],
  ["MB", 1000 ** 2],
  ["MiB", 1024 ** 2],
  ["GB", 1000 ** 3],
  ["GiB", 1024 ** 3],
]);

/**
 * Milliseconds of `"250ms"`, `"30s"`, `"5m"`, `"1h"`, `"1d"` or several in a row (`"1h30m"`); undefined for anything else,
 * for parts of a millisecond and for more than 24 days.
 */
export function duration(text: string): number | undefined {
  if (text.length > 64 || !DURATION_PATTERN.test(text)) return undefined;
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/([\d.]+)([a-z]+)/g)) {
    sum += Number(count) * MILLISECONDS.get(unit!)!;
  }
  const whole = Math.round(sum);
  return Math.abs(whole - sum) < 1e-6 && whole <= LONGEST_DURATION ? whole : undefined;
}

/** Octets of `"25MiB"`, `"10KB"`, `"512B"` or a number of octets; undefined for anything else and for parts of an octet. */
export function size(value: string | number): number | undefined {
  let octets = value;
  if (typeof octets === "string") {
    if (octets.length > 64 || !SIZE_PATTERN.test(octets)) return undefined;
    const unit = /[A-Za-z]+$/.exec(octets)![0];
    octets = Number(octets.slice(0, -unit.length)) * OCTETS.get(unit)!;
  }
  return Number.isSafeInteger(octets) && octets >= 0 ? octets : undefined;
}
