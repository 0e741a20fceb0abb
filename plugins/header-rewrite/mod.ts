/**
 * header-rewrite: adds, removes, replaces and renames header fields, and rewrites the envelope.
 *
 * Owns: when the rules run, the warning when an edit breaks a DKIM signature. What they do to a header is in `edits.ts`, to
 * an address in `envelope.ts`.
 * @module
 */
import type {
  HeaderView,
  Hooks,
  Manifest,
  OptionsSchema,
  PluginModule,
  TransactionContext,
} from "@postern/postern/plugin";
import { Edits } from "./edits.ts";
import { rewritten } from "./envelope.ts";
import { compileRules, type Options, schema } from "./options.ts";

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "2.0.0", reads: ["score"] };

export type { Options };

const headerRewrite: PluginModule<Options> = (edge, options) => {
  const rules = compileRules(options);
  const warned = new Set<string>();
  const tooMuch = edge.refuse(554, "5.6.0", "Message header too large to process");

  function edit(view: HeaderView, context: TransactionContext) {
    const { tooMuch: slow, signed } = new Edits(rules, view, context).run();
    if (slow) return tooMuch;
    if (signed.size === 0) return undefined;
    for (const field of signed) told(field, context.tx.id);
    const what = rules.keepSigned ? "left as signed" : "breaks a DKIM signature";
    return edge.pass(`${what}: ${[...signed].join(", ")}`);
  }

  /** Once per name at a level that is seen: the rule is the same for every message. */
  function told(field: string, tx: string): void {
    if (rules.keepSigned) {
      edge.metrics.count("kept_signed");
      return;
    }
    edge.metrics.count("broken_signatures");
    const level = warned.has(field) ? "debug" : "warn";
    edge.log[level]("Edit breaks a DKIM signature", { field, tx });
    // Names with a star are the sender's: there is a bound to what is remembered of them.
    if (warned.size < 1000) warned.add(field);
  }

  const hooks: { -readonly [K in keyof Hooks]: Hooks[K] } = {};
  const { add, remove, replace, rename, reversePath, recipients } = rules;
  if (add.length + remove.length + replace.length + rename.length > 0) {
    if (options.after_verdict) {
      hooks.end = (_, context) =>
        context.header === undefined ? undefined : edit(context.header, context);
    } else hooks.header = edit;
  }
  if (reversePath.length > 0) {
    hooks.mail = (from, context) => {
      const changed = from === null ? undefined : rewritten(reversePath, from, context);
      return changed === undefined ? undefined : edge.rewrite({ from: changed });
    };
  }
  if (recipients.length > 0) {
    hooks.rcpt = (to, context) => {
      const changed = rewritten(recipients, to, context);
      return changed === undefined ? undefined : edge.rewrite({ to: [changed] });
    };
  }
  return {
    name: "header-rewrite",
    onError: "tempfail",
    holdBody: options.after_verdict && hooks.end !== undefined,
    hooks,
  };
};

export default headerRewrite;
