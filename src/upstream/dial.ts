/**
 * Opens a connection to one upstream server and brings it to the point where MAIL may be sent: PROXY header, TLS, EHLO, STARTTLS,
 * AUTH, XCLIENT. Opportunistic TLS that fails in the handshake is tried once more without (RFC 7435).
 * @module
 */
import * as Effect from "effect/Effect";
import {
  clientIdentify,
  type ClientPolicy,
  clientSecured,
  clientStart,
  type ClientState,
  clientStep,
  type Say,
} from "../session/client.ts";
import type { ServerSettings, Timeouts, UpstreamSettings } from "../settings/settings.ts";
import type { Deadlines } from "../transport/deadlines.ts";
import type { Duplex, Network, TlsClientOptions } from "../transport/duplex.ts";
import { formatProxyV1, formatProxyV2 } from "../wire/proxy_protocol.ts";
import type { Reply } from "../wire/reply.ts";
import { formatXclient } from "../wire/xclient.ts";
import { UpstreamConnection } from "./connection.ts";
import { LegDown } from "./leg.ts";

/** Whose mail it is, for XCLIENT, XFORWARD and PROXY. */
export interface ClientIdentity {
  readonly remote: { readonly address: string; readonly port: number };
  readonly local: { readonly address: string; readonly port: number };
  readonly name: string | undefined;
  readonly helo: string;
  readonly esmtp: boolean;
  readonly user: string | undefined;
}

/** A server that is reached over a socket. */
export type SocketServer = Exclude<ServerSettings, { readonly kind: "maildir" }>;

/** What every dial of one upstream shares. */
export interface DialOptions {
  readonly network: Network;
  readonly deadlines: Deadlines;
  readonly upstream: UpstreamSettings;
  readonly hostname: string;
  readonly timeouts: Timeouts;
  /** PEM trust anchors beside the system's. */
  readonly ca: string | undefined;
}

/** For logs: `10.0.0.5:25`. */
export function serverName(server: ServerSettings): string {
  if (server.kind === "unix") return `unix:${server.path}`;
  if (server.kind === "maildir") return `maildir:${server.path}`;
  const host = server.host.includes(":") ? `[${server.host}]` : server.host;
  return `${server.implicitTls ? "smtps://" : ""}${host}:${server.port}`;
}

/** A ready connection, or why there is none. `plain`: the last one stayed in plain text, for want of an offer of STARTTLS. */
export function dial(
  options: DialOptions,
  server: SocketServer,
  identity: ClientIdentity | undefined,
  plain = false,
): Effect.Effect<UpstreamConnection, LegDown> {
  const mode = tlsMode(options.upstream);
  // Such a server gets a socket that is for plain text only; should it offer STARTTLS now, another one.
  const upgradable = mode !== "none" && !(mode === "opportunistic" && plain);
  const first = attempt(options, server, identity, mode, upgradable);
  // Without TLS there would be nothing to keep the password off the wire: whoever breaks the handshake must not get it.
  const again = mode === "opportunistic" && options.upstream.auth === undefined;
  return !again ? first : Effect.catch(
    first,
    (down) =>
      down.message.includes(handshakeFailed)
        ? attempt(options, server, identity, "none", false)
        : Effect.fail(down),
  );
}

/** Tells another client's identity on a connection that is in use already. */
export function identify(
  options: DialOptions,
  connection: UpstreamConnection,
  identity: ClientIdentity,
): Effect.Effect<UpstreamConnection, LegDown> {
  return Effect.callback<UpstreamConnection, LegDown>((resume) => {
    // TLS was decided when the connection was opened.
    const mode = connection.secure ? tlsMode(options.upstream) : "none";
    const policy = clientPolicy(options, identity, mode);
    const state: ClientState = {
      ...clientStart(connection.secure),
      step: "ready",
      authenticated: true,
      extensions: connection.extensions,
    };
    const [next, say] = clientIdentify(policy, state);
    converse({ ...options, policy, connection, secure: undefined }, next, say, resume);
    // Half told, it is nobody's.
    return Effect.sync(() => connection.destroy("no longer wanted"));
  });
}

/** A pinned fingerprint is worth nothing without TLS, so it asks for it. */
function tlsMode(upstream: UpstreamSettings): UpstreamSettings["tls"] {
  return upstream.fingerprint !== undefined && upstream.tls === "opportunistic"
    ? "require"
    : upstream.tls;
}

const handshakeFailed = "TLS handshake failed";

function attempt(
  options: DialOptions,
  server: SocketServer,
  identity: ClientIdentity | undefined,
  mode: UpstreamSettings["tls"],
  upgradable: boolean,
): Effect.Effect<UpstreamConnection, LegDown> {
  return Effect.callback<UpstreamConnection, LegDown>((resume) => {
    const { upstream, network, timeouts } = options;
    const name = `upstream ${upstream.name} ${serverName(server)}`;
    const policy = clientPolicy(options, identity, mode);
    const proxy = proxyHeader(upstream, identity);
    const implicit = server.kind === "smtp" && server.implicitTls;
    const tls = tlsOptions(
      options,
      server,
      implicit && mode === "opportunistic" ? "require" : mode,
    );
    const address = server.kind === "unix"
      ? { path: server.path }
      : { host: server.host, port: server.port };
    let connection: UpstreamConnection | undefined;
    const talk = (duplex: Duplex): void => {
      connection = new UpstreamConnection(name, duplex, options.deadlines);
      connection.identity = identity !== undefined && carriesIdentity(upstream)
        ? identityKey(identity)
        : "";
      const secure = upgradable ? tls : attempt(options, server, identity, mode, true);
      converse(
        { ...options, policy, connection, secure },
        clientStart(implicit),
        undefined,
        resume,
      );
    };
    const opened = network.connect(
      address,
      {
        timeout: timeouts.upstreamConnect,
        upgradable: upgradable || implicit,
        ...(implicit && proxy === undefined ? { tls } : {}),
      },
      (result) => {
        if ("error" in result) {
          resume(
            Effect.fail(
              new LegDown({
                message: `${name}: cannot connect: ${result.error.message}`,
                phase: "connect",
              }),
            ),
          );
          return;
        }
        if (proxy !== undefined) result.write(proxy);
        if (!implicit || proxy === undefined) {
          talk(result);
          return;
        }
        result.upgradeClient(tls, (error) => {
          if (error === undefined) talk(result);
          else {
            resume(
              Effect.fail(
                new LegDown({
                  message: `${name}: ${handshakeFailed}: ${error.message}`,
                  phase: "connect",
                }),
              ),
            );
          }
        });
      },
    );
    return Effect.sync(() => {
      opened.cancel();
      connection?.destroy("no longer wanted");
    });
  });
}

interface Conversation extends DialOptions {
  readonly policy: ClientPolicy;
  readonly connection: UpstreamConnection;
  /** How TLS is begun, or what to do instead on a connection that cannot. */
  readonly secure: TlsClientOptions | Effect.Effect<UpstreamConnection, LegDown> | undefined;
}

/** Walks the client transitions to `ready` or `fail`. */
function converse(
  c: Conversation,
  start: ClientState,
  opening: Say | undefined,
  resume: (result: Effect.Effect<UpstreamConnection, LegDown>) => void,
): void {
  const { connection, timeouts } = c;
  let state = start;
  const down = (message: string, reply?: Reply): void => {
    connection.destroy(message);
    resume(
      Effect.fail(
        new LegDown({
          message: `${connection.name}: ${message}`,
          phase: "connect",
          ...(reply === undefined ? {} : { reply }),
        }),
      ),
    );
  };
  const listen = (): void => connection.expect("connect", timeouts.upstreamCommand, told);
  const act = (say: Say): void => {
    switch (say.say) {
      case "line":
        connection.send(`${say.line}\r\n`);
        listen();
        return;
      case "ready":
        connection.extensions = state.extensions;
        resume(Effect.succeed(connection));
        return;
      case "fail":
        down(say.reason, say.reply);
        return;
      case "starttls":
        upgrade();
    }
  };
  const upgrade = (): void => {
    // Plain text behind the 220 is an attack or a bug; either way it is not the server's word (R13).
    if (connection.buffered > 0) {
      down("sent octets behind its reply to STARTTLS");
      return;
    }
    if (c.secure === undefined) {
      down("asked for TLS twice");
      return;
    }
    if (Effect.isEffect(c.secure)) {
      connection.destroy("offers STARTTLS now");
      resume(c.secure);
      return;
    }
    connection.duplex.upgradeClient(c.secure, (error) => {
      if (error !== undefined) {
        down(`${handshakeFailed}: ${error.message}`);
        return;
      }
      connection.resetParser();
      const [next, say] = clientSecured(c.policy);
      state = next;
      act(say);
    });
  };
  const told = (result: Reply | LegDown): void => {
    if (result instanceof LegDown) {
      resume(Effect.fail(result));
      return;
    }
    const [next, say] = clientStep(c.policy, state, result);
    state = next;
    act(say);
  };
  if (opening === undefined) listen();
  else act(opening);
}

function clientPolicy(
  options: DialOptions,
  identity: ClientIdentity | undefined,
  tls: UpstreamSettings["tls"],
): ClientPolicy {
  const { upstream, hostname } = options;
  return {
    hostname,
    tls,
    auth: upstream.auth,
    xclient: upstream.identity === "xclient" && identity !== undefined
      ? (offered) => formatXclient(attributesOf(identity), offered)
      : undefined,
  };
}

function attributesOf(identity: ClientIdentity): Parameters<typeof formatXclient>[0] {
  return {
    NAME: identity.name ?? null,
    ADDR: identity.remote.address,
    PORT: identity.remote.port,
    PROTO: identity.esmtp ? "ESMTP" : "SMTP",
    HELO: identity.helo === "" ? null : identity.helo,
    LOGIN: identity.user ?? null,
    DESTADDR: identity.local.address,
    DESTPORT: identity.local.port,
  };
}

/** Our own connection, for no client: told as unspecified. */
const nobody = { address: "", port: 0 };

function proxyHeader(
  upstream: UpstreamSettings,
  identity: ClientIdentity | undefined,
): string | Uint8Array | undefined {
  if (upstream.identity === "proxy-v1") {
    return identity === undefined
      ? "PROXY UNKNOWN\r\n"
      : formatProxyV1(identity.remote, identity.local);
  }
  if (upstream.identity === "proxy-v2") {
    return formatProxyV2(identity?.remote ?? nobody, identity?.local ?? nobody);
  }
  return undefined;
}

/** True where a connection belongs to one client. */
export function carriesIdentity(upstream: UpstreamSettings): boolean {
  return upstream.identity !== "none" && upstream.identity !== "xforward";
}

/** Two clients with the same key may share a connection. */
export function identityKey(identity: ClientIdentity): string {
  return `${identity.remote.address} ${identity.remote.port} ${identity.helo} ${
    identity.user ?? ""
  }`;
}

function tlsOptions(
  options: DialOptions,
  server: SocketServer,
  mode: UpstreamSettings["tls"],
): TlsClientOptions {
  const { upstream, timeouts, ca } = options;
  return {
    serverName: server.kind === "unix" ? "localhost" : server.host,
    verify: mode === "verify" && upstream.fingerprint === undefined,
    ...(ca === undefined ? {} : { ca }),
    ...(upstream.fingerprint === undefined ? {} : { fingerprint: upstream.fingerprint }),
    minVersion: "1.2",
    handshakeTimeout: timeouts.tlsHandshake,
  };
}
