/**
 * A header field from its name and value (RFC 5322 sections 2.1.1, 2.2.3 and 3.6.8).
 * @module
 */
import { MAX_TEXT_LINE } from "./limits.ts";
import { isAscii, octetLength } from "./text.ts";

/** Octets of a line that RFC 5322 section 2.1.1 asks for. */
const WANTED = 78;
/** Longest name we write. */
const MAX_NAME = 76;

/**
 * The field's lines with their CRLF, folded at white space to 78 octets where that can be; unfolding gives the value back
 * (leading and trailing white space aside). A name outside the grammar, CR, LF or NUL in the value, and a word that no
 * line may hold throw a `TypeError`.
 */
export function foldField(name: string, value: string): string {
  checkName(name);
  if (/[\r\n\0]/.test(value)) {
    throw new TypeError(`Cannot write header field ${name}: CR, LF or NUL in its value`);
  }
  const ascii = isAscii(value);
  let out = `${name}:`;
  let column = out.length;
  // The first word has room beside the longest name, so a later rename cannot fail.
  let limit = MAX_TEXT_LINE - MAX_NAME + name.length;
  // White space stays in front of its word: no line of white space alone can come of it.
  for (const piece of value.match(/[ \t]*[^ \t]+/g) ?? []) {
    const first = out.length === name.length + 1;
    const text = first ? " " + piece.replace(/^[ \t]+/, "") : piece;
    const octets = ascii ? text.length : octetLength(text);
    if (!first && column + octets > WANTED) {
      out += "\r\n";
      column = 0;
    }
    column += octets;
    if (column > limit) {
      throw new TypeError(`Cannot write header field ${name}: a word is too long for a line`);
    }
    limit = MAX_TEXT_LINE;
    out += text;
  }
  return out + "\r\n";
}

/** Throws a `TypeError` unless the text is a field name (ftext). */
export function checkName(name: string): void {
  if (name.length > MAX_NAME || !/^[!-9;-~]+$/.test(name)) {
    throw new TypeError("Cannot write header field: bad field name");
  }
}
