/**
 * For which messages a rule is: by direction, listener, and what the policies have found so far.
 * @module
 */
import * as v from "valibot";
import type { SessionFacts, TransactionFacts } from "@postern/postern/plugin";
import { expected, finite, oneOf, text } from "../shared/options.ts";

/** Mail of somebody who has logged in goes out, all other mail comes in. */
const directions = ["inbound", "outbound", "authenticated", "unauthenticated"] as const;
const words = ["always", "absent", ...directions] as const;

/** What a `when` may say. */
export type When = (typeof words)[number];

function oneOrMore<T extends v.GenericSchema>(item: T, what: string) {
  return v.union([
    v.pipe(item, v.transform((one) => [one])),
    v.pipe(v.array(item), v.minLength(1, `expected at least one of ${what}`)),
  ], (issue) => inner(issue) ?? expected(what)(issue));
}

/** A union says only that nothing fits; of a list the complaint about its item is the useful one. */
function inner(issue: v.UnionIssue<v.BaseIssue<unknown>>): string | undefined {
  return Array.isArray(issue.input) ? issue.issues?.at(-1)?.message : undefined;
}

/** Keys of every rule. */
export const place = {
  when: v.optional(oneOrMore(oneOf(words), words.map((word) => `"${word}"`).join(", "))),
  listeners: v.optional(oneOrMore(text("the name of a listener"), "a listener or a list of them")),
};

/** Keys of the rules for header fields. */
export const findings = {
  min_score: v.optional(finite()),
  below_score: v.optional(finite()),
  symbols: v.optional(
    oneOrMore(
      v.pipe(
        v.string(expected("a symbol")),
        v.regex(/^[A-Z0-9_]{1,64}$/, expected('a symbol such as "URI_RAW_IP"')),
      ),
      "a symbol or a list of them",
    ),
  ),
};

/** The keys as they come out of the schema. */
export interface Given {
  readonly when?: readonly When[] | undefined;
  readonly listeners?: readonly string[] | undefined;
  readonly min_score?: number | undefined;
  readonly below_score?: number | undefined;
  readonly symbols?: readonly string[] | undefined;
}

/** The facts that rules are asked with. */
export interface Facts {
  readonly session: SessionFacts;
  readonly tx: TransactionFacts;
}

/** Whether a rule is for this message. */
export type Condition = (facts: Facts) => boolean;

/** Compiles the keys; undefined: always. `absent` is the rule's own affair. */
export function conditionOf(given: Given): Condition | undefined {
  const tests: Condition[] = [];
  const { when, listeners, min_score: least, below_score: below, symbols } = given;
  for (const word of when ?? []) {
    if (word === "always" || word === "absent") continue;
    const out = word === "outbound" || word === "authenticated";
    tests.push(({ session }) => (session.identity !== undefined) === out);
  }
  if (listeners !== undefined) tests.push(({ session }) => listeners.includes(session.listener));
  if (least !== undefined) tests.push(({ tx }) => rounded(tx.score) >= least);
  if (below !== undefined) tests.push(({ tx }) => rounded(tx.score) < below);
  if (symbols !== undefined) {
    const wanted = new Set(symbols);
    tests.push(({ tx }) => tx.symbols.some(({ symbol }) => wanted.has(symbol)));
  }
  if (tests.length === 0) return undefined;
  const [only] = tests;
  return tests.length === 1 ? only : (facts) => tests.every((test) => test(facts));
}

/** Two words that no message can fulfil together are a mistake; undefined: there are none. */
export function conditionFault({ when = [], min_score, below_score }: Given): string | undefined {
  const out = when.some((word) => word === "outbound" || word === "authenticated");
  const inward = when.some((word) => word === "inbound" || word === "unauthenticated");
  if (out && inward) return "no message is inbound and outbound";
  return min_score !== undefined && below_score !== undefined && min_score >= below_score
    ? "no score is at least min_score and below below_score"
    : undefined;
}

/** Sums of decimal fractions are off in the last binary digit: 5.0 must reach 5. */
function rounded(score: number): number {
  return Math.round(score * 1000) / 1000;
}
