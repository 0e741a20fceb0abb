/**
 * Verdicts: what a policy answers. Plain values in an order:
 * pass < score < quarantine < defer < refuse < drop; `discard` is its own answer.
 * @module
 */

/** What a policy answers. `undefined` in its place means no opinion, the same as `pass`. */
export type Verdict =
  | Pass
  | Score
  | Quarantine
  | Defer
  | Refuse
  | Drop
  | Discard
  | Delay
  | Rewrite;

/** No objection. */
export interface Pass {
  readonly verdict: "pass";
}
/** Points for (positive) or against (negative) being spam, with the name of the symbol. Points of one transaction add up. */
export interface Score {
  readonly verdict: "score";
  /** Finite number. */
  readonly points: number;
  /** Upper-case name, `[A-Z0-9_]`. */
  readonly symbol: string;
  /** Shown in the trace, never to the client. */
  readonly evidence?: string;
}
/** Deliver to another upstream. */
export interface Quarantine {
  readonly verdict: "quarantine";
  /** Name of the upstream; undefined: the configured one. */
  readonly upstream?: string;
  readonly reason: string;
}
/** A temporary refusal, 4yz. */
export interface Defer {
  readonly verdict: "defer";
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
}
/** A permanent refusal, 5yz. */
export interface Refuse {
  readonly verdict: "refuse";
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
}
/** Answer with this reply and close the connection. */
export interface Drop {
  readonly verdict: "drop";
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
}
/** Accept, deliver nowhere; always logged. */
export interface Discard {
  readonly verdict: "discard";
  readonly reason: string;
}
/** Pass, but not before so many milliseconds have gone by (at most the phase's budget). */
export interface Delay {
  readonly verdict: "delay";
  readonly ms: number;
}
/** Pass, with another reverse-path (`mail`), recipients or upstream (`rcpt`). */
export interface Rewrite {
  readonly verdict: "rewrite";
  /** `mail`: the new reverse-path, `""` for the null one. */
  readonly from?: string;
  /** `rcpt`: replaces this recipient by these (one or more) addresses. */
  readonly to?: readonly string[];
  /** `rcpt`: deliver this recipient by this upstream. */
  readonly upstream?: string;
}
