/**
 * What EHLO offers (RFC 5321 section 4.1.1.1): what is configured, cut to what the reachable upstreams honour or we bridge.
 *
 * PIPELINING, ENHANCEDSTATUSCODES and CHUNKING are ours to keep: BDAT is bridged to DATA. 8BITMIME is ours too: octets pass
 * untouched. SMTPUTF8, DSN and REQUIRETLS are promises that only the upstream can keep, so they are offered only when every
 * upstream that answered offers them. BINARYMIME is not offered: a bridge to DATA cannot carry it.
 * @module
 */

/** What one server says it can do, from its EHLO reply. */
export interface Extensions {
  readonly pipelining: boolean;
  readonly eightBitMime: boolean;
  readonly smtputf8: boolean;
  readonly dsn: boolean;
  readonly enhancedStatusCodes: boolean;
  readonly chunking: boolean;
  readonly starttls: boolean;
  readonly requiretls: boolean;
  /** Octets; 0: offered without a limit; undefined: SIZE not offered. */
  readonly size: number | undefined;
  /** SASL mechanisms, upper case. */
  readonly auth: readonly string[];
  /** Attribute names, upper case; empty: not offered. */
  readonly xclient: readonly string[];
  readonly xforward: readonly string[];
}

/** A server that said HELO only. */
export const noExtensions: Extensions = {
  pipelining: false,
  eightBitMime: false,
  smtputf8: false,
  dsn: false,
  enhancedStatusCodes: false,
  chunking: false,
  starttls: false,
  requiretls: false,
  size: undefined,
  auth: [],
  xclient: [],
  xforward: [],
};

/** Reads the lines of an EHLO reply; the first is the greeting. Keywords compare case-insensitively. */
export function parseExtensions(lines: readonly string[]): Extensions {
  const found: { -readonly [K in keyof Extensions]: Extensions[K] } = { ...noExtensions };
  for (const line of lines.slice(1)) {
    // ASCII before upper case: some letters outside it map into it.
    if (/[^\x00-\x7f]/.test(line)) continue;
    const words = line.trim().toUpperCase().split(/[ =]+/, 64);
    switch (words[0]) {
      case "PIPELINING":
        found.pipelining = true;
        break;
      case "8BITMIME":
        found.eightBitMime = true;
        break;
      case "SMTPUTF8":
        found.smtputf8 = true;
        break;
      case "DSN":
        found.dsn = true;
        break;
      case "ENHANCEDSTATUSCODES":
        found.enhancedStatusCodes = true;
        break;
      case "CHUNKING":
        found.chunking = true;
        break;
      case "STARTTLS":
        found.starttls = true;
        break;
      case "REQUIRETLS":
        found.requiretls = true;
        break;
      case "SIZE": {
        const limit = words[1] ?? "";
        found.size = /^\d{1,15}$/.test(limit) ? Number(limit) : 0;
        break;
      }
      case "AUTH":
        found.auth = [...new Set([...found.auth, ...words.slice(1)])];
        break;
      case "XCLIENT":
        found.xclient = words.slice(1);
        break;
      case "XFORWARD":
        found.xforward = words.slice(1);
        break;
      default:
    }
  }
  return found;
}

/** What we can honour towards clients of one listener. */
export interface Offer {
  /** Octets; 0: no limit. */
  readonly size: number;
  readonly smtputf8: boolean;
  readonly dsn: boolean;
  readonly requiretls: boolean;
}

/** The intersection of our own limit and what the upstreams that have answered so far can do. */
export function intersect(ownSize: number, upstreams: readonly Extensions[]): Offer {
  let size = ownSize;
  for (const upstream of upstreams) {
    if (upstream.size !== undefined && upstream.size > 0 && (size === 0 || upstream.size < size)) {
      size = upstream.size;
    }
  }
  const every = (has: (e: Extensions) => boolean): boolean =>
    upstreams.length > 0 && upstreams.every(has);
  return {
    size,
    smtputf8: every((e) => e.smtputf8),
    dsn: every((e) => e.dsn),
    requiretls: every((e) => e.requiretls),
  };
}
