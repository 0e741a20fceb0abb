/**
 * The framing of SASL exchanges in SMTP (RFC 4954 section 4): base64 lines, PLAIN (RFC 4616), and LOGIN, which has no RFC.
 *
 * Never: logs, keeps or compares a credential.
 * @module
 */
import { decodeUtf8 } from "./text.ts";

/** What PLAIN carries. */
export interface PlainCredentials {
  /** Identity to act as; `""` for the one that authenticates. */
  readonly authzid: string;
  /** Identity that authenticates. */
  readonly authcid: string;
  /** Not empty. */
  readonly password: string;
}

/** Base64 of `Username:`, the first challenge of LOGIN. */
export const LOGIN_USERNAME = "VXNlcm5hbWU6";
/** Base64 of `Password:`, the second challenge of LOGIN. */
export const LOGIN_PASSWORD = "UGFzc3dvcmQ6";

const encoder = new TextEncoder();

/** True for well-formed base64 (RFC 4648 section 4): whole groups, padding, no white space. The empty text is. */
export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

/** Decodes base64; undefined where it is malformed. */
export function decodeBase64(text: string): Uint8Array | undefined {
  // `atob` alone would take white space and missing padding.
  if (!isBase64(text)) return undefined;
  const octets = atob(text);
  const out = new Uint8Array(octets.length);
  for (let i = 0; i < octets.length; i++) out[i] = octets.charCodeAt(i);
  return out;
}

/** Base64 with padding, without line ends. */
export function encodeBase64(octets: Uint8Array): string {
  let text = "";
  for (const octet of octets) text += String.fromCharCode(octet);
  return btoa(text);
}

/** Parses PLAIN's message (RFC 4616 section 2); undefined where it is malformed: not UTF-8, not two NULs, no name, no password. */
export function parsePlain(octets: Uint8Array): PlainCredentials | undefined {
  const parts = decodeUtf8(octets)?.split("\0");
  if (parts?.length !== 3) return undefined;
  const [authzid = "", authcid = "", password = ""] = parts;
  return authcid === "" || password === "" ? undefined : { authzid, authcid, password };
}

/** A response that is text: base64 of UTF-8 without NUL; undefined for anything else. */
export function parseSaslText(base64: string): string | undefined {
  const octets = decodeBase64(base64);
  const text = octets === undefined ? undefined : decodeUtf8(octets);
  return text === undefined || text.includes("\0") ? undefined : text;
}

/** One answer of a LOGIN exchange: text that is not empty; undefined for anything else. */
export function parseLoginAnswer(base64: string): string | undefined {
  const text = parseSaslText(base64);
  return text === "" ? undefined : text;
}

/** Client side: PLAIN's initial response. A NUL in a credential throws a `TypeError`. */
export function plainInitial(user: string, password: string): string {
  return encodeBase64(encoder.encode(`\0${withoutNul(user)}\0${withoutNul(password)}`));
}

/**
 * Client side: the answer to LOGIN's challenge number `step`, from 0; undefined past the second. By order, not by the
 * challenge's text, which differs from server to server.
 */
export function loginStep(step: number, user: string, password: string): string | undefined {
  if (step !== 0 && step !== 1) return undefined;
  return encodeBase64(encoder.encode(withoutNul(step === 0 ? user : password)));
}

function withoutNul(credential: string): string {
  if (credential.includes("\0")) throw new TypeError("Cannot authenticate: NUL in a credential");
  return credential;
}
