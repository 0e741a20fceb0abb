/**
 * An entry of the history as a person reads it: who, what every policy said, what the upstream said, what the client was
 * told, and why.
 *
 * Pure. Everything from the network is escaped.
 * @module
 */
import { visible } from "../../settings/problem.ts";
import type {
  HistoryEntry,
  HistoryRecipient,
  HistoryTransaction,
} from "../../telemetry/history.ts";
import { hanging, type Styles } from "../output.ts";
import { LABEL, rounded } from "./parts.ts";
import { policiesText } from "./policies.ts";
import { reasonText } from "./reason.ts";

/** What stands elsewhere, or is to stand here too. */
export interface Around {
  /** Shows the id. */
  readonly id?: boolean;
  /** Files that hold the message now, as they are shown. */
  readonly files?: readonly string[];
  /** What policies wrote into the log about it. */
  readonly log?: readonly string[];
}

/** Lines, indented by three. */
export function entryText(entry: HistoryEntry, style: Styles, around: Around = {}): string {
  const { transaction: tx } = entry;
  const { files = [], log = [] } = around;
  const line = (label: string, text: string): string =>
    hanging(`   ${style.dim(label.padEnd(LABEL))}`, text);
  const lines = (label: string, texts: readonly string[]): string[] =>
    texts.map((text, i) => line(i === 0 ? label : "", text));
  const why = reasonText(entry);
  return [
    ...(around.id === true ? [line("id", visible(entry.id))] : []),
    line("client", clientText(entry)),
    ...(tx === undefined ? [] : [line("envelope", envelopeText(tx))]),
    ...lines("refused", refusedTexts(tx, style)),
    policiesText(entry, style),
    ...(entry.omitted === undefined ? [] : [line("", `and ${entry.omitted} more decisions`)]),
    ...(tx === undefined ? [] : [line("score", scoreText(tx))]),
    ...lines("log", log.map(visible)),
    ...(tx === undefined ? [] : [line("upstream", upstreamText(entry, tx))]),
    line("answer", answerText(entry, style)),
    ...lines("file", files),
    line("time", `${entry.ms} ms`),
    ...(why === undefined ? [] : [line("why", visible(why))]),
  ].join("");
}

/** Green where it arrived, red where it did not. */
export function paintFate(fate: HistoryEntry["fate"], style: Styles): string {
  return fate === "delivered"
    ? style.green(fate)
    : fate === "refused"
    ? style.red(fate)
    : style.yellow(fate);
}

function clientText({ session }: HistoryEntry): string {
  const { address, name, helo, listener, tls, certificate, user, mechanism } = session;
  const who = name === undefined ? address : `${address} (${name})`;
  return visible([
    `${who}${helo === "" ? "" : ` as ${helo}`} to ${listener}`,
    tls?.split(" ", 1)[0] ?? "without TLS",
    ...(certificate === undefined ? [] : [`certificate of ${certificate}`]),
    ...(user === undefined ? [] : [`logged in as ${user} (${mechanism})`]),
  ].join(", "));
}

function envelopeText({ from, to, more, size, held }: HistoryTransaction): string {
  const others = more === undefined ? "" : ` and ${more} more`;
  const all = to.length === 0 ? "nobody" : `${to.join(", ")}${others}`;
  const where = held === undefined ? "" : held === "memory" ? ", held in memory" : ", held on disk";
  return visible(`${from} to ${all}, ${size} octets${where}`);
}

function refusedTexts(tx: HistoryTransaction | undefined, style: Styles): string[] {
  if (tx === undefined) return [];
  const texts = tx.refused.map((one) =>
    `${visible(one.to)} ${style.red(visible(one.reply))} (${visible(byText(one))})`
  );
  if (tx.refusedMore !== undefined) texts.push(`and ${tx.refusedMore} more`);
  return texts;
}

function byText({ by, plugin, cause }: HistoryRecipient): string {
  switch (by) {
    case "policy":
      return plugin ?? "a policy";
    case "upstream":
      return cause ?? "the upstream";
    case "down":
      return `the upstream could not be asked: ${cause ?? "it is away"}`;
    default:
      return by;
  }
}

function scoreText({ score, symbols }: HistoryTransaction): string {
  if (symbols.length === 0) return "0";
  const list = symbols.map(({ symbol, points }) => `${symbol} ${points}`).join(", ");
  return `${rounded(score)}: ${list}`;
}

function upstreamText({ fate, cause }: HistoryEntry, tx: HistoryTransaction): string {
  const { upstream, upstreamReply } = tx;
  if (upstream === undefined) return "not asked";
  const server = tx.server === undefined || tx.server.startsWith("maildir:")
    ? ""
    : ` (${tx.server})`;
  if (upstreamReply !== undefined) return visible(`${upstream}${server} said ${upstreamReply}`);
  return fate === "refused" || fate === "discarded" || fate === "aborted"
    ? `${upstream} never saw the end of the message, so it has nothing`
    : visible(`${upstream}${server} gave no answer${cause === undefined ? "" : `: ${cause}`}`);
}

function answerText({ reply, fate, reached }: HistoryEntry, style: Styles): string {
  if (reply !== undefined) {
    return (fate === "delivered" ? style.green : style.red)(visible(reply));
  }
  return reached === "auth" ? style.red("the login was refused") : "nobody was left to tell";
}
