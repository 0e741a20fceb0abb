/**
 * A transaction's record as a person reads it: who, what every policy said, what the upstream said, what the client was told.
 *
 * Pure. Everything from the network is escaped.
 * @module
 */
import type { TraceEntry } from "../pipeline/trace.ts";
import type { TransactionRecord } from "../server/record.ts";
import { visible } from "../settings/problem.ts";
import { formatPath } from "../wire/path.ts";
import type { HeaderEdit } from "../wire/headers.ts";
import { hanging, type Styles, table } from "./output.ts";
import { replyText } from "./send_failure.ts";

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

/** One line for each thing a policy said, and one for each that had nothing to say. */
function policies(
  { transaction: { trace, session } }: TransactionRecord,
  plugins: readonly string[],
  style: Styles,
): string {
  const rows: string[][] = [];
  if (session.identity !== undefined) {
    rows.push(["auth-file", style.dim("auth"), "", `knows ${visible(session.identity.user)}`]);
  }
  const spoke = new Set(trace.entries.map(({ plugin }) => plugin));
  for (const plugin of plugins) {
    if (!spoke.has(plugin) && plugin !== "auth-file") {
      rows.push([plugin, "", "", style.dim("no objection")]);
    }
  }
  let last: TraceEntry | undefined;
  for (const entry of trace.entries) {
    const again = entry.plugin === last?.plugin && entry.stage === last.stage;
    rows.push([
      again ? "" : entry.plugin,
      again ? "" : style.dim(entry.stage),
      again ? "" : style.dim((entry.ms === 0 ? "<1 ms" : `${entry.ms} ms`).padStart(5)),
      verdictText(entry, style),
    ]);
    last = entry;
  }
  const text = table(rows.length === 0 ? [[style.dim("none")]] : rows, " ".repeat(3 + LABEL));
  return `   ${style.dim("policies")}${text.slice(3 + "policies".length)}`;
}

function verdictText(entry: TraceEntry, style: Styles): string {
  const words = [
    ...(entry.verdict === "pass" ? [] : [opinion(entry, style)]),
    ...(entry.edits ?? []).map(editText),
    ...(entry.failure === undefined ? [] : [style.red(`failed: ${visible(entry.failure)}`)]),
    ...(entry.shadow ? ["(shadow)"] : []),
  ];
  return words.length === 0 ? style.dim("no objection") : words.join(", ");
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

function editText(edit: HeaderEdit): string {
  switch (edit.edit) {
    case "prepend":
    case "append":
      return `adds ${edit.name}`;
    case "replace":
      return `replaces ${edit.name}`;
    case "remove":
      return `removes ${edit.name}`;
    case "rename":
      return `renames ${edit.name} to ${edit.to}`;
  }
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
