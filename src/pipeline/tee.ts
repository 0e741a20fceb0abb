/**
 * A bounded tee: the content as one scanner reads it.
 *
 * Owns copies of the chunks, at most about {@linkcode TEE_LIMIT} octets of them unread. A reader that stops is dropped,
 * a content that is broken off ends in an error: a scanner never takes half a message for a whole one.
 * @module
 */

/** Unread octets at which a tee is full. One more chunk may be in it. */
export const TEE_LIMIT: number = 128 * 1024;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

interface Waiting {
  readonly resolve: (result: IteratorResult<Uint8Array, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

/** One scanner's end of the content. */
export class Tee implements AsyncIterable<Uint8Array> {
  #queue: Uint8Array[] = [];
  #head = 0;
  #unread = 0;
  #state: "open" | "ended" | "broken" | "dropped" = "open";
  #reason: unknown;
  #taken = false;
  #waiting: Waiting[] = [];
  /** Told once there is room again, or no reader any more. */
  roomy: (() => void) | undefined = undefined;

  /** True: give it no more until there is room. */
  get full(): boolean {
    return this.#unread >= TEE_LIMIT;
  }

  /** Takes a copy: the reader may keep and change it. */
  push(chunk: Uint8Array): void {
    if (this.#state !== "open" || chunk.length === 0) return;
    const copy = new Uint8Array(chunk);
    const reader = this.#waiting.shift();
    if (reader !== undefined) return reader.resolve({ done: false, value: copy });
    this.#queue.push(copy);
    this.#unread += copy.length;
  }

  /** The content is complete. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    for (const reader of this.#waiting.splice(0)) reader.resolve(DONE);
  }

  /** The content is broken off. */
  break(reason: unknown): void {
    if (this.#state !== "open" && this.#state !== "ended") return;
    this.#state = "broken";
    this.#reason = reason;
    this.#forget();
    for (const reader of this.#waiting.splice(0)) reader.reject(reason);
  }

  /** Nobody reads any more. */
  drop(): void {
    if (this.#state === "dropped" || this.#state === "broken") return;
    this.#state = "dropped";
    this.#forget();
    for (const reader of this.#waiting.splice(0)) reader.resolve(DONE);
  }

  #forget(): void {
    this.#queue = [];
    this.#head = 0;
    this.#unread = 0;
    this.#room();
  }

  #room(): void {
    if (this.#unread > TEE_LIMIT / 2) return;
    const roomy = this.roomy;
    this.roomy = undefined;
    roomy?.();
  }

  #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const chunk = this.#queue[this.#head];
    if (chunk !== undefined) {
      if (++this.#head === this.#queue.length) {
        this.#queue = [];
        this.#head = 0;
      }
      this.#unread -= chunk.length;
      this.#room();
      return Promise.resolve({ done: false, value: chunk });
    }
    if (this.#state === "broken") return Promise.reject(this.#reason);
    if (this.#state !== "open") return Promise.resolve(DONE);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** A reader that has stopped listening must not make the break an unhandled rejection. */
  #read(): Promise<IteratorResult<Uint8Array, undefined>> {
    const result = this.#next();
    result.catch(() => {});
    return result;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (this.#taken) throw new TypeError("The content can be read once");
    this.#taken = true;
    return {
      next: () => this.#read(),
      return: () => {
        this.drop();
        return Promise.resolve(DONE);
      },
    };
  }
}
