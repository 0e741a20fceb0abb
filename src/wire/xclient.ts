/**
 * XCLIENT and XFORWARD attribute lists (Postfix XCLIENT_README and XFORWARD_README).
 *
 * Owns: their grammar. Who may send them is the session's business (R27).
 * Values are xtext (RFC 3461 section 4); an IPv6 address goes with the prefix `IPV6:`.
 * @module
 */
import { formatIp, parseIp } from "./ip.ts";
import { MAX_COMMAND_LINE } from "./limits.ts";
import { hasControl, isAscii } from "./text.ts";
import { decodeXtext, encodeXtext } from "./xtext.ts";

/** Attributes of one XCLIENT command; `null` is `[UNAVAILABLE]` or `[TEMPUNAVAIL]`. */
export interface XclientAttributes {
  /** The client's host name, where its address has one that leads back to it. */
  readonly NAME?: string | null;
  /** The client's address, without `IPV6:`. */
  readonly ADDR?: string | null;
  /** The client's port, 1 to 65535. */
  readonly PORT?: number | null;
  /** What the client opened with: HELO or EHLO. */
  readonly PROTO?: "SMTP" | "ESMTP" | null;
  /** The argument of its HELO or EHLO. */
  readonly HELO?: string | null;
  /** Who it authenticated as. */
  readonly LOGIN?: string | null;
  /** The address that the client connected to. */
  readonly DESTADDR?: string | null;
  /** The port that the client connected to. */
  readonly DESTPORT?: number | null;
}

/** Attributes for XFORWARD; `null` is `[UNAVAILABLE]`. */
export interface XforwardAttributes {
  /** The client's host name, where its address has one that leads back to it. */
  readonly NAME?: string | null;
  /** The client's address, without `IPV6:`. */
  readonly ADDR?: string | null;
  /** The client's port, 1 to 65535. */
  readonly PORT?: number | null;
  /** What the client opened with: HELO or EHLO. */
  readonly PROTO?: "SMTP" | "ESMTP" | null;
  /** The argument of its HELO or EHLO. */
  readonly HELO?: string | null;
  /** The message's id with us, for the upstream's log. */
  readonly IDENT?: string | null;
  /** Whether the client is one of ours. */
  readonly SOURCE?: "LOCAL" | "REMOTE" | null;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const UNAVAILABLE = "[UNAVAILABLE]";
/** XFORWARD_README: "attribute values must not be longer than 255 characters". */
const MAX_XFORWARD_VALUE = 255;

/** Parses the attributes of one XCLIENT command; undefined for no attribute, an unknown or repeated one, or a bad value. */
export function parseXclient(args: string): XclientAttributes | undefined {
  const found: Mutable<XclientAttributes> = {};
  for (const word of args.split(" ")) {
    const equals = word.indexOf("=");
    if (equals < 0 || !isAscii(word)) return undefined;
    const raw = word.slice(equals + 1);
    const name = word.slice(0, equals).toUpperCase();
    const value = /^\[(?:UNAVAILABLE|TEMPUNAVAIL)\]$/i.test(raw) ? null : decode(raw);
    if (value === undefined || !take(found, name, value)) return undefined;
  }
  return found;
}

/**
 * The XCLIENT commands that tell these attributes, without CRLF, each within 512 octets with it. `offered` are the names
 * in the upstream's EHLO reply: no other is sent. No command when nothing is left to tell.
 */
export function formatXclient(
  attributes: XclientAttributes,
  offered: readonly string[],
): string[] {
  const { NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR, DESTPORT } = attributes;
  return format("XCLIENT", offered, MAX_COMMAND_LINE, [
    ["NAME", NAME],
    ["ADDR", address(ADDR)],
    ["PORT", PORT],
    ["PROTO", PROTO],
    ["HELO", HELO],
    ["LOGIN", LOGIN],
    ["DESTADDR", address(DESTADDR)],
    ["DESTPORT", DESTPORT],
  ]);
}

/** The XFORWARD commands that tell these attributes; see {@linkcode formatXclient}. */
export function formatXforward(
  attributes: XforwardAttributes,
  offered: readonly string[],
): string[] {
  const { NAME, ADDR, PORT, PROTO, HELO, IDENT, SOURCE } = attributes;
  return format("XFORWARD", offered, MAX_XFORWARD_VALUE, [
    ["NAME", NAME],
    ["ADDR", address(ADDR)],
    ["PORT", PORT],
    ["PROTO", PROTO],
    ["HELO", HELO],
    ["IDENT", IDENT],
    ["SOURCE", SOURCE],
  ]);
}

/** What xtext stands for, where that is text of at least one character without control characters. */
function decode(xtext: string): string | undefined {
  const text = decodeXtext(xtext);
  return text === undefined || text === "" || hasControl(text) ? undefined : text;
}

function take(into: Mutable<XclientAttributes>, name: string, value: string | null): boolean {
  switch (name) {
    case "NAME":
    case "HELO":
    case "LOGIN":
      return set(into, name, value);
    case "ADDR":
    case "DESTADDR":
      return set(into, name, value === null ? null : parseAddress(value));
    case "PORT":
    case "DESTPORT":
      return set(into, name, value === null ? null : parsePort(value));
    case "PROTO":
      return set(into, name, value === null ? null : parseProto(value));
    default:
      return false;
  }
}

function set<T, K extends keyof T>(into: T, key: K, value: T[K] | undefined): boolean {
  if (value === undefined || into[key] !== undefined) return false;
  into[key] = value;
  return true;
}

function parseAddress(text: string): string | undefined {
  const octets = parseIp(/^IPV6:/i.test(text) ? text.slice(5) : text);
  return octets === undefined ? undefined : formatIp(octets);
}

function parsePort(text: string): number | undefined {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port > 0 && port <= 65_535 ? port : undefined;
}

function parseProto(text: string): "SMTP" | "ESMTP" | undefined {
  // ASCII before upper case: some letters outside it map into it.
  const upper = isAscii(text) ? text.toUpperCase() : "";
  return upper === "SMTP" || upper === "ESMTP" ? upper : undefined;
}

/** Wire form of an address; one that is none (a unix socket's path) is unavailable. */
function address(text: string | null | undefined): string | null | undefined {
  if (text === undefined || text === null) return text;
  const octets = parseIp(text);
  if (octets === undefined) return null;
  return (octets.length === 16 ? "IPV6:" : "") + formatIp(octets);
}

function format(
  verb: string,
  offered: readonly string[],
  maxValue: number,
  attributes: readonly (readonly [string, string | number | null | undefined])[],
): string[] {
  const names = new Set(offered.map((name) => name.toUpperCase()));
  const room = MAX_COMMAND_LINE - "\r\n".length;
  const lines: string[] = [];
  let line = verb;
  for (const [name, value] of attributes) {
    if (value === undefined || !names.has(name)) continue;
    const xtext = value === null || value === "" ? UNAVAILABLE : encodeXtext(String(value));
    // A value that does not fit is not cut: half a login is another login.
    const fits = xtext.length <= maxValue && verb.length + name.length + xtext.length + 2 <= room;
    const word = ` ${name}=${fits ? xtext : UNAVAILABLE}`;
    if (line.length + word.length > room) {
      lines.push(line);
      line = verb;
    }
    line += word;
  }
  if (line !== verb) lines.push(line);
  return lines;
}
