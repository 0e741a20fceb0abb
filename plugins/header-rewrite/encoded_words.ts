/**
 * Encoded words (RFC 2047): a value made readable for patterns, and written again with the words that did not change as
 * they came.
 *
 * Never: splits a character between two words, writes one over 75 octets, decodes what it cannot (that stays as it is).
 * Linear in the value. No library, because none tells where in the value each part of the text stands.
 * @module
 */

/** A part of a value: a run of encoded words, or text as it stands. */
interface Part {
  /** As it stands in the value. */
  readonly raw: string;
  readonly text: string;
  readonly encoded: boolean;
}

/** A readable value. */
export interface Decoded {
  readonly text: string;
  readonly parts: readonly Part[];
}

const WORD = /=\?([A-Za-z0-9_.+-]{1,40})(?:\*[A-Za-z0-9-]{0,40})?\?([bqBQ])\?([^?\s]{0,1000})\?=/g;
const BLANK = /^[ \t]*$/;
/** Octets of one word (section 2). */
const LONGEST = 75;
/** Octets of the first word that are always there, however long the field's name. */
const LEAST = 34;
const encoder = new TextEncoder();

/** Decodes a value. */
export function decodeValue(value: string): Decoded {
  if (!value.includes("=?")) {
    return { text: value, parts: [{ raw: value, text: value, encoded: false }] };
  }
  const parts: Part[] = [];
  let run: Word[] = [];
  let start = 0;
  let end = 0;
  const flush = () => {
    if (run.length > 0) {
      parts.push({ raw: value.slice(start, end), text: textOf(run), encoded: true });
    }
    run = [];
  };
  for (const found of value.matchAll(WORD)) {
    const word = wordOf(found[1]!, found[2]!, found[3]!);
    if (word === undefined) continue;
    const between = value.slice(end, found.index);
    // White space between two encoded words belongs to neither (section 6.2).
    if (run.length === 0 || !BLANK.test(between)) {
      flush();
      if (between !== "") parts.push({ raw: between, text: between, encoded: false });
      start = found.index;
    }
    run.push(word);
    end = found.index + found[0].length;
  }
  flush();
  const rest = value.slice(end);
  if (rest !== "") parts.push({ raw: rest, text: rest, encoded: false });
  return { text: parts.map(({ text }) => text).join(""), parts };
}

interface Word {
  readonly charset: string;
  readonly octets: Uint8Array;
}

function wordOf(charset: string, kind: string, data: string): Word | undefined {
  try {
    const octets = kind === "b" || kind === "B"
      ? Uint8Array.from(atob(data), (char) => char.charCodeAt(0))
      : fromQ(data);
    new TextDecoder(charset);
    return { charset: charset.toLowerCase(), octets };
  } catch {
    return undefined;
  }
}

/** Words of one charset are decoded together: some senders cut a character in two. */
function textOf(words: readonly Word[]): string {
  let text = "";
  for (let i = 0; i < words.length;) {
    const { charset } = words[i]!;
    const decoder = new TextDecoder(charset);
    for (; i < words.length && words[i]!.charset === charset; i++) {
      text += decoder.decode(words[i]!.octets, { stream: true });
    }
    text += decoder.decode();
  }
  // What a field cannot hold: no pattern shall see it, and no edit put it there.
  return text.replace(/[\x00-\x1f\x7f]/g, " ");
}

function fromQ(data: string): Uint8Array {
  const octets: number[] = [];
  for (let i = 0; i < data.length; i++) {
    const hex = data[i] === "=" ? /^[0-9A-Fa-f]{2}/.exec(data.slice(i + 1, i + 3)) : null;
    if (hex !== null) {
      octets.push(parseInt(hex[0], 16));
      i += 2;
    } else {
      octets.push(data[i] === "_" ? 32 : data.charCodeAt(i) & 255);
    }
  }
  return Uint8Array.from(octets);
}

/** How a value is written. */
export interface Writing {
  /** Octets of the field's line before the value. */
  readonly column: number;
  /** The message is SMTPUTF8: text beyond US-ASCII stands as it is. */
  readonly utf8: boolean;
}

/** A new value as a field may hold it: words beyond US-ASCII encoded. */
export function encodeValue(text: string, writing: Writing): string {
  return writing.utf8 || isAscii(text)
    ? text
    : write([{ text, fresh: true, decoded: false }], writing);
}

/** The value of a field whose readable text became `text`: parts that are the same in both stay as they stand. */
export function rewriteValue(before: Decoded, text: string, writing: Writing): string {
  if (text === before.text) return before.parts.map(({ raw }) => raw).join("");
  if (before.parts.every(({ encoded }) => !encoded) && (writing.utf8 || isAscii(text))) return text;
  return write(pieces(before, text), writing);
}

/** What is to be written: a part that stays (`raw`), or text, `fresh` where it was not there before. */
type Piece =
  | { readonly raw: string }
  | { readonly text: string; readonly fresh: boolean; readonly decoded: boolean };

/** The old parts in front of and behind what has changed, and between them what is new. */
function pieces({ text: old, parts }: Decoded, text: string): readonly Piece[] {
  const most = Math.min(old.length, text.length);
  let same = 0;
  while (same < most && old[same] === text[same]) same++;
  if (isSurrogate(old, same - 1)) same--;
  let tail = 0;
  while (tail < most - same && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail++;
  if (isLowSurrogate(old, old.length - tail)) tail--;
  const front: Piece[] = [];
  const back: Piece[] = [];
  let decoded = false;
  let from = same;
  let to = old.length - tail;
  let at = 0;
  for (const part of parts) {
    const end = at + part.text.length;
    if (end <= same) front.push(kept(part));
    else if (at >= old.length - tail) back.push(kept(part));
    else if (part.encoded) {
      // Partly changed: all of it is written anew.
      decoded = true;
      from = Math.min(from, at);
      to = Math.max(to, end);
    } else {
      if (at < same) {
        front.push({ text: part.text.slice(0, same - at), fresh: false, decoded: false });
      }
      if (end > old.length - tail) {
        back.push({ text: part.text.slice(old.length - tail - at), fresh: false, decoded: false });
      }
    }
    at = end;
  }
  const fresh = text.slice(from, text.length - (old.length - to));
  return [...front, { text: fresh, fresh: true, decoded }, ...back];
}

function kept({ raw, text, encoded }: Part): Piece {
  return encoded ? { raw } : { text, fresh: false, decoded: false };
}

/** A word, a run of white space, or encoded words that stay. */
interface Token {
  text: string;
  readonly kind: "word" | "space" | "raw";
  /** Must be encoded. */
  dirty: boolean;
}

/** Characters that mean something where a value has a structure: an encoded word hid them, and shall go on doing so. */
const SPECIAL = /["(),:;<>@[\\\]]|=\?/;

function write(all: readonly Piece[], writing: Writing): string {
  const tokens = tokensOf(all, writing.utf8);
  settle(tokens);
  let out = "";
  for (let i = 0; i < tokens.length;) {
    const token = tokens[i]!;
    if (token.kind === "raw" || !token.dirty) {
      // Two encoded words that have come together need white space between them, which is not read.
      if (token.kind === "raw" && tokens[i - 1]?.kind === "raw") out += " ";
      out += token.text;
      i++;
      continue;
    }
    let run = "";
    for (; i < tokens.length && tokens[i]!.dirty; i++) run += tokens[i]!.text;
    if (out !== "" && !/[ \t]$/.test(out)) out += " ";
    const room = out === "" ? LONGEST + 1 - writing.column : LONGEST;
    out += encodeRun(run, Math.max(LEAST, room));
    if (tokens[i]?.kind === "raw") out += " ";
  }
  return out;
}

function tokensOf(all: readonly Piece[], utf8: boolean): Token[] {
  const tokens: Token[] = [];
  for (const piece of all) {
    if ("raw" in piece) {
      tokens.push({ text: piece.raw, kind: "raw", dirty: false });
      continue;
    }
    for (const text of piece.text.match(/[ \t]+|[^ \t]+/g) ?? []) {
      const kind = text[0] === " " || text[0] === "\t" ? "space" : "word";
      const dirty = piece.fresh && kind === "word" &&
        (!utf8 && !isAscii(text) || piece.decoded && SPECIAL.test(text));
      const last = tokens.at(-1);
      if (last?.kind === kind) {
        last.text += text;
        last.dirty ||= dirty;
      } else tokens.push({ text, kind, dirty });
    }
  }
  return tokens;
}

/** Marks what must be encoded for its neighbours' sake. */
function settle(tokens: Token[]): void {
  const kind = (i: number) => tokens[i]?.kind;
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    // Text that touches an encoded word would make it unreadable (section 5 (1)).
    if (token.kind === "word") token.dirty ||= kind(i - 1) === "raw" || kind(i + 1) === "raw";
  }
  const coded = (i: number) => kind(i) === "raw" || tokens[i]?.dirty === true;
  for (let i = 0; i < tokens.length; i++) {
    // White space between two encoded words is not read: where it means something it is encoded as well.
    if (kind(i) === "space" && coded(i - 1) && coded(i + 1)) tokens[i]!.dirty = true;
  }
}

/** Encoded words for a text, in the shorter of the two encodings. */
function encodeRun(text: string, room: number): string {
  const octets = encoder.encode(text);
  let length = 0;
  for (const octet of octets) length += isPlain(octet) || octet === 32 ? 1 : 3;
  return length <= Math.ceil(octets.length / 3) * 4
    ? inWords(text, room, "Q", toQ)
    : inWords(text, room, "B", (part) => btoa(String.fromCharCode(...encoder.encode(part))));
}

function inWords(
  text: string,
  first: number,
  kind: string,
  encode: (part: string) => string,
): string {
  const words: string[] = [];
  const around = `=?UTF-8?${kind}??=`.length;
  let part = "";
  let octets = 0;
  let room = first - around;
  const flush = () => words.push(`=?UTF-8?${kind}?${encode(part)}?=`);
  for (const char of text) {
    const more = kind === "Q" ? encode(char).length : encoder.encode(char).length;
    const length = kind === "Q" ? octets + more : Math.ceil((octets + more) / 3) * 4;
    if (part !== "" && length > room) {
      flush();
      part = "";
      octets = 0;
      room = LONGEST - around;
    }
    part += char;
    octets += more;
  }
  flush();
  return words.join(" ");
}

function toQ(part: string): string {
  let out = "";
  for (const octet of encoder.encode(part)) {
    if (octet === 32) out += "_";
    else if (isPlain(octet)) out += String.fromCharCode(octet);
    else out += `=${(octet < 16 ? "0" : "") + octet.toString(16).toUpperCase()}`;
  }
  return out;
}

/** Allowed in an encoded word wherever it may stand (section 5 (3)). */
function isPlain(octet: number): boolean {
  return octet >= 0x30 && octet <= 0x39 || octet >= 0x41 && octet <= 0x5a ||
    octet >= 0x61 && octet <= 0x7a || octet === 0x21 || octet === 0x2a || octet === 0x2b ||
    octet === 0x2d || octet === 0x2f;
}

function isAscii(text: string): boolean {
  return !/[^\x00-\x7f]/.test(text);
}

function isSurrogate(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit <= 0xdfff;
}
