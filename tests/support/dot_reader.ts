/**
 * Where a body ends (RFC 5321 section 4.1.1.4), for test servers. Written apart from `src/wire`, so that the two are
 * judges of each other.
 * @module
 */
import { Buffer } from "node:buffer";

/** Octets of the terminator, seen from the end of a line: the state is how many of them have come. */
const terminator = [0x0d, 0x0a, 0x2e, 0x0d, 0x0a];

/** Takes a body chunk by chunk until CRLF.CRLF. */
export class DotReader {
  /** The end of data has come. */
  done = false;
  /** Octets of the body in wire form, as far as they are known not to be the terminator. */
  octets = 0;
  /** Octets taken, whatever they turn out to be. */
  seen = 0;
  readonly #take: (octets: Uint8Array) => void;
  /** The body begins as if a line had ended before it. */
  #matched = 2;
  /** Octets held back because they may be the dot and its line end. */
  #heldBack = 0;

  /** `take` is given the body in wire form, without the terminator. */
  constructor(take: (octets: Uint8Array) => void) {
    this.#take = take;
  }

  /** Takes a chunk; once the end has come, what follows it, else undefined. */
  push(chunk: Buffer): Buffer | undefined {
    const held = Buffer.from(terminator.slice(2, 2 + this.#heldBack));
    const all = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    let at = held.length;
    while (at < all.length && !this.done) {
      const octet = all[at++];
      if (octet === terminator[this.#matched]) this.#matched++;
      else this.#matched = octet === 0x0d ? 1 : 0;
      // The CRLF of a line that is not the dot's own may begin the next terminator.
      if (this.#matched === terminator.length) this.done = true;
    }
    this.seen += chunk.length - (all.length - at);
    this.#heldBack = this.done ? 3 : Math.max(0, this.#matched - 2);
    const body = all.subarray(0, at - this.#heldBack);
    this.octets += body.length;
    if (body.length > 0) this.#take(body);
    return this.done ? all.subarray(at) : undefined;
  }
}

/** Content without its transparency dots (RFC 5321 section 4.5.2). */
export function unstuffed(wire: Uint8Array): Uint8Array {
  const plain = new Uint8Array(wire.length);
  let count = 0;
  for (let i = 0; i < wire.length; i++) {
    const lineStart = i === 0 || (wire[i - 1] === 0x0a && wire[i - 2] === 0x0d);
    if (wire[i] === 0x2e && lineStart) continue;
    plain[count++] = wire[i] ?? 0;
  }
  return plain.subarray(0, count);
}

/** Content with its transparency dots, and the terminator behind it. */
export function stuffed(content: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  const dot = Buffer.from(".");
  let from = 0;
  for (let i = 0; i < content.length; i++) {
    const lineStart = i === 0 || (content[i - 1] === 0x0a && content[i - 2] === 0x0d);
    if (content[i] !== 0x2e || !lineStart) continue;
    parts.push(content.subarray(from, i), dot);
    from = i;
  }
  parts.push(content.subarray(from));
  const last = content.length;
  const whole = last === 0 || (content[last - 1] === 0x0a && content[last - 2] === 0x0d);
  return Buffer.concat([...parts, Buffer.from(whole ? ".\r\n" : "\r\n.\r\n")]);
}
