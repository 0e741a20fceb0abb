/**
 * From verdicts, upstream replies and failures to what the client reads: bland text, true codes. The log gets the truth.
 * @module
 */
import type { Refusal } from "../pipeline/algebra.ts";
import type { LegDown } from "../upstream/leg.ts";
import { type Reply, reply } from "../wire/reply.ts";

/** Where an upstream's reply was given. */
export type Stage = "rcpt" | "data" | "end";

const bland: Record<Stage, readonly [accepted: string, later: string, never: string]> = {
  rcpt: ["Recipient ok", "Recipient not accepted now", "Recipient not accepted"],
  data: ["Ok", "Message not accepted now", "Message not accepted"],
  end: ["Ok", "Message not accepted now", "Message not accepted"],
};

/** A policy's refusal. */
export function refusalReply(refusal: Refusal): Reply {
  return reply(refusal.code, refusal.enhanced, refusal.text);
}

/**
 * An upstream's reply for the client: code and enhanced status code as they came (R5), the text ours unless configured.
 * 421 would end our own session, so it becomes 451.
 */
export function relayed(answer: Reply, stage: Stage, passText: boolean): Reply {
  const digit = Math.trunc(answer.code / 100);
  // The grammar has no second digit above 5 (RFC 5321 section 4.2); the class is what counts.
  const outside = Math.trunc(answer.code / 10) % 10 > 5;
  const code = answer.code === 421 ? 451 : outside ? digit * 100 + 50 : answer.code;
  const enhanced = answer.enhanced?.startsWith(`${digit}.`)
    ? answer.enhanced
    : digit === 2
    ? (stage === "rcpt" ? "2.1.5" : "2.0.0")
    : `${digit}.0.0`;
  const [accepted, later, never] = bland[stage];
  if (passText) return { code, enhanced, lines: answer.lines };
  const key = `${stage} ${code} ${enhanced}`;
  let known = relayedBefore.get(key);
  if (known === undefined) {
    known = reply(code, enhanced, digit === 2 ? accepted : digit === 4 ? later : never);
    if (relayedBefore.size < 256) relayedBefore.set(key, known);
  }
  return known;
}

/** Upstreams say the same few things: the values are shared, and so is their text form. */
const relayedBefore = new Map<string, Reply>();

/** The upstream broke: always temporary, unless it said 5yz itself in mid-body (R4). */
export function downReply(down: LegDown): Reply {
  if (down.reply !== undefined && down.phase === "body" && down.reply.code >= 500) {
    return relayed(down.reply, "end", false);
  }
  return down.phase === "connect" || down.phase === "envelope"
    ? reply(451, "4.4.1", "Upstream is not available, try again later")
    : reply(451, "4.4.2", "Connection to upstream was lost, try again later");
}

/** Replies without parameters. */
export const answers = {
  senderOk: reply(250, "2.1.0", "Sender ok"),
  startData: reply(354, "", "Start mail input; end with <CRLF>.<CRLF>"),
  relayDenied: reply(550, "5.7.1", "Relaying denied"),
  anotherRoute: reply(452, "4.5.3", "Send this recipient in another transaction"),
  tooLarge: reply(552, "5.3.4", "Message size exceeds fixed maximum message size"),
  headerTooLarge: reply(552, "5.3.4", "Header block is too large"),
  loop: reply(554, "5.4.6", "Too many hops, this message is looping"),
  bareNewline: reply(554, "5.6.0", "Bare CR, bare LF and NUL are not accepted in content"),
  longLine: reply(554, "5.6.0", "Text line is too long"),
  noStorage: reply(452, "4.3.1", "Insufficient system storage, try again later"),
  upstreamStalled: reply(451, "4.4.2", "Upstream does not take the message, try again later"),
  accepted: reply(250, "2.0.0", "Ok"),
  internal: reply(451, "4.3.0", "Temporary failure, try again later"),
  badAddress: reply(451, "4.3.5", "Local configuration error"),
  ready: "220 2.0.0 Ready to start TLS\r\n",
  timeout: reply(421, "4.4.2", "Timeout, closing connection"),
  shutdown: reply(421, "4.3.2", "Service is shutting down"),
  tooMany: reply(421, "4.7.0", "Too many connections, try again later"),
  tooManyErrors: reply(421, "4.7.0", "Too many errors, closing connection"),
  foreign: reply(554, "5.5.1", "This is an SMTP server"),
  injected: reply(554, "5.5.1", "Commands behind STARTTLS, closing connection"),
  authOk: reply(235, "2.7.0", "Authentication successful"),
  authFailed: reply(535, "5.7.8", "Authentication credentials invalid"),
  authMalformed: reply(501, "5.5.2", "Cannot decode the response"),
  authTooLong: reply(500, "5.5.6", "Authentication exchange line is too long"),
  authCancelled: reply(501, "5.7.0", "Authentication cancelled"),
  authTooMany: reply(421, "4.7.0", "Too many failed logins, closing connection"),
  xclientBad: reply(501, "5.5.4", "XCLIENT attributes are not usable"),
} as const;

const lineFaults: Record<string, Reply> = {
  "bare-lf": reply(500, "5.5.2", "Line must end with CRLF"),
  "bare-cr": reply(500, "5.5.2", "Bare CR is not allowed"),
  "nul": reply(500, "5.5.2", "NUL is not allowed"),
  "too-long": reply(500, "5.5.2", "Line is too long"),
  "not-utf8": reply(500, "5.5.2", "Line is not valid UTF-8"),
};

/** The answer to a command line that is none. */
export function lineFaultReply(fault: string): Reply {
  return lineFaults[fault] ?? reply(500, "5.5.2", "Syntax error");
}
