/**
 * Facts inside a worker: one object for each session and transaction, as inline plugins have, for they hang their own
 * knowledge on it (`WeakMap`, notes). What is in it follows the snapshots.
 * @module
 */
import { Notes } from "../pipeline/make_edge.ts";
import type { Recipient, SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type { NoteValue, SessionSnapshot, Tail, TransactionSnapshot } from "./protocol.ts";

/** A note that the plugin sets, on its way to the host. */
export interface NoteOut {
  readonly name: string;
  readonly session: string;
  readonly tx: string | undefined;
  readonly value: unknown;
}

type Place = Pick<NoteOut, "session" | "tx">;

interface Session {
  readonly facts: SessionFacts;
  readonly held: Held<SessionFacts>;
  tx: Transaction | undefined;
}

interface Transaction {
  readonly facts: TransactionFacts;
  readonly held: Held<TransactionFacts>;
  readonly recipients: Recipient[];
  readonly symbols: { readonly symbol: string; readonly points: number }[];
}

interface Held<T> {
  now: T;
}

const SESSION_KEYS = [
  "id",
  "listener",
  "hostname",
  "remote",
  "local",
  "clientName",
  "helo",
  "esmtp",
  "tls",
  "identity",
  "startedAt",
] as const satisfies readonly (keyof SessionFacts)[];
const TRANSACTION_KEYS = [
  "id",
  "session",
  "from",
  "params",
  "recipients",
  "size",
  "score",
  "symbols",
] as const satisfies readonly (keyof TransactionFacts)[];

/** What the worker knows of sessions. */
export class FactsIn {
  readonly notes: Notes;
  readonly #notes: GuestNotes;
  readonly #sessions = new Map<string, Session>();
  readonly #places = new WeakMap<object, Place>();

  constructor(send: (note: NoteOut) => void) {
    this.notes = this.#notes = new GuestNotes((name, on, value) => {
      const place = this.#places.get(on);
      if (place !== undefined) send({ name, ...place, value });
    });
  }

  session({ facts, notes }: SessionSnapshot): SessionFacts {
    let session = this.#sessions.get(facts.id);
    if (session === undefined) {
      const held = { now: facts };
      session = { facts: view(SESSION_KEYS, held), held, tx: undefined };
      this.#sessions.set(facts.id, session);
      this.#places.set(session.facts, { session: facts.id, tx: undefined });
    }
    session.held.now = facts;
    this.#notes.receive(session.facts, notes);
    return session.facts;
  }

  /** After its session. */
  transaction(of: SessionFacts, { facts, recipients, symbols, notes }: TransactionSnapshot) {
    const session = this.#sessions.get(of.id)!;
    let tx = session.tx;
    if (tx?.facts.id !== facts.id) {
      const lists = { recipients: [], symbols: [] };
      const held = { now: { ...facts, session: of, ...lists } };
      tx = { facts: view(TRANSACTION_KEYS, held), held, ...lists };
      session.tx = tx;
      this.#places.set(tx.facts, { session: of.id, tx: facts.id });
    }
    append(tx.recipients, recipients);
    append(tx.symbols, symbols);
    tx.held.now = { ...facts, session: of, recipients: tx.recipients, symbols: tx.symbols };
    this.#notes.receive(tx.facts, notes);
    return tx.facts;
  }

  forget(session: string): void {
    this.#sessions.delete(session);
  }
}

function append<T>(list: T[], { from, items }: Tail<T>): void {
  list.length = Math.min(list.length, from);
  list.push(...items);
}

/** Getters only: an assignment throws at the plugin's own line, as it does inline. */
function view<T extends object>(keys: readonly (keyof T)[], held: Held<T>): T {
  const facts = {};
  for (const key of keys) {
    Object.defineProperty(facts, key, { enumerable: true, get: () => held.now[key] });
  }
  return Object.freeze(facts) as T;
}

/** Notes that are told to the host when they are set. */
class GuestNotes extends Notes {
  readonly #made = new Map<string, NoteMap>();
  readonly #told: (name: string, on: object, value: unknown) => void;

  constructor(told: (name: string, on: object, value: unknown) => void) {
    super();
    this.#told = told;
  }

  override of(name: string): WeakMap<object, unknown> {
    let notes = this.#made.get(name);
    if (notes === undefined) {
      notes = new NoteMap((on, value) => this.#told(name, on, value));
      this.#made.set(name, notes);
    }
    return notes;
  }

  /** What other plugins gave. */
  receive(on: object, notes: readonly NoteValue[]): void {
    for (const [name, value] of notes) NoteMap.receive(this.of(name) as NoteMap, on, value);
  }
}

class NoteMap extends WeakMap<object, unknown> {
  readonly #told: (on: object, value: unknown) => void;

  constructor(told: (on: object, value: unknown) => void) {
    super();
    this.#told = told;
  }

  /** What cannot be cloned throws here. */
  override set(on: object, value: unknown): this {
    this.#told(on, value);
    return super.set(on, value);
  }

  static receive(notes: NoteMap, on: object, value: unknown): void {
    WeakMap.prototype.set.call(notes, on, value);
  }
}
