/**
 * header-rewrite: adds, removes, replaces and renames header fields.
 *
 * Owns: the order of the edits, the warning when an edit breaks a DKIM signature.
 * Never: spends more than a bounded time on patterns, whatever the header holds.
 * @module
 */
import type {
  HeaderView,
  Manifest,
  OptionsSchema,
  PluginModule,
  TransactionContext,
} from "@postern/postern/plugin";
import { breaks, type Touch } from "./dkim.ts";
import { compileRules, type Options, schema } from "./options.ts";
import { longestMatched } from "./pattern.ts";
import type { Template } from "./template.ts";

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

export type { Options };

/**
 * Characters that the patterns of one message may look at. A pattern costs at most the square of one field's share, so a
 * header made to be slow is refused long before a second has gone by (CWE-1333).
 */
const budget = 200 * longestMatched;

const noGroups: readonly string[] = [];

const headerRewrite: PluginModule<Options> = (edge, options) => {
  const rules = compileRules(options);
  const warned = new Set<string>();

  function text(value: Template, context: TransactionContext, groups = noGroups): string {
    return typeof value === "string" ? value : value(context, groups);
  }

  function header(view: HeaderView, context: TransactionContext) {
    let left = budget;
    let signatures: readonly string[] | undefined;

    function touched(name: string, touch: Touch): void {
      signatures ??= view.getAll("DKIM-Signature");
      if (signatures.length === 0) return;
      const present = touch === "above" ? view.getAll(name).length : 0;
      if (!breaks(signatures, name, touch, present)) return;
      edge.metrics.count("broken_signatures");
      // Once per name at a level that is seen: the rule is the same for every message.
      const key = name.toLowerCase();
      const level = warned.has(key) ? "debug" : "warn";
      edge.log[level]("Edit breaks a DKIM signature", { field: key, tx: context.tx.id });
      warned.add(key);
    }

    /** What of a value the patterns see. */
    function seen(value: string): string {
      const part = value.length > longestMatched ? value.slice(0, longestMatched) : value;
      left -= part.length + 1;
      return part;
    }

    const removed = new Map<string, Set<number> | "all">();
    for (const { name, pattern } of rules.remove) {
      const key = name.toLowerCase();
      if (pattern === undefined) {
        removed.set(key, "all");
        continue;
      }
      const values = view.getAll(name);
      for (let i = 0; i < values.length && left > 0; i++) {
        if (!pattern.test(seen(values[i]!))) continue;
        const gone = removed.get(key);
        if (gone === undefined) removed.set(key, new Set([i]));
        else if (gone !== "all") gone.add(i);
      }
    }

    // Rules for one field build on each other; the view shows the fields as they came.
    const changed = new Map<string, string[]>();
    for (const { name, pattern, value } of rules.replace) {
      const key = name.toLowerCase();
      const gone = removed.get(key);
      if (gone === "all") continue;
      const values = changed.get(key) ?? [...view.getAll(name)];
      changed.set(key, values);
      for (let i = 0; i < values.length && left > 0; i++) {
        if (gone?.has(i)) continue;
        if (pattern === undefined) {
          values[i] = text(value, context);
        } else {
          const old = values[i]!;
          const part = seen(old);
          values[i] = part.replace(pattern, (...found) => text(value, context, found)) +
            old.slice(part.length);
        }
      }
    }

    if (left <= 0) return edge.refuse(554, "5.6.0", "Message header too large to process");

    for (const [name, values] of changed) {
      const old = view.getAll(name);
      for (let i = 0; i < values.length; i++) {
        if (values[i] === old[i]) continue;
        touched(name, "change");
        view.replace(name, values[i]!, i);
      }
    }
    for (const [name, which] of removed) {
      if (view.get(name) === undefined) continue;
      touched(name, "change");
      if (which === "all") view.remove(name);
      // From the last to the first, so that no number moves under the next one.
      else for (const i of [...which].sort((a, b) => b - a)) view.remove(name, i);
    }
    for (const { from, to } of rules.rename) {
      if (view.get(from) === undefined) continue;
      touched(from, "change");
      view.rename(from, to);
    }
    for (const { name, value, top, when } of rules.add) {
      if (when !== "always" && !applies(when, name, view, context)) continue;
      touched(name, top ? "above" : "below");
      if (top) view.prepend(name, text(value, context));
      else view.append(name, text(value, context));
    }
    return undefined;
  }

  return { name: "header-rewrite", onError: "tempfail", hooks: { header } };
};

export default headerRewrite;

function applies(
  when: "absent" | "authenticated" | "unauthenticated",
  name: string,
  view: HeaderView,
  { session }: TransactionContext,
): boolean {
  if (when === "absent") return view.get(name) === undefined;
  return (session.identity !== undefined) === (when === "authenticated");
}
