/**
 * Options of spam-score.
 * @module
 */
import * as v from "valibot";
import { nearest } from "../shared/nearest.ts";
import { expected, finite, flag, table, text, whole } from "../shared/options.ts";
import { allRules } from "./rules.ts";

/** The model that `postern learn` writes where it is told no other. */
export const defaultModel = "spam.bayes";

const symbols: ReadonlySet<string> = new Set(allRules.map(({ symbol }) => symbol));

const weights = v.pipe(
  v.record(v.string(), finite(), expected("a table of symbols and points")),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const [symbol, points] of Object.entries(dataset.value)) {
      if (symbols.has(symbol)) continue;
      const near = nearest(symbol, symbols);
      addIssue({
        message: `unknown symbol "${symbol}"${
          near === undefined ? "" : `, did you mean "${near}"`
        }`,
        path: [{ type: "object", origin: "key", input: dataset.value, key: symbol, value: points }],
      });
    }
  }),
);

const written = table({
  tag_at: v.optional(finite()),
  quarantine_at: v.optional(finite()),
  quarantine_upstream: v.optional(text("the name of an upstream")),
  defer_at: v.optional(finite()),
  refuse_at: v.optional(finite()),
  hold: v.optional(flag()),
  bayes: v.optional(table({
    model: v.optional(text("the path of a model"), defaultModel),
    min_messages: v.optional(whole(1), 50),
  })),
  weights: v.optional(weights, {}),
  tag_header: v.optional(
    v.pipe(
      text("a prefix of header field names"),
      v.regex(/^[A-Za-z][A-Za-z0-9-]{0,60}$/, expected("a prefix such as X-Spam")),
    ),
    "X-Spam",
  ),
});

type Written = v.InferOutput<typeof written>;

/** Thresholds where none is written. */
const standard = { tag_at: 5, refuse_at: 15 } as const;

/** Options of the plugin. */
export const schema = v.pipe(
  written,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const message of contradictions(dataset.value)) addIssue({ message });
  }),
  v.transform((options) => {
    const { tag_at, quarantine_at, defer_at, refuse_at } = options;
    const none = [tag_at, quarantine_at, defer_at, refuse_at].every((at) => at === undefined);
    const all = none ? { ...options, ...standard } : options;
    return {
      ...all,
      // The points of the classifier come with the body: without holding it nothing would be tagged by them.
      hold: options.hold ??
        (quarantine_at !== undefined || (options.bayes !== undefined && all.tag_at !== undefined)),
    };
  }),
);

function* contradictions(options: Written): Generator<string> {
  const { tag_at, quarantine_at, quarantine_upstream, defer_at, refuse_at, hold } = options;
  const top = refuse_at ?? defer_at;
  if (tag_at !== undefined && top !== undefined && tag_at > top) {
    yield "tag_at is above the score at which mail is turned away: nothing would be tagged";
  }
  if (defer_at !== undefined && refuse_at !== undefined && defer_at >= refuse_at) {
    yield "defer_at is not below refuse_at: nothing would be deferred";
  }
  const away = defer_at ?? refuse_at;
  if (quarantine_at !== undefined && away !== undefined && quarantine_at >= away) {
    yield "quarantine_at is not below the score at which mail is turned away: nothing would be quarantined";
  }
  if (quarantine_at === undefined && quarantine_upstream !== undefined) {
    yield "quarantine_upstream without quarantine_at: nothing would be quarantined";
  }
  if (quarantine_at !== undefined && hold === false) {
    yield "quarantine_at needs the body to be held: leave out hold, or set it to true";
  }
}

/** Options, as the plugin is given them. */
export type Options = v.InferOutput<typeof schema>;
