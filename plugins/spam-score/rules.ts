/**
 * Every symbol that this plugin may give.
 *
 * Points are a starting position for a mail exchanger on the Internet; `weights` in the options moves them.
 * @module
 */
import { bands } from "./bayes.ts";
import { bodyRules } from "./body_rules.ts";
import { envelopeRules } from "./envelope_rules.ts";
import { headerRules } from "./header_rules.ts";
import type { Row } from "./rule.ts";

export { bodyRules, envelopeRules, headerRules };

/** The generic test string, which is looked for while the body comes. */
export const testRule: Row = {
  symbol: "GTUBE",
  points: 1000,
  description: "The body holds the generic test string for unsolicited bulk mail",
};

/** Every row. */
export const allRules: readonly Row[] = [
  ...envelopeRules,
  ...headerRules,
  ...bodyRules,
  testRule,
  ...bands,
];
