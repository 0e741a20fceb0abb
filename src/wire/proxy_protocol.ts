/**
 * The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt, sections 2.1, 2.2): what a load balancer says about
 * the client before the client's own first octet.
 *
 * Owns: the octets of one header, bounded. Whether the peer may send one is the listener's business (R27).
 * Never: throws on input, reads past the header (`rest` is the client's), takes a header it does not wholly understand.
 * @module
 */
import { formatIp, parseIp, parseIPv6, toIPv6 } from "./ip.ts";
import { checksum, encodeTlvs, parseTlvs, type ProxyTlvs } from "./proxy_tlvs.ts";
import { decodeUtf8, hasControl } from "./text.ts";

/** One end of the proxied connection. */
export interface ProxyEndpoint {
  /** IPv4 or IPv6 text form (IPv4-mapped IPv6 is told as IPv4), or the path of a unix socket. */
  readonly address: string;
  /** 0 for a unix socket. */
  readonly port: number;
}

/** What a PROXY header says. */
export interface ProxyHeader {
  /** Of the protocol. */
  readonly version: 1 | 2;
  /** The client's end; undefined for LOCAL and UNKNOWN: then the connection's own addresses stand. */
  readonly source: ProxyEndpoint | undefined;
  /** The end that the client connected to; undefined where `source` is. */
  readonly destination: ProxyEndpoint | undefined;
  /** Version 2 only; empty for version 1 and LOCAL. */
  readonly tlvs: ProxyTlvs;
}

/** What the parser says of the octets so far. A failure is terminal. */
export type ProxyResult =
  | "more"
  | { readonly ok: true; readonly header: ProxyHeader; readonly rest: Uint8Array }
  | { readonly ok: false; readonly reason: string };

/** Octets of a version 1 header with its CRLF, at most (section 2.1). */
const MAX_V1 = 107;
/** Octets behind the fixed part of a version 2 header, at most: addresses and TLVs. Ours; the field could say 65,535. */
const MAX_V2 = 4096;
const FIXED_V2 = 16;
const V1 = new TextEncoder().encode("PROXY ");
const V2 = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10);

/** Reads one PROXY header at the start of a connection: `feed` until it says something other than `more`. */
export class ProxyHeaderParser {
  readonly #bytes = new Uint8Array(FIXED_V2 + MAX_V2);
  #length = 0;
  #done = false;

  /** Takes octets. The chunk is borrowed, but for `rest`, which is a view of it. */
  feed(chunk: Uint8Array): ProxyResult {
    if (this.#done) return { ok: false, reason: "Header was read already" };
    const before = this.#length;
    const taken = Math.min(chunk.length, this.#bytes.length - before);
    this.#bytes.set(chunk.subarray(0, taken), before);
    this.#length += taken;
    const result = parseHeader(this.#bytes.subarray(0, this.#length));
    if (result === "more") return result;
    this.#done = true;
    if (typeof result === "string") return { ok: false, reason: result };
    return { ok: true, header: result.header, rest: chunk.subarray(result.length - before) };
  }
}

/** A version 1 header with its CRLF. Mixed families are told as IPv6; a pair that has no such form as `UNKNOWN`. */
export function formatProxyV1(source: ProxyEndpoint, destination: ProxyEndpoint): string {
  const pair = octetPair(source, destination);
  if (pair === undefined) return "PROXY UNKNOWN\r\n";
  const family = pair.width === 4 ? "TCP4" : "TCP6";
  const from = text(pair.source);
  const to = text(pair.destination);
  return `PROXY ${family} ${from} ${to} ${source.port} ${destination.port}\r\n`;
}

/** A version 2 header (PROXY, stream). A pair that is not IP is told as unspecified; TLVs that do not fit throw a `RangeError`. */
export function formatProxyV2(
  source: ProxyEndpoint,
  destination: ProxyEndpoint,
  tlvs: ProxyTlvs = {},
): Uint8Array {
  const pair = octetPair(source, destination);
  const width = pair?.width ?? 0;
  const addresses = pair === undefined ? 0 : 2 * width + 4;
  const tail = encodeTlvs(tlvs);
  const length = addresses + tail.length;
  if (length > MAX_V2) throw new RangeError("Cannot format PROXY header: TLVs are too long");
  const out = new Uint8Array(FIXED_V2 + length);
  const view = new DataView(out.buffer);
  out.set(V2);
  out[12] = 0x21;
  out[13] = width === 0 ? 0x00 : width === 4 ? 0x11 : 0x21;
  view.setUint16(14, length);
  if (pair !== undefined) {
    out.set(pair.source, FIXED_V2);
    out.set(pair.destination, FIXED_V2 + width);
    view.setUint16(FIXED_V2 + 2 * width, source.port);
    view.setUint16(FIXED_V2 + 2 * width + 2, destination.port);
  }
  out.set(tail, FIXED_V2 + addresses);
  // The checksum TLV is the last one; it covers the header with its own value as zero.
  if (tlvs.checksum) view.setUint32(out.length - 4, checksum(out));
  return out;
}

type Parsed = { readonly header: ProxyHeader; readonly length: number };

/** The header at the start of the octets, or that more are needed, or why there is none. */
function parseHeader(bytes: Uint8Array): Parsed | "more" | string {
  if (isPrefix(bytes, V1)) return parseV1(bytes);
  if (isPrefix(bytes, V2)) return parseV2(bytes);
  return "No PROXY header";
}

function isPrefix(bytes: Uint8Array, signature: Uint8Array): boolean {
  return signature.every((octet, i) => i >= bytes.length || bytes[i] === octet);
}

function parseV1(bytes: Uint8Array): Parsed | string {
  const end = bytes.indexOf(10);
  if (end >= MAX_V1 || (end < 0 && bytes.length >= MAX_V1)) return "PROXY line is too long";
  if (end < 0) return "more";
  const line = String.fromCharCode(...bytes.subarray(0, end + 1));
  if (!line.endsWith("\r\n")) return "PROXY line does not end in CRLF";
  const parsed = (source?: ProxyEndpoint, destination?: ProxyEndpoint): Parsed => ({
    header: { version: 1, source, destination, tlvs: {} },
    length: end + 1,
  });
  // What follows UNKNOWN is to be ignored.
  if (/^PROXY UNKNOWN[ \r]/.test(line)) return parsed();
  const [, family, from = "", to = "", ...ports] = line.slice(0, -2).split(" ");
  const [sourcePort, destinationPort] = ports.map(parsePort);
  if (family !== "TCP4" && family !== "TCP6") return "Unknown family in PROXY line";
  const right = family === "TCP4" ? isIPv4 : isIPv6;
  if (!right(from) || !right(to)) return "Bad address in PROXY line";
  if (sourcePort === undefined || destinationPort === undefined || ports.length !== 2) {
    return "Bad port in PROXY line";
  }
  return parsed(
    { address: canonical(from), port: sourcePort },
    { address: canonical(to), port: destinationPort },
  );
}

function parseV2(bytes: Uint8Array): Parsed | string {
  if (bytes.length < FIXED_V2) return "more";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const command = bytes[12];
  if (command !== 0x20 && command !== 0x21) return "Unknown version or command in PROXY header";
  const size = view.getUint16(14);
  if (size > MAX_V2) return "PROXY header is too long";
  const length = FIXED_V2 + size;
  if (bytes.length < length) return "more";
  const nothing = { version: 2, source: undefined, destination: undefined, tlvs: {} } as const;
  // LOCAL: the balancer's own connection (a health check). Addresses and TLVs are to be thrown away.
  if (command === 0x20) return { header: nothing, length };
  const found = addresses(bytes[13] ?? 0, bytes.subarray(FIXED_V2, length));
  if (typeof found === "string") return found;
  const tlvs = parseTlvs(bytes.subarray(0, length), FIXED_V2 + found.octets);
  if (typeof tlvs === "string") return tlvs;
  const { source, destination } = found;
  return { header: { version: 2, source, destination, tlvs }, length };
}

interface Addresses {
  readonly source: ProxyEndpoint | undefined;
  readonly destination: ProxyEndpoint | undefined;
  /** How long the address part is. */
  readonly octets: number;
}

function addresses(family: number, block: Uint8Array): Addresses | string {
  switch (family) {
    case 0x00:
      return { source: undefined, destination: undefined, octets: 0 };
    case 0x11:
      return ipAddresses(4, block);
    case 0x21:
      return ipAddresses(16, block);
    case 0x31: {
      if (block.length < 216) return "PROXY header is too short for its addresses";
      const source = socketPath(block.subarray(0, 108));
      const destination = socketPath(block.subarray(108, 216));
      if (source === undefined || destination === undefined) return "Bad path in PROXY header";
      return { source, destination, octets: 216 };
    }
    default:
      // Datagrams, and what is not assigned.
      return "Unknown family in PROXY header";
  }
}

function ipAddresses(width: number, block: Uint8Array): Addresses | string {
  if (block.length < 2 * width + 4) return "PROXY header is too short for its addresses";
  const port = (at: number) => ((block[at] ?? 0) << 8) | (block[at + 1] ?? 0);
  return {
    source: { address: formatIp(block.subarray(0, width)), port: port(2 * width) },
    destination: { address: formatIp(block.subarray(width, 2 * width)), port: port(2 * width + 2) },
    octets: 2 * width + 4,
  };
}

function socketPath(octets: Uint8Array): ProxyEndpoint | undefined {
  const end = octets.indexOf(0);
  const address = decodeUtf8(end < 0 ? octets : octets.subarray(0, end));
  return address === undefined || hasControl(address) ? undefined : { address, port: 0 };
}

function parsePort(digits: string): number | undefined {
  const port = /^(?:0|[1-9][0-9]{0,4})$/.test(digits) ? Number(digits) : 65_536;
  return port <= 65_535 ? port : undefined;
}

function isIPv4(address: string): boolean {
  return !address.includes(":") && parseIp(address) !== undefined;
}

function isIPv6(address: string): boolean {
  return parseIPv6(address) !== undefined;
}

function canonical(address: string): string {
  const octets = parseIp(address);
  return octets === undefined ? address : formatIp(octets);
}

/** Text in the family that the octets say: an IPv4-mapped address in a TCP6 line is written as one. */
function text(octets: Uint8Array): string {
  const written = formatIp(octets);
  return octets.length === 16 && !written.includes(":") ? `::ffff:${written}` : written;
}

/** Both addresses in one width; undefined where one of them is not IP or a port is none. */
function octetPair(
  source: ProxyEndpoint,
  destination: ProxyEndpoint,
): { source: Uint8Array; destination: Uint8Array; width: 4 | 16 } | undefined {
  const from = parseIp(source.address);
  const to = parseIp(destination.address);
  if (from === undefined || to === undefined) return undefined;
  if (![source, destination].every((end) => parsePort(`${end.port}`) !== undefined)) {
    return undefined;
  }
  if (from.length === 4 && to.length === 4) return { source: from, destination: to, width: 4 };
  return { source: toIPv6(from), destination: toIPv6(to), width: 16 };
}
