/**
 * Addresses as the configuration writes them: where to listen, servers, networks, host names, domains.
 *
 * Owns: their syntax and what is told about a wrong one.   Never: resolves a name, touches a file.
 * Sources: RFC 1123 section 2.1 (host names), RFC 4291 section 2.2 (IPv6), RFC 4632 (CIDR), RFC 8314 (implicit TLS).
 * @module
 */
import { posix } from "node:path";
import { parseIPv4, parseIPv6 } from "../wire/ip.ts";
import type { ServerSettings } from "./settings.ts";

/** Why a text is not an address. */
export interface Wrong {
  /** What was expected in its place. */
  readonly expected?: string;
  /** Said instead of "expected ..., got ...". */
  readonly message?: string;
}

/** Tells an address from the reason why there is none. */
export function isWrong(value: object): value is Wrong {
  return "expected" in value || "message" in value;
}

/** A place to listen at. */
export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/** Forms of configuration.md that a later version will take: how they begin, and what to write until then. */
const LATER_SERVERS: readonly (readonly [start: string, instead: string])[] = [
  ["lmtp://", 'use "host:port" of an SMTP server, or "maildir:./folder"'],
  ["mx:", 'name the servers, as "host:port"'],
];

/** Absolute form of a path that is relative to the configuration file's folder. */
export function absolutePath(baseDir: string, path: string): string {
  return posix.isAbsolute(path) ? posix.normalize(path) : posix.join(baseDir, path);
}

/** `host:port`, `[v6]:port` or `unix:/path`; port 0 lets the system choose. */
export function parseListen(text: string, baseDir: string): ListenAddress | Wrong {
  if (text.startsWith("unix:")) return unixPath(text, baseDir);
  return hostAndPort(text, 0);
}

/** `host:port`, `[v6]:port`, `smtps://host:port`, `unix:/path` or `maildir:./folder`. */
export function parseServer(text: string, baseDir: string): ServerSettings | Wrong {
  for (const [start, instead] of LATER_SERVERS) {
    if (text.startsWith(start)) {
      return { message: `not in this version: "${start}"; ${instead}` };
    }
  }
  if (text.startsWith("unix:")) {
    const unix = unixPath(text, baseDir);
    return isWrong(unix) ? unix : { kind: "unix", path: unix.path };
  }
  if (text.startsWith("maildir:")) {
    const path = text.slice("maildir:".length);
    return isPath(path)
      ? { kind: "maildir", path: absolutePath(baseDir, path) }
      : expected('"maildir:./folder"');
  }
  const implicitTls = text.startsWith("smtps://");
  if (!implicitTls && /^[a-z]+:\/\//i.test(text)) {
    return expected('"host:port", "smtps://host:port", "unix:/path" or "maildir:./folder"');
  }
  const address = hostAndPort(implicitTls ? text.slice("smtps://".length) : text, 1);
  if (!isWrong(address)) return { kind: "smtp", ...address, implicitTls };
  return implicitTls && address.expected === HOST_AND_PORT
    ? expected('"smtps://host:port"')
    : address;
}

/** `address:port` or `[v6]:port`; undefined for anything else: a resolver has no name, for who would look it up? */
export function parseNameServer(
  text: string,
): { readonly host: string; readonly port: number } | undefined {
  const address = hostAndPort(text, 1);
  if (isWrong(address) || !(isIpv4(address.host) || isIpv6(address.host))) return undefined;
  return address;
}

/**
 * True for one address or a network in CIDR form, IPv4 or IPv6. Bits behind the prefix must be zero: `10.0.0.1/8` may mean
 * the one or the other, and these lists are lists of whom to trust.
 */
export function isNetwork(text: string): boolean {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const octets = parseIPv4(address) ?? parseIPv6(address);
  if (octets === undefined) return false;
  if (slash < 0) return true;
  const prefix = text.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > octets.length * 8) return false;
  return octets.every((octet, i) => (octet & (0xff >> clamp(Number(prefix) - i * 8))) === 0);
}

/** Bits of one octet that a prefix covers. */
function clamp(bits: number): number {
  return Math.max(0, Math.min(8, bits));
}

/** True for a host name that may stand in a greeting: letters, digits, hyphens, dots; an address literal is none. */
export function isHostname(text: string): boolean {
  return text.length <= 253 && !isNumeric(text) &&
    text.split(".").every((label) => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label));
}

/** True for a recipient domain of a route: a domain, `*.domain`, or an address literal in brackets. */
export function isDomainPattern(text: string): boolean {
  if (text.length > 255) return false;
  if (text.startsWith("[")) return /^\[[A-Za-z0-9:.-]+\]$/.test(text);
  const domain = text.startsWith("*.") ? text.slice(2) : text;
  return domain.split(".").every((label) => /^[\p{L}\p{M}\p{N}_-]{1,63}$/u.test(label));
}

/** Lower-case hex digits of a SHA-256 fingerprint, with or without colons; undefined when it is none. */
export function fingerprint(text: string): string | undefined {
  const hex = /^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}$/.test(text)
    ? text.replaceAll(":", "")
    : text;
  return /^[0-9A-Fa-f]{64}$/.test(hex) ? hex.toLowerCase() : undefined;
}

/** True for addresses and names that do not leave this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIpv4(host) && host.startsWith("127."));
}

const HOST_AND_PORT = '"host:port"';

function hostAndPort(
  text: string,
  lowestPort: number,
): { readonly host: string; readonly port: number } | Wrong {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
  const colon = text.lastIndexOf(":");
  const host = bracketed ? bracketed[1]! : text.slice(0, Math.max(colon, 0));
  const port = bracketed ? bracketed[2] : colon < 0 ? undefined : text.slice(colon + 1);
  if (bracketed ? !isIpv6(host) || port === undefined : host.includes(":") || isIpv6(text)) {
    return expected('"[v6]:port"');
  }
  if (port === undefined || (!bracketed && !isHost(host))) return expected(HOST_AND_PORT);
  const number = /^\d{1,5}$/.test(port) ? Number(port) : -1;
  return number >= lowestPort && number <= 65535
    ? { host, port: number }
    : expected(`a port from ${lowestPort} to 65535`);
}

function unixPath(text: string, baseDir: string): { readonly path: string } | Wrong {
  const path = text.slice("unix:".length);
  return isPath(path) ? { path: absolutePath(baseDir, path) } : expected('"unix:/path"');
}

function expected(text: string): Wrong {
  return { expected: text };
}

function isPath(text: string): boolean {
  return text !== "" && !text.includes("\0");
}

/** Hosts may have underscores (names in container networks do); what ends in a number must be an IPv4 address. */
function isHost(text: string): boolean {
  if (isNumeric(text)) return isIpv4(text);
  return text.length <= 253 &&
    text.split(".").every((label) => /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})$/.test(label));
}

function isNumeric(text: string): boolean {
  return /^\d+$/.test(text.slice(text.lastIndexOf(".") + 1));
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 &&
    parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function isIpv6(text: string): boolean {
  if (text.length > 45 || !text.includes(":")) return false;
  const halves = text.split("::");
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [index, half] of halves.entries()) {
    if (half === "") continue;
    const parts = half.split(":");
    for (const [position, part] of parts.entries()) {
      const last = index === halves.length - 1 && position === parts.length - 1;
      if (last && isIpv4(part)) groups += 2;
      else if (/^[0-9A-Fa-f]{1,4}$/.test(part)) groups += 1;
      else return false;
    }
  }
  return halves.length === 2 ? groups <= 7 : groups === 8;
}
