/**
 * Why an entry ended as it did, and what would have let it pass, in a sentence or two. Says only what the entry proves: what
 * was not asked any more might have objected as well.
 * @module
 */
import type {
  HistoryDecision,
  HistoryEntry,
  HistoryRecipient,
  HistoryTransaction,
} from "../../telemetry/history.ts";
import { notAsked } from "./policies.ts";
import { rounded } from "./parts.ts";

/** Undefined where there is nothing to say: it was delivered and nobody would have stopped it. */
export function reasonText(entry: HistoryEntry): string | undefined {
  const said = [endOf(entry), shadowsOf(entry)].filter((part) => part !== undefined);
  return said.length === 0 ? undefined : said.join(" ");
}

function endOf(entry: HistoryEntry): string | undefined {
  const { fate, plugin, reached, cause, reply = "", transaction: tx } = entry;
  if (fate === "delivered") return undefined;
  if (fate === "unknown") {
    return "The upstream was lost behind the final dot, so it may have the message. The client was told to come again.";
  }
  if (fate === "aborted") return `The client did not finish: ${cause ?? "it went away"}.`;
  if (fate === "discarded") {
    return `${plugin ?? "A policy"} had it accepted and thrown away: ${
      cause ?? "without a reason"
    }.`;
  }
  if (fate === "quarantined") {
    return `${plugin ?? "A policy"} had it delivered to ${tx?.upstream ?? "another upstream"}: ${
      cause ?? "without a reason"
    }.`;
  }
  if (reached === "auth") {
    return plugin === undefined
      ? "No authenticator knew the login."
      : `${plugin} refused the login.`;
  }
  const first = tx?.refused.at(-1);
  if (reached === "rcpt" && first !== undefined) return recipientReason(entry, first);
  if (plugin !== undefined) return policyReason(entry, plugin);
  if (tx?.upstreamReply !== undefined) {
    return `No policy objected: ${serverOf(tx)} answered ${tx.upstreamReply}.`;
  }
  if (tx?.upstream !== undefined && cause !== undefined) {
    return `No policy objected: ${serverOf(tx)} failed: ${cause}.`;
  }
  return `No policy objected: Postern itself refused it, by its limits: ${reply}.`;
}

function serverOf({ upstream, server }: HistoryTransaction): string {
  return `the upstream ${upstream}${server === undefined ? "" : ` (${server})`}`;
}

function recipientReason(entry: HistoryEntry, recipient: HistoryRecipient): string {
  const { to, by, plugin, cause } = recipient;
  switch (by) {
    case "policy":
      return policyReason(entry, plugin ?? "a policy");
    case "no route": {
      const domain = to.slice(to.lastIndexOf("@") + 1, -1);
      const login = entry.session.user === undefined ? " without a login" : "";
      return `No route takes mail for ${domain} by ${entry.session.listener}${login}. With a [[routes]] entry for it, it would have gone on.`;
    }
    case "another route":
      return "Its recipients have different routes: the client sends the others in another transaction.";
    case "upstream":
      return `No policy objected to ${to}: ${cause ?? "the upstream did"}.`;
    case "down":
      return `No policy objected: the upstream could not be asked: ${cause ?? "it is away"}.`;
  }
}

function policyReason(entry: HistoryEntry, plugin: string): string {
  const { reached, transaction: tx } = entry;
  const mine = entry.decisions.findLast((one) => one.plugin === plugin && isRefusal(one));
  const stage = mine?.stage ?? reached;
  const failure = mine?.failure;
  if (failure !== undefined) {
    return `${plugin} failed at ${stage} (${failure}), and its on_error stood in with ${
      mine?.reply ?? "a refusal"
    }. With on_error = "pass" it would have gone on${onward(entry)}.`;
  }
  const what = mine?.verdict === "defer" ? "Deferred" : "Refused";
  const evidence = mine?.evidence === undefined ? "" : `: ${mine.evidence}`;
  const others = entry.decisions
    .filter((one) => one.plugin !== plugin && isRefusal(one) && one.stage === stage)
    .map((one) => one.plugin);
  const otherwise = others.length === 0
    ? `Nobody else had objected: without ${plugin} it would have gone on${onward(entry)}.`
    : `So had ${[...new Set(others)].join(", ")}.`;
  return `${what} by ${plugin} at ${stage}${scoreOf(tx)}${evidence}. ${otherwise}`;
}

/** ` with 18.2 points (GTUBE 1000, FORGED_DATE 3.1)`, the heaviest symbols first. */
function scoreOf(tx: HistoryTransaction | undefined): string {
  if (tx === undefined || tx.symbols.length === 0) return "";
  const heaviest = tx.symbols.toSorted((a, b) => b.points - a.points).slice(0, 5);
  const list = heaviest.map(({ symbol, points }) => `${symbol} ${points}`).join(", ");
  return ` with ${rounded(tx.score)} points (${list}${tx.symbols.length > 5 ? ", ..." : ""})`;
}

/** Whom it would have come to. */
function onward(entry: HistoryEntry): string {
  const next = [
    ...notAsked(entry),
    ...(entry.transaction?.upstream === undefined
      ? []
      : [`the upstream ${entry.transaction.upstream}`]),
  ];
  return next.length === 0 ? "" : ` to ${next.join(", ")}`;
}

function isRefusal({ verdict, shadow }: HistoryDecision): boolean {
  return shadow !== true && (verdict === "refuse" || verdict === "defer" || verdict === "drop");
}

function shadowsOf({ decisions }: HistoryEntry): string | undefined {
  const would = decisions.filter(({ verdict, shadow }) =>
    shadow === true && ["refuse", "defer", "drop", "quarantine", "discard"].includes(verdict)
  );
  if (would.length === 0) return undefined;
  const list = would.map(({ plugin, stage, verdict, reply }) =>
    `${plugin} at ${stage} (${reply ?? verdict})`
  );
  return `Out of shadow mode it would have been stopped by ${[...new Set(list)].join(", ")}.`;
}
