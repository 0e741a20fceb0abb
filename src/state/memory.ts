/**
 * Shared state in memory: sliding windows, token buckets, seen-sets, values and counters, each with expiry.
 *
 * Owns at most `maxEntries` keys; when full, the one not used for longest goes (R29). No timers: what has expired is
 * dropped when it is met, and a few of the oldest are looked at on every insertion. Every call is synchronous, so
 * takes are exact under concurrency. Nothing survives a restart.
 * @module
 */
import { WindowLog } from "./window_log.ts";

/** A window's or bucket's answer; the same as the plugin door's `Take`. */
export interface Take {
  /** Whether the amount was taken; when false, nothing was. */
  readonly taken: boolean;
  /** What is left after this call. */
  readonly left: number;
  /** Milliseconds until the same amount could be taken; 0 when it was, `Infinity` when it never can. */
  readonly retryAfter: number;
}

/** The plugin door's `PluginState`, all of it synchronous. */
export interface MemoryState {
  window(key: string, amount: number, limit: number, window: number): Take;
  bucket(key: string, amount: number, capacity: number, refill: number, per: number): Take;
  /** The key's time runs from its first addition; asking again does not prolong it. */
  seen(key: string, ttl: number): boolean;
  get(key: string): string | undefined;
  set(key: string, value: string, ttl: number): void;
  add(key: string, by: number, ttl: number): number;
  /** Forgets everything under this key: window, bucket, seen, value and counter. */
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
interface Entry {
  window?: WindowLog;
  bucket?: { level: number; at: number; fullAt: number };
  seenUntil?: number;
  value?: { readonly text: string; readonly until: number };
  counter?: { sum: number; readonly until: number };
}

const KEY_LIMIT = 4096;
const VALUE_LIMIT = 64 * 1024;
/** Oldest keys looked at on every insertion. */
const SWEEP = 4;
/** What floating-point addition may lose. */
const EPSILON = 1e-9;

/** Makes a store. */
export function memoryState(options: MemoryStateOptions): MemoryState {
  return new Memory(options.clock, options.maxEntries ?? 100_000);
}

function positive(value: number, what: string): void {
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
    throw new TypeError(`${what} is not a positive number`);
  }
}

function notNegative(value: number, what: string): void {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
    throw new TypeError(`${what} is negative or not a number`);
  }
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
    notNegative(amount, "amount");
    notNegative(limit, "limit");
    positive(window, "window");
    const now = this.#clock.now();
    const entry = this.#touch(key, now);
    const log = entry.window ??= new WindowLog();
    const sum = log.sum(now, window);
    const left = Math.max(0, limit - sum);
    if (amount <= left) {
      if (amount > 0) log.add(now, amount);
      return { taken: true, left: left - amount, retryAfter: 0 };
    }
    const retryAfter = amount > limit
      ? Infinity
      : log.freeAt(sum + amount - limit, now, window) - now;
    return { taken: false, left, retryAfter };
  }

  bucket(key: string, amount: number, capacity: number, refill: number, per: number): Take {
    notNegative(amount, "amount");
    notNegative(capacity, "capacity");
    notNegative(refill, "refill");
    positive(per, "per");
    const now = this.#clock.now();
    const entry = this.#touch(key, now);
    const bucket = entry.bucket ??= { level: capacity, at: now, fullAt: now };
    const elapsed = Math.max(0, now - bucket.at);
    bucket.level = Math.min(capacity, bucket.level + elapsed * refill / per);
    bucket.at = now;
    const taken = amount <= bucket.level + EPSILON;
    if (taken) bucket.level = Math.max(0, bucket.level - amount);
    bucket.fullAt = now + (capacity - bucket.level) * per / refill;
    if (Number.isNaN(bucket.fullAt)) bucket.fullAt = now;
    if (taken) return { taken, left: bucket.level, retryAfter: 0 };
    const wait = amount > capacity ? Infinity : Math.ceil((amount - bucket.level) * per / refill);
    return { taken, left: bucket.level, retryAfter: wait };
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
    if (typeof value !== "string" || value.length > VALUE_LIMIT) {
      throw new TypeError(`A value is a string of at most ${VALUE_LIMIT} characters`);
    }
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
    if (typeof key !== "string" || key.length > KEY_LIMIT) {
      throw new TypeError(`A key is a string of at most ${KEY_LIMIT} characters`);
    }
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
function expiry({ window, bucket, seenUntil, value, counter }: Entry): number {
  return Math.max(
    window?.expiresAt ?? -Infinity,
    bucket?.fullAt ?? -Infinity,
    seenUntil ?? -Infinity,
    value?.until ?? -Infinity,
    counter?.until ?? -Infinity,
  );
}
