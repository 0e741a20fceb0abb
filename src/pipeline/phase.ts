/**
 * One phase: the hooks of one stage, asked one after another, until one refuses.
 *
 * While they answer at once, so does the phase: a plain value, no Effect. The first thenable makes the rest an Effect.
 * Never throws, never fails: a failure becomes the plugin's `onError` (see `failure.ts`).
 * @module
 */
import * as Effect from "effect/Effect";
import type { SessionFacts } from "../plugin/facts.ts";
import type { Hooks } from "../plugin/module.ts";
import type { Verdict } from "../plugin/verdict.ts";
import type { HeaderEdit } from "../wire/headers.ts";
import { combine, isRefusal, type Outcome, outcomeOf, PASS, PASS_VERDICT } from "./algebra.ts";
import { type HookAnswer, readAnswer, type Stage } from "./answer.ts";
import type { Condition } from "./condition.ts";
import {
  failureKind,
  failureMessage,
  failureVerdict,
  type OnError,
  type PluginFailure,
} from "./failure.ts";
import { type CallContext, isThenable, PendingAnswer } from "./hook.ts";
import { type DecisionTrace, traceOf } from "./trace.ts";
import type { Transaction } from "./transaction.ts";

/** A plugin instance of one generation, ready to be asked. */
export interface CompiledPlugin {
  /** Its name; of several instances of one plugin the later ones are `name#2`, `name#3`. */
  readonly name: string;
  readonly shadow: boolean;
  readonly onError: OnError;
  /** Milliseconds per phase. */
  readonly budget: number;
  /** Undefined: all. */
  readonly listeners: readonly string[] | undefined;
  /** Enforced in so many of a hundred sessions; undefined: in all, or in none. */
  readonly percent: number | undefined;
  /** Undefined: it is always asked. */
  readonly when: Condition | undefined;
  readonly holdBody: boolean;
  readonly hooks: Hooks;
}

/** A hook and whose it is. */
export interface Step<H> {
  readonly plugin: CompiledPlugin;
  readonly hook: H;
}

/** What phases of one session share. */
export interface Host {
  readonly session: SessionFacts;
  readonly trace: DecisionTrace;
  /** Thenables that have not settled yet. */
  readonly pending: Set<PendingAnswer>;
  readonly now: () => number;
  /** Counts and logs; must not throw. */
  readonly report: (failure: PluginFailure) => void;
}

/** What hooks of a stage are asked. */
export interface Question<H> {
  readonly stage: Stage;
  readonly tx: Transaction | undefined;
  context(): CallContext;
  ask(hook: H, context: CallContext): unknown;
  /** The hook of this context has answered, well (`commit`) or not: what it edited. */
  edits?(context: CallContext, commit: boolean): readonly HeaderEdit[] | undefined;
}

/** Synchronous hooks without an opinion stand in the trace only when they took longer, in milliseconds. */
const SLOW = 1;

/** Reports a failure; gives the verdict that stands in for the answer, and the message for the trace. */
export function failed(
  host: Host,
  plugin: CompiledPlugin,
  stage: Stage,
  tx: Transaction | undefined,
  cause: unknown,
  asynchronous: boolean,
  secrets?: readonly string[],
): { readonly verdict: Verdict; readonly message: string } {
  const message = failureMessage(cause, secrets);
  host.report({
    plugin: plugin.name,
    stage,
    kind: failureKind(cause, asynchronous),
    message,
    session: host.session.id,
    transaction: tx?.id,
    shadow: plugin.shadow,
  });
  return { verdict: failureVerdict(plugin.onError, stage), message };
}

/** Records what was answered, and gives it effect: points, ruling. Shadow plugins come out as PASS. */
export function settle(
  host: Host,
  plugin: CompiledPlugin,
  stage: Stage,
  tx: Transaction | undefined,
  answer: HookAnswer,
  ms: number,
  failure: string | undefined,
  edits: readonly HeaderEdit[] | undefined,
): Outcome {
  if (!isList(answer)) {
    return settleOne(host, plugin, stage, tx, answer, ms, failure, edits);
  }
  return answer.reduce(
    (outcome, verdict, i) =>
      combine(
        outcome,
        settleOne(
          host,
          plugin,
          stage,
          tx,
          verdict,
          i === 0 ? ms : 0,
          failure,
          i === 0 ? edits : undefined,
        ),
      ),
    PASS,
  );
}

function isList(answer: HookAnswer): answer is readonly Verdict[] {
  return Array.isArray(answer);
}

function settleOne(
  host: Host,
  plugin: CompiledPlugin,
  stage: Stage,
  tx: Transaction | undefined,
  verdict: Verdict,
  ms: number,
  failure: string | undefined,
  edits: readonly HeaderEdit[] | undefined,
): Outcome {
  const edited = edits !== undefined && edits.length > 0;
  const trace = tx === undefined ? host.trace : tx.trace;
  if (verdict === PASS_VERDICT && failure === undefined && !edited && ms <= SLOW) {
    trace.passes++;
    return PASS;
  }
  if (verdict === PASS_VERDICT && failure === undefined) {
    const { name, shadow } = plugin;
    trace.add({ stage, plugin: name, verdict: "pass", ms, shadow, ...(edited ? { edits } : {}) });
    return PASS;
  }
  trace.add({
    stage,
    plugin: plugin.name,
    verdict: verdict.verdict,
    ms,
    shadow: plugin.shadow,
    ...traceOf(verdict),
    ...(failure === undefined ? {} : { failure }),
    ...(edited ? { edits } : {}),
  });
  if (plugin.shadow) return PASS;
  const outcome = outcomeOf(verdict, plugin.name, plugin.budget);
  if (tx !== undefined) {
    for (const { symbol, points } of outcome.scores) tx.addScore(symbol, points);
    // A refused recipient does not rule the message; what is said of the content does.
    if (stage === "header" || stage === "body" || stage === "end") {
      tx.rule(outcome.verdict, outcome.plugin);
    }
  }
  return outcome;
}

/** Asks; the Effect, where there is one, is to be run once. */
export function runPhase<H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  start: Outcome = PASS,
): Outcome | Effect.Effect<Outcome> {
  return advance(host, question, steps, 0, start);
}

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
  for (let i = from; i < steps.length; i++) {
    const { plugin, hook } = steps[i]!;
    const context = question.context();
    let verdict: HookAnswer;
    let failure: string | undefined;
    let edits: readonly HeaderEdit[] | undefined;
    try {
      const answer = question.ask(hook, context);
      if (answer !== undefined && isThenable(answer)) {
        const pending = new PendingAnswer(answer, context, host.pending);
        return waitFor(host, question, steps, i, outcome, context, pending, before);
      }
      verdict = readAnswer(stage, answer);
      edits = question.edits?.(context, !plugin.shadow);
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

function waitFor<H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  index: number,
  outcome: Outcome,
  context: CallContext,
  pending: PendingAnswer,
  before: number,
): Effect.Effect<Outcome> {
  const { stage, tx } = question;
  const { plugin } = steps[index]!;
  return Effect.flatMap(pending.settled(plugin.budget), () => {
    let verdict: HookAnswer;
    let failure: string | undefined;
    let edits: readonly HeaderEdit[] | undefined;
    try {
      if (pending.state === "rejected") throw pending.value;
      verdict = readAnswer(stage, pending.value);
      edits = question.edits?.(context, !plugin.shadow);
    } catch (cause) {
      question.edits?.(context, false);
      ({ verdict, message: failure } = failed(host, plugin, stage, tx, cause, true));
    }
    const ms = host.now() - before;
    const sum = combine(outcome, settle(host, plugin, stage, tx, verdict, ms, failure, edits));
    const rest = isRefusal(sum.verdict) ? sum : advance(host, question, steps, index + 1, sum);
    return Effect.isEffect(rest) ? rest : Effect.succeed(rest);
  });
}
