/**
 * What `node:net`, `node:tls` and `node:dns` say when something goes wrong, as {@linkcode TransportError} values.
 * Deno and Bun use Node's error codes, with a few of their own texts; only the code decides.
 * Never: throws, or looks at a message.
 * @module
 */
import type { TransportError } from "../transport/duplex.ts";

type Kind = TransportError["kind"];

const KINDS = new Map<string, Kind>([
  ["ECONNRESET", "reset"],
  ["ECONNABORTED", "reset"],
  ["EPIPE", "reset"],
  ["ERR_SOCKET_CLOSED", "reset"],
  ["ERR_STREAM_DESTROYED", "reset"],
  ["ERR_STREAM_WRITE_AFTER_END", "reset"],
  ["ENOTCONN", "reset"],
  ["ECONNREFUSED", "refused"],
  // A unix socket that is not there refuses just as well.
  ["ENOENT", "refused"],
  ["EHOSTUNREACH", "unreachable"],
  ["ENETUNREACH", "unreachable"],
  ["EHOSTDOWN", "unreachable"],
  ["ENETDOWN", "unreachable"],
  ["EADDRNOTAVAIL", "unreachable"],
  ["EAFNOSUPPORT", "unreachable"],
  ["ETIMEDOUT", "timeout"],
  ["EADDRINUSE", "busy"],
  ["EACCES", "denied"],
  ["EPERM", "denied"],
  ["ENOTCAPABLE", "denied"],
  ["ENOTFOUND", "dns"],
  ["EAI_AGAIN", "dns"],
  ["EAI_FAIL", "dns"],
  ["EAI_NONAME", "dns"],
  ["EAI_NODATA", "dns"],
  ["ENODATA", "dns"],
  ["ESERVFAIL", "dns"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "certificate"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "certificate"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "certificate"],
  ["HOSTNAME_MISMATCH", "certificate"],
  ["IP_ADDRESS_MISMATCH", "certificate"],
  ["INVALID_CA", "certificate"],
  ["INVALID_PURPOSE", "certificate"],
  ["PATH_LENGTH_EXCEEDED", "certificate"],
]);

const TEXTS = new Map<Kind, string>([
  ["reset", "connection reset by the peer"],
  ["refused", "connection refused"],
  ["unreachable", "address not reachable"],
  ["timeout", "timed out"],
  ["busy", "address already in use"],
  ["denied", "permission denied"],
]);

/** The code of a thrown value, where it has one. */
export function errorCode(error: unknown): string {
  const code = typeof error === "object" && error !== null
    ? (error as { code?: unknown }).code
    : undefined;
  return typeof code === "string" ? code : "";
}

/** Deno's own classes for a denied permission carry a name, and not always a code. */
function errorName(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function kindOf(error: unknown): Kind {
  const code = errorCode(error);
  const known = KINDS.get(code);
  if (known !== undefined) return known;
  if (code.startsWith("CERT_") || code.startsWith("UNABLE_TO_") || code.startsWith("CRL_")) {
    return "certificate";
  }
  if (/^ERR_(SSL|TLS|OSSL|BORINGSSL)/.test(code)) return "tls";
  const name = errorName(error);
  if (name === "NotCapable" || name === "PermissionDenied") return "denied";
  // Several addresses were tried (happy eyeballs): the first one speaks for all.
  const inner = (error as { errors?: unknown } | null)?.errors;
  if (Array.isArray(inner) && inner.length > 0) return kindOf(inner[0]);
  return "other";
}

/** A thrown value or an `error` event as a {@linkcode TransportError}; `action` goes in front of the text. */
export function transportError(error: unknown, action?: string): TransportError {
  const kind = kindOf(error);
  const code = errorCode(error);
  const said = error instanceof Error ? error.message : String(error);
  const text = TEXTS.get(kind) ?? (said === "" ? code : said);
  const detail = code === "" || text.includes(code) ? text : `${text} (${code})`;
  return { kind, message: action === undefined ? detail : `${action}: ${detail}` };
}

/** `::ffff:192.0.2.1` is `192.0.2.1`: a policy must not see two forms of one address. */
export function unmapAddress(address: string): string {
  const mapped = /^::ffff:(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})$/i.exec(address);
  return mapped?.[1] ?? address;
}
