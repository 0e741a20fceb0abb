/**
 * xtext, the value encoding of DSN parameters and XCLIENT (RFC 3461 section 4): printable US-ASCII without `+` and `=`,
 * everything else as `+HH` with upper-case digits.
 * @module
 */
import { decodeUtf8 } from "./text.ts";

const XTEXT = /^[!-*,-<>-~]*(?:\+[0-9A-F]{2}[!-*,-<>-~]*)*$/;
const encoder = new TextEncoder();

/** True when the text is well-formed xtext (the empty text is). */
export function isXtext(text: string): boolean {
  return XTEXT.test(text);
}

/** The text that xtext stands for, read as UTF-8; undefined when either is malformed. */
export function decodeXtext(text: string): string | undefined {
  if (!isXtext(text)) return undefined;
  if (!text.includes("+")) return text;
  const out = new Uint8Array(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "+") {
      out[length++] = parseInt(text.slice(i + 1, i + 3), 16);
      i += 2;
    } else {
      out[length++] = text.charCodeAt(i);
    }
  }
  return decodeUtf8(out.subarray(0, length));
}

/** The xtext form of a text's UTF-8 octets. */
export function encodeXtext(text: string): string {
  let out = "";
  for (const octet of encoder.encode(text)) {
    const plain = octet > 0x20 && octet < 0x7f && octet !== 0x2b && octet !== 0x3d;
    out += plain
      ? String.fromCharCode(octet)
      : "+" + octet.toString(16).toUpperCase().padStart(2, "0");
  }
  return out;
}
