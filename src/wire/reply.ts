/**
 * SMTP replies (RFC 5321 section 4.2, enhanced status codes of RFC 2034 and RFC 3463).
 *
 * Owns: the reply value, its text form, and the incremental parse of what an upstream says.
 * An upstream is trusted for its policy, not for its syntax: a wrong 250 is a lost message. So the parser repairs nothing.
 * A code outside 200-599, a code that changes between lines, a bare CR or LF, a control character, an over-long line or
 * reply is a fault, and a fault is terminal: nothing behind it can be trusted to be the answer to anything.
 * Never: lets a reply's text break its line, throws on input, reads past the reply it was asked for (what is behind a 220
 * to STARTTLS stays where `clear` finds it).
 * @module
 */
import { asciiText } from "./bytes.ts";
import { MAX_REPLY_LINE } from "./limits.ts";

/** One reply: three digits, an enhanced status code (RFC 3463) where the reply carries one, and its text lines. */
export interface Reply {
  /** Three digits, 200 to 599. */
  readonly code: number;
  /** `class.subject.detail`, for example `5.7.1`; undefined for the banner, EHLO, and 354. */
  readonly enhanced: string | undefined;
  /** At least one line of text, without codes and line ends. */
  readonly lines: readonly string[];
}

/** Makes a reply. `enhanced` is `""` where the reply carries no enhanced status code. */
export function reply(code: number, enhanced: string, ...lines: string[]): Reply {
  return {
    code,
    enhanced: enhanced === "" ? undefined : enhanced,
    lines: lines.length === 0 ? [""] : lines,
  };
}

/**
 * The reply as it goes over the wire, every line with its CRLF. Characters that a reply must not hold (RFC 5321 section
 * 4.2: all but tab and printable US-ASCII) become `?`; lines over 512 octets are split, at a space where there is one.
 */
export function formatReply(reply: Reply): string {
  let text = formatted.get(reply);
  // Most replies are the same few values over and over.
  if (text === undefined) formatted.set(reply, text = format(reply));
  return text;
}

const formatted = new WeakMap<Reply, string>();

function format(reply: Reply): string {
  const prefix = reply.enhanced === undefined ? "" : clean(reply.enhanced) + " ";
  const room = Math.max(64, MAX_REPLY_LINE - "250 \r\n".length - prefix.length);
  const lines = reply.lines.length === 0 ? [""] : reply.lines.flatMap((line) => split(line, room));
  const last = lines.length - 1;
  return lines
    .map((line, i) => `${reply.code}${i < last ? "-" : " "}${prefix}${line}\r\n`)
    .join("");
}

/**
 * The reply with an enhanced status code: its own, or its class with the given subject and detail (`"1.5"` on a 250
 * makes `2.1.5`). A 3yz reply has none and stays as it is. For upstreams without ENHANCEDSTATUSCODES.
 */
export function withEnhanced(reply: Reply, subjectAndDetail: string): Reply {
  const digit = Math.floor(reply.code / 100);
  if (reply.enhanced !== undefined || digit === 3) return reply;
  return { ...reply, enhanced: `${digit}.${subjectAndDetail}` };
}

function split(line: string, room: number): string[] {
  let rest = clean(line);
  const out: string[] = [];
  while (rest.length > room) {
    const space = rest.lastIndexOf(" ", room);
    const at = space > room / 2 ? space : room;
    out.push(rest.slice(0, at));
    rest = rest.slice(space === at ? at + 1 : at);
  }
  out.push(rest);
  return out;
}

function clean(text: string): string {
  return text.replace(/[^\t\x20-\x7e]/g, "?");
}

/** Why an upstream's octets are no reply. Fit for a log; holds none of them. */
export interface ReplyFault {
  /** One sentence. */
  readonly fault: string;
}

/** Octets of one line with its CRLF. The RFC says 512; some servers do not listen. */
const MAX_LINE = 4096;
const MAX_LINES = 200;
const MAX_REPLY = 65_536;
/** Octets that may wait unread: an upstream that talks without being asked is not kept. */
const MAX_UNREAD = 262_144;

const LF = 10;
const CR = 13;
const NOTHING = new Uint8Array(0);

/** Parses replies one at a time: `feed` what arrived, then `next` until it has no more. */
export class ReplyParser {
  #bytes: Uint8Array = NOTHING;
  /** The buffer is ours to write to. */
  #own = false;
  #start = 0;
  #end = 0;
  /** Octets from `#start` that hold no LF. */
  #scanned = 0;
  #code = 0;
  #texts: string[] = [];
  #size = 0;
  #fault: ReplyFault | undefined;

  /** Octets that were fed and are no part of a reply that `next` gave. */
  get buffered(): number {
    return this.#size + this.#end - this.#start;
  }

  /** Takes octets; the caller never writes to the chunk again. */
  feed(chunk: Uint8Array): void {
    if (this.#fault !== undefined) return;
    if (this.#start === this.#end && chunk.length <= MAX_LINE) {
      // Nothing waits: the chunk is read where it is. Its room is full, so what follows moves to a buffer of ours.
      this.#bytes = chunk;
      this.#own = false;
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    if (this.#end - this.#start + chunk.length > MAX_UNREAD) {
      this.#fail("Upstream sent more than was asked for");
      return;
    }
    this.#reserve(chunk.length);
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The next whole reply; undefined when more octets are needed; the fault, from the first malformed octet on for ever. */
  next(): Reply | ReplyFault | undefined {
    while (this.#fault === undefined) {
      const at = this.#bytes.indexOf(LF, this.#start + this.#scanned);
      const found = at < this.#end ? at : -1;
      const length = (found < 0 ? this.#end : found + 1) - this.#start;
      if (length > MAX_LINE) return this.#fail("Reply line is too long");
      if (found < 0) {
        this.#scanned = length;
        this.#shrink();
        return undefined;
      }
      const from = this.#start;
      this.#start = found + 1;
      this.#scanned = 0;
      const reply = this.#line(from, found + 1);
      if (reply !== undefined) return reply;
    }
    return this.#fault;
  }

  /** Throws away what was fed and not given out, a half reply included (RFC 3207 section 6: nothing crosses STARTTLS). A fault stays. */
  clear(): void {
    this.#bytes = NOTHING;
    this.#start = this.#end = this.#scanned = 0;
    this.#reset();
  }

  /** One line, up to and with its LF. By offsets: a view of each line would cost more than the rest. */
  #line(from: number, to: number): Reply | ReplyFault | undefined {
    const bytes = this.#bytes;
    const end = to - 2;
    if (end < from || bytes[end] !== CR) return this.#fail("Bare line feed in reply");
    const code = parseCode(bytes, from, end);
    if (code === undefined) return this.#fail("Reply code is not 200 to 599");
    const mark = end > from + 3 ? bytes[from + 3] : 0x20;
    if (mark !== 0x20 && mark !== 0x2d) return this.#fail("Bad separator after reply code");
    if (this.#texts.length > 0 && code !== this.#code) {
      return this.#fail("Reply code changes between lines");
    }
    this.#code = code;
    this.#size += to - from;
    if (this.#texts.length === MAX_LINES || this.#size > MAX_REPLY) {
      return this.#fail("Reply is too long");
    }
    const text = parseText(bytes, Math.min(from + 4, end), end);
    if (text === undefined) return this.#fail("Control character in reply");
    this.#texts.push(text);
    if (mark === 0x2d) return undefined;
    const reply = assemble(code, this.#texts);
    this.#reset();
    return reply;
  }

  #reset(): void {
    this.#code = 0;
    this.#texts = [];
    this.#size = 0;
  }

  #fail(fault: string): ReplyFault {
    this.clear();
    return this.#fault = { fault };
  }

  /** An idle connection keeps no buffer. */
  #shrink(): void {
    if (this.#start !== this.#end) return;
    this.#start = this.#end = 0;
    this.#bytes = NOTHING;
  }

  /** Makes room for so many octets behind `#end`; grows by doubling, so a reply in drips costs linear time. */
  #reserve(octets: number): void {
    if (this.#end + octets <= this.#bytes.length) return;
    const unread = this.#bytes.subarray(this.#start, this.#end);
    const needed = unread.length + octets;
    // Half of the buffer is free: moving down is paid for by what was read.
    // A chunk that was read where it is belongs to the socket: it is never written to.
    const grow = !this.#own || needed > this.#bytes.length / 2;
    const target = grow ? new Uint8Array(Math.max(512, 2 * needed)) : this.#bytes;
    this.#own = true;
    target.set(unread);
    this.#bytes = target;
    this.#end = unread.length;
    this.#start = 0;
  }
}

function parseCode(bytes: Uint8Array, from: number, end: number): number | undefined {
  if (end - from < 3) return undefined;
  let code = 0;
  for (let i = 0; i < 3; i++) {
    const digit = (bytes[from + i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    code = code * 10 + digit;
  }
  return code >= 200 && code <= 599 ? code : undefined;
}

const decoder = new TextDecoder();

/** A line's text: tabs become spaces, octets that are not UTF-8 become U+FFFD; undefined where it holds a control character. */
function parseText(bytes: Uint8Array, from: number, end: number): string | undefined {
  let plain = true;
  for (let i = from; i < end; i++) {
    const octet = bytes[i]!;
    if (octet >= 0x20 && octet < 0x7f) continue;
    if ((octet < 0x20 && octet !== 9) || octet === 0x7f) return undefined;
    plain = false;
  }
  return plain
    ? asciiText(bytes, from, end)
    : decoder.decode(bytes.subarray(from, end)).replace(/[\t\x80-\x9f]/g, " ");
}

/** Splits the enhanced status code off the texts; one whose class is not the code's is just text (RFC 2034 section 4). */
function assemble(code: number, texts: readonly string[]): Reply {
  let enhanced: string | undefined;
  const lines = texts.map((text) => {
    const found = /^([245]\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,2}))(?: |$)/.exec(text);
    const status = found?.[1];
    if (status === undefined || status.charCodeAt(0) - 0x30 !== Math.floor(code / 100)) return text;
    enhanced ??= status;
    return status === enhanced ? text.slice(status.length + 1) : text;
  });
  return { code, enhanced, lines };
}
