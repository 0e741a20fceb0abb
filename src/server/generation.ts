/**
 * The sessions of one generation, counted: who has taken its place closes it when the last one has ended.
 * @module
 */
import type { ServerContext } from "./context.ts";

/** One generation. */
export class Generation {
  readonly context: ServerContext;
  #sessions = 0;
  #emptied: (() => void) | undefined;

  /** `make` is given the function that ends a session. */
  constructor(make: (leave: () => void) => ServerContext) {
    this.context = make(() => this.#leave());
  }

  /** A session begins. */
  enter(): void {
    this.#sessions++;
  }

  /** No session begins any more; resolves when none is left. */
  retire(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#sessions === 0) resolve();
      else this.#emptied = resolve;
    });
  }

  #leave(): void {
    this.#sessions--;
    if (this.#sessions === 0) this.#emptied?.();
  }
}
