/**
 * Connections that a plugin opens itself, to a service that speaks a protocol of its own: an authentication server, a
 * scanner, a milter. HTTP is `fetch`'s business.
 * @module
 */
import type { TlsFacts } from "../transport/duplex.ts";

/** Where a service listens. */
export type ConnectAddress =
  | {
    /** A name or an address. */
    readonly host: string;
    readonly port: number;
  }
  | {
    /** A unix socket; a relative path starts at the configuration file's folder. */
    readonly path: string;
  };

/** How the service's certificate is judged. */
export interface ConnectTls {
  /** The name in the certificate, where it is not the host's. */
  readonly serverName?: string;
  /** False: encrypt whatever the certificate says, which keeps out listeners and nobody else. Default true. */
  readonly verify?: boolean;
  /** Trust anchors beside the system's, PEM. */
  readonly ca?: string;
  /** SHA-256 of the certificate, lower-case hex; replaces verification. */
  readonly fingerprint?: string;
}

/** How a connection is opened. */
export interface ConnectOptions {
  /** TLS from the first octet on; `true` verifies against the system's trust anchors. */
  readonly tls?: boolean | ConnectTls;
  /** Milliseconds for the connection, and again for each handshake of TLS. Default 10,000. Reading has no limit but the signal. */
  readonly timeout?: number;
  /** Ends the connection for good, whatever it is doing; what waits then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What a connection's promises reject with; a plugin tells by `kind`, not by the class. */
export interface ConnectionError extends Error {
  /** Always this. */
  readonly name: "ConnectionError";
  /** `closed`: it is over, by either side. `overlong`: a line was longer than was allowed. The others are the transport's. */
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
    | "other"
    | "closed"
    | "overlong";
}

/**
 * One connection. Reading is by one reader at a time; what nobody reads waits, and above 64 KiB it makes the peer wait.
 * Its last octets can still be read when the peer has ended it. It is closed with the plugin's generation.
 */
export interface Connection extends AsyncIterable<Uint8Array> {
  /** The other end, for logs: `host:port`, or the path of the socket. */
  readonly name: string;
  /** Set once TLS is up. */
  readonly tls: TlsFacts | undefined;
  /** False as soon as either side has ended it: a pool throws it away. */
  readonly open: boolean;
  /** Sends octets, or text as UTF-8. Resolves when more may be written: await it, and a slow peer costs no memory. */
  write(data: Uint8Array | string): Promise<void>;
  /** What has come, at least one octet; undefined at the peer's end. */
  read(): Promise<Uint8Array | undefined>;
  /** Exactly so many octets; rejects where the peer ends before. */
  readExactly(octets: number): Promise<Uint8Array>;
  /**
   * The next line, without its LF or CRLF, as UTF-8; undefined at the peer's end. One longer than `limit` octets (8,192
   * unless given), or cut off by the end, ends the connection and rejects.
   */
  readLine(limit?: number): Promise<string | undefined>;
  /** Starts TLS, after both sides have agreed on it. Octets that came before it and were not read end the connection: they are nobody's word. */
  startTls(tls?: ConnectTls): Promise<void>;
  /** No more is written; the peer may still send. */
  end(): void;
  /** Sends what was written, and goes; what the peer still says is thrown away. */
  close(): void;
  /** Gone at once. */
  destroy(): void;
}
