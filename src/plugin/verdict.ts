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
  /** Which one it is. */
  readonly verdict: "pass";
  /** What there is to know: shown in the trace, never to the client. */
  readonly evidence?: string;
}
/** Points for (positive) or against (negative) being spam, with the name of the symbol. Points of one transaction add up. */
export interface Score {
  /** Which one it is. */
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
  /** Which one it is. */
  readonly verdict: "quarantine";
  /** Name of the upstream; undefined: the configured one. */
  readonly upstream?: string;
  /** For the log and the trace. */
  readonly reason: string;
}
/** A temporary refusal, 4yz. */
export interface Defer {
  /** Which one it is. */
  readonly verdict: "defer";
  /** Reply code, 400 to 499. */
  readonly code: number;
  /** Enhanced status code of the same class (RFC 3463), such as `4.7.1`. */
  readonly enhanced: string;
  /** What the client reads, without the codes. */
  readonly text: string;
  /** Why: shown in the trace, never to the client. */
  readonly evidence?: string;
}
/** A permanent refusal, 5yz. */
export interface Refuse {
  /** Which one it is. */
  readonly verdict: "refuse";
  /** Reply code, 500 to 599. */
  readonly code: number;
  /** Enhanced status code of the same class (RFC 3463), such as `5.7.1`. */
  readonly enhanced: string;
  /** What the client reads, without the codes. */
  readonly text: string;
  /** Why: shown in the trace, never to the client. */
  readonly evidence?: string;
}
/** Answer with this reply and close the connection. */
export interface Drop {
  /** Which one it is. */
  readonly verdict: "drop";
  /** Reply code, 400 to 599. */
  readonly code: number;
  /** Enhanced status code of the same class (RFC 3463), such as `4.7.1`. */
  readonly enhanced: string;
  /** What the client reads, without the codes. */
  readonly text: string;
  /** Why: shown in the trace, never to the client. */
  readonly evidence?: string;
}
/** Accept, deliver nowhere; always logged. */
export interface Discard {
  /** Which one it is. */
  readonly verdict: "discard";
  /** For the log and the trace. */
  readonly reason: string;
}
/** Pass, but not before so many milliseconds have gone by (at most the phase's budget). */
export interface Delay {
  /** Which one it is. */
  readonly verdict: "delay";
  /** Milliseconds. */
  readonly ms: number;
  /** Why: shown in the trace, never to the client. */
  readonly evidence?: string;
}
/** Pass, with another reverse-path (`mail`), recipients or upstream (`rcpt`). */
export interface Rewrite {
  /** Which one it is. */
  readonly verdict: "rewrite";
  /** `mail`: the new reverse-path, `""` for the null one. */
  readonly from?: string;
  /** `rcpt`: replaces this recipient by these (one or more) addresses. */
  readonly to?: readonly string[];
  /** `rcpt`: deliver this recipient by this upstream. */
  readonly upstream?: string;
}
