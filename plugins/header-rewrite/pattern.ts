/**
 * Patterns that an operator writes and a stranger's text is matched against (CWE-1333).
 *
 * Owns: the judgement whether a regular expression can take more than quadratic time, without running it.
 * Refused: a repeat or a choice inside a repeat, back references, look-around, and too many repeats that can stand for
 * each other. What passes costs at most the square of {@linkcode longestMatched}, for one field.
 * @module
 */

/** Characters of a value that are looked at; text behind them is neither matched nor changed. */
export const longestMatched = 1000;

const longestPattern = 500;
const highestCount = 100;
const mostChoices = 8;

/** A part of a sequence. `source` is undefined where it can match more than one character or is not known. */
interface Item {
  readonly source: string | undefined;
  /** Repeats without a small limit. */
  readonly repeats: boolean;
  /** Can match nothing: what comes behind it may come in its place. */
  readonly optional: boolean;
  /** `^`, `$`, `\b`, `\B`. */
  readonly anchor?: string;
  /** What is inside a group. */
  readonly inside?: Cost;
  /** Holds a repeat at any depth. */
  readonly anyRepeat?: boolean;
  /** Holds alternatives or optional parts. */
  readonly choice?: boolean;
  /** A fixed count over one. */
  readonly counted?: boolean;
}

/** Powers of the length: ways to match, and time. */
interface Cost {
  readonly ways: number;
  readonly depth: number;
}

/** What is wrong with a pattern; undefined: nothing. */
export function patternFault(source: string, flags: string): string | undefined {
  if (source.length > longestPattern) return `longer than ${longestPattern} characters`;
  try {
    new RegExp(source, flags);
  } catch (cause) {
    return (cause as Error).message;
  }
  try {
    const branches = new Reader(source, flags).alternatives();
    const worst = Math.max(...branches.map((items) => power(items, flags)));
    return worst > 2
      ? "its repeats can stand for each other: anchor it with ^ or narrow them"
      : undefined;
  } catch (cause) {
    if (cause instanceof Refused) return cause.message;
    throw cause;
  }
}

/** The flags of a rule's pattern. */
export function flagsOf(rule: { readonly case_sensitive?: boolean | undefined }): string {
  return rule.case_sensitive === true ? "u" : "iu";
}

/** How many groups a pattern has that was found right. */
export function groupsOf(pattern: string, flags: string): number {
  return new RegExp(`${pattern}|`, flags).exec("")!.length - 1;
}

class Refused extends Error {}

/** Reads the structure of a pattern that the engine has found well-formed (flag `u`, so there are no odd escapes). */
class Reader {
  #at = 0;
  #choices = 0;
  readonly #source: string;
  readonly #flags: string;
  constructor(source: string, flags: string) {
    this.#source = source;
    this.#flags = flags;
  }

  /** The alternatives up to a closing parenthesis or the end. */
  alternatives(): Item[][] {
    const branches: Item[][] = [[]];
    while (this.#at < this.#source.length && this.#source[this.#at] !== ")") {
      if (this.#source[this.#at] === "|") {
        this.#at++;
        branches.push([]);
      } else {
        branches.at(-1)!.push(...this.#quantified());
      }
    }
    return branches;
  }

  #quantified(): Item[] {
    const start = this.#at;
    const char = this.#source[start]!;
    if (char === "(") return this.#group();
    if (char === "^" || char === "$") {
      this.#at++;
      return [{ source: undefined, repeats: false, optional: true, anchor: char }];
    }
    if (char === "\\" && /[bB]/.test(this.#source[start + 1]!)) {
      this.#at += 2;
      return [{ source: undefined, repeats: false, optional: true, anchor: "\\b" }];
    }
    this.#atom();
    const source = this.#source.slice(start, this.#at);
    return [{ source, ...this.#quantifier() }];
  }

  /** Steps over one character, escape or class. */
  #atom(): void {
    const rest = this.#source.slice(this.#at);
    const escape =
      /^\\(?:[pP]\{[^}]*\}|u\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|[^])/u.exec(
        rest,
      );
    if (escape !== null) {
      if (/^\\[1-9k]/.test(rest)) throw new Refused("a back reference");
      this.#at += escape[0].length;
    } else if (rest[0] === "[") {
      let i = 1;
      while (rest[i] !== "]") i += rest[i] === "\\" ? 2 : 1;
      this.#at += i + 1;
    } else {
      this.#at += String.fromCodePoint(rest.codePointAt(0)!).length;
    }
  }

  #quantifier(): { repeats: boolean; optional: boolean; counted: boolean } {
    const found = /^(?:[*+?]|\{([0-9]+)(,?)([0-9]*)\})\??/.exec(this.#source.slice(this.#at));
    if (found === null) return { repeats: false, optional: false, counted: false };
    this.#at += found[0].length;
    const mark = found[0][0];
    const optional = mark === "*" || mark === "?" || Number(found[1]) === 0;
    // `{3}` is no choice; `{1,3}` is one, and counts like an endless repeat.
    const fixed = mark === "{" && (found[2] === "" || found[3] === found[1]);
    if (Number(found[1] ?? 0) > highestCount || Number(found[3] ?? 0) > highestCount) {
      throw new Refused(`a repeat count over ${highestCount}`);
    }
    if (mark === "?") this.#choice();
    return { repeats: mark !== "?" && !fixed, optional, counted: fixed && Number(found[1]) > 1 };
  }

  /** Each choice can double the ways to match: a few are cheap, many are not. */
  #choice(): void {
    if (++this.#choices > mostChoices) {
      throw new Refused(`more than ${mostChoices} optional parts or choices`);
    }
  }

  #group(): Item[] {
    const opening = /^\((?:\?(?::|<[A-Za-z_$][\w$]*>|(.)))?/u.exec(this.#source.slice(this.#at))!;
    if (opening[1] !== undefined) throw new Refused("look-around or flags inside");
    this.#at += opening[0].length;
    const branches = this.alternatives();
    this.#at++;
    const before = this.#at;
    const { repeats, optional, counted } = this.#quantifier();
    const items = branches.flat();
    if (branches.length > 1) this.#choice();
    const anyRepeat = items.some((item) => item.repeats || item.anyRepeat === true);
    const choice = branches.length > 1 ||
      items.some((item) => item.choice === true || (item.optional && item.anchor === undefined));
    const quantified = this.#at > before;
    if (repeats && anyRepeat) throw new Refused("a repeat inside a repeat");
    if (repeats && choice) throw new Refused("a choice inside a repeat");
    if (counted && (anyRepeat || choice)) throw new Refused("a repeat or a choice inside a repeat");
    if ((counted || repeats) && items.some((item) => item.counted)) {
      throw new Refused("a repeat inside a repeat");
    }
    if (!quantified && branches.length === 1) return branches[0]!;
    const costs = branches.map((branch) => measure(branch, this.#flags, false));
    const inside = {
      ways: Math.max(...costs.map(({ ways }) => ways)),
      depth: Math.max(...costs.map(({ depth }) => depth)),
    };
    return [{
      source: undefined,
      repeats,
      optional,
      counted,
      inside,
      anyRepeat,
      choice,
    }];
  }
}

/** The power of the length that matching can cost: that of its parts, and one for starting anywhere. */
function power(items: readonly Item[], flags: string): number {
  const first = items.find((item) => item.anchor !== "\\b");
  return (first?.anchor === "^" ? 0 : 1) + measure(items, flags, true).depth;
}

/**
 * A repeat costs a walk over the text for each way to come to it. It multiplies the ways for what follows unless the
 * character behind it settles where it ends.
 */
function measure(items: readonly Item[], flags: string, atEnd: boolean): Cost {
  let ways = 0;
  let depth = 0;
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (item.inside !== undefined) {
      depth = Math.max(depth, ways + item.inside.depth);
      ways += item.inside.ways;
    }
    // Nothing behind the last one can fail: the first try is the match.
    if (!item.repeats || (atEnd && i === items.length - 1)) continue;
    depth = Math.max(depth, ways + 1);
    const next = items[i + 1];
    const settled = next !== undefined && !next.optional &&
      disjoint(item.source, next.source, flags);
    if (!settled) ways++;
  }
  return { ways, depth };
}

const probes = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
const strangers = [
  "\u0085",
  "\u00a0",
  "\u00df",
  "\u00e9",
  "\u017f",
  "\u0416",
  "\u2028",
  "\u212a",
  "\u4e2d",
  "\ufeff",
  "\u{1f600}",
];

/** Whether no character matches both. Found out by trying: all of US-ASCII, and samples of the rest. */
function disjoint(a: string | undefined, b: string | undefined, flags: string): boolean {
  if (a === undefined || b === undefined) return false;
  // Escapes and letters beyond US-ASCII are not all sampled: taken for overlapping.
  if (/[^\x00-\x7f]|\\[uxpPc]/.test(a + b)) return false;
  const left = new RegExp(`^(?:${a})$`, flags);
  const right = new RegExp(`^(?:${b})$`, flags);
  return ![...probes, ...strangers].some((char) => left.test(char) && right.test(char));
}
