/**
 * One transaction as the driver and the engine hold it, behind the read-only facts that plugins are given.
 *
 * Owns: score, symbols, the strongest ruling so far, the decision trace. The driver owns envelope and size.
 * @module
 */
import type { Recipient, SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type { MailParams } from "../wire/params.ts";
import type { ReversePath } from "../wire/path.ts";
import { PASS_VERDICT, type Ruling, stronger, type SymbolPoints } from "./algebra.ts";
import type { Stage } from "./answer.ts";
import { DecisionTrace } from "./trace.ts";

/** Bounds the symbols of one transaction, whatever its plugins do per recipient. */
const SYMBOLS_LIMIT = 1000;

/** One transaction; {@linkcode Transaction.facts} is what plugins see of it. */
export class Transaction {
  from: ReversePath;
  params: MailParams;
  readonly recipients: Recipient[] = [];
  /** Octets of content received so far. */
  size = 0;
  score = 0;
  readonly symbols: SymbolPoints[] = [];
  /** How often a plugin has looked at the points: who looks depends on all before it. */
  scoreLooks = 0;
  /** The strongest ruling so far that did not end its phase: a quarantine or a discard that waits for `end`. */
  ruling: Ruling = PASS_VERDICT;
  /** Whose {@linkcode Transaction.ruling} it is. */
  ruledBy: string | undefined = undefined;
  readonly trace: DecisionTrace = new DecisionTrace();
  /** The last stage it has come to, whether or not a plugin has a hook there. */
  reached: Stage = "mail";
  readonly facts: TransactionFacts;

  constructor(
    readonly id: string,
    readonly session: SessionFacts,
    from: ReversePath,
    params: MailParams,
  ) {
    this.from = from;
    this.params = params;
    this.facts = new Facts(this);
  }

  /** Adds points; the sum stays finite whatever is added. */
  addScore(symbol: string, points: number): void {
    const sum = this.score + points;
    this.score = Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, sum));
    if (this.symbols.length < SYMBOLS_LIMIT) this.symbols.push({ symbol, points });
  }

  /** Keeps the stronger of the ruling so far and this one. */
  rule(ruling: Ruling, plugin: string | undefined): void {
    const strongest = stronger(this.ruling, ruling);
    if (strongest === this.ruling) return;
    this.ruling = strongest;
    this.ruledBy = plugin;
  }
}

/** The view of plugins: getters only, so that nothing can be assigned (in strict mode it throws). */
class Facts implements TransactionFacts {
  readonly #tx: Transaction;
  constructor(tx: Transaction) {
    this.#tx = tx;
  }
  get id(): string {
    return this.#tx.id;
  }
  get session(): SessionFacts {
    return this.#tx.session;
  }
  get from(): ReversePath {
    return this.#tx.from;
  }
  get params(): MailParams {
    return this.#tx.params;
  }
  get recipients(): readonly Recipient[] {
    return this.#tx.recipients;
  }
  get size(): number {
    return this.#tx.size;
  }
  get score(): number {
    this.#tx.scoreLooks++;
    return this.#tx.score;
  }
  get symbols(): readonly SymbolPoints[] {
    this.#tx.scoreLooks++;
    return this.#tx.symbols;
  }
}
