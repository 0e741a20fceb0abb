/**
 * The messages of OAUTHBEARER (RFC 7628) and of its forerunner XOAUTH2, which has no RFC.
 *
 * Never: throws at input, logs or keeps a token.
 * @module
 */
import { encodeBase64 } from "./sasl.ts";
import { formatSaslName, parseSaslName } from "./sasl_scram.ts";
import { decodeUtf8 } from "./text.ts";

/** A token and what was said beside it. */
export interface BearerCredentials {
  /** Whom the client wants to be; `""` where it did not say. */
  readonly user: string;
  /** The access token (RFC 6750 section 2.1). */
  readonly token: string;
  /** The server that the client means to talk to, where it said so. */
  readonly host: string | undefined;
  /** The port that the client means to talk to, where it said so. */
  readonly port: number | undefined;
}

const BEARER = /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i;
const HEADER = /^[ny],(?:a=([^,\0\x01]{1,1024}))?,$/;
const PAIR = /^([A-Za-z]+)=([\t\n\r\x20-\x7e]*)$/;
const PAIRS = 16;

/** Parses OAUTHBEARER's message (RFC 7628 section 3.1); undefined where it is malformed or has no bearer token. */
export function parseOAuthBearer(octets: Uint8Array): BearerCredentials | undefined {
  const [header, ...rest] = partsOf(octets) ?? [];
  const found = header === undefined ? null : HEADER.exec(header);
  const user = found === null ? undefined : parseSaslName(found[1] ?? "");
  return user === undefined ? undefined : credentialsOf(user, pairsOf(rest));
}

/** Parses XOAUTH2's message; undefined where it is malformed or has no bearer token. */
export function parseXOAuth2(octets: Uint8Array): BearerCredentials | undefined {
  const [first = "", ...rest] = partsOf(octets) ?? [];
  // Only the name may go beyond US-ASCII.
  const user = first.startsWith("user=") ? first.slice(5) : "";
  return user === "" ? undefined : credentialsOf(user, pairsOf(rest));
}

/** Client side: XOAUTH2's initial response. A separator in a credential throws a `TypeError`. */
export function xoauth2Initial(user: string, token: string): string {
  return encoded(`user=${checked(user)}\x01auth=Bearer ${checked(token)}\x01\x01`);
}

/** Client side: OAUTHBEARER's initial response. A separator in a credential throws a `TypeError`. */
export function oauthBearerInitial(user: string, token: string): string {
  return encoded(
    `n,a=${formatSaslName(checked(user))},\x01auth=Bearer ${checked(token)}\x01\x01`,
  );
}

/** The parts between the separators; undefined unless the message ends with two of them. */
function partsOf(octets: Uint8Array): readonly string[] | undefined {
  const text = decodeUtf8(octets);
  return text?.endsWith("\x01\x01") === true && !text.includes("\0")
    ? text.slice(0, -2).split("\x01", PAIRS + 2)
    : undefined;
}

function pairsOf(parts: readonly string[]): ReadonlyMap<string, string> | undefined {
  if (parts.length > PAIRS) return undefined;
  const pairs = new Map<string, string>();
  for (const part of parts) {
    const found = PAIR.exec(part);
    const key = found?.[1]?.toLowerCase();
    if (key === undefined || pairs.has(key)) return undefined;
    pairs.set(key, found?.[2] ?? "");
  }
  return pairs;
}

function credentialsOf(
  user: string,
  pairs: ReadonlyMap<string, string> | undefined,
): BearerCredentials | undefined {
  const token = BEARER.exec(pairs?.get("auth") ?? "")?.[1];
  if (token === undefined) return undefined;
  const port = pairs?.get("port") ?? "";
  return {
    user,
    token,
    host: pairs?.get("host"),
    port: /^[0-9]{1,5}$/.test(port) ? Number(port) : undefined,
  };
}

function encoded(text: string): string {
  return encodeBase64(new TextEncoder().encode(text));
}

function checked(credential: string): string {
  if (/[\0\x01]/.test(credential)) {
    throw new TypeError("Cannot authenticate: a separator in a credential");
  }
  return credential;
}
