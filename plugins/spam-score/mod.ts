/**
 * spam-score: weighted rules over HELO, envelope, header and body, a classifier that learns, and thresholds to tag,
 * quarantine, defer or refuse.
 *
 * Owns: its own points; the `X-Spam-` fields, of which only ours leave. Decides over the sum of all plugins' points.
 * Never: tells the client which rules it met; learns by itself; keeps more than the beginning of a body.
 * @module
 */
import type {
  ContentContext,
  HeaderView,
  Manifest,
  OptionsSchema,
  PluginModule,
  Score,
  TransactionContext,
  TransactionFacts,
  Verdict,
} from "@postern/postern/plugin";
import { bandOf, bands } from "./bayes.ts";
import { Collector, Content } from "./content.ts";
import { TestStringFinder } from "./gtube.ts";
import { Message } from "./message.ts";
import { type Options, schema } from "./options.ts";
import { bodyRules, envelopeRules, headerRules, testRule } from "./rules.ts";
import { Scoring } from "./scoring.ts";
import { tokensOf } from "./tokens.ts";
import { followModel, type Trained } from "./trained.ts";

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "2.0.0", reads: ["score"] };

export type { Options };

/** What is kept of one transaction between its header and its end. */
interface Kept {
  readonly message: Message;
  readonly finder: TestStringFinder | undefined;
  readonly collector: Collector | undefined;
}

/** Why a message is refused, for the trace. */
function over(sum: number, threshold: number): string {
  return `${sum.toFixed(1)} points, threshold ${threshold}`;
}

/** Symbols that a log line or a header field names. */
const mostSymbols = 100;

const spamScore: PluginModule<Options> = async (edge, options) => {
  const scoring = new Scoring(edge, options.weights);
  const early = scoring.weighted(envelopeRules);
  const late = scoring.weighted(headerRules);
  const deep = scoring.weighted(bodyRules);
  const testPoints = scoring.points(testRule);
  const bandPoints = new Map(bands.map((band) => [band, scoring.points(band)]));
  const trained: Trained | undefined = options.bayes === undefined
    ? undefined
    : await followModel(edge, options.bayes);
  const readsBody = deep.length > 0 || trained !== undefined;
  const prefix = `${options.tag_header.toLowerCase()}-`;
  const kept = new WeakMap<TransactionFacts, Kept>();
  const quarantine = edge.quarantine("Likely spam", options.quarantine_upstream);

  function data(tx: TransactionFacts): readonly Score[] | undefined {
    const scores = scoring.ask(early, tx.session, {
      session: tx.session,
      tx,
      now: edge.clock.now(),
    });
    return scores.length === 0 ? undefined : scores;
  }

  function header(view: HeaderView, { session, tx }: TransactionContext) {
    const message = new Message({ session, tx, now: edge.clock.now() }, view, prefix);
    const scores = scoring.ask(late, session, message);
    // Whoever filters behind us believes these fields: those of the client are forged.
    for (const name of message.spamFields) view.remove(name);
    if (options.tag_at !== undefined && !options.hold) tag(view, tx, scores, options.tag_at);
    if (testPoints !== 0 || readsBody) {
      kept.set(tx, {
        message,
        finder: testPoints === 0 ? undefined : new TestStringFinder(),
        collector: readsBody ? new Collector() : undefined,
      });
    }
    return scores.length === 0 ? undefined : scores;
  }

  function tag(view: HeaderView, tx: TransactionFacts, own: readonly Score[], tagAt: number): void {
    const sum = total(tx, own);
    const spam = sum >= tagAt;
    if (spam) {
      view.append(`${options.tag_header}-Score`, sum.toFixed(1));
      view.append(`${options.tag_header}-Flag`, "YES");
    }
    view.append(
      `${options.tag_header}-Status`,
      `${spam ? "Yes" : "No"}, score=${sum.toFixed(1)} required=${tagAt.toFixed(1)} tests=${
        names(tx, own) || "none"
      }`,
    );
  }

  function observe(chunk: Uint8Array, { tx }: TransactionContext): void {
    const state = kept.get(tx);
    state?.finder?.feed(chunk);
    state?.collector?.feed(chunk);
  }

  /** What the body says. */
  function judge(tx: TransactionFacts): Score[] {
    const state = kept.get(tx);
    if (state === undefined) return [];
    const { message, finder, collector } = state;
    const scores = finder?.found === true ? [edge.score(testPoints, testRule.symbol)] : [];
    if (collector === undefined) return scores;
    const content = new Content(collector.octets, message.partHeader, collector.complete);
    scores.push(...scoring.ask(deep, tx.session, content, message));
    const classifier = trained?.classifier;
    if (classifier !== undefined) {
      const probability = classifier.probability(tokensOf(message, content));
      const band = bandOf(probability);
      const points = bandPoints.get(band)!;
      if (points !== 0) scores.push(edge.score(points, band.symbol, probability.toFixed(4)));
    }
    return scores;
  }

  function end(tx: TransactionFacts, { header }: ContentContext) {
    const own = judge(tx);
    if (options.hold && header !== undefined && options.tag_at !== undefined) {
      tag(header, tx, own, options.tag_at);
    }
    const sum = total(tx, own);
    const verdict = ruling(sum);
    if (verdict === undefined) return own.length === 0 ? undefined : own;
    const [counter, words] = told[verdict.verdict];
    edge.metrics.count(counter);
    edge.log.info(words, { tx: tx.id, score: sum, symbols: names(tx, own) });
    return own.length === 0 ? verdict : [...own, verdict];
  }

  function ruling(sum: number) {
    const { quarantine_at, defer_at, refuse_at } = options;
    if (refuse_at !== undefined && sum >= refuse_at) {
      return edge.refuse(550, "5.7.1", "Message refused as spam", over(sum, refuse_at));
    }
    if (defer_at !== undefined && sum >= defer_at) {
      const later = "Message deferred, try again later";
      return edge.defer(451, "4.7.1", later, over(sum, defer_at));
    }
    if (quarantine_at !== undefined && sum >= quarantine_at) return quarantine;
    return undefined;
  }

  const observes = testPoints !== 0 || readsBody;
  return {
    name: "spam-score",
    onError: "pass",
    holdBody: options.hold,
    hooks: { data, header, ...(observes ? { body: { observe } } : {}), end },
    ...(trained === undefined ? {} : { close: () => trained.stop() }),
  };
};

export default spamScore;

/** Counter and log line of each verdict. */
const told = {
  refuse: ["refused", "Refused as spam"],
  defer: ["deferred", "Deferred as likely spam"],
  quarantine: ["quarantined", "Quarantined as likely spam"],
} as const satisfies Partial<Record<Verdict["verdict"], readonly [string, string]>>;

/** All points so far. Sums of decimal fractions are off in the last binary digit: 5.0 must reach 5. */
function total(tx: TransactionFacts, own: readonly Score[]): number {
  const sum = own.reduce((sum, { points }) => sum + points, tx.score);
  return Math.round(sum * 1000) / 1000;
}

function names(tx: TransactionFacts, own: readonly Score[]): string {
  return [...tx.symbols, ...own].slice(0, mostSymbols).map(({ symbol }) => symbol).join(",");
}
