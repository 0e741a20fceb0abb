/**
 * Names: what can be asked for, and where an address stands.
 *
 * Sources: RFC 1035 sections 2.3.4 and 3.5, RFC 3596 section 2.5, RFC 5782 section 2. Never: throws.
 * @module
 */
import { parseIp } from "../wire/ip.ts";

/**
 * The form of a name that is asked for and compared: lower case, no dot at the end, A-labels; undefined when it cannot be a
 * name. Any printable character may stand in it: what is looked up for mail is not always the name of a host.
 */
export function normalName(name: string): string | undefined {
  let text = name.endsWith(".") ? name.slice(0, -1) : name;
  if (name === ".") return ".";
  if (/[^\x00-\x7f]/.test(text)) {
    const ascii = toAscii(text);
    if (ascii === undefined) return undefined;
    text = ascii;
  }
  if (text.length > 253 || !/^[\x21-\x7e]+$/.test(text)) return undefined;
  if (text.split(".").some((label) => label === "" || label.length > 63)) return undefined;
  return text.toLowerCase();
}

/** By the URL parser, which has UTS #46; it must see nothing that means something else to it. */
function toAscii(name: string): string | undefined {
  if (/[\x00-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]/.test(name)) return undefined;
  try {
    return new URL(`http://${name}/`).hostname;
  } catch {
    return undefined;
  }
}

/** A name out of an answer, made harmless: what is not printable ASCII becomes `?`, which no host has. */
export function answeredName(name: string): string {
  if (name === "" || name === ".") return ".";
  return name.replace(/[^\x21-\x7e]/g, "?").toLowerCase();
}

/** Where an address stands in a zone; undefined for what is no address. */
export function reverseName(address: string, zone?: string): string | undefined {
  const octets = parseIp(address);
  if (octets === undefined) return undefined;
  if (octets.length === 4) {
    return `${[...octets].reverse().join(".")}.${zone ?? "in-addr.arpa"}`;
  }
  const nibbles = [...octets].flatMap((octet) => [octet >> 4, octet & 15]);
  return `${nibbles.reverse().map((n) => n.toString(16)).join(".")}.${zone ?? "ip6.arpa"}`;
}
