/**
 * Encoded words (RFC 2047) and parameters (RFC 2231) made readable, for rules that look at names and subjects.
 *
 * Never fails: what cannot be decoded stays as it is. Linear; the input is cut at 2,000 characters.
 * @module
 */

const word = /=\?([A-Za-z0-9_.+-]{1,40})(?:\*[A-Za-z0-9-]{1,40})?\?([bqBQ])\?([^?\s]{0,1000})\?=/g;

/** Text with its encoded words decoded. */
export function decodeWords(text: string): string {
  const short = text.slice(0, 2000);
  if (!short.includes("=?")) return short;
  // White space between two encoded words belongs to neither.
  return short.replace(/\?=[ \t]{1,80}=\?/g, "?==?").replace(word, (whole, charset, kind, data) => {
    try {
      const octets = kind === "b" || kind === "B" ? base64(data) : quoted(data);
      return new TextDecoder(charset).decode(octets);
    } catch {
      return whole;
    }
  });
}

/** `charset'language'percent-encoded` (RFC 2231 section 4) made readable; what cannot be decoded stays as it is. */
export function decodeParameter(text: string): string {
  const [charset, , ...rest] = text.slice(0, 2000).split("'");
  const data = rest.join("'");
  try {
    return new TextDecoder(charset).decode(
      quoted(data.replaceAll("_", "=5F").replaceAll("%", "=")),
    );
  } catch {
    return text;
  }
}

function base64(data: string): Uint8Array {
  return Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
}

function quoted(data: string): Uint8Array {
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
