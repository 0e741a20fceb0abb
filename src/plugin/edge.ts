/**
 * What a plugin is given: constructors for verdicts, a log, metrics, a clock, state, notes.
 * @module
 */
import type { ConnectAddress, Connection, ConnectOptions } from "./connection.ts";
import type { PluginDns } from "./dns.ts";
import type {
  Defer,
  Delay,
  Discard,
  Drop,
  Pass,
  Quarantine,
  Refuse,
  Rewrite,
  Score,
} from "./verdict.ts";

/** The host's side of the plugin door, injected: a plugin needs no value import. */
export interface Edge {
  /** No objection, the same as no answer; `evidence` is shown in the trace. */
  pass(evidence?: string): Pass;
  /** Points towards (positive) or away from (negative) spam. */
  score(points: number, symbol: string, evidence?: string): Score;
  /** Temporary refusal; `code` 400 to 499, for example `edge.defer(451, "4.7.1", "Try again later")`. The client reads `text`, the operator `evidence`. */
  defer(code: number, enhanced: string, text: string, evidence?: string): Defer;
  /** Permanent refusal; `code` 500 to 599. */
  refuse(code: number, enhanced: string, text: string, evidence?: string): Refuse;
  /** Answer, then close the connection; `code` 400 to 599. */
  drop(code: number, enhanced: string, text: string, evidence?: string): Drop;
  /** Deliver to another upstream; without a name to the configured one (`quarantine`). Only for a plugin that holds the body. */
  quarantine(reason: string, upstream?: string): Quarantine;
  /** Accept and deliver nowhere; always logged. */
  discard(reason: string): Discard;
  /** Milliseconds. */
  delay(ms: number, evidence?: string): Delay;
  /** Go on with another reverse-path (`mail`; `""` is the null one), other recipients or another upstream (`rcpt`). */
  rewrite(change: { from?: string; to?: readonly string[]; upstream?: string }): Rewrite;

  /** The plugin's own log: one event is one line; control characters are escaped. */
  readonly log: PluginLog;
  /** Counters and histograms, named `postern_plugin_<name>_...`. */
  readonly metrics: PluginMetrics;
  /** The only clock a plugin should read; tests hold it. */
  readonly clock: { now(): number };
  /** Counters, buckets and seen-sets, private to the plugin instance. */
  readonly state: PluginState;
  /** A typed fact that travels between plugins within one transaction or session. */
  note<T>(name: string): Note<T>;
  /** Reads a text file, relative to the configuration file's folder. */
  readText(path: string): Promise<string>;
  /** Calls back when the file changes (debounced); returns a function that stops. */
  watchFile(path: string, changed: () => void): () => void;
  /** The password hashing that `postern user add` uses. */
  readonly passwords: PasswordHashing;
  /** Questions to the DNS: cached, with budgets; a failure is told apart from a "no". */
  readonly dns: PluginDns;
  /**
   * Opens a connection over TCP or a unix socket, for services with a protocol of their own. Rejects with a
   * `ConnectionError`, or with the signal's reason.
   */
  connect(address: ConnectAddress, options?: ConnectOptions): Promise<Connection>;
}

/** A plugin's log. */
export interface PluginLog {
  /** For who looks for a fault. */
  debug(message: string, fields?: LogFields): void;
  /** What happened. */
  info(message: string, fields?: LogFields): void;
  /** Somebody should look at it. */
  warn(message: string, fields?: LogFields): void;
  /** It does not do its work. */
  error(message: string, fields?: LogFields): void;
}

/** Fields of a log event. */
export type LogFields = { readonly [name: string]: string | number | boolean | undefined };

/** A plugin's metrics. */
export interface PluginMetrics {
  /** Adds to a counter (default 1). */
  count(name: string, by?: number): void;
  /** Observes a value. */
  observe(name: string, value: number): void;
}

/** A window's or bucket's answer. */
export interface Take {
  /** Whether the amount was taken; when false, nothing was. */
  readonly taken: boolean;
  /** What is left after this call. */
  readonly left: number;
  /** Milliseconds until the same amount could be taken; 0 when it was. */
  readonly retryAfter: number;
}

/** One of several limits that are asked together; see {@linkcode PluginState.takeAll}. */
export type TakeRequest = WindowRequest | BucketRequest;

/** What every request says. */
export interface TakeOf {
  /** Its key; one call has each key once. */
  readonly key: string;
  /** How much to take; 0 only looks. */
  readonly amount: number;
  /** It does not stop the others, and is taken with them where it has room itself. */
  readonly soft?: boolean;
}

/** A window: `window` slides, `fixed` begins at whole multiples of its length (since the epoch) and starts anew at once. */
export interface WindowRequest extends TakeOf {
  /** Which of the two. */
  readonly kind: "window" | "fixed";
  /** The most that may be taken within one window. */
  readonly limit: number;
  /** Its length, in milliseconds. */
  readonly window: number;
}

/** A token bucket. */
export interface BucketRequest extends TakeOf {
  /** Which one it is. */
  readonly kind: "bucket";
  /** Tokens it holds. */
  readonly capacity: number;
  /** Tokens that come back ... */
  readonly refill: number;
  /** ... in so many milliseconds. */
  readonly per: number;
}

/** Shared state with expiry. Synchronous in memory, so the answer may be a value or a promise: `await` it, or test for one. */
export interface PluginState {
  /** Takes `amount` from a sliding window of `limit` per `window` milliseconds. Exact under concurrency. */
  window(key: string, amount: number, limit: number, window: number): Take | Promise<Take>;
  /** Takes `amount` from a token bucket of `capacity`, refilled evenly by `refill` tokens per `per` milliseconds. */
  bucket(
    key: string,
    amount: number,
    capacity: number,
    refill: number,
    per: number,
  ): Take | Promise<Take>;
  /**
   * Several limits at once, all or nothing: the amounts are taken only when each has room, so what one of them refuses
   * costs nothing at the others. The answers come in the order of the requests; one that had room and was not taken for
   * another's sake has `taken: false` and `retryAfter: 0`. Exact under concurrency.
   */
  takeAll(requests: readonly TakeRequest[]): readonly Take[] | Promise<readonly Take[]>;
  /** Adds a key for `ttl` milliseconds; tells whether it was there already. */
  seen(key: string, ttl: number): boolean | Promise<boolean>;
  /** The value of a key, while it has not expired. */
  get(key: string): string | undefined | Promise<string | undefined>;
  /** Keeps a value for `ttl` milliseconds. */
  set(key: string, value: string, ttl: number): void | Promise<void>;
  /** Adds to a counter that expires `ttl` milliseconds after its first addition; gives the sum. */
  add(key: string, by: number, ttl: number): number | Promise<number>;
  /** Forgets a key, whatever it was used for. */
  delete(key: string): void | Promise<void>;
}

/** A named fact. */
export interface Note<T> {
  /** Give it for this session or transaction (`tx` facts carry their session). */
  set(on: object, value: T): void;
  /** The fact of this session or transaction, where it was given. */
  get(on: object): T | undefined;
}

/** Password hashes by PHC strings: argon2id, scrypt, bcrypt; and SCRAM secrets, `{SCRAM-SHA-256}iterations,salt,storedKey,serverKey`. */
export interface PasswordHashing {
  /** True when the password matches. An unknown format rejects. */
  verify(hash: string, password: string): Promise<boolean>;
  /** An argon2id PHC string. */
  hash(password: string): Promise<string>;
}
