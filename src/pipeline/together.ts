/**
 * Hooks of one stage side by side: while one is waited for, those behind it that need not wait for it are asked as well.
 *
 * The outcome is that of one after another, whatever settles first: answers count in the order of the plugins, so do points,
 * header edits and what stands in the trace, and behind the first refusal nothing counts and nothing is waited for.
 * @module
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import { combine, isRefusal, type Outcome } from "./algebra.ts";
import { type HookAnswer, readAnswer } from "./answer.ts";
import { CallContext, isThenable, PendingAnswer } from "./hook.ts";
import {
  type CompiledPlugin,
  failed,
  type Host,
  type Question,
  settle,
  type Step,
} from "./phase.ts";

/** The phase from a step on, everything before it having been settled. */
type GoOn = <H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  from: number,
  start: Outcome,
) => Outcome | Effect.Effect<Outcome>;

/** A hook that has been asked and whose turn to count has not come. */
export interface InFlight {
  readonly plugin: CompiledPlugin;
  readonly context: CallContext;
  /** When it was asked, on the host's clock. */
  readonly at: number;
  /** What it waits for; undefined: it has answered at once. */
  readonly pending: PendingAnswer | undefined;
  readonly answered?: Answered;
  /** When its wait was noticed, on Effect's clock, which budgets are counted on. */
  begun?: number;
}

/** A hook's answer at once, or what it threw. */
interface Answered {
  readonly answer?: HookAnswer;
  readonly cause?: unknown;
  readonly failed: boolean;
  /** When, on the host's clock. */
  readonly at: number;
}

/** `first` is waited for; from step `from` on nobody has been asked. The Effect is to be run once. */
export function together<H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  from: number,
  start: Outcome,
  first: InFlight,
  goOn: GoOn,
): Effect.Effect<Outcome> {
  const flight = [first];
  const next = askOn(host, question, steps, from, flight);
  return Effect.onInterrupt(
    gather(host, question, steps, next, start, flight, goOn),
    () => Effect.sync(() => giveUp(flight, new DOMException("The session is gone", "AbortError"))),
  );
}

const gather = Effect.fnUntraced(function* <H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  from: number,
  start: Outcome,
  flight: InFlight[],
  goOn: GoOn,
) {
  let outcome = start;
  let next = from;
  for (;;) {
    const now = yield* Clock.currentTimeMillis;
    for (const one of flight) one.begun ??= now;
    const first = flight[0];
    if (first === undefined) {
      const rest = goOn(host, question, steps, next, outcome);
      return Effect.isEffect(rest) ? yield* rest : rest;
    }
    if (first.pending !== undefined) {
      // The budget is each plugin's own, counted from when it was asked: the whole wait is at most the longest.
      yield* first.pending.settled(Math.max(0, first.plugin.budget - (now - first.begun!)));
    }
    flight.shift();
    outcome = combine(outcome, count(host, question, first));
    if (isRefusal(outcome.verdict)) {
      giveUp(flight, new DOMException("A plugin before this one has refused", "AbortError"));
      return outcome;
    }
    next = askOn(host, question, steps, next, flight);
  }
});

/** Asks those that need not wait for anybody in flight; gives the step that was not asked. */
function askOn<H>(
  host: Host,
  question: Question<H>,
  steps: readonly Step<H>[],
  from: number,
  flight: InFlight[],
): number {
  let next = from;
  while (next < steps.length && flight.length > 0 && !ends(flight.at(-1)!)) {
    const step = steps[next]!;
    const { waits } = step.plugin;
    if (waits.score || flight.some(({ plugin }) => waits.for.has(plugin.name))) break;
    const looked = question.tx?.scoreLooks;
    const asked = askNow(host, question, step);
    if (question.tx?.scoreLooks !== looked) {
      // It has looked at points that are not all there. It is asked anew when they are, and waits from now on.
      waits.score = true;
      giveUp([asked], new DOMException("Asked again when the points are there", "AbortError"));
      break;
    }
    flight.push(asked);
    next++;
  }
  return next;
}

function askNow<H>(host: Host, question: Question<H>, { plugin, hook }: Step<H>): InFlight {
  const context = question.context();
  const at = host.now();
  try {
    const answer = question.ask(hook, context);
    if (answer !== undefined && isThenable(answer)) {
      const pending = new PendingAnswer(answer, context, host.pending, host.now);
      return { plugin, context, at, pending };
    }
    const read = readAnswer(question.stage, answer);
    const answered = { answer: read, failed: false, at: host.now() };
    return { plugin, context, at, pending: undefined, answered };
  } catch (cause) {
    const answered = { cause, failed: true, at: host.now() };
    return { plugin, context, at, pending: undefined, answered };
  }
}

/** It has refused already: nobody behind it needs to be asked. */
function ends({ answered }: InFlight): boolean {
  const answer = answered?.answer;
  if (answer === undefined) return false;
  return Array.isArray(answer) ? answer.some(isRefusal) : isRefusal(answer as { verdict: "pass" });
}

/** Its turn has come: what it answered has effect. */
function count<H>(
  host: Host,
  question: Question<H>,
  { plugin, context, at, pending, answered }: InFlight,
): Outcome {
  const { stage, tx } = question;
  let verdict: HookAnswer;
  let failure: string | undefined;
  let edits;
  try {
    if (pending?.state === "rejected") throw pending.value;
    if (answered?.failed === true) throw answered.cause;
    verdict = answered?.answer ?? readAnswer(stage, pending?.value);
    edits = question.edits?.(context, !plugin.shadow);
  } catch (cause) {
    question.edits?.(context, false);
    const asynchronous = pending !== undefined;
    ({ verdict, message: failure } = failed(host, plugin, stage, tx, cause, asynchronous));
  }
  const ms = (pending?.settledAt ?? answered?.at ?? at) - at;
  return settle(host, plugin, stage, tx, verdict, ms, failure, edits);
}

/** What these answer does not count any more. */
function giveUp(flight: readonly InFlight[], reason: unknown): void {
  for (const { pending, context } of flight) {
    pending?.abandon(reason);
    CallContext.abort(context, reason);
  }
}
