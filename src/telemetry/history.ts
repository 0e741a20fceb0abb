/**
 * The history of decisions: what became of each transaction, and of each session that was refused, as plain values that are
 * kept for a while. `postern explain` reads it; whoever shows traces takes this service.
 *
 * The entry is a format of its own and not the engine's trace, for a file outlives the version that wrote it. Addresses and
 * evidence are in it; passwords and content never are (R18).
 * @module
 */

/** One transaction that is over, or one refusal outside of one. */
export interface HistoryEntry {
  /** Of the transaction (`SESSION.1`), or of the session where no MAIL came. */
  readonly id: string;
  /** Milliseconds since the epoch, at the end. */
  readonly time: number;
  readonly fate:
    | "delivered"
    | "quarantined"
    | "refused"
    | "deferred"
    | "discarded"
    | "aborted"
    | "unknown";
  /** The last stage it came to. */
  readonly reached: string;
  /** The policy whose refusal it was. */
  readonly plugin?: string | undefined;
  /** What the client was told; undefined when nobody was left to tell. */
  readonly reply?: string | undefined;
  readonly cause?: string | undefined;
  /** Milliseconds: of a transaction from MAIL on, else of the session. */
  readonly ms: number;
  readonly session: HistorySession;
  readonly transaction?: HistoryTransaction | undefined;
  /** The policies of the listener, in their order. */
  readonly asked: readonly HistoryAsked[];
  /** What they said, those of the session first. */
  readonly decisions: readonly HistoryDecision[];
  /** Decisions that are left out because there were too many. */
  readonly omitted?: number | undefined;
}

/** Who the client was. */
export interface HistorySession {
  readonly id: string;
  readonly listener: string;
  readonly address: string;
  readonly port: number;
  readonly name?: string | undefined;
  /** `""` before HELO. */
  readonly helo: string;
  readonly esmtp: boolean;
  /** Version and cipher. */
  readonly tls?: string | undefined;
  /** Subject of the client's certificate. */
  readonly certificate?: string | undefined;
  readonly user?: string | undefined;
  readonly mechanism?: string | undefined;
}

/** Envelope, score, upstream. */
export interface HistoryTransaction {
  /** `<>` for the null reverse-path. */
  readonly from: string;
  readonly to: readonly string[];
  /** How many more recipients there were. */
  readonly more?: number | undefined;
  readonly refused: readonly HistoryRecipient[];
  /** How many more refused recipients there were. */
  readonly refusedMore?: number | undefined;
  readonly size: number;
  /** Where the body was held until every verdict was in; undefined: it was not. */
  readonly held?: "memory" | "file" | undefined;
  readonly score: number;
  readonly symbols: readonly { readonly symbol: string; readonly points: number }[];
  readonly upstream?: string | undefined;
  readonly server?: string | undefined;
  readonly upstreamReply?: string | undefined;
}

/** A recipient that was refused. */
export interface HistoryRecipient {
  readonly to: string;
  /** `upstream`: the upstream said no; `down`: it could not be asked. */
  readonly by: "policy" | "no route" | "another route" | "upstream" | "down";
  readonly plugin?: string | undefined;
  /** What the client was told. */
  readonly reply: string;
  /** What the upstream said, or why it could not be asked. */
  readonly cause?: string | undefined;
}

/** A policy and the stages it has hooks at. */
export interface HistoryAsked {
  readonly plugin: string;
  readonly shadow: boolean;
  /** Its `when` was not so. */
  readonly skipped?: boolean | undefined;
  readonly stages: readonly string[];
}

/** One thing that a policy said. */
export interface HistoryDecision {
  readonly stage: string;
  readonly plugin: string;
  readonly verdict: string;
  readonly points?: number | undefined;
  readonly symbol?: string | undefined;
  readonly evidence?: string | undefined;
  /** Of a refusal: `550 5.7.1 Text`. */
  readonly reply?: string | undefined;
  readonly ms: number;
  readonly shadow?: boolean | undefined;
  readonly failure?: string | undefined;
  /** Fields it edited, without their values. */
  readonly edits?:
    | readonly { readonly edit: string; readonly name: string; readonly to?: string | undefined }[]
    | undefined;
  readonly rewrite?: {
    readonly from?: string | undefined;
    readonly to?: readonly string[] | undefined;
    readonly upstream?: string | undefined;
  } | undefined;
}

/** Reads what was kept. */
export interface HistoryReader {
  /** Every entry whose id begins so, oldest first. Those of `SESSION` and `SESSION.N` stand together. */
  find(prefix: string): Promise<readonly HistoryEntry[]>;
  /** The newest entries, newest first. */
  recent(count: number): Promise<readonly HistoryEntry[]>;
}

/** Keeps entries. */
export interface History extends HistoryReader {
  /** Costs no wait; what cannot be written is told once and left out. */
  append(entry: HistoryEntry): void;
}
