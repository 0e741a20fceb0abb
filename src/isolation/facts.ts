/**
 * Facts on their way to a worker: snapshots, with what the worker already has left out, and the notes it reads.
 * @module
 */
import type { Edge } from "../plugin/edge.ts";
import type { SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type { NoteValue, SessionSnapshot, Tail, TransactionSnapshot } from "./protocol.ts";

interface Sent {
  recipients: number;
  symbols: number;
}

interface Live {
  readonly session: SessionFacts;
  tx: TransactionFacts | undefined;
}

/** What one worker knows of sessions; a new worker begins with none. */
export class FactsOut {
  readonly #notes: readonly string[];
  readonly #edge: Edge;
  readonly #sent = new WeakMap<TransactionFacts, Sent>();
  readonly #live = new Map<string, Live>();

  /** `notes`: names of the notes that the plugin's manifest reads. */
  constructor(edge: Edge, notes: readonly string[]) {
    this.#edge = edge;
    this.#notes = notes;
  }

  session(facts: SessionFacts): SessionSnapshot {
    if (this.#live.get(facts.id)?.session !== facts) {
      this.#live.set(facts.id, { session: facts, tx: undefined });
    }
    const { id, listener, hostname, remote, local, clientName, helo, esmtp } = facts;
    const { tls, identity, startedAt } = facts;
    return {
      facts: {
        id,
        listener,
        hostname,
        remote: { address: remote.address, port: remote.port },
        local: { address: local.address, port: local.port },
        clientName,
        helo,
        esmtp,
        tls,
        identity,
        startedAt,
      },
      notes: this.#notesOn(facts),
    };
  }

  /** After {@linkcode FactsOut.session} of its session. */
  transaction(facts: TransactionFacts): TransactionSnapshot {
    const live = this.#live.get(facts.session.id);
    if (live !== undefined) live.tx = facts;
    let sent = this.#sent.get(facts);
    if (sent === undefined) this.#sent.set(facts, sent = { recipients: 0, symbols: 0 });
    const { id, from, params, size, score } = facts;
    const recipients = tail(facts.recipients, sent.recipients);
    const symbols = tail(facts.symbols, sent.symbols);
    sent.recipients = facts.recipients.length;
    sent.symbols = facts.symbols.length;
    return {
      facts: { id, from, params, size, score },
      recipients,
      symbols,
      notes: this.#notesOn(facts),
    };
  }

  /** What a note from the worker is about; undefined when it is over. */
  find(session: unknown, tx: unknown): object | undefined {
    const live = typeof session === "string" ? this.#live.get(session) : undefined;
    if (live === undefined || tx === undefined) return live?.session;
    return live.tx?.id === tx ? live.tx : undefined;
  }

  /** The session is over. True: the worker knew it. */
  forget(session: string): boolean {
    return this.#live.delete(session);
  }

  #notesOn(facts: object): readonly NoteValue[] {
    const found: NoteValue[] = [];
    for (const name of this.#notes) {
      const value = this.#edge.note(name).get(facts);
      if (value !== undefined && cloneable(value)) found.push([name, value]);
    }
    return found;
  }
}

function tail<T>(list: readonly T[], from: number): Tail<T> {
  return { from, items: list.length === from ? [] : list.slice(from) };
}

/** A note that holds a function stays behind: it must not cost the question. */
function cloneable(value: unknown): boolean {
  if (typeof value !== "object" && typeof value !== "function") return true;
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}
