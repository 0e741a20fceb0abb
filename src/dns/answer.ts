/**
 * What a response means: records, no such name, no data, or a temporary failure; CNAMEs followed within it.
 *
 * Sources: RFC 1034 section 3.6.2, RFC 2181 section 8, RFC 2308 sections 2 and 5.   Never: takes a failure for a "no";
 * throws.
 * @module
 */
import { Buffer } from "node:buffer";
import type { Answer, SoaData, SrvData, TlsaData, TxtData } from "dns-packet";
import type { DnsAnswer, DnsFailed, DnsRecords, DnsTxt, DnsType } from "../plugin/dns.ts";
import { formatIp, parseIPv4, parseIPv6 } from "../wire/ip.ts";
import { answeredName } from "./names.ts";
import type { Response } from "./packet.ts";

/** What one response comes to. */
export type Meaning =
  | Exclude<DnsAnswer, DnsFailed>
  | DnsFailed
  /** The name is another's, of which the response does not speak. */
  | {
    readonly status: "elsewhere";
    readonly name: string;
    readonly ttl: number;
    readonly authenticated: boolean;
  };

/** Longest chain of CNAMEs; whoever has more of them is lost or malicious. */
export const CHAIN_LIMIT = 16;
/** Seconds that anything is kept at most: a day, and three hours of a "no" (RFC 2308 section 5). */
const LONGEST = 86_400;
const LONGEST_NO = 10_800;

/** Reads it. `asked` is the name in its normal form. */
export function meaningOf(response: Response, asked: string, type: DnsType): Meaning {
  const { rcode, authenticated } = response;
  if (rcode === "REFUSED") return failed("refused", "the server answered REFUSED");
  if (rcode !== "NOERROR" && rcode !== "NXDOMAIN") {
    return failed("servfail", `the server answered ${rcode}`);
  }
  const answers = response.answers.filter(inClass);
  let name = asked;
  let ttl = LONGEST;
  const seen = new Set([name]);
  while (type !== "CNAME" && !hasType(answers, name, type)) {
    const alias = answers.find((each) => each.type === "CNAME" && owner(each) === name);
    if (alias?.type !== "CNAME") break;
    ttl = Math.min(ttl, ttlOf(alias));
    name = answeredName(alias.data);
    if (seen.has(name)) return failed("malformed", `CNAMEs of ${asked} go round in a circle`);
    if (seen.size > CHAIN_LIMIT) return failed("malformed", `too many CNAMEs of ${asked}`);
    seen.add(name);
  }
  const own = answers.filter((each) => each.type === type && owner(each) === name);
  if (rcode === "NOERROR" && own.length > 0) {
    const records: DnsRecords[DnsType][] = [];
    for (const each of own) {
      const record = recordOf(each);
      if (record === undefined) return failed("malformed", `a record of ${asked} is malformed`);
      ttl = Math.min(ttl, ttlOf(each));
      records.push(record);
    }
    return { status: "found", records, name, authenticated, ttl };
  }
  const soa = response.authorities.filter(inClass).find(({ type }) => type === "SOA");
  const least = soa?.type === "SOA"
    ? Math.min(ttl, ttlOf(soa), LONGEST_NO, seconds(soa.data.minimum ?? 0))
    : 0;
  if (rcode === "NXDOMAIN") return { status: "no-name", authenticated, ttl: least };
  if (soa === undefined && name !== asked) return { status: "elsewhere", name, authenticated, ttl };
  const refers = response.authorities.some(({ type }) => type === "NS");
  if (soa === undefined && refers && !response.recursive && !response.authoritative) {
    return failed("servfail", "the server refers to others and does not ask them itself");
  }
  return { status: "no-data", authenticated, ttl: least };
}

/** A failure. */
export function failed(reason: DnsFailed["reason"], message: string): DnsFailed {
  return { status: "failed", reason, message };
}

function hasType(answers: readonly Answer[], name: string, type: DnsType): boolean {
  return answers.some((each) => each.type === type && owner(each) === name);
}

const inClass = (each: Answer): boolean => each.type === "OPT" || each.class === "IN";

const owner = (each: Answer): string => answeredName(each.name);

function ttlOf(each: Answer): number {
  return each.type === "OPT" ? 0 : seconds(each.ttl ?? 0);
}

/** One with the highest bit set means none (RFC 2181 section 8). */
function seconds(ttl: number): number {
  return ttl > 0x7fffffff ? 0 : ttl;
}

/** A record's data, checked; undefined when it is none. The codec reads short ones past their end. */
function recordOf(each: Answer): DnsRecords[DnsType] | undefined {
  switch (each.type) {
    case "A":
      return parseIPv4(each.data) === undefined ? undefined : each.data;
    case "AAAA": {
      const octets = parseIPv6(each.data);
      return octets && formatIp(octets);
    }
    case "CNAME":
    case "NS":
    case "PTR":
      return answeredName(each.data);
    case "MX":
      return {
        preference: each.data.preference ?? 0,
        exchange: answeredName(each.data.exchange),
      };
    case "SOA":
      return soaOf(each.data);
    case "SRV":
      return srvOf(each.data);
    case "TLSA":
      return tlsaOf(each.data);
    case "TXT":
      return txtOf(each.data);
    default:
      return undefined;
  }
}

function soaOf(data: SoaData): DnsRecords["SOA"] {
  const { mname, rname, serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0 } = data;
  const primary = answeredName(mname);
  return { primary, responsible: answeredName(rname), serial, refresh, retry, expire, minimum };
}

function srvOf({ priority = 0, weight = 0, port, target }: SrvData): DnsRecords["SRV"] {
  return { priority, weight, port, target: answeredName(target) };
}

function tlsaOf({ usage, selector, matchingType, certificate }: TlsaData): DnsRecords["TLSA"] {
  // A copy: the packet it is a part of need not be kept for it.
  return { usage, selector, matching: matchingType, data: new Uint8Array(certificate) };
}

/** Joined as octets: a character may stand in two strings. */
function txtOf(data: TxtData): DnsTxt {
  const parts = (Array.isArray(data) ? data : [data])
    .map((part) => typeof part === "string" ? Buffer.from(part) : part);
  return {
    text: Buffer.concat(parts).toString("utf8"),
    strings: parts.map((part) => part.toString("utf8")),
  };
}
