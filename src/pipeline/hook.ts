/**
 * One call of one hook: its context, and its answer while that is a promise.
 *
 * The hook is called first; only when it returned a thenable do abort signal, budget and Effect come in. A thenable's
 * rejection is taken over in the same tick, so a late one is never unhandled; nothing stays behind a thenable that
 * never settles.
 * @module
 */
import * as Effect from "effect/Effect";
import type { ContentContext, HookContext, TransactionContext } from "../plugin/module.ts";
import type { HeaderView, SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import { OverBudget } from "./failure.ts";
import type { HeaderDraft } from "./header_draft.ts";

/** A context's signal, once anybody has asked for it or it was aborted. */
interface Abort {
  controller: AbortController | undefined;
  aborted: boolean;
  reason: unknown;
}

/** A context whose signal can be aborted; the controller is made when a plugin first reads the signal. */
export class CallContext implements HookContext {
  /** One field, as a context is made for nearly every call of a hook. */
  #abort: Abort | undefined;

  constructor(readonly session: SessionFacts) {}

  get signal(): AbortSignal {
    const abort = this.#abort ??= { controller: undefined, aborted: false, reason: undefined };
    if (abort.controller === undefined) {
      abort.controller = new AbortController();
      if (abort.aborted) abort.controller.abort(abort.reason);
    }
    return abort.controller.signal;
  }

  /** Whether a plugin has its signal, or it is aborted: then it cannot serve for another call. */
  static touched(context: CallContext): boolean {
    return context.#abort !== undefined;
  }

  /** Aborts the signal, once. Listeners that throw are the platform's affair: they cannot throw here. */
  static abort(context: CallContext, reason: unknown): void {
    const abort = context.#abort ??= { controller: undefined, aborted: false, reason: undefined };
    if (abort.aborted) return;
    abort.aborted = true;
    abort.reason = reason;
    abort.controller?.abort(reason);
  }
}

/** The context inside a transaction. */
export class TxContext extends CallContext implements TransactionContext {
  constructor(readonly tx: TransactionFacts) {
    super(tx.session);
  }
}

/** The context of `mail`. */
export class MailContext extends TxContext {
  constructor(tx: TransactionFacts, readonly params: MailParams) {
    super(tx);
  }
}

/** The context of `rcpt`. */
export class RcptContext extends TxContext {
  constructor(tx: TransactionFacts, readonly params: RcptParams) {
    super(tx);
  }
}

/** The context of hooks that may edit the header: each call has a draft of its own. */
export class DraftContext extends TxContext {
  readonly #draft: HeaderDraft | undefined;

  constructor(tx: TransactionFacts, draft: HeaderDraft | undefined) {
    super(tx);
    this.#draft = draft;
  }

  /** The call's draft; undefined where there is no header to edit. */
  static draftOf(context: CallContext): HeaderDraft | undefined {
    return context instanceof DraftContext ? context.#draft : undefined;
  }
}

/** The context of `end` and of body hooks. */
export class EndContext extends DraftContext implements ContentContext {
  get header(): HeaderView | undefined {
    return DraftContext.draftOf(this);
  }
}

/** A thenable of any realm; reading `then` may throw, which is the caller's to catch. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (typeof value === "object" && value !== null || typeof value === "function") &&
    typeof (value as { readonly then?: unknown }).then === "function";
}

/** A promise where none is wanted: its rejection must not go unhandled. */
export function swallow(value: unknown, rejected: (cause: unknown) => void = () => {}): void {
  try {
    if (isThenable(value)) value.then(undefined, rejected);
  } catch {
    // A hostile thenable; it was no answer before, it is none now.
  }
}

/** Microtasks that an answer may take before a timer is worth its price: an `async` hook that waits for nothing needs no timer. */
const GRACE = 4;

/** A thenable that a hook returned: what it settled with, or who wants to know. */
export class PendingAnswer {
  state: "pending" | "fulfilled" | "rejected" = "pending";
  value: unknown = undefined;
  /** When it settled, on the clock it was given. */
  settledAt: number | undefined = undefined;
  /** Told once, when it settles. */
  notify: (() => void) | undefined = undefined;
  readonly #context: CallContext;
  readonly #among: Set<PendingAnswer>;
  readonly #now: (() => number) | undefined;

  /** Stands in `among` until it has settled. */
  constructor(
    thenable: PromiseLike<unknown>,
    context: CallContext,
    among: Set<PendingAnswer>,
    now?: () => number,
  ) {
    this.#now = now;
    this.#context = context;
    this.#among = among;
    among.add(this);
    try {
      thenable.then(
        (value) => this.#settle("fulfilled", value),
        (cause) => this.#settle("rejected", cause),
      );
    } catch (cause) {
      this.#settle("rejected", cause);
    }
  }

  #settle(state: "fulfilled" | "rejected", value: unknown): void {
    if (this.state !== "pending") return;
    this.state = state;
    this.value = value;
    this.settledAt = this.#now?.();
    this.#among.delete(this);
    const notify = this.notify;
    this.notify = undefined;
    notify?.();
  }

  /** Gives up: aborts the signal; what the thenable still says is not heard. */
  abandon(reason: unknown): void {
    if (this.state !== "pending") return;
    this.#settle("rejected", reason);
    CallContext.abort(this.#context, reason);
  }

  /** Succeeds once it has settled, one way or the other: within `budget` milliseconds, or abandoned. Interruption abandons it. */
  settled(budget: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.state !== "pending") return Effect.void;
      return Effect.callback<void>((resume) => {
        this.notify = () => resume(Effect.void);
        let hops = 0;
        const hop = () => {
          if (this.state !== "pending") return;
          if (++hops < GRACE) queueMicrotask(hop);
          else resume(this.#timed(budget));
        };
        queueMicrotask(hop);
        return this.#interrupted;
      });
    });
  }

  #timed(budget: number): Effect.Effect<void> {
    return Effect.timeoutOrElse(
      Effect.callback<void>((resume) => {
        if (this.state !== "pending") return resume(Effect.void);
        this.notify = () => resume(Effect.void);
        return Effect.sync(() => {
          this.notify = undefined;
        });
      }),
      {
        duration: budget,
        orElse: () => Effect.sync(() => this.abandon(new OverBudget(budget))),
      },
    ).pipe(Effect.onInterrupt(() => this.#interrupted));
  }

  readonly #interrupted = Effect.sync(() =>
    this.abandon(new DOMException("The session is gone", "AbortError"))
  );
}
