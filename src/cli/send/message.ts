/**
 * The message that `postern send` sends: made up here (RFC 5322), or given and put into the form that SMTP carries.
 *
 * Pure.   Never: lets a bare CR, a bare LF or a NUL out (R10), or text of the command line start a header field.
 * @module
 */
import { concat } from "../../wire/bytes.ts";
import { Content } from "../../wire/content.ts";
import type { MailParams } from "../../wire/params.ts";
import { formatPath, type Mailbox, type ReversePath } from "../../wire/path.ts";
import { VERSION } from "../../version.ts";

/** What a made-up message is made from. */
export interface MessageParts {
  readonly from: ReversePath;
  readonly to: readonly Mailbox[];
  /** On one line. */
  readonly subject: string;
  /** Lines with any line end. */
  readonly body: string;
  readonly date: Date;
  /** What makes the Message-ID unique. */
  readonly unique: string;
  /** Our own name: the domain of what has none. */
  readonly hostname: string;
  /** More header fields, as they are. */
  readonly fields?: readonly (readonly [name: string, value: string])[];
}

const encoder = new TextEncoder();
const CRLF = encoder.encode("\r\n");

/** A whole message, every line with CRLF. */
export function makeMessage(parts: MessageParts): Uint8Array {
  const { from, to, body, date, unique, hostname } = parts;
  const author = from === null ? `<mailer-daemon@${hostname}>` : formatPath(from);
  const domain = from === null || from.domain.startsWith("[") ? hostname : from.domain;
  const fields: (readonly [string, string])[] = [
    ["Date", rfc5322Date(date)],
    ["From", author],
    ["To", to.map(formatPath).join(",\r\n ")],
    ["Subject", encodeText(parts.subject)],
    ["Message-ID", `<${unique}@${domain}>`],
    ...parts.fields ?? [],
    ["User-Agent", `Postern/${VERSION}`],
    ["MIME-Version", "1.0"],
    ["Content-Type", "text/plain; charset=utf-8"],
    ["Content-Transfer-Encoding", isAscii(body) ? "7bit" : "8bit"],
  ];
  const header = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return wireText(encoder.encode(`${header}\r\n${body}`));
}

/**
 * The octets as SMTP carries them: a bare LF becomes CRLF, a bare CR and a NUL a space, and the last line has its end.
 * What is right already stays as it is.
 */
export function wireText(octets: Uint8Array): Uint8Array {
  const reader = new Content({ textLine: 1000, longLines: "pass", bareNewline: "normalize" });
  reader.begin();
  reader.bdat(octets.length);
  const whole = concat([reader.read(octets, 0), reader.finish()]);
  const ended = whole.length === 0 || whole.at(-1) === CRLF[1];
  return ended ? whole : concat([whole, CRLF]);
}

/** What MAIL has to say of this content and these addresses. A server is told only what it offers. */
export function paramsFor(
  content: Uint8Array,
  from: ReversePath,
  to: readonly Mailbox[],
): MailParams {
  const utf8 = to.some((mailbox) => mailbox.utf8) || from?.utf8 === true;
  return {
    size: content.length,
    ...(content.some((octet) => octet > 127) ? { body: "8BITMIME" } : {}),
    ...(utf8 ? { smtputf8: true } : {}),
  };
}

function rfc5322Date(date: Date): string {
  return date.toUTCString().replace("GMT", "+0000");
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}

/** Octets of text in one encoded word: with its frame it stays under 76 characters (RFC 2047 section 2). */
const WORD_OCTETS = 45;

/** Text for an unstructured field; what is not printable US-ASCII goes into encoded words (RFC 2047). */
function encodeText(text: string): string {
  if (/^[\x20-\x7e]{0,900}$/.test(text) && !text.includes("=?")) return text;
  const words: string[] = [];
  let word: number[] = [];
  for (const char of text) {
    const octets = encoder.encode(char);
    if (word.length + octets.length > WORD_OCTETS) {
      words.push(encodedWord(word));
      word = [];
    }
    word.push(...octets);
  }
  return [...words, encodedWord(word)].join("\r\n ");
}

function encodedWord(octets: readonly number[]): string {
  return `=?utf-8?B?${btoa(String.fromCharCode(...octets))}?=`;
}
