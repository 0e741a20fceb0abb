/**
 * Reverse-path and forward-path (RFC 5321 sections 4.1.2 and 4.1.3, RFC 6531 section 3.3).
 *
 * One parse for the whole proxy: policies see the fields of a {@linkcode Mailbox}, and what is sent on is its `address`,
 * built from the same fields. Nobody reads the client's spelling a second time.
 * Never: guesses, repairs, throws on input.
 * @module
 */
import { isDomain, isLiteral } from "./domain.ts";
import { MAX_DOMAIN, MAX_LOCAL_PART, MAX_PATH } from "./limits.ts";
import { hasControl, isAscii, octetLength } from "./text.ts";

/** A parsed mailbox. It is parsed once; everything that is sent on is built from these fields. */
export interface Mailbox {
  /** Canonical wire form without angle brackets, local part quoted only where needed; the domain's case is kept. */
  readonly address: string;
  /** The local part's value, unquoted, case kept. */
  readonly local: string;
  /** Lower case; `""` for a bare `<postmaster>`; an address literal keeps its brackets. */
  readonly domain: string;
  /** True when any octet is outside US-ASCII: needs SMTPUTF8. */
  readonly utf8: boolean;
}

/** A reverse-path: a mailbox, or null for `<>`. */
export type ReversePath = Mailbox | null;

/** What the parse of a path found: its value and the text behind the `>`, or why there is none (fit for a reply: no client text). */
export type PathResult<T> =
  | { readonly ok: true; readonly value: T; readonly rest: string }
  | { readonly ok: false; readonly reason: string };

/** Parses the reverse-path at the start of the text: `<>` or a mailbox in angle brackets; a source route is read over. */
export function parseReversePath(text: string): PathResult<ReversePath> {
  return text.startsWith("<>") ? { ok: true, value: null, rest: text.slice(2) } : parsePath(text);
}

/** Parses the forward-path at the start of the text; `<postmaster>` without a domain is one (RFC 5321 section 4.5.1). */
export function parseForwardPath(text: string): PathResult<Mailbox> {
  if (/^<postmaster>/i.test(text)) {
    const local = text.slice(1, 11);
    const value = { address: local, local, domain: "", utf8: false };
    return { ok: true, value, rest: text.slice(12) };
  }
  return parsePath(text);
}

/** Parses a whole text as one mailbox with a domain, without brackets and route; undefined for anything else. */
export function parseMailbox(text: string): Mailbox | undefined {
  const parser = new MailboxParser(text, 0);
  const mailbox = parser.mailbox();
  if (typeof mailbox === "string" || parser.at !== text.length) return undefined;
  // With its angle brackets it has to fit into a path.
  return octetLength(text) + 2 > MAX_PATH ? undefined : mailbox;
}

/** The path in angle brackets, built from the parsed address. A mailbox that no parser here made and that holds a control character throws a `TypeError`. */
export function formatPath(path: ReversePath): string {
  if (path === null) return "<>";
  if (hasControl(path.address)) throw new TypeError("Cannot format path: control character");
  return `<${path.address}>`;
}

/** Local part in wire form: as it is where it is a dot-string, else quoted with the fewest quoted-pairs. */
export function formatLocalPart(local: string): string {
  return DOT_STRING.test(local) ? local : `"${local.replace(/["\\]/g, "\\$&")}"`;
}

const ATEXT = "A-Za-z0-9!#$%&'*+\\-/=?^_`{|}~\\u00a0-\\uffff";
const DOT_STRING = new RegExp(`^[${ATEXT}]+(?:\\.[${ATEXT}]+)*$`);
const DOT_STRING_AT = new RegExp(`[${ATEXT}]+(?:\\.[${ATEXT}]+)*`, "y");
const QUOTED_AT = /"[ !#-[\]-~\u00a0-\uffff]*(?:\\[ -~][ !#-[\]-~\u00a0-\uffff]*)*"/y;
// Everything up to a character that no domain holds; what it is is asked afterwards.
const DOMAIN_AT = /[A-Za-z0-9._\-\u00a0-\uffff]+/y;
const LITERAL_AT = /\[[!-Z^-~]+\]/y;

function parsePath(text: string): PathResult<Mailbox> {
  if (!text.startsWith("<")) return { ok: false, reason: "Address is not in angle brackets" };
  const parser = new MailboxParser(text, 1);
  if (text[1] === "@" && !parser.skipRoute()) return { ok: false, reason: "Bad source route" };
  const mailbox = parser.mailbox();
  if (typeof mailbox === "string") return { ok: false, reason: mailbox };
  if (text[parser.at] !== ">") return { ok: false, reason: "Bad address syntax" };
  const end = parser.at + 1;
  if (octetLength(text.slice(0, end)) > MAX_PATH) return { ok: false, reason: "Path is too long" };
  return { ok: true, value: mailbox, rest: text.slice(end) };
}

class MailboxParser {
  at: number;
  readonly #text: string;

  constructor(text: string, at: number) {
    this.#text = text;
    this.at = at;
  }

  /** A mailbox from here on, or why there is none. */
  mailbox(): Mailbox | string {
    const local = this.#localPart();
    if (local === undefined || this.#text[this.at] !== "@") return "Bad address syntax";
    this.at++;
    const domain = this.#domain();
    if (domain === undefined) return "Bad domain";
    const written = formatLocalPart(local);
    if (octetLength(written) > MAX_LOCAL_PART) return "Local part is too long";
    const address = `${written}@${domain}`;
    return { address, local, domain: domain.toLowerCase(), utf8: !isAscii(address) };
  }

  /** Reads over `@a,@b:` (RFC 5321 appendix C: accepted, ignored). */
  skipRoute(): boolean {
    while (this.#text[this.at] === "@") {
      this.at++;
      if (this.#domain() === undefined) return false;
      const next = this.#text[this.at++];
      if (next === ":") return true;
      if (next !== ",") return false;
    }
    return false;
  }

  #localPart(): string | undefined {
    if (this.#text[this.at] !== '"') return wellFormed(this.#take(DOT_STRING_AT));
    const quoted = this.#take(QUOTED_AT);
    // The grammar allows `""`; it names nobody, and servers disagree on who gets its mail.
    if (quoted === undefined || quoted === '""') return undefined;
    return wellFormed(quoted.slice(1, -1).replace(/\\(.)/g, "$1"));
  }

  #domain(): string | undefined {
    const literal = this.#text[this.at] === "[";
    const domain = this.#take(literal ? LITERAL_AT : DOMAIN_AT);
    if (domain === undefined || octetLength(domain) > MAX_DOMAIN) return undefined;
    return (literal ? isLiteral(domain) : isDomain(domain)) ? domain : undefined;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.#text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }
}

/** A lone surrogate has no UTF-8 form: it could not be sent on as it was judged. */
function wellFormed(text: string | undefined): string | undefined {
  return text?.isWellFormed() ? text : undefined;
}
