/**
 * Transfer encodings and character sets (RFC 2045 section 6) undone, for text that rules and classifier read.
 *
 * Never fails: what is broken is passed over, and told where it says something. One pass, linear.
 * @module
 */

/** Decoded octets, and whether the encoding was broken. */
export interface Decoded {
  readonly octets: Uint8Array;
  readonly broken: boolean;
}

const LF = 10;
const CR = 13;
const EQUALS = 61;

const hex = new Int8Array(256).fill(-1);
for (let i = 0; i < 16; i++) {
  hex[i.toString(16).charCodeAt(0)] = i;
  hex[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}

const sixBits = new Int8Array(256).fill(-1);
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].forEach((char, i) => {
  sixBits[char.charCodeAt(0)] = i;
});

/** Undoes an encoding; `7bit`, `8bit`, `binary` and unknown ones are passed on as they are. */
export function undo(encoding: string, octets: Uint8Array): Decoded {
  if (encoding === "quoted-printable") return unquoted(octets);
  if (encoding === "base64") return unbase64(octets);
  return { octets, broken: false };
}

function unquoted(octets: Uint8Array): Decoded {
  let at = octets.indexOf(EQUALS);
  if (at < 0) return { octets, broken: false };
  const out = new Uint8Array(octets.length);
  let length = 0;
  let copied = 0;
  let broken = false;
  for (; at >= 0; at = octets.indexOf(EQUALS, at)) {
    out.set(octets.subarray(copied, at), length);
    length += at - copied;
    const next = octets[at + 1];
    if (next === LF) at += 2;
    else if (next === CR && octets[at + 2] === LF) at += 3;
    else {
      const high = hex[next ?? 0]!;
      const low = hex[octets[at + 2] ?? 0]!;
      if (high >= 0 && low >= 0) {
        out[length++] = high * 16 + low;
        at += 3;
      } else {
        // The end may be cut off: that is ours.
        if (at + 2 < octets.length) broken = true;
        out[length++] = EQUALS;
        at += 1;
      }
    }
    copied = at;
  }
  out.set(octets.subarray(copied), length);
  length += octets.length - copied;
  return { octets: out.subarray(0, length), broken };
}

function unbase64(octets: Uint8Array): Decoded {
  const out = new Uint8Array(Math.ceil(octets.length * 3 / 4));
  let length = 0;
  let bits = 0;
  let held = 0;
  let broken = false;
  for (let i = 0; i < octets.length; i++) {
    const octet = octets[i]!;
    const value = sixBits[octet]!;
    if (value < 0) {
      if (octet !== LF && octet !== CR && octet !== EQUALS && octet !== 32 && octet !== 9) {
        broken = true;
      }
      continue;
    }
    held = held << 6 | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[length++] = held >> bits & 255;
      held &= 255;
    }
  }
  return { octets: out.subarray(0, length), broken };
}

/** Whether every octet is US-ASCII; four at a time, for it is asked of every text. */
export function isAscii(octets: Uint8Array): boolean {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  const whole = octets.length & ~3;
  for (let i = 0; i < whole; i += 4) if ((view.getUint32(i) & 0x80808080) !== 0) return false;
  for (let i = whole; i < octets.length; i++) if (octets[i]! > 127) return false;
  return true;
}

/** Decoders by label; the labels come from strangers, so only some are kept. */
const decoders = new Map<string, TextDecoder | undefined>();
const mostDecoders = 64;
const utf8 = new TextDecoder();

function decoder(charset: string): TextDecoder | undefined {
  if (decoders.has(charset)) return decoders.get(charset);
  let found: TextDecoder | undefined;
  try {
    found = new TextDecoder(charset);
  } catch {
    found = undefined;
  }
  if (decoders.size < mostDecoders) decoders.set(charset, found);
  return found;
}

/** Whether the character set has a name that can be decoded. None told is US-ASCII. */
export function isCharset(charset: string): boolean {
  return charset === "" || decoder(charset) !== undefined;
}

/** Text of octets in a character set; UTF-8 where that has no name we know. */
export function toText(charset: string, octets: Uint8Array): string {
  return (charset === "" ? utf8 : decoder(charset) ?? utf8).decode(octets);
}
