/**
 * Where the fields of a header block stand (RFC 5322 sections 2.1, 2.2 and 3.6.8), and what their values are.
 *
 * Only CRLF ends a line. Lines that are no field are kept as what they are: octets.
 * Never: changes an octet, throws on input; time is linear in the block.
 * @module
 */

/** One field, or one run of lines that is none. Offsets into the block. */
export interface Part {
  readonly start: number;
  /** Behind the CRLF of its last line. */
  readonly end: number;
  /** Behind the last character of the name; `start` for what is no field. */
  readonly nameEnd: number;
  /** Behind the colon. */
  readonly valueStart: number;
  /** As written; `""` for what is no field. */
  readonly name: string;
  /** The name in lower case: two fields of one name have one key. */
  readonly key: string;
}

/** How a block begins. */
export interface Head {
  /** Octets of a leading mbox `From ` line; fields begin behind it. */
  readonly top: number;
  /** The text begins without any field: all of it is body (see {@linkcode readHead}). */
  readonly headless: boolean;
}

const LF = 10;
const CR = 13;
const COLON = 58;
// `ignoreBOM`: a leading U+FEFF is part of the value.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The offset behind the empty line that ends the header, -1 when there is none yet. A block that starts with CRLF has no
 * fields and ends there. `from` is how much was searched already, so that a growing block is read once.
 */
export function findHeaderEnd(bytes: Uint8Array, from: number): number {
  if (isCrlf(bytes, 0)) return 2;
  let at = Math.max(3, from);
  while ((at = bytes.indexOf(LF, at)) >= 0) {
    if (isCrlf(bytes, at - 1) && isCrlf(bytes, at - 3)) return at + 1;
    at++;
  }
  return -1;
}

/** A field's value on one line (RFC 5322 section 2.2.3): line ends before white space are taken out, a stray CR or LF becomes a space. */
export function unfold(value: string): string {
  return value.includes("\n") || value.includes("\r")
    ? value.replace(/\r\n(?=[ \t])/g, "").replace(/[\r\n]/g, " ")
    : value;
}

/**
 * How the block begins. A first line that is neither empty nor a field makes the text headless: Postfix (and the RFC's
 * grammar) takes all of it for the body, and a first line that begins with white space would even become part of a
 * field put above it. The mbox `From ` line is the exception that Postfix makes too.
 */
export function readHead(block: Uint8Array): Head {
  const top = isMboxLine(block) ? lineEnd(block, 0) : 0;
  const headless = top < block.length && !isCrlf(block, top) && nameLength(block, top) === 0;
  return { top, headless };
}

/** Whether nothing of the text is header, however long one waits; undefined until its first line is there. */
export function isHeadless(bytes: Uint8Array): boolean | undefined {
  const { top, headless } = readHead(bytes);
  return bytes.indexOf(LF, top) < 0 ? undefined : headless;
}

/** The parts between the head and the empty line, top to bottom; none in a headless text. */
export function readParts(block: Uint8Array, { top, headless }: Head): Part[] {
  const parts: Part[] = [];
  let at = headless ? block.length : top;
  while (at < block.length && !isCrlf(block, at)) {
    let end = lineEnd(block, at);
    while (isBlank(block[end])) end = lineEnd(block, end);
    const length = nameLength(block, at);
    const nameEnd = at + length;
    const name = decoder.decode(block.subarray(at, nameEnd));
    const valueStart = length === 0 ? at : block.indexOf(COLON, nameEnd) + 1;
    parts.push({ start: at, end, nameEnd, valueStart, name, key: name.toLowerCase() });
    at = end;
  }
  return parts;
}

/** A part's unfolded value without leading white space and without the final line end. */
export function readValue(block: Uint8Array, part: Part): string {
  let start = part.valueStart;
  const end = isCrlf(block, part.end - 2) ? part.end - 2 : part.end;
  while (start < end && isBlank(block[start])) start++;
  return unfold(decoder.decode(block.subarray(start, end))).replace(/^[ \t]+/, "");
}

/** Counts the fields of one name without building them. */
export function countFields(block: Uint8Array, { top, headless }: Head, name: string): number {
  const key = name.toLowerCase();
  let count = 0;
  let at = headless ? block.length : top;
  while (at < block.length && !isCrlf(block, at)) {
    if (startsWith(block, at, key) && nameLength(block, at) === key.length) count++;
    at = lineEnd(block, at);
  }
  return count;
}

/** Length of the field name at this offset (ftext, RFC 5322 section 3.6.8) when a colon follows, white space between allowed (section 4.5); else 0. */
function nameLength(block: Uint8Array, start: number): number {
  let at = start;
  while (isFtext(block[at])) at++;
  const length = at - start;
  while (isBlank(block[at])) at++;
  return block[at] === COLON ? length : 0;
}

function isMboxLine(block: Uint8Array): boolean {
  let at = 0;
  while (block[at] === 0x3e) at++;
  return [0x46, 0x72, 0x6f, 0x6d, 0x20].every((octet, i) => block[at + i] === octet);
}

/** The offset behind the CRLF that ends the line, or the block's end. */
function lineEnd(block: Uint8Array, from: number): number {
  let at = from;
  while ((at = block.indexOf(LF, at)) >= 0) {
    if (at > from && block[at - 1] === CR) return at + 1;
    at++;
  }
  return block.length;
}

function startsWith(block: Uint8Array, at: number, key: string): boolean {
  for (let i = 0; i < key.length; i++) {
    const octet = block[at + i] ?? 0;
    const lower = octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
    if (lower !== key.charCodeAt(i)) return false;
  }
  return true;
}

function isCrlf(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === CR && bytes[at + 1] === LF;
}

function isBlank(octet: number | undefined): boolean {
  return octet === 0x20 || octet === 0x09;
}

function isFtext(octet: number | undefined): boolean {
  return octet !== undefined && octet > 0x20 && octet < 0x7f && octet !== COLON;
}
