/**
 * The header fields of a question in nginx's `auth_http` protocol.
 *
 * Values that a client chose are written as nginx writes them: `%` and what a field cannot hold as `%XX`. We write octets
 * above US-ASCII so too, which nginx passes as they are; who decodes a value gets the same.
 * @module
 */
import type { Login } from "../shared/login.ts";

/** The fields, in nginx's order. */
export function headersFor(login: Login, attempt: number): readonly [string, string][] {
  const { session } = login.context;
  const { tls } = session;
  const fields: [string, string][] = [
    // LOGIN is plain as well: it differs in the framing only.
    ["Auth-Method", "plain"],
    ["Auth-User", encoded(login.user)],
    ["Auth-Pass", encoded(login.password)],
    ["Auth-Protocol", "smtp"],
    ["Auth-Login-Attempt", String(attempt)],
    ["Client-IP", session.remote.address],
    [
      "Client-Host",
      session.clientName === undefined ? "[UNAVAILABLE]" : encoded(session.clientName),
    ],
  ];
  if (tls !== undefined) {
    fields.push(["Auth-SSL", "on"]);
    fields.push(["Auth-SSL-Protocol", tls.version], ["Auth-SSL-Cipher", encoded(tls.cipher)]);
    if (tls.peer !== undefined) {
      fields.push(["Auth-SSL-Verify", tls.peer.verified ? "SUCCESS" : "FAILED"]);
      fields.push(["Auth-SSL-Subject", encoded(tls.peer.subject)]);
    }
  }
  return fields;
}

/** Spaces, `%`, control characters and octets above US-ASCII as `%XX`. */
export function encoded(text: string): string {
  let out = "";
  for (const octet of new TextEncoder().encode(text)) {
    const plain = octet > 0x20 && octet < 0x7f && octet !== 0x25;
    out += plain
      ? String.fromCharCode(octet)
      : `%${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}
