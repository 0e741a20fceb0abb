/**
 * Zones written down, for tests: every answer, every kind of nothing and every failure without a server.
 *
 * A name that is no key and has no name below it does not exist; one that is there without the type has no data. CNAMEs are
 * followed, and `*` labels match as in RFC 4592.
 * @module
 */
import type { DnsAnswer, DnsMx, DnsRecords, DnsSrv, DnsType } from "../plugin/dns.ts";
import { CHAIN_LIMIT, failed } from "./answer.ts";
import { normalName, reverseName } from "./names.ts";

/** How a question can go wrong: `hang` never gets an answer, the others get it at once; `no-name` is NXDOMAIN. */
export type DnsTrouble = "no-name" | "servfail" | "refused" | "timeout" | "hang";

/** Records of one name, by type: values, or how the question goes wrong. */
export interface DnsZone {
  /** IPv4 addresses. */
  readonly A?: readonly string[] | DnsTrouble;
  /** IPv6 addresses. */
  readonly AAAA?: readonly string[] | DnsTrouble;
  /** The one other name. */
  readonly CNAME?: string | DnsTrouble;
  /** Mail servers, also as `"10 mx.example.org"`. */
  readonly MX?: readonly (DnsMx | string)[] | DnsTrouble;
  /** Name servers. */
  readonly NS?: readonly string[] | DnsTrouble;
  /** Names of an address. */
  readonly PTR?: readonly string[] | DnsTrouble;
  /** Start of authority. */
  readonly SOA?: readonly DnsRecords["SOA"][] | DnsTrouble;
  /** Services. */
  readonly SRV?: readonly DnsSrv[] | DnsTrouble;
  /** Certificates. */
  readonly TLSA?: readonly DnsRecords["TLSA"][] | DnsTrouble;
  /** Text; a list is one record of several strings. */
  readonly TXT?: readonly (string | readonly string[])[] | DnsTrouble;
  /** DNSSEC has proved them. Default: false. */
  readonly authenticated?: boolean;
}

/** By name, or by address for its PTR records: records, or how every question about it goes wrong. */
export interface DnsZones {
  /** What there is to say of one of them. */
  readonly [nameOrAddress: string]: DnsZone | DnsTrouble;
}

/** Answers out of zones, and which questions there were. */
export interface StaticDns {
  /** As `name TYPE`, in order. */
  readonly asked: readonly string[];
  /** Replaces or adds names. */
  set(zones: DnsZones): void;
  /** Never rejects. */
  resolve(name: string, type: DnsType): Promise<DnsAnswer>;
}

/** Seconds. */
const TTL = 300;
const TROUBLES: ReadonlySet<unknown> = new Set(
  ["no-name", "servfail", "refused", "timeout", "hang"] satisfies DnsTrouble[],
);

/**
 * Makes them.
 *
 * @example
 * ```ts
 * import { staticDns } from "@postern/postern/testing";
 *
 * const dns = staticDns({
 *   "example.org": { MX: ["10 mx.example.org"], TXT: ["v=spf1 mx -all"] },
 *   "mx.example.org": { A: ["192.0.2.1"] },
 *   "192.0.2.1": { PTR: ["mx.example.org"] },
 *   "broken.test": "servfail",
 * });
 * const answer = await dns.resolve("broken.test", "A");
 * if (answer.status !== "failed") throw new Error("Expected a failure");
 * ```
 */
export function staticDns(zones: DnsZones): StaticDns {
  const names = new Map<string, DnsZone | DnsTrouble>();
  const asked: string[] = [];
  const set = (more: DnsZones): void => {
    for (const [key, zone] of Object.entries(more)) {
      const name = normalName(reverseName(key) ?? key);
      if (name === undefined) throw new TypeError(`Neither a name nor an address: ${key}`);
      names.set(name, zone);
    }
  };
  set(zones);
  return {
    asked,
    set,
    resolve: (given, type) => {
      const name = normalName(given);
      if (name === undefined) return Promise.resolve(nothing("no-name", false));
      asked.push(`${name} ${type}`);
      return answer(names, name, type);
    },
  };
}

function answer(
  names: ReadonlyMap<string, DnsZone | DnsTrouble>,
  asked: string,
  type: DnsType,
): Promise<DnsAnswer> {
  let authenticated = true;
  let name = asked;
  for (let links = 0; links <= CHAIN_LIMIT; links++) {
    const zone = zoneOf(names, name);
    if (isTrouble(zone)) return troubled(zone, name);
    authenticated &&= typeof zone === "object" && zone.authenticated === true;
    if (zone === undefined || zone === "empty") {
      return Promise.resolve(nothing(zone === undefined ? "no-name" : "no-data", authenticated));
    }
    const values = zone[type];
    if (isTrouble(values)) return troubled(values, name);
    if (values !== undefined && values.length > 0) {
      const list: readonly unknown[] = typeof values === "string" ? [values] : values;
      const records = list.map((value) => recordOf(value, type));
      return Promise.resolve({ status: "found", records, name, authenticated, ttl: TTL });
    }
    const alias = zone.CNAME;
    if (alias === undefined) return Promise.resolve(nothing("no-data", authenticated));
    if (isTrouble(alias)) return troubled(alias, name);
    name = normalName(alias) ?? alias;
  }
  return Promise.resolve(failed("malformed", `CNAMEs of ${asked} lead nowhere`));
}

/** `empty`: there are only names below it. */
function zoneOf(
  names: ReadonlyMap<string, DnsZone | DnsTrouble>,
  name: string,
): DnsZone | DnsTrouble | "empty" | undefined {
  const own = names.get(name);
  if (own !== undefined) return own;
  if (hasBelow(names, name)) return "empty";
  // The closest name that exists is the one whose wildcard counts.
  for (let parent = parentOf(name); parent !== undefined; parent = parentOf(parent)) {
    const wild = names.get(`*.${parent}`);
    if (wild !== undefined) return wild;
    if (names.has(parent) || hasBelow(names, parent)) return undefined;
  }
  return undefined;
}

function hasBelow(names: ReadonlyMap<string, unknown>, name: string): boolean {
  return [...names.keys()].some((each) => each.endsWith(`.${name}`));
}

function parentOf(name: string): string | undefined {
  const dot = name.indexOf(".");
  return dot < 0 ? undefined : name.slice(dot + 1);
}

function recordOf(value: unknown, type: DnsType): DnsRecords[DnsType] {
  if (type === "MX" && typeof value === "string") {
    const [preference = "", exchange = ""] = value.split(" ");
    return { preference: Number(preference), exchange: normalName(exchange) ?? exchange };
  }
  if (type === "TXT") {
    const strings = typeof value === "string" ? [value] : value as readonly string[];
    return { text: strings.join(""), strings };
  }
  // The types of the zone say what it is.
  return value as DnsRecords[DnsType];
}

/** Whether it is a way for a question to go wrong, and no record. */
export function isTrouble(value: unknown): value is DnsTrouble {
  return TROUBLES.has(value);
}

function troubled(trouble: DnsTrouble, name: string): Promise<DnsAnswer> {
  if (trouble === "hang") return new Promise(() => {});
  return Promise.resolve(
    trouble === "no-name" ? nothing("no-name", false) : failed(trouble, `${name}: ${trouble}`),
  );
}

function nothing(status: "no-name" | "no-data", authenticated: boolean): DnsAnswer {
  return { status, authenticated, ttl: TTL };
}
