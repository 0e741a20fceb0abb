/**
 * Figures of a filter: area under the ROC curve, precision, recall.
 * @module
 */

/** One judged message. */
export interface Judged {
  readonly file: string;
  readonly spam: boolean;
  readonly score: number;
}

/** The share of pairs of one spam and one ham that are in the right order; ties are half right. */
export function rocArea(judged: readonly Judged[]): number {
  const sorted = judged.toSorted((a, b) => a.score - b.score);
  const spam = sorted.filter((each) => each.spam).length;
  let ranks = 0;
  for (let from = 0; from < sorted.length;) {
    let to = from;
    while (to < sorted.length && sorted[to]!.score === sorted[from]!.score) to++;
    for (let i = from; i < to; i++) if (sorted[i]!.spam) ranks += (from + 1 + to) / 2;
    from = to;
  }
  return (ranks - spam * (spam + 1) / 2) / (spam * (sorted.length - spam));
}

/** What a threshold does. */
export function at(judged: readonly Judged[], threshold: number) {
  const caught = judged.filter(({ score }) => score >= threshold);
  const right = caught.filter(({ spam }) => spam).length;
  const spam = judged.filter((each) => each.spam).length;
  return {
    ham: caught.length - right,
    hams: judged.length - spam,
    spam: right,
    precision: caught.length === 0 ? 1 : right / caught.length,
    recall: right / spam,
  };
}

/** Folds of one seed: the same on every machine. */
export function folds(count: number, k: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    return Math.floor(state / 2 ** 32 * k);
  });
}
