/**
 * A valid configuration into {@linkcode Settings}: milliseconds, octets, absolute paths, parsed addresses, names.
 *
 * Owns: the conversions and nothing else.   Never: finds a problem; what comes here has passed the schema and the checks.
 * @module
 */
import {
  absolutePath,
  fingerprint,
  isWrong,
  parseListen,
  parseNameServer,
  parseServer,
  type Wrong,
} from "./address.ts";
import { listenerName } from "./checks.ts";
import type { Reference } from "./input.ts";
import type { ConfigOutput } from "./schema.ts";
import type {
  AdminSettings,
  ListenerSettings,
  PluginCondition,
  RouteSettings,
  Settings,
  UpstreamSettings,
} from "./settings.ts";
import { parseStateStore } from "./state_store.ts";
import { duration, size } from "./units.ts";

/** A type without references: they have been resolved. */
type Resolved<T> = T extends Reference ? never
  : T extends readonly (infer U)[] ? readonly Resolved<U>[]
  : T extends object ? { readonly [K in keyof T]: Resolved<T[K]> }
  : T;

/** What a valid file holds, references resolved. */
export type ValidConfig = Resolved<ConfigOutput>;

type Tables = NonNullable<ValidConfig["upstreams"]>;

/** Converts; `hostname` and `dataDir` stand in for keys that the file may leave out. */
export function decode(
  config: ValidConfig,
  standard: { readonly hostname: string; readonly dataDir: string; readonly baseDir: string },
): Settings {
  const { baseDir } = standard;
  const absolute = (path: string) => absolutePath(baseDir, path);
  const { limits, timeouts, tls } = config;
  const dataDir = absolute(config.data_dir ?? standard.dataDir);
  return {
    hostname: config.hostname ?? standard.hostname,
    dataDir,
    state: certain(parseStateStore(config.state, dataDir)),
    user: config.user,
    group: config.group,
    workers: config.workers,
    received: config.received,
    listeners: config.listeners.map((listener, position): ListenerSettings => ({
      name: listenerName(listener.name, position),
      listen: right(parseListen(listener.listen, baseDir)),
      tls: listener.tls,
      requireTls: listener.require_tls,
      auth: listener.auth,
      authPlaintextLoopback: listener.auth_plaintext_loopback,
      proxyProtocol: listener.proxy_protocol,
      xclient: listener.xclient,
      clientCertificate: listener.client_certificate,
    })),
    tls: {
      certificates: tls.certificates.map(({ cert, key }) => ({
        cert: absolute(cert),
        key: absolute(key),
      })),
      minVersion: tls.min_version,
      clientCa: tls.client_ca === undefined ? undefined : absolute(tls.client_ca),
    },
    limits: {
      messageSize: octets(limits.message_size),
      recipients: limits.recipients,
      connections: limits.connections,
      connectionsPerAddress: limits.connections_per_address,
      errors: limits.errors,
      transactions: limits.transactions,
      idleCommands: limits.idle_commands,
      headerSize: octets(limits.header_size),
      heldMemory: octets(limits.held_memory),
      hops: limits.hops,
      commandLine: limits.command_line,
      textLine: limits.text_line,
      longLines: limits.long_lines,
      bareNewline: limits.bare_newline,
      authFailures: limits.auth_failures,
    },
    timeouts: {
      command: milliseconds(timeouts.command),
      data: milliseconds(timeouts.data),
      session: milliseconds(timeouts.session),
      tlsHandshake: milliseconds(timeouts.tls_handshake),
      proxyHeader: milliseconds(timeouts.proxy_header),
      upstreamConnect: milliseconds(timeouts.upstream_connect),
      upstreamCommand: milliseconds(timeouts.upstream_command),
      upstreamData: milliseconds(timeouts.upstream_data),
      upstreamDataEnd: milliseconds(timeouts.upstream_data_end),
      upstreamIdle: milliseconds(timeouts.upstream_idle),
      drain: milliseconds(timeouts.drain),
    },
    upstreams: Object.entries(config.upstreams).map(([name, upstream]) =>
      upstreamSettings(name, upstream, baseDir)
    ),
    routes: config.routes.map((route): RouteSettings => ({
      to: route.to?.map((domain) => domain.toLowerCase()),
      authenticated: route.authenticated,
      listeners: route.listeners,
      upstream: route.upstream,
    })),
    quarantine: config.quarantine,
    plugins: config.plugins.map((plugin, position) => ({
      use: plugin.use,
      listeners: plugin.listeners,
      mode: plugin.mode,
      ...(plugin.percent === 100 ? {} : { percent: plugin.percent }),
      ...(plugin.when === undefined ? {} : { when: pluginCondition(plugin.when) }),
      ...(plugin.after === undefined ? {} : { after: plugin.after }),
      ...(plugin.before === undefined ? {} : { before: plugin.before }),
      onError: plugin.on_error,
      budget: milliseconds(plugin.budget),
      watch: plugin.watch,
      worker: plugin.isolation === "worker"
        ? { net: plugin.grant?.net ?? [], read: plugin.grant?.read ?? [] }
        : undefined,
      options: plugin.options,
      path: `plugins[${position}]`,
    })),
    admin: config.admin === undefined ? undefined : adminSettings(config.admin, baseDir),
    dns: {
      servers: config.dns.servers?.map((server) => certain(parseNameServer(server))),
      timeout: milliseconds(config.dns.timeout),
      tries: config.dns.tries,
      budget: milliseconds(config.dns.budget),
      cache: config.dns.cache,
    },
    log: config.log,
    trace: { history: config.trace.history, size: octets(config.trace.size) },
    baseDir,
  };
}

function upstreamSettings(
  name: string,
  upstream: Tables[string],
  baseDir: string,
): UpstreamSettings {
  return {
    name,
    servers: upstream.servers.map((server) => right(parseServer(server, baseDir))),
    balance: upstream.balance,
    tls: upstream.tls,
    ca: upstream.ca === undefined ? undefined : absolutePath(baseDir, upstream.ca),
    fingerprint: upstream.fingerprint === undefined ? undefined : fingerprint(upstream.fingerprint),
    identity: upstream.identity,
    auth: upstream.auth,
    connections: upstream.connections,
    maxUses: upstream.max_uses,
    mode: upstream.mode,
    replyText: upstream.reply_text,
  };
}

function pluginCondition(
  when: NonNullable<ValidConfig["plugins"][number]["when"]>,
): PluginCondition {
  const lower = (domains: readonly string[] | undefined) =>
    domains?.map((domain) => domain.toLowerCase());
  return {
    networks: when.networks,
    authenticated: when.authenticated,
    tls: when.tls,
    helo: lower(when.helo),
    senderDomains: lower(when.sender_domains),
    recipientDomains: lower(when.recipient_domains),
  };
}

function adminSettings(
  admin: NonNullable<ValidConfig["admin"]>,
  baseDir: string,
): AdminSettings {
  const listen = right(parseListen(admin.listen, baseDir));
  if (!("host" in listen)) throw new TypeError("The checks let a socket path pass");
  return { listen, tokens: admin.tokens };
}

function milliseconds(text: string): number {
  return certain(duration(text));
}

function octets(value: string | number): number {
  return certain(size(value));
}

function certain<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError("A value passed the schema and cannot be read");
  return value;
}

/** An address that the checks have accepted. */
function right<T extends object>(address: T | Wrong): T {
  if (isWrong(address)) {
    throw new TypeError(`The checks let this pass: ${address.message ?? address.expected}`);
  }
  return address;
}
