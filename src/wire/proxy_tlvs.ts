/**
 * The type-length-value vectors of PROXY protocol version 2 (haproxy's proxy-protocol.txt, sections 2.2.1 to 2.2.7).
 *
 * Vectors that are not listed here are read over, as the protocol says; a vector that overruns its header, a listed one
 * with a bad value, and a checksum that is wrong make the header malformed.
 * @module
 */
import { decodeUtf8, hasControl } from "./text.ts";

/** What the balancer says of the client's TLS (PP2_TYPE_SSL). */
export interface ProxyTls {
  /** The client's connection to the balancer was under TLS. */
  readonly tls: boolean;
  /** A client certificate was presented, on this connection or earlier in the session. */
  readonly certificate: boolean;
  /** That certificate was presented and verified. */
  readonly verified: boolean;
  /** For example `TLSv1.3`. */
  readonly version?: string;
  /** Common name of the client certificate's subject. */
  readonly commonName?: string;
  /** Name of the cipher suite. */
  readonly cipher?: string;
  /** With which the balancer's certificate was signed, for example `SHA256`. */
  readonly signatureAlgorithm?: string;
  /** Of the balancer's certificate, for example `RSA2048`. */
  readonly keyAlgorithm?: string;
}

/** The vectors of one header. */
export interface ProxyTlvs {
  /** PP2_TYPE_ALPN. */
  readonly alpn?: string;
  /** PP2_TYPE_AUTHORITY: the server name that the client asked for. */
  readonly authority?: string;
  /** PP2_TYPE_UNIQUE_ID, at most 128 octets. */
  readonly uniqueId?: Uint8Array;
  /** PP2_TYPE_SSL. */
  readonly ssl?: ProxyTls;
  /** PP2_TYPE_CRC32C: the header carried a checksum (and it was right), or shall carry one. */
  readonly checksum?: true;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const ALPN = 0x01;
const AUTHORITY = 0x02;
const CRC32C = 0x03;
const UNIQUE_ID = 0x05;
const SSL = 0x20;
const SSL_VERSION = 0x21;
const SSL_CN = 0x22;
const SSL_CIPHER = 0x23;
const SSL_SIG_ALG = 0x24;
const SSL_KEY_ALG = 0x25;
const CLIENT_SSL = 1;
const CLIENT_CERT_CONN = 2;
const CLIENT_CERT_SESS = 4;

const encoder = new TextEncoder();

/** Parses the vectors of a whole header from `start` on, or says why they are malformed. */
export function parseTlvs(header: Uint8Array, start: number): ProxyTlvs | string {
  const found: Mutable<ProxyTlvs> = {};
  const whole = walk(header, start, (type, at, value) => {
    switch (type) {
      case ALPN:
        return put(found, "alpn", text(value));
      case AUTHORITY:
        return put(found, "authority", text(value));
      case UNIQUE_ID:
        return put(found, "uniqueId", value.length <= 128 ? value.slice() : undefined);
      case SSL:
        return put(found, "ssl", parseSsl(value));
      case CRC32C:
        return put(found, "checksum", isRight(header, at, value) ? true : undefined);
      default:
        return true;
    }
  });
  return whole ? found : "Bad TLV in PROXY header";
}

/** The vectors in wire form, CRC32C last and zero. */
export function encodeTlvs(tlvs: ProxyTlvs): Uint8Array {
  const out: number[] = [];
  putText(out, ALPN, tlvs.alpn);
  putText(out, AUTHORITY, tlvs.authority);
  if (tlvs.uniqueId !== undefined) putTlv(out, UNIQUE_ID, tlvs.uniqueId);
  if (tlvs.ssl !== undefined) putTlv(out, SSL, encodeSsl(tlvs.ssl));
  if (tlvs.checksum) putTlv(out, CRC32C, [0, 0, 0, 0]);
  return Uint8Array.from(out);
}

/** CRC32C (RFC 3309 appendix B). */
export function checksum(octets: Uint8Array): number {
  let crc = 0xffffffff;
  for (const octet of octets) {
    crc ^= octet;
    // Reflected form of the polynomial 0x1EDC6F41. A header is short: a table would cost more than it saves.
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function isRight(header: Uint8Array, at: number, value: Uint8Array): boolean {
  if (value.length !== 4) return false;
  const zeroed = header.slice();
  zeroed.fill(0, at, at + 4);
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0) === checksum(zeroed);
}

/** Calls `take` with type, offset and value of each vector; false when one overruns the block or is not taken. */
function walk(
  block: Uint8Array,
  start: number,
  take: (type: number, at: number, value: Uint8Array) => boolean,
): boolean {
  let at = start;
  while (at < block.length) {
    if (at + 3 > block.length) return false;
    const type = block[at] ?? 0;
    const end = at + 3 + (((block[at + 1] ?? 0) << 8) | (block[at + 2] ?? 0));
    if (end > block.length || !take(type, at + 3, block.subarray(at + 3, end))) return false;
    at = end;
  }
  return true;
}

function parseSsl(value: Uint8Array): ProxyTls | undefined {
  if (value.length < 5) return undefined;
  const flags = value[0] ?? 0;
  const certificate = (flags & (CLIENT_CERT_CONN | CLIENT_CERT_SESS)) !== 0;
  // Balancers also write a zero "verify" when no certificate was presented: it speaks only beside one.
  const verified = certificate && value.subarray(1, 5).every((octet) => octet === 0);
  const found: Mutable<ProxyTls> = { tls: (flags & CLIENT_SSL) !== 0, certificate, verified };
  const whole = walk(value, 5, (type, _at, sub) => {
    switch (type) {
      case SSL_VERSION:
        return put(found, "version", text(sub));
      case SSL_CN:
        return put(found, "commonName", text(sub));
      case SSL_CIPHER:
        return put(found, "cipher", text(sub));
      case SSL_SIG_ALG:
        return put(found, "signatureAlgorithm", text(sub));
      case SSL_KEY_ALG:
        return put(found, "keyAlgorithm", text(sub));
      default:
        return true;
    }
  });
  return whole ? found : undefined;
}

function encodeSsl(ssl: ProxyTls): number[] {
  const flags = (ssl.tls ? CLIENT_SSL : 0) |
    (ssl.certificate ? CLIENT_CERT_CONN | CLIENT_CERT_SESS : 0);
  const out = [flags, 0, 0, 0, ssl.verified ? 0 : 1];
  putText(out, SSL_VERSION, ssl.version);
  putText(out, SSL_CN, ssl.commonName);
  putText(out, SSL_CIPHER, ssl.cipher);
  putText(out, SSL_SIG_ALG, ssl.signatureAlgorithm);
  putText(out, SSL_KEY_ALG, ssl.keyAlgorithm);
  return out;
}

/** Sets a value that is there and was not before. */
function put<T, K extends keyof T>(into: T, key: K, value: T[K] | undefined): boolean {
  if (value === undefined || into[key] !== undefined) return false;
  into[key] = value;
  return true;
}

/** A common name comes from the client's certificate: no control characters go on from here. */
function text(octets: Uint8Array): string | undefined {
  const decoded = decodeUtf8(octets);
  return decoded === undefined || hasControl(decoded) ? undefined : decoded;
}

function putText(out: number[], type: number, value: string | undefined): void {
  if (value !== undefined) putTlv(out, type, encoder.encode(value));
}

function putTlv(out: number[], type: number, value: ArrayLike<number>): void {
  if (value.length > 0xffff) {
    throw new RangeError("Cannot format PROXY header: TLVs are too long");
  }
  out.push(type, value.length >> 8, value.length & 255, ...Array.from(value));
}
