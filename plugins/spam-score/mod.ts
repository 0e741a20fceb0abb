/**
 * spam-score: weighted rules over HELO, envelope and header, and thresholds to tag, defer or refuse.
 *
 * Owns: its own points; the `X-Spam-` fields, of which only ours leave. Decides over the sum of all plugins' points.
 * Never: tells the client which rules it met; decodes a body.
 * @module
 */
import type {
  HeaderView,
  Manifest,
  OptionsSchema,
  PluginModule,
  Score,
  TransactionContext,
  TransactionFacts,
} from "@postern/postern/plugin";
import { TestStringFinder } from "./gtube.ts";
import { Message } from "./message.ts";
import { type Options, schema } from "./options.ts";
import { bodyRule, envelopeRules, type Finding, headerRules } from "./rules.ts";

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

export type { Options };

const spamScore: PluginModule<Options> = (edge, options) => {
  const weights = new Map(Object.entries(options.weights));
  const early = weighted(envelopeRules);
  const late = weighted(headerRules);
  const prefix = `${options.tag_header.toLowerCase()}-`;
  const testPoints = weights.get(bodyRule.symbol) ?? bodyRule.points;
  const finders = new WeakMap<TransactionFacts, TestStringFinder>();
  const refuse = edge.refuse(550, "5.7.1", "Message refused as spam");
  const defer = edge.defer(451, "4.7.1", "Message deferred, try again later");

  /** Rules with their points; those without points are not asked. */
  function weighted<R extends { readonly symbol: string; readonly points: number }>(
    rules: readonly R[],
  ): readonly R[] {
    return rules
      .map((rule) => ({ ...rule, points: weights.get(rule.symbol) ?? rule.points }))
      .filter((rule) => rule.points !== 0);
  }

  function ask<F extends { readonly session: { readonly identity: unknown } }>(
    rules: readonly {
      readonly symbol: string;
      readonly points: number;
      readonly strangers?: true;
      readonly check: (facts: F) => Finding;
    }[],
    facts: F,
  ): readonly Score[] {
    const stranger = facts.session.identity === undefined;
    const scores: Score[] = [];
    for (const rule of rules) {
      if (rule.strangers === true && !stranger) continue;
      const finding = rule.check(facts);
      if (finding === false) continue;
      scores.push(
        finding === true
          ? edge.score(rule.points, rule.symbol)
          : edge.score(rule.points, rule.symbol, finding),
      );
    }
    return scores;
  }

  function data(tx: TransactionFacts): readonly Score[] | undefined {
    const scores = ask(early, { session: tx.session, tx, now: edge.clock.now() });
    return scores.length === 0 ? undefined : scores;
  }

  function header(view: HeaderView, { session, tx }: TransactionContext) {
    const message = new Message({ session, tx, now: edge.clock.now() }, view, prefix);
    const scores = ask(late, message);
    // Whoever filters behind us believes these fields: those of the client are forged.
    for (const name of message.spamFields) view.remove(name);
    if (options.tag_at !== undefined) tag(view, tx, scores, options.tag_at);
    return scores.length === 0 ? undefined : scores;
  }

  function tag(view: HeaderView, tx: TransactionFacts, own: readonly Score[], tagAt: number): void {
    const sum = rounded(own.reduce((total, { points }) => total + points, tx.score));
    const spam = sum >= tagAt;
    const tests = [...tx.symbols, ...own].slice(0, 100).map(({ symbol }) => symbol).join(",");
    if (spam) {
      view.append(`${options.tag_header}-Score`, sum.toFixed(1));
      view.append(`${options.tag_header}-Flag`, "YES");
    }
    view.append(
      `${options.tag_header}-Status`,
      `${spam ? "Yes" : "No"}, score=${sum.toFixed(1)} required=${tagAt.toFixed(1)} tests=${
        tests || "none"
      }`,
    );
  }

  function observe(chunk: Uint8Array, { tx }: TransactionContext): void {
    let finder = finders.get(tx);
    if (finder === undefined) finders.set(tx, finder = new TestStringFinder());
    finder.feed(chunk);
  }

  function end(tx: TransactionFacts) {
    const spamTest = finders.get(tx)?.found === true;
    const own = spamTest ? [edge.score(testPoints, bodyRule.symbol)] : [];
    const sum = rounded(tx.score + (spamTest ? testPoints : 0));
    const verdict = options.refuse_at !== undefined && sum >= options.refuse_at
      ? refuse
      : options.defer_at !== undefined && sum >= options.defer_at
      ? defer
      : undefined;
    if (verdict === undefined) return own.length === 0 ? undefined : own;
    edge.metrics.count(verdict === refuse ? "refused" : "deferred");
    edge.log.info(verdict === refuse ? "Refused as spam" : "Deferred as likely spam", {
      tx: tx.id,
      score: sum,
      symbols: [...tx.symbols, ...(spamTest ? [bodyRule] : [])].slice(0, 100)
        .map(({ symbol }) => symbol).join(","),
    });
    return own.length === 0 ? verdict : [...own, verdict];
  }

  const body = testPoints === 0 ? {} : { body: { observe } };
  return {
    name: "spam-score",
    onError: "pass",
    hooks: { data, header, ...body, end },
  };
};

export default spamScore;

/** Sums of decimal fractions are off in the last binary digit: 5.0 must reach 5. */
function rounded(sum: number): number {
  return Math.round(sum * 1000) / 1000;
}
