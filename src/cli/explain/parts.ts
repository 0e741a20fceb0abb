/**
 * What the texts about an entry share.
 * @module
 */

/** Width of the first column. */
export const LABEL = 10;

/** Points as they are shown. */
export function rounded(points: number): number {
  return Math.round(points * 100) / 100;
}
