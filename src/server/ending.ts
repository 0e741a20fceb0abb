/**
 * How the content of one message ended: what the client is told, and what the record is made from.
 * @module
 */
import type { Refusal } from "../pipeline/algebra.ts";
import type { LegDown } from "../upstream/leg.ts";
import type { Reply } from "../wire/reply.ts";
import { answers } from "./answers.ts";

/** How a message ended. */
export interface Ending {
  readonly reply: Reply;
  readonly refusedBy?: Refusal;
  readonly down?: LegDown;
  readonly upstreamReply?: Reply;
  readonly discarded?: string;
  /** Why the message went to the quarantine's upstream, or was to go there. */
  readonly quarantined?: string;
  /** What is wrong on our side; for the log. */
  readonly trouble?: string;
}

/** The disk refused: the client comes again, the process goes on. */
export function holdFailed(cause: unknown): Ending {
  const why = cause instanceof Error ? cause.message : String(cause);
  return { reply: answers.noStorage, trouble: `Cannot hold the message: ${why}` };
}
