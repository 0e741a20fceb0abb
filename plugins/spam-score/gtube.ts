/**
 * The test string for spam filters, found in a body that comes in chunks of any size.
 *
 * Horspool's search: it steps over the whole length of the string where the octet under its end does not occur in it, so
 * most octets are never looked at. Compares backwards only under the string's last letter, which stands in it twice: the
 * cost stays linear whatever is sent. Keeps at most 67 octets between chunks.
 * @module
 */

/** In parts, so that this file is not taken for spam. */
export const testString = [
  "XJS*C4JDBQADN1.NSBN3*2IDNEN*",
  "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL",
  "*C.34X",
]
  .join("");

const pattern = new TextEncoder().encode(testString);
const last = pattern.length - 1;
const shift = new Uint8Array(256).fill(pattern.length);
for (let i = 0; i < last; i++) shift[pattern[i]!] = last - i;

/** Octets of a body that are looked at: a filter's test is short, a large body is not one. */
const deepest = 1024 * 1024;

/** Looks for the test string in one body. */
export class TestStringFinder {
  found = false;
  #seen = 0;
  #tail = new Uint8Array(0);

  /** The next octets. They are not kept. */
  feed(chunk: Uint8Array): void {
    if (this.found || this.#seen >= deepest || chunk.length === 0) return;
    this.#seen += chunk.length;
    if (this.#tail.length > 0) {
      // The string may begin in what came before and end in at most its length of this chunk.
      const seam = join(this.#tail, chunk.subarray(0, last));
      if (contains(seam)) this.found = true;
      this.#tail = seam.length === this.#tail.length + chunk.length
        ? seam.slice(-last)
        : chunk.slice(-last);
      if (chunk.length <= last) return;
    } else {
      this.#tail = chunk.slice(-last);
    }
    if (!this.found) this.found = contains(chunk);
  }
}

function contains(octets: Uint8Array): boolean {
  for (let end = last; end < octets.length; end += shift[octets[end]!]!) {
    let i = last;
    while (octets[end - last + i] === pattern[i]) {
      if (i === 0) return true;
      i--;
    }
  }
  return false;
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
