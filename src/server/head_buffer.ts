/**
 * A header block that comes in pieces: one array of all of it, in linear time however small the pieces are (R33).
 * @module
 */

/** Grows by doubling; a block that comes in one chunk is that chunk, not a copy. */
export class HeadBuffer {
  #bytes: Uint8Array = new Uint8Array(0);
  #size = 0;

  /** All octets so far. A view: the next `push` may leave it behind, but never changes it. */
  get octets(): Uint8Array {
    return this.#size === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#size);
  }

  /** Adds a chunk; gives all octets so far. */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#size === 0) {
      this.#bytes = chunk;
      this.#size = chunk.length;
      return chunk;
    }
    const size = this.#size + chunk.length;
    if (size > this.#bytes.length) {
      const larger = new Uint8Array(2 * size);
      larger.set(this.octets);
      this.#bytes = larger;
    }
    this.#bytes.set(chunk, this.#size);
    this.#size = size;
    return this.octets;
  }
}
