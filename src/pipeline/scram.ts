/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677), what is computed: the secret that is kept in the place of a password, its form in
 * a users file, the check of a proof, the secret that an unknown login seems to have.
 *
 * The form in files is the one of Dovecot and GNU SASL: `{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey`.
 * Never: puts a secret or a password into an error.
 * @module
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import type { ScramDecoy, ScramSecret } from "../plugin/module.ts";
import { decodeBase64, encodeBase64 } from "../wire/sasl.ts";

/** The mechanism's name. */
export const SCRAM = "SCRAM-SHA-256";

/**
 * New secrets: as many as every client takes. Cyrus SASL refuses more than 65,536, and some refuse fewer than 4096 (RFC
 * 7677 section 4); each doubles the work of who has stolen a file, and of every login's client.
 */
export const SCRAM_ITERATIONS = 60_000;

/** RFC 7677 section 4; and what one login may cost us. */
const LIMITS = { least: 4096, most: 1_000_000 };

const SCHEME = "{SCRAM-SHA-256}";
const KEY = 32;
/** Octets of a new salt. */
const SALT = 16;

/** Salt, iterations and keys of a password. The password is prepared first; undefined where it cannot be (RFC 4013). */
export async function scramSecret(
  password: string,
  salt: Uint8Array = randomBytes(SALT),
  iterations: number = SCRAM_ITERATIONS,
): Promise<ScramSecret | undefined> {
  const prepared = await prepare(password);
  if (prepared === undefined) return undefined;
  const salted = await salting(prepared, salt, iterations);
  return {
    salt: encodeBase64(salt),
    iterations,
    storedKey: encodeBase64(sha256(hmac(salted, "Client Key"))),
    serverKey: encodeBase64(hmac(salted, "Server Key")),
  };
}

/** A secret as it stands in a users file. */
export function formatScram({ iterations, salt, storedKey, serverKey }: ScramSecret): string {
  return `${SCHEME}${iterations},${salt},${storedKey},${serverKey}`;
}

/** True for what claims to be a secret of this scheme. */
export function isScram(hash: string): boolean {
  return hash.startsWith(SCHEME);
}

/** Reads a secret of a users file; undefined where it is malformed or costs too little or too much. */
export function parseScram(hash: string): ScramSecret | undefined {
  const [iterations = "", salt = "", storedKey = "", serverKey = "", ...more] = isScram(hash)
    ? hash.slice(SCHEME.length).split(",")
    : [];
  if (!/^[1-9][0-9]{3,6}$/.test(iterations) || more.length > 0) return undefined;
  const secret = { iterations: Number(iterations), salt, storedKey, serverKey };
  return isScramSecret(secret) ? secret : undefined;
}

/** Whether the parts are such as SCRAM can work with. */
export function isScramSecret({ iterations, salt, storedKey, serverKey }: ScramSecret): boolean {
  const saltSize = decodeBase64(salt)?.length ?? 0;
  return isIterations(iterations) && saltSize >= 1 && saltSize <= 1024 &&
    decodeBase64(storedKey)?.length === KEY && decodeBase64(serverKey)?.length === KEY;
}

/** Whether a number of iterations is one that we go along with. */
export function isIterations(iterations: number): boolean {
  return Number.isSafeInteger(iterations) && iterations >= LIMITS.least &&
    iterations <= LIMITS.most;
}

/** Whether a password is the one of a secret, in the same time for every password. */
export async function matchesScram(secret: ScramSecret, password: string): Promise<boolean> {
  const salt = decodeBase64(secret.salt) ?? new Uint8Array();
  const prepared = await prepare(password);
  // What cannot be prepared is nobody's password, and costs the same.
  const salted = await salting(prepared ?? "", salt, secret.iterations);
  const storedKey = sha256(hmac(salted, "Client Key"));
  return sameOctets(storedKey, decodeBase64(secret.storedKey)) && prepared !== undefined;
}

/** What a proof came to. */
export interface ScramCheck {
  readonly proved: boolean;
  /** Base64: what proves to the client that we know the secret. For the client only where `proved`. */
  readonly signature: string;
}

/** Whether a made-up salt can have so many octets. */
export function isSaltSize(octets: number): boolean {
  return Number.isSafeInteger(octets) && octets >= 1 && octets <= KEY;
}

/** Checks a client's proof (RFC 5802 section 3). */
export function checkScram(
  secret: ScramSecret,
  authMessage: string,
  proof: Uint8Array,
): ScramCheck {
  const storedKey = decodeBase64(secret.storedKey) ?? new Uint8Array();
  const serverKey = decodeBase64(secret.serverKey) ?? new Uint8Array();
  const clientSignature = hmac(storedKey, authMessage);
  const clientKey = clientSignature.map((octet, i) => octet ^ (proof[i] ?? 0));
  return {
    proved: proof.length === KEY && sameOctets(sha256(clientKey), storedKey),
    signature: encodeBase64(hmac(serverKey, authMessage)),
  };
}

/** What an unknown login seems to have: the same at every look, and not to be told from a secret (CWE-208). */
export function decoyScram(
  user: string,
  { iterations, saltSize = SALT }: ScramDecoy,
): ScramSecret {
  const salt = hmac(chance, `salt ${user}`).subarray(0, saltSize);
  return {
    salt: encodeBase64(salt),
    iterations,
    storedKey: encodeBase64(hmac(chance, `stored ${user}`)),
    serverKey: encodeBase64(hmac(chance, `server ${user}`)),
  };
}

/** One for a process: nobody can tell by computing it which salts are made up. */
const chance = randomBytes(KEY);

/** The server's part of a nonce: printable, without a comma. */
export function scramNonce(): string {
  return encodeBase64(randomBytes(18));
}

/** SASLprep (RFC 4013), of which a password in printable US-ASCII needs nothing. Undefined for what is not allowed. */
async function prepare(password: string): Promise<string | undefined> {
  if (/^[\x20-\x7e]+$/.test(password)) return password;
  const { saslprep } = await import("@mongodb-js/saslprep");
  try {
    const prepared = saslprep(password);
    return prepared === "" ? undefined : prepared;
  } catch {
    return undefined;
  }
}

function salting(password: string, salt: Uint8Array, iterations: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    pbkdf2(password, salt, iterations, KEY, "sha256", (error, key) => {
      if (error) reject(new Error("Cannot derive a key from the password"));
      else resolve(key);
    })
  );
}

function hmac(key: Uint8Array, text: string): Uint8Array {
  return createHmac("sha256", key).update(text, "utf8").digest();
}

function sha256(octets: Uint8Array): Uint8Array {
  return createHash("sha256").update(octets).digest();
}

function sameOctets(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length && timingSafeEqual(a, b);
}
