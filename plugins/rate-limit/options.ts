/**
 * Options of rate-limit, and the rules made of them: every default filled in, every name settled.
 * @module
 */
import * as v from "valibot";
import { type Network, networks } from "../shared/network.ts";
import { amount, duration, expected, oneOf, table, text, whole } from "../shared/options.ts";

const dimensions = [
  "address",
  "network",
  "listener",
  "login",
  "helo",
  "sender",
  "sender-domain",
  "recipient",
  "recipient-domain",
] as const;
const counts = [
  "connections",
  "sessions",
  "messages",
  "recipients",
  "octets",
  "errors",
  "failed-logins",
] as const;

/** What a rule tells apart. */
export type Dimension = (typeof dimensions)[number];
/** What a rule counts. */
export type Count = (typeof counts)[number];

const ofConnection: readonly Dimension[] = ["address", "network", "listener"];
const ofSession: readonly Dimension[] = [...ofConnection, "login", "helo"];
const ofTransaction: readonly Dimension[] = [...ofSession, "sender", "sender-domain"];

/** What is known when each thing is counted: a rule can only tell apart what is there. */
const available: ReadonlyMap<Count, readonly Dimension[]> = new Map<Count, readonly Dimension[]>([
  ["connections", ofConnection],
  ["sessions", ofSession],
  ["messages", ofTransaction],
  ["recipients", dimensions],
  ["octets", ofTransaction],
  ["errors", ofSession],
  ["failed-logins", ofSession],
]);

/** The words are written with `-` or with `_`. */
function word<const W extends readonly string[]>(words: W) {
  return v.pipe(
    v.unknown(),
    v.transform((given) => typeof given === "string" ? given.replaceAll("_", "-") : given),
    oneOf(words),
  );
}

const dimension = word(dimensions);

function prefix(most: 32 | 128) {
  return v.pipe(whole(1), v.maxValue(most, `expected ${most} at most`));
}

/** RFC 5321 section 4.2: what may stand in a reply. */
const replyText = v.pipe(
  text("a text for the client"),
  v.regex(/^[\x20-\x7e]{1,400}$/, "expected printable US-ASCII of at most 400 characters"),
);

const rule = v.pipe(
  table({
    name: v.optional(
      v.pipe(
        text("a name"),
        v.regex(/^[a-z][a-z0-9_]{0,49}$/, expected("a name of a-z, 0-9 and _")),
      ),
    ),
    by: v.union([
      v.pipe(dimension, v.transform((one) => [one] as Dimension[])),
      v.pipe(v.array(dimension), v.minLength(1, "expected at least one of the words")),
    ], expected(dimensions.map((word) => `"${word}"`).join(", ") + " or a list of them")),
    count: word(counts),
    limit: amount(),
    window: v.optional(duration()),
    burst: v.optional(amount()),
    algorithm: v.optional(oneOf(["window", "fixed", "bucket"])),
    when: v.optional(oneOf(["always", "authenticated", "unauthenticated"]), "always"),
    exempt: v.optional(networks(), []),
    ipv4_prefix: v.optional(prefix(32)),
    ipv6_prefix: v.optional(prefix(128)),
    action: v.optional(oneOf(["defer", "refuse", "delay", "drop"]), "defer"),
    delay: v.optional(duration(), "5s"),
    code: v.optional(whole(400)),
    text: v.optional(replyText),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const message of faultsOf(dataset.value)) addIssue({ message });
  }),
);

interface Given {
  readonly by: readonly Dimension[];
  readonly count: Count;
  readonly window?: number | undefined;
  readonly burst?: number | undefined;
  readonly algorithm?: "window" | "fixed" | "bucket" | undefined;
  readonly when: "always" | "authenticated" | "unauthenticated";
  readonly action: "defer" | "refuse" | "delay" | "drop";
  readonly code?: number | undefined;
}

function* faultsOf(given: Given): Generator<string> {
  const { by, count, window, burst, algorithm, when, action, code } = given;
  const possible = available.get(count)!;
  for (const word of by) {
    if (!possible.includes(word)) {
      yield `"${count}" cannot be counted by "${word}", only by ${possible.join(", ")}`;
    }
  }
  if (new Set(by).size !== by.length) yield "expected each word of by once";
  if (count === "sessions") {
    if (window !== undefined || burst !== undefined || algorithm !== undefined) {
      yield '"sessions" counts those that are open now: it has no window, burst or algorithm';
    }
  } else if (window === undefined) yield "expected a window, got none";
  if (burst !== undefined && algorithm !== undefined && algorithm !== "bucket") {
    yield 'burst belongs to algorithm = "bucket", a window has none';
  }
  if (count === "connections" && when === "authenticated") {
    yield '"connections" are counted before anybody can have authenticated';
  }
  if (code === undefined) return;
  const most = action === "defer" ? 499 : 599;
  const least = action === "refuse" ? 500 : 400;
  if (action === "delay") yield 'action = "delay" has no code';
  else if (code < least || code > most) {
    yield `expected a code from ${least} to ${most} for action = "${action}", got ${code}`;
  } else if (code === 421 && action === "defer") {
    yield '421 closes the connection: use action = "drop"';
  }
}

/** Options of the plugin. */
export const schema = table({
  rules: v.pipe(
    v.array(rule, expected("a list of rules")),
    v.minLength(1, "expected at least one rule"),
    v.maxLength(40, "expected 40 rules at most"),
  ),
  exempt: v.optional(networks(), []),
  ipv4_prefix: v.optional(prefix(32), 24),
  ipv6_prefix: v.optional(prefix(128), 64),
});

/** Options, as the plugin is given them: durations in milliseconds, sizes in octets. */
export type Options = v.InferOutput<typeof schema>;

/** One rule, ready to run. */
export interface Rule {
  /** Stands in metrics, in the log and in the keys of the state. */
  readonly name: string;
  readonly metrics: { readonly left: string; readonly limited: string };
  readonly by: readonly Dimension[];
  readonly count: Count;
  readonly limit: number;
  /** Milliseconds; 0 for sessions. */
  readonly window: number;
  readonly algorithm: "window" | "fixed" | "bucket";
  /** Tokens a bucket holds; for a window the limit: what one call can take at most. */
  readonly capacity: number;
  /** Undefined: whether or not. */
  readonly authenticated: boolean | undefined;
  readonly exempt: readonly Network[];
  readonly prefixes: { readonly v4: number; readonly v6: number };
  readonly action: "defer" | "refuse" | "delay" | "drop";
  /** Longest delay, in milliseconds. */
  readonly delay: number;
  readonly code: number | undefined;
  readonly text: string | undefined;
}

/** Fills in what a rule leaves open; two rules never share a name, and so never a counter. */
export function compileRules(options: Options): readonly Rule[] {
  const taken = new Set<string>();
  return options.rules.map((given) => {
    const { by, count, limit, window = 0, burst, when } = given;
    const base = given.name ?? nameOf(count, by, limit, window);
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base}_${n}`;
    taken.add(name);
    const algorithm = given.algorithm ?? (burst === undefined ? "window" : "bucket");
    return {
      name,
      metrics: { left: `left_${name}`, limited: `limited_${name}` },
      by,
      count,
      limit,
      window,
      algorithm,
      capacity: algorithm === "bucket" ? burst ?? limit : limit,
      authenticated: when === "always" ? undefined : when === "authenticated",
      exempt: given.exempt,
      prefixes: {
        v4: given.ipv4_prefix ?? options.ipv4_prefix,
        v6: given.ipv6_prefix ?? options.ipv6_prefix,
      },
      action: given.action,
      delay: given.delay,
      code: given.code,
      text: given.text,
    };
  });
}

/** A name of a-z, 0-9 and _: it is part of a metric's. */
function nameOf(count: Count, by: readonly Dimension[], limit: number, window: number): string {
  const per = window === 0 ? "" : `_per_${window / 1000}s`;
  const name = `${count}_by_${by.join("_")}_${limit}${per}`.replaceAll(/[-.]/g, "_");
  // With the longest words together it would be too long for a metric.
  return name.length <= 50 ? name : `${count}_${limit}${per}`.replaceAll(/[-.]/g, "_").slice(0, 50);
}
