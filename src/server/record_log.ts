/**
 * The log line of a transaction: one line, everything that matters, nothing of the content.
 * @module
 */
import type { Log } from "../telemetry/log.ts";
import type { TransactionRecord } from "./record.ts";

/** Logs a transaction that is over. */
export function logRecord(log: Log, record: TransactionRecord): void {
  const { transaction: tx, fate, reply, upstreamReply, wouldHave } = record;
  const level = fate === "unknown" ? "error" : "info";
  if (!log.takes(level)) return;
  log.event(level, fate, {
    id: tx.id,
    client: tx.session.remote.address,
    user: tx.session.identity?.user,
    from: tx.from === null ? "<>" : tx.from.address,
    to: tx.recipients.length === 1
      ? tx.recipients[0]?.address
      : `${tx.recipients.length} recipients`,
    size: tx.size,
    score: tx.score === 0 ? undefined : tx.score,
    upstream: record.upstream,
    server: record.server,
    reply: reply === undefined ? undefined : `${reply.code} ${reply.enhanced ?? ""}`.trim(),
    upstream_reply: upstreamReply === undefined
      ? undefined
      : `${upstreamReply.code} ${upstreamReply.enhanced ?? ""} ${upstreamReply.lines.join(" ")}`,
    cause: record.cause,
    held: record.held,
    would_have: wouldHave === undefined ? undefined : `${wouldHave.verdict} ${wouldHave.plugin}`,
    ms: record.ms,
  });
}
