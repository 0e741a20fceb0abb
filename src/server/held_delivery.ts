/**
 * A held message on its way upstream, every verdict being in: DATA, the header block with all edits, the body with
 * back-pressure; all but the dot.
 *
 * Never: a promise per chunk where the upstream keeps up with memory; the dot.
 * @module
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import type { Deadline, Deadlines } from "../transport/deadlines.ts";
import type { Leg, LegDown, LegRecipient } from "../upstream/leg.ts";
import type { Reply } from "../wire/reply.ts";
import { answers, downReply, relayed } from "./answers.ts";
import { type Ending, holdFailed } from "./ending.ts";
import type { HeldBody } from "./held_body.ts";

/** The upstream said no before the content. */
class Refused extends Data.TaggedError("Refused")<{ readonly reply: Reply }> {}

/** The disk did not give back what it took. */
class HoldFailed extends Data.TaggedError("HoldFailed")<{ readonly cause: unknown }> {}

/** The upstream has taken nothing for too long. */
class Stalled extends Data.TaggedError("Stalled") {}

/** A held message and where it goes. */
export interface HeldDelivery {
  readonly leg: Leg;
  /** Whom the leg is still to be told of: those of a quarantine's new leg. */
  readonly recipients: readonly LegRecipient[];
  /** The header block in wire form. */
  readonly header: Uint8Array;
  /** In wire form. */
  readonly body: HeldBody;
  readonly deadlines: Deadlines;
  /** Milliseconds that the upstream may take nothing. */
  readonly stallMs: number;
  /** The upstream's text may reach the client. */
  readonly passText: boolean;
}

type Failure = Refused | HoldFailed | Stalled | LegDown;

/** Sends all but the dot; gives how the message ended where it came to no dot. Interruption stops it where it is. */
export function sendHeld(delivery: HeldDelivery): Effect.Effect<Ending | undefined> {
  const { leg, recipients } = delivery;
  const asked = Effect.forEach(
    recipients,
    (recipient) => accepted(leg.rcpt(recipient), (reply) => reply.code < 400),
    { discard: true },
  );
  return asked.pipe(
    Effect.andThen(accepted(Effect.suspend(() => leg.data()), (reply) => reply.code === 354)),
    Effect.andThen(stream(delivery)),
    Effect.match({
      onSuccess: () => undefined,
      onFailure: (failure) => endingOf(failure, delivery.passText),
    }),
  );
}

function endingOf(failure: Failure, passText: boolean): Ending {
  switch (failure._tag) {
    case "Refused":
      return {
        reply: relayed(failure.reply, "end", passText),
        upstreamReply: failure.reply,
      };
    case "HoldFailed":
      return holdFailed(failure.cause);
    case "Stalled":
      return { reply: answers.upstreamStalled };
    case "LegDown":
      return { reply: downReply(failure), down: failure };
  }
}

function accepted(
  asked: Effect.Effect<Reply, LegDown>,
  good: (reply: Reply) => boolean,
): Effect.Effect<void, Refused | LegDown> {
  return Effect.flatMap(
    asked,
    (reply) => good(reply) ? Effect.void : Effect.fail(new Refused({ reply })),
  );
}

/** One Effect around plain code; a promise only where the leg or the disk is waited for. */
function stream(
  { leg, header, body, deadlines, stallMs }: HeldDelivery,
): Effect.Effect<void, HoldFailed | Stalled | LegDown> {
  return Effect.callback((resume) => {
    let stopped = false;
    let wake: () => void = () => {};
    const stop = (): void => {
      stopped = true;
      deadlines.delete(deadline);
      wake();
    };
    const end = (result: Effect.Effect<void, HoldFailed | Stalled | LegDown>): void => {
      if (stopped) return;
      stop();
      resume(result);
    };
    const deadline: Deadline = { at: Infinity, expired: () => end(Effect.fail(new Stalled())) };
    deadlines.add(deadline);
    leg.drained = () => {
      deadline.at = Infinity;
      wake();
    };
    leg.failed = (down) => end(Effect.fail(down));
    const writable = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
        deadline.at = deadlines.now + stallMs;
      });
    const send = async (): Promise<void> => {
      if (header.length > 0 && !leg.write(header)) await writable();
      await body.sendTo(leg, writable, () => stopped);
    };
    send().then(
      () => end(Effect.void),
      (cause) => end(Effect.fail(new HoldFailed({ cause }))),
    );
    return Effect.sync(stop);
  });
}
