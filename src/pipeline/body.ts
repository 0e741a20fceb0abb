/**
 * Body hooks of one transaction: transforms and observers in step with the bytes, scanners beside them.
 *
 * No Effect and no promise per chunk. The scanners' verdicts gate the dot: `finish` waits for them, each within its
 * plugin's budget counted from the end of the content.
 * @module
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import type { HeaderView } from "../plugin/facts.ts";
import type { BodyHooks } from "../plugin/module.ts";
import type { HeaderEdit } from "../wire/headers.ts";
import { combine, isRefusal, type Outcome, outcomeOf, PASS, type Refusal } from "./algebra.ts";
import { type HookAnswer, Nonsense, readAnswer } from "./answer.ts";
import { failureVerdict, OverBudget } from "./failure.ts";
import { closeDraft, HeaderDraft } from "./header_draft.ts";
import {
  CallContext,
  DraftContext,
  EndContext,
  isThenable,
  PendingAnswer,
  swallow,
} from "./hook.ts";
import { type CompiledPlugin, failed, type Host, settle, type Step } from "./phase.ts";
import { Tee } from "./tee.ts";
import type { Transaction } from "./transaction.ts";

/** A body hook broke, and its plugin's `onError` is not `pass`: the message cannot go on. */
export interface BodyFault {
  readonly fault: Refusal;
  readonly plugin: string;
}

/** Body hooks of one transaction. Calls come in order: push*, flush, then finish or cancel. */
export interface BodyPipeline {
  /** True: no hook changes the content, `push` gives back what it was given. */
  readonly observeOnly: boolean;
  /** The next octets of content; gives what goes on. A fault is final: it is given again for whatever comes. */
  push(chunk: Uint8Array): Uint8Array | BodyFault;
  /** The content is complete: what transforms have to add behind it. Once, before `finish`. */
  flush(): Uint8Array | BodyFault;
  /** True: a scanner is behind; run `room` before the next push, or memory grows. */
  readonly full: boolean;
  /** Succeeds when every scanner has room; one that does not read within its budget has failed. */
  room(): Effect.Effect<void>;
  /** The content is complete: every scanner's verdict. */
  finish(): Outcome | Effect.Effect<Outcome>;
  /** The content is broken off: scanners are aborted. Idempotent; harmless after `finish`. */
  cancel(): void;
}

interface Scan {
  readonly tee: Tee;
  answer: PendingAnswer | HookAnswer | { readonly cause: unknown };
}

interface Runner {
  readonly plugin: CompiledPlugin;
  readonly hooks: BodyHooks;
  readonly context: EndContext;
  readonly scan: Scan | undefined;
  /** A hook broke and its failure is passed over. */
  off: boolean;
  /** Its transform has given something else than it was given. */
  changed: boolean;
}

/** Body hooks at work. */
export class BodyRun implements BodyPipeline {
  readonly observeOnly: boolean;
  readonly #host: Host;
  readonly #tx: Transaction;
  readonly #runners: Runner[] = [];
  /** Where the body is held. */
  readonly #header: HeaderView | undefined;
  readonly #startedAt: number;
  #fault: BodyFault | undefined;

  constructor(
    host: Host,
    tx: Transaction,
    steps: readonly Step<BodyHooks>[],
    header: HeaderView | undefined,
  ) {
    this.#host = host;
    this.#tx = tx;
    this.#header = header;
    this.#startedAt = host.now();
    let observeOnly = true;
    for (const { plugin, hook } of steps) {
      if (changes(hook) && !plugin.shadow) observeOnly = false;
      const context = new EndContext(tx.facts, header && new HeaderDraft(header));
      const scan = hook.scan === undefined ? undefined : this.#startScan(hook, context);
      this.#runners.push({ plugin, hooks: hook, context, scan, off: false, changed: false });
    }
    this.observeOnly = observeOnly;
  }

  #startScan(hooks: BodyHooks, context: EndContext): Scan {
    const tee = new Tee();
    const scan: Scan = { tee, answer: { cause: undefined } };
    try {
      const answer: unknown = hooks.scan!(tee, context);
      if (answer !== undefined && isThenable(answer)) {
        const pending = new PendingAnswer(answer, context, this.#host.pending);
        scan.answer = pending;
        pending.notify = () => release(scan);
        if (pending.state !== "pending") release(scan);
      } else {
        tee.drop();
        scan.answer = readAnswer("body", answer);
      }
    } catch (cause) {
      tee.drop();
      scan.answer = { cause };
    }
    return scan;
  }

  push(chunk: Uint8Array): Uint8Array | BodyFault {
    if (this.#fault !== undefined) return this.#fault;
    let content = chunk;
    for (let i = 0; i < this.#runners.length; i++) {
      const runner = this.#runners[i]!;
      try {
        content = passed(runner, content);
      } catch (cause) {
        const fault = this.#broke(runner, cause);
        if (fault !== undefined) return fault;
      }
    }
    return content;
  }

  flush(): Uint8Array | BodyFault {
    if (this.#fault !== undefined) return this.#fault;
    let content = NOTHING;
    for (const runner of this.#runners) {
      try {
        if (content.length > 0) content = passed(runner, content);
        if (!runner.off && runner.hooks.flush !== undefined) {
          content = joined(content, flushed(runner));
        }
      } catch (cause) {
        const fault = this.#broke(runner, cause);
        if (fault !== undefined) return fault;
      }
    }
    return content;
  }

  #broke(runner: Runner, cause: unknown): BodyFault | undefined {
    const { plugin } = runner;
    runner.off = true;
    const { verdict, message } = failed(this.#host, plugin, "body", this.#tx, cause, false);
    // A transform that has changed something may hold octets back: to go on without it would cut the message.
    const judged = runner.changed && !isRefusal(verdict)
      ? failureVerdict("tempfail", "body")
      : verdict;
    const outcome = settle(this.#host, plugin, "body", this.#tx, judged, 0, message, undefined);
    if (!isRefusal(outcome.verdict)) return undefined;
    this.cancel();
    return this.#fault = { fault: outcome.verdict, plugin: plugin.name };
  }

  get full(): boolean {
    for (const { scan } of this.#runners) {
      if (scan !== undefined && scan.tee.full) return true;
    }
    return false;
  }

  room(): Effect.Effect<void> {
    return Effect.forEach(
      this.#runners.filter(({ scan }) => scan?.tee.full === true),
      ({ plugin, scan }) => roomOf(scan!, plugin.budget),
      { discard: true },
    );
  }

  finish(): Outcome | Effect.Effect<Outcome> {
    if (this.#fault !== undefined) {
      return outcomeOf(this.#fault.fault, this.#fault.plugin, 0);
    }
    let waiting = false;
    for (const { scan } of this.#runners) {
      if (scan === undefined) continue;
      scan.tee.end();
      if (scan.answer instanceof PendingAnswer && scan.answer.state === "pending") waiting = true;
    }
    return waiting ? this.#wait() : this.#verdicts();
  }

  /** One after another, but all from the same start: the whole wait is at most the longest budget. */
  #wait(): Effect.Effect<Outcome> {
    const runners = this.#runners;
    const verdicts = () => this.#verdicts();
    return Effect.gen(function* () {
      const start = yield* Clock.currentTimeMillis;
      for (const { plugin, scan } of runners) {
        if (!(scan?.answer instanceof PendingAnswer)) continue;
        const gone = (yield* Clock.currentTimeMillis) - start;
        yield* scan.answer.settled(Math.max(0, plugin.budget - gone));
        release(scan);
      }
      return verdicts();
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => this.cancel())));
  }

  #verdicts(): Outcome {
    let outcome = PASS;
    const ms = this.#host.now() - this.#startedAt;
    for (const { plugin, scan, context } of this.#runners) {
      if (scan === undefined) continue;
      const { answer } = scan;
      let verdict: HookAnswer;
      let failure: string | undefined;
      let edits: readonly HeaderEdit[] | undefined;
      try {
        if (answer instanceof PendingAnswer) {
          if (answer.state === "rejected") throw answer.value;
          verdict = readAnswer("body", answer.value);
        } else if ("cause" in answer) {
          throw answer.cause;
        } else {
          verdict = answer;
        }
        edits = this.#edits(context, !plugin.shadow);
      } catch (cause) {
        this.#edits(context, false);
        const asynchronous = answer instanceof PendingAnswer;
        ({ verdict, message: failure } = failed(
          this.#host,
          plugin,
          "body",
          this.#tx,
          cause,
          asynchronous,
        ));
      }
      outcome = combine(
        outcome,
        settle(this.#host, plugin, "body", this.#tx, verdict, ms, failure, edits),
      );
    }
    return outcome;
  }

  #edits(context: EndContext, commit: boolean): readonly HeaderEdit[] | undefined {
    const header = this.#header;
    return header && closeDraft(header, DraftContext.draftOf(context), commit);
  }

  cancel(): void {
    const reason = new DOMException("The content is broken off", "AbortError");
    for (const { scan, context } of this.#runners) {
      if (scan?.answer instanceof PendingAnswer) {
        scan.answer.abandon(reason);
        release(scan);
      }
      CallContext.abort(context, reason);
    }
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);

/** Whether hooks of the body may change the content. */
export function changes(hooks: BodyHooks): boolean {
  return hooks.transform !== undefined || hooks.flush !== undefined;
}

/** Content on its way by one plugin: to its scanner, its observer, its transform. */
function passed(runner: Runner, content: Uint8Array): Uint8Array {
  runner.scan?.tee.push(content);
  if (runner.off) return content;
  if (runner.hooks.observe !== undefined) {
    const answer: unknown = runner.hooks.observe(content, runner.context);
    if (answer !== undefined) {
      swallow(answer);
      throw new Nonsense("observe answers nothing and waits for nothing");
    }
  }
  return runner.hooks.transform === undefined ? content : transformed(runner, content);
}

/** What a plugin adds at the end; a shadow one adds nothing. */
function flushed(runner: Runner): Uint8Array {
  const output: unknown = runner.hooks.flush!(runner.context);
  if (output === undefined) return NOTHING;
  if (!(output instanceof Uint8Array)) {
    swallow(output);
    throw new Nonsense("flush gives a Uint8Array or nothing, at once");
  }
  return runner.plugin.shadow ? NOTHING : output;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** A shadow transform works on a copy: it may change its chunk in place. */
function transformed(runner: Runner, chunk: Uint8Array): Uint8Array {
  const input = runner.plugin.shadow ? new Uint8Array(chunk) : chunk;
  const output: unknown = runner.hooks.transform!(input, runner.context);
  if (!(output instanceof Uint8Array)) {
    swallow(output);
    throw new Nonsense("transform gives a Uint8Array, at once");
  }
  if (runner.plugin.shadow) return chunk;
  if (output !== input) runner.changed = true;
  return output;
}

/** The scanner has answered, or will not be heard any more: then what it still reads breaks off. */
function release({ tee, answer }: Scan): void {
  if (answer instanceof PendingAnswer && answer.state === "rejected") tee.break(answer.value);
  else tee.drop();
}

function roomOf(scan: Scan, budget: number): Effect.Effect<void> {
  return Effect.timeoutOrElse(
    Effect.callback<void>((resume) => {
      if (!scan.tee.full) return resume(Effect.void);
      scan.tee.roomy = () => resume(Effect.void);
      return Effect.sync(() => {
        scan.tee.roomy = undefined;
      });
    }),
    {
      duration: budget,
      orElse: () =>
        Effect.sync(() => {
          if (scan.answer instanceof PendingAnswer) scan.answer.abandon(new OverBudget(budget));
          release(scan);
        }),
    },
  );
}
