/**
 * Options of header-rewrite, and the rules made of them.
 * @module
 */
import * as v from "valibot";
import { expected, flag, oneOf, table, text } from "../shared/options.ts";
import { patternFault } from "./pattern.ts";
import { type Template, template, templateFault } from "./template.ts";

/** RFC 5322 section 2.2: printable US-ASCII but the colon. */
const fieldName = v.pipe(
  text("a header field name"),
  v.regex(/^[!-9;-~]{1,76}$/, expected("a header field name")),
);

const value = v.pipe(
  v.string(expected("a value")),
  v.regex(/^[^\x00-\x1f\x7f]*$/, "expected a value without control characters"),
);

function flagsOf(rule: { readonly case_sensitive?: boolean | undefined }): string {
  return rule.case_sensitive === true ? "u" : "iu";
}

function groupsOf(pattern: string, flags: string): number {
  return new RegExp(`${pattern}|`, flags).exec("")!.length - 1;
}

const add = v.pipe(
  table({
    name: fieldName,
    value,
    at: v.optional(oneOf(["top", "bottom"]), "bottom"),
    when: v.optional(oneOf(["always", "absent", "authenticated", "unauthenticated"]), "always"),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    const fault = dataset.typed ? templateFault(dataset.value.value, 0) : undefined;
    if (fault !== undefined) addIssue({ message: fault });
  }),
);

const remove = v.union([
  v.pipe(
    fieldName,
    v.transform((name) => ({ name, pattern: undefined, case_sensitive: undefined })),
  ),
  v.pipe(
    table({
      name: fieldName,
      pattern: v.string(expected("a pattern")),
      case_sensitive: v.optional(flag()),
    }),
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return;
      const fault = patternFault(dataset.value.pattern, flagsOf(dataset.value));
      if (fault !== undefined) addIssue({ message: `pattern refused: ${fault}` });
    }),
  ),
], (issue) => firstMessage(issue) ?? expected("a header field name or { name, pattern }")(issue));

/** A union says only that nothing fits; the table's own complaint is the useful one. */
function firstMessage(issue: v.UnionIssue<v.BaseIssue<unknown>>): string | undefined {
  if (typeof issue.input !== "object") return undefined;
  return issue.issues?.find((inner) => inner.kind === "validation" || inner.path !== undefined)
    ?.message;
}

const replace = v.pipe(
  table({
    name: fieldName,
    pattern: v.optional(v.string(expected("a pattern"))),
    case_sensitive: v.optional(flag()),
    value,
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const { pattern, value } = dataset.value;
    const flags = flagsOf(dataset.value);
    const refused = pattern === undefined ? undefined : patternFault(pattern, flags);
    const groups = pattern === undefined || refused !== undefined ? 0 : groupsOf(pattern, flags);
    const fault = refused === undefined
      ? templateFault(value, groups)
      : `pattern refused: ${refused}`;
    if (fault !== undefined) addIssue({ message: fault });
  }),
);

/** Options of the plugin. */
export const schema = table({
  add: v.optional(v.array(add, expected("a list")), []),
  remove: v.optional(v.array(remove, expected("a list")), []),
  replace: v.optional(v.array(replace, expected("a list")), []),
  rename: v.optional(
    v.array(table({ from: fieldName, to: fieldName }), expected("a list")),
    [],
  ),
});

/** Options, as the plugin is given them. */
export type Options = v.InferOutput<typeof schema>;

/** Rules, ready to run. */
export interface Rules {
  readonly add: readonly {
    readonly name: string;
    readonly value: Template;
    readonly top: boolean;
    readonly when: "always" | "absent" | "authenticated" | "unauthenticated";
  }[];
  readonly remove: readonly { readonly name: string; readonly pattern: RegExp | undefined }[];
  readonly replace: readonly {
    readonly name: string;
    readonly pattern: RegExp | undefined;
    readonly value: Template;
  }[];
  readonly rename: readonly { readonly from: string; readonly to: string }[];
}

/** Compiles checked options. */
export function compileRules(options: Options): Rules {
  return {
    add: options.add.map(({ name, value, at, when }) => ({
      name,
      value: template(value),
      top: at === "top",
      when,
    })),
    remove: options.remove.map((rule) => ({
      name: rule.name,
      pattern: rule.pattern === undefined ? undefined : new RegExp(rule.pattern, flagsOf(rule)),
    })),
    replace: options.replace.map((rule) => ({
      name: rule.name,
      pattern: rule.pattern === undefined
        ? undefined
        : new RegExp(rule.pattern, flagsOf(rule) + "g"),
      value: template(rule.value),
    })),
    rename: options.rename,
  };
}
