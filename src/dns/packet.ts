/**
 * Questions to octets and octets to answers, by `dns-packet`, and what of an answer may be believed.
 *
 * Owns: EDNS(0) with 1,232 octets (RFC 6891, DNS flag day 2020), mixed case against forged answers (draft-vixie-dnsext-dns0x20),
 * the AD bit (RFC 6840 section 5.7).   Never: throws on what came from the network; follows a pointer forwards, so
 * compression cannot loop (the library's rule, kept by a property test).
 * @module
 */
import { Buffer } from "node:buffer";
// @ts-types="npm:@types/dns-packet@5.6.5"
import * as codec from "dns-packet";
import type { DnsType } from "../plugin/dns.ts";

/** One question on its way: what an answer to it must repeat. */
export interface Query {
  readonly id: number;
  /** In the case it is asked in. */
  readonly name: string;
  readonly type: DnsType;
  readonly octets: Buffer;
}

/** An answer that belongs to the question. */
export interface Response {
  readonly rcode: string;
  readonly authoritative: boolean;
  readonly recursive: boolean;
  readonly authenticated: boolean;
  readonly answers: readonly codec.Answer[];
  readonly authorities: readonly codec.Answer[];
  /** Octets it came in. */
  readonly size: number;
}

/** What a packet is to a question. */
export type Reading =
  /** `exact`: with the name in the case it was asked in; without, it is an old server's or a forger's. */
  | { readonly kind: "response"; readonly response: Response; readonly exact: boolean }
  /** It belongs to it and is not all. */
  | { readonly kind: "truncated" }
  /** Not an answer to this question. */
  | { readonly kind: "foreign" };

/** What a UDP answer may have; larger ones come over TCP. */
const UDP_SIZE = 1232;

/** Makes a question with an id and a case of its own. */
export function makeQuery(name: string, type: DnsType, edns: boolean): Query {
  const random = crypto.getRandomValues(new Uint8Array(2 + name.length));
  const id = random[0]! << 8 | random[1]!;
  const mixed = [...name].map((c, i) => random[2 + i]! & 1 ? c.toUpperCase() : c).join("");
  const octets = codec.encode({
    type: "query",
    id,
    flags: codec.RECURSION_DESIRED | codec.AUTHENTIC_DATA,
    questions: [{ name: mixed, type, class: "IN" }],
    additionals: edns ? [OPT] : [],
  });
  return { id, name: mixed, type, octets };
}

const OPT: codec.OptAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: UDP_SIZE,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** Reads what came where an answer to the question is expected. */
export function readPacket(octets: Uint8Array, query: Query): Reading {
  const packet = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  if (packet.length < 12 || packet.readUInt16BE(0) !== query.id) return FOREIGN;
  const flags = packet.readUInt16BE(2);
  // A response, to a standard query.
  if ((flags & 0x8000) === 0 || (flags & 0x7800) !== 0) return FOREIGN;
  // Truncated ones may end inside a record. TCP is not believed because of this packet, so no more of it is checked.
  if ((flags & codec.TRUNCATED_RESPONSE) !== 0) return { kind: "truncated" };
  let decoded: codec.DecodedPacket & { readonly rcode?: string };
  try {
    decoded = codec.decode(packet);
    // The codec reads over the end where a record is cut off.
    if (codec.decode.bytes > packet.length) return FOREIGN;
  } catch {
    return FOREIGN;
  }
  const { questions = [], answers = [], authorities = [], additionals = [] } = decoded;
  const [asked] = questions;
  const rcode = rcodeOf(decoded.rcode, additionals);
  if (asked === undefined && (rcode === "FORMERR" || rcode === "NOTIMP")) {
    // A server that did not understand the question may leave it out.
    const response = { ...EMPTY, rcode, size: packet.length };
    return { kind: "response", response, exact: false };
  }
  if (
    asked === undefined || questions.length !== 1 || asked.type !== query.type ||
    asked.class !== "IN" || asked.name.toLowerCase() !== query.name.toLowerCase()
  ) return FOREIGN;
  return {
    kind: "response",
    exact: asked.name === query.name,
    response: {
      rcode,
      authoritative: decoded.flag_aa,
      recursive: decoded.flag_ra,
      authenticated: decoded.flag_ad,
      answers,
      authorities,
      size: packet.length,
    },
  };
}

const FOREIGN: Reading = { kind: "foreign" };

const EMPTY: Omit<Response, "rcode" | "size"> = {
  authoritative: false,
  recursive: false,
  authenticated: false,
  answers: [],
  authorities: [],
};

/** With the upper bits that EDNS adds: a code that is not 0 there is none of those that mean an answer. */
function rcodeOf(code = "", additionals: readonly codec.Answer[]): string {
  const opt = additionals.find((each) => each.type === "OPT");
  return opt?.type === "OPT" && opt.extendedRcode !== 0 ? `extended ${opt.extendedRcode}` : code;
}
