/**
 * The nearest right word for a misspelt one: keys, choices, names, commands and options.
 *
 * Owns: the measure of nearness.   Never: compares words longer than 64 characters, so the work is bounded.
 * @module
 */

const LONGEST = 64;

/**
 * The candidate that was probably meant, or undefined when none is near. Case, `-` and `_` do not count; otherwise about
 * one slip (a letter too many, missing, wrong, or two swapped) is allowed for every three letters. The first of equals wins.
 *
 * @example
 * ```ts
 * import { nearest } from "./nearest.ts";
 *
 * nearest("uptream", ["upstream", "listeners"]); // "upstream"
 * ```
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = fold(word);
  if (wanted.length < 2 || word.length > LONGEST) return undefined;
  let best: string | undefined;
  let least = (wanted.length === 2 ? 0 : Math.max(1, Math.floor(wanted.length / 3))) + 1;
  for (const candidate of candidates) {
    if (candidate.length > LONGEST) continue;
    const slips = distance(wanted, fold(candidate));
    if (slips < least) {
      least = slips;
      best = candidate;
    }
  }
  return best;
}

/** The tail of a message: `; did you mean "upstream"?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const meant = nearest(word, candidates);
  return meant === undefined ? "" : `; did you mean "${meant}"?`;
}

function fold(word: string): string {
  return word.toLowerCase().replace(/[-_]/g, "");
}

/** Edits from one word to the other, where swapping two neighbours is one edit (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, before[j - 2]! + 1);
      }
      row.push(least);
    }
    before = above;
    above = row;
  }
  return above[b.length]!;
}
