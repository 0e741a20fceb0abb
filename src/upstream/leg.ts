/**
 * One upstream conversation of one transaction. An SMTP server, a Maildir and (later) an LMTP server or the spool are legs.
 *
 * The body path is callbacks, not Effects: `write` returns false for "stop until `drained`".
 * A leg that is dropped without `finish` delivers nothing.
 * @module
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import type { Reply } from "../wire/reply.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import type { Mailbox, ReversePath } from "../wire/path.ts";

/** The upstream broke: not a reply, but no reply. */
export class LegDown extends Data.TaggedError("LegDown")<{
  /** For logs: `upstream mailbox 10.0.0.5:25: connection reset`. */
  readonly message: string;
  /** How far it had come; after `dot` the outcome is unknown. */
  readonly phase: "connect" | "envelope" | "data" | "body" | "dot";
  /** What the upstream said last, where that is why. */
  readonly reply?: Reply;
}> {}

/** Told once what came of a question: the reply, or why there is none. */
export type Told = (result: Reply | LegDown) => void;

/** A question that answers by callback, as an Effect. */
export function asked(ask: (told: Told) => void): Effect.Effect<Reply, LegDown> {
  return Effect.callback<Reply, LegDown>((resume) => {
    ask((result) => {
      resume(result instanceof LegDown ? Effect.fail(result) : Effect.succeed(result));
    });
  });
}

/** The envelope of one leg. */
export interface LegEnvelope {
  readonly from: ReversePath;
  readonly params: MailParams;
  /** Transaction id, for logs and unique names. */
  readonly id: string;
}

/** One recipient on its way to a leg. */
export interface LegRecipient {
  readonly to: Mailbox;
  readonly params: RcptParams;
}

/** One upstream conversation of one transaction. Calls come in order, one at a time: rcpt+, data, write*, finish. */
export interface Leg {
  /** Name of the upstream in the configuration. */
  readonly upstream: string;
  /** The server, for logs: `10.0.0.5:25`, `maildir:/var/mail`. */
  readonly server: string;
  /** Judges one recipient (the first call opens the transaction); the reply is for the client, class and codes as the upstream gave them. */
  rcpt(recipient: LegRecipient): Effect.Effect<Reply, LegDown>;
  /** Asks for the body. 354: write; anything else is the answer to the client's DATA. */
  data(): Effect.Effect<Reply, LegDown>;
  /**
   * Content in wire form: lines end in CRLF, dots stuffed, no terminator, no bare CR or LF. Chunks may end anywhere.
   * False: write no more until `drained` was called. After a failure it returns true and `failed` has been called.
   */
  write(chunk: Uint8Array): boolean;
  /** Set by the caller before the first `write`. */
  drained: () => void;
  /** Set by the caller before the first `write`: the upstream broke in mid-body. Told at most once; `finish` then fails too. */
  failed: (error: LegDown) => void;
  /** Commits: sends the dot, waits for the final reply (or fsyncs and renames). `last`: final octets of content that leave together with the dot. */
  finish(last?: Uint8Array): Effect.Effect<Reply, LegDown>;
  /** Ends the transaction. After `finish` succeeded the connection may go back to its pool; before it, nothing is delivered. Idempotent. */
  release(): void;
}
