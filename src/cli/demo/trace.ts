/**
 * A transaction's record as a person reads it: who, what every policy said, what the upstream said, what the client was told.
 *
 * Pure. Everything from the network is escaped.
 * @module
 */
import type { TraceEntry } from "../../pipeline/trace.ts";
import type { TransactionRecord } from "../../server/record.ts";
import { visible } from "../../settings/problem.ts";
import { formatPath } from "../../wire/path.ts";
import type { HeaderEdit } from "../../wire/headers.ts";
import { hanging, type Styles } from "../output.ts";
import { replyText } from "../send/failure.ts";

/** What the record does not know. */
export interface TraceContext {
  /** The plugins that were asked, in order. */
  readonly plugins: readonly string[];
  /** Files that hold the message now, as they are shown. */
  readonly files: readonly string[];
  /** What policies wrote into the log about it. */
  readonly log: readonly string[];
}

const LABEL = 10;

/** Lines, indented by three. */
export function recordText(
  record: TransactionRecord,
  { plugins, files, log }: TraceContext,
  style: Styles,
): string {
  const { transaction: tx } = record;
  const line = (label: string, text: string): string =>
    hanging(`   ${style.dim(label.padEnd(LABEL))}`, text);
  return [
    line("client", clientText(record)),
    line("envelope", envelopeText(record)),
    policies(record, plugins, style),
    line("score", scoreText(tx.score, tx.symbols)),
    ...log.map((text, i) => line(i === 0 ? "log" : "", visible(text))),
    line("upstream", upstreamText(record)),
    line("answer", answerText(record, style)),
    ...files.map((file, i) => line(i === 0 ? "file" : "", file)),
    line("time", `${record.ms} ms`),
  ].join("");
}

function clientText({ transaction: { session } }: TransactionRecord): string {
  const { remote, helo, tls, identity, listener } = session;
  return visible([
    `${remote.address} as ${helo} to ${listener}`,
    tls?.version ?? "without TLS",
    ...(identity === undefined ? [] : [`logged in as ${identity.user} (${identity.mechanism})`]),
  ].join(", "));
}

function envelopeText({ transaction: { from, recipients, size } }: TransactionRecord): string {
  const to = recipients.map(formatPath).join(", ");
  return visible(`${formatPath(from)} to ${to}, ${size} octets`);
}

/** One thing that a policy said, or its silence. */
interface Row {
  readonly plugin: string;
  readonly stage: string;
  readonly time: string;
  readonly text: string;
}

/** One line for each thing a policy said, and one for each that had nothing to say. */
function policies(record: TransactionRecord, plugins: readonly string[], style: Styles): string {
  const rows = rowsOf(record, plugins, style);
  const widest = (of: (row: Row) => string): number =>
    Math.max(...rows.map((row) => of(row).length));
  const plugin = widest((row) => row.plugin);
  const stage = widest((row) => row.stage);
  const time = widest((row) => row.time);
  return rows.map((row, i) => {
    const label = style.dim((i === 0 ? "policies" : "").padEnd(LABEL));
    const facts = `${row.stage.padEnd(stage)}  ${row.time.padStart(time)}`;
    return hanging(`   ${label}${row.plugin.padEnd(plugin)}  ${style.dim(facts)}  `, row.text);
  }).join("");
}

function rowsOf(
  { transaction: { trace, session } }: TransactionRecord,
  plugins: readonly string[],
  style: Styles,
): readonly Row[] {
  const rows: Row[] = [];
  const silent = style.dim("no objection");
  if (session.identity !== undefined) {
    const text = `knows ${visible(session.identity.user)}`;
    rows.push({ plugin: "auth-file", stage: "auth", time: "", text });
  }
  const spoke = new Set(trace.entries.map(({ plugin }) => plugin));
  for (const plugin of plugins) {
    if (spoke.has(plugin) || plugin === "auth-file") continue;
    rows.push({ plugin, stage: "", time: "", text: silent });
  }
  for (const { plugin, stage, entries } of inGroups(trace.entries)) {
    const ms = entries.reduce((sum, entry) => sum + entry.ms, 0);
    const time = ms === 0 ? "<1 ms" : `${ms} ms`;
    const edits = entries.flatMap((entry) => entry.edits ?? []);
    const said = entries.flatMap((entry) => opinions(entry, style));
    if (edits.length > 0) said.push(`${editsText(edits)}${shadowText(entries[0])}`);
    for (const [i, text] of (said.length === 0 ? [silent] : said).entries()) {
      rows.push(
        i === 0 ? { plugin, stage, time, text } : { plugin: "", stage: "", time: "", text },
      );
    }
  }
  return rows.length === 0 ? [{ plugin: "none", stage: "", time: "", text: "" }] : rows;
}

/** What one policy said at one stage, all together. */
function inGroups(entries: readonly TraceEntry[]) {
  const groups: { plugin: string; stage: string; entries: TraceEntry[] }[] = [];
  for (const entry of entries) {
    const { plugin, stage } = entry;
    const last = groups.at(-1);
    if (last?.plugin === plugin && last.stage === stage) last.entries.push(entry);
    else groups.push({ plugin, stage, entries: [entry] });
  }
  return groups;
}

function opinions(entry: TraceEntry, style: Styles): readonly string[] {
  return [
    ...(entry.failure === undefined ? [] : [style.red(`failed: ${visible(entry.failure)}`)]),
    ...(entry.verdict === "pass" ? [] : [`${opinion(entry, style)}${shadowText(entry)}`]),
  ];
}

function opinion(entry: TraceEntry, style: Styles): string {
  const evidence = entry.evidence === undefined ? "" : ` (${visible(entry.evidence)})`;
  switch (entry.verdict) {
    case "score": {
      const points = entry.points ?? 0;
      return style.yellow(`${points < 0 ? "" : "+"}${points} ${entry.symbol ?? ""}`) + evidence;
    }
    case "refuse":
    case "drop":
    case "defer":
      return style.red(`${entry.verdict} ${entry.code ?? ""}`) + evidence;
    default:
      return `${entry.verdict}${evidence}`;
  }
}

function shadowText(entry: TraceEntry | undefined): string {
  return entry?.shadow ? " (shadow)" : "";
}

/** `adds X-One, X-Two, removes X-Three`. */
function editsText(edits: readonly HeaderEdit[]): string {
  let last = "";
  return edits.map((edit) => {
    const verb = verbOf(edit);
    const again = verb === last;
    last = verb;
    return again ? edit.name : `${verb} ${edit.name}`;
  }).join(", ");
}

function verbOf({ edit }: HeaderEdit): string {
  return edit === "prepend" || edit === "append" ? "adds" : `${edit}s`;
}

function scoreText(
  score: number,
  symbols: TransactionRecord["transaction"]["symbols"],
): string {
  if (symbols.length === 0) return "0";
  const list = symbols.map(({ symbol, points }) => `${symbol} ${points}`).join(", ");
  return `${Math.round(score * 100) / 100}: ${list}`;
}

function upstreamText({ upstream, upstreamReply, fate, cause }: TransactionRecord): string {
  if (upstream === undefined) return "not asked";
  if (upstreamReply !== undefined) return `${upstream} said ${replyText(upstreamReply)}`;
  return fate === "refused" || fate === "discarded" || fate === "aborted"
    ? `${upstream} never saw the end of the message, so it has nothing`
    : `${upstream} gave no answer${cause === undefined ? "" : `: ${visible(cause)}`}`;
}

function answerText({ reply, fate }: TransactionRecord, style: Styles): string {
  if (reply === undefined) return "nobody was left to tell";
  return (fate === "delivered" ? style.green : style.red)(replyText(reply));
}
