/**
 * Names of the embedded mailbox: the folder of a recipient, and the unique name of a message
 * (https://cr.yp.to/proto/maildir.html).
 *
 * Owns: the one mapping from an address to a folder name, and back.
 * Never: touches a file, lets an octet of an address be read as a path (`/`, `..`, a leading dot, NUL).
 * Two addresses share a folder only if they are the same mailbox: what is not kept as it is, is percent-encoded, and
 * what is too long for a file name ends in its SHA-256.
 * @module
 */
import type { Mailbox } from "../wire/path.ts";

/** Longest local part and longest domain of a folder name, in octets. File systems take 255 for the whole. */
const maxPart = 120;
const keptOfLong = 80;

const encoder = new TextEncoder();

/** Percent-encodes every octet outside `[A-Za-z0-9._+=-]`, and every dot that begins the name or follows a dot. */
function encode(text: string): string {
  let encoded = "";
  let afterDot = true;
  for (const octet of encoder.encode(text)) {
    const char = String.fromCharCode(octet);
    if (/[A-Za-z0-9_+=-]/.test(char) || (char === "." && !afterDot)) encoded += char;
    else encoded += "%" + octet.toString(16).toUpperCase().padStart(2, "0");
    afterDot = char === ".";
  }
  return encoded;
}

/**
 * The folder of a recipient: `local@domain`, one path component. The domain is lower case; so is `postmaster`, whose
 * case never matters (RFC 5321 section 4.5.1); any other local part keeps its case. A bare `postmaster` is the one of
 * `hostname`.
 */
export async function folderName(mailbox: Mailbox, hostname: string): Promise<string> {
  const lower = mailbox.local.toLowerCase();
  const local = lower === "postmaster" ? lower : mailbox.local;
  const domain = (mailbox.domain === "" ? hostname : mailbox.domain).toLowerCase();
  return `${await shorten(encode(local))}@${await shorten(encode(domain))}`;
}

/** What is too long ends in `~` and its hash; `encode` never leaves a `~`, so no other part becomes the same. */
async function shorten(part: string): Promise<string> {
  if (part.length <= maxPart) return part;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(part)));
  let hex = "";
  for (const octet of digest.subarray(0, 16)) hex += octet.toString(16).padStart(2, "0");
  return `${part.slice(0, keptOfLong)}~${hex}`;
}

/** The recipient of a folder: `local@domain`, unquoted. A shortened name is given back as it is; undefined: not one of ours. */
export function recipientOf(folder: string): string | undefined {
  if (!/^(?!\.)[\w.+=%@~-]+$/.test(folder) || !folder.includes("@")) return undefined;
  if (folder.includes("~")) return folder;
  try {
    return decodeURIComponent(folder);
  } catch {
    return folder;
  }
}

/** A host name as it stands in a unique name: what could be read as a path or as the end of the name is octal. */
function hostPart(hostname: string): string {
  let part = "";
  for (const octet of encoder.encode(hostname)) {
    const char = String.fromCharCode(octet);
    part += /[A-Za-z0-9.-]/.test(char) ? char : "\\" + octet.toString(8).padStart(3, "0");
  }
  return part;
}

/** Makes unique names for one host and one process. */
export interface Names {
  /** `<seconds>.M<micros>P<pid>Q<counter>.<host>` */
  next(): string;
  /** Whether a name was made for this host, by this process or an earlier one. */
  isOwn(name: string): boolean;
}

/**
 * One counter for all mailboxes of the process: two of them may lie in one place. It starts anywhere, so that two
 * threads of one process (one pid) do not meet.
 */
let deliveries = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

/** Names by the Maildir rules. `now` is in milliseconds. */
export function maildirNames(hostname: string, pid: number, now: () => number): Names {
  const host = hostPart(hostname);
  return {
    next() {
      const micros = Math.floor(now() * 1000);
      deliveries++;
      const fraction = String(micros % 1e6).padStart(6, "0");
      return `${Math.floor(micros / 1e6)}.M${fraction}P${pid}Q${deliveries}.${host}`;
    },
    isOwn(name) {
      const match = /^\d+\.M\d+P\d+Q\d+\.(.*)$/s.exec(name);
      return match !== null && match[1] === host;
    },
  };
}
