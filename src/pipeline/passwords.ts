/**
 * Password hashing by PHC strings: argon2id and argon2i, scrypt, bcrypt ($2a, $2b, $2y); and by SCRAM secrets.
 *
 * New hashes are argon2id with 19 MiB, two passes, one lane (OWASP's minimum). Libraries are imported at first use.
 * Never: puts a hash or a password into an error.
 * @module
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import type { PasswordHashing } from "../plugin/edge.ts";
import { isScram, matchesScram, parseScram } from "./scram.ts";

const ARGON2 = { memorySize: 19 * 1024, iterations: 2, parallelism: 1, hashLength: 32 };

/** A hash costs what it says: bounds that keep a mistyped one from taking the machine. KiB, passes, lanes. */
const ARGON2_LIMITS = { m: 1024 * 1024, t: 100, p: 64 };
const SCRYPT_LIMITS = { ln: 20, r: 32, p: 16 };

const BCRYPT = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/;

/** A hash that cannot be verified; the message names the format, never the hash. */
export class UnsupportedHash extends Error {
  override readonly name = "UnsupportedHash";
}

/** The real password hashing. */
export const passwords: PasswordHashing = {
  async verify(hash, password) {
    if (BCRYPT.test(hash)) {
      const { default: bcrypt } = await import("bcryptjs");
      return await bcrypt.compare(password, hash);
    }
    const [empty, id, ...rest] = hash.split("$");
    if (empty === "" && (id === "argon2id" || id === "argon2i")) {
      return await verifyArgon2(id, rest, password);
    }
    if (empty === "" && id === "scrypt") return await verifyScrypt(rest, password);
    if (isScram(hash)) {
      const secret = parseScram(hash);
      if (secret !== undefined) return await matchesScram(secret, password);
      throw new UnsupportedHash("Unsupported password hash: malformed SCRAM-SHA-256");
    }
    throw new UnsupportedHash(
      "Unsupported password hash: expected argon2id, argon2i, scrypt, bcrypt or SCRAM-SHA-256",
    );
  },

  async hash(password) {
    const { argon2id } = await import("hash-wasm");
    return await argon2id({ ...ARGON2, password, salt: randomBytes(16), outputType: "encoded" });
  },
};

async function verifyArgon2(
  id: "argon2id" | "argon2i",
  fields: readonly string[],
  password: string,
): Promise<boolean> {
  const [version, text, saltText, hashText, ...more] = fields;
  const params = parameters(text);
  const salt = base64(saltText);
  const expected = base64(hashText);
  const m = params?.get("m");
  const t = params?.get("t");
  const p = params?.get("p");
  if (
    version !== "v=19" || more.length > 0 || m === undefined || t === undefined ||
    p === undefined || salt === undefined || expected === undefined ||
    salt.length < 8 || expected.length < 4 || p < 1 || t < 1 || m < 8 * p ||
    m > ARGON2_LIMITS.m || t > ARGON2_LIMITS.t || p > ARGON2_LIMITS.p
  ) throw new UnsupportedHash(`Unsupported password hash: malformed ${id}`);
  const argon2 = (await import("hash-wasm"))[id];
  const actual = await argon2({
    password,
    salt,
    memorySize: m,
    iterations: t,
    parallelism: p,
    hashLength: expected.length,
    outputType: "binary",
  });
  return timingSafeEqual(actual, expected);
}

async function verifyScrypt(fields: readonly string[], password: string): Promise<boolean> {
  const [text, saltText, hashText, ...more] = fields;
  const params = parameters(text);
  const salt = base64(saltText);
  const expected = base64(hashText);
  const ln = params?.get("ln");
  const r = params?.get("r");
  const p = params?.get("p");
  if (
    more.length > 0 || ln === undefined || r === undefined || p === undefined ||
    salt === undefined || expected === undefined || expected.length < 16 || ln < 1 || r < 1 ||
    p < 1 || ln > SCRYPT_LIMITS.ln || r > SCRYPT_LIMITS.r || p > SCRYPT_LIMITS.p
  ) throw new UnsupportedHash("Unsupported password hash: malformed scrypt");
  const N = 2 ** ln;
  const options = { N, r, p, maxmem: 128 * r * (N + p + 2) };
  const actual = await new Promise<Uint8Array>((resolve, reject) =>
    scrypt(password, salt, expected.length, options, (error, key) => {
      // Without an error it is null on Deno, undefined on Bun.
      if (error) reject(new UnsupportedHash("Unsupported password hash: scrypt parameters"));
      else resolve(key);
    })
  );
  return timingSafeEqual(actual, expected);
}

/** `m=19456,t=2,p=1` as numbers. */
function parameters(text: string | undefined): Map<string, number> | undefined {
  const found = new Map<string, number>();
  for (const part of (text ?? "").split(",")) {
    const match = /^([a-z]{1,4})=(\d{1,9})$/.exec(part);
    if (match === null) return undefined;
    found.set(match[1]!, Number(match[2]));
  }
  return found;
}

/** PHC's base64 has no padding. */
function base64(text: string | undefined): Uint8Array | undefined {
  return text !== undefined && text.length <= 1024 && /^[A-Za-z0-9+/]+$/.test(text) &&
      text.length % 4 !== 1
    ? Uint8Array.from(atob(text), (octet) => octet.charCodeAt(0))
    : undefined;
}
