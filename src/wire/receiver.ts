/**
 * The receiver: octets of a client in, one protocol event at a time out (RFC 5321 sections 2.3.8 and 4.1.1.4, RFC 3030).
 *
 * Owns: the chunks fed and not yet consumed, and the mode they are read in.
 * Never: reads past the event it tells, so that the next mode takes over in the middle of a packet; reads a clock; throws on
 * input; gives a chunk back changed; holds more than the line limit of a line that does not end.
 * A chunk given to `feed` is the receiver's for ever: content events are views of it.
 *
 * The same octets give the same events however they are cut into chunks, adjacent content events taken together.
 * @module
 */

import { concat } from "./bytes.ts";
import { Content, type ContentFault, type ContentOptions } from "./content.ts";
import { type LineEvent, type LineFault, Lines } from "./lines.ts";

export type { ContentFault, ContentOptions, LineEvent, LineFault };

/** What the client has sent. */
export type ReceiverEvent =
  | LineEvent
  | {
    readonly event: "content";
    /** Never empty. Canonical content: every line end CRLF, no bare CR, bare LF or NUL; from DATA with its dots stuffed. */
    readonly chunk: Uint8Array;
  }
  | {
    /** DATA: CRLF.CRLF was consumed. BDAT: the last octet of the chunk was. The mode is command again. */
    readonly event: "end";
  };

/** Limits, and what to do about content beyond them. */
export interface ReceiverOptions extends ContentOptions {
  /** Octets of a command line, CRLF included (RFC 5321 section 4.5.3.1.4). */
  readonly commandLine: number;
  /** Octets of an AUTH command, CRLF included (RFC 4954 section 4); without it, those of any command. */
  readonly authLine?: number;
}

const END: ReceiverEvent = { event: "end" };
const NONE: Uint8Array = new Uint8Array(0);

/**
 * Reads one side of an SMTP connection. Feed what arrives, ask for events until there is none, and switch the mode between
 * two events: what the client has pipelined stays where it is until then.
 *
 * @example
 * ```ts
 * const receiver = new Receiver({ commandLine: 512, textLine: 1000, longLines: "pass", bareNewline: "normalize" });
 * receiver.feed(new TextEncoder().encode("DATA\r\nHello\r\n.\r\nQUIT\r\n"));
 * receiver.next(); // { event: "line", text: "DATA" }
 * receiver.data();
 * receiver.next(); // { event: "content", chunk: "Hello\r\n" }
 * receiver.next(); // { event: "end" }
 * receiver.next(); // { event: "line", text: "QUIT" }
 * receiver.next(); // undefined: feed more
 * ```
 */
export class Receiver {
  readonly #commandLine: number;
  readonly #lines: Lines;
  readonly #content: Content;
  #inContent = false;
  /** Chunks from `#head` on; the first of them from octet `#at` on. */
  readonly #chunks: Uint8Array[] = [];
  #head = 0;
  #at = 0;
  /** Octets in the chunks. */
  #size = 0;

  /** Starts in command mode. */
  constructor(options: ReceiverOptions) {
    this.#commandLine = options.commandLine;
    this.#lines = new Lines(options.commandLine, options.authLine);
    this.#content = new Content(options);
  }

  /** Takes what arrived. The caller never writes to the chunk again. */
  feed(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** The next event, or undefined if it has not arrived whole. */
  next(): ReceiverEvent | undefined {
    return this.#inContent ? this.#nextContent() : this.#nextLine();
  }

  /** From here on command lines of up to `limit` octets, CRLF included; without it, the limit of the options. */
  command(limit?: number): void {
    this.#inContent = false;
    this.#lines.limit = limit ?? this.#commandLine;
  }

  /** From here on SASL lines (RFC 4954 section 4) of up to `limit` octets, CRLF included. */
  sasl(limit: number): void {
    this.command(limit);
  }

  /** From here on the content of a DATA command, a message of its own: calls `beginMessage`. */
  data(): void {
    this.#enterContent();
    this.#content.data();
  }

  /** From here on `size` octets of a BDAT chunk. A line, or a CRLF, may begin in one chunk and end in the next. */
  bdat(size: number): void {
    this.#enterContent();
    this.#content.bdat(size);
  }

  /** Forgets the content before: no fault, size 0, at the start of a line. Call it before the first BDAT of a message. */
  beginMessage(): void {
    this.#content.begin();
  }

  /**
   * Call it after the `end` of the last BDAT chunk: gives what was withheld in case an LF followed, a space for a bare CR at
   * the very end, or nothing. It may set `contentFault`.
   */
  finishMessage(): Uint8Array {
    return this.#content.finish();
  }

  /**
   * The first fault of the content, under the `reject` settings. No content event tells anything from behind it, but the
   * octets are consumed and `end` is told. May be set while the content from before it is still to be told.
   */
  get contentFault(): ContentFault | undefined {
    return this.#content.fault;
  }

  /** Octets of content told so far for this message, transparency dots not counted. What SIZE (RFC 1870) limits. */
  get plainSize(): number {
    return this.#content.plainSize;
  }

  /** Octets fed and not consumed, an incomplete line among them. Before STARTTLS is answered this must be 0 (RFC 3207). */
  get buffered(): number {
    return this.#size + this.#lines.held;
  }

  /** Removes and returns everything not consumed, an incomplete line first. */
  takeRest(): Uint8Array {
    const rest = this.#chunks.slice(this.#head);
    if (this.#at > 0) rest[0] = rest[0]!.subarray(this.#at);
    const held = this.#lines.takeHeld();
    if (held.length > 0) rest.unshift(held);
    this.#chunks.length = 0;
    this.#head = this.#at = this.#size = 0;
    return rest.length === 1 ? rest[0]! : concat(rest);
  }

  #nextLine(): ReceiverEvent | undefined {
    const lines = this.#lines;
    while (this.#head < this.#chunks.length) {
      const event = lines.read(this.#chunks[this.#head]!, this.#at);
      this.#consume(lines.at);
      if (event !== undefined) return event;
    }
    return undefined;
  }

  #nextContent(): ReceiverEvent | undefined {
    const content = this.#content;
    while (!content.ended && this.#head < this.#chunks.length) {
      const chunk = content.read(this.#chunks[this.#head]!, this.#at);
      this.#consume(content.at);
      if (chunk.length > 0) return { event: "content", chunk };
    }
    if (!content.ended) return undefined;
    this.command();
    return END;
  }

  /** Content begins with the first octet that was not told as part of a line. */
  #enterContent(): void {
    this.#inContent = true;
    const held = this.#lines.takeHeld();
    if (held.length > 0) this.feed(concat([held, this.takeRest()]));
  }

  /** The first chunk is consumed up to octet `at`. */
  #consume(at: number): void {
    this.#size -= at - this.#at;
    this.#at = at;
    if (at < this.#chunks[this.#head]!.length) return;
    this.#at = 0;
    this.#chunks[this.#head++] = NONE;
    // Dropping the consumed chunks in batches keeps a backlog of many small ones linear.
    if (this.#head === this.#chunks.length || this.#head > 1024) {
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
