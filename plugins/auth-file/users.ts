/**
 * The users file: one `login:hash` a line, as `postern user add` writes it. A login may have two: a password hash, and a
 * secret of SCRAM-SHA-256 (RFC 5802) in the form of Dovecot and GNU SASL.
 *
 * Owns: the format, the decoy hash. Never: lets a line's content into a message.
 * @module
 */
import type { ScramDecoy, ScramSecret } from "@postern/postern/plugin";
import { canonicalLogin } from "../shared/canonical.ts";

/** A users file, read. */
export interface Users {
  /** Canonical login to what a password is verified against: a PHC string, or else the login's SCRAM secret. */
  readonly hashes: ReadonlyMap<string, string>;
  /** Canonical login to its SCRAM secret. */
  readonly scram: ReadonlyMap<string, ScramSecret>;
  /** Numbers of lines that are no `login:hash`, from 1. */
  readonly broken: readonly number[];
  /** Numbers of lines whose login has a hash of this kind above already; the last line counts. */
  readonly repeated: readonly number[];
}

const longestHash = 512;
const bcrypt = /^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$/;
const scramSecret =
  /^\{SCRAM-SHA-256\}([1-9][0-9]{3,6}),([A-Za-z0-9+/]{4,256}={0,2}),([A-Za-z0-9+/]{43}=),([A-Za-z0-9+/]{43}=)$/;
/** RFC 7677 section 4, and what one verification may cost. */
const iterationLimits = { least: 4096, most: 1_000_000 };
const phc = /^\$(?:argon2id|scrypt)(?:\$[A-Za-z0-9=,+/._-]+){3,4}$/;

/** Reads a users file. Empty lines and lines that start with `#` are skipped. */
export function parseUsers(content: string): Users {
  const hashes = new Map<string, string>();
  const scram = new Map<string, ScramSecret>();
  const scramHashes = new Map<string, string>();
  const broken: number[] = [];
  const repeated: number[] = [];
  const lines = content.replace(/^\ufeff/, "").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const login = colon < 0 ? undefined : canonicalLogin(line.slice(0, colon).trim());
    const hash = line.slice(colon + 1).trim();
    const secret = parseSecret(hash);
    if (
      login === undefined || /[\x00-\x1f\x7f]/.test(login) ||
      (secret === undefined && !isHash(hash))
    ) {
      broken.push(i + 1);
      continue;
    }
    if ((secret === undefined ? hashes : scram).has(login)) repeated.push(i + 1);
    if (secret === undefined) hashes.set(login, hash);
    else {
      scram.set(login, secret);
      scramHashes.set(login, hash);
    }
  }
  for (const [login, hash] of scramHashes) if (!hashes.has(login)) hashes.set(login, hash);
  return { hashes, scram, broken, repeated };
}

function parseSecret(text: string): ScramSecret | undefined {
  const [, count, salt = "", storedKey = "", serverKey = ""] = scramSecret.exec(text) ?? [];
  const iterations = Number(count);
  return count !== undefined && salt.length % 4 === 0 && iterations >= iterationLimits.least &&
      iterations <= iterationLimits.most
    ? { salt, iterations, storedKey, serverKey }
    : undefined;
}

function isHash(text: string): boolean {
  return text.length <= longestHash && (bcrypt.test(text) || phc.test(text));
}

/** What decides the time a verification takes: algorithm and cost, without salt and digest. */
export function hashKind(hash: string): string {
  if (hash.startsWith("$2")) return hash.slice(0, 7);
  if (hash.startsWith("{")) return hash.slice(0, hash.indexOf(","));
  const digest = hash.lastIndexOf("$");
  return hash.slice(0, hash.lastIndexOf("$", digest - 1));
}

/**
 * A hash that no password matches and that costs what the file's most common kind costs: an unknown login is checked
 * against it, so that the time tells nothing (CWE-208). `undefined` for a file without users.
 */
export function decoyHash(hashes: ReadonlyMap<string, string>): string | undefined {
  const model = mostCommon(hashes.values(), hashKind);
  if (model === undefined) return undefined;
  const digest = digestAt(model);
  const other = model[digest] === "A" ? "B" : "A";
  return model.slice(0, digest) + other + model.slice(digest + 1);
}

/** Iterations and size of the salt that most secrets have: what an unknown login has, too. */
export function commonParameters(scram: ReadonlyMap<string, ScramSecret>): Required<ScramDecoy> {
  const all = [...scram.values()].map(({ salt, iterations }) => ({
    iterations,
    saltSize: atob(salt).length,
  }));
  const kind = ({ iterations, saltSize }: Required<ScramDecoy>) => `${iterations} ${saltSize}`;
  const { iterations, saltSize } = mostCommon(all, kind) ??
    { iterations: iterationLimits.least, saltSize: 16 };
  // What is made up is a digest.
  return { iterations, saltSize: Math.min(saltSize, 32) };
}

function digestAt(hash: string): number {
  // bcrypt has 22 characters of salt and then the digest, without a `$` between them.
  if (hash.startsWith("$2")) return 29;
  if (hash.startsWith("{")) return hash.indexOf(",", hash.indexOf(",") + 1) + 1;
  return hash.lastIndexOf("$") + 1;
}

/** The first value of the kind that most values are of. */
function mostCommon<T>(values: Iterable<T>, kindOf: (value: T) => unknown): T | undefined {
  const counts = new Map<unknown, number>();
  let most = 0;
  let model: T | undefined;
  for (const value of values) {
    const kind = kindOf(value);
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    if (count > most) {
      most = count;
      model = value;
    }
  }
  return model;
}
