/**
 * The verdict algebra: how answers of several policies become one outcome.
 *
 * Order: pass < score < quarantine < discard < defer < refuse < drop. `discard` is an answer of its own; it stands
 * below every refusal, so that a policy that refuses openly is never outdone by one that throws away.
 * Laws (property-tested): `combine` is associative, PASS is its identity, it never lowers the verdict, and the verdict
 * of a thing combined with itself is its own. Points add; nobody can downgrade an earlier refusal.
 * @module
 */
import type {
  Defer,
  Discard,
  Drop,
  Pass,
  Quarantine,
  Refuse,
  Rewrite,
  Verdict,
} from "../plugin/verdict.ts";

/** What a phase came to: scores, delays and rewrites stand beside it in the {@linkcode Outcome}. */
export type Ruling = Pass | Quarantine | Discard | Defer | Refuse | Drop;

/** The rulings that end a phase at once. */
export type Refusal = Defer | Refuse | Drop;

/** Points of one symbol. */
export interface SymbolPoints {
  /** Upper-case name. */
  readonly symbol: string;
  /** Finite; negative points speak for the message. */
  readonly points: number;
}

/** What the policies of one phase answered, all together. */
export interface Outcome {
  /** The strongest verdict. */
  readonly verdict: Ruling;
  /** Whose it is; undefined for a pass. */
  readonly plugin: string | undefined;
  /** Points given in this phase, in order; already added to the transaction. */
  readonly scores: readonly SymbolPoints[];
  /** The address changes asked for; of two for the same field the later plugin's counts. */
  readonly rewrite: Rewrite | undefined;
  /** Milliseconds the reply has to wait: the longest asked for, at most that plugin's budget. */
  readonly delayMs: number;
}

/** The pass verdict; shared, so that a pass allocates nothing. */
export const PASS_VERDICT: Pass = Object.freeze({ verdict: "pass" });

/** Nobody had an opinion. The one value that a phase without hooks returns. */
export const PASS: Outcome = Object.freeze({
  verdict: PASS_VERDICT,
  plugin: undefined,
  scores: Object.freeze([]),
  rewrite: undefined,
  delayMs: 0,
});

/** The place of a verdict in the order; delay and rewrite are passes. */
export function rank(verdict: Verdict["verdict"]): number {
  switch (verdict) {
    case "score":
      return 1;
    case "quarantine":
      return 2;
    case "discard":
      return 3;
    case "defer":
      return 4;
    case "refuse":
      return 5;
    case "drop":
      return 6;
    default:
      return 0;
  }
}

/** True for defer, refuse and drop: the first of them ends the phase. */
export function isRefusal(ruling: { readonly verdict: Verdict["verdict"] }): ruling is Refusal {
  return rank(ruling.verdict) >= 4;
}

/** The stronger of two; of two equally strong ones the first. */
export function stronger(first: Ruling, second: Ruling): Ruling {
  return rank(second.verdict) > rank(first.verdict) ? second : first;
}

/** Two outcomes, the first having been answered first, as one. */
export function combine(first: Outcome, second: Outcome): Outcome {
  if (first === PASS) return second;
  if (second === PASS) return first;
  const verdict = stronger(first.verdict, second.verdict);
  return {
    verdict,
    plugin: verdict === first.verdict ? first.plugin : second.plugin,
    scores: second.scores.length === 0
      ? first.scores
      : first.scores.length === 0
      ? second.scores
      : [...first.scores, ...second.scores],
    rewrite: first.rewrite === undefined
      ? second.rewrite
      : second.rewrite === undefined
      ? first.rewrite
      : { ...first.rewrite, ...second.rewrite },
    delayMs: Math.max(first.delayMs, second.delayMs),
  };
}

/** One plugin's verdict as an outcome. `budget` bounds a delay. */
export function outcomeOf(verdict: Verdict, plugin: string, budget: number): Outcome {
  switch (verdict.verdict) {
    case "pass":
      return PASS;
    case "score":
      return {
        ...PASS,
        scores: [{ symbol: verdict.symbol, points: verdict.points }],
      };
    case "delay":
      return { ...PASS, delayMs: Math.min(verdict.ms, budget) };
    case "rewrite":
      return { ...PASS, rewrite: verdict };
    default:
      return { ...PASS, verdict, plugin };
  }
}
