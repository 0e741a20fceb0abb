/**
 * A leg that moves to another server of its pool as long as no octet of the body has gone: the envelope is said again to the
 * next one, and a recipient that the first had accepted must be accepted there too. From the body on it never moves.
 * @module
 */
import * as Effect from "effect/Effect";
import type { Timeouts } from "../settings/settings.ts";
import type { Reply } from "../wire/reply.ts";
import type { ClientIdentity } from "./dial.ts";
import { type Leg, LegDown, type LegEnvelope, type LegRecipient } from "./leg.ts";
import type { Pool, ServerState } from "./pool.ts";
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
    return Effect.map(this.#withServer((leg) => leg.rcpt(recipient)), (answer) => {
      if (answer.code < 400) this.#accepted.push(recipient);
      return answer;
    });
  }

  data(): Effect.Effect<Reply, LegDown> {
    return Effect.suspend(() => {
      this.#leaveIfGone();
      return this.#withServer((leg) => leg.data());
    });
  }

  /**
   * A server may hang up while a held body comes in, for it hears nothing of us meanwhile (RFC 5321 section 4.5.3.2.7). That
   * is no failure of its: another connection hears the envelope anew.
   */
  #leaveIfGone(): void {
    const leg = this.#leg;
    if (leg === undefined || leg.lease.connection.alive) return;
    leg.release();
    this.#leg = undefined;
    this.#idle = false;
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
      : leg.finish(last);
  }

  release(): void {
    this.#released = true;
    this.#leg?.release();
    this.#leg = undefined;
  }

  #withServer(ask: (leg: SmtpLeg) => Effect.Effect<Reply, LegDown>): Effect.Effect<Reply, LegDown> {
    return Effect.suspend(() => {
      const leg = this.#leg;
      const answer = leg !== undefined ? ask(leg) : Effect.flatMap(this.#open(), ask);
      return Effect.catch(answer, (down) => {
        const again = this.#giveUpServer();
        return again ? this.#withServer(ask) : Effect.fail(down);
      });
    });
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

  /** A new connection, brought to where the last one was. */
  #open(): Effect.Effect<SmtpLeg, LegDown> {
    const { pool, identity, envelope, timeouts, xforward, upstream } = this.#options;
    return Effect.flatMap(
      pool.acquire(identity, { servers: this.#failed, idle: !this.#idle }),
      (lease) => {
        const leg = new SmtpLeg(
          pool,
          lease,
          envelope,
          timeouts,
          xforward ? identity : undefined,
          upstream,
        );
        this.#leg = leg;
        this.#server = leg.server;
        if (this.#released) {
          leg.release();
          return Effect.fail(new LegDown({ message: `${upstream}: released`, phase: "envelope" }));
        }
        return this.#accepted.length === 0
          ? Effect.succeed(leg)
          : Effect.as(Effect.forEach(this.#accepted, (r) => this.#replay(leg, r)), leg);
      },
    );
  }

  #replay(leg: SmtpLeg, recipient: LegRecipient): Effect.Effect<void, LegDown> {
    return Effect.flatMap(
      leg.rcpt(recipient),
      (answer) =>
        answer.code < 400 ? Effect.void : Effect.fail(
          new LegDown({
            message: `${this.upstream}: ${leg.server} refuses a recipient that was accepted before`,
            phase: "envelope",
          }),
        ),
    );
  }
}
