/**
 * Answers for as long as their TTL says, the longest unused given up first.   Never: grows past its size; reads a clock.
 * @module
 */
import type { DnsAnswer, DnsFailed } from "../plugin/dns.ts";

/** An answer that can be kept. */
export type Kept = Exclude<DnsAnswer, DnsFailed>;

/** By type and name. */
export class AnswerCache {
  readonly #entries = new Map<string, { readonly answer: Kept; readonly until: number }>();
  readonly #size: number;

  /** `size`: answers it holds at most. */
  constructor(size: number) {
    this.#size = size;
  }

  /** The answer with what is left of its TTL; undefined when there is none, or none any more. */
  get(key: string, now: number): Kept | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.until <= now) return undefined;
    this.#entries.set(key, entry);
    return { ...entry.answer, ttl: Math.ceil((entry.until - now) / 1000) };
  }

  set(key: string, answer: Kept, now: number): void {
    if (answer.ttl === 0 || this.#size === 0) return;
    this.#entries.delete(key);
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined && this.#entries.size >= this.#size) this.#entries.delete(oldest);
    this.#entries.set(key, { answer, until: now + answer.ttl * 1000 });
  }
}
