/**
 * TLS over `node:tls`: server contexts (SNI, ALPN, client certificates), client options, and what is known of a
 * connection once it is up. The handshake itself is run by `node_duplex.ts`.
 *
 * TLS 1.2 with forward secrecy and AEAD, or TLS 1.3, and nothing older (RFC 8996, RFC 9325). Renegotiation is refused
 * by both runtimes' TLS libraries (rustls has none, BoringSSL has none on the server side). A client that offers ALPN
 * without `smtp` is refused by both runtimes with `no_application_protocol` (RFC 7301 section 3.2; ALPACA); one that
 * offers no ALPN is served.
 *
 * Neither runtime tells a TLS stream that was cut off by FIN from one ended by close_notify (RFC 8446 section 6.1): both
 * are told as `end`. Nobody may therefore take an `end` for the end of anything but the stream.
 * @module
 */
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";
import type {
  TlsClientOptions,
  TlsFacts,
  TlsIdentity,
  TlsServerContext,
  TlsServerOptions,
  TransportError,
} from "../transport/duplex.ts";
import { hasForgedNames } from "./certificate_names.ts";

/** RFC 9325 section 4.2, and the three of TLS 1.3 (a list without them would switch TLS 1.3 off). */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

const ALPN = ["smtp"];

/** Contexts for client connections are kept: with `ca` each costs the parsing of all trust anchors. */
const CLIENT_CONTEXTS = 32;

type ClientCertificate = TlsServerOptions["clientCertificate"];

/** Server side TLS of one listener. */
export class NodeTlsContext implements TlsServerContext {
  readonly kind = "tls-server-context";
  /** `allowHalfOpen` is known to both runtimes, but not to Node's types. */
  readonly socketOptions: tls.TLSSocketOptions & { readonly allowHalfOpen: true };
  readonly handshakeTimeout: number;
  readonly #clientCertificate: ClientCertificate;
  readonly #hasCa: boolean;

  constructor(options: TlsServerOptions) {
    const contexts = options.identities.map((identity) => secureContext(identity, options));
    const first = contexts[0];
    if (first === undefined) throw new Error("Cannot use certificate: none is given");
    const asks = options.clientCertificate !== "none";
    this.handshakeTimeout = options.handshakeTimeout;
    this.#clientCertificate = options.clientCertificate;
    this.#hasCa = options.ca !== undefined;
    this.socketOptions = {
      isServer: true,
      allowHalfOpen: true,
      secureContext: first,
      ALPNProtocols: ALPN,
      requestCert: asks,
      // Judged by `refusal`, the same way on both runtimes.
      rejectUnauthorized: false,
      ...(contexts.length > 1 ? { SNICallback: chooser(options.identities, contexts) } : {}),
    };
  }

  /** Why a connection whose handshake is done must still not be served. */
  refusal(socket: tls.TLSSocket): TransportError | undefined {
    if (this.#clientCertificate !== "require") return undefined;
    if (peerCertificate(socket) === undefined) {
      return { kind: "certificate", message: "The client gave no certificate" };
    }
    if (this.#hasCa && !chainVerified(socket)) {
      return { kind: "certificate", message: "The client's certificate does not verify" };
    }
    return undefined;
  }

  facts(socket: tls.TLSSocket): TlsFacts {
    return factsOf(
      socket,
      this.#clientCertificate === "none" ? undefined : this.#hasCa && chainVerified(socket),
    );
  }
}

function secureContext(identity: TlsIdentity, options: TlsServerOptions): tls.SecureContext {
  checkPair(identity.cert, identity.key);
  if (options.ca !== undefined) checkAnchors(options.ca);
  try {
    return tls.createSecureContext({
      cert: identity.cert,
      key: identity.key,
      minVersion: `TLSv${options.minVersion}`,
      ciphers: CIPHERS,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
  } catch (error) {
    throw new Error(`Cannot use certificate: ${reason(error)}`);
  }
}

/** Deno takes any text for a certificate and fails at the first handshake; hence this check by hand. */
export function checkPair(cert: string, key: string): void {
  const leaf = certificateOf(cert);
  let secret;
  try {
    secret = createPrivateKey(key);
  } catch (error) {
    const text = /ENCRYPTED/.test(key)
      ? "the key is encrypted"
      : "the key is not a PEM private key";
    throw new Error(`Cannot use certificate: ${text} (${reason(error)})`);
  }
  if (!leaf.checkPrivateKey(secret)) {
    throw new Error("Cannot use certificate: the key does not belong to it");
  }
}

function checkAnchors(ca: string): void {
  try {
    for (const pem of certificatesOf(ca)) new X509Certificate(pem);
  } catch (error) {
    throw new Error(`Cannot use trust anchors: ${reason(error)}`);
  }
  if (certificatesOf(ca).length === 0) {
    throw new Error("Cannot use trust anchors: no PEM certificate found");
  }
}

/** The first certificate of a PEM text, and proof that the others of the chain can be read. */
export function certificateOf(pem: string): X509Certificate {
  const blocks = certificatesOf(pem);
  try {
    const chain = blocks.map((block) => new X509Certificate(block));
    if (chain[0] !== undefined) return chain[0];
  } catch (error) {
    throw new Error(`Cannot use certificate: it cannot be parsed (${reason(error)})`);
  }
  throw new Error("Cannot use certificate: no PEM certificate found");
}

function certificatesOf(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

type SniCallback = NonNullable<tls.TLSSocketOptions["SNICallback"]>;

/** Exact name, then `*.` wildcard of one label (RFC 6125 section 6.4.3), then the first identity. */
function chooser(
  identities: readonly TlsIdentity[],
  contexts: readonly tls.SecureContext[],
): SniCallback {
  const byName = new Map<string, tls.SecureContext>();
  identities.forEach((identity, at) => {
    const context = contexts[at];
    if (context === undefined) return;
    for (const name of identity.names) {
      const key = name.toLowerCase();
      if (!byName.has(key)) byName.set(key, context);
    }
  });
  return (asked, done) => {
    const name = asked.toLowerCase().replace(/\.$/, "");
    const dot = name.indexOf(".");
    const wildcard = dot < 0 ? undefined : byName.get(`*${name.slice(dot)}`);
    done(null, byName.get(name) ?? wildcard ?? contexts[0]);
  };
}

/**
 * Did the peer's chain verify? Bun says so by `authorized`. Deno sets that only on sockets of its own `tls.Server`, and
 * keeps the answer on the handle: an empty string for a good chain, also when there is no certificate at all. Anything
 * unexpected counts as not verified.
 */
function chainVerified(socket: tls.TLSSocket): boolean {
  if (socket.authorized) return true;
  if (socket.authorizationError || peerCertificate(socket) === undefined) return false;
  const handle =
    (socket as unknown as { _handle?: { verifyError?: () => unknown } | null })._handle;
  return typeof handle?.verifyError === "function" && handle.verifyError() === "";
}

function peerCertificate(socket: tls.TLSSocket): tls.PeerCertificate | undefined {
  const certificate = socket.getPeerCertificate();
  return certificate?.raw === undefined ? undefined : certificate;
}

/** Lower-case hex SHA-256 of a certificate's DER form. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

/** `verified` undefined: nobody asked for the peer's certificate. */
function factsOf(socket: tls.TLSSocket, verified: boolean | undefined): TlsFacts {
  const cipher = socket.getCipher();
  const peer = verified === undefined ? undefined : peerCertificate(socket);
  const names = peer?.subject?.CN as string | readonly string[] | undefined;
  const sni = (socket as { servername?: unknown }).servername;
  return {
    version: socket.getProtocol() ?? "unknown",
    cipher: cipher?.name ?? "unknown",
    sni: typeof sni === "string" && sni !== "" ? sni : undefined,
    alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined,
    peer: peer === undefined ? undefined : {
      subject: (typeof names === "string" ? names : names?.[0]) ?? "",
      fingerprint: fingerprintOf(peer.raw),
      verified: verified === true,
    },
  };
}

/** Options for `tls.connect` over a connected socket. An IP address is verified, but never sent as SNI (RFC 6066 section 3). */
export function clientSocketOptions(
  socket: net.Socket,
  options: TlsClientOptions,
): tls.ConnectionOptions {
  return {
    socket,
    host: options.serverName,
    servername: net.isIP(options.serverName) === 0 ? options.serverName : "",
    rejectUnauthorized: options.verify && options.fingerprint === undefined,
    secureContext: clientContext(options),
  };
}

const clientContexts = new Map<string, tls.SecureContext>();

function clientContext(options: TlsClientOptions): tls.SecureContext {
  const { identity, minVersion } = options;
  // Who does not verify the chain needs no anchors.
  const ca = options.verify && options.fingerprint === undefined ? options.ca : undefined;
  const key = JSON.stringify([minVersion, ca ?? "", identity?.cert ?? "", identity?.key ?? ""]);
  const known = clientContexts.get(key);
  if (known !== undefined) return known;
  if (ca !== undefined) checkAnchors(ca);
  if (identity !== undefined) checkPair(identity.cert, identity.key);
  const adder = ca === undefined ? undefined : anchorAdder();
  const made = tls.createSecureContext({
    minVersion: `TLSv${minVersion}`,
    ciphers: CIPHERS,
    ...(ca === undefined || adder !== undefined
      ? {}
      : { ca: [...tls.getCACertificates("default"), ca] }),
    ...(identity === undefined ? {} : { cert: identity.cert, key: identity.key }),
  });
  if (ca !== undefined) adder?.(made, ca);
  if (clientContexts.size >= CLIENT_CONTEXTS) clientContexts.clear();
  clientContexts.set(key, made);
  return made;
}

/**
 * The option `ca` replaces the trust anchors of the system, so they have to be named with ours. Deno reads that whole list
 * again in every handshake (31 ms against 2), but its contexts can add to the anchors of the system. Should that way ever
 * go, verification fails, and a test says so.
 */
function anchorAdder(): ((context: tls.SecureContext, ca: string) => void) | undefined {
  if ((process.versions as Record<string, string | undefined>).deno === undefined) return undefined;
  return (context, ca) => {
    const inner = context.context as { addCACert(pem: string): void };
    for (const pem of certificatesOf(ca)) inner.addCACert(pem);
  };
}

/** Why a server must not be talked to although the handshake is done. */
export function clientRefusal(
  socket: tls.TLSSocket,
  options: TlsClientOptions,
): TransportError | undefined {
  if (options.fingerprint === undefined) {
    return options.verify ? verifiedRefusal(socket, options.serverName) : undefined;
  }
  const peer = peerCertificate(socket);
  const found = peer === undefined ? "none" : fingerprintOf(peer.raw);
  if (found === options.fingerprint) return undefined;
  return {
    kind: "certificate",
    message: `The server's certificate is not the pinned one: its fingerprint is ${found}`,
  };
}

/** The runtime has verified chain and name already; this is the second lock on the same door. */
function verifiedRefusal(socket: tls.TLSSocket, serverName: string): TransportError | undefined {
  const peer = peerCertificate(socket);
  if (!socket.authorized || peer === undefined) {
    return { kind: "certificate", message: "The server's certificate does not verify" };
  }
  const certificate = new X509Certificate(peer.raw);
  const address = net.isIP(serverName) !== 0;
  if (address ? certificate.checkIP(serverName) === undefined : hasForgedNames(certificate)) {
    return {
      kind: "certificate",
      message: `The server's certificate has no true entry for ${serverName}`,
    };
  }
  return undefined;
}

export function clientFacts(socket: tls.TLSSocket, options: TlsClientOptions): TlsFacts {
  const facts = factsOf(socket, options.fingerprint !== undefined || socket.authorized);
  const sni = net.isIP(options.serverName) === 0 ? options.serverName : undefined;
  return { ...facts, sni };
}
