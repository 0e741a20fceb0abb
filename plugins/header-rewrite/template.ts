/**
 * Values with placeholders: `${helo}` and the like, `${1}` for a group of a pattern, `$$` for a dollar sign.
 *
 * Never: lets a control character through, or text beyond US-ASCII into a message that is not SMTPUTF8.
 * @module
 */
import type { Facts } from "./conditions.ts";
import { nearest } from "../shared/nearest.ts";

/** Longest text one placeholder gives. */
const longest = 320;

/** The groups of what has no pattern. */
export const noGroups: readonly string[] = [];

type Source = (facts: Facts) => string;

const sources: ReadonlyMap<string, Source> = new Map<string, Source>([
  ["client_address", ({ session }) => session.remote.address],
  ["client_name", ({ session }) => session.clientName ?? "unknown"],
  ["helo", ({ session }) => session.helo],
  ["hostname", ({ session }) => session.hostname],
  ["listener", ({ session }) => session.listener],
  ["login", ({ session }) => session.identity?.user ?? ""],
  ["session_id", ({ session }) => session.id],
  ["tx_id", ({ tx }) => tx.id],
  ["sender", ({ tx }) => tx.from?.address ?? "<>"],
  ["id", ({ tx }) => tx.id],
  ["recipient", ({ tx }) => tx.recipients.length === 1 ? tx.recipients[0]!.address : ""],
  ["size", ({ tx }) => String(tx.size)],
  ["score", ({ tx }) => tx.score.toFixed(1)],
  ["symbols", ({ tx }) => symbolsOf(tx.symbols)],
  ["tls_version", ({ session }) => session.tls?.version ?? "none"],
  ["tls_cipher", ({ session }) => session.tls?.cipher ?? "none"],
]);

/** As many whole symbols as one placeholder may give; `none` where there are none. */
function symbolsOf(symbols: readonly { readonly symbol: string }[]): string {
  let text = "";
  for (const { symbol } of symbols) {
    if (text.length + 2 + symbol.length > longest) break;
    // With the space, the field can be folded between two of them.
    text += `${text === "" ? "" : ", "}${symbol}`;
  }
  return text === "" ? "none" : text;
}

/** A value, ready: text, or a function where it has placeholders. */
export type Template =
  | string
  | ((facts: Facts, groups: readonly string[]) => string);

/** The text of a value. */
export function textOf(value: Template, facts: Facts, groups: readonly string[]): string {
  return typeof value === "string" ? value : value(facts, groups);
}

/** What is wrong with a value; undefined: nothing. `groups` is how many groups its pattern has. */
export function templateFault(value: string, groups: number): string | undefined {
  for (const [whole, name] of value.matchAll(placeholder)) {
    if (whole === "$$") continue;
    if (name === undefined) return "a dollar sign is written $$, a placeholder ${name}";
    if (/^[0-9]$/.test(name)) {
      if (Number(name) > groups) return `the pattern has no group ${name}`;
    } else if (!sources.has(name)) {
      const near = nearest(name, sources.keys());
      return `unknown placeholder "${name}"${near === undefined ? "" : `, did you mean "${near}"`}`;
    }
  }
  return undefined;
}

const placeholder = /\$(?:\$|\{([^{}]{1,64})\})?/g;

/** Compiles a value that {@linkcode templateFault} found right. */
export function template(value: string): Template {
  const parts: (string | number | Source)[] = [];
  let last = 0;
  for (const found of value.matchAll(placeholder)) {
    parts.push(value.slice(last, found.index));
    last = found.index + found[0].length;
    const name = found[1];
    parts.push(name === undefined ? "$" : /^[0-9]$/.test(name) ? Number(name) : sources.get(name)!);
  }
  parts.push(value.slice(last));
  if (parts.every((part) => typeof part === "string")) return parts.join("");
  return (facts, groups) => {
    let text = "";
    for (const part of parts) {
      if (typeof part === "string") text += part;
      else if (typeof part === "number") text += groups[part] ?? "";
      else text += clean(part(facts), facts.tx.params.smtputf8 === true);
    }
    return text;
  };
}

/** Text of the client as it may stand in a field. */
function clean(text: string, utf8: boolean): string {
  const short = text.length > longest ? text.slice(0, longest) : text;
  return short.replace(utf8 ? /[\x00-\x1f\x7f]/g : /[^\x20-\x7e]/g, "?");
}
