/**
 * Dot transparency (RFC 5321 section 4.5.2): between the *wire form* of content (dots stuffed) and its *plain form*.
 *
 * Owns: where in a line the last chunk ended.
 * Never: ends a message by itself, touches a line end, allocates per line, copies a chunk it has nothing to change in.
 * A line starts at the beginning of the message and after CRLF, nowhere else: content comes here in canonical form, as the
 * receiver gives it.
 * @module
 */

import { CR, DOT, LF, Splice } from "./bytes.ts";

/** In a line, behind a CR, at the start of a line. */
type Place = "line" | "cr" | "start";

/**
 * Edits every dot of `chunk` that starts a line, and tells where the chunk ends. From dot to dot by the runtime's own search:
 * text has few of them, and this walk is made for every message whose body a policy sees.
 */
function editDots(chunk: Uint8Array, from: Place, edit: (at: number) => void): Place {
  const end = chunk.length;
  if (end === 0) return from;
  for (let i = chunk.indexOf(DOT); i >= 0;) {
    if (startsLine(chunk, i, from)) edit(i);
    i = chunk[i + 1] === DOT ? i + 1 : chunk.indexOf(DOT, i + 1);
  }
  if (startsLine(chunk, end, from)) return "start";
  return chunk[end - 1] === CR ? "cr" : "line";
}

/** Whether a line starts at `at`; `from` is where the chunk before has ended. */
function startsLine(chunk: Uint8Array, at: number, from: Place): boolean {
  if (at === 0) return from === "start";
  return chunk[at - 1] === LF && (at === 1 ? from === "cr" : chunk[at - 2] === CR);
}

/** Takes the transparency dots out of one message: wire form in, plain form out. */
export class Unstuffer {
  #place: Place = "start";

  /** The next chunk in plain form: the same array if there was nothing to take out, possibly empty. */
  push(chunk: Uint8Array): Uint8Array {
    const out = new Splice(chunk, 0);
    this.#place = editDots(chunk, this.#place, (at) => out.remove(at));
    return out.finish(chunk.length);
  }
}

/** Puts transparency dots into one message: plain form in, wire form out. */
export class Stuffer {
  #place: Place = "start";

  /** The next chunk in wire form: the same array if there was nothing to put in. */
  push(chunk: Uint8Array): Uint8Array {
    const out = new Splice(chunk, 0);
    this.#place = editDots(chunk, this.#place, (at) => out.insert(at, DOT));
    return out.finish(chunk.length);
  }

  /** What ends the message: `.` CRLF, with a CRLF before it if the last line has none. Then the stuffer is as new. */
  terminator(): Uint8Array {
    const whole = this.#place === "start";
    this.#place = "start";
    return Uint8Array.of(...(whole ? [] : [CR, LF]), DOT, CR, LF);
  }
}

/** A whole message in wire form, without the terminator: the same array if there was nothing to put in. */
export function stuff(bytes: Uint8Array): Uint8Array {
  return new Stuffer().push(bytes);
}

/** A whole message, without the terminator, in plain form: the same array if there was nothing to take out. */
export function unstuff(bytes: Uint8Array): Uint8Array {
  return new Unstuffer().push(bytes);
}
