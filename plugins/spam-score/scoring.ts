/**
 * Rules and weights put together: which rules are asked, and the scores of what they find.
 * @module
 */
import type { Edge, Score, SessionFacts } from "@postern/postern/plugin";
import type { Finding, Row } from "./rule.ts";

/** A rule that is asked about some facts. */
interface Rule<A extends readonly unknown[]> extends Row {
  readonly check: (...about: A) => Finding;
}

/** Asks rules; those without points are not asked. */
export class Scoring {
  readonly #edge: Edge;
  readonly #weights: ReadonlyMap<string, number>;

  constructor(edge: Edge, weights: Readonly<Record<string, number>>) {
    this.#edge = edge;
    this.#weights = new Map(Object.entries(weights));
  }

  /** The operator's points for a row. */
  points({ symbol, points }: Row): number {
    return this.#weights.get(symbol) ?? points;
  }

  /** Rules with the operator's points. */
  weighted<R extends Row>(rules: readonly R[]): readonly R[] {
    return rules
      .map((rule) => ({ ...rule, points: this.points(rule) }))
      .filter(({ points }) => points !== 0);
  }

  /** What the rules find. */
  ask<A extends readonly unknown[]>(
    rules: readonly Rule<A>[],
    { identity }: SessionFacts,
    ...about: A
  ): Score[] {
    const scores: Score[] = [];
    for (const rule of rules) {
      if (rule.strangers === true && identity !== undefined) continue;
      const finding = rule.check(...about);
      if (finding === false) continue;
      scores.push(
        finding === true
          ? this.#edge.score(rule.points, rule.symbol)
          : this.#edge.score(rule.points, rule.symbol, finding),
      );
    }
    return scores;
  }
}
