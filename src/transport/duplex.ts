/**
 * The transport port: one connection, one listener, one connector. Implemented by `runtime/node_net.ts` over
 * `node:net` and `node:tls`, and by `memory.ts` for tests. Callbacks, not promises: the receiver is fed from the
 * data event and answers in the same tick.
 *
 * Rules for every implementation: a chunk that was handed out is never written again; `close` is told exactly once and
 * last; after `destroy()` nothing but `close` is told; handlers may be replaced at any time; a connection starts
 * paused and tells no data until `resume()`.
 * @module
 */

/** One end of a connection. */
export interface Endpoint {
  /** IPv4 or IPv6 text form (IPv4-mapped IPv6 is told as IPv4), or the path of a unix socket. */
  readonly address: string;
  /** 0 for a unix socket. */
  readonly port: number;
}

/** What is known of a connection's TLS. */
export interface TlsFacts {
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly version: string;
  /** Name of the cipher suite. */
  readonly cipher: string;
  /** Server name the client asked for (RFC 6066), where it did. */
  readonly sni: string | undefined;
  /** Protocol agreed by ALPN. */
  readonly alpn: string | undefined;
  /** Peer's certificate, where one was given: subject common name, SHA-256 fingerprint (lower-case hex, no colons), and whether it verified. */
  readonly peer: {
    readonly subject: string;
    readonly fingerprint: string;
    readonly verified: boolean;
  } | undefined;
}

/** Why a connection ended. */
export interface TransportError {
  /** `reset`, `refused`, `unreachable`, `timeout`, `tls`, `certificate`, `dns`, `busy`, `denied`, `other`. */
  readonly kind:
    | "reset"
    | "refused"
    | "unreachable"
    | "timeout"
    | "tls"
    | "certificate"
    | "dns"
    | "busy"
    | "denied"
    | "other";
  /** For logs; never for the client. */
  readonly message: string;
}

/** What the owner of a connection is told. */
export interface DuplexHandlers {
  /** Octets arrived. The chunk is the owner's for ever. */
  data(chunk: Uint8Array): void;
  /** The peer sent FIN (plain) or close_notify (TLS). Writing is still possible. A truncated TLS stream is an error, not an end. */
  end(): void;
  /** What `write` returned false for has left. */
  drain(): void;
  /** The connection is gone; told once, last. */
  close(error: TransportError | undefined): void;
}

/** PEM material of one server identity. `names` are the DNS names of the certificate. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly names: readonly string[];
}

/** Server side TLS of one listener; made once by the runtime, swapped whole at reload. */
export interface TlsServerOptions {
  /** The first is the default; the others are chosen by SNI (exact, then `*.` wildcard). An unknown SNI gets the default. */
  readonly identities: readonly TlsIdentity[];
  readonly minVersion: "1.2" | "1.3";
  /** Ask for a client certificate, verified against `ca` (PEM) where given. */
  readonly clientCertificate: "none" | "request" | "require";
  readonly ca?: string;
  /** Handshake deadline in milliseconds. */
  readonly handshakeTimeout: number;
}

/** Opaque server TLS context made by {@linkcode Network.tlsServer}. */
export interface TlsServerContext {
  readonly kind: "tls-server-context";
}

/** Client side TLS. */
export interface TlsClientOptions {
  /** For SNI and for verification. */
  readonly serverName: string;
  /** True: chain and name must verify; false: encrypt whatever the certificate (opportunistic, RFC 7435). */
  readonly verify: boolean;
  /** Extra trust anchors, PEM. */
  readonly ca?: string;
  /** Pinned SHA-256 fingerprint of the leaf certificate, lower-case hex; replaces verification. */
  readonly fingerprint?: string;
  /** Client certificate. */
  readonly identity?: { readonly cert: string; readonly key: string };
  readonly minVersion: "1.2" | "1.3";
  /** Handshake deadline in milliseconds. */
  readonly handshakeTimeout: number;
}

/** One connection. */
export interface Duplex {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  /** Set once TLS is up. */
  readonly tls: TlsFacts | undefined;
  /** Octets written and not yet taken by the kernel. */
  readonly pending: number;
  /** Replaces the handlers. */
  handle(handlers: DuplexHandlers): void;
  /** Queues octets; false means: stop until `drain`. A string is sent as UTF-8. Several writes of one tick leave together. */
  write(data: Uint8Array | string): boolean;
  pause(): void;
  resume(): void;
  /**
   * STARTTLS, server side: reading stops at once, `before` (the 220 line) is written in plain text, then the handshake
   * runs. `done` is told once; on an error the connection is destroyed already. Plain octets that arrived before are
   * the caller's business (RFC 3207 section 4.2). `already` is the start of the ClientHello where the caller has read it
   * (implicit TLS behind a PROXY header).
   */
  upgradeServer(
    context: TlsServerContext,
    before: Uint8Array | string,
    done: (error: TransportError | undefined) => void,
    already?: Uint8Array,
  ): void;
  /** STARTTLS, client side, after the 220 was read. */
  upgradeClient(options: TlsClientOptions, done: (error: TransportError | undefined) => void): void;
  /** Flushes, then FIN (after close_notify). The peer may still send; see `destroy`. */
  end(): void;
  /** Gone at once. `true`: reset (RST) instead of FIN where the platform can. */
  destroy(reset?: boolean): void;
}

/** Where a listener listens. */
export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/** A listening port. */
export interface ListeningPort {
  /** The real address (port 0 resolved). */
  readonly address: Endpoint;
  /** Stops accepting; open connections stay. */
  close(): Promise<void>;
}

/** What the runtime gives: ports, connections, TLS contexts. Failures are {@linkcode TransportError} values. */
export interface Network {
  /** Implicit TLS listeners hand out the connection after the handshake (`tls` set); a failed handshake never shows. */
  listen(
    address: ListenAddress,
    options: {
      readonly tls?: TlsServerContext;
      readonly reusePort?: boolean;
      readonly backlog?: number;
      /** False: no connection will be upgraded, so the runtime may take a cheaper kind of socket. Default true. */
      readonly upgradable?: boolean;
    },
    accept: (connection: Duplex) => void,
  ): Promise<ListeningPort | { readonly error: TransportError }>;
  /** Opens a connection; with `tls` the handshake is part of it. The result is told once, never in the same tick. */
  connect(
    address: ListenAddress,
    options: {
      readonly timeout: number;
      readonly tls?: TlsClientOptions;
      readonly localAddress?: string;
      /** As in {@linkcode Network.listen}. */
      readonly upgradable?: boolean;
    },
    done: (result: Duplex | { readonly error: TransportError }) => void,
  ): { cancel(): void };
  tlsServer(options: TlsServerOptions): TlsServerContext;
}
