/**
 * The messages that go through everything, and what must be the same at both ends: the octets of the content, but for
 * the trace fields that every server puts in front of it (RFC 5321 section 4.4).
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/** One kind of message. */
export interface Kind {
  readonly name: string;
  /** Octets of the body of the message. */
  readonly body: () => Buffer;
  readonly eightBit?: true;
  /** Addresses and header fields beyond US-ASCII (RFC 6531, 6532). */
  readonly utf8?: true;
}

/** A message ready to be sent. */
export interface Message {
  readonly id: string;
  readonly kind: Kind;
  readonly from: string;
  readonly to: string;
  /** With CRLF, dots as they are. */
  readonly content: Buffer;
}

const LINE = 76;

/** Printable lines of 76 octets and CRLF, different each, `size` octets in all. */
function text(size: number): Buffer {
  const body = Buffer.alloc(size);
  const letters = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  let state = 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    body[i] = letters[(state >>> 16) & 63] ?? 0;
  }
  for (let at = LINE; at < size; at += LINE + 2) body.write("\r\n", Math.min(at, size - 2));
  body.write("\r\n", size - 2);
  return body;
}

/** Every octet but NUL, CR and LF, in lines. */
function eightBit(): Buffer {
  const octets: number[] = [];
  for (let octet = 1; octet < 256; octet++) {
    if (octet !== 0x0a && octet !== 0x0d) octets.push(octet);
    if (octet % 32 === 31) octets.push(0x0d, 0x0a);
  }
  octets.push(0x0d, 0x0a);
  return Buffer.from(octets);
}

const dots = [".", "..", "...", ". ", ".\t.", "", ".", "", "a.", ".a", "....", ".", "."];

/** The kinds of the table. */
export const KINDS: readonly Kind[] = [
  { name: "0 B", body: () => Buffer.alloc(0) },
  { name: "1 KiB", body: () => text(1024) },
  { name: "10 MiB", body: () => text(10 * 1024 * 1024) },
  { name: "8-bit", body: eightBit, eightBit: true },
  { name: "dots", body: () => Buffer.from(dots.map((line) => `${line}\r\n`).join("")) },
  {
    name: "UTF-8",
    body: () => Buffer.from("Zażółć gęślą jaźń\r\n日本語\r\n"),
    eightBit: true,
    utf8: true,
  },
];

/** One kind by its name. */
export function kindOf(name: string): Kind {
  const kind = KINDS.find((each) => each.name === name);
  if (kind === undefined) throw new Error(`There is no kind ${name}`);
  return kind;
}

let made = 0;

/** A message of this kind to somebody at a domain, with an id of its own. */
export function makeMessage(kind: Kind, domain: string): Message {
  const id = `m${++made}`;
  const from = kind.utf8 ? "zażółć@client.test" : "sender@client.test";
  const to = kind.utf8 ? `gęślą-${id}@${domain}` : `${id}@${domain}`;
  const head = [
    `From: <${from}>`,
    `To: <${to}>`,
    `Subject: ${kind.utf8 ? "日本語 " : ""}${kind.name}`,
    "Date: Mon, 02 Nov 2026 10:00:00 +0000",
    `Message-ID: <${id}@client.test>`,
    "MIME-Version: 1.0",
    `Content-Type: text/plain; charset=${kind.utf8 ? "utf-8" : "x-unknown"}`,
    `Content-Transfer-Encoding: ${kind.eightBit ? "8bit" : "7bit"}`,
  ];
  const header = Buffer.from(head.map((line) => `${line}\r\n`).join("") + "\r\n");
  return { id, kind, from, to, content: Buffer.concat([header, kind.body()]) };
}

const TRACE: ReadonlySet<string> = new Set([
  "received",
  "return-path",
  "delivered-to",
  "x-original-to",
  "envelope-to",
  "delivery-date",
]);

/** Content without the trace fields in front of it. */
export function withoutTrace(content: Buffer): Buffer {
  let at = 0;
  for (;;) {
    const colon = content.indexOf(":", at);
    if (colon < 0 || !TRACE.has(content.toString("latin1", at, colon).toLowerCase())) break;
    // To the end of the field: a line that does not begin with a space or a tab follows.
    do {
      const end = content.indexOf("\n", at);
      at = end < 0 ? content.length : end + 1;
    } while (content[at] === 0x20 || content[at] === 0x09);
  }
  return content.subarray(at);
}

/** The trace fields in front of content, unfolded. */
export function traceOf(content: Buffer): string {
  const rest = withoutTrace(content);
  return content.toString("latin1", 0, content.length - rest.length).replace(/\r?\n[ \t]+/g, " ");
}

/** Lines with CRLF, for content from a mailbox that keeps lines with LF. No content here has a bare CR or LF. */
export function fromUnixLines(content: Buffer): Buffer {
  return Buffer.from(content.toString("latin1").replaceAll("\n", "\r\n"), "latin1");
}

/** SHA-256, in hex. */
export function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** The id in the Message-ID of content. */
export function idOf(content: Buffer): string | undefined {
  return /^Message-ID: <(\w+)@client\.test>/mi.exec(content.toString("latin1", 0, 4096))?.[1];
}
