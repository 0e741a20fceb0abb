/**
 * What a leg said of recipients, in the form that the transaction goes on with.
 * @module
 */
import * as Effect from "effect/Effect";
import type { Leg, LegDown } from "../upstream/leg.ts";
import type { RcptParams } from "../wire/params.ts";
import type { Mailbox } from "../wire/path.ts";
import type { Reply } from "../wire/reply.ts";
import { downReply } from "./answers.ts";

/** A failure of the leg beside its reply, so that one path goes on with both. */
export function withDown(
  judged: Effect.Effect<Reply, LegDown>,
): Effect.Effect<{ readonly answer: Reply; readonly down: LegDown | undefined }> {
  return Effect.match(judged, {
    onSuccess: (answer) => ({ answer, down: undefined }),
    onFailure: (down) => ({ answer: downReply(down), down }),
  });
}

/** Several addresses in the place of one: the first refusal is the answer, so that none is lost unseen. */
export function judgeAll(
  leg: Leg,
  targets: readonly Mailbox[],
  params: RcptParams,
): Effect.Effect<Reply, LegDown> {
  return Effect.map(
    Effect.forEach(targets, (to) => leg.rcpt({ to, params })),
    (replies) => replies.find((r) => r.code >= 400) ?? (replies[0] as Reply),
  );
}
