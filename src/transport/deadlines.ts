/**
 * Deadlines without a timer each: whoever has one is asked at every tick. A tick is told by the owner of the clock (about
 * twice a second in production, by hand in tests), so a deadline is late by at most one tick and setting one costs nothing.
 * @module
 */

/** Something that may run out of time. */
export interface Deadline {
  /** Milliseconds on the owner's clock; `Infinity`: none. */
  at: number;
  /** The time has come. `at` is `Infinity` already. */
  expired(): void;
}

/** Everything that has a deadline. */
export class Deadlines {
  readonly #all = new Set<Deadline>();
  /** The time of the last tick, in milliseconds. */
  now: number;

  /** Starts at this time. */
  constructor(now: number) {
    this.now = now;
  }

  /** Watches it from now on. */
  add(deadline: Deadline): void {
    this.#all.add(deadline);
  }

  /** Forgets it. */
  delete(deadline: Deadline): void {
    this.#all.delete(deadline);
  }

  /** How many are watched. */
  get size(): number {
    return this.#all.size;
  }

  /** Tells everyone whose time has come. */
  tick(now: number): void {
    this.now = now;
    for (const deadline of this.#all) {
      if (deadline.at <= now) {
        deadline.at = Infinity;
        deadline.expired();
      }
    }
  }
}
