/**
 * The arithmetic of limits, the same whatever keeps it: sliding windows, fixed windows, token buckets.
 *
 * Owns: whether there is room, what is left, when there will be.   Never: reads a clock, keeps anything.
 * A take has two steps, so that several can be asked before the first is taken: {@linkcode look}, then {@linkcode take}.
 * @module
 */
import { WindowLog } from "./window_log.ts";

/** A limit's answer; the same as the plugin door's `Take`. */
export interface Take {
  /** Whether the amount was taken; when false, nothing was. */
  readonly taken: boolean;
  /** What is left after this call. */
  readonly left: number;
  /** Milliseconds until the same amount could be taken; 0 when it was, `Infinity` when it never can. */
  readonly retryAfter: number;
}

interface Taken {
  readonly key: string;
  readonly amount: number;
  /** It does not stop the others, and is taken with them where it has room itself. */
  readonly soft?: boolean;
}

/** One of several limits that are asked together; the same as the plugin door's `TakeRequest`. */
export type TakeRequest =
  | Taken & {
    readonly kind: "window" | "fixed";
    readonly limit: number;
    readonly window: number;
  }
  | Taken & {
    readonly kind: "bucket";
    readonly capacity: number;
    readonly refill: number;
    readonly per: number;
  };

/** A window with edges: it begins at a whole multiple of its length. */
export interface Fixed {
  start: number;
  used: number;
  length: number;
}

/** Tokens at an instant. */
export interface Bucket {
  level: number;
  at: number;
  /** When it will be full: from then on it is as good as none. */
  fullAt: number;
}

/** What is kept under one key; each kind has its own place. */
export interface Limited {
  window?: WindowLog;
  fixed?: Fixed;
  bucket?: Bucket;
}

const KEY_LIMIT = 4096;
const VALUE_LIMIT = 64 * 1024;
/** What floating-point addition may lose. */
const EPSILON = 1e-9;

/** Throws a `TypeError` unless it is a finite number over zero. */
export function positive(value: number, what: string): void {
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
    throw new TypeError(`${what} is not a positive number`);
  }
}

function notNegative(value: number, what: string): void {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
    throw new TypeError(`${what} is negative or not a number`);
  }
}

/** Throws a `TypeError` unless it may be a key. */
export function checkKey(key: string): void {
  if (typeof key !== "string" || key.length > KEY_LIMIT) {
    throw new TypeError(`A key is a string of at most ${KEY_LIMIT} characters`);
  }
}

/** Throws a `TypeError` unless it may be a value. */
export function checkValue(value: string): void {
  if (typeof value !== "string" || value.length > VALUE_LIMIT) {
    throw new TypeError(`A value is a string of at most ${VALUE_LIMIT} characters`);
  }
}

/** Throws a `TypeError` where the numbers of a request are none. */
export function checkRequest(request: TakeRequest): void {
  notNegative(request.amount, "amount");
  if (request.kind === "bucket") {
    notNegative(request.capacity, "capacity");
    notNegative(request.refill, "refill");
    positive(request.per, "per");
  } else if (request.kind === "window" || request.kind === "fixed") {
    notNegative(request.limit, "limit");
    positive(request.window, "window");
  } else {
    throw new TypeError('kind is not "window", "fixed" or "bucket"');
  }
}

/** Several requests: one key once, or the second would not see the first. */
export function checkRequests(requests: readonly TakeRequest[]): void {
  for (let i = 0; i < requests.length; i++) {
    checkRequest(requests[i]!);
    for (let j = 0; j < i; j++) {
      if (requests[j]!.key === requests[i]!.key) {
        throw new TypeError("Two requests of one call have the same key");
      }
    }
  }
}

/** The answer there would be; takes nothing, but brings what is kept up to now. */
export function look(kept: Limited, request: TakeRequest, now: number): Take {
  switch (request.kind) {
    case "window":
      return lookWindow(kept.window ??= new WindowLog(), request, now);
    case "fixed":
      return lookFixed(fixedAt(kept, request.window, now), request, now);
    case "bucket":
      return lookBucket(kept, request, now);
  }
}

/** Takes what {@linkcode look} at the same instant found room for. */
export function take(kept: Limited, request: TakeRequest, now: number): void {
  const { amount } = request;
  if (amount === 0) return;
  switch (request.kind) {
    case "window":
      kept.window!.add(now, amount);
      return;
    case "fixed":
      kept.fixed!.used += amount;
      return;
    case "bucket": {
      const bucket = kept.bucket!;
      bucket.level = Math.max(0, bucket.level - amount);
      bucket.fullAt = fullAt(bucket.level, request, now);
    }
  }
}

/** Whether all that insist have room. */
export function allHaveRoom(answers: readonly Take[], requests: readonly TakeRequest[]): boolean {
  for (let i = 0; i < answers.length; i++) {
    if (!answers[i]!.taken && requests[i]!.soft !== true) return false;
  }
  return true;
}

/** The answers when nothing is taken because another one had no room. */
export function untaken(answers: readonly Take[], requests: readonly TakeRequest[]): Take[] {
  return answers.map((answer, i) =>
    answer.taken ? { taken: false, left: answer.left + requests[i]!.amount, retryAfter: 0 } : answer
  );
}

type WindowRequest = Extract<TakeRequest, { readonly limit: number }>;
type BucketRequest = Extract<TakeRequest, { readonly kind: "bucket" }>;

function lookWindow(log: WindowLog, { amount, limit, window }: WindowRequest, now: number): Take {
  const sum = log.sum(now, window);
  const left = Math.max(0, limit - sum);
  if (amount <= left) return { taken: true, left: left - amount, retryAfter: 0 };
  const retryAfter = amount > limit
    ? Infinity
    : log.freeAt(sum + amount - limit, now, window) - now;
  return { taken: false, left, retryAfter };
}

/** The fixed window that `now` lies in. Of one key with two lengths the later one begins anew. */
function fixedAt(kept: Limited, length: number, now: number): Fixed {
  const start = Math.floor(now / length) * length;
  const { fixed } = kept;
  if (fixed !== undefined && fixed.start === start && fixed.length === length) return fixed;
  return kept.fixed = { start, used: 0, length };
}

function lookFixed(fixed: Fixed, { amount, limit }: WindowRequest, now: number): Take {
  const left = Math.max(0, limit - fixed.used);
  if (amount <= left) return { taken: true, left: left - amount, retryAfter: 0 };
  const retryAfter = amount > limit ? Infinity : fixed.start + fixed.length - now;
  return { taken: false, left, retryAfter };
}

function lookBucket(kept: Limited, request: BucketRequest, now: number): Take {
  const { amount, capacity, refill, per } = request;
  const bucket = kept.bucket ??= { level: capacity, at: now, fullAt: now };
  const elapsed = Math.max(0, now - bucket.at);
  bucket.level = Math.min(capacity, bucket.level + elapsed * refill / per);
  bucket.at = now;
  bucket.fullAt = fullAt(bucket.level, request, now);
  const { level } = bucket;
  if (amount <= level + EPSILON) {
    return { taken: true, left: Math.max(0, level - amount), retryAfter: 0 };
  }
  const wait = amount > capacity ? Infinity : Math.ceil((amount - level) * per / refill);
  return { taken: false, left: level, retryAfter: wait };
}

function fullAt(level: number, { capacity, refill, per }: BucketRequest, now: number): number {
  const at = now + (capacity - level) * per / refill;
  return Number.isNaN(at) ? now : at;
}
