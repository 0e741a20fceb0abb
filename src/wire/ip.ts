/**
 * IP addresses as text and as octets (RFC 4291 section 2.2, RFC 5952).
 *
 * Strict where readers disagree: no leading zeros in IPv4 (some read them as octal), no zone ids, no short forms.
 * @module
 */

/** Four octets of a dotted quad; undefined for anything else. */
export function parseIPv4(text: string): Uint8Array | undefined {
  if (!/^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/.test(text)) return undefined;
  const out = new Uint8Array(4);
  let at = 0;
  for (const part of text.split(".")) {
    if ((part.length > 1 && part.startsWith("0")) || Number(part) > 255) return undefined;
    out[at++] = Number(part);
  }
  return out;
}

/** Sixteen octets of an IPv6 address without brackets; undefined for anything else. */
export function parseIPv6(text: string): Uint8Array | undefined {
  // The longest form: six full groups and a dotted quad.
  if (text.length < 2 || text.length > 45) return undefined;
  const gap = text.indexOf("::");
  if (gap !== text.lastIndexOf("::")) return undefined;
  const out = new Uint8Array(16);
  if (gap < 0) {
    const all = groups(text, true);
    if (all?.length !== 16) return undefined;
    out.set(all);
    return out;
  }
  const head = groups(text.slice(0, gap), false);
  const tail = groups(text.slice(gap + 2), true);
  if (head === undefined || tail === undefined || head.length + tail.length > 14) return undefined;
  out.set(head);
  out.set(tail, 16 - tail.length);
  return out;
}

/** Octets of an IPv4 or IPv6 address; an IPv4-mapped one (`::ffff:192.0.2.1`) gives the four octets of IPv4. */
export function parseIp(text: string): Uint8Array | undefined {
  if (!text.includes(":")) return parseIPv4(text);
  const octets = parseIPv6(text);
  return octets !== undefined && isMapped(octets) ? octets.slice(12) : octets;
}

/** Text of 4 or 16 octets: dotted quad, or RFC 5952 form. An IPv4-mapped address is told as IPv4. */
export function formatIp(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join(".");
  if (isMapped(octets)) return octets.subarray(12).join(".");
  const words: string[] = [];
  let best = 0;
  let bestAt = -1;
  let run = 0;
  for (let i = 0; i < 8; i++) {
    const word = ((octets[2 * i] ?? 0) << 8) | (octets[2 * i + 1] ?? 0);
    words.push(word.toString(16));
    run = word === 0 ? run + 1 : 0;
    if (run > best) {
      best = run;
      bestAt = i - run + 1;
    }
  }
  if (best < 2) return words.join(":");
  return words.slice(0, bestAt).join(":") + "::" + words.slice(bestAt + best).join(":");
}

/** The IPv4-mapped IPv6 form of four octets; sixteen come back as they are. */
export function toIPv6(octets: Uint8Array): Uint8Array {
  if (octets.length === 16) return octets;
  const out = new Uint8Array(16);
  out.fill(0xff, 10, 12);
  out.set(octets, 12);
  return out;
}

function isMapped(octets: Uint8Array): boolean {
  return octets[10] === 0xff && octets[11] === 0xff && octets.subarray(0, 10).every((o) => o === 0);
}

function groups(text: string, mayEndInIPv4: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const out: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (mayEndInIPv4 && i === parts.length - 1 && part.includes(".")) {
      const quad = parseIPv4(part);
      if (quad === undefined) return undefined;
      out.push(...quad);
    } else {
      if (!/^[0-9A-Fa-f]{1,4}$/.test(part)) return undefined;
      const word = parseInt(part, 16);
      out.push(word >> 8, word & 255);
    }
  }
  return out;
}
