/**
 * Message content from DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030): its end, its line ends, its line lengths.
 *
 * Owns: where in a line the last chunk ended, at most two octets withheld, the first fault of the message.
 * Never: ends data at anything but CRLF.CRLF as the client sent it, lets a bare CR, a bare LF or a NUL out, holds a line to
 * see its end, copies a chunk that needs no change, throws on input.
 *
 * The canonical form. From DATA it is the *wire form*, dots still stuffed; from BDAT the *plain form*. Every line ends in
 * CRLF. Under "normalize" a bare LF becomes CRLF, a bare CR and a NUL become a space each: whatever a lenient server could
 * take for the end of data is gone. A dot at the start of a line, bare LF before it or not, is a transparency dot as it came;
 * only a dot alone on a line that is not the end of data (LF.CRLF, CRLF.LF, LF.LF) is sent as two, so that no input has
 * CRLF.CRLF in its wire form.
 * Withheld until the next octet decides are a CR that ends a chunk and, from DATA, a dot (and CR) that starts a line there.
 * @module
 */

import { concat, CR, DOT, LF, nextControl, NUL, SPACE, Splice, viewOf } from "./bytes.ts";

/** Why content is refused under the `reject` settings. */
export type ContentFault = "bare-newline" | "long-line";

/** What to do about content that is not as RFC 5321 wants it. */
export interface ContentOptions {
  /** Octets of a text line, CRLF included, the transparency dot not (RFC 5321 section 4.5.3.1.6). */
  readonly textLine: number;
  /** Whether longer lines pass untouched or are a fault. */
  readonly longLines: "pass" | "reject";
  /** Whether bare CR, bare LF and NUL are replaced (CRLF for the LF, a space for the others) or are a fault. */
  readonly bareNewline: "normalize" | "reject";
}

/** In a line; at its start behind CRLF, where data can end; at its start behind a bare LF, where it cannot. */
type Place = "line" | "start" | "soft-start";

const NONE: Uint8Array = new Uint8Array(0);

/** Reads the content of one message after the other. */
export class Content {
  /** Where the last `read` stopped: the first octet it has not consumed. */
  at = 0;
  /** The end of data, or the last octet of the BDAT chunk, has been consumed. */
  ended = false;
  /** The first fault of the message. No content is given out from then on, but its end is still found. */
  fault: ContentFault | undefined;
  /** Octets given out for this message, transparency dots not counted. */
  plainSize = 0;

  readonly #reject: boolean;
  /** Octets of a line without its CRLF; a fault if there are more. */
  readonly #longest: number;
  /** DATA, not BDAT. */
  #dots = true;
  /** Octets left of the BDAT chunk. */
  #left = 0;
  #place: Place = "start";
  /** Plain octets of the current line so far, the withheld not among them. */
  #length = 0;
  #withheld: Uint8Array = NONE;

  /** Takes the settings of the listener. */
  constructor(options: ContentOptions) {
    this.#reject = options.bareNewline === "reject";
    this.#longest = options.longLines === "reject" ? Math.max(options.textLine - 2, 1) : Infinity;
  }

  /** Forgets everything about the message before. */
  begin(): void {
    this.fault = undefined;
    this.plainSize = 0;
    this.#place = "start";
    this.#length = 0;
    this.#withheld = NONE;
  }

  /** What follows is the content of a DATA command, a whole message. */
  data(): void {
    this.begin();
    this.ended = false;
    this.#dots = true;
  }

  /** What follows is a BDAT chunk of `size` octets, of the same message as the one before unless `begin` was called. */
  bdat(size: number): void {
    this.#dots = false;
    this.#left = size;
    this.ended = !(size > 0);
  }

  /** Ends a message that came by BDAT: what was withheld and now is known to be a bare CR at the very end. */
  finish(): Uint8Array {
    if (this.#withheld.length === 0) return NONE;
    this.#withheld = NONE;
    if (this.#reject) this.fault ??= "bare-newline";
    else if (this.#length >= this.#longest) this.fault ??= "long-line";
    if (this.fault !== undefined) return NONE;
    this.plainSize++;
    this.#length++;
    return Uint8Array.of(SPACE);
  }

  /** Reads from `from` to the end of the chunk or of the content; gives out canonical content, possibly empty. */
  read(chunk: Uint8Array, from: number): Uint8Array {
    const withheld = this.#withheld;
    if (withheld.length === 0) return this.#scan(chunk, from);
    // One copy, of what belongs to this content only: few cuts withhold anything, and a packet may hold many BDAT chunks.
    this.#withheld = NONE;
    const joined = concat([withheld, chunk.subarray(from, this.#end(chunk, from))]);
    if (!this.#dots) this.#left += withheld.length;
    const content = this.#scan(joined, 0);
    this.at += from - withheld.length;
    return content;
  }

  #end(chunk: Uint8Array, from: number): number {
    return this.#dots ? chunk.length : Math.min(chunk.length, from + this.#left);
  }

  #scan(chunk: Uint8Array, from: number): Uint8Array {
    const dots = this.#dots;
    const end = this.#end(chunk, from);
    const view = viewOf(chunk);
    const longest = this.#longest;
    /** Undefined behind a fault. */
    let out = this.fault === undefined ? new Splice(chunk, from) : undefined;
    let content = NONE;
    let stuffed = 0;
    /** Where in the chunk the plain line begins; before it if it began earlier. */
    let line = from - this.#length;
    let place = this.#place;
    let i = from;
    let withheld = 0;

    const fail = (fault: ContentFault, at: number) => {
      if (out === undefined) return;
      this.fault = fault;
      content = out.finish(at);
      out = undefined;
    };

    while (i < end) {
      if (place !== "line" && dots && chunk[i] === DOT) {
        const left = end - i;
        if (left === 1 || (left === 2 && chunk[i + 1] === CR)) {
          withheld = left;
          break;
        }
        const crlf = chunk[i + 1] === CR && chunk[i + 2] === LF;
        if (crlf && place === "start") {
          this.ended = true;
          break;
        }
        // What would be a dot alone on its line gets a second one: it counts, the first does not.
        line = i + 1;
        if ((crlf || chunk[i + 1] === LF) && !this.#reject) {
          out?.insert(i, DOT);
          line = i;
        }
        if (out !== undefined) stuffed++;
        i++;
      }
      place = "line";
      i = nextControl(view, i, end);
      if (i - line > longest) fail("long-line", line + longest);
      if (i === end) break;
      const octet = chunk[i];
      if (octet === CR) {
        if (i + 1 === end) {
          withheld = 1;
          break;
        }
        if (chunk[i + 1] === LF) {
          i += 2;
          line = i;
          place = "start";
          continue;
        }
      } else if (octet === LF) {
        if (this.#reject) fail("bare-newline", i);
        out?.insert(i, CR);
        i++;
        line = i;
        place = "soft-start";
        continue;
      } else if (octet !== NUL) {
        i++;
        continue;
      }
      if (this.#reject) fail("bare-newline", i);
      else if (i - line >= longest) fail("long-line", i);
      out?.replace(i, SPACE);
      i++;
    }

    if (out !== undefined) content = out.finish(i);
    this.plainSize += content.length - stuffed;
    this.#place = place;
    this.#length = i - line;
    if (withheld > 0) this.#withheld = new Uint8Array(chunk.subarray(i, i + withheld));
    this.at = this.ended ? i + 3 : i + withheld;
    if (!dots) {
      this.#left -= this.at - from;
      this.ended = this.#left === 0;
    }
    return content;
  }
}
