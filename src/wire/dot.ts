/**
 * Dot transparency (RFC 5321 section 4.5.2): between the *wire form* of content (dots stuffed) and its *plain form*.
 *
 * Owns: where in a line the last chunk ended.
 * Never: ends a message by itself, touches a line end, allocates per line, copies a chunk it has nothing to change in.
 * A line starts at the beginning of the message and after CRLF, nowhere else: content comes here in canonical form, as the
 * receiver gives it.
 * @module
 */

import { CR, DOT, LF, nextControl, Splice, viewOf } from "./bytes.ts";

/** In a line, behind a CR, at the start of a line. */
type Place = "line" | "cr" | "start";

/** Walks over `chunk`, edits every dot that starts a line, and tells where the chunk ends. */
function editDots(chunk: Uint8Array, from: Place, edit: (at: number) => void): Place {
  const end = chunk.length;
  const view = viewOf(chunk);
  let place = from;
  let i = 0;
  while (i < end) {
    if (place === "cr" && chunk[i] === LF) {
      place = "start";
      i++;
      continue;
    }
    if (place === "start" && chunk[i] === DOT) edit(i++);
    i = nextControl(view, i, end);
    place = i < end && chunk[i] === CR ? "cr" : "line";
    i++;
  }
  return place;
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
