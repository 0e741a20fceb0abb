/**
 * Builds the `edge` that a plugin instance is given. Every constructor checks at once, so that a mistake is a
 * `TypeError` at the plugin's own line; the engine checks again, for a plugin may make its verdicts by hand.
 * @module
 */
import { reverseName } from "../dns/names.ts";
import type { DnsAnswer, DnsOptions, DnsType, PluginDns } from "../plugin/dns.ts";
import type {
  Edge,
  LogFields,
  Note,
  PasswordHashing,
  PluginLog,
  PluginMetrics,
  PluginState,
} from "../plugin/edge.ts";
import type { Verdict } from "../plugin/verdict.ts";
import type { Network } from "../transport/duplex.ts";
import { PASS_VERDICT } from "./algebra.ts";
import { copyVerdict } from "./answer.ts";
import { outsideOf } from "./condition.ts";
import { openConnection } from "./connection.ts";
import { swallow } from "./hook.ts";
import type { PluginFailure } from "./failure.ts";
import { escapeText } from "./text.ts";

/** One line of a plugin's log. */
export interface PluginEvent {
  /** Name of the instance. */
  readonly plugin: string;
  /** How much it matters. */
  readonly level: "debug" | "info" | "warn" | "error";
  /** Control characters are escaped, here and in the fields. */
  readonly message: string;
  /** Fields without a value are left out. */
  readonly fields: { readonly [name: string]: string | number | boolean };
}

/** What the pipeline is given by the program. */
export interface PipelineServices {
  readonly clock: { now(): number };
  /** Shared by all plugins and generations: keys are prefixed here. */
  readonly state: PluginState;
  readonly log: (event: PluginEvent) => void;
  readonly metrics: {
    count(plugin: string, name: string, by: number): void;
    observe(plugin: string, name: string, value: number): void;
  };
  /** Every failure of a plugin, for the log and the metrics. */
  readonly report: (failure: PluginFailure) => void;
  readonly readText: (path: string) => Promise<string>;
  readonly watchFile: (path: string, changed: () => void) => () => void;
  readonly passwords: PasswordHashing;
  /** Never rejects; a signal tells that nobody waits any more. */
  readonly dns: {
    resolve(name: string, type: DnsType, signal?: AbortSignal): Promise<DnsAnswer>;
  };
  /** For `edge.connect`; paths of unix sockets are resolved behind it. */
  readonly network: Pick<Network, "connect">;
}

/** What an edge belongs to. */
export interface EdgeOwner {
  /** The instance's name; the configuration's `use` until the plugin has told its own. */
  name: string;
  readonly statePrefix: string;
  readonly shadow: boolean;
  /** Of a hundred sessions it has an effect in so many; undefined: in all. */
  readonly percent?: number | undefined;
  /** Called when the generation ends. */
  readonly disposers: Set<() => void>;
  /** A callback of the plugin outside a hook broke. */
  readonly broke: (cause: unknown, asynchronous: boolean) => void;
}

/** The notes of one generation. */
export class Notes {
  readonly #byName = new Map<string, WeakMap<object, unknown>>();

  of(name: string): WeakMap<object, unknown> {
    let facts = this.#byName.get(name);
    if (facts === undefined) this.#byName.set(name, facts = new WeakMap());
    return facts;
  }
}

const METRIC = /^[a-z][a-z0-9_]{0,63}$/;
/** A metric's name must not come from a client: this many are enough for any plugin. */
const METRICS_LIMIT = 200;
const NOTE = /^[a-z0-9_.-]{1,64}$/i;
const FIELD_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

function make<V extends Verdict>(verdict: V): V {
  return copyVerdict(verdict) as V;
}

function shownAs(evidence: string | undefined): { readonly evidence?: string } {
  return evidence === undefined ? {} : { evidence };
}

/** The verdict constructors, the same for every plugin. */
const VERDICTS: Pick<
  Edge,
  | "pass"
  | "score"
  | "defer"
  | "refuse"
  | "drop"
  | "quarantine"
  | "discard"
  | "delay"
  | "rewrite"
> = {
  pass: (evidence) => evidence === undefined ? PASS_VERDICT : make({ verdict: "pass", evidence }),
  score: (points, symbol, evidence) =>
    make({ verdict: "score", points, symbol, ...shownAs(evidence) }),
  defer: (code, enhanced, text, evidence) =>
    make({ verdict: "defer", code, enhanced, text, ...shownAs(evidence) }),
  refuse: (code, enhanced, text, evidence) =>
    make({ verdict: "refuse", code, enhanced, text, ...shownAs(evidence) }),
  drop: (code, enhanced, text, evidence) =>
    make({ verdict: "drop", code, enhanced, text, ...shownAs(evidence) }),
  quarantine: (reason, upstream) =>
    make({ verdict: "quarantine", reason, ...(upstream === undefined ? {} : { upstream }) }),
  discard: (reason) => make({ verdict: "discard", reason }),
  delay: (ms, evidence) => make({ verdict: "delay", ms, ...shownAs(evidence) }),
  rewrite: (change) => make({ verdict: "rewrite", ...change }),
};

/** Makes the edge of one plugin instance. */
export function makeEdge(services: PipelineServices, owner: EdgeOwner, notes: Notes): Edge {
  const ownNotes = owner.shadow || owner.percent !== undefined ? new Notes() : undefined;
  const isShadow = owner.shadow ? () => true : outsideOf(owner.percent ?? 100);
  return {
    ...VERDICTS,
    log: makeLog(services, owner),
    metrics: makeMetrics(services, owner),
    clock: { now: () => services.clock.now() },
    state: prefixed(services.state, owner.statePrefix),
    note: <T>(name: string): Note<T> => {
      if (typeof name !== "string" || !NOTE.test(name)) throw new TypeError("A note needs a name");
      return makeNote(notes.of(name), ownNotes?.of(name), isShadow);
    },
    readText: async (path) => await services.readText(text(path, "path")),
    watchFile: (path, changed) => watch(services, owner, text(path, "path"), changed),
    passwords: services.passwords,
    dns: makeDns(services.dns),
    connect: (address, options) =>
      openConnection(services.network, address, options, (connection) => {
        const dispose = () => connection.destroy();
        owner.disposers.add(dispose);
        connection.onGone = () => void owner.disposers.delete(dispose);
      }),
  };
}

const DNS_TYPES: { readonly [T in DnsType]: true } = {
  A: true,
  AAAA: true,
  CNAME: true,
  MX: true,
  NS: true,
  PTR: true,
  SOA: true,
  SRV: true,
  TLSA: true,
  TXT: true,
};

/** The resolver behind checks, with signals obeyed here: a worker's question cannot be called back. */
function makeDns(dns: PipelineServices["dns"]): PluginDns {
  const resolve = async <T extends DnsType>(
    name: string,
    type: T,
    { signal }: DnsOptions = {},
  ): Promise<DnsAnswer<T>> => {
    if (typeof name !== "string") throw new TypeError("A name is a string");
    if (!Object.hasOwn(DNS_TYPES, type)) throw new TypeError(`There is no type ${type} here`);
    signal?.throwIfAborted();
    // The type of the records is the one that was asked for.
    return await unlessAborted(dns.resolve(name, type, signal), signal) as DnsAnswer<T>;
  };
  return {
    resolve,
    reverse: (address, options) => {
      const name = reverseName(String(address));
      return name === undefined
        ? Promise.resolve({ status: "no-name", authenticated: false, ttl: 0 })
        : resolve(name, "PTR", options);
    },
    reverseName: (address, zone) => reverseName(String(address), zone),
  };
}

function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return answer;
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    signal.addEventListener("abort", aborted, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string" || value === "") throw new TypeError(`${what} is not a string`);
  return value;
}

function makeLog(services: PipelineServices, owner: EdgeOwner): PluginLog {
  const write = (level: PluginEvent["level"]) => (message: string, fields: LogFields = {}) =>
    services.log({
      plugin: owner.name,
      level,
      message: escapeText(String(message)),
      fields: cleanFields(fields),
    });
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}

function cleanFields(fields: LogFields): PluginEvent["fields"] {
  const clean: [string, string | number | boolean][] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || !FIELD_NAME.test(name)) continue;
    const plain = typeof value === "number" || typeof value === "boolean";
    clean.push([name, plain ? value : escapeText(String(value))]);
  }
  return Object.fromEntries(clean);
}

function makeMetrics(services: PipelineServices, owner: EdgeOwner): PluginMetrics {
  const names = new Set<string>();
  const check = (name: string, value: number) => {
    if (!names.has(name)) {
      if (typeof name !== "string" || !METRIC.test(name)) {
        throw new TypeError("A metric's name is lower case: a-z, 0-9 and _");
      }
      if (names.size >= METRICS_LIMIT) {
        throw new TypeError(`More than ${METRICS_LIMIT} metrics of one plugin`);
      }
      names.add(name);
    }
    if (!Number.isFinite(value)) throw new TypeError("A metric's value is a finite number");
  };
  return {
    count: (name, by = 1) => {
      check(name, by);
      if (by < 0) throw new TypeError("A counter does not go down");
      services.metrics.count(owner.name, name, by);
    },
    observe: (name, value) => {
      check(name, value);
      services.metrics.observe(owner.name, name, value);
    },
  };
}

/** The store with every key prefixed: instances do not see each other's. */
function prefixed(state: PluginState, prefix: string): PluginState {
  const at = (key: string) => {
    if (typeof key !== "string") throw new TypeError("A state key is a string");
    return prefix + key;
  };
  return {
    window: (key, amount, limit, window) => state.window(at(key), amount, limit, window),
    bucket: (key, amount, capacity, refill, per) =>
      state.bucket(at(key), amount, capacity, refill, per),
    takeAll: (requests) =>
      state.takeAll(requests.map((request) => ({ ...request, key: at(request.key) }))),
    seen: (key, ttl) => state.seen(at(key), ttl),
    get: (key) => state.get(at(key)),
    set: (key, value, ttl) => state.set(at(key), value, ttl),
    add: (key, by, ttl) => state.add(at(key), by, ttl),
    delete: (key) => state.delete(at(key)),
  };
}

/** What a shadow plugin gives, only itself sees. A transaction without the note shows its session's. */
function makeNote<T>(
  shared: WeakMap<object, unknown>,
  own: WeakMap<object, unknown> | undefined,
  isShadow: (on: object) => boolean,
): Note<T> {
  const find = (on: object): unknown =>
    own?.has(on) === true ? own.get(on) : shared.has(on) ? shared.get(on) : undefined;
  return {
    set: (on, value) => {
      if (typeof on !== "object" || on === null) {
        throw new TypeError("A note is set on a session or a transaction");
      }
      (own !== undefined && isShadow(on) ? own : shared).set(on, value);
    },
    get: (on) => {
      const found = find(on);
      if (found !== undefined) return found as T;
      const session = (on as { readonly session?: unknown }).session;
      return typeof session === "object" && session !== null ? find(session) as T : undefined;
    },
  };
}

/** Stops with the generation; what the callback throws or rejects with is counted. */
function watch(
  services: PipelineServices,
  owner: EdgeOwner,
  path: string,
  changed: () => void,
): () => void {
  const stop = services.watchFile(path, () => {
    try {
      const answer: unknown = changed();
      if (answer !== undefined) swallow(answer, (cause) => owner.broke(cause, true));
    } catch (cause) {
      owner.broke(cause, false);
    }
  });
  const dispose = () => {
    if (owner.disposers.delete(dispose)) stop();
  };
  owner.disposers.add(dispose);
  return dispose;
}
