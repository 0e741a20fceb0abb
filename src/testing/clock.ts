/**
 * A clock that stands still until it is told to go: for plugins (`edge.clock`), state and budgets alike.
 * @module
 */
import type * as Clock from "effect/Clock";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";

/** A clock that a test holds. */
export interface FakeClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Goes on so many milliseconds; what falls due on the way happens, in order. Resolves when nothing is left to do at that time. */
  advance(ms: number): Promise<void>;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** The fake clock, as Effect wants it too. */
export class ManualClock implements FakeClock, Clock.Clock {
  #now: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(start: number) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turn();
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.at > end) break;
      this.#now = Math.max(this.#now, next.at);
      this.#sleepers.delete(next);
      next.wake();
      await turn();
    }
    this.#now = end;
    await turn();
  }

  #next(): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (next === undefined || sleeper.at < next.at) next = sleeper;
    }
    return next;
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    if (Duration.toMillis(duration) <= 0) return Effect.yieldNow;
    return Effect.callback<void>((resume) => {
      const at = this.#now + Duration.toMillis(duration);
      const sleeper = { at, wake: () => resume(Effect.void) };
      this.#sleepers.add(sleeper);
      return Effect.sync(() => void this.#sleepers.delete(sleeper));
    });
  }

  /** Sleepers that have not been woken: timers that something left behind. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  currentTimeMillisUnsafe(): number {
    return this.#now;
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.trunc(this.#now)) * 1_000_000n;
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe();
  }
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.#now);
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() =>
    this.currentTimeNanosUnsafe()
  );
  readonly monotonicTimeNanos: Effect.Effect<bigint> = Effect.sync(() =>
    this.currentTimeNanosUnsafe()
  );
}

/** One turn of the event loop: every microtask, and what the Effect scheduler has put off. */
async function turn(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}
