/**
 * Certificates: read from PEM files, made when there are none, and looked at for `postern check`.
 *
 * Every failure is one line that names the path, what is wrong, and what to do. A private key is never part of a message.
 * @module
 */
import { randomUUID, type X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TlsIdentity } from "../transport/duplex.ts";
import { dnsNames } from "./certificate_names.ts";
import { errorCode } from "./node_errors.ts";
import { certificateOf, checkPair, fingerprintOf } from "./node_tls.ts";

/** What a certificate says. */
export interface CertificateFacts {
  /** DNS names of the subject alternative name; the common name where there are none. */
  readonly names: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** On one line. */
  readonly issuer: string;
  readonly selfSigned: boolean;
  /** SHA-256 of the DER form, lower-case hex. */
  readonly fingerprint: string;
}

/** Looks at the first certificate of a PEM text; throws `Cannot use certificate: ...`. */
export function inspectCertificate(pem: string): CertificateFacts {
  const certificate = certificateOf(pem);
  return {
    names: namesOf(certificate),
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
    issuer: certificate.issuer.replaceAll("\n", ", "),
    selfSigned: isSelfSigned(certificate),
    fingerprint: fingerprintOf(certificate.raw),
  };
}

function isSelfSigned(certificate: X509Certificate): boolean {
  if (certificate.subject !== certificate.issuer) return false;
  try {
    return certificate.verify(certificate.publicKey);
  } catch {
    // A key of a kind this runtime does not know cannot have been checked.
    return false;
  }
}

function namesOf(certificate: X509Certificate): readonly string[] {
  const listed = dnsNames(certificate).map((name) => name.toLowerCase());
  if (listed.length > 0) return listed;
  const common = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  return common === undefined ? [] : [common.toLowerCase()];
}

/** Reads and checks one certificate (with its chain) and key. */
export async function loadIdentity(
  paths: { readonly cert: string; readonly key: string },
): Promise<TlsIdentity> {
  // One after the other: when both are wrong, it is always the same one that is told.
  const cert = await readPem(paths.cert, "certificate");
  const key = await readPem(paths.key, "key");
  try {
    checkPair(cert, key);
  } catch (error) {
    throw new Error(explain(error instanceof Error ? error.message : String(error), paths));
  }
  return { cert, key, names: namesOf(certificateOf(cert)) };
}

function explain(message: string, paths: { readonly cert: string; readonly key: string }): string {
  if (message.includes("does not belong")) {
    return `Cannot use certificate: the key ${paths.key} does not belong to ${paths.cert}; ` +
      "give the key that the certificate was made for";
  }
  if (message.includes("is encrypted")) {
    return `Cannot use key: ${paths.key} is encrypted; decrypt it with "openssl pkey"`;
  }
  if (message.includes("the key is not")) {
    return `Cannot use key: ${paths.key} holds no private key that can be read; expected PEM`;
  }
  return `Cannot use certificate: ${paths.cert} holds no certificate that can be read; expected PEM`;
}

async function readPem(path: string, what: "certificate" | "key"): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const code = errorCode(error);
    const state = code === "ENOENT"
      ? "does not exist; correct the path, or remove it to use a self-signed certificate"
      : code === "EACCES" || code === "EPERM"
      ? "may not be read; let the user that runs Postern read it"
      : code === "EISDIR"
      ? "is a folder; give the file in it"
      : `cannot be read (${code === "" ? String(error) : code})`;
    throw new Error(`Cannot open ${what}: ${path} ${state}`);
  }
}

const YEAR = 365 * 24 * 60 * 60 * 1000;
/** A certificate is made anew this long before it ends, so that a long-running process does not outlive it at once. */
const MARGIN = 7 * 24 * 60 * 60 * 1000;

/**
 * The certificate of a server that was given none: kept in `dataDir`, made anew when it is about to expire, when it
 * cannot be read, or when the host name changed.
 */
export async function selfSigned(
  dataDir: string,
  hostname: string,
  now: Date = new Date(),
): Promise<TlsIdentity> {
  const paths = {
    cert: join(dataDir, "self-signed.crt"),
    key: join(dataDir, "self-signed.key"),
  };
  const kept = await readKept(paths);
  if (kept !== undefined && kept.names[0] === hostname.toLowerCase()) {
    const facts = inspectCertificate(kept.cert);
    const lasts = facts.notAfter.getTime() - now.getTime() > MARGIN;
    if (lasts && facts.notBefore.getTime() <= now.getTime()) return kept;
  }
  const made = await makeSelfSigned(hostname, now);
  try {
    await mkdir(dataDir, { recursive: true });
    await replaceFile(paths.key, made.key, 0o600);
    await replaceFile(paths.cert, made.cert, 0o644);
  } catch (error) {
    const why = errorCode(error) || String(error);
    throw new Error(
      `Cannot keep the self-signed certificate: ${dataDir} is not writable (${why}); ` +
        "let the user that runs Postern write it",
    );
  }
  return made;
}

async function readKept(
  paths: { readonly cert: string; readonly key: string },
): Promise<TlsIdentity | undefined> {
  try {
    return await loadIdentity(paths);
  } catch {
    // Absent, cut short by a crash, or a pair of two generations: all are cured by making a new one.
    return undefined;
  }
}

async function makeSelfSigned(hostname: string, now: Date): Promise<TlsIdentity> {
  // Costs 100 ms to import, and is needed once a year.
  const { generate } = await import("selfsigned");
  const names = [...new Set([hostname.toLowerCase(), "localhost"])];
  const made = await generate([{ name: "commonName", value: hostname }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    notBeforeDate: new Date(now.getTime() - 60_000),
    notAfterDate: new Date(now.getTime() + YEAR),
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      {
        name: "subjectAltName",
        altNames: [
          ...names.map((value) => ({ type: 2 as const, value })),
          { type: 7, ip: "127.0.0.1" },
          { type: 7, ip: "::1" },
        ],
      },
    ],
  });
  return { cert: made.cert, key: made.private, names };
}

/** Whole or not at all; the mode holds from the first octet on. */
async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, text, { mode, flag: "wx" });
  await chmod(temporary, mode);
  await rename(temporary, path);
}
