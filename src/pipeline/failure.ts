/**
 * What a plugin's own failure means: counted and reported, never thrown; the operator's `on_error`, else the plugin's,
 * else `tempfail`, decides the answer (R38).
 * @module
 */
import type { Verdict } from "../plugin/verdict.ts";
import { PASS_VERDICT } from "./algebra.ts";
import { Nonsense, type Stage } from "./answer.ts";
import { describe, escapeText } from "./text.ts";

/** How a plugin failed. */
export type FailureKind = "threw" | "rejected" | "over-budget" | "nonsense" | "crashed";

/** One failure, for the log and the metrics. */
export interface PluginFailure {
  /** Name of the instance; the configuration's `use` before it has started. */
  readonly plugin: string;
  /** The hook's stage, or what else it was doing. */
  readonly stage: Stage | "load" | "close" | "watch" | "worker";
  /** What it did. */
  readonly kind: FailureKind;
  /** One line; control characters escaped. Never for the client. */
  readonly message: string;
  /** Id of the session. */
  readonly session: string | undefined;
  /** Id of the transaction. */
  readonly transaction: string | undefined;
  /** The plugin runs in shadow mode: the failure had no effect. */
  readonly shadow: boolean;
}

/** What an operator or a plugin may ask for. */
export type OnError = "pass" | "tempfail" | "refuse";

/** The answer that stands in for a failed plugin's. The text is bland: the cause is in the log. */
export function failureVerdict(onError: OnError, stage: Stage): Verdict {
  if (onError === "pass") return PASS_VERDICT;
  if (stage === "auth") {
    return onError === "refuse"
      ? {
        verdict: "refuse",
        code: 535,
        enhanced: "5.7.8",
        text: "Authentication credentials invalid",
      }
      : {
        verdict: "defer",
        code: 454,
        enhanced: "4.7.0",
        text: "Temporary authentication failure",
      };
  }
  return onError === "refuse"
    ? { verdict: "refuse", code: 550, enhanced: "5.7.1", text: "Refused by local policy" }
    : { verdict: "defer", code: 451, enhanced: "4.3.0", text: "Temporary failure" };
}

/** Sorts a cause into its kind. */
export function failureKind(cause: unknown, asynchronous: boolean): FailureKind {
  try {
    if (cause instanceof OverBudget) return "over-budget";
    if (cause instanceof Nonsense) return "nonsense";
    if (cause instanceof Crashed) return "crashed";
  } catch {
    // A proxy whose prototype cannot be read.
  }
  return asynchronous ? "rejected" : "threw";
}

/** A hook's time is up. */
export class OverBudget extends Error {
  override readonly name = "OverBudget";
  constructor(ms: number) {
    super(`No answer within ${ms} ms`);
  }
}

/** A plugin's worker is no more, or not yet again. */
export class Crashed extends Error {
  override readonly name = "Crashed";
}

/** A failure's message as one line, with secrets that must not reach a log taken out (R18). */
export function failureMessage(cause: unknown, secrets: readonly string[] = []): string {
  let message = describe(cause);
  for (const secret of secrets) {
    if (secret !== "") message = message.replaceAll(secret, "[redacted]");
  }
  return escapeText(message);
}
