/**
 * What became of one transaction: the record that the log line, the trace and the demo are made from. And what was refused
 * before there was any content.
 * @module
 */
import type { SessionPipeline } from "../pipeline/pipeline.ts";
import type { WouldHave } from "../pipeline/trace.ts";
import type { Transaction } from "../pipeline/transaction.ts";
import type { SessionFacts } from "../plugin/facts.ts";
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

/** What the plugins of a session said, and who they are. */
export type Decisions = Pick<SessionPipeline, "asked" | "trace">;

/** A recipient that was refused. */
export interface RefusedRecipient {
  readonly address: string;
  readonly by: "policy" | "no route" | "another route" | "upstream" | "down";
  /** The policy. */
  readonly plugin?: string | undefined;
  /** What the client was told. */
  readonly reply: Reply;
  /** What the upstream said, or why it could not be asked. */
  readonly cause?: string | undefined;
}

/** The refused recipients of one transaction; so many are kept, the others counted. */
export class RefusedRecipients {
  readonly list: RefusedRecipient[] = [];
  more = 0;

  add(refused: RefusedRecipient): void {
    if (this.list.length < 100) this.list.push(refused);
    else this.more++;
  }
}

/** One transaction that is over. */
export interface TransactionRecord {
  readonly transaction: Transaction;
  readonly fate: Fate;
  /** What the client was told; undefined when nobody was left to tell. */
  readonly reply: Reply | undefined;
  /** The policy whose refusal it was. */
  readonly plugin: string | undefined;
  /** Undefined: none. */
  readonly refusedRecipients: RefusedRecipients | undefined;
  readonly decisions: Decisions;
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

/** A session, a sender or all recipients refused: no content ever came. */
export interface RefusalRecord {
  readonly session: SessionFacts;
  /** Where MAIL was said. */
  readonly transaction: Transaction | undefined;
  readonly stage: "connect" | "helo" | "auth" | "mail" | "rcpt";
  /** The policy whose refusal it was. */
  readonly plugin: string | undefined;
  /** What the client was told last. */
  readonly reply: Reply | undefined;
  readonly refusedRecipients: RefusedRecipients | undefined;
  readonly decisions: Decisions;
}
