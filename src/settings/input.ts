/**
 * The configuration as a value: what `postern.config.ts` exports and an embedding program gives. Keys and meanings are those of
 * `postern.toml`; `docs/configuration.md` has the table of them.
 * @module
 */

/** In place of a string: the value of an environment variable, or the content of a file without its last line end. */
export type Reference =
  /** Name of the environment variable. */
  | { readonly env: string }
  /** Path of the file, relative to the folder of the configuration. */
  | { readonly file: string };

/** A string, or where it is to be found. */
export type Text = string | Reference;

/** `"30s"`, `"5m"`, `"1h30m"`, `"250ms"`, `"1d"`; at most 24 days. */
export type Duration = Text;

/** `"25MiB"`, `"10KB"` or a number of octets. */
export type Size = Text | number;

/** A whole configuration. Every key has a default that is safe, but for the addresses only its writer can know. */
export interface ConfigInput {
  /** Our name in banners, EHLO and `Received`. Default: the machine's own. */
  readonly hostname?: Text | undefined;
  /** Folder for state and the generated certificate. Default: `$STATE_DIRECTORY`, `$XDG_STATE_HOME/postern` or `/var/lib/postern`. */
  readonly data_dir?: Text | undefined;
  /** Where limits, counters and locks of the plugins are kept: `"memory"`, `"sqlite"` (`state.db` in `data_dir`) or `"sqlite:PATH"`. Default `"memory"`. */
  readonly state?: Text | undefined;
  /** Started as root: become this user once the ports are open and the keys are read. */
  readonly user?: Text | undefined;
  /** The group to go with it. Default: the one of the same name. */
  readonly group?: Text | undefined;
  /** Processes that share the listeners. Default 1. */
  readonly workers?: number | "auto" | undefined;
  /** Write a `Received` field into every message. Default true. */
  readonly received?: boolean | undefined;
  /** Where clients connect; at least one. */
  readonly listeners?: readonly ListenerInput[] | undefined;
  /** Certificates and versions, for all listeners. */
  readonly tls?: TlsInput | undefined;
  /** What a client may use up. */
  readonly limits?: LimitsInput | undefined;
  /** How long is waited for what. */
  readonly timeouts?: TimeoutsInput | undefined;
  /** Where mail goes; each has a name. */
  readonly upstreams?: { readonly [name: string]: UpstreamInput } | undefined;
  /** Which recipients go where; the first match wins, and no match is `550 5.7.1`. */
  readonly routes?: readonly RouteInput[] | undefined;
  /** Name of the upstream that a plugin's quarantine goes to where the plugin names none. */
  readonly quarantine?: Text | undefined;
  /** Policies, asked in this order. */
  readonly plugins?: readonly PluginInput[] | undefined;
  /** The admin API; without this it is off. */
  readonly admin?: AdminInput | undefined;
  /** Who is asked for names, by plugins. */
  readonly dns?: DnsInput | undefined;
  /** The log, on standard error. */
  readonly log?: LogInput | undefined;
  /** The history of decisions, for `postern explain`. */
  readonly trace?: TraceInput | undefined;
}

/** `[[listeners]]` */
export interface ListenerInput {
  /** Stands in logs, metrics and routes. Default: `listener-1`, `listener-2` ... */
  readonly name?: Text | undefined;
  /** `"host:port"`, `"[v6]:port"` or `"unix:/path"`; port 0: any free one. */
  readonly listen: Text;
  /** Default `"starttls"`. No port is special: a listener on 465 needs `"implicit"`. */
  readonly tls?: "none" | "starttls" | "implicit" | Reference | undefined;
  /** MAIL before TLS gets `530 5.7.0`. Default false. */
  readonly require_tls?: boolean | undefined;
  /** AUTH is offered, and taken, under TLS only. Default `"off"`. */
  readonly auth?: "off" | "optional" | "required" | Reference | undefined;
  /** Offer AUTH without TLS to clients on this machine. Default false. */
  readonly auth_plaintext_loopback?: boolean | undefined;
  /** Networks from which a PROXY v1 or v2 header is expected and trusted. Default none. */
  readonly proxy_protocol?: readonly Text[] | undefined;
  /** Networks from which XCLIENT is taken. Default none: it is not offered. */
  readonly xclient?: readonly Text[] | undefined;
  /** Ask clients for a certificate. Default `"none"`. */
  readonly client_certificate?: "none" | "request" | "require" | Reference | undefined;
}

/** `[tls]` */
export interface TlsInput {
  /** Chosen by the names in them (SNI). None: self-signed, kept in `data_dir`. */
  readonly certificates?: readonly CertificateInput[] | undefined;
  /** Oldest TLS version, on both sides. Default `"1.2"`. */
  readonly min_version?: "1.2" | "1.3" | Reference | undefined;
  /** PEM file of trust anchors for client certificates. */
  readonly client_ca?: Text | undefined;
}

/** One certificate. */
export interface CertificateInput {
  /** PEM file: the certificate, then its chain. */
  readonly cert: Text;
  /** PEM file: the private key. */
  readonly key: Text;
}

/** `[limits]` */
export interface LimitsInput {
  /** Octets of a message; offered as SIZE. Default `"25MiB"`. */
  readonly message_size?: Size | undefined;
  /** Recipients of a transaction; more get `452 4.5.3`. Default 100. */
  readonly recipients?: number | undefined;
  /** Client connections at once. Default 5000. */
  readonly connections?: number | undefined;
  /** Client connections from one address at once. Default 50. */
  readonly connections_per_address?: number | undefined;
  /** Error replies before the connection is closed. Default 10. */
  readonly errors?: number | undefined;
  /** Transactions of one session. Default 10,000. */
  readonly transactions?: number | undefined;
  /** Commands in a row that do not bring a transaction on. Default 20. */
  readonly idle_commands?: number | undefined;
  /** Octets of the header block; a larger one gets `552`. Default `"256KiB"`. */
  readonly header_size?: Size | undefined;
  /** Octets of a message held back for a plugin that stay in memory; a larger one goes to a file in `data_dir`. Default `"256KiB"`. */
  readonly held_memory?: Size | undefined;
  /** `Received` fields at which a message is refused as a loop. Default 100. */
  readonly hops?: number | undefined;
  /** Octets of a command line, with CRLF. Default 512. */
  readonly command_line?: number | undefined;
  /** Octets of a line of content, with CRLF. Default 1000. */
  readonly text_line?: number | undefined;
  /** Longer content lines are passed whole or refused, never cut. Default `"pass"`. */
  readonly long_lines?: "pass" | "reject" | Reference | undefined;
  /** A bare CR or LF in content is repaired, or the message gets `554 5.6.0`. Default `"normalize"`. */
  readonly bare_newline?: "normalize" | "reject" | Reference | undefined;
  /** Failed logins before the connection is closed. Default 3. */
  readonly auth_failures?: number | undefined;
}

/** `[timeouts]` */
export interface TimeoutsInput {
  /** Client: the next command. Default `"5m"`. */
  readonly command?: Duration | undefined;
  /** Client: the next octets of a body. Default `"5m"`. */
  readonly data?: Duration | undefined;
  /** Client: the whole session. Default `"1h"`. */
  readonly session?: Duration | undefined;
  /** Client: the TLS handshake. Default `"30s"`. */
  readonly tls_handshake?: Duration | undefined;
  /** Client: the PROXY header. Default `"10s"`. */
  readonly proxy_header?: Duration | undefined;
  /** Upstream: a connection. Default `"30s"`. */
  readonly upstream_connect?: Duration | undefined;
  /** Upstream: the reply to a command. Default `"5m"`. */
  readonly upstream_command?: Duration | undefined;
  /** Upstream: taking the next octets of a body. Default `"3m"`. */
  readonly upstream_data?: Duration | undefined;
  /** Upstream: the reply to the final dot. Default `"10m"`. */
  readonly upstream_data_end?: Duration | undefined;
  /** An unused upstream connection is kept this long; may be `"0s"`. Default `"30s"`. */
  readonly upstream_idle?: Duration | undefined;
  /** Transactions in flight may finish when the server stops. Default `"30s"`. */
  readonly drain?: Duration | undefined;
}

/** `[upstreams.NAME]` */
export interface UpstreamInput {
  /** `"host:port"`, `"[v6]:port"`, `"smtps://host:port"`, `"unix:/path"`, or one `"maildir:./folder"`. */
  readonly servers: readonly Text[];
  /** In turn, or in order with the next as a fallback. Default `"round-robin"`. */
  readonly balance?: "round-robin" | "priority" | Reference | undefined;
  /** STARTTLS: never, if offered, always, always with a valid certificate. Default `"opportunistic"`. */
  readonly tls?: "none" | "opportunistic" | "require" | "verify" | Reference | undefined;
  /** PEM file of trust anchors for `"verify"`. Default: the system's. */
  readonly ca?: Text | undefined;
  /** SHA-256 of the one certificate that is accepted, in hex. */
  readonly fingerprint?: Text | undefined;
  /** How the upstream is told who the client is. Default `"none"`. */
  readonly identity?:
    | "none"
    | "xclient"
    | "xforward"
    | "proxy-v1"
    | "proxy-v2"
    | Reference
    | undefined;
  /** Log in to the upstream. */
  readonly auth?: UpstreamAuthInput | undefined;
  /** Connections at once, all servers together. Every client in mid-message holds one. Default 500. */
  readonly connections?: number | undefined;
  /** Transactions on one connection. Default 100. */
  readonly max_uses?: number | undefined;
  /** `"inline"`, the default: the answer is the upstream's. The others come with a later version. */
  readonly mode?: "inline" | "spool" | "inline-then-spool" | Reference | undefined;
  /** Pass on the text of the upstream's replies, not only the codes. Default false. */
  readonly reply_text?: boolean | undefined;
}

/** Credentials for an upstream. */
export interface UpstreamAuthInput {
  /** Login name at the upstream. */
  readonly user: Text;
  /** Its password. */
  readonly password: Text;
}

/** `[[routes]]` */
export interface RouteInput {
  /** Recipient domains, `*.` for any subdomain. Default: every recipient. */
  readonly to?: readonly Text[] | undefined;
  /** True: only sessions that have authenticated; false: only those that have not. */
  readonly authenticated?: boolean | undefined;
  /** Only sessions of these listeners. */
  readonly listeners?: readonly Text[] | undefined;
  /** Name of an upstream. */
  readonly upstream: Text;
}

/** `[[plugins]]` */
export interface PluginInput {
  /** Name of a bundled policy, or the path of a file of your own (`./name.ts`). */
  readonly use: Text;
  /** Only sessions of these listeners. */
  readonly listeners?: readonly Text[] | undefined;
  /** `"shadow"`: asked and logged, and its answers have no effect. Default `"enforce"`. */
  readonly mode?: "enforce" | "shadow" | "off" | Reference | undefined;
  /** Enforced in so many of a hundred sessions, and a shadow in the others. Default 100. */
  readonly percent?: number | undefined;
  /** For whom it is asked. Default: everybody. */
  readonly when?: PluginConditionInput | undefined;
  /** `use` of plugins that are asked before it. */
  readonly after?: readonly Text[] | undefined;
  /** `use` of plugins that are asked after it. */
  readonly before?: readonly Text[] | undefined;
  /** What its own failure means. Default: as the plugin says, else `"tempfail"`. */
  readonly on_error?: "pass" | "tempfail" | "refuse" | Reference | undefined;
  /** Time for its answer, each time. Default `"5s"`. */
  readonly budget?: Duration | undefined;
  /** Reload it when its file changes. Default false. */
  readonly watch?: boolean | undefined;
  /** `"worker"`: in a worker of its own, ended and restarted when it breaks. Default `"inline"`. */
  readonly isolation?: "inline" | "worker" | Reference | undefined;
  /** What a plugin in a worker may do of what its manifest asks for. Default: nothing. */
  readonly grant?: {
    /** Hosts, with a port or for every port; `"*"`: any. */
    readonly net?: readonly Text[] | undefined;
    /** Files and folders; `"*"`: any. */
    readonly read?: readonly Text[] | undefined;
  } | undefined;
  /** Passed to the plugin, which checks them. */
  readonly options?: unknown;
}

/** For whom a plugin is asked: every key that is given must hold, and what is not known yet does not. */
export interface PluginConditionInput {
  /** Clients of these networks. */
  readonly networks?: readonly Text[] | undefined;
  /** True: clients that have authenticated; false: those that have not. */
  readonly authenticated?: boolean | undefined;
  /** True: sessions under TLS; false: those in plain text. */
  readonly tls?: boolean | undefined;
  /** Clients that greet with these names, `*.` for any subdomain. */
  readonly helo?: readonly Text[] | undefined;
  /** Mail from these domains; the null reverse-path is of none. */
  readonly sender_domains?: readonly Text[] | undefined;
  /** Recipients of these domains; from DATA on, mail to at least one of them. */
  readonly recipient_domains?: readonly Text[] | undefined;
}

/** `[admin]` */
export interface AdminInput {
  /** `"host:port"` of the admin API. Default `"127.0.0.1:8025"`. */
  readonly listen?: Text | undefined;
  /** Who may use it. */
  readonly tokens?: readonly TokenInput[] | undefined;
}

/** A token of the admin API. */
export interface TokenInput {
  /** Stands in the log of what was done with it. */
  readonly name: Text;
  /** A viewer changes nothing. */
  readonly role: "admin" | "viewer" | Reference;
  /** Hash of the token. */
  readonly hash: Text;
}

/** `[dns]` */
export interface DnsInput {
  /** Resolvers, asked in this order: `"address:port"` or `"[v6]:port"`. Default: those of `/etc/resolv.conf`, followed when it changes. */
  readonly servers?: readonly Text[] | undefined;
  /** One server: the answer to one try. Default `"1500ms"`. */
  readonly timeout?: Duration | undefined;
  /** Tries with each server. Default 2. */
  readonly tries?: number | undefined;
  /** A question: all servers, tries and aliases together. Default `"4s"`. */
  readonly budget?: Duration | undefined;
  /** Answers that are kept as long as they say. Default 10,000. */
  readonly cache?: number | undefined;
}

/** `[log]` */
export interface LogInput {
  /** Events below it are not written. Default `"info"`. */
  readonly level?: "debug" | "info" | "warn" | "error" | Reference | undefined;
  /** One line an event, either way. Default `"human"`. */
  readonly format?: "human" | "json" | Reference | undefined;
}

/** `[trace]` */
export interface TraceInput {
  /** What is kept in `data_dir`: everything, what was not delivered, nothing. Default `"all"`. */
  readonly history?: "all" | "notable" | "none" | Reference | undefined;
  /** Room on the disk; the oldest goes first. Default `"16MiB"`. */
  readonly size?: Size | undefined;
}

/**
 * Gives a configuration its type; the default export of `postern.config.ts`.
 *
 * @example
 * ```ts
 * import { defineConfig } from "./input.ts";
 *
 * export default defineConfig({
 *   hostname: "mx.example.org",
 *   listeners: [{ listen: "0.0.0.0:25" }],
 *   upstreams: { mailbox: { servers: ["10.0.0.5:25"] } },
 *   routes: [{ to: ["example.org"], upstream: "mailbox" }],
 * });
 * ```
 */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}
