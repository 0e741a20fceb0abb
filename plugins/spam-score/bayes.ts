/**
 * The classifier: how often each token stood in ham and in spam, what that says of a message, and the file of it.
 *
 * Naive Bayes with the sum of the evidence divided by the number of tokens that had any: the mean weight of evidence of a
 * word, in nats. Dividing keeps long messages from certainty; `docs/spam.md` has the cross-validation that chose it.
 *
 * A model is counts only, so learning more, taking back and joining two models are additions. Never: keeps a message.
 * @module
 */

/** The two kinds of mail. */
export type Kind = "ham" | "spam";

/** Says what the file is, in its first line. */
const magic = "postern-bayes 1";
/** Added to every count: a word never seen in one kind of mail is not impossible there. */
const smoothing = 0.05;
/** Evidence that counts, in nats: a word says nothing that is less than e times as frequent on one side. */
const least = 1;
/** Words of no evidence that each message is thought to have besides: a few words make no certainty. */
const reserve = 20;
/** Probability from the mean evidence: its steepness. */
const steepness = 3;

/** Tokens that a model keeps when it is written. */
export const mostModelTokens = 500_000;
/** Learned messages that a model remembers. */
export const mostLearned = 200_000;

/** What was counted, for learning. */
export class Counts {
  ham = 0;
  spam = 0;
  /** `[in ham, in spam]` by token. */
  readonly tokens = new Map<string, [number, number]>();
  /** Hashes of learned messages, oldest first. */
  readonly learned = new Map<string, Kind>();

  /** Learns a message; false where it was learned as this already. One that was learned as the other kind changes over. */
  learn(hash: string, kind: Kind, tokens: () => ReadonlySet<string>): boolean {
    const before = this.learned.get(hash);
    if (before === kind) return false;
    if (before !== undefined) this.forget(hash, tokens);
    this[kind]++;
    const side = kind === "ham" ? 0 : 1;
    for (const token of tokens()) {
      const counts = this.tokens.get(token);
      if (counts === undefined) this.tokens.set(token, kind === "ham" ? [1, 0] : [0, 1]);
      else counts[side]++;
    }
    this.learned.set(hash, kind);
    return true;
  }

  /** Takes a message back; false where it was not learned. */
  forget(hash: string, tokens: () => ReadonlySet<string>): boolean {
    const kind = this.learned.get(hash);
    if (kind === undefined) return false;
    this[kind]--;
    const side = kind === "ham" ? 0 : 1;
    for (const token of tokens()) {
      const counts = this.tokens.get(token);
      // Pruned since then.
      if (counts === undefined || counts[side] === 0) continue;
      counts[side]--;
      if (counts[0] + counts[1] === 0) this.tokens.delete(token);
    }
    this.learned.delete(hash);
    return true;
  }

  /** Adds what another model has counted; gives how many messages both have learned, and adds nothing then. */
  merge(other: Counts): number {
    let both = 0;
    for (const hash of other.learned.keys()) if (this.learned.has(hash)) both++;
    if (both > 0) return both;
    this.ham += other.ham;
    this.spam += other.spam;
    for (const [token, [ham, spam]] of other.tokens) {
      const counts = this.tokens.get(token);
      if (counts === undefined) this.tokens.set(token, [ham, spam]);
      else {
        counts[0] += ham;
        counts[1] += spam;
      }
    }
    for (const [hash, kind] of other.learned) this.learned.set(hash, kind);
    return 0;
  }
}

/** What a model file holds, or what is wrong with it. */
export function parseModel(text: string): Counts | { readonly problem: string } {
  const counts = new Counts();
  let at = text.indexOf("\n");
  if (at < 0 || text.slice(0, at).trimEnd() !== magic) {
    return { problem: `line 1: expected "${magic}"` };
  }
  for (let line = 2; at + 1 < text.length; line++) {
    const start = at + 1;
    const feed = text.indexOf("\n", start);
    at = feed < 0 ? text.length : feed;
    const [name = "", first = "", second = "", more] = text.slice(start, at).split("\t");
    const ham = count(first);
    const spam = count(second);
    const problem = (what: string) => ({ problem: `line ${line}: expected ${what}` });
    if (name === "" || more !== undefined) return problem("a token, a tab and two counts");
    if (name === "=messages") {
      if (ham === undefined || spam === undefined) return problem("two counts of messages");
      counts.ham += ham;
      counts.spam += spam;
    } else if (name === "=learned") {
      if (second !== "ham" && second !== "spam") return problem("a learned message's kind");
      counts.learned.set(first, second);
    } else if (ham === undefined || spam === undefined) {
      return problem("a token, a tab and two counts");
    } else {
      const before = counts.tokens.get(name);
      if (before === undefined) counts.tokens.set(name, [ham, spam]);
      else {
        before[0] += ham;
        before[1] += spam;
      }
    }
  }
  return counts;
}

function count(text: string): number | undefined {
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
}

/** A model in its file's form. */
export interface ModelText {
  readonly text: string;
  /** Tokens that it holds. */
  readonly tokens: number;
}

/**
 * The file of a model: one line a token, sorted. Above {@linkcode mostModelTokens} the rarest go until a quarter of the
 * room is free, so that new ones have a place to begin in.
 */
export function formatModel(counts: Counts, limit: number = mostModelTokens): ModelText {
  const floor = counts.tokens.size > limit ? commonest(counts, Math.floor(limit * 3 / 4)) : 0;
  const lines = [magic, `=messages\t${counts.ham}\t${counts.spam}`];
  let skip = counts.learned.size - mostLearned;
  for (const [hash, kind] of counts.learned) {
    if (skip-- <= 0) lines.push(`=learned\t${hash}\t${kind}`);
  }
  const rows: string[] = [];
  for (const [token, [ham, spam]] of counts.tokens) {
    if (ham + spam > floor) rows.push(`${token}\t${ham}\t${spam}`);
  }
  return { text: [...lines, ...rows.sort(), ""].join("\n"), tokens: rows.length };
}

/** The least sum of counts that must be exceeded, so that no more than `room` tokens are left. */
function commonest(counts: Counts, room: number): number {
  const bySum = new Map<number, number>();
  for (const [ham, spam] of counts.tokens.values()) {
    bySum.set(ham + spam, (bySum.get(ham + spam) ?? 0) + 1);
  }
  let left = counts.tokens.size;
  for (const sum of [...bySum.keys()].sort((a, b) => a - b)) {
    left -= bySum.get(sum)!;
    if (left <= room) return sum;
  }
  return 0;
}

/** A model that answers: tokens that say something, with their weight of evidence. */
export class Classifier {
  readonly ham: number;
  readonly spam: number;
  readonly #weights = new Map<string, number>();

  constructor(counts: Counts) {
    this.ham = counts.ham;
    this.spam = counts.spam;
    const inHam = counts.ham + 2 * smoothing;
    const inSpam = counts.spam + 2 * smoothing;
    for (const [token, [ham, spam]] of counts.tokens) {
      const weight = Math.log((spam + smoothing) / inSpam / ((ham + smoothing) / inHam));
      if (Math.abs(weight) >= least) this.#weights.set(token, weight);
    }
  }

  /** Tokens that say something. */
  get size(): number {
    return this.#weights.size;
  }

  /** Mean weight of evidence of a message's tokens: positive for spam, 0 for nothing known. */
  evidence(tokens: Iterable<string>): number {
    let sum = 0;
    let found = reserve;
    for (const token of tokens) {
      const weight = this.#weights.get(token);
      if (weight === undefined) continue;
      sum += weight;
      found++;
    }
    return sum / found;
  }

  /** The same as a probability of being spam, 0 to 1. */
  probability(tokens: Iterable<string>): number {
    return 1 / (1 + Math.exp(-steepness * this.evidence(tokens)));
  }
}

/** A band of probabilities, which is a symbol with points. */
export interface Band {
  readonly symbol: string;
  readonly points: number;
  readonly description: string;
  /** From this probability on. */
  readonly from: number;
}

/** The bands, from the highest on. */
export const bands: readonly Band[] = ([
  ["BAYES_9999", 10, 0.9999, 1],
  ["BAYES_999", 8, 0.999, 0.9999],
  ["BAYES_99", 6, 0.99, 0.999],
  ["BAYES_95", 4.5, 0.95, 0.99],
  ["BAYES_90", 3.2, 0.9, 0.95],
  ["BAYES_80", 2, 0.8, 0.9],
  ["BAYES_60", 0.8, 0.6, 0.8],
  ["BAYES_40", 0.2, 0.4, 0.6],
  ["BAYES_20", -0.8, 0.2, 0.4],
  ["BAYES_05", -1.6, 0.05, 0.2],
  ["BAYES_01", -2.4, 0.01, 0.05],
  ["BAYES_00", -3, 0, 0.01],
] as const).map(([symbol, points, from, to]) => ({
  symbol,
  points,
  from,
  description: `The classifier says spam with ${percent(from)} to ${percent(to)} %`,
}));

function percent(share: number): string {
  return String(Math.round(share * 10_000) / 100);
}

/** The band of a probability. */
export function bandOf(probability: number): Band {
  return bands.find(({ from }) => probability >= from)!;
}
