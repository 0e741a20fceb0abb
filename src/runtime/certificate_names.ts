/**
 * The names in a certificate's subject alternative name, taken apart with distrust.
 *
 * The text form of a certificate joins its names by `, `. Bun quotes a name that holds a comma; Deno 2.9.6 does not, so
 * that one DNS name `a, DNS:evil.test` reads like two, in its own check of host names as well (the class of
 * CVE-2021-44532). Every name is therefore held against the certificate itself.
 * @module
 */
import type { X509Certificate } from "node:crypto";

/** The DNS names, as they are written in the certificate. */
export function dnsNames(certificate: X509Certificate): readonly string[] {
  return listedNames(certificate).filter((name) => isReal(certificate, name));
}

/** Is there text that reads like a DNS name and is none? An honest authority signs no such certificate. */
export function hasForgedNames(certificate: X509Certificate): boolean {
  return listedNames(certificate).some((name) => !isReal(certificate, name));
}

function listedNames(certificate: X509Certificate): readonly string[] {
  const text = certificate.subjectAltName ?? "";
  const entries = text.match(/[A-Za-z ]+:(?:"(?:[^"\\]|\\.)*"|[^,"]*)/g) ?? [];
  return entries
    .map((entry) => entry.trim())
    .filter((entry) => entry.startsWith("DNS:") && !entry.includes('"'))
    .map((entry) => entry.slice(4));
}

/** `checkHost` compares with the true entries: on Deno by the letter, on Bun as a host name that a wildcard may cover. */
function isReal(certificate: X509Certificate, name: string): boolean {
  if (certificate.checkHost(name) !== undefined) return true;
  return name.startsWith("*.") && certificate.checkHost(`label${name.slice(1)}`) !== undefined;
}
