/**
 * The stub resolver: questions to the configured servers, retried, within a budget; answers cached; the same question asked
 * once for all who ask it at the same time.
 *
 * Owns: retries, budgets, cache, and how many questions are under way.   Never: takes a failure for a "no" (SERVFAIL, a
 * timeout and nonsense are all `failed`), keeps a failure, sets a timer of its own.
 * Sources: RFC 1034 section 5.3.1, RFC 2308 (negative answers).
 * @module
 */
import type { DnsAnswer, DnsFailed, DnsType } from "../plugin/dns.ts";
import { CHAIN_LIMIT, failed, type Meaning, meaningOf } from "./answer.ts";
import { AnswerCache } from "./cache.ts";
import { askServer, type DnsServer } from "./exchange.ts";
import { normalName } from "./names.ts";

/** How it asks. */
export interface ResolverOptions {
  /** The servers as they are now, in order. */
  readonly servers: () => readonly DnsServer[] | Promise<readonly DnsServer[]>;
  /** Milliseconds that one server has for one try. */
  readonly timeout: number;
  /** Tries with each server. */
  readonly tries: number;
  /** Milliseconds for a question, all tries and names together. */
  readonly budget: number;
  /** Answers that are kept. */
  readonly cache: number;
  /** Questions under way at once, each with a socket; more wait for their turn, within their budget. Default 256. */
  readonly atOnce?: number;
  readonly now: () => number;
  /** Runs a function once after so many milliseconds; returns how to prevent it. */
  readonly later: (ms: number, run: () => void) => () => void;
}

const AT_ONCE = 256;
/** Questions under way or waiting; more fail at once. */
const WAITING_LIMIT = 10_000;
/** Milliseconds for which a server that did not answer is asked last. */
const REST = 30_000;
/** Octets of an answer that is kept: a number of entries would else be no limit. */
const KEPT_SIZE = 4096;

/** One question, for all who have it. */
interface Flight {
  readonly answer: Promise<DnsAnswer>;
  readonly abort: AbortController;
  asking: number;
}

/** The resolver. */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #cache: AnswerCache;
  readonly #flights = new Map<string, Flight>();
  readonly #resting = new Map<string, number>();
  readonly #turns = new Set<() => void>();
  #busy = 0;
  #closed = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#cache = new AnswerCache(options.cache);
  }

  /**
   * Asks. Never rejects. When everybody who asked has aborted, the question is given up, and `failed` is what those get that
   * still look.
   */
  async resolve(name: string, type: DnsType, signal?: AbortSignal): Promise<DnsAnswer> {
    const asked = normalName(name);
    if (asked === undefined) return { status: "no-name", authenticated: false, ttl: 0 };
    const key = `${type} ${asked}`;
    const kept = this.#cache.get(key, this.#options.now());
    if (kept !== undefined) return kept;
    const flight = this.#flights.get(key) ?? this.#start(key, asked, type);
    if (flight === undefined) return failed("timeout", "no more questions are taken");
    flight.asking++;
    const leave = (): void => {
      if (--flight.asking > 0) return;
      // Whoever asks next begins anew.
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
      flight.abort.abort();
    };
    if (signal?.aborted === true) leave();
    else signal?.addEventListener("abort", leave, { once: true });
    try {
      return await flight.answer;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  /** Gives up what is under way. */
  close(): void {
    this.#closed = true;
    for (const { abort } of this.#flights.values()) abort.abort();
  }

  #start(key: string, name: string, type: DnsType): Flight | undefined {
    if (this.#closed || this.#flights.size >= WAITING_LIMIT) return undefined;
    const abort = new AbortController();
    const answer = this.#lookUp(key, name, type, abort);
    const flight = { answer, abort, asking: 0 };
    this.#flights.set(key, flight);
    void answer.then(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    return flight;
  }

  async #lookUp(
    key: string,
    name: string,
    type: DnsType,
    abort: AbortController,
  ): Promise<DnsAnswer> {
    const { signal } = abort;
    const cancel = this.#options.later(this.#options.budget, () => abort.abort());
    const hasPlace = await this.#place(signal);
    try {
      if (!hasPlace) return failed("timeout", "too many questions are under way");
      const { answer, size } = await this.#follow(name, type, signal);
      if (answer.status !== "failed" && size <= KEPT_SIZE) {
        this.#cache.set(key, answer, this.#options.now());
      }
      return answer;
    } catch (error) {
      return failed("unreachable", error instanceof Error ? error.message : String(error));
    } finally {
      cancel();
      if (hasPlace) this.#leavePlace();
    }
  }

  /** Waits until there is room for one more; false when its time was over before. */
  #place(signal: AbortSignal): boolean | Promise<boolean> {
    if (this.#busy < (this.#options.atOnce ?? AT_ONCE)) {
      this.#busy++;
      return true;
    }
    return new Promise((resolve) => {
      const go = (): void => resolve(true);
      this.#turns.add(go);
      signal.addEventListener("abort", () => resolve(!this.#turns.delete(go)), { once: true });
    });
  }

  /** Gives the place to who has waited longest. */
  #leavePlace(): void {
    const [next] = this.#turns;
    if (next === undefined) {
      this.#busy--;
    } else {
      this.#turns.delete(next);
      next();
    }
  }

  /** Goes after CNAMEs that lead out of what a server answered; the last name's answer is the answer. */
  async #follow(
    asked: string,
    type: DnsType,
    signal: AbortSignal,
  ): Promise<{ readonly answer: DnsAnswer; readonly size: number }> {
    let name = asked;
    let ttl = Infinity;
    let authenticated = true;
    const seen = new Set<string>();
    while (!seen.has(name) && seen.size <= CHAIN_LIMIT) {
      seen.add(name);
      const { meaning, size } = await this.#ask(name, type, signal);
      if (meaning.status === "failed") return { answer: meaning, size };
      ttl = Math.min(ttl, meaning.ttl);
      authenticated &&= meaning.authenticated;
      if (meaning.status !== "elsewhere") {
        return { answer: { ...meaning, ttl, authenticated }, size };
      }
      name = meaning.name;
    }
    const answer = failed("malformed", `CNAMEs of ${asked} lead nowhere`);
    return { answer, size: 0 };
  }

  /** Asks one server after the other. Who has answered with a failure is not asked again. */
  async #ask(
    name: string,
    type: DnsType,
    signal: AbortSignal,
  ): Promise<{ readonly meaning: Meaning; readonly size: number }> {
    let left = this.#inOrder(await this.#options.servers());
    let last: DnsFailed = failed("unreachable", "there is no server");
    for (let round = 0; round < this.#options.tries; round++) {
      for (const server of left) {
        if (signal.aborted) return { meaning: ended(last), size: 0 };
        const response = await this.#try(server, name, type, signal);
        const meaning = "rcode" in response ? meaningOf(response, name, type) : response;
        if (meaning.status !== "failed") {
          return { meaning, size: "rcode" in response ? response.size : 0 };
        }
        last = meaning;
        if ("rcode" in response) left = left.filter((each) => each !== server);
      }
    }
    return { meaning: last, size: 0 };
  }

  /** One server, for as long as one try may take. */
  async #try(server: DnsServer, name: string, type: DnsType, signal: AbortSignal) {
    const { timeout, later, now } = this.#options;
    const own = new AbortController();
    const abort = (): void => own.abort();
    const cancel = later(timeout, abort);
    signal.addEventListener("abort", abort);
    const response = await askServer(server, name, type, own.signal);
    cancel();
    signal.removeEventListener("abort", abort);
    const place = placeOf(server);
    // Whoever is given up before his time has not shown that he does not answer.
    if ("rcode" in response) this.#resting.delete(place);
    else if (!signal.aborted) this.#resting.set(place, now() + REST);
    return response;
  }

  /** Those that did not answer lately come last. */
  #inOrder(servers: readonly DnsServer[]): readonly DnsServer[] {
    const now = this.#options.now();
    const rests = (server: DnsServer): boolean => (this.#resting.get(placeOf(server)) ?? 0) > now;
    return [...servers.filter((each) => !rests(each)), ...servers.filter(rests)];
  }
}

function ended(last: DnsFailed): DnsFailed {
  return last.reason === "timeout" ? last : failed("timeout", "the time for the question is over");
}

function placeOf({ host, port }: DnsServer): string {
  return `${host} ${port}`;
}
