/**
 * Slows guessing (CWE-307): counts failures by source network and by login, and locks either for a while.
 *
 * A login that is locked stays open to networks from which it was used before, so that a stranger cannot lock its owner
 * out. Logins are counted whether or not they exist: a lock tells nothing about that.
 * @module
 */
import type { Edge } from "@postern/postern/plugin";
import { type Network, networkKey, within } from "./network.ts";

/** Settings of the guard; durations in milliseconds. */
export interface GuardOptions {
  readonly max_failures: number;
  readonly window: number;
  readonly lock: number;
  readonly exempt: readonly Network[];
}

/** How long a network stays known for a login. */
const known = 30 * 86_400_000;

/** One attempt's view of the guard. */
export interface Attempt {
  /**
   * Runs one check after the other for one source, so that guesses sent in parallel do not outrun the lock. Sources that
   * are exempt have no queue. Who is cut off by the signal lets the next one in.
   */
  inTurn<T>(signal: AbortSignal, check: () => Promise<T>): Promise<T>;
  /** Whether the source or the login is locked now. */
  locked(): Promise<boolean>;
  /** Counts a failure. */
  failed(): Promise<void>;
  /** Remembers the network as one that this login is used from. */
  succeeded(): Promise<void>;
}

/** Makes the guard of one plugin instance. Without a login only the source is counted: who guesses tokens names anybody. */
export function guard(
  edge: Edge,
  options: GuardOptions,
): (address: string, login?: string) => Attempt {
  const { state } = edge;
  const turns = new Map<string, Promise<void>>();

  async function inTurn<T>(
    source: string,
    signal: AbortSignal,
    check: () => Promise<T>,
  ): Promise<T> {
    const before = turns.get(source);
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    turns.set(source, ended);
    const cut = () => end();
    signal.addEventListener("abort", cut);
    try {
      await before;
      return await check();
    } finally {
      end();
      signal.removeEventListener("abort", cut);
      if (turns.get(source) === ended) turns.delete(source);
    }
  }

  async function count(by: "address" | "login", key: string, address: string): Promise<void> {
    const failures = await state.add(`failures\n${key}`, 1, options.window);
    if (failures < options.max_failures) return;
    await state.set(`lock\n${key}`, "1", options.lock);
    edge.metrics.count("locks");
    // The login is left out: people type passwords into the wrong field.
    edge.log.warn("Locked after repeated failures", { by, address, failures });
  }

  async function isLocked(key: string): Promise<boolean> {
    return await state.get(`lock\n${key}`) !== undefined;
  }

  return (address, login) => {
    // One IPv6 customer has a /64 at least: addresses inside it are one source.
    const network = networkKey(address, 32, 64);
    const source = `address\n${network}`;
    const name = `login\n${login ?? ""}`;
    const used = `used\n${network}\n${login ?? ""}`;
    const trusted = within(options.exempt, address);
    return {
      inTurn: (signal, check) => trusted ? check() : inTurn(source, signal, check),
      async locked() {
        if (!trusted && await isLocked(source)) return true;
        if (login === undefined) return false;
        return await isLocked(name) && await state.get(used) === undefined;
      },
      async failed() {
        if (!trusted) await count("address", source, address);
        if (login !== undefined) await count("login", name, address);
      },
      async succeeded() {
        if (login !== undefined) await state.set(used, "1", known);
      },
    };
  };
}
