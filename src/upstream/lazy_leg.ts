/**
 * A leg that is opened by its first recipient.
 * @module
 */
import * as Effect from "effect/Effect";
import type { Reply } from "../wire/reply.ts";
import { type Leg, LegDown, type LegRecipient } from "./leg.ts";

/** Opens another leg when it is first needed. */
export class LazyLeg implements Leg {
  readonly #open: Effect.Effect<Leg, LegDown>;
  #leg: Leg | undefined;
  #released = false;

  constructor(readonly upstream: string, open: Effect.Effect<Leg, LegDown>) {
    this.#open = open;
  }

  get server(): string {
    return this.#leg?.server ?? "";
  }

  rcpt(recipient: LegRecipient): Effect.Effect<Reply, LegDown> {
    if (this.#leg !== undefined) return this.#leg.rcpt(recipient);
    return Effect.flatMap(this.#open, (leg) => {
      if (this.#released) {
        leg.release();
        return Effect.fail(
          new LegDown({ message: `${this.upstream}: released`, phase: "envelope" }),
        );
      }
      this.#leg = leg;
      return leg.rcpt(recipient);
    });
  }

  data(): Effect.Effect<Reply, LegDown> {
    return this.#leg?.data() ??
      Effect.fail(new LegDown({ message: "data before rcpt", phase: "data" }));
  }

  write(chunk: Uint8Array): boolean {
    return this.#leg?.write(chunk) ?? true;
  }

  set drained(drained: () => void) {
    if (this.#leg !== undefined) this.#leg.drained = drained;
  }

  set failed(failed: (error: LegDown) => void) {
    if (this.#leg !== undefined) this.#leg.failed = failed;
  }

  finish(last?: Uint8Array): Effect.Effect<Reply, LegDown> {
    return this.#leg?.finish(last) ??
      Effect.fail(new LegDown({ message: "finish before data", phase: "body" }));
  }

  release(): void {
    this.#released = true;
    this.#leg?.release();
  }
}
