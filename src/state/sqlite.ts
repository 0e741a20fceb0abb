/**
 * Shared state in a SQLite file: the same windows, buckets, seen-sets, values and counters as in memory, for as many
 * processes of one machine as have the file open, and over restarts.
 *
 * Owns: the file, its schema, one transaction a call. A call answers at once; only where another process holds the file
 * longer than {@linkcode BUSY_MS} does it become a promise.   Never: blocks longer, keeps a row for ever, repairs a file.
 * Durability: a transaction survives the death of the process at any instant (write-ahead log); the last ones before a
 * loss of power may be missing (`synchronous = NORMAL`), which for limits is no harm.
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
import { numberOf, type OpenFile, openFile, reasonOf, StateFault } from "./sqlite_file.ts";
import { WindowLog } from "./window_log.ts";

export { StateFault } from "./sqlite_file.ts";

/** Settings of {@linkcode SqliteState}. */
export interface SqliteStateOptions {
  /** The file; its folder exists. Made where it is missing. */
  readonly path: string;
  readonly clock: { now(): number };
  /** Octets in use beyond which what is nearest to its end goes (R29); default 256 MiB. The file is never twice as large. */
  readonly maxBytes?: number;
  /** Resolves after so many milliseconds. */
  readonly pause?: (ms: number) => Promise<void>;
}

/** Milliseconds that a call itself waits for another process. */
const BUSY_MS = 20;
/** Milliseconds after which a promise gives up; under the budget of a plugin. */
const BUSY_LIMIT = 4_000;
/** Writes between two sweeps, and rows that one sweep takes at most: expired rows go faster than new ones come. */
const SWEEP_EVERY = 32;
const SWEEP_ROWS = 128;

/** The kinds of state; one key has each once. */
const KIND = { window: 0, fixed: 1, bucket: 2, seen: 3, value: 4, counter: 5 } as const;
type Kind = (typeof KIND)[keyof typeof KIND];

const BUSY = Symbol("busy");

/** State in a file; the plugin door's `PluginState`. */
export class SqliteState {
  readonly #path: string;
  readonly #clock: { now(): number };
  readonly #maxBytes: number;
  readonly #pause: (ms: number) => Promise<void>;
  #open: OpenFile | undefined;
  #closed = false;
  #writes = 0;

  constructor(options: SqliteStateOptions) {
    this.#path = options.path;
    this.#clock = options.clock;
    this.#maxBytes = options.maxBytes ?? 256 * 1024 * 1024;
    this.#pause = options.pause ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
  }

  /** Opens the file, makes its tables, looks whether it is sound. Throws {@linkcode StateFault}; idempotent. */
  open(): void {
    if (this.#closed) throw new StateFault(`Cannot use state: ${this.#path} is closed`);
    this.#open ??= openFile(this.#path, BUSY_MS, 2 * this.#maxBytes);
  }

  /** Idempotent; every call after it fails. */
  close(): void {
    this.#closed = true;
    this.#open?.db.close();
    this.#open = undefined;
  }

  window(key: string, amount: number, limit: number, window: number): Take | Promise<Take> {
    return this.#take({ kind: "window", key, amount, limit, window });
  }

  bucket(
    key: string,
    amount: number,
    capacity: number,
    refill: number,
    per: number,
  ): Take | Promise<Take> {
    return this.#take({ kind: "bucket", key, amount, capacity, refill, per });
  }

  takeAll(requests: readonly TakeRequest[]): readonly Take[] | Promise<readonly Take[]> {
    checkRequests(requests);
    for (const { key } of requests) checkKey(key);
    return this.#write((file, now) => {
      const kept = requests.map((request) => readLimited(file, request, now));
      const answers = requests.map((request, i) => look(kept[i]!, request, now));
      if (!allHaveRoom(answers, requests)) return untaken(answers, requests);
      for (let i = 0; i < requests.length; i++) {
        if (answers[i]!.taken) takeAndKeep(file, kept[i]!, requests[i]!, now);
      }
      return answers;
    });
  }

  seen(key: string, ttl: number): boolean | Promise<boolean> {
    checkKey(key);
    positive(ttl, "ttl");
    return this.#write((file, now) => {
      if (live(file, key, KIND.seen, now) !== undefined) return true;
      keep(file, key, KIND.seen, "", now + ttl);
      return false;
    });
  }

  get(key: string): string | undefined | Promise<string | undefined> {
    if (typeof key !== "string") return undefined;
    return this.#run((file, now) => live(file, key, KIND.value, now)?.data);
  }

  set(key: string, value: string, ttl: number): void | Promise<void> {
    checkKey(key);
    positive(ttl, "ttl");
    checkValue(value);
    return this.#write((file, now) => keep(file, key, KIND.value, value, now + ttl));
  }

  add(key: string, by: number, ttl: number): number | Promise<number> {
    checkKey(key);
    positive(ttl, "ttl");
    if (!Number.isFinite(by)) throw new TypeError("by is not a finite number");
    return this.#write((file, now) => {
      const row = live(file, key, KIND.counter, now);
      const sum = Number(row?.data ?? 0) + by;
      keep(file, key, KIND.counter, String(sum), row?.expires ?? now + ttl);
      return sum;
    });
  }

  delete(key: string): void | Promise<void> {
    return this.#write((file) => void file.deleteKey.run(key));
  }

  #take(request: TakeRequest): Take | Promise<Take> {
    checkKey(request.key);
    checkRequest(request);
    return this.#write((file, now) => {
      const kept = readLimited(file, request, now);
      const answer = look(kept, request, now);
      if (answer.taken) takeAndKeep(file, kept, request, now);
      return answer;
    });
  }

  /** One transaction: what it reads, nobody else changes until it has written. */
  #write<A>(work: (file: OpenFile, now: number) => A): A | Promise<A> {
    return this.#run((file, now) => {
      file.begin.run();
      try {
        const answer = work(file, now);
        if (++this.#writes % SWEEP_EVERY === 0) this.#sweep(file, now);
        file.commit.run();
        return answer;
      } catch (cause) {
        rollBack(file);
        if (isFull(cause)) this.#makeRoom(file, now);
        throw cause;
      }
    });
  }

  /** Answers at once, or by a promise where the file is held by another process. */
  #run<A>(work: (file: OpenFile, now: number) => A): A | Promise<A> {
    const answer = this.#attempt(work);
    return answer === BUSY ? this.#again(work) : answer;
  }

  #attempt<A>(work: (file: OpenFile, now: number) => A): A | typeof BUSY {
    this.open();
    try {
      return work(this.#open!, this.#clock.now());
    } catch (cause) {
      if (isBusy(cause)) return BUSY;
      throw new StateFault(`Cannot use state: ${this.#path}: ${reasonOf(cause)}`, { cause });
    }
  }

  async #again<A>(work: (file: OpenFile, now: number) => A): Promise<A> {
    let waited = 0;
    for (let wait = 5; waited < BUSY_LIMIT; wait = Math.min(wait * 2, 200)) {
      await this.#pause(wait);
      waited += wait + BUSY_MS;
      const answer = this.#attempt(work);
      if (answer !== BUSY) return answer;
    }
    throw new StateFault(`Cannot use state: ${this.#path} is held by another process`);
  }

  /** Full: this call fails, and the next ones shall not for want of a sweep. */
  #makeRoom(file: OpenFile, now: number): void {
    try {
      file.begin.run();
      file.deleteExpired.run(now, SWEEP_ROWS);
      file.deleteNearest.run(SWEEP_ROWS);
      file.commit.run();
    } catch {
      // The disk itself is full: there is no room to write down what goes.
      rollBack(file);
    }
  }

  /** A bounded step: some of what has expired; then, where the file is too large, some of what will expire first. */
  #sweep(file: OpenFile, now: number): void {
    file.deleteExpired.run(now, SWEEP_ROWS);
    const pages = numberOf(file.pages) - numberOf(file.freePages);
    if (pages * file.pageSize > this.#maxBytes) file.deleteNearest.run(SWEEP_ROWS);
  }
}

interface Row {
  readonly data: string;
  readonly expires: number;
}

function read(file: OpenFile, key: string, kind: Kind): Row | undefined {
  // The two runtimes say "no row" differently.
  return (file.select.get(key, kind) ?? undefined) as Row | undefined;
}

function live(file: OpenFile, key: string, kind: Kind, now: number): Row | undefined {
  const row = read(file, key, kind);
  return row === undefined || row.expires <= now ? undefined : row;
}

function keep(file: OpenFile, key: string, kind: Kind, data: string, expires: number): void {
  // A bucket that is never refilled is never full again; SQLite has an infinity as well.
  file.upsert.run(key, kind, data, expires);
}

/** A clock that was set back is made up for at once and for good, or the file would look ahead for as long. */
function readLimited(file: OpenFile, request: TakeRequest, now: number): Limited {
  const { kind, key } = request;
  const row = read(file, key, KIND[kind]);
  if (row === undefined) return {};
  const numbers = JSON.parse(row.data) as readonly number[];
  switch (kind) {
    case "window": {
      const kept = { window: WindowLog.fromNumbers(numbers) };
      if (kept.window.settle(now)) keepLimited(file, kept, request);
      return kept;
    }
    case "fixed": {
      const [start = 0, used = 0, length = 0] = numbers;
      return { fixed: { start, used, length } };
    }
    case "bucket": {
      const [level = 0, at = 0] = numbers;
      const kept = { bucket: { level, at: Math.min(at, now), fullAt: row.expires } };
      if (at > now) keepLimited(file, kept, request);
      return kept;
    }
  }
}

function takeAndKeep(file: OpenFile, kept: Limited, request: TakeRequest, now: number): void {
  if (request.amount === 0) return;
  take(kept, request, now);
  keepLimited(file, kept, request);
}

function keepLimited(file: OpenFile, kept: Limited, { key, kind }: TakeRequest): void {
  switch (kind) {
    case "window": {
      const log = kept.window!;
      return keep(file, key, KIND.window, JSON.stringify(log.toNumbers()), log.expiresAt);
    }
    case "fixed": {
      const { start, used, length } = kept.fixed!;
      return keep(file, key, KIND.fixed, JSON.stringify([start, used, length]), start + length);
    }
    case "bucket": {
      const { level, at, fullAt } = kept.bucket!;
      return keep(file, key, KIND.bucket, JSON.stringify([level, at]), fullAt);
    }
  }
}

function rollBack(file: OpenFile): void {
  try {
    file.rollback.run();
  } catch {
    // It had not begun, or SQLite has rolled it back itself (a full disk).
  }
}

function isFull(cause: unknown): boolean {
  return cause instanceof Error && cause.message.includes("disk is full");
}

/** Deno gives no number for it. */
function isBusy(cause: unknown): boolean {
  return cause instanceof Error && /database (?:table )?is locked/.test(cause.message);
}
