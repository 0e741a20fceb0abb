/**
 * Words of a trace field made of client text (RFC 5321 section 4.4, RFC 5322 sections 3.2.2 and 3.3).
 *
 * Never: lets through a character that has a meaning in the field, a control character or an octet above 127.
 * @module
 */
import { parseAddress } from "../shared/network.ts";

/** Longest piece of client text in the field: a domain's limit. */
const longest = 255;

/**
 * Client text as one word that is safe inside a comment: what is not a letter, digit or one of `.-_:[]@+=/` becomes `?`,
 * and what is over 255 characters is cut.
 */
export function atomText(text: string): string {
  return text.slice(0, longest).replace(/[^A-Za-z0-9.\-_:[\]@+=/]/g, "?");
}

/** HELO argument as From-domain: a domain or an address literal; undefined for anything else. */
export function fromDomain(helo: string): string | undefined {
  if (helo.length === 0 || helo.length > longest) return undefined;
  if (helo.startsWith("[") && helo.endsWith("]")) {
    const inside = helo.slice(1, -1);
    // A zone (`%eth0`) is no part of a literal, and could hold anything.
    if (inside.includes("%")) return undefined;
    const tagged = /^ipv6:/i.test(inside);
    const address = tagged ? inside.slice(5) : inside;
    return parseAddress(address) !== undefined && tagged === address.includes(":")
      ? helo
      : undefined;
  }
  // Underscores are no part of a domain but common in host names, and harmless here.
  return /^[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*\.?$/.test(helo) ? helo : undefined;
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]`; undefined where the peer has no IP address (a unix socket). */
export function addressLiteral(address: string): string | undefined {
  const octets = parseAddress(address);
  if (octets === undefined) return undefined;
  if (octets.length === 4) return `[${octets.join(".")}]`;
  const zone = address.indexOf("%");
  return `[IPv6:${zone < 0 ? address : address.slice(0, zone)}]`;
}

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** RFC 5322 date-time in UTC. */
export function dateTime(ms: number): string {
  const date = new Date(ms);
  const two = (n: number) => (n < 10 ? "0" : "") + n;
  return `${days[date.getUTCDay()]}, ${date.getUTCDate()} ${months[date.getUTCMonth()]} ` +
    `${date.getUTCFullYear()} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:` +
    `${two(date.getUTCSeconds())} +0000`;
}
