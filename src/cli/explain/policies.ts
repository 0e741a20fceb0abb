/**
 * The policies of an entry: one line for each thing that one of them said, one for each that had nothing to say, and who was
 * not asked any more.
 * @module
 */
import { visible } from "../../settings/problem.ts";
import type { HistoryAsked, HistoryDecision, HistoryEntry } from "../../telemetry/history.ts";
import { hanging, type Styles } from "../output.ts";
import { LABEL } from "./parts.ts";

/** In the order of a transaction. */
const STAGES = ["connect", "helo", "auth", "mail", "rcpt", "data", "header", "body", "end"];

interface Row {
  readonly plugin: string;
  readonly stage: string;
  readonly time: string;
  readonly text: string;
}

/** Lines, indented by three. */
export function policiesText(entry: HistoryEntry, style: Styles): string {
  const rows = rowsOf(entry, style);
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

/** The policies that were not asked, because the answer was known before their stage or place. */
export function notAsked(entry: HistoryEntry): readonly string[] {
  const place = (name: string | undefined): number => {
    const at = entry.asked.findIndex(({ plugin }) => plugin === name);
    return at < 0 ? Infinity : at;
  };
  const refuser = place(entry.plugin);
  const knower = place(entry.decisions.find(knows)?.plugin);
  return entry.asked
    .filter((asked, i) =>
      asked.stages.length > 0 && asked.skipped !== true &&
      !wasAsked(entry, asked, i > refuser, i > knower)
    )
    .map(({ plugin }) => plugin);
}

/** It has let the client log in. */
function knows({ stage, verdict, failure, shadow }: HistoryDecision): boolean {
  return stage === "auth" && verdict === "pass" && failure === undefined && shadow !== true;
}

/** `behind`: it stands behind the one that refused; `known`: behind the authenticator that knew the login. */
function wasAsked(
  entry: HistoryEntry,
  { plugin, stages }: HistoryAsked,
  behind: boolean,
  known: boolean,
): boolean {
  if (entry.decisions.some((decision) => decision.plugin === plugin)) return true;
  const last = STAGES.indexOf(entry.reached);
  const tried = entry.session.user !== undefined ||
    entry.decisions.some(({ stage }) => stage === "auth");
  return stages.some((stage) => {
    const place = STAGES.indexOf(stage);
    if (stage === "auth" && (!tried || known)) return false;
    return place < last || place === last && !behind;
  });
}

function rowsOf(entry: HistoryEntry, style: Styles): readonly Row[] {
  const silent = style.dim("no objection");
  const rows: Row[] = [];
  const spoke = new Set(entry.decisions.map(({ plugin }) => plugin));
  const left = new Set(notAsked(entry));
  for (const { plugin, stages, skipped } of entry.asked) {
    if (spoke.has(plugin) || stages.length === 0 || left.has(plugin)) continue;
    const text = skipped === true ? style.dim("not for this one") : silent;
    rows.push({ plugin: visible(plugin), stage: "", time: "", text });
  }
  for (const { plugin, stage, decisions } of inGroups(entry.decisions)) {
    const ms = decisions.reduce((sum, decision) => sum + decision.ms, 0);
    const time = ms === 0 ? "<1 ms" : `${ms} ms`;
    const said = decisions.flatMap((decision) => opinions(decision, entry, style));
    const edits = decisions.flatMap((decision) => decision.edits ?? []);
    if (edits.length > 0) said.push(editsText(edits, decisions[0]?.shadow === true));
    for (const [i, text] of (said.length === 0 ? [silent] : said).entries()) {
      rows.push(
        i === 0
          ? { plugin: visible(plugin), stage, time, text }
          : { plugin: "", stage: "", time: "", text },
      );
    }
  }
  for (const plugin of left) {
    rows.push({ plugin: visible(plugin), stage: "", time: "", text: style.dim("not asked") });
  }
  return rows.length === 0 ? [{ plugin: "none", stage: "", time: "", text: "" }] : rows;
}

/** What one policy said at one stage, all together. */
function inGroups(all: readonly HistoryDecision[]) {
  const groups: { plugin: string; stage: string; decisions: HistoryDecision[] }[] = [];
  for (const decision of all) {
    const { plugin, stage } = decision;
    const last = groups.at(-1);
    if (last?.plugin === plugin && last.stage === stage) last.decisions.push(decision);
    else groups.push({ plugin, stage, decisions: [decision] });
  }
  return groups;
}

function opinions(
  decision: HistoryDecision,
  { session }: HistoryEntry,
  style: Styles,
): readonly string[] {
  const { verdict, failure, shadow } = decision;
  const said: string[] = [];
  if (failure !== undefined) said.push(style.red(`failed: ${visible(failure)}`));
  const evidence = decision.evidence === undefined ? "" : ` (${visible(decision.evidence)})`;
  if (verdict !== "pass") {
    said.push(`${opinion(decision, style)}${evidence}${shadow === true ? " (shadow)" : ""}`);
  } else if (knows(decision) && session.user !== undefined) {
    said.push(`knows ${visible(session.user)}`);
  } else if (evidence !== "") said.push(`${style.dim("no objection")}${evidence}`);
  return said;
}

function opinion(decision: HistoryDecision, style: Styles): string {
  const { verdict, shadow, points = 0, symbol = "", reply = "", rewrite } = decision;
  const said = visible(reply);
  switch (verdict) {
    case "score": {
      const given = style.yellow(`${points < 0 ? "" : "+"}${points} ${symbol}`);
      return shadow ? `would have given ${given}` : given;
    }
    case "refuse":
      return style.red(shadow ? `would have refused with ${said}` : `refuse ${said}`);
    case "drop":
      return style.red(shadow ? `would have hung up with ${said}` : `drop ${said}`);
    case "defer":
      return style.red(shadow ? `would have deferred with ${said}` : `defer ${said}`);
    case "rewrite": {
      const to = rewrite?.to?.map((each) => `<${each}>`).join(", ");
      const parts = [
        ...(said === "" ? [] : [`the reply, to ${said}`]),
        ...(rewrite?.from === undefined ? [] : [`the sender, to <${rewrite.from}>`]),
        ...(to === undefined ? [] : [`the recipient, to ${to}`]),
        ...(rewrite?.upstream === undefined ? [] : [`the upstream, to ${rewrite.upstream}`]),
      ];
      return `${shadow ? "would have rewritten" : "rewrites"} ${visible(parts.join(", "))}`.trim();
    }
    default:
      return `${shadow ? "would have answered " : ""}${verdict}`;
  }
}

/** `adds X-One, X-Two, removes X-Three`. */
function editsText(edits: NonNullable<HistoryDecision["edits"]>, shadow: boolean): string {
  let last = "";
  const text = edits.map(({ edit, name, to }) => {
    const verb = edit === "prepend" || edit === "append" ? "add" : edit;
    const shown = visible(to === undefined ? name : `${name} to ${to}`);
    const again = verb === last;
    last = verb;
    return again ? shown : `${shadow ? verb : `${verb}s`} ${shown}`;
  }).join(", ");
  return shadow ? `would ${text} (shadow)` : text;
}
