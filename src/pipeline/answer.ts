/**
 * Reads what a plugin answered. The answer is hostile: it may be nonsense, a getter may throw, a proxy may say two
 * things. Every property is read once and copied; what comes out is a plain value of ours, or the reason why not.
 * @module
 */
import type { Identity } from "../plugin/facts.ts";
import type { ScramDecoy, ScramSecret } from "../plugin/module.ts";
import type { Defer, Refuse, Verdict } from "../plugin/verdict.ts";
import { parseMailbox } from "../wire/path.ts";
import { PASS_VERDICT } from "./algebra.ts";
import { isIterations, isSaltSize, isScramSecret } from "./scram.ts";
import { escapeText } from "./text.ts";

/** Where a plugin was asked. */
export type Stage =
  | "connect"
  | "helo"
  | "auth"
  | "mail"
  | "rcpt"
  | "data"
  | "header"
  | "body"
  | "end"
  | "reply"
  | "on";

/** An answer that is none; the message goes to the log, never to the client. */
export class Nonsense extends TypeError {
  override readonly name = "Nonsense";
}

/** RFC 5321 section 4.2: a reply line has at most 512 octets, with codes and CRLF. */
const TEXT_LIMIT = 480;
const PRINTABLE = /^[\x20-\x7e]*$/;
const ENHANCED = /^[245]\.\d{1,3}\.\d{1,3}$/;
const SYMBOL = /^[A-Z0-9_]{1,64}$/;
const CONTROL = /[\x00-\x1f\x7f]/;
const EVIDENCE_LIMIT = 256;

/** Text that may stand in a reply (RFC 5321 section 4.2: printable US-ASCII). */
export function isReplyText(text: unknown): text is string {
  return typeof text === "string" && text.length <= TEXT_LIMIT && PRINTABLE.test(text);
}

function need(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Nonsense(message);
}

function optionalText(value: unknown, what: string): string | undefined {
  if (value === undefined) return undefined;
  need(typeof value === "string", `${what} is not a string`);
  return escapeText(value, EVIDENCE_LIMIT);
}

function upstreamName(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  need(
    typeof value === "string" && value !== "" && value.length <= 256 && !CONTROL.test(value),
    "upstream is not a name",
  );
  return value;
}

/** The canonical form; what is no mailbox must not come near an upstream's command (R22). */
function address(value: unknown, what: string): string {
  const mailbox = typeof value === "string" ? parseMailbox(value) : undefined;
  need(mailbox !== undefined, `${what} is not an address`);
  return mailbox.address;
}

/** Copies a verdict, or throws {@linkcode Nonsense}. What a getter throws goes through. */
export function copyVerdict(value: unknown): Verdict {
  need(typeof value === "object" && value !== null, "The answer is not a verdict");
  const raw = value as { readonly [key: string]: unknown };
  const verdict = raw["verdict"];
  switch (verdict) {
    case "pass": {
      const evidence = optionalText(raw["evidence"], "evidence");
      return evidence === undefined ? PASS_VERDICT : { verdict, evidence };
    }
    case "score": {
      const points = raw["points"];
      const symbol = raw["symbol"];
      need(typeof points === "number" && Number.isFinite(points), "points is not a finite number");
      need(
        typeof symbol === "string" && SYMBOL.test(symbol),
        "symbol is not an upper-case name of A-Z, 0-9 and _",
      );
      const evidence = optionalText(raw["evidence"], "evidence");
      return { verdict, points, symbol, ...(evidence === undefined ? {} : { evidence }) };
    }
    case "defer":
    case "refuse":
    case "drop": {
      const code = raw["code"];
      const enhanced = raw["enhanced"];
      const text = raw["text"];
      const low = verdict === "refuse" ? 500 : 400;
      const high = verdict === "defer" ? 499 : 599;
      need(
        typeof code === "number" && Number.isInteger(code) && code >= low && code <= high,
        `code of ${verdict} is not one of ${low} to ${high}`,
      );
      need(
        typeof enhanced === "string" && ENHANCED.test(enhanced) &&
          enhanced.startsWith(String(Math.trunc(code / 100))),
        `enhanced is not an enhanced status code of class ${Math.trunc(code / 100)}`,
      );
      need(isReplyText(text), `text is not printable US-ASCII of at most ${TEXT_LIMIT} characters`);
      const evidence = optionalText(raw["evidence"], "evidence");
      return {
        verdict,
        code,
        enhanced,
        text,
        ...(evidence === undefined ? {} : { evidence }),
      };
    }
    case "quarantine": {
      const upstream = upstreamName(raw["upstream"]);
      const reason = optionalText(raw["reason"], "reason");
      need(reason !== undefined, "reason is missing");
      return { verdict, reason, ...(upstream === undefined ? {} : { upstream }) };
    }
    case "discard": {
      const reason = optionalText(raw["reason"], "reason");
      need(reason !== undefined, "reason is missing");
      return { verdict, reason };
    }
    case "delay": {
      const ms = raw["ms"];
      need(typeof ms === "number" && Number.isFinite(ms) && ms >= 0, "ms is not a duration");
      const evidence = optionalText(raw["evidence"], "evidence");
      return { verdict, ms, ...(evidence === undefined ? {} : { evidence }) };
    }
    case "rewrite": {
      const from = raw["from"];
      const to = raw["to"];
      const upstream = upstreamName(raw["upstream"]);
      const copy: { from?: string; to?: readonly string[]; upstream?: string } = {};
      if (from !== undefined) copy.from = from === "" ? "" : address(from, "from");
      if (to !== undefined) copy.to = addresses(to);
      if (upstream !== undefined) copy.upstream = upstream;
      need(
        copy.from !== undefined || copy.to !== undefined || upstream !== undefined,
        "rewrite changes nothing",
      );
      return { verdict, ...copy };
    }
    default:
      throw new Nonsense(
        typeof verdict === "string"
          ? `Unknown verdict "${escapeText(verdict, 32)}"`
          : "The answer has no verdict",
      );
  }
}

function addresses(value: unknown): readonly string[] {
  need(Array.isArray(value), "to is not a list of addresses");
  const count = value.length;
  need(count >= 1 && count <= 1000, "to has not 1 to 1000 addresses");
  const copy: string[] = [];
  for (let i = 0; i < count; i++) {
    copy.push(address(value[i], "to"));
  }
  return copy;
}

/** Whether a stage may give this answer (the table of stages in `docs/plugins.md`). */
export function allowed(stage: Stage, verdict: Verdict): boolean {
  switch (verdict.verdict) {
    case "pass":
      return true;
    case "score":
    case "drop":
      return stage !== "auth";
    case "defer":
    case "refuse":
      return true;
    case "delay":
      return stage === "connect" || stage === "helo" || stage === "mail" || stage === "rcpt" ||
        stage === "data";
    case "quarantine":
    case "discard":
      return stage === "body" || stage === "end";
    case "rewrite":
      return stage === "mail"
        ? verdict.to === undefined && verdict.upstream === undefined
        : stage === "rcpt" && verdict.from === undefined;
  }
}

/** What a hook may answer: one verdict, or several. */
export type HookAnswer = Verdict | readonly Verdict[];

/** Verdicts that one answer may hold. */
const VERDICTS_LIMIT = 200;

/** What a hook answered; `undefined` and an empty list are a pass. Throws {@linkcode Nonsense}, or what the answer throws. */
export function readAnswer(stage: Stage, value: unknown): HookAnswer {
  if (!Array.isArray(value)) return readVerdict(stage, value);
  const count = value.length;
  need(count <= VERDICTS_LIMIT, `The answer has more than ${VERDICTS_LIMIT} verdicts`);
  const verdicts: Verdict[] = [];
  for (let i = 0; i < count; i++) verdicts.push(readVerdict(stage, value[i]));
  return count === 0 ? PASS_VERDICT : verdicts;
}

/** One verdict, where only one may be answered. */
export function readVerdict(stage: Stage, value: unknown): Verdict {
  if (value === undefined) return PASS_VERDICT;
  const verdict = copyVerdict(value);
  need(allowed(stage, verdict), `${verdict.verdict} cannot be answered in ${stage}`);
  return verdict;
}

/** An authenticator's answer. The mechanism is the one that was used, whatever the plugin says. */
export function readLogin(
  value: unknown,
  mechanism: string,
): Identity | Refuse | Defer | undefined {
  if (value === undefined) return undefined;
  need(typeof value === "object" && value !== null, "The answer is not an identity");
  const user = (value as { readonly user?: unknown }).user;
  if (user === undefined) {
    const verdict = readVerdict("auth", value);
    if (verdict.verdict === "refuse" || verdict.verdict === "defer") return verdict;
    need(verdict.verdict === "pass", `${verdict.verdict} cannot be answered in auth`);
    return undefined;
  }
  need(
    typeof user === "string" && user !== "" && user.length <= 512 && !CONTROL.test(user),
    "user is not a login name",
  );
  return { user, mechanism };
}

/** What an authenticator keeps for SCRAM, or that it does not know the login. */
export function readScram(value: unknown): ScramSecret | ScramDecoy | Refuse | Defer | undefined {
  if (value === undefined) return undefined;
  need(typeof value === "object" && value !== null, "The answer is not a SCRAM secret");
  const { iterations, salt, storedKey, serverKey } = value as { readonly [key: string]: unknown };
  if (iterations === undefined) {
    const verdict = readVerdict("auth", value);
    if (verdict.verdict === "refuse" || verdict.verdict === "defer") return verdict;
    return undefined;
  }
  need(
    typeof iterations === "number" && isIterations(iterations),
    "iterations is not a number that SCRAM can work with",
  );
  if (salt === undefined && storedKey === undefined && serverKey === undefined) {
    const { saltSize } = value as { readonly saltSize?: unknown };
    if (saltSize === undefined) return { iterations };
    need(
      typeof saltSize === "number" && isSaltSize(saltSize),
      "saltSize is not a number from 1 to 32",
    );
    return { iterations, saltSize };
  }
  need(
    typeof salt === "string" && typeof storedKey === "string" && typeof serverKey === "string",
    "The answer is not a SCRAM secret",
  );
  const secret = { salt, iterations, storedKey, serverKey };
  need(isScramSecret(secret), "The answer is not a SCRAM secret");
  return secret;
}
