/**
 * One phase: the hooks of one stage, asked one after another, until one refuses.
 *
 * While they answer at once, so does the phase: a plain value, no Effect. The first thenable makes the rest an Effect, in
 * which hooks that need not wait for each other are asked side by side (see `together.ts`).
 * Never throws, never fails: a failure becomes the plugin's `onError` (see `failure.ts`).
 * @module
 */
import type * as Effect from "effect/Effect";
import type { HeaderEdit } from "../wire/headers.ts";
import { combine, isRefusal, type Outcome, PASS } from "./algebra.ts";
import { type HookAnswer, readAnswer } from "./answer.ts";
import { CallContext, isThenable, PendingAnswer } from "./hook.ts";
import { failed, type Host, type Question, settle, type Step } from "./phase.ts";
import { together } from "./together.ts";

/** Asks; the Effect, where there is one, is to be run once. */
export function runPhase<H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  start: Outcome = PASS,
): Outcome | Effect.Effect<Outcome> {
  return advance(host, question, steps, 0, start);
}

/** Goes on from this step; everything before it has been settled. */
function advance<H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  from: number,
  start: Outcome,
): Outcome | Effect.Effect<Outcome> {
  const { stage, tx } = question;
  let outcome = start;
  let before = host.now();
  /** A context that the hook before has not held on to. */
  let unused: CallContext | undefined;
  for (let i = from; i < steps.length; i++) {
    const { plugin, hook } = steps[i]!;
    const context = unused ?? question.context();
    unused = undefined;
    let verdict: HookAnswer;
    let failure: string | undefined;
    let edits: readonly HeaderEdit[] | undefined;
    try {
      const answer = question.ask(hook, context);
      if (answer !== undefined && isThenable(answer)) {
        const pending = new PendingAnswer(answer, context, host.pending, host.now);
        const first = { plugin, context, at: before, pending };
        return together(host, question, steps, i + 1, outcome, first, advance);
      }
      verdict = readAnswer(stage, answer);
      if (question.edits !== undefined) edits = question.edits(context, !plugin.shadow);
      else if (!CallContext.touched(context)) unused = context;
    } catch (cause) {
      question.edits?.(context, false);
      ({ verdict, message: failure } = failed(host, plugin, stage, tx, cause, false));
    }
    const after = host.now();
    outcome = combine(
      outcome,
      settle(host, plugin, stage, tx, verdict, after - before, failure, edits),
    );
    if (isRefusal(outcome.verdict)) return outcome;
    before = after;
  }
  return outcome;
}
