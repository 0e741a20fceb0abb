/**
 * What became of one transaction: the record that the log line, the trace and the demo are made from.
 * @module
 */
import type { WouldHave } from "../pipeline/trace.ts";
import type { Transaction } from "../pipeline/transaction.ts";
import type { Reply } from "../wire/reply.ts";

/** How a transaction ended. */
export type Fate =
  | "delivered"
  | "refused"
  | "deferred"
  | "discarded"
  /** Another upstream has it than the one of its recipients: a policy said so. */
  | "quarantined"
  /** The client went or was cut off before the end of the content. */
  | "aborted"
  /** The upstream was lost after the dot: it may have the message. */
  | "unknown";

/** One transaction that is over. */
export interface TransactionRecord {
  readonly transaction: Transaction;
  readonly fate: Fate;
  /** What the client was told; undefined when nobody was left to tell. */
  readonly reply: Reply | undefined;
  /** Name and server of the upstream, where it came that far. */
  readonly upstream: string | undefined;
  readonly server: string | undefined;
  /** What the upstream said to the dot, or why there was no answer. */
  readonly upstreamReply: Reply | undefined;
  readonly cause: string | undefined;
  /** Where the content was held until every verdict was in; undefined: it went through as it came. */
  readonly held: "memory" | "file" | undefined;
  /** What a plugin in shadow would have made of it: of this transaction, or of the session before it. */
  readonly wouldHave: WouldHave | undefined;
  /** Milliseconds from MAIL to the end. */
  readonly ms: number;
}
