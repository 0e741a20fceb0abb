/**
 * Network text made safe to show: in a log line, in a trace, inside a comment of a `Received` field (RFC 5322 section 3.2.2).
 *
 * What comes out is printable US-ASCII without line ends. Everything else, and the backslash itself, is written as `\xNN`
 * for each octet of its UTF-8 form, so two different texts never look the same (unless they were cut).
 * @module
 */

const SAFE = /^[\x20-\x5b\x5d-\x7e]*$/;
const encoder = new TextEncoder();

/** The text with all but printable US-ASCII as `\xNN`, at most `max` characters; what was cut ends in `...`. */
export function printable(text: string, max: number): string {
  return text.length <= max && SAFE.test(text) ? text : escape(text, max, "\\");
}

/** Like {@linkcode printable}, and `(` and `)` are escaped too: the text may stand inside a comment of a header field. */
export function commentText(text: string, max: number): string {
  return escape(text, max, "\\()");
}

function escape(text: string, max: number, special: string): string {
  let out = "";
  // The last position at which the text could be cut and still have room for the mark.
  let cut = 0;
  for (const char of text) {
    const safe = char >= " " && char <= "~" && !special.includes(char);
    const shown = safe ? char : octets(char);
    if (out.length + shown.length > max) return out.slice(0, cut) + "...".slice(0, max);
    out += shown;
    if (out.length <= max - 3) cut = out.length;
  }
  return out;
}

function octets(char: string): string {
  let out = "";
  for (const octet of encoder.encode(char)) {
    out += "\\x" + octet.toString(16).toUpperCase().padStart(2, "0");
  }
  return out;
}
