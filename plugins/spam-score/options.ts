/**
 * Options of spam-score.
 * @module
 */
import * as v from "valibot";
import { nearest } from "../shared/nearest.ts";
import { expected, finite, table, text } from "../shared/options.ts";
import { allRules } from "./rules.ts";

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

/** Options of the plugin. */
export const schema = v.pipe(
  table({
    tag_at: v.optional(finite()),
    defer_at: v.optional(finite()),
    refuse_at: v.optional(finite()),
    weights: v.optional(weights, {}),
    tag_header: v.optional(
      v.pipe(
        text("a prefix of header field names"),
        v.regex(/^[A-Za-z][A-Za-z0-9-]{0,60}$/, expected("a prefix such as X-Spam")),
      ),
      "X-Spam",
    ),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const { tag_at, defer_at, refuse_at } = dataset.value;
    const top = refuse_at ?? defer_at;
    if (tag_at !== undefined && top !== undefined && tag_at > top) {
      addIssue({
        message: "tag_at is above the score at which mail is turned away: nothing would be tagged",
      });
    }
    if (defer_at !== undefined && refuse_at !== undefined && defer_at >= refuse_at) {
      addIssue({ message: "defer_at is not below refuse_at: nothing would be deferred" });
    }
  }),
);

/** Options, as the plugin is given them. */
export type Options = v.InferOutput<typeof schema>;
