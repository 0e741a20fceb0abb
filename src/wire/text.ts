/**
 * Questions about text that every grammar here asks: control characters, octet lengths, UTF-8.
 *
 * Never: throws, allocates for ASCII text.
 * @module
 */

const CONTROL = /[\x00-\x1f\x7f-\x9f]/;
const NON_ASCII = /[^\x00-\x7f]/;
// `ignoreBOM`: a leading U+FEFF is part of the text; dropping it would make two spellings of one value.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** True when the text holds a control character: C0, DEL or C1. */
export function hasControl(text: string): boolean {
  return CONTROL.test(text);
}

/** True when every character is US-ASCII. */
export function isAscii(text: string): boolean {
  return !NON_ASCII.test(text);
}

/** Length in octets of the text's UTF-8 form. */
export function octetLength(text: string): number {
  let octets = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A surrogate pair is four octets in two units; any other unit above U+07FF is three in one.
    octets += unit < 0x800 || (unit & 0xf800) === 0xd800 ? 1 : 2;
  }
  return octets;
}

/** Decodes UTF-8; undefined where the octets are not valid UTF-8. */
export function decodeUtf8(octets: Uint8Array): string | undefined {
  try {
    return utf8.decode(octets);
  } catch {
    return undefined;
  }
}
