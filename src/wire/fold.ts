/**
 * A header field from its name and value (RFC 5322 sections 2.1.1, 2.2.3 and 3.6.8).
 * @module
 */
import { MAX_TEXT_LINE } from "./limits.ts";
import { isAscii, octetLength } from "./text.ts";

/** Octets of a line that RFC 5322 section 2.1.1 asks for. */
const WANTED = 78;
/** Octets of a line with encoded words (RFC 2047 section 2). */
const WANTED_ENCODED = 76;
/** No word of a value this long can be too long for a line. */
const SHORT = 900;
const NOT_PRINTABLE = /[^ -~]/;
/** Longest name we write. */
const MAX_NAME = 76;

/**
 * The field's lines with their CRLF, folded at white space to 78 octets where that can be; unfolding gives the value back
 * (leading and trailing white space aside). A name outside the grammar, CR, LF or NUL in the value, and a word that no
 * line may hold throw a `TypeError`.
 */
export function foldField(name: string, value: string): string {
  // An edit is checked when a policy asks for it and written later: the second time it is at hand.
  if (last.name !== name || last.value !== value) last = { name, value, lines: fold(name, value) };
  return last.lines;
}

let last = { name: "", value: "", lines: "" };

function fold(name: string, value: string): string {
  checkName(name);
  // Two questions to nearly every value: the others follow only where it is an odd one.
  const plain = !NOT_PRINTABLE.test(value);
  if (plain && value !== "" && value.length < SHORT && isSpacedOnce(value)) {
    return foldWords(name, value);
  }
  if (/[\r\n\0]/.test(value)) {
    throw new TypeError(`Cannot write header field ${name}: CR, LF or NUL in its value`);
  }
  const ascii = plain || isAscii(value);
  const wanted = wantedOf(value);
  let out = `${name}:`;
  let column = out.length;
  // The first word has room beside the longest name, so a later rename cannot fail.
  let limit = MAX_TEXT_LINE - MAX_NAME + name.length;
  // White space stays in front of its word: no line of white space alone can come of it.
  for (let start = 0, end = 0; start < value.length; start = end) {
    let word = start;
    while (isBlank(value, word)) word++;
    if (word === value.length) break;
    end = word;
    while (end < value.length && !isBlank(value, end)) end++;
    const first = start === 0;
    const text = first ? ` ${value.slice(word, end)}` : value.slice(start, end);
    const octets = ascii ? text.length : octetLength(text);
    if (!first && column + octets > wanted) {
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

function wantedOf(value: string): number {
  return value.includes("=?") ? WANTED_ENCODED : WANTED;
}

/** ASCII words with one space between two of them, none too long for a line: from line end to line end. */
function foldWords(name: string, value: string): string {
  let out = `${name}: `;
  const wanted = wantedOf(value);
  let room = wanted - out.length;
  for (let at = 0;;) {
    if (value.length - at <= room) return `${out}${value.slice(at)}\r\n`;
    let space = value.lastIndexOf(" ", at + room);
    if (space <= at) space = value.indexOf(" ", at + 1);
    if (space < 0) return `${out}${value.slice(at)}\r\n`;
    out += `${value.slice(at, space)}\r\n`;
    at = space;
    room = wanted;
  }
}

/** Words with one space between two of them, none at the ends. */
function isSpacedOnce(value: string): boolean {
  return value.charCodeAt(0) !== 0x20 && value.charCodeAt(value.length - 1) !== 0x20 &&
    !value.includes("  ");
}

function isBlank(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit === 0x20 || unit === 0x09;
}

/** Throws a `TypeError` unless the text is a field name (ftext). */
export function checkName(name: string): void {
  if (name.length > MAX_NAME || !/^[!-9;-~]+$/.test(name)) {
    throw new TypeError("Cannot write header field: bad field name");
  }
}
