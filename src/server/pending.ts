/**
 * What a session waits for: one Effect at a time. What completes at once costs no wait; what does not stops the reading until
 * it has ended. Between the dot and its reply nothing interrupts it.
 * @module
 */
import type * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type * as Fiber from "effect/Fiber";
import type { Outcome } from "../pipeline/algebra.ts";

/** What the owner does when something has ended. */
export interface PendingOwner {
  /** Something is waited for from now on. */
  waiting(): void;
  /** What was waited for has ended, and has been told. */
  ended(): void;
  /** A defect: nothing of ours should fail here. */
  failed(cause: Cause.Cause<never>): void;
}

/** How an Effect is started: by the program's clock, or by one that a test holds. */
export type Fork = <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>;

/** The one thing that is waited for. */
export class Pending {
  readonly #owner: PendingOwner;
  readonly #fork: Fork;
  #fiber: Fiber.Fiber<unknown, unknown> | undefined;
  #committing = false;
  #cancelled = false;

  constructor(owner: PendingOwner, fork: Fork) {
    this.#owner = owner;
    this.#fork = fork;
  }

  /** Something is waited for. */
  get active(): boolean {
    return this.#fiber !== undefined;
  }

  /** It is the reply to the dot. */
  get committing(): boolean {
    return this.#committing;
  }

  /** Runs an Effect; `done` is told its value, maybe in this call. */
  run<A>(effect: Effect.Effect<A>, done: (value: A) => void): void {
    const fiber = this.#fork(effect);
    const exit = fiber.pollUnsafe();
    if (exit !== undefined) {
      this.#exited(exit, done);
      return;
    }
    this.#fiber = fiber;
    this.#owner.waiting();
    fiber.addObserver((late) => {
      this.#fiber = undefined;
      this.#exited(late, done);
      this.#owner.ended();
    });
  }

  /** As `run`, but `cancel` does not reach it. */
  commit<A>(effect: Effect.Effect<A>, done: (value: A) => void): void {
    this.#committing = true;
    this.run(effect, (value) => {
      this.#committing = false;
      done(value);
    });
  }

  /** Goes on at once with a plain outcome, later with an awaited one; waits where a policy asked for a delay. */
  decided(outcome: Outcome | Effect.Effect<Outcome>, next: (outcome: Outcome) => void): void {
    const delayed = (settled: Outcome): void => {
      if (settled.delayMs > 0) this.run(Effect.sleep(settled.delayMs), () => next(settled));
      else next(settled);
    };
    if (Effect.isEffect(outcome)) this.run(outcome, delayed);
    else delayed(outcome);
  }

  /** Nobody wants to know any more; a commit goes on to its end. */
  cancel(): void {
    if (this.#committing) return;
    this.#cancelled = true;
    this.#fiber?.interruptUnsafe();
  }

  #exited<A>(exit: Exit.Exit<A>, done: (value: A) => void): void {
    if (Exit.isSuccess(exit)) {
      if (!this.#cancelled) done(exit.value);
      return;
    }
    this.#committing = false;
    if (!this.#cancelled) this.#owner.failed(exit.cause);
  }
}
