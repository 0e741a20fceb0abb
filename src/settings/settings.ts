/**
 * The decoded configuration: defaults filled in, durations in milliseconds, sizes in octets, secrets resolved.
 * The file's form is in `schema.ts`; this is what the rest of the program reads.
 * @module
 */

import type { StateStore } from "./state_store.ts";

/** A network in CIDR form, or one address. */
export type Network = string;

/** Everything `postern.toml` says. */
export interface Settings {
  /** Our name in banners, EHLO and `Received`. */
  readonly hostname: string;
  /** Absolute path. */
  readonly dataDir: string;
  /** Where limits, counters and locks of the plugins are kept. */
  readonly state: StateStore;
  /** The user to become when started as root. */
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** Processes that share the listeners. */
  readonly workers: number | "auto";
  /** At least one; names and addresses differ. */
  readonly listeners: readonly ListenerSettings[];
  /** Certificates and versions, for all listeners. */
  readonly tls: TlsSettings;
  /** What a client may use up. */
  readonly limits: Limits;
  /** How long is waited for what. */
  readonly timeouts: Timeouts;
  /** In file order; names differ. */
  readonly upstreams: readonly UpstreamSettings[];
  /** In file order: the first match wins. */
  readonly routes: readonly RouteSettings[];
  /** Where a quarantine that names no upstream goes; the name of one that exists. */
  readonly quarantine: string | undefined;
  /** In file order, which is the order they are asked in. */
  readonly plugins: readonly PluginSettings[];
  /** Write a `Received` field into every message (RFC 5321 section 4.4). */
  readonly received: boolean;
  /** Undefined: the admin API is off. */
  readonly admin: AdminSettings | undefined;
  /** Who is asked for names. */
  readonly dns: DnsSettings;
  /** The log. */
  readonly log: LogSettings;
  /** The history of decisions. */
  readonly trace: TraceSettings;
  /** Folder of the configuration file: what relative paths are relative to. */
  readonly baseDir: string;
}

/** Where clients connect. */
export interface ListenerSettings {
  /** Unique; `listener-1` and so on where the file has none. */
  readonly name: string;
  /** Host and port (0: any free one), or the absolute path of a socket. */
  readonly listen: { readonly host: string; readonly port: number } | { readonly path: string };
  /** No TLS, by STARTTLS, or from the first octet. */
  readonly tls: "none" | "starttls" | "implicit";
  /** MAIL before TLS gets `530 5.7.0`. */
  readonly requireTls: boolean;
  /** Not offered, offered, or needed before MAIL. */
  readonly auth: "off" | "optional" | "required";
  /** Offer AUTH without TLS to loopback clients. */
  readonly authPlaintextLoopback: boolean;
  /** Networks from which a PROXY header is expected and trusted. */
  readonly proxyProtocol: readonly Network[];
  /** Networks from which XCLIENT is taken. */
  readonly xclient: readonly Network[];
  /** Whether clients are asked for a certificate. */
  readonly clientCertificate: "none" | "request" | "require";
}

/** Certificates and versions. */
export interface TlsSettings {
  /** Absolute paths. Empty: self-signed, kept in `dataDir`. */
  readonly certificates: readonly { readonly cert: string; readonly key: string }[];
  /** Oldest TLS version, on both sides. */
  readonly minVersion: "1.2" | "1.3";
  /** Absolute path of PEM trust anchors for client certificates. */
  readonly clientCa: string | undefined;
}

/** What a client may use up. */
export interface Limits {
  /** Octets of a message. */
  readonly messageSize: number;
  /** Recipients of a transaction. */
  readonly recipients: number;
  /** Client connections at once. */
  readonly connections: number;
  /** Client connections from one address at once. */
  readonly connectionsPerAddress: number;
  /** Error replies before the connection is closed. */
  readonly errors: number;
  /** Transactions of one session. */
  readonly transactions: number;
  /** Commands without a transaction (NOOP, RSET, VRFY, EHLO ...) in a row. */
  readonly idleCommands: number;
  /** Octets of the header block. */
  readonly headerSize: number;
  /** Octets of a held body that stay in memory; the rest goes to a file in `dataDir`. */
  readonly heldMemory: number;
  /** `Received` fields at which a message is refused as a loop. */
  readonly hops: number;
  /** Octets of a command line with CRLF, before what AUTH and parameters add. */
  readonly commandLine: number;
  /** Octets of a text line with CRLF. */
  readonly textLine: number;
  /** Longer text lines are passed whole, or the message is refused. */
  readonly longLines: "pass" | "reject";
  /** A bare CR or LF in content is repaired, or the message is refused. */
  readonly bareNewline: "normalize" | "reject";
  /** Failed logins of one session before it is closed. */
  readonly authFailures: number;
}

/** Milliseconds. */
export interface Timeouts {
  /** Client: the next command. */
  readonly command: number;
  /** Client: the next octets of a body. */
  readonly data: number;
  /** Client: the whole session. */
  readonly session: number;
  /** Client: the TLS handshake. */
  readonly tlsHandshake: number;
  /** Client: the PROXY header. */
  readonly proxyHeader: number;
  /** Upstream: a connection. */
  readonly upstreamConnect: number;
  /** Upstream: the reply to a command. */
  readonly upstreamCommand: number;
  /** Between two octets accepted by the upstream during the body. */
  readonly upstreamData: number;
  /** Upstream: the reply to the final dot. */
  readonly upstreamDataEnd: number;
  /** An unused upstream connection is kept this long; 0: not at all. */
  readonly upstreamIdle: number;
  /** Transactions in flight may finish when the server stops. */
  readonly drain: number;
}

/** Where mail goes. */
export interface UpstreamSettings {
  /** Unique. */
  readonly name: string;
  /** At least one; a maildir is the only one. */
  readonly servers: readonly ServerSettings[];
  /** In turn, or in order with the next as a fallback. */
  readonly balance: "round-robin" | "priority";
  /** STARTTLS: never, if offered, always, always with a valid certificate. */
  readonly tls: "none" | "opportunistic" | "require" | "verify";
  /** Absolute path of PEM trust anchors. */
  readonly ca: string | undefined;
  /** SHA-256, lower-case hex: only a certificate with this fingerprint is accepted. */
  readonly fingerprint: string | undefined;
  /** How the upstream is told who the client is. */
  readonly identity: "none" | "xclient" | "xforward" | "proxy-v1" | "proxy-v2";
  /** Credentials; never log the password. */
  readonly auth: { readonly user: string; readonly password: string } | undefined;
  /** Connections at most, all servers together. */
  readonly connections: number;
  /** Transactions on one connection at most. */
  readonly maxUses: number;
  /** `inline`: the answer is the upstream's. */
  readonly mode: "inline" | "spool" | "inline-then-spool";
  /** Pass the upstream's reply text to the client. */
  readonly replyText: boolean;
}

/** One server of an upstream. */
export type ServerSettings =
  | {
    /** SMTP over TCP. */
    readonly kind: "smtp";
    /** Name or address, an IPv6 one without brackets. */
    readonly host: string;
    /** 1 to 65535. */
    readonly port: number;
    /** `smtps://`: TLS from the first octet. */
    readonly implicitTls: boolean;
  }
  /** SMTP over a socket; absolute path. */
  | { readonly kind: "unix"; readonly path: string }
  /** The embedded mailbox; absolute path. */
  | { readonly kind: "maildir"; readonly path: string };

/** Which recipients go where. */
export interface RouteSettings {
  /** Lower-case domains; `*.example.org` matches any depth of subdomains; undefined: every recipient. */
  readonly to: readonly string[] | undefined;
  /** True: only sessions that have authenticated; false: only those that have not. */
  readonly authenticated: boolean | undefined;
  /** Only sessions of these listeners; undefined: of all. */
  readonly listeners: readonly string[] | undefined;
  /** Name of an upstream that exists. */
  readonly upstream: string;
}

/** One policy. */
export interface PluginSettings {
  /** Name of a bundled policy, or a path relative to `baseDir`. */
  readonly use: string;
  /** Only sessions of these listeners; undefined: of all. */
  readonly listeners: readonly string[] | undefined;
  /** `shadow`: asked and logged, without effect. */
  readonly mode: "enforce" | "shadow" | "off";
  /** Of a hundred sessions it is enforced in so many, and a shadow in the others; undefined: in all. */
  readonly percent?: number | undefined;
  /** Only where all of this holds; undefined: always. */
  readonly when?: PluginCondition | undefined;
  /** `use` of plugins that are asked before it. */
  readonly after?: readonly string[] | undefined;
  /** `use` of plugins that are asked after it. */
  readonly before?: readonly string[] | undefined;
  /** Overrides the plugin's own. */
  readonly onError: "pass" | "tempfail" | "refuse" | undefined;
  /** Milliseconds per phase. */
  readonly budget: number;
  /** The plugin is reloaded when its file changes. */
  readonly watch: boolean;
  /** It has a worker of its own, with at most these rights; undefined: it runs inline. */
  readonly worker?: PluginGrant | undefined;
  /** As the file has them: the plugin's own schema checks them. */
  readonly options: unknown;
  /** Dotted path in the file (`plugins[0]`), for errors. */
  readonly path: string;
}

/** For whom a plugin runs; every key that is given must hold. Domains as in {@linkcode RouteSettings.to}. */
export interface PluginCondition {
  /** The client's address. */
  readonly networks: readonly Network[] | undefined;
  /** True: only once the client has authenticated; false: only as long as it has not. */
  readonly authenticated: boolean | undefined;
  /** True: only under TLS; false: only in plain text. */
  readonly tls: boolean | undefined;
  /** The argument of HELO or EHLO. */
  readonly helo: readonly string[] | undefined;
  /** The domain of the reverse-path; never the null one. */
  readonly senderDomains: readonly string[] | undefined;
  /** The recipient that is judged; from DATA on, one of those accepted. */
  readonly recipientDomains: readonly string[] | undefined;
}

/** What the operator grants a plugin in a worker. */
export interface PluginGrant {
  /** `host` or `host:port`; `*`: any. */
  readonly net: readonly string[];
  /** Files and folders, relative to `baseDir`; `*`: any. */
  readonly read: readonly string[];
}

/** The admin API. */
export interface AdminSettings {
  /** Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Who may use it. */
  readonly tokens: readonly {
    /** Stands in the log of what was done with it. */
    readonly name: string;
    /** A viewer changes nothing. */
    readonly role: "admin" | "viewer";
    /** Hash of the token. */
    readonly hash: string;
  }[];
}

/** The resolver. */
export interface DnsSettings {
  /** In order; undefined: those of the system. */
  readonly servers: readonly { readonly host: string; readonly port: number }[] | undefined;
  /** Milliseconds of one try with one server. */
  readonly timeout: number;
  /** With each server. */
  readonly tries: number;
  /** Milliseconds of a question. */
  readonly budget: number;
  /** Answers that are kept. */
  readonly cache: number;
}

/** The log. */
export interface LogSettings {
  /** Events below it are not written. */
  readonly level: "debug" | "info" | "warn" | "error";
  /** One line an event, either way. */
  readonly format: "human" | "json";
}

/** The history of decisions, for `postern explain`. */
export interface TraceSettings {
  /** What is kept: everything, what was not delivered, nothing. */
  readonly history: "all" | "notable" | "none";
  /** Octets on disk. */
  readonly size: number;
}
