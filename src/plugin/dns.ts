/**
 * DNS for plugins: what they ask, and what they are told.
 *
 * A temporary failure is a value of its own, so that nobody takes "the server did not answer" for "there is no record".
 * @module
 */

/** Types of records that can be asked for. */
export type DnsType = keyof DnsRecords;

/** What a record of each type holds. Names are in lower case, without the dot at the end; `.` is the root. */
export interface DnsRecords {
  /** An IPv4 address (RFC 1035). */
  readonly A: string;
  /** An IPv6 address in the form of RFC 5952 (RFC 3596). */
  readonly AAAA: string;
  /** Another name for it; it is only told when it is asked for, for the others it is followed. */
  readonly CNAME: string;
  /** A mail server, in no order (RFC 5321 section 5.1). */
  readonly MX: DnsMx;
  /** A name server. */
  readonly NS: string;
  /** The name of an address. Whoever owns the address can say what he likes: look that name up as well. */
  readonly PTR: string;
  /** Start of authority. */
  readonly SOA: DnsSoa;
  /** A service (RFC 2782). */
  readonly SRV: DnsSrv;
  /** Which certificate a server has (RFC 6698); worth something only when `authenticated`. */
  readonly TLSA: DnsTlsa;
  /** Text. */
  readonly TXT: DnsTxt;
}

/** A mail server. */
export interface DnsMx {
  /** The lowest is tried first. */
  readonly preference: number;
  /** Its name; `.`: the domain takes no mail (RFC 7505). */
  readonly exchange: string;
}

/** Start of authority. */
export interface DnsSoa {
  /** The primary server. */
  readonly primary: string;
  /** The mailbox of who is responsible, as a name. */
  readonly responsible: string;
  /** The zone's version. */
  readonly serial: number;
  /** Seconds. */
  readonly refresh: number;
  /** Seconds. */
  readonly retry: number;
  /** Seconds. */
  readonly expire: number;
  /** Seconds that a negative answer is kept (RFC 2308). */
  readonly minimum: number;
}

/** A service. */
export interface DnsSrv {
  /** The lowest is tried first. */
  readonly priority: number;
  /** Share among those of one priority. */
  readonly weight: number;
  /** TCP or UDP port. */
  readonly port: number;
  /** Its host; `.`: there is no such service. */
  readonly target: string;
}

/** Which certificate a server has. */
export interface DnsTlsa {
  /** 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE. */
  readonly usage: number;
  /** 0 the certificate, 1 its public key. */
  readonly selector: number;
  /** 0 as it is, 1 SHA-256, 2 SHA-512. */
  readonly matching: number;
  /** What is compared. */
  readonly data: Uint8Array;
}

/** Text, read as UTF-8. */
export interface DnsTxt {
  /** The strings joined without anything between them, as SPF, DKIM and DMARC read them (RFC 7208 section 3.3). */
  readonly text: string;
  /** The strings of the record, up to 255 octets each. */
  readonly strings: readonly string[];
}

/** What came of a question. `found`: at least one record; the others say which kind of nothing it is. */
export type DnsAnswer<T extends DnsType = DnsType> = DnsFound<T> | DnsNothing | DnsFailed;

/** There are records. */
export interface DnsFound<T extends DnsType = DnsType> {
  /** Which of the four. */
  readonly status: "found";
  /** At least one, in the order they came in. */
  readonly records: readonly DnsRecords[T][];
  /** Whose they are: the name that was asked for, or the one that its CNAMEs lead to. */
  readonly name: string;
  /** The resolver says that DNSSEC has proved it (the AD bit, RFC 4035): as trustworthy as the way to the resolver. */
  readonly authenticated: boolean;
  /** Seconds that it is still valid. */
  readonly ttl: number;
}

/** There is nothing, for certain. */
export interface DnsNothing {
  /** `no-name`: there is no such name (NXDOMAIN), or there can be none; `no-data`: it has no records of this type. */
  readonly status: "no-name" | "no-data";
  /** As in {@linkcode DnsFound}. */
  readonly authenticated: boolean;
  /** Seconds that it is still valid. */
  readonly ttl: number;
}

/** It is not known, now: a temporary error, never a "no". */
export interface DnsFailed {
  /** Which of the four. */
  readonly status: "failed";
  /** The last server's: it did not answer in time, could not be reached, answered SERVFAIL or REFUSED, or nonsense. */
  readonly reason: "timeout" | "unreachable" | "servfail" | "refused" | "malformed";
  /** For the log. */
  readonly message: string;
}

/** How a question is asked. */
export interface DnsOptions {
  /** When it is aborted, the question is given up and rejects with the signal's reason. A hook has one in its context. */
  readonly signal?: AbortSignal;
}

/** Questions to the DNS: cached by TTL, retried over the configured servers, with a budget of their own (`[dns]`). */
export interface PluginDns {
  /**
   * Asks for the records of a name, without case; what is not ASCII is asked for in its A-label form. Rejects only with the
   * signal's reason, and with a `TypeError` for a type that there is not. A name that cannot be one is `no-name`.
   */
  resolve<T extends DnsType>(name: string, type: T, options?: DnsOptions): Promise<DnsAnswer<T>>;
  /** The names of an IPv4 or IPv6 address (PTR). What is no address has none: `no-name`. */
  reverse(address: string, options?: DnsOptions): Promise<DnsAnswer<"PTR">>;
  /**
   * The name under which an address stands in a zone: octets or nibbles in reverse order. The zone is `in-addr.arpa` or
   * `ip6.arpa` (RFC 1035 section 3.5, RFC 3596 section 2.5) unless it is given, for a DNS list (RFC 5782). Undefined for what
   * is no address.
   */
  reverseName(address: string, zone?: string): string | undefined;
}
