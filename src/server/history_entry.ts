/**
 * Records as entries of the history: addresses, decisions, replies; no content, and of header edits the names only (R18).
 *
 * Everything in an entry is bounded, whatever a client or a plugin does: a transaction is a line, not a page (R29).
 * @module
 */
import type { DecisionTrace, TraceEntry } from "../pipeline/trace.ts";
import type { SessionFacts } from "../plugin/facts.ts";
import type {
  HistoryDecision,
  HistoryEntry,
  HistorySession,
  HistoryTransaction,
} from "../telemetry/history.ts";
import { formatPath } from "../wire/path.ts";
import type { Reply } from "../wire/reply.ts";
import type { Decisions, RefusalRecord, RefusedRecipients, TransactionRecord } from "./record.ts";

/** Most decisions of a session, and of a transaction: the last ones, for they decide. */
const sessionDecisions = 20;
const transactionDecisions = 200;
const mostNames = 100;
const mostText = 500;

/** A transaction that is over. */
export function transactionEntry(record: TransactionRecord, now: number): HistoryEntry {
  const { transaction: tx, fate, reply, decisions, upstreamReply } = record;
  return {
    id: tx.id,
    time: now,
    fate,
    reached: tx.reached,
    plugin: record.plugin,
    reply: reply === undefined ? undefined : replyText(reply),
    cause: record.cause === undefined ? undefined : cut(record.cause),
    ms: record.ms,
    session: sessionOf(tx.session),
    transaction: {
      ...envelopeOf(record.transaction, record.refusedRecipients),
      held: record.held,
      upstream: record.upstream,
      server: record.server,
      upstreamReply: upstreamReply === undefined ? undefined : replyText(upstreamReply),
    },
    ...saidOf(decisions, tx.trace),
  };
}

/** A refusal before any content. */
export function refusalEntry(record: RefusalRecord, now: number): HistoryEntry {
  const { session, transaction: tx, reply, decisions } = record;
  return {
    id: tx?.id ?? session.id,
    time: now,
    fate: reply !== undefined && reply.code < 500 ? "deferred" : "refused",
    reached: record.stage,
    plugin: record.plugin,
    reply: reply === undefined ? undefined : replyText(reply),
    ms: now - session.startedAt,
    session: sessionOf(session),
    ...(tx === undefined ? {} : { transaction: envelopeOf(tx, record.refusedRecipients) }),
    ...saidOf(decisions, tx?.trace),
  };
}

function sessionOf(session: SessionFacts): HistorySession {
  const { id, listener, remote, helo, esmtp, tls, identity } = session;
  return {
    id,
    listener,
    address: remote.address,
    port: remote.port,
    name: session.clientName,
    helo,
    esmtp,
    tls: tls === undefined ? undefined : `${tls.version} ${tls.cipher}`,
    certificate: tls?.peer?.subject,
    user: identity?.user,
    mechanism: identity?.mechanism,
  };
}

function envelopeOf(
  tx: TransactionRecord["transaction"],
  refused: RefusedRecipients | undefined,
): HistoryTransaction {
  const { recipients } = tx;
  const more = recipients.length - mostNames;
  return {
    from: formatPath(tx.from),
    to: recipients.slice(0, mostNames).map(formatPath),
    more: more > 0 ? more : undefined,
    refused: refused === undefined ? [] : refused.list.map(({ address, by, plugin, ...said }) => ({
      to: `<${address}>`,
      by,
      plugin,
      reply: replyText(said.reply),
      cause: said.cause === undefined ? undefined : cut(said.cause),
    })),
    refusedMore: refused === undefined || refused.more === 0 ? undefined : refused.more,
    size: tx.size,
    score: tx.score,
    symbols: tx.symbols.slice(0, mostNames),
  };
}

function saidOf(
  { asked, trace }: Decisions,
  during: DecisionTrace | undefined,
): Pick<HistoryEntry, "asked" | "decisions" | "omitted"> {
  const before = trace.entries.slice(-sessionDecisions);
  const entries = during?.entries ?? [];
  const own = entries.slice(-transactionDecisions);
  const left = trace.omitted + (during?.omitted ?? 0) +
    trace.entries.length - before.length + entries.length - own.length;
  return {
    asked: asked.map(({ plugin, shadow, conditional, stages }) => ({
      plugin,
      shadow,
      skipped: conditional && !trace.asked.has(plugin) && during?.asked.has(plugin) !== true ||
        undefined,
      stages,
    })),
    decisions: [...before.map(decisionOf), ...own.map(decisionOf)],
    omitted: left === 0 ? undefined : left,
  };
}

function decisionOf(entry: TraceEntry): HistoryDecision {
  const { code, edits, rewrite } = entry;
  return {
    stage: entry.stage,
    plugin: entry.plugin,
    verdict: entry.verdict,
    points: entry.points,
    symbol: entry.symbol,
    evidence: entry.evidence,
    reply: code === undefined
      ? undefined
      : `${code} ${entry.enhanced ?? ""} ${entry.text ?? ""}`.replace("  ", " ").trim(),
    ms: entry.ms,
    shadow: entry.shadow || undefined,
    failure: entry.failure === undefined ? undefined : cut(entry.failure),
    edits: edits?.slice(0, mostNames).map((edit) => ({
      edit: edit.edit,
      name: edit.name,
      to: edit.edit === "rename" ? edit.to : undefined,
    })),
    rewrite: rewrite === undefined ? undefined : {
      from: rewrite.from,
      to: rewrite.to?.slice(0, mostNames),
      upstream: rewrite.upstream,
    },
  };
}

/** `550 5.7.1 Relaying denied` */
function replyText({ code, enhanced, lines }: Reply): string {
  return cut(`${code}${enhanced === undefined ? "" : ` ${enhanced}`} ${lines.join(" ")}`.trim());
}

function cut(text: string): string {
  return text.length > mostText ? `${text.slice(0, mostText)}...` : text;
}
