/**
 * Finds the command that the words of a command line name. Commands have one word, or two in a group (`user add`).
 * @module
 */
import { didYouMean } from "../settings/nearest.ts";
import { quote } from "../settings/problem.ts";
import type { CommandSpec } from "./args.ts";
import { UsageError } from "./errors.ts";
import { SPECS } from "./specs.ts";

/** What the words name. */
export type Resolved =
  | { readonly kind: "command"; readonly spec: CommandSpec; readonly rest: readonly string[] }
  /** The first word of several commands, and none of them yet. */
  | { readonly kind: "group"; readonly name: string; readonly specs: readonly CommandSpec[] };

const BY_NAME: ReadonlyMap<string, CommandSpec> = new Map(SPECS.map((spec) => [spec.name, spec]));

/** The command that `args` start with. Throws a `UsageError` when there is none. */
export function resolve(args: readonly string[]): Resolved {
  const [first = "", second] = args;
  const single = BY_NAME.get(first);
  if (single !== undefined) return { kind: "command", spec: single, rest: args.slice(1) };
  const group = SPECS.filter((spec) => spec.name.startsWith(`${first} `));
  if (first === "" || group.length === 0) {
    throw new UsageError(`Unknown command ${quote(first)}${didYouMean(first, firstWords())}`);
  }
  if (second === undefined || second.startsWith("-")) {
    return { kind: "group", name: first, specs: group };
  }
  const name = `${first} ${second}`;
  const spec = BY_NAME.get(name);
  if (spec !== undefined) return { kind: "command", spec, rest: args.slice(2) };
  const like = didYouMean(name, group.map((member) => member.name));
  throw new UsageError(`Unknown command ${quote(name)}${like}`, first);
}

function firstWords(): ReadonlySet<string> {
  return new Set(SPECS.map((spec) => spec.name.split(" ")[0]!));
}
