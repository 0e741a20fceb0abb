/**
 * Options of rate-limit, and the rules made of them: every default filled in, every name settled.
 * @module
 */
import * as v from "valibot";
import { networks } from "../shared/network.ts";
import { amount, duration, expected, oneOf, table, text, whole } from "../shared/options.ts";

const dimensions = [
  "address",
  "network",
  "login",
  "sender",
  "sender-domain",
  "recipient-domain",
  "helo",
] as const;
const counts = ["connections", "messages", "recipients", "octets", "errors"] as const;

/** What a rule tells apart. */
export type Dimension = (typeof dimensions)[number];
/** What a rule counts. */
export type Count = (typeof counts)[number];

/** What is known when each thing is counted: a rule can only tell apart what is there. */
const available: ReadonlyMap<Count, readonly Dimension[]> = new Map<Count, readonly Dimension[]>([
  ["connections", ["address", "network"]],
  ["messages", ["address", "network", "login", "sender", "sender-domain", "helo"]],
  ["recipients", dimensions],
  ["octets", ["address", "network", "login", "sender", "sender-domain", "helo"]],
  ["errors", ["address", "network", "login", "helo"]],
]);

const dimension = oneOf(dimensions);

const rule = v.pipe(
  table({
    name: v.optional(
      v.pipe(
        text("a name"),
        v.regex(/^[a-z][a-z0-9_]{0,63}$/, expected("a name of a-z, 0-9 and _")),
      ),
    ),
    by: v.union([
      v.pipe(dimension, v.transform((one) => [one] as Dimension[])),
      v.pipe(v.array(dimension), v.minLength(1, "expected at least one of the words")),
    ], expected(dimensions.map((word) => `"${word}"`).join(", ") + " or a list of them")),
    count: oneOf(counts),
    limit: amount(),
    window: duration(),
    burst: v.optional(amount()),
    algorithm: v.optional(oneOf(["window", "bucket"])),
    action: v.optional(oneOf(["defer", "refuse", "delay", "drop"]), "defer"),
    delay: v.optional(duration(), "5s"),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const { by, count, burst, algorithm } = dataset.value;
    const possible = available.get(count)!;
    for (const word of by) {
      if (!possible.includes(word)) {
        addIssue({
          message: `"${count}" cannot be counted by "${word}", only by ${possible.join(", ")}`,
        });
      }
    }
    if (new Set(by).size !== by.length) addIssue({ message: "expected each word of by once" });
    if (burst !== undefined && algorithm === "window") {
      addIssue({ message: 'burst belongs to algorithm = "bucket", a window has none' });
    }
  }),
);

/** Options of the plugin. */
export const schema = table({
  rules: v.pipe(
    v.array(rule, expected("a list of rules")),
    v.minLength(1, "expected at least one rule"),
  ),
  exempt: v.optional(networks(), []),
  ipv4_prefix: v.optional(v.pipe(whole(1), v.maxValue(32, "expected 32 at most")), 24),
  ipv6_prefix: v.optional(v.pipe(whole(1), v.maxValue(128, "expected 128 at most")), 64),
});

/** Options, as the plugin is given them: durations in milliseconds, sizes in octets. */
export type Options = v.InferOutput<typeof schema>;

/** One rule, ready to run. */
export interface Rule {
  /** Stands in metrics, in the log and in the keys of the state. */
  readonly name: string;
  readonly by: readonly Dimension[];
  readonly count: Count;
  readonly limit: number;
  /** Milliseconds. */
  readonly window: number;
  /** Tokens a bucket holds; undefined: a sliding window. */
  readonly capacity: number | undefined;
  readonly action: "defer" | "refuse" | "delay" | "drop";
  /** Longest delay, in milliseconds. */
  readonly delay: number;
}

/** Fills in what a rule leaves open; two rules never share a name, and so never a counter. */
export function compileRules(options: Options): readonly Rule[] {
  const taken = new Set<string>();
  return options.rules.map((given) => {
    const base = given.name ??
      `${given.count}_by_${given.by.join("_").replaceAll("-", "_")}_${given.limit}_per_${
        given.window / 1000
      }s`
        .replaceAll(".", "_");
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base}_${n}`;
    taken.add(name);
    const bucket = given.algorithm === "bucket" || given.burst !== undefined;
    return {
      name,
      by: given.by,
      count: given.count,
      limit: given.limit,
      window: given.window,
      capacity: bucket ? given.burst ?? given.limit : undefined,
      action: given.action,
      delay: given.delay,
    };
  });
}
