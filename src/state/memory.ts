/**
 * Shared state in memory: sliding windows, token buckets, seen-sets, values and counters, each with expiry.
 *
 * Owns at most `maxEntries` keys; when full, the one not used for longest goes (R29). No timers: what has expired is
 * dropped when it is met, and a few of the oldest are looked at on every insertion. Every call is synchronous, so
 * takes are exact under concurrency. Nothing survives a restart.
 * @module
 */
import {
  allHaveRoom,
  checkKey,
  checkRequest,
  checkRequests,
  checkValue,
  type Limited,
  look,
  positive,
  type Take,
  take,
  type TakeRequest,
  untaken,
} from "./limits.ts";

export type { Take, TakeRequest } from "./limits.ts";

/** The plugin door's `PluginState`, all of it synchronous. */
export interface MemoryState {
  window(key: string, amount: number, limit: number, window: number): Take;
  bucket(key: string, amount: number, capacity: number, refill: number, per: number): Take;
  takeAll(requests: readonly TakeRequest[]): readonly Take[];
  /** The key's time runs from its first addition; asking again does not prolong it. */
  seen(key: string, ttl: number): boolean;
  get(key: string): string | undefined;
  set(key: string, value: string, ttl: number): void;
  add(key: string, by: number, ttl: number): number;
  /** Forgets everything under this key: windows, bucket, seen, value and counter. */
  delete(key: string): void;
  /** Keys held. */
  readonly size: number;
}

/** Settings of {@linkcode memoryState}. */
export interface MemoryStateOptions {
  readonly clock: { now(): number };
  /** Default 100,000. */
  readonly maxEntries?: number;
}

/** One key: each kind of state has its own place, so that a window and a counter of one name do not meet. */
interface Entry extends Limited {
  seenUntil?: number;
  value?: { readonly text: string; readonly until: number };
  counter?: { sum: number; readonly until: number };
}

/** Oldest keys looked at on every insertion. */
const SWEEP = 4;

/** Makes a store. */
export function memoryState(options: MemoryStateOptions): MemoryState {
  return new Memory(options.clock, options.maxEntries ?? 100_000);
}

class Memory implements MemoryState {
  readonly #clock: { now(): number };
  readonly #max: number;
  /** In order of use: the first was not used for longest. */
  readonly #entries = new Map<string, Entry>();

  constructor(clock: { now(): number }, max: number) {
    positive(max, "maxEntries");
    this.#clock = clock;
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  window(key: string, amount: number, limit: number, window: number): Take {
    return this.#take({ kind: "window", key, amount, limit, window });
  }

  bucket(key: string, amount: number, capacity: number, refill: number, per: number): Take {
    return this.#take({ kind: "bucket", key, amount, capacity, refill, per });
  }

  takeAll(requests: readonly TakeRequest[]): readonly Take[] {
    checkRequests(requests);
    const now = this.#clock.now();
    const entries = requests.map(({ key }) => this.#touch(key, now));
    const answers = requests.map((request, i) => look(entries[i]!, request, now));
    if (!allHaveRoom(answers, requests)) return untaken(answers, requests);
    for (let i = 0; i < requests.length; i++) {
      if (!answers[i]!.taken) continue;
      take(entries[i]!, requests[i]!, now);
      // An empty one is as good as none, and may have made room for the next.
      this.#entries.set(requests[i]!.key, entries[i]!);
    }
    return answers;
  }

  #take(request: TakeRequest): Take {
    checkRequest(request);
    const now = this.#clock.now();
    const entry = this.#touch(request.key, now);
    const answer = look(entry, request, now);
    if (answer.taken) take(entry, request, now);
    return answer;
  }

  seen(key: string, ttl: number): boolean {
    positive(ttl, "ttl");
    const now = this.#clock.now();
    const entry = this.#touch(key, now);
    if (entry.seenUntil !== undefined && entry.seenUntil > now) return true;
    entry.seenUntil = now + ttl;
    return false;
  }

  get(key: string): string | undefined {
    const value = this.#entries.get(key)?.value;
    if (value === undefined || value.until <= this.#clock.now()) return undefined;
    return this.#touch(key, this.#clock.now()).value?.text;
  }

  set(key: string, value: string, ttl: number): void {
    positive(ttl, "ttl");
    checkValue(value);
    const now = this.#clock.now();
    this.#touch(key, now).value = { text: value, until: now + ttl };
  }

  add(key: string, by: number, ttl: number): number {
    positive(ttl, "ttl");
    if (!Number.isFinite(by)) throw new TypeError("by is not a finite number");
    const now = this.#clock.now();
    const entry = this.#touch(key, now);
    if (entry.counter === undefined || entry.counter.until <= now) {
      entry.counter = { sum: 0, until: now + ttl };
    }
    entry.counter.sum += by;
    return entry.counter.sum;
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** The entry, now the one used last; a new one may cost an old one its place. */
  #touch(key: string, now: number): Entry {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    checkKey(key);
    this.#makeRoom(now);
    const fresh: Entry = {};
    this.#entries.set(key, fresh);
    return fresh;
  }

  #makeRoom(now: number): void {
    let looked = 0;
    for (const [key, entry] of this.#entries) {
      if (looked++ >= SWEEP) break;
      if (expiry(entry) <= now) this.#entries.delete(key);
    }
    for (const key of this.#entries.keys()) {
      if (this.#entries.size < this.#max) break;
      this.#entries.delete(key);
    }
  }
}

/** When nothing of an entry counts any more: a full bucket and an empty window are as good as none. */
function expiry({ window, fixed, bucket, seenUntil, value, counter }: Entry): number {
  return Math.max(
    window?.expiresAt ?? -Infinity,
    fixed === undefined ? -Infinity : fixed.start + fixed.length,
    bucket?.fullAt ?? -Infinity,
    seenUntil ?? -Infinity,
    value?.until ?? -Infinity,
    counter?.until ?? -Infinity,
  );
}
