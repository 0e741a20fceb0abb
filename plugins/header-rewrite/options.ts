/**
 * Options of header-rewrite, and the rules made of them.
 * @module
 */
import * as v from "valibot";
import { expected, flag, oneOf, table, text } from "../shared/options.ts";
import {
  type Condition,
  conditionFault,
  conditionOf,
  findings,
  type Given,
  place,
} from "./conditions.ts";
import { compileEnvelope, type EnvelopeRule, envelopeRules } from "./envelope.ts";
import { type NamePattern, namePattern, starFault } from "./names.ts";
import { flagsOf, groupsOf, patternFault } from "./pattern.ts";
import { type Template, template, templateFault } from "./template.ts";

/** RFC 5322 section 2.2: printable US-ASCII but the colon. */
const fieldName = v.pipe(
  text("a header field name"),
  v.regex(/^[!-9;-~]{1,76}$/, expected("a header field name")),
);

/** A name, or all that fit one with a star. */
const starName = v.pipe(
  fieldName,
  v.rawCheck(({ dataset, addIssue }) => {
    const fault = dataset.typed ? starFault(dataset.value) : undefined;
    if (fault !== undefined) addIssue({ message: fault });
  }),
);

const value = v.pipe(
  v.string(expected("a value")),
  v.regex(/^[^\x00-\x1f\x7f]*$/, "expected a value without control characters"),
);

const conditions = { ...place, ...findings };

/** A rule that is checked as a whole. */
function checked<E extends v.ObjectEntries>(
  entries: E,
  faultOf: (rule: v.InferOutput<v.StrictObjectSchema<E, undefined>>) => string | undefined,
) {
  return v.pipe(
    table(entries),
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return;
      const given = dataset.value as Given & v.InferOutput<v.StrictObjectSchema<E, undefined>>;
      const fault = faultOf(given) ?? conditionFault(given);
      if (fault !== undefined) addIssue({ message: fault });
    }),
  );
}

const noAbsent = (when: readonly string[] | undefined) =>
  when?.includes("absent") === true ? '"absent" is for fields that are added' : undefined;

const add = checked({
  name: v.pipe(
    fieldName,
    v.check((name) => !name.includes("*"), "expected a header field name without a star"),
  ),
  value,
  at: v.optional(oneOf(["top", "bottom"]), "bottom"),
  ...conditions,
}, ({ value }) => templateFault(value, 0));

const removeTable = checked({
  name: starName,
  pattern: v.optional(v.string(expected("a pattern"))),
  case_sensitive: v.optional(flag()),
  ...conditions,
}, (rule) => patternFaultOf(rule) ?? noAbsent(rule.when));

const remove = v.union([
  v.pipe(starName, v.transform((name): v.InferOutput<typeof removeTable> => ({ name }))),
  removeTable,
], (issue) => firstMessage(issue) ?? expected("a header field name or { name, pattern }")(issue));

/** A union says only that nothing fits; the table's own complaint is the useful one. */
function firstMessage(issue: v.UnionIssue<v.BaseIssue<unknown>>): string | undefined {
  const complaints = issue.issues?.filter((inner) =>
    typeof issue.input === "object"
      ? inner.kind === "validation" || inner.path !== undefined
      : inner.type === "raw_check"
  );
  return complaints?.at(0)?.message;
}

function patternFaultOf(
  rule: { readonly pattern?: string | undefined; readonly case_sensitive?: boolean | undefined },
): string | undefined {
  const refused = rule.pattern === undefined
    ? undefined
    : patternFault(rule.pattern, flagsOf(rule));
  return refused === undefined ? undefined : `pattern refused: ${refused}`;
}

const replace = checked({
  name: starName,
  pattern: v.optional(v.string(expected("a pattern"))),
  case_sensitive: v.optional(flag()),
  value,
  ...conditions,
}, (rule) => {
  const refused = patternFaultOf(rule);
  if (refused !== undefined) return refused;
  const groups = rule.pattern === undefined ? 0 : groupsOf(rule.pattern, flagsOf(rule));
  return templateFault(rule.value, groups) ?? noAbsent(rule.when);
});

const rename = checked(
  { from: starName, to: starName, ...conditions },
  ({ from, to, when }) =>
    to.includes("*") && !from.includes("*")
      ? '"to" has a star that "from" has not'
      : from.includes("*") && !to.includes("*")
      ? 'many fields cannot get one name: expected a star in "to"'
      : noAbsent(when),
);

/** Options of the plugin. */
export const schema = table({
  add: v.optional(v.array(add, expected("a list")), []),
  remove: v.optional(v.array(remove, expected("a list")), []),
  replace: v.optional(v.array(replace, expected("a list")), []),
  rename: v.optional(v.array(rename, expected("a list")), []),
  after_verdict: v.optional(flag(), false),
  signed: v.optional(oneOf(["warn", "keep"]), "warn"),
  reverse_path: envelopeRules,
  recipients: envelopeRules,
});

/** Options, as the plugin is given them. */
export type Options = v.InferOutput<typeof schema>;

/** What every rule has. */
interface Rule {
  /** Undefined: for every message. */
  readonly condition: Condition | undefined;
}

/** Rules, ready to run. */
export interface Rules {
  readonly add: readonly (Rule & {
    readonly name: string;
    readonly key: string;
    readonly value: Template;
    /** The value is the same for every message, and US-ASCII. */
    readonly plain: boolean;
    readonly top: boolean;
    /** Only where no field of this name came. */
    readonly absent: boolean;
  })[];
  readonly remove: readonly (Rule & {
    readonly name: NamePattern;
    readonly pattern: RegExp | undefined;
  })[];
  readonly replace: readonly (Rule & {
    readonly name: NamePattern;
    readonly pattern: RegExp | undefined;
    readonly value: Template;
  })[];
  readonly rename: readonly (Rule & { readonly from: NamePattern; readonly to: NamePattern })[];
  /** Signed fields are left as they are. */
  readonly keepSigned: boolean;
  readonly reversePath: readonly EnvelopeRule[];
  readonly recipients: readonly EnvelopeRule[];
}

/** Compiles checked options. */
export function compileRules(options: Options): Rules {
  return {
    add: options.add.map((rule) => ({
      name: rule.name,
      key: rule.name.toLowerCase(),
      value: template(rule.value),
      plain: typeof template(rule.value) === "string" && /^[\x20-\x7e]*$/.test(rule.value),
      top: rule.at === "top",
      absent: rule.when?.includes("absent") === true,
      condition: conditionOf(rule),
    })),
    remove: options.remove.map((rule) => ({
      name: namePattern(rule.name),
      pattern: rule.pattern === undefined ? undefined : new RegExp(rule.pattern, flagsOf(rule)),
      condition: conditionOf(rule),
    })),
    replace: options.replace.map((rule) => ({
      name: namePattern(rule.name),
      pattern: rule.pattern === undefined
        ? undefined
        : new RegExp(rule.pattern, flagsOf(rule) + "g"),
      value: template(rule.value),
      condition: conditionOf(rule),
    })),
    rename: options.rename.map((rule) => ({
      from: namePattern(rule.from),
      to: namePattern(rule.to),
      condition: conditionOf(rule),
    })),
    keepSigned: options.signed === "keep",
    reversePath: compileEnvelope(options.reverse_path),
    recipients: compileEnvelope(options.recipients),
  };
}
