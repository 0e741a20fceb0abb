/**
 * One command line to one command (RFC 5321 section 4.1). Total: every line has an answer.
 *
 * Owns: what the words of a line mean. Never: their order (the session's), whether they are allowed, or a throw.
 * Lenient in one place: one space behind the colon of MAIL and RCPT, which clients send in spite of the RFC; and trailing
 * spaces are read over (RFC 5321 section 4.1.1). Everything else is by the grammar.
 * @module
 */
import { isHeloName } from "./domain.ts";
import { type MailParams, parseMailParams, parseRcptParams, type RcptParams } from "./params.ts";
import { type Mailbox, parseForwardPath, parseReversePath, type ReversePath } from "./path.ts";
import { printable } from "./printable.ts";
import { type Reply, reply } from "./reply.ts";
import { isBase64 } from "./sasl.ts";
import { hasControl, isAscii } from "./text.ts";
import { parseXclient, type XclientAttributes } from "./xclient.ts";

/** What one command line says. `BAD` is a known verb with wrong arguments and brings its reply; `UNKNOWN` is no verb of ours. */
export type Command =
  | { readonly verb: "HELO" | "EHLO"; readonly name: string }
  | { readonly verb: "MAIL"; readonly from: ReversePath; readonly params: MailParams }
  | { readonly verb: "RCPT"; readonly to: Mailbox; readonly params: RcptParams }
  | { readonly verb: "DATA" | "RSET" | "QUIT" | "STARTTLS" | "NOOP" }
  | { readonly verb: "BDAT"; readonly size: number; readonly last: boolean }
  | { readonly verb: "VRFY" | "EXPN" | "HELP"; readonly argument: string }
  | { readonly verb: "AUTH"; readonly mechanism: string; readonly initial: string | undefined }
  | { readonly verb: "XCLIENT"; readonly attributes: XclientAttributes }
  | { readonly verb: "BAD"; readonly of: string; readonly reply: Reply }
  | { readonly verb: "UNKNOWN"; readonly word: string };

const VERBS: ReadonlySet<string> = new Set(
  "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP STARTTLS AUTH XCLIENT".split(" "),
);
/** Characters of an unknown verb that are kept, for the log. */
const MAX_WORD = 32;

const CONTROL_IN_ARGUMENT = reply(501, "5.5.4", "Control character in command");
const CONTROL_IN_COMMAND = reply(500, "5.5.2", "Control character in command");
const NOT_ASCII = reply(501, "5.5.4", "Argument is not US-ASCII");
const NO_ARGUMENT = reply(501, "5.5.4", "No argument allowed");
const HELO_SYNTAX = reply(501, "5.5.4", "Syntax: HELO hostname");
const EHLO_SYNTAX = reply(501, "5.5.4", "Syntax: EHLO hostname");
const MAIL_SYNTAX = reply(501, "5.5.4", "Syntax: MAIL FROM:<address>");
const RCPT_SYNTAX = reply(501, "5.5.4", "Syntax: RCPT TO:<address>");
const BDAT_SYNTAX = reply(501, "5.5.4", "Syntax: BDAT size [LAST]");
const VRFY_SYNTAX = reply(501, "5.5.4", "Syntax: VRFY address");
const AUTH_SYNTAX = reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]");
const AUTH_BASE64 = reply(501, "5.5.2", "Cannot decode BASE64");
const XCLIENT_SYNTAX = reply(501, "5.5.4", "Bad XCLIENT attributes");

/** Parses one command line, without its CRLF, decoded from valid UTF-8. */
export function parseCommand(line: string): Command {
  const space = line.indexOf(" ");
  const word = space < 0 ? line : line.slice(0, space);
  // ASCII before upper case: some letters outside it map into it, and `\u017ftarttls` is not STARTTLS.
  const verb = isAscii(word) ? word.toUpperCase() : "";
  const known = VERBS.has(verb);
  if (hasControl(line)) {
    return known
      ? bad(verb, CONTROL_IN_ARGUMENT)
      : { verb: "BAD", of: printable(word, MAX_WORD), reply: CONTROL_IN_COMMAND };
  }
  if (!known) return { verb: "UNKNOWN", word: printable(word, MAX_WORD) };
  return parseArguments(verb, space < 0 ? "" : withoutTrailingSpaces(line.slice(space + 1)));
}

/**
 * True for a line that another protocol sends: an HTTP, RTSP or SIP request line or header field, the start of a TLS
 * ClientHello, an SSH banner. Whoever sends it speaks for somebody else (R28): answer nothing it says, hang up.
 */
export function isForeignProtocol(line: string): boolean {
  if (line.startsWith("\x16\x03") || /^SSH-[0-9]/.test(line)) return true;
  if (HTTP_METHOD.test(line) || REQUEST_LINE.test(line)) return true;
  const field = FIELD_LINE.exec(line)?.[1];
  return field !== undefined && !VERBS.has(field.toUpperCase());
}

const HTTP_METHOD = /^(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PROPFIND)(?: |$)/i;
const REQUEST_LINE = /^[A-Z]+ [^ ]+ (?:HTTP|RTSP|SIP)\/[0-9]/i;
const FIELD_LINE = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):/;

function parseArguments(verb: string, text: string): Command {
  switch (verb) {
    case "MAIL":
      return parseMail(text);
    case "RCPT":
      return parseRcpt(text);
    case "VRFY":
      return text === "" ? bad(verb, VRFY_SYNTAX) : { verb, argument: text };
    case "EXPN":
      return { verb, argument: text };
  }
  // RFC 6531 section 3.1 opens addresses and parameters for UTF-8, and nothing else.
  if (!isAscii(text)) return bad(verb, NOT_ASCII);
  switch (verb) {
    case "HELO":
    case "EHLO":
      if (!isHeloName(text)) return bad(verb, verb === "HELO" ? HELO_SYNTAX : EHLO_SYNTAX);
      return { verb, name: text };
    case "DATA":
    case "RSET":
    case "QUIT":
    case "STARTTLS":
      return text === "" ? { verb } : bad(verb, NO_ARGUMENT);
    case "NOOP":
      return { verb };
    case "HELP":
      return { verb, argument: text };
    case "BDAT":
      return parseBdat(text);
    case "AUTH":
      return parseAuth(text);
    default: {
      const attributes = parseXclient(text);
      return attributes === undefined ? bad(verb, XCLIENT_SYNTAX) : { verb: "XCLIENT", attributes };
    }
  }
}

function parseMail(text: string): Command {
  const found = /^FROM: ?/i.exec(text);
  if (found === null) return bad("MAIL", MAIL_SYNTAX);
  const path = parseReversePath(text.slice(found[0].length));
  if (!path.ok) return bad("MAIL", reply(501, "5.1.7", path.reason));
  const params = parseMailParams(path.rest);
  if (!params.ok) return bad("MAIL", params.reply);
  return { verb: "MAIL", from: path.value, params: params.value };
}

function parseRcpt(text: string): Command {
  const found = /^TO: ?/i.exec(text);
  if (found === null) return bad("RCPT", RCPT_SYNTAX);
  const path = parseForwardPath(text.slice(found[0].length));
  if (!path.ok) return bad("RCPT", reply(501, "5.1.3", path.reason));
  const params = parseRcptParams(path.rest);
  if (!params.ok) return bad("RCPT", params.reply);
  return { verb: "RCPT", to: path.value, params: params.value };
}

function parseBdat(text: string): Command {
  const found = /^([0-9]{1,20})( LAST)?$/i.exec(text);
  // Anything `Number` alone would take (`0x10`, `1e3`, `-1`, `+1`) must not get here: the size decides where commands go on.
  const size = Number(found?.[1] ?? NaN);
  if (!Number.isSafeInteger(size)) return bad("BDAT", BDAT_SYNTAX);
  return { verb: "BDAT", size, last: found?.[2] !== undefined };
}

function parseAuth(text: string): Command {
  const [mechanism = "", initial, ...more] = text.split(" ");
  if (!/^[A-Za-z0-9_-]{1,20}$/.test(mechanism) || more.length > 0) return bad("AUTH", AUTH_SYNTAX);
  // `=` stands for an empty initial response (RFC 4954 section 4); the session gets it as sent.
  if (initial !== undefined && initial !== "=" && (initial === "" || !isBase64(initial))) {
    return bad("AUTH", AUTH_BASE64);
  }
  return { verb: "AUTH", mechanism: mechanism.toUpperCase(), initial };
}

function bad(verb: string, reply: Reply): Command {
  return { verb: "BAD", of: verb, reply };
}

function withoutTrailingSpaces(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === " ") end--;
  return end === text.length ? text : text.slice(0, end);
}
