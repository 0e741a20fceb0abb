/**
 * Command and SASL lines (RFC 5321 sections 2.3.8 and 4.5.3.1.4): octets in, one line or one fault out.
 *
 * Owns: the part of a line that has arrived, never more than the limit.
 * Never: ends a command at anything but CRLF, executes what shares a CRLF-ended line with a bare LF, throws on input.
 *
 * A fault is told once per line, at its end, and the line is gone then. The end is CRLF, with one exception: a bare LF has its
 * fault told at once, so that a client which only knows LF gets a refusal for each of its lines and does not wait for ever.
 * What follows that LF, up to the next CRLF, is swallowed and never a command (it would be the smuggled one); a further bare
 * LF in it is told again, its CRLF is not.
 * @module
 */

import { asciiText, CR, LF, NUL, printable, utf8Text } from "./bytes.ts";

/** Why a line is no command. The first fault of a line is the one told. */
export type LineFault = "bare-lf" | "bare-cr" | "nul" | "too-long" | "not-utf8";

/** What a line turned out to be. */
export type LineEvent =
  | {
    readonly event: "line";
    /** The line without its CRLF. */
    readonly text: string;
  }
  | {
    readonly event: "line-fault";
    readonly fault: LineFault;
    /** At most 64 characters of the line from before the fault, printable ASCII, `?` for anything else. */
    readonly start: string;
  };

const START = 64;
/** `auth ` */
const AUTH: readonly number[] = [0x61, 0x75, 0x74, 0x68, 0x20];
const NONE: Uint8Array = new Uint8Array(0);

/** Assembles lines from chunks. */
export class Lines {
  /** Octets a line may have, CRLF included. */
  limit: number;
  /** Octets an AUTH command may have where that is more: its initial response (RFC 4954 section 4) is as long as a token. */
  readonly #authLimit: number;
  /** Where the last `read` stopped: the first octet it has not consumed. */
  at = 0;

  /** What of the current line came in earlier chunks; a trailing CR is not in it. */
  #part: Uint8Array = NONE;
  #partSize = 0;
  /** The last octet was a CR that may yet begin a CRLF. */
  #cr = false;
  /** All octets of the line or-ed: below 128 it is ASCII. */
  #bits = 0;
  #fault: LineFault | undefined;
  #start = "";
  /** A bare LF was told since the last CRLF. */
  #swallow = false;

  /** Takes the limits in octets, CRLF included. */
  constructor(limit: number, authLimit = 0) {
    this.limit = limit;
    this.#authLimit = authLimit;
  }

  /** Octets held back because their line is not complete. */
  get held(): number {
    return this.#partSize + (this.#cr ? 1 : 0);
  }

  /** Takes back what is held and forgets the line. */
  takeHeld(): Uint8Array {
    const held = new Uint8Array(this.held);
    held.set(this.#part.subarray(0, this.#partSize));
    if (this.#cr) held[this.#partSize] = CR;
    this.#cr = false;
    this.#swallow = false;
    this.#reset();
    return held;
  }

  /** Reads from `from`: an event, or undefined if the chunk ended before the line did. */
  read(chunk: Uint8Array, from: number): LineEvent | undefined {
    const end = chunk.length;
    let most = this.limit - 2;
    let begin = from;
    let length = this.#partSize;
    let cr = this.#cr;
    let bits = this.#bits;
    for (let i = from; i < end; i++) {
      const octet = chunk[i]!;
      if (octet > CR && !cr) {
        bits |= octet;
        if (++length > most && length > (most = this.#most(chunk, begin, length))) {
          this.#note("too-long", chunk, begin, length - 1);
        }
        continue;
      }
      if (octet === LF) {
        if (!cr) this.#note("bare-lf", chunk, begin, length);
        const silent = this.#swallow && cr;
        this.#swallow = !cr;
        this.at = i + 1;
        this.#cr = cr = false;
        if (!silent) {
          return this.#fault === undefined
            ? this.#finish(chunk, begin, length, bits)
            : this.#finishFault(this.#fault);
        }
        this.#reset();
        begin = i + 1;
        length = bits = 0;
        most = this.limit - 2;
        continue;
      }
      if (cr) {
        this.#note("bare-cr", chunk, begin, length);
        length++;
      }
      cr = octet === CR;
      if (cr) continue;
      if (octet === NUL) this.#note("nul", chunk, begin, length);
      bits |= octet;
      if (++length > most && length > (most = this.#most(chunk, begin, length))) {
        this.#note("too-long", chunk, begin, length - 1);
      }
    }
    this.at = end;
    this.#cr = cr;
    this.#bits = bits;
    if (this.#fault === undefined) this.#keep(chunk, begin, length);
    return undefined;
  }

  /** What a line that has reached the limit may have: more, where it is an AUTH command. */
  #most(chunk: Uint8Array, begin: number, length: number): number {
    if (this.#authLimit <= this.limit || this.#fault !== undefined || length < AUTH.length) {
      return this.limit - 2;
    }
    for (let i = 0; i < AUTH.length; i++) {
      const octet = i < this.#partSize ? this.#part[i]! : chunk[begin + i - this.#partSize]!;
      // Letters in lower case; the space has that bit already.
      if ((octet | 0x20) !== AUTH[i]) return this.limit - 2;
    }
    return this.#authLimit - 2;
  }

  /** Notes a fault behind `length` octets of the line. Nothing of the line is kept from then on but its start. */
  #note(fault: LineFault, chunk: Uint8Array, begin: number, length: number): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    const old = Math.min(this.#partSize, START);
    const fresh = Math.min(length, START) - old;
    this.#start = printable(this.#part, 0, old) + printable(chunk, begin, begin + fresh);
    this.#part = NONE;
    this.#partSize = 0;
  }

  #keep(chunk: Uint8Array, begin: number, length: number): void {
    if (length > this.#part.length) {
      const most = Math.max(this.limit, this.#authLimit);
      const larger = new Uint8Array(Math.min(Math.max(2 * length, START), most));
      larger.set(this.#part.subarray(0, this.#partSize));
      this.#part = larger;
    }
    this.#part.set(chunk.subarray(begin, begin + length - this.#partSize), this.#partSize);
    this.#partSize = length;
  }

  #finish(chunk: Uint8Array, begin: number, length: number, bits: number): LineEvent {
    let bytes = chunk;
    let from = begin;
    if (this.#partSize > 0) {
      this.#keep(chunk, begin, length);
      bytes = this.#part;
      from = 0;
    }
    this.#reset();
    const text = bits < 128
      ? asciiText(bytes, from, from + length)
      : utf8Text(bytes.subarray(from, from + length));
    if (text !== undefined) return { event: "line", text };
    const start = printable(bytes, from, from + Math.min(length, START));
    return { event: "line-fault", fault: "not-utf8", start };
  }

  #finishFault(fault: LineFault): LineEvent {
    const start = this.#start;
    this.#reset();
    return { event: "line-fault", fault, start };
  }

  #reset(): void {
    this.#part = NONE;
    this.#partSize = 0;
    this.#bits = 0;
    this.#fault = undefined;
    this.#start = "";
  }
}
