/**
 * What a client is told who is over a limit.
 * @module
 */
import type { Defer, Delay, Drop, Edge, Refuse, Reply } from "@postern/postern/plugin";
import type { Count, Rule } from "./options.ts";

/** The verdicts that end in a limit. */
export type Limited = Defer | Refuse | Drop | Delay;

/** What is told to the client, and the code of a temporary refusal. */
const words: ReadonlyMap<Count, { readonly text: string; readonly code: number }> = new Map([
  ["connections", { text: "Too many connections", code: 421 }],
  ["sessions", { text: "Too many sessions at once", code: 450 }],
  ["messages", { text: "Too many messages", code: 450 }],
  ["recipients", { text: "Too many recipients", code: 452 }],
  ["octets", { text: "Too much data", code: 452 }],
  ["errors", { text: "Too many errors", code: 450 }],
  ["failed-logins", { text: "Too many failed logins", code: 450 }],
]);

/** Makes a rule's verdict. */
export function verdictOf(
  edge: Edge,
  rule: Rule,
  atConnect: boolean,
  retryAfter: number,
  evidence: string,
): Limited {
  const { text, code } = wordsOf(rule);
  switch (rule.action) {
    case "delay":
      return edge.delay(Math.min(retryAfter, rule.delay), evidence);
    case "drop":
      return edge.drop(code, `${Math.trunc(code / 100)}.7.0`, text, evidence);
    case "refuse":
      return edge.refuse(atConnect && code === 550 ? 554 : code, "5.7.1", text, evidence);
    case "defer":
      // Before the banner the only temporary answer is 421, which closes (RFC 5321 section 3.8).
      return atConnect
        ? edge.drop(421, "4.7.0", text, evidence)
        : edge.defer(code, "4.7.1", text, evidence);
  }
}

/** Whether a reply is one of a rule's own. */
export function isOwn(rules: readonly Rule[]): (reply: Reply) => boolean {
  const own = new Set(rules.map((rule) => wordsOf(rule).text));
  return ({ lines }) => own.has(lines[0] ?? "");
}

function wordsOf({ count, action, code, text }: Rule): { text: string; code: number } {
  const usual = words.get(count)!;
  return {
    text: text ?? (action === "refuse" ? usual.text : `${usual.text}, try again later`),
    code: code ?? (action === "refuse" ? 550 : action === "drop" ? 421 : usual.code),
  };
}
