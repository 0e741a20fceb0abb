/**
 * A fake of the host's side of the plugin door, for tests of one plugin without the engine: a clock that stands still,
 * state in memory, a log that is kept, files that are a map, and password hashing that costs nothing.
 * @module
 */
import type {
  Edge,
  LogFields,
  Note,
  PasswordHashing,
  PluginDns,
  PluginState,
  Take,
  TakeRequest,
} from "@postern/postern/plugin";
import { type DnsZones, testEdge } from "@postern/postern/testing";

/** One event of the log. */
export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

/** The fake, with what a test looks at and turns. */
export interface FakeEdge extends Edge {
  readonly clock: { now(): number; advance(ms: number): void };
  readonly entries: LogEntry[];
  readonly counters: Map<string, number>;
  /** Observed values by name. */
  readonly observed: Map<string, readonly number[]>;
  /** Hashes that were verified, in order. */
  readonly verified: string[];
  /** Writes a file (undefined: it cannot be read any more) and tells the watchers. */
  write(path: string, content: string | undefined): Promise<void>;
  /** Everything that the state holds, keys and values, as text. */
  stored(): string;
  /** Watchers that have not been stopped. */
  watchers(): number;
}

/** How the fake behaves. */
export interface FakeEdgeOptions {
  /** Milliseconds since the epoch; default 2026-01-15 12:00:00 UTC. */
  readonly now?: number;
  /** The state answers with promises, as a shared store does. */
  readonly asyncState?: boolean;
  readonly files?: Readonly<Record<string, string>>;
  /** Answers of `edge.dns`; without it no name exists. */
  readonly dns?: DnsZones;
}

/** Noon of 15 January 2026, UTC: a Thursday. */
export const noon = Date.UTC(2026, 0, 15, 12, 0, 0);

function shownAs(evidence: string | undefined): { readonly evidence?: string } {
  return evidence === undefined ? {} : { evidence };
}

/** Makes a fake. */
export function fakeEdge(options: FakeEdgeOptions = {}): FakeEdge {
  let time = options.now ?? noon;
  const clock = { now: () => time, advance: (ms: number) => void (time += ms) };
  const entries: LogEntry[] = [];
  const counters = new Map<string, number>();
  const observed = new Map<string, readonly number[]>();
  const verified: string[] = [];
  const files = new Map(Object.entries(options.files ?? {}));
  const watchers = new Map<() => void, string>();
  const log = (level: LogEntry["level"]) => (message: string, fields: LogFields = {}) =>
    void entries.push({ level, message, fields });
  const notes = new Map<string, WeakMap<object, unknown>>();
  const state = memoryState(clock);

  return {
    pass: (evidence) => ({ verdict: "pass", ...shownAs(evidence) }),
    score: (points, symbol, evidence) => ({
      verdict: "score",
      points,
      symbol,
      ...shownAs(evidence),
    }),
    defer: (code, enhanced, text, evidence) => ({
      verdict: "defer",
      code,
      enhanced,
      text,
      ...shownAs(evidence),
    }),
    refuse: (code, enhanced, text, evidence) => ({
      verdict: "refuse",
      code,
      enhanced,
      text,
      ...shownAs(evidence),
    }),
    drop: (code, enhanced, text, evidence) => ({
      verdict: "drop",
      code,
      enhanced,
      text,
      ...shownAs(evidence),
    }),
    quarantine: (reason, upstream) =>
      upstream === undefined
        ? { verdict: "quarantine", reason }
        : { verdict: "quarantine", reason, upstream },
    discard: (reason) => ({ verdict: "discard", reason }),
    delay: (ms, evidence) => ({ verdict: "delay", ms, ...shownAs(evidence) }),
    rewrite: (change) => ({ verdict: "rewrite", ...change }),
    log: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    metrics: {
      count: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by),
      observe: (name, value) => void observed.set(name, [...observed.get(name) ?? [], value]),
    },
    clock,
    state: options.asyncState === true ? late(state) : state,
    note<T>(name: string): Note<T> {
      const facts = notes.get(name) ?? new WeakMap<object, unknown>();
      notes.set(name, facts);
      return {
        set: (on, value) => void facts.set(on, value),
        get: (on) => facts.get(on) as T | undefined,
      };
    },
    readText(path) {
      const content = files.get(path);
      return content === undefined
        ? Promise.reject(new Error(`Cannot read ${path}`))
        : Promise.resolve(content);
    },
    watchFile(path, changed) {
      watchers.set(changed, path);
      return () => void watchers.delete(changed);
    },
    passwords: fakePasswords(verified),
    dns: fakeDns(options.dns),
    connect: ({ ...address }) =>
      Promise.reject(new Error(`Nobody listens: ${Object.values(address).join(":")}`)),
    entries,
    counters,
    observed,
    verified,
    async write(path, content) {
      if (content === undefined) files.delete(path);
      else files.set(path, content);
      for (const [changed, watched] of watchers) if (watched === path) changed();
      // What the watcher started has no timers in it: a few turns of the microtask queue finish it.
      for (let i = 0; i < 50; i++) await Promise.resolve();
    },
    stored: () => state.dump(),
    watchers: () => watchers.size,
  };
}

/** State in memory, exactly as the contract has it. */
function memoryState(clock: { now(): number }): PluginState & { dump(): string } {
  const windows = new Map<string, { at: number; amount: number }[]>();
  const buckets = new Map<string, { tokens: number; at: number }>();
  const values = new Map<string, { value: string; until: number }>();

  function live(key: string): { value: string; until: number } | undefined {
    const entry = values.get(key);
    return entry !== undefined && entry.until > clock.now() ? entry : undefined;
  }

  return {
    dump: () => JSON.stringify([[...windows], [...buckets], [...values]]),
    window(key, amount, limit, window): Take {
      const now = clock.now();
      const taken = (windows.get(key) ?? []).filter(({ at }) => at > now - window);
      const used = taken.reduce((sum, entry) => sum + entry.amount, 0);
      if (used + amount <= limit) {
        if (amount > 0) taken.push({ at: now, amount });
        windows.set(key, taken);
        return { taken: true, left: limit - used - amount, retryAfter: 0 };
      }
      windows.set(key, taken);
      let excess = used + amount - limit;
      let retryAfter = window;
      for (const entry of taken) {
        excess -= entry.amount;
        retryAfter = entry.at + window - now;
        if (excess <= 0) break;
      }
      return { taken: false, left: limit - used, retryAfter };
    },
    bucket(key, amount, capacity, refill, per): Take {
      const now = clock.now();
      const old = buckets.get(key) ?? { tokens: capacity, at: now };
      const tokens = Math.min(capacity, old.tokens + (now - old.at) * refill / per);
      const taken = amount <= tokens;
      const left = taken ? tokens - amount : tokens;
      buckets.set(key, { tokens: left, at: now });
      return { taken, left, retryAfter: taken ? 0 : Math.ceil((amount - tokens) * per / refill) };
    },
    takeAll(requests): readonly Take[] {
      // Asked with nothing to take first: what is not there for all is taken from none.
      const asked = requests.map((request) => ({ request, before: answerTo(this, request, 0) }));
      const room = asked.map(({ request, before }) => before.left >= request.amount);
      const all = requests.every((request, i) => room[i] === true || request.soft === true);
      return asked.map(({ request, before }, i) =>
        (all || room[i] === false)
          ? answerTo(this, request, request.amount)
          : { taken: false, left: before.left, retryAfter: 0 }
      );
    },
    seen(key, ttl): boolean {
      const there = live(key) !== undefined;
      if (!there) values.set(key, { value: "", until: clock.now() + ttl });
      return there;
    },
    get: (key) => live(key)?.value,
    set: (key, value, ttl) => void values.set(key, { value, until: clock.now() + ttl }),
    add(key, by, ttl): number {
      const old = live(key);
      const sum = Number(old?.value ?? 0) + by;
      values.set(key, { value: String(sum), until: old?.until ?? clock.now() + ttl });
      return sum;
    },
    delete: (key) => void values.delete(key),
  };
}

/** A fixed window is not told from a sliding one here: it is the state's own tests that do. */
function answerTo(state: PluginState, request: TakeRequest, amount: number): Take {
  const answer = request.kind === "bucket"
    ? state.bucket(request.key, amount, request.capacity, request.refill, request.per)
    : state.window(request.key, amount, request.limit, request.window);
  return answer as Take;
}

/** The same state with every answer a promise. */
function late(state: PluginState): PluginState {
  return {
    window: async (...given) => await state.window(...given),
    bucket: async (...given) => await state.bucket(...given),
    takeAll: async (requests) => await state.takeAll(requests),
    seen: async (...given) => await state.seen(...given),
    get: async (key) => await state.get(key),
    set: async (...given) => await state.set(...given),
    add: async (...given) => await state.add(...given),
    delete: async (key) => await state.delete(key),
  };
}

function fakeDns(zones: DnsZones = {}): PluginDns {
  return testEdge({ dns: zones }).edge.dns;
}

/** A hash in the form of its kind, whose digest is the password in hex: for tests of who is asked, not of hashing. */
export function fakeHash(
  password: string,
  kind: "argon2id" | "scrypt" | "bcrypt" = "argon2id",
): string {
  const digest = [...new TextEncoder().encode(password)]
    .map((octet) => octet.toString(16).padStart(2, "0")).join("") || "00";
  if (kind === "bcrypt") return `$2b$10$${"s".repeat(22)}${digest.padEnd(31, ".").slice(0, 31)}`;
  if (kind === "scrypt") return `$scrypt$ln=4,r=8,p=1$c2FsdA$${digest}`;
  return `$argon2id$v=19$m=64,t=1,p=1$c2FsdA$${digest}`;
}

function fakePasswords(verified: string[]): PasswordHashing {
  return {
    hash: (password) => Promise.resolve(fakeHash(password)),
    verify(hash, password) {
      verified.push(hash);
      for (const kind of ["argon2id", "scrypt", "bcrypt"] as const) {
        const model = fakeHash("", kind);
        const start = kind === "bcrypt" ? 7 : model.lastIndexOf("$");
        if (hash.startsWith(model.slice(0, start))) {
          return Promise.resolve(hash === fakeHash(password, kind));
        }
      }
      if (hash.startsWith("{SCRAM-SHA-256}")) return Promise.resolve(false);
      return Promise.reject(new Error("Unknown password hash"));
    },
  };
}
