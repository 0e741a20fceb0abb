/**
 * A transaction on one SMTP connection (RFC 5321 section 3.3): MAIL with the first RCPT, RCPT, DATA, the body, the dot.
 * Sends only parameters the server offers (R23), built from parsed values (R22).
 * Its questions are answered by callbacks, once each, maybe in the same call; after `release` nobody should listen.
 * @module
 */
import type { Timeouts } from "../settings/settings.ts";
import { formatMailParams, formatRcptParams, type MailParams } from "../wire/params.ts";
import { formatPath } from "../wire/path.ts";
import { type Reply, reply } from "../wire/reply.ts";
import { formatXforward } from "../wire/xclient.ts";
import type { ClientIdentity } from "./dial.ts";
import { LegDown, type LegEnvelope, type LegRecipient, type Told } from "./leg.ts";
import type { Lease, Pool } from "./pool.ts";

const terminator = new Uint8Array([0x2e, 0x0d, 0x0a]);

type Progress = "start" | "open" | "refused" | "body" | "done" | "over";

/** One transaction on one connection. */
export class SmtpLeg {
  drained: () => void = () => {};
  failed: (error: LegDown) => void = () => {};

  readonly #pool: Pool;
  readonly #lease: Lease;
  readonly #envelope: LegEnvelope;
  readonly #timeouts: Timeouts;
  readonly #xforward: ClientIdentity | undefined;
  #progress: Progress = "start";
  #refusal: Reply | undefined;
  #broken: LegDown | undefined;

  constructor(
    pool: Pool,
    lease: Lease,
    envelope: LegEnvelope,
    timeouts: Timeouts,
    xforward: ClientIdentity | undefined,
    readonly upstream: string,
  ) {
    this.#pool = pool;
    this.#lease = lease;
    this.#envelope = envelope;
    this.#timeouts = timeouts;
    this.#xforward = xforward;
  }

  get server(): string {
    return this.#lease.server.name;
  }

  /** The connection this transaction runs on. */
  get lease(): Lease {
    return this.#lease;
  }

  /** As {@linkcode Leg.rcpt}. */
  rcpt(recipient: LegRecipient, told: Told): void {
    const refusal = this.#refusal ?? this.#cannot(recipient);
    if (refusal !== undefined) {
      told(refusal);
      return;
    }
    const { extensions } = this.#lease.connection;
    const params = extensions.dsn ? formatRcptParams(recipient.params) : "";
    const rcpt = `RCPT TO:${formatPath(recipient.to)}${params}`;
    if (this.#progress !== "start") {
      this.#exchange([rcpt], told, (replies) => told(replies[0] as Reply));
      return;
    }
    const before = this.#forwardLines();
    // From here on the server may hold a transaction, whether we see its replies or not.
    this.#progress = "open";
    this.#exchange([...before, this.#mail(), rcpt], told, (replies) => {
      const mail = replies[before.length] as Reply;
      if (mail.code >= 400) {
        this.#refusal = mail;
        this.#progress = "refused";
        told(mail);
      } else told(replies[before.length + 1] as Reply);
    });
  }

  /** As {@linkcode Leg.data}. */
  data(told: Told): void {
    this.#progress = "body";
    const { connection } = this.#lease;
    connection.send("DATA\r\n");
    connection.expect("data", this.#timeouts.upstreamCommand, (answer) => {
      if (answer instanceof LegDown) told(answer);
      else if (answer.code === 421 || (answer.code < 400 && answer.code !== 354)) {
        told(this.#odd(answer, "data"));
      } else {
        if (answer.code === 354) this.#beginBody();
        else this.#progress = "open";
        told(answer);
      }
    });
  }

  /** As {@linkcode Leg.write}. */
  write(chunk: Uint8Array): boolean {
    return this.#lease.connection.write(chunk);
  }

  /** As {@linkcode Leg.finish}. */
  finish(last: Uint8Array | undefined, told: Told): void {
    const { connection } = this.#lease;
    const broken = this.#broken ?? (connection.alive ? undefined : new LegDown({
      message: `${connection.name}: was lost before the dot`,
      phase: "body",
    }));
    if (broken !== undefined) {
      told(broken);
      return;
    }
    if (last !== undefined && last.length > 0) connection.write(last);
    connection.onDrain = () => {};
    connection.write(terminator);
    connection.expect("dot", this.#timeouts.upstreamDataEnd, (result) => {
      if (result instanceof LegDown) told(result);
      else if (result.code >= 300 && result.code < 400) told(this.#odd(result, "dot"));
      else {
        this.#progress = result.code === 421 ? "body" : "done";
        told(result);
      }
    });
  }

  /** As {@linkcode Leg.release}. */
  release(): void {
    const was = this.#progress;
    if (was === "over") return;
    this.#progress = "over";
    const { connection } = this.#lease;
    connection.onDrain = () => {};
    connection.onUnasked = () => {};
    switch (was) {
      case "body":
        // Without the dot: what has been sent so far is nothing (R3).
        connection.destroy("dropped without the dot");
        return;
      case "done":
      case "start":
        this.#pool.release(this.#lease);
        return;
      default:
        if (connection.busy && !connection.extensions.pipelining) {
          // The client is gone in mid-command; a server that does not pipeline is not told so behind it (R23).
          connection.destroy("dropped in mid-command");
          return;
        }
        connection.send("RSET\r\n");
        connection.expect("envelope", this.#timeouts.upstreamCommand, (result) => {
          if (result instanceof LegDown) return;
          if (result.code === 250) this.#pool.release(this.#lease);
          else connection.destroy("answered RSET oddly");
        });
    }
  }

  #beginBody(): void {
    const { connection } = this.#lease;
    connection.onDrain = () => this.drained();
    connection.onUnasked = (down) => {
      this.#broken = down;
      this.failed(down);
    };
  }

  /** Envelope lines and their replies; what a server may not say here is a failure of the server. */
  #exchange(
    lines: readonly string[],
    failed: (down: LegDown) => void,
    told: (replies: readonly Reply[]) => void,
  ): void {
    const { connection } = this.#lease;
    connection.exchange(lines, "envelope", this.#timeouts.upstreamCommand, (replies) => {
      if (replies instanceof LegDown) {
        failed(replies);
        return;
      }
      const odd = replies.find((r) => r.code === 421 || (r.code >= 300 && r.code < 400));
      if (odd === undefined) told(replies);
      else failed(this.#odd(odd, "envelope"));
    });
  }

  #odd(answer: Reply, phase: LegDown["phase"]): LegDown {
    const { connection } = this.#lease;
    connection.destroy("answered out of turn");
    return new LegDown({
      message: `${connection.name}: answered ${answer.code} out of turn`,
      phase,
      ...(answer.code === 421 ? { reply: answer } : {}),
    });
  }

  #mail(): string {
    const { extensions } = this.#lease.connection;
    const { size, body, smtputf8, ret, envid, requiretls } = this.#envelope.params;
    const params: { -readonly [K in keyof MailParams]: MailParams[K] } = {};
    if (size !== undefined && extensions.size !== undefined) params.size = size;
    if (body !== undefined && extensions.eightBitMime) params.body = body;
    if (smtputf8 !== undefined && extensions.smtputf8) params.smtputf8 = smtputf8;
    if (requiretls !== undefined) params.requiretls = requiretls;
    if (extensions.dsn) {
      if (ret !== undefined) params.ret = ret;
      if (envid !== undefined) params.envid = envid;
    }
    return `MAIL FROM:${formatPath(this.#envelope.from)}${formatMailParams(params)}`;
  }

  /** What this server cannot honour is refused here, not dropped. */
  #cannot(recipient: LegRecipient): Reply | undefined {
    const { connection } = this.#lease;
    const { extensions } = connection;
    const { from, params } = this.#envelope;
    // Nor can a recipient need it that the MAIL before did not ask for (RFC 6531 section 3.4).
    const utf8 = extensions.smtputf8 && params.smtputf8 === true;
    if (!utf8 && (recipient.to.utf8 || (from !== null && from.utf8))) {
      return reply(550, "5.6.7", "Internationalized addresses cannot be passed on");
    }
    if (params.smtputf8 && !extensions.smtputf8) {
      return reply(550, "5.6.7", "SMTPUTF8 cannot be passed on");
    }
    if (params.requiretls && !(extensions.requiretls && connection.secure)) {
      return reply(550, "5.7.30", "REQUIRETLS support required");
    }
    if (params.size !== undefined && extensions.size && params.size > extensions.size) {
      return reply(552, "5.3.4", "Message size exceeds fixed maximum message size");
    }
    return undefined;
  }

  #forwardLines(): readonly string[] {
    const identity = this.#xforward;
    const { xforward } = this.#lease.connection.extensions;
    if (identity === undefined || xforward.length === 0) return [];
    return formatXforward({
      NAME: identity.name ?? null,
      ADDR: identity.remote.address,
      PORT: identity.remote.port,
      PROTO: identity.esmtp ? "ESMTP" : "SMTP",
      HELO: identity.helo === "" ? null : identity.helo,
    }, xforward);
  }
}
