/**
 * Sessions that are open now, by key: how many one client, network or login has at once.
 *
 * Held in the process and not in the shared state: a process that dies would leave its sessions counted for ever.
 * @module
 */
import type { SessionFacts } from "@postern/postern/plugin";
import type { Rule } from "./options.ts";

/** The counts of one plugin instance. */
export class OpenSessions {
  readonly #counts = new Map<string, number>();
  readonly #held = new WeakMap<SessionFacts, Map<Rule, string>>();

  /** Counts a session under a key, once; false where the key has no room. It may be under one key of a rule only. */
  hold(session: SessionFacts, rule: Rule, key: string): boolean {
    const held = this.#held.get(session);
    const before = held?.get(rule);
    if (before === key) return true;
    const count = this.#counts.get(key) ?? 0;
    if (count >= rule.limit) return false;
    // Another login, or another client behind XCLIENT: it is that one's session from now on.
    if (before !== undefined) this.#drop(before);
    this.#counts.set(key, count + 1);
    if (held === undefined) this.#held.set(session, new Map([[rule, key]]));
    else held.set(rule, key);
    return true;
  }

  /** Sessions under a key. */
  count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  /** The session has ended. */
  release(session: SessionFacts): void {
    for (const key of this.#held.get(session)?.values() ?? []) this.#drop(key);
    this.#held.delete(session);
  }

  #drop(key: string): void {
    const count = (this.#counts.get(key) ?? 1) - 1;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}
