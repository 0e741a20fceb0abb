/**
 * A sliding window over amounts taken: what has been taken within the last so many milliseconds.
 *
 * Owns at most {@linkcode LOG_LIMIT} entries. Up to that it is exact; beyond, neighbours are joined at the later time
 * of the two, so that it errs on the side of the limit: never more is given than was allowed.
 * @module
 */

/** Entries kept; joining halves them. */
export const LOG_LIMIT: number = 128;

/** The takes of one key. */
export class WindowLog {
  #times: number[] = [];
  #amounts: number[] = [];
  /** The longest window that was asked for: until then an entry counts. */
  #longest = 0;

  /** As plain numbers: the longest window, then time and amount of each entry. */
  toNumbers(): number[] {
    const numbers = [this.#longest];
    for (let i = 0; i < this.#times.length; i++) numbers.push(this.#times[i]!, this.#amounts[i]!);
    return numbers;
  }

  /** From what {@linkcode WindowLog.toNumbers} gave. */
  static fromNumbers(numbers: readonly number[]): WindowLog {
    const log = new WindowLog();
    log.#longest = numbers[0] ?? 0;
    for (let i = 1; i + 1 < numbers.length; i += 2) {
      log.#times.push(numbers[i]!);
      log.#amounts.push(numbers[i + 1]!);
    }
    return log;
  }

  /** When nothing in it counts any more. */
  get expiresAt(): number {
    return (this.#times.at(-1) ?? -Infinity) + this.#longest;
  }

  /** The sum of what was taken after `now - window`. */
  sum(now: number, window: number): number {
    this.#longest = Math.max(this.#longest, window);
    this.#forget(now);
    let sum = 0;
    for (let i = this.#times.length - 1; i >= 0 && this.#times[i]! > now - window; i--) {
      sum += this.#amounts[i]!;
    }
    return sum;
  }

  add(now: number, amount: number): void {
    const last = this.#times.length - 1;
    if (last >= 0 && this.#times[last] === now) {
      this.#amounts[last]! += amount;
      return;
    }
    if (this.#times.length >= LOG_LIMIT) this.#join();
    this.#times.push(now);
    this.#amounts.push(amount);
  }

  /** When so much of the window's sum will have gone. */
  freeAt(excess: number, now: number, window: number): number {
    let freed = 0;
    for (let i = 0; i < this.#times.length; i++) {
      if (this.#times[i]! <= now - window) continue;
      freed += this.#amounts[i]!;
      if (freed >= excess) return this.#times[i]! + window;
    }
    return now;
  }

  #forget(now: number): void {
    let gone = 0;
    while (gone < this.#times.length && this.#times[gone]! <= now - this.#longest) gone++;
    if (gone > 0) {
      this.#times.splice(0, gone);
      this.#amounts.splice(0, gone);
    }
    this.settle(now);
  }

  /** Where the clock was set back, what lies in the future happened now; tells whether it was. */
  settle(now: number): boolean {
    let i = this.#times.length - 1;
    const ahead = i >= 0 && this.#times[i]! > now;
    for (; i >= 0 && this.#times[i]! > now; i--) this.#times[i] = now;
    return ahead;
  }

  #join(): void {
    const times: number[] = [];
    const amounts: number[] = [];
    for (let i = 0; i < this.#times.length; i += 2) {
      times.push(this.#times[i + 1] ?? this.#times[i]!);
      amounts.push(this.#amounts[i]! + (this.#amounts[i + 1] ?? 0));
    }
    this.#times = times;
    this.#amounts = amounts;
  }
}
