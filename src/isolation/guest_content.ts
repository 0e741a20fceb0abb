/**
 * The content inside a worker, as one scanner reads it: chunks as they come, and word back of what has been read, so
 * that the host sends no more than a window ahead.
 * @module
 */

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

interface Waiting {
  readonly resolve: (result: IteratorResult<Uint8Array, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

/** One scanner's content. */
export class ContentIn implements AsyncIterable<Uint8Array> {
  #chunks: Uint8Array[] = [];
  #state: "open" | "ended" | "broken" | "left" = "open";
  #reason = "";
  #waiting: Waiting[] = [];
  #taken = false;
  readonly #read: (octets: number) => void;
  readonly #left: () => void;

  /** `read`: so many octets have been taken; `left`: no more is wanted. */
  constructor(read: (octets: number) => void, left: () => void) {
    this.#read = read;
    this.#left = left;
  }

  push(chunk: Uint8Array): void {
    if (this.#state !== "open") return;
    const reader = this.#waiting.shift();
    if (reader === undefined) {
      this.#chunks.push(chunk);
      return;
    }
    reader.resolve({ done: false, value: chunk });
    this.#read(chunk.length);
  }

  end(broken: string | undefined): void {
    if (this.#state === "left" || this.#state === "broken") return;
    this.#state = broken === undefined ? "ended" : "broken";
    this.#reason = broken ?? "";
    if (broken !== undefined) this.#chunks = [];
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (broken === undefined) resolve(DONE);
      else reject(this.#error());
    }
  }

  /** Nobody reads any more. */
  leave(): void {
    if (this.#state === "left" || this.#state === "broken") return;
    if (this.#state === "open") this.#left();
    this.#state = "left";
    this.#chunks = [];
    for (const { resolve } of this.#waiting.splice(0)) resolve(DONE);
  }

  #error(): DOMException {
    return new DOMException(this.#reason, "AbortError");
  }

  #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#read(chunk.length);
      return Promise.resolve({ done: false, value: chunk });
    }
    if (this.#state === "broken") return Promise.reject(this.#error());
    if (this.#state !== "open") return Promise.resolve(DONE);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (this.#taken) throw new TypeError("The content can be read once");
    this.#taken = true;
    return {
      next: () => {
        const result = this.#next();
        // A reader that has stopped listening must not make the break a stray failure.
        result.catch(() => {});
        return result;
      },
      return: () => {
        this.leave();
        return Promise.resolve(DONE);
      },
    };
  }
}
