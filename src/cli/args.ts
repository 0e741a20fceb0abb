/**
 * The command line: words in, typed values or a `UsageError` out. The only door to `@std/cli`.
 *
 * Owns: the shape of a command's description, from which parsing and help both follow.
 * Never: prints, reads the environment or runs a command.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { didYouMean } from "../settings/nearest.ts";
import { quote } from "../settings/problem.ts";
import { UsageError } from "./errors.ts";

export { Spinner } from "@std/cli/unstable-spinner";

/** One option. Its name is the key it is listed under, without dashes. */
export interface FlagSpec {
  /** `boolean` takes no value, `string` one, `list` may be given several times. */
  readonly kind: "boolean" | "string" | "list";
  /** One letter. */
  readonly short?: string;
  /** What the help calls the value, in capitals. */
  readonly value?: string;
  readonly description: string;
  /** For `string` only. */
  readonly default?: string;
}

/** One word that is not an option. */
export interface WordSpec {
  /** What the help calls it, in capitals. */
  readonly value: string;
  readonly description: string;
  readonly required: boolean;
  /** Takes all words that are left; only the last one can. */
  readonly many?: boolean;
}

/** A command as data. */
export interface CommandSpec {
  /** One word, or two for a command of a group (`user add`). */
  readonly name: string;
  /** One line, starting with a verb. */
  readonly summary: string;
  readonly flags: Readonly<Record<string, FlagSpec>>;
  /** In the order of the command line. */
  readonly words: Readonly<Record<string, WordSpec>>;
  /** Paragraphs under the usage line. */
  readonly details?: readonly string[];
  /** Whole command lines. */
  readonly examples?: readonly string[];
}

type FlagValue<F extends FlagSpec> = F["kind"] extends "boolean" ? boolean
  : F["kind"] extends "list" ? readonly string[]
  : F extends { readonly default: string } ? string
  : string | undefined;

/** The values a command gets. */
export interface Input<S extends CommandSpec> {
  readonly flags: { readonly [K in keyof S["flags"]]: FlagValue<S["flags"][K]> };
  readonly words: {
    readonly [K in keyof S["words"]]: S["words"][K] extends { readonly many: true }
      ? readonly string[]
      : S["words"][K]["required"] extends true ? string
      : string | undefined;
  };
}

/** Options that every command takes. They are handled before the command sees its input. */
export const COMMON_FLAGS = {
  help: { kind: "boolean", short: "h", description: "Show help" },
  "no-color": { kind: "boolean", description: "No colours (as does the variable NO_COLOR)" },
} as const satisfies Readonly<Record<string, FlagSpec>>;

/** Options that may also stand before the command. */
const LEADING_FLAGS = {
  ...COMMON_FLAGS,
  config: { kind: "string", short: "c", value: "FILE", description: "Configuration file" },
  version: { kind: "boolean", description: "Show the version" },
} as const satisfies Readonly<Record<string, FlagSpec>>;

/** What one command line asks for. */
export type Request<S extends CommandSpec> =
  | { readonly kind: "help" }
  | { readonly kind: "run"; readonly input: Input<S>; readonly noColor: boolean };

/** The words of a command line with the command first: options before the command are moved behind it. */
export function commandFirst(args: readonly string[]): readonly string[] {
  const { values, words, verbatim } = parseFlags(LEADING_FLAGS, args, "", true);
  if (values.get("version") === true) return ["version"];
  if (words.length + verbatim.length === 0) return values.get("help") === true ? ["help"] : [];
  const moved: string[] = [];
  for (const name of Object.keys(COMMON_FLAGS)) {
    if (values.get(name) === true) moved.push(`--${name}`);
  }
  const config = values.get("config");
  if (typeof config === "string") moved.push(`--config=${config}`);
  return [...words, ...moved, ...(verbatim.length === 0 ? [] : ["--", ...verbatim])];
}

/** Parses the words behind the command's name. */
export function parseCommand<const S extends CommandSpec>(
  spec: S,
  args: readonly string[],
): Request<S> {
  const parsed = parseFlags({ ...spec.flags, ...COMMON_FLAGS }, args, spec.name, false);
  if (parsed.values.get("help") === true) return { kind: "help" };
  const given = [...parsed.words, ...parsed.verbatim];
  const words: Record<string, string | readonly string[] | undefined> = {};
  let next = 0;
  for (const [key, word] of Object.entries(spec.words)) {
    const value = given[next];
    if (value === undefined && word.required) {
      throw new UsageError(`Missing argument ${word.value}`, spec.name);
    }
    words[key] = word.many === true ? given.slice(next) : value;
    next = word.many === true ? given.length : next + 1;
  }
  const surplus = given[next];
  if (surplus !== undefined) {
    throw new UsageError(`Unexpected argument ${quote(surplus)}`, spec.name);
  }
  const flags: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(spec.flags)) {
    flags[name] = parsed.values.get(name) ?? flag.default;
  }
  return {
    kind: "run",
    input: { flags, words } as unknown as Input<S>,
    noColor: parsed.values.get("no-color") === true,
  };
}

interface ParsedFlags {
  /** Absent: not given. Every boolean and list is there. */
  readonly values: ReadonlyMap<string, boolean | string | readonly string[]>;
  readonly words: readonly string[];
  /** Behind `--`. */
  readonly verbatim: readonly string[];
}

function parseFlags(
  flags: Readonly<Record<string, FlagSpec>>,
  args: readonly string[],
  command: string,
  stopEarly: boolean,
): ParsedFlags {
  const named = Object.entries(flags);
  const ofKind = (...kinds: FlagSpec["kind"][]): string[] =>
    named.filter(([, flag]) => kinds.includes(flag.kind)).map(([name]) => name);
  const alias: Record<string, string> = {};
  for (const [name, flag] of named) if (flag.short !== undefined) alias[name] = flag.short;
  let unknown: string | undefined;
  const parsed = parseArgs(args, {
    boolean: ofKind("boolean"),
    string: [...ofKind("string", "list"), "_"],
    collect: ofKind("list"),
    alias,
    stopEarly,
    "--": true,
    unknown: (arg, key) => {
      if (key === undefined) return true;
      unknown ??= arg.startsWith("--") ? `--${key}` : `-${key}`;
      return false;
    },
  });
  if (unknown !== undefined) {
    const hint = didYouMean(unknown, named.map(([name]) => `--${name}`));
    throw new UsageError(`Unknown option ${unknown}${hint}`, command);
  }
  const values = new Map<string, boolean | string | readonly string[]>();
  for (const [name, flag] of named) {
    if (!Object.hasOwn(parsed, name)) continue;
    const value = parsed[name] as boolean | string | readonly string[];
    // An option at the end, or before another option, has the empty text for a value.
    if (value === "" || (Array.isArray(value) && value.includes(""))) {
      throw new UsageError(`Option --${name} needs a value: ${flag.value ?? "TEXT"}`, command);
    }
    values.set(name, value);
  }
  rejectBooleanValues(ofKind("boolean"), args, command);
  return {
    values,
    words: parsed._.map(String),
    verbatim: parsed["--"] ?? [],
  };
}

/** `--force=maybe` is a mistake and not a yes. */
function rejectBooleanValues(names: readonly string[], args: readonly string[], command: string) {
  for (const arg of args) {
    if (arg === "--") return;
    const name = /^--([^=]+)=/.exec(arg)?.[1];
    if (name !== undefined && names.includes(name)) {
      throw new UsageError(`Option --${name} takes no value`, command);
    }
  }
}
