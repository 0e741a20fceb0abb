/**
 * The decision trace of one session or transaction: who was asked and what came of it.
 *
 * A synchronous hook without an opinion that took at most a millisecond is only counted: a pass costs an addition.
 * Message content, passwords and client text that is not evidence never enter.
 * @module
 */
import type { Rewrite, Verdict } from "../plugin/verdict.ts";
import type { HeaderEdit } from "../wire/headers.ts";
import { rank } from "./algebra.ts";
import type { Stage } from "./answer.ts";

/** One decision. */
export interface TraceEntry {
  /** Where the plugin was asked. */
  readonly stage: Stage;
  /** Name of the instance. */
  readonly plugin: string;
  /** What it answered, or what stood in for its answer. */
  readonly verdict: Verdict["verdict"];
  /** A score's points. */
  readonly points?: number;
  /** A score's symbol. */
  readonly symbol?: string;
  /** The evidence of any verdict, the reason of a quarantine or discard: one line, control characters escaped. */
  readonly evidence?: string;
  /** A refusal's code. */
  readonly code?: number;
  /** A refusal's enhanced status code. */
  readonly enhanced?: string;
  /** What a refusal has the client read. */
  readonly text?: string;
  /** Milliseconds, whole. */
  readonly ms: number;
  /** Recorded and counted, but without effect. */
  readonly shadow: boolean;
  /** Why the verdict is the plugin's `onError` and not its own. */
  readonly failure?: string;
  /** Header edits it made (in shadow mode: would have made). */
  readonly edits?: readonly HeaderEdit[];
  /** The address change asked for. */
  readonly rewrite?: Rewrite;
}

/** What a plugin in shadow would have made of it. */
export type WouldHave = Pick<TraceEntry, "stage" | "plugin" | "verdict" | "code" | "evidence">;

/** Bounds the trace of one session: a flood of failed commands must not grow it (R29). */
const ENTRIES_LIMIT = 500;
const NONE: readonly TraceEntry[] = Object.freeze([]);

/** A decision trace; append-only. */
export class DecisionTrace {
  #entries: TraceEntry[] | undefined;
  #asked: Set<string> | undefined;
  /** Quick synchronous hooks that had no opinion. */
  passes = 0;
  /** Entries left out because the trace was full. */
  omitted = 0;

  /** The strongest verdict that had no effect, from quarantine on; of equally strong ones the first. */
  wouldHave: WouldHave | undefined = undefined;

  /** Somebody objected, failed, or changed the envelope: more than passes, points and header edits. */
  notable = false;

  /** Names of those with a `when` that were asked. */
  get asked(): Set<string> {
    return this.#asked ??= new Set();
  }

  /** Decisions, in order. */
  get entries(): readonly TraceEntry[] {
    return this.#entries ?? NONE;
  }

  /** Adds a decision; a full trace only counts it. */
  add(entry: TraceEntry): void {
    if (entry.shadow) {
      const strength = rank(entry.verdict);
      if (strength >= rank("quarantine") && strength > rank(this.wouldHave?.verdict ?? "pass")) {
        this.wouldHave = entry;
      }
    }
    if (entry.failure !== undefined || (entry.verdict !== "pass" && entry.verdict !== "score")) {
      this.notable = true;
    }
    this.#entries ??= [];
    if (this.#entries.length >= ENTRIES_LIMIT) this.omitted++;
    else this.#entries.push(entry);
  }
}

/** The stronger of two; of two equally strong ones the first. */
export function strongerShadow(
  first: WouldHave | undefined,
  second: WouldHave | undefined,
): WouldHave | undefined {
  return rank(second?.verdict ?? "pass") > rank(first?.verdict ?? "pass") ? second : first;
}

/** What of a verdict stands in the trace. */
export function traceOf(
  verdict: Verdict,
): Omit<Partial<TraceEntry>, "stage" | "plugin" | "verdict"> {
  switch (verdict.verdict) {
    case "pass":
    case "delay":
      return verdict.evidence === undefined ? {} : { evidence: verdict.evidence };
    case "score":
      return {
        points: verdict.points,
        symbol: verdict.symbol,
        ...(verdict.evidence === undefined ? {} : { evidence: verdict.evidence }),
      };
    case "defer":
    case "refuse":
    case "drop":
      return {
        code: verdict.code,
        enhanced: verdict.enhanced,
        text: verdict.text,
        ...(verdict.evidence === undefined ? {} : { evidence: verdict.evidence }),
      };
    case "quarantine":
    case "discard":
      return { evidence: verdict.reason };
    case "rewrite":
      return { rewrite: verdict };
    default:
      return {};
  }
}
