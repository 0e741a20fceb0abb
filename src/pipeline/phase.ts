/**
 * What a phase is made of: plugins with their hooks, what is asked, and what becomes of an answer or of a failure.
 * The asking is in `ask.ts`.
 * @module
 */
import type { SessionFacts } from "../plugin/facts.ts";
import type { Hooks } from "../plugin/module.ts";
import type { Verdict } from "../plugin/verdict.ts";
import type { HeaderEdit } from "../wire/headers.ts";
import { combine, type Outcome, outcomeOf, PASS, PASS_VERDICT } from "./algebra.ts";
import type { HookAnswer, Stage } from "./answer.ts";
import type { Condition } from "./condition.ts";
import {
  failureKind,
  failureMessage,
  failureVerdict,
  type OnError,
  type PluginFailure,
} from "./failure.ts";
import type { CallContext, PendingAnswer } from "./hook.ts";
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
  readonly waits: Waits;
  readonly hooks: Hooks;
}

/** For whom a plugin has to wait where several are asked side by side. */
export interface Waits {
  /** Names of instances. */
  readonly for: ReadonlySet<string>;
  /** It looks at the points so far, so for everybody before it. Becomes true when it is seen to look. */
  score: boolean;
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
