/**
 * The users file: one `login:hash` a line, as `postern user add` writes it.
 *
 * Owns: the format, the canonical form of a login, the decoy hash. Never: lets a line's content into a message.
 * @module
 */

/** A users file, read. */
export interface Users {
  /** Canonical login to PHC string. */
  readonly hashes: ReadonlyMap<string, string>;
  /** Numbers of lines that are no `login:hash`, from 1. */
  readonly broken: readonly number[];
  /** Numbers of lines whose login stands above already; the last line counts. */
  readonly repeated: readonly number[];
}

const longestLogin = 320;
const longestHash = 512;
const bcrypt = /^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$/;
const phc = /^\$(?:argon2id|scrypt)(?:\$[A-Za-z0-9=,+/._-]+){3,4}$/;

/**
 * The form in which logins are compared: NFC, the domain in lower case. `undefined` for what can be no login.
 * The local part keeps its case, as RFC 5321 section 2.4 has it.
 */
export function canonicalLogin(login: string): string | undefined {
  if (login.length === 0 || login.length > longestLogin) return undefined;
  const composed = login.normalize("NFC");
  const at = composed.lastIndexOf("@");
  return at < 0 ? composed : composed.slice(0, at) + composed.slice(at).toLowerCase();
}

/** Reads a users file. Empty lines and lines that start with `#` are skipped. */
export function parseUsers(content: string): Users {
  const hashes = new Map<string, string>();
  const broken: number[] = [];
  const repeated: number[] = [];
  const lines = content.replace(/^\ufeff/, "").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const login = colon < 0 ? undefined : canonicalLogin(line.slice(0, colon).trim());
    const hash = line.slice(colon + 1).trim();
    if (login === undefined || /[\x00-\x1f\x7f]/.test(login) || !isHash(hash)) {
      broken.push(i + 1);
      continue;
    }
    if (hashes.has(login)) repeated.push(i + 1);
    hashes.set(login, hash);
  }
  return { hashes, broken, repeated };
}

function isHash(text: string): boolean {
  return text.length <= longestHash && (bcrypt.test(text) || phc.test(text));
}

/** What decides the time a verification takes: algorithm and cost, without salt and digest. */
export function hashKind(hash: string): string {
  if (hash.startsWith("$2")) return hash.slice(0, 7);
  const digest = hash.lastIndexOf("$");
  return hash.slice(0, hash.lastIndexOf("$", digest - 1));
}

/**
 * A hash that no password matches and that costs what the file's most common kind costs: an unknown login is checked
 * against it, so that the time tells nothing (CWE-208). `undefined` for a file without users.
 */
export function decoyHash(hashes: ReadonlyMap<string, string>): string | undefined {
  const counts = new Map<string, number>();
  let most = 0;
  let model: string | undefined;
  for (const hash of hashes.values()) {
    const kind = hashKind(hash);
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    if (count > most) {
      most = count;
      model = hash;
    }
  }
  if (model === undefined) return undefined;
  // bcrypt has 22 characters of salt and then the digest, without a `$` between them.
  const digest = model.startsWith("$2") ? 29 : model.lastIndexOf("$") + 1;
  const other = model[digest] === "A" ? "B" : "A";
  return model.slice(0, digest) + other + model.slice(digest + 1);
}
