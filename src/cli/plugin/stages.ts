/**
 * What each stage of a plugin costs, in words.
 * @module
 */
import type { Hooks } from "../../plugin/mod.ts";
import type { Finding } from "../check/report.ts";

const COSTS: ReadonlyMap<keyof Hooks, string> = new Map<keyof Hooks, string>([
  ["connect", "once a connection, before the banner"],
  ["helo", "once a HELO or EHLO"],
  ["mail", "once a message, at MAIL"],
  ["rcpt", "once a recipient"],
  ["data", "once a message, before its content"],
  ["header", "once a message; edits cost a copy of the header block"],
  ["end", "once a message, when all of it has come"],
  ["reply", "every reply: the most often called of all"],
]);

/** A line for each stage it has. */
export function stageFindings(hooks: Hooks): Finding[] {
  const findings: Finding[] = [];
  const say = (subject: string, detail: string): void =>
    void findings.push({ status: "ok", subject, detail });
  for (const [stage, cost] of COSTS) {
    if (hooks[stage] !== undefined) say(stage, cost);
    if (stage === "helo" && hooks.auth !== undefined) {
      say("auth", `once a login; serves ${hooks.auth.mechanisms.join(", ")}`);
    }
    if (stage !== "header" || hooks.body === undefined) continue;
    const { transform, flush, observe, scan } = hooks.body;
    if (observe !== undefined) say("body.observe", "every chunk; the content passes as it came");
    if (transform !== undefined) {
      say("body.transform", "every chunk; the content is unstuffed, changed and stuffed again");
    }
    if (flush !== undefined) {
      say("body.flush", "once a message; the content is unstuffed and stuffed again for it");
    }
    if (scan !== undefined) {
      say("body.scan", "every chunk, by a bounded buffer; the dot waits for its verdict");
    }
  }
  const told = Object.keys(hooks.on ?? {});
  if (told.length > 0) say("on", `told, never waited for: ${told.join(", ")}`);
  if (findings.length === 0) {
    findings.push({ status: "warning", subject: "", detail: "it has no hooks, and does nothing" });
  }
  return findings;
}
