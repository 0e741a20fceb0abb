/**
 * The messages of SCRAM (RFC 5802 section 7) as text: taken apart and put together. What is computed over them is the
 * business of who has keys.
 *
 * Never: throws at input, compares or keeps a proof.
 * @module
 */
import { decodeBase64, encodeBase64 } from "./sasl.ts";

/** What a client says first. */
export interface ScramClientFirst {
  /** `n`: it knows no channel binding; `y`: it does, and thinks that we do not; `p`: it wants to use it. */
  readonly binding: "n" | "y" | "p";
  /** Identity to act as; `""` for the one that authenticates. */
  readonly authzid: string;
  /** Identity that authenticates. */
  readonly user: string;
  /** The client's part of the nonce. */
  readonly nonce: string;
  /** The header with both commas, which the client repeats in its last message. */
  readonly gs2: string;
  /** The message without its header: the first part of what is signed. */
  readonly bare: string;
}

/** What a client says last. */
export interface ScramClientFinal {
  /** The header as it is repeated, base64: equal to that of the first message, or somebody meddled. */
  readonly binding: string;
  /** The whole nonce. */
  readonly nonce: string;
  /** What the client proves with. */
  readonly proof: Uint8Array;
  /** The message without the proof: the last part of what is signed. */
  readonly withoutProof: string;
}

const FIRST =
  /^((?:([ny])|p=[A-Za-z0-9.-]{1,64}),(?:a=([^,\0]{1,1024}))?,)(n=([^,\0]{1,1024}),r=([\x21-\x2b\x2d-\x7e]{1,512})(?:,[A-Za-z]=[^,\0]+)*)$/;
const FINAL =
  /^(c=([A-Za-z0-9+/=]{1,2048}),r=([\x21-\x2b\x2d-\x7e]{1,1024})(?:,[A-Za-z]=[^,\0]+)*),p=([A-Za-z0-9+/=]{1,256})$/;

/** Parses the client's first message; undefined where it is malformed, or asks for an extension that must be known (`m=`). */
export function parseScramFirst(text: string): ScramClientFirst | undefined {
  const found = FIRST.exec(text);
  if (found === null) return undefined;
  const [, gs2 = "", flag, authzidText = "", bare = "", userText = "", nonce = ""] = found;
  const authzid = parseSaslName(authzidText);
  const user = parseSaslName(userText);
  if (authzid === undefined || user === undefined) return undefined;
  const binding = flag === "n" || flag === "y" ? flag : "p";
  return { binding, authzid, user, nonce, gs2, bare };
}

/** Parses the client's last message; undefined where it is malformed. */
export function parseScramFinal(text: string): ScramClientFinal | undefined {
  const found = FINAL.exec(text);
  if (found === null) return undefined;
  const [, withoutProof = "", binding = "", nonce = "", proofText = ""] = found;
  const proof = decodeBase64(proofText);
  return proof === undefined ? undefined : { binding, nonce, proof, withoutProof };
}

/** The server's first message; the salt is base64. */
export function formatScramFirst(nonce: string, salt: string, iterations: number): string {
  return `r=${nonce},s=${salt},i=${iterations}`;
}

/** The server's last message where all is right; the signature is base64. */
export function formatScramFinal(signature: string): string {
  return `v=${signature}`;
}

/** What client and server sign (RFC 5802 section 3). */
export function scramAuthMessage(
  first: ScramClientFirst,
  serverFirst: string,
  final: ScramClientFinal,
): string {
  return `${first.bare},${serverFirst},${final.withoutProof}`;
}

/** True when the last message repeats the header of the first (RFC 5802 section 5.1): nobody has changed it on the way. */
export function bindsHeader(first: ScramClientFirst, final: ScramClientFinal): boolean {
  return final.binding === encodeBase64(new TextEncoder().encode(first.gs2));
}

/** Takes the escapes out of a `saslname`: `=2C` and `=3D` and no other `=`; undefined for anything else. */
export function parseSaslName(text: string): string | undefined {
  if (/=(?!2C|3D)/.test(text)) return undefined;
  return text.replace(/=2C/g, ",").replace(/=3D/g, "=");
}

/** The `saslname` form of a name. */
export function formatSaslName(name: string): string {
  return name.replace(/=/g, "=3D").replace(/,/g, "=2C");
}
