/**
 * A leg that moves to another server of its pool as long as no octet of the body has gone: the envelope is said again to the
 * next one, and a recipient that the first had accepted must be accepted there too. From the body on it never moves.
 * @module
 */
import * as Effect from "effect/Effect";
import type { Timeouts } from "../settings/settings.ts";
import type { Reply } from "../wire/reply.ts";
import type { ClientIdentity } from "./dial.ts";
import { asked, type Leg, LegDown, type LegEnvelope, type LegRecipient, type Told } from "./leg.ts";
import type { Lease, Pool, ServerState } from "./pool.ts";
import { SmtpLeg } from "./smtp_leg.ts";

/** What a transaction towards a pool of servers needs. */
export interface FailoverOptions {
  readonly pool: Pool;
  readonly upstream: string;
  readonly envelope: LegEnvelope;
  readonly timeouts: Timeouts;
  readonly identity: ClientIdentity | undefined;
  readonly xforward: boolean;
}

/** What a connection is asked. */
type Ask = (leg: SmtpLeg, told: Told) => void;

/** A transaction that may move between servers before its body. */
export class FailoverLeg implements Leg {
  readonly upstream: string;
  readonly #options: FailoverOptions;
  readonly #accepted: LegRecipient[] = [];
  readonly #failed = new Set<ServerState>();
  #idle = true;
  #leg: SmtpLeg | undefined;
  #server = "";
  #released = false;

  constructor(options: FailoverOptions) {
    this.#options = options;
    this.upstream = options.upstream;
  }

  /** The last one asked, also when the connection is given back: the log tells it at the end. */
  get server(): string {
    return this.#server;
  }

  rcpt(recipient: LegRecipient): Effect.Effect<Reply, LegDown> {
    return this.#withServer((leg, told) =>
      leg.rcpt(recipient, (answer) => {
        if (!(answer instanceof LegDown) && answer.code < 400) this.#accepted.push(recipient);
        told(answer);
      })
    );
  }

  data(): Effect.Effect<Reply, LegDown> {
    return this.#withServer((leg, told) => leg.data(told));
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
    const leg = this.#leg;
    return leg === undefined
      ? Effect.fail(new LegDown({ message: "finish before data", phase: "body" }))
      : asked((told) => leg.finish(last, told));
  }

  release(): void {
    this.#released = true;
    this.#leg?.release();
    this.#leg = undefined;
  }

  #withServer(ask: Ask): Effect.Effect<Reply, LegDown> {
    return Effect.suspend(() => {
      const leg = this.#leg ?? this.#open();
      return Effect.isEffect(leg)
        ? Effect.catch(
          Effect.flatMap(leg, (opened) => this.#ask(opened, ask)),
          (down) => this.#again(ask, down),
        )
        : this.#ask(leg, ask);
    });
  }

  /** One callback where there is a connection and all goes well: every message comes by here twice. */
  #ask(leg: SmtpLeg, ask: Ask): Effect.Effect<Reply, LegDown> {
    return Effect.callback<Reply, LegDown>((resume) => {
      ask(leg, (result) => {
        resume(
          result instanceof LegDown ? this.#again(ask, result) : Effect.succeed(result),
        );
      });
    });
  }

  #again(ask: Ask, down: LegDown): Effect.Effect<Reply, LegDown> {
    return this.#giveUpServer() ? this.#withServer(ask) : Effect.fail(down);
  }

  /** Drops the server that failed. True: another attempt may be made. */
  #giveUpServer(): boolean {
    const leg = this.#leg;
    this.#leg = undefined;
    if (leg === undefined || this.#released) return false;
    leg.release();
    const { server, reused } = leg.lease;
    if (reused) {
      // It may only have been closed while idle: a new connection to any server may do (R6).
      this.#idle = false;
      return true;
    }
    this.#failed.add(server);
    this.#options.pool.failed(server);
    return this.#failed.size < this.#options.pool.servers.length;
  }

  /** A connection, brought to where the last one was; at once where one is idle and there is nothing to say again. */
  #open(): SmtpLeg | Effect.Effect<SmtpLeg, LegDown> {
    const { pool, identity } = this.#options;
    const lease = pool.take(identity, { servers: this.#failed, idle: !this.#idle });
    if (Effect.isEffect(lease)) return Effect.flatMap(lease, (taken) => this.#resumed(taken));
    return this.#accepted.length === 0 ? this.#adopt(lease) : this.#resumed(lease);
  }

  #adopt(lease: Lease): SmtpLeg {
    const { pool, identity, envelope, timeouts, xforward, upstream } = this.#options;
    const told = xforward ? identity : undefined;
    const leg = new SmtpLeg(pool, lease, envelope, timeouts, told, upstream);
    this.#leg = leg;
    this.#server = leg.server;
    return leg;
  }

  #resumed(lease: Lease): Effect.Effect<SmtpLeg, LegDown> {
    const leg = this.#adopt(lease);
    if (this.#released) {
      leg.release();
      return Effect.fail(this.#down("released"));
    }
    return Effect.as(Effect.forEach(this.#accepted, (r) => this.#replay(leg, r)), leg);
  }

  #replay(leg: SmtpLeg, recipient: LegRecipient): Effect.Effect<void, LegDown> {
    return Effect.flatMap(
      asked((told) => leg.rcpt(recipient, told)),
      (answer) =>
        answer.code < 400
          ? Effect.void
          : Effect.fail(this.#down(`${leg.server} refuses a recipient that was accepted before`)),
    );
  }

  #down(why: string): LegDown {
    return new LegDown({ message: `${this.upstream}: ${why}`, phase: "envelope" });
  }
}
