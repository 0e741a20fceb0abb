/**
 * The envelope by rules: the reverse-path at MAIL, each recipient at RCPT.
 *
 * Owns: what the rules make of one address. Never: touches the null reverse-path; makes an address that is none (the host
 * refuses it, and the plugin's `on_error` answers).
 * @module
 */
import * as v from "valibot";
import type { Mailbox } from "@postern/postern/plugin";
import { expected, flag, table } from "../shared/options.ts";
import { type Condition, conditionFault, conditionOf, type Facts, place } from "./conditions.ts";
import { flagsOf, groupsOf, patternFault } from "./pattern.ts";
import { type Template, template, templateFault, textOf } from "./template.ts";

const domain = v.pipe(
  v.string(expected("a domain")),
  v.regex(/^(?:\*\.)?[\p{L}\p{M}\p{N}_.-]{1,253}$/u, expected('a domain, or "*." and a domain')),
);

const rule = v.pipe(
  table({
    pattern: v.optional(v.string(expected("a pattern"))),
    case_sensitive: v.optional(flag()),
    value: v.optional(v.pipe(
      v.string(expected("an address")),
      v.regex(/^[^\x00-\x1f\x7f]*$/, "expected an address without control characters"),
    )),
    domain: v.optional(domain),
    to_domain: v.optional(domain),
    strip: v.optional(
      v.pipe(
        v.string(expected("a character")),
        v.regex(/^[+=#_.-]$/, expected("one of + - = # _ .")),
      ),
    ),
    ...place,
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    const fault = dataset.typed ? faultOf(dataset.value) : undefined;
    if (fault !== undefined) addIssue({ message: fault });
  }),
);

/** Rules of one part of the envelope. */
export const envelopeRules = v.optional(v.array(rule, expected("a list")), []);

type Given = v.InferOutput<typeof rule>;

function faultOf(given: Given): string | undefined {
  const { pattern, value, domain, to_domain: target, strip, when = [] } = given;
  const kinds = [pattern, target, strip].filter((one) => one !== undefined).length;
  if (kinds !== 1) {
    return "expected one of { pattern, value }, { domain, to_domain } and { strip }";
  }
  if (when.includes("absent")) return '"absent" is for fields that are added';
  if (pattern !== undefined) {
    if (value === undefined) return "expected a value beside the pattern";
    const flags = flagsOf(given);
    const refused = patternFault(pattern, flags);
    if (refused !== undefined) return `pattern refused: ${refused}`;
    const wrong = templateFault(value, groupsOf(pattern, flags));
    if (wrong !== undefined) return wrong;
  } else if (value !== undefined) return "a value belongs to a pattern";
  if (target !== undefined) {
    if (domain === undefined) return "expected the domain that becomes to_domain";
    if (target.startsWith("*.") && !domain.startsWith("*.")) {
      return 'to_domain has a "*." that domain has not';
    }
  }
  return conditionFault(given);
}

/** A rule, ready: the new address, or the same. */
export interface EnvelopeRule {
  readonly condition: Condition | undefined;
  readonly change: (address: string, facts: Facts) => string;
}

/** Compiles checked rules. */
export function compileEnvelope(given: readonly Given[]): readonly EnvelopeRule[] {
  return given.map((one) => ({ condition: conditionOf(one), change: changeOf(one) }));
}

/** The address after all rules, each building on the one before; undefined where nothing changed. */
export function rewritten(
  rules: readonly EnvelopeRule[],
  mailbox: Mailbox,
  facts: Facts,
): string | undefined {
  let address = mailbox.address;
  for (const { condition, change } of rules) {
    if (condition === undefined || condition(facts)) address = change(address, facts);
  }
  return address === mailbox.address ? undefined : address;
}

function changeOf(given: Given): EnvelopeRule["change"] {
  const { pattern, value, domain, to_domain: target, strip } = given;
  if (pattern !== undefined) {
    return byPattern(new RegExp(pattern, flagsOf(given)), template(value!));
  }
  const within = domain === undefined ? undefined : domainTest(domain.toLowerCase());
  if (target !== undefined) return byDomain(within!, target);
  return (address) => {
    const at = address.lastIndexOf("@");
    if (within !== undefined && within(domainOf(address, at)) === undefined) return address;
    // A quoted local part is somebody's odd name, not a name with an extension.
    const cut = address[0] === '"' ? -1 : address.slice(0, at < 0 ? undefined : at).indexOf(strip!);
    return cut <= 0 ? address : address.slice(0, cut) + (at < 0 ? "" : address.slice(at));
  };
}

function byPattern(pattern: RegExp, value: Template): EnvelopeRule["change"] {
  return (address, facts) => address.replace(pattern, (...found) => textOf(value, facts, found));
}

function byDomain(
  within: (domain: string) => string | undefined,
  target: string,
): EnvelopeRule["change"] {
  const any = target.startsWith("*.");
  return (address) => {
    const at = address.lastIndexOf("@");
    const labels = within(domainOf(address, at));
    if (labels === undefined) return address;
    return `${address.slice(0, at + 1)}${any ? labels + target.slice(1) : target}`;
  };
}

function domainOf(address: string, at: number): string {
  return at < 0 ? "" : address.slice(at + 1).toLowerCase();
}

/** What stands for the star where a domain fits: `""` for one without; undefined where it does not fit. */
function domainTest(domain: string): (other: string) => string | undefined {
  if (!domain.startsWith("*.")) return (other) => other === domain ? "" : undefined;
  const behind = domain.slice(1);
  return (other) =>
    other.length > behind.length && other.endsWith(behind)
      ? other.slice(0, -behind.length)
      : undefined;
}
