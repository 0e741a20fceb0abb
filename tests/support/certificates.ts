/**
 * Certificates for tests, made at the start of a test file: EC P-256, which takes milliseconds.
 * @module
 */
import { isIP } from "node:net";
import { generate } from "selfsigned";

/** A certificate and its key, PEM. */
export interface TestIdentity {
  readonly cert: string;
  readonly key: string;
}

export interface TestIdentityOptions {
  /** Who signs; without it the certificate is self-signed. */
  readonly ca?: TestIdentity;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const DAY = 24 * 60 * 60 * 1000;

/** A leaf for these DNS names and IP addresses; the first is the common name. */
export async function testIdentity(
  names: readonly string[],
  options: TestIdentityOptions = {},
): Promise<TestIdentity> {
  const made = await generate([{ name: "commonName", value: names[0] ?? "test" }], {
    ...settings(options),
    ...(options.ca === undefined ? {} : { ca: { key: options.ca.key, cert: options.ca.cert } }),
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true, clientAuth: true },
      {
        name: "subjectAltName",
        altNames: names.map((name) =>
          isIP(name) === 0 ? { type: 2 as const, value: name } : { type: 7 as const, ip: name }
        ),
      },
    ],
  });
  return { cert: made.cert, key: made.private };
}

/** A certificate authority. */
export async function testAuthority(name = "Test CA"): Promise<TestIdentity> {
  const made = await generate([{ name: "commonName", value: name }], {
    ...settings({}),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { cert: made.cert, key: made.private };
}

/** An authority, and a leaf that it signed. */
export async function testChain(
  names: readonly string[],
): Promise<{ readonly ca: TestIdentity; readonly leaf: TestIdentity }> {
  const ca = await testAuthority();
  return { ca, leaf: await testIdentity(names, { ca }) };
}

function settings(options: TestIdentityOptions) {
  const now = Date.now();
  return {
    keyType: "ec" as const,
    curve: "P-256" as const,
    algorithm: "sha256",
    notBeforeDate: options.notBefore ?? new Date(now - DAY),
    notAfterDate: options.notAfter ?? new Date(now + DAY),
  };
}
