/**
 * The content of one message on its way from the receiver to the leg: header block collected and edited once, body passed
 * on as it comes, the dot held back until every verdict is in (R1, R3). Where a policy needs the verdict before the header
 * goes on, header and body are held and sent afterwards.
 *
 * Owns: the message from 354 to the answer. Never: an Effect or a promise per chunk; a copy where a view does.
 * A refused message is read to its end and thrown away, then answered.
 * @module
 */
import * as Effect from "effect/Effect";
import { isRefusal, type Outcome } from "../pipeline/algebra.ts";
import type { BodyPipeline } from "../pipeline/body.ts";
import type { SessionPipeline } from "../pipeline/pipeline.ts";
import type { Transaction } from "../pipeline/transaction.ts";
import type { Quarantine } from "../plugin/verdict.ts";
import type { Deadlines } from "../transport/deadlines.ts";
import type { Leg, LegRecipient } from "../upstream/leg.ts";
import { LF } from "../wire/bytes.ts";
import { stuff, Stuffer, unstuff, Unstuffer } from "../wire/dot.ts";
import { findHeaderEnd, HeaderBlock, isHeadless } from "../wire/headers.ts";
import type { Reply } from "../wire/reply.ts";
import { answers, downReply, refusalReply, relayed } from "./answers.ts";
import { type Ending, holdFailed } from "./ending.ts";
import { HeadBuffer } from "./head_buffer.ts";
import type { HeldBody } from "./held_body.ts";
import { sendHeld } from "./held_delivery.ts";
import { Normalizer } from "./normalizer.ts";

/** What a transfer needs of its session. */
export interface TransferHost {
  readonly pipeline: SessionPipeline;
  readonly limits: {
    readonly messageSize: number;
    readonly headerSize: number;
    readonly hops: number;
  };
  /** Runs an Effect; the session reads no further until `done` was called, which may be at once. */
  run<A>(effect: Effect.Effect<A>, done: (value: A) => void): void;
  /** As `run`, but not interrupted when the client goes. */
  commit<A>(effect: Effect.Effect<A>, done: (value: A) => void): void;
  /** The leg takes nothing until `resume`. */
  blocked(): void;
  /** The leg takes octets again. */
  resume(): void;
  /** The upstream's text may reach the client. */
  readonly passText: boolean;
  readonly deadlines: Deadlines;
  /** Milliseconds that the upstream may take nothing of a held body. */
  readonly stallMs: number;
  /** Name of the upstream that a quarantine means; undefined: there is none. */
  quarantineOf(ruling: Quarantine): string | undefined;
  /** Gives up the leg; another one, which knows no recipient yet. */
  reroute(upstream: string): Leg;
}

/** Takes content on its way: a leg, or the place where it is held. */
interface Sink {
  write(chunk: Uint8Array): boolean;
}

const nothing = new Uint8Array(0);

/** One message. Calls come in order: push*, then finish or abort. */
export class Transfer {
  readonly #host: TransferHost;
  readonly #tx: Transaction;
  #leg: Leg;
  readonly #held: HeldBody | undefined;
  readonly #sink: Sink;
  /** `wire`: dots are stuffed already (DATA); `plain`: they are not (BDAT). */
  readonly #form: "wire" | "plain";
  /** The header block as far as it has come; undefined behind it. */
  #head: HeadBuffer | undefined = new HeadBuffer();
  #searched = 0;
  /** The text begins with a field, so it has a header. */
  #headed = false;
  /** The header of a held body, and the block as it came. */
  #header: { readonly fields: HeaderBlock; readonly block: Uint8Array } | undefined;
  #body: BodyPipeline | undefined;
  #unstuffer: Unstuffer | undefined;
  #stuffer: Stuffer | undefined;
  #normalizer: Normalizer | undefined;
  #ending: Ending | undefined;
  #blocked = false;
  /** Another upstream has the message in the place of its recipients' one: for this reason. */
  #quarantined: { readonly upstream: string; readonly reason: string } | undefined;

  /** `held`: the content is held there until every verdict is in; the leg has not been asked for DATA then. */
  constructor(
    host: TransferHost,
    tx: Transaction,
    leg: Leg,
    form: "wire" | "plain",
    held: HeldBody | undefined,
  ) {
    this.#host = host;
    this.#tx = tx;
    this.#leg = leg;
    this.#form = form;
    this.#held = held;
    this.#sink = held ?? leg;
    const sink = held ?? leg;
    sink.drained = () => this.#unblock();
    if (held === undefined) {
      leg.failed = (down) => {
        this.#end({ reply: downReply(down), down });
        this.#unblock();
      };
    } else {
      held.failed = (cause) => {
        this.#end(holdFailed(cause));
        this.#unblock();
      };
    }
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#host.resume();
  }

  /** True: the leg, or the disk, is slower than the client; nothing may be pushed until `resume`. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** True once the answer is known; content is thrown away. */
  get over(): boolean {
    return this.#ending !== undefined;
  }

  /** The next octets. */
  push(chunk: Uint8Array, size: number): void {
    this.#tx.size = size;
    if (this.#ending !== undefined) return;
    const { limits } = this.#host;
    if (limits.messageSize > 0 && size > limits.messageSize) {
      this.refuse(answers.tooLarge);
      return;
    }
    if (this.#head === undefined) this.#pass(chunk);
    else this.#collect(this.#head, chunk);
  }

  /** Answers with this at the end, and passes nothing on any more. */
  refuse(answer: Reply): void {
    this.#end({ reply: answer });
  }

  /** The content is complete; `done` is told how it ended. `size`: its octets. */
  finish(size: number, done: (ending: Ending) => void): void {
    this.#tx.size = size;
    if (this.#ending === undefined && this.#head !== undefined) {
      // A message without an empty line is all header.
      this.#headerComplete(this.#head.octets, nothing, () => this.#judge(done));
      return;
    }
    this.#flush();
    this.#judge(done);
  }

  /** What transforms add at the end. */
  #flush(): void {
    const body = this.#body;
    if (this.#ending !== undefined || body === undefined || body.observeOnly) return;
    const last = body.flush();
    if ("fault" in last) this.#end({ reply: refusalReply(last.fault), refusedBy: last.fault });
    else if (last.length > 0) {
      this.#write(this.#stuffed((this.#normalizer ??= new Normalizer()).push(last)));
    }
  }

  /** The leg, or the disk, has taken nothing for too long. */
  stalled(): void {
    this.#blocked = false;
    this.refuse(this.#held === undefined ? answers.upstreamStalled : answers.noStorage);
  }

  /** The message will not be complete: nothing of it is delivered. */
  abort(): void {
    this.#body?.cancel();
    this.#leg.release();
    this.#held?.discard();
  }

  #end(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#head = undefined;
    this.#body?.cancel();
    this.#leg.release();
    this.#held?.discard();
  }

  #collect(buffer: HeadBuffer, chunk: Uint8Array): void {
    const head = buffer.push(chunk);
    const end = findHeaderEnd(head, this.#searched);
    if (end < 0 && !this.#headed && chunk.includes(LF)) {
      const headless = isHeadless(head);
      if (headless === true) {
        // A message without a header is all body: there is no empty line to wait for. Cut between two lines.
        const cut = head.lastIndexOf(LF) + 1;
        this.#headerComplete(head.subarray(0, cut), head.subarray(cut), () => {});
        return;
      }
      this.#headed = headless === false;
    }
    if (end < 0) {
      this.#searched = Math.max(0, head.length - 3);
      if (head.length > this.#host.limits.headerSize) this.refuse(answers.headerTooLarge);
      return;
    }
    if (end > this.#host.limits.headerSize) {
      this.refuse(answers.headerTooLarge);
      return;
    }
    const rest = end === head.length ? nothing : head.subarray(end);
    this.#headerComplete(end === head.length ? head : head.subarray(0, end), rest, () => {});
  }

  /** The header block in the client's form; `then` runs when its octets are on their way or the message is refused. */
  #headerComplete(block: Uint8Array, rest: Uint8Array, then: () => void): void {
    this.#head = undefined;
    const { pipeline, limits } = this.#host;
    const header = new HeaderBlock(this.#form === "wire" ? unstuff(block) : block);
    if (header.count("received") >= limits.hops) {
      this.refuse(answers.loop);
      then();
      return;
    }
    this.#settled(pipeline.header(this.#tx, header), (outcome) => {
      if (!this.#refused(outcome)) {
        if (this.#held !== undefined) {
          this.#header = { fields: header, block };
          this.#body = pipeline.body(this.#tx, header);
        } else {
          this.#body = pipeline.body(this.#tx);
          if (this.#form === "plain") this.#write(this.#stuffed(header.apply()));
          else this.#write(header.edited ? stuff(header.apply()) : block);
        }
        if (rest.length > 0) this.#pass(rest);
      }
      then();
    });
  }

  #pass(chunk: Uint8Array): void {
    const body = this.#body;
    if (body === undefined) {
      this.#write(this.#form === "wire" ? chunk : this.#stuffed(chunk));
      return;
    }
    const plain = this.#form === "plain"
      ? chunk
      : (this.#unstuffer ??= new Unstuffer()).push(chunk);
    const next = body.push(plain);
    if ("fault" in next) {
      this.#end({ reply: refusalReply(next.fault), refusedBy: next.fault });
      return;
    }
    if (body.observeOnly) this.#write(this.#form === "wire" ? chunk : this.#stuffed(chunk));
    else this.#write(this.#stuffed((this.#normalizer ??= new Normalizer()).push(next)));
    if (body.full) this.#host.run(body.room(), () => {});
  }

  #stuffed(plain: Uint8Array): Uint8Array {
    return (this.#stuffer ??= new Stuffer()).push(plain);
  }

  #write(octets: Uint8Array): void {
    if (octets.length === 0 || this.#sink.write(octets)) return;
    if (!this.#blocked) this.#host.blocked();
    this.#blocked = true;
  }

  /** End hooks, then the dot. */
  #judge(done: (ending: Ending) => void): void {
    if (this.#ending !== undefined) {
      done(this.#ending);
      return;
    }
    const { pipeline } = this.#host;
    this.#settled(this.#body?.finish(), (scanned) => {
      if (this.#refused(scanned)) {
        this.#judge(done);
        return;
      }
      this.#settled(pipeline.end(this.#tx, this.#header?.fields), (outcome) => {
        if (this.#refused(outcome) || this.#ruled()) this.#judge(done);
        else if (this.#held === undefined) this.#commit(this.#tail(), done);
        else this.#deliver(this.#held, done);
      });
    });
  }

  /** A discard, or a quarantine that cannot be followed. */
  #ruled(): boolean {
    const { ruling } = this.#tx;
    if (ruling.verdict === "discard") {
      this.#end({ reply: answers.accepted, discarded: ruling.reason });
      return true;
    }
    if (ruling.verdict !== "quarantine") return false;
    const { reason } = ruling;
    const upstream = this.#host.quarantineOf(ruling);
    if (upstream === this.#leg.upstream) return false;
    if (upstream === undefined || this.#held === undefined) {
      this.#end({
        reply: answers.internal,
        quarantined: reason,
        trouble: upstream === undefined
          ? "no such upstream for a quarantine"
          : "a quarantine came when the content had begun to go to another upstream; the plugin has to hold the body",
      });
      return true;
    }
    this.#quarantined = { upstream, reason };
    return false;
  }

  /** What the dot needs before it. */
  #tail(): Uint8Array | undefined {
    const withheld = this.#normalizer?.finish();
    if (withheld !== undefined && withheld.length > 0) this.#write(this.#stuffed(withheld));
    return this.#stuffer === undefined ? undefined : missingLineEnd(this.#stuffer);
  }

  /** A held message goes upstream: all but the dot, then the dot. */
  #deliver(held: HeldBody, done: (ending: Ending) => void): void {
    const inBody = this.#tail();
    const { fields, block } = this.#header!;
    let header = this.#form === "wire" && !fields.edited ? block : undefined;
    let tail = inBody;
    if (header === undefined) {
      const stuffer = new Stuffer();
      header = stuffer.push(fields.apply());
      if (held.size === 0) tail = missingLineEnd(stuffer);
    }
    let recipients: readonly LegRecipient[] = [];
    if (this.#quarantined !== undefined) {
      this.#leg = this.#host.reroute(this.#quarantined.upstream);
      recipients = this.#tx.recipients.map((to) => ({ to, params: to.params }));
    }
    const { deadlines, stallMs, passText } = this.#host;
    const sent = sendHeld({
      leg: this.#leg,
      recipients,
      header,
      body: held,
      deadlines,
      stallMs,
      passText,
    });
    this.#host.run(sent, (ended) => {
      if (ended !== undefined) this.#end(this.#elsewhere(ended));
      this.#commit(tail, done);
    });
  }

  /** A quarantine's failure is ours, not the message's: whatever its upstream said, the client comes again. */
  #elsewhere(ending: Ending): Ending {
    if (this.#quarantined === undefined) return ending;
    const quarantined = this.#quarantined.reason;
    return ending.reply.code < 500
      ? { ...ending, quarantined }
      : { ...ending, quarantined, reply: answers.internal };
  }

  /** The dot: from here to the reply nothing interrupts (R1). */
  #commit(tail: Uint8Array | undefined, done: (ending: Ending) => void): void {
    if (this.#ending !== undefined) {
      done(this.#ending);
      return;
    }
    // A quarantine is nobody's business but ours.
    const passText = this.#host.passText && this.#quarantined === undefined;
    const sent = Effect.match(this.#leg.finish(tail), {
      onSuccess: (answer): Ending => ({
        reply: relayed(answer, "end", passText),
        upstreamReply: answer,
      }),
      onFailure: (down): Ending => ({ reply: downReply(down), down }),
    });
    this.#host.commit(Effect.uninterruptible(sent), (result) => {
      const ending = this.#elsewhere(result);
      this.#ending ??= ending;
      this.#leg.release();
      this.#held?.discard();
      done(ending);
    });
  }

  #refused(outcome: Outcome | undefined): boolean {
    if (outcome !== undefined && isRefusal(outcome.verdict)) {
      this.#end({ reply: refusalReply(outcome.verdict), refusedBy: outcome.verdict });
    }
    return this.#ending !== undefined;
  }

  /** Goes on at once with a plain outcome, later with one that is awaited. */
  #settled(
    outcome: Outcome | Effect.Effect<Outcome> | undefined,
    next: (outcome: Outcome | undefined) => void,
  ): void {
    if (outcome !== undefined && Effect.isEffect(outcome)) this.#host.run(outcome, next);
    else next(outcome);
  }
}

/** CRLF where the content does not end with one: BDAT content need not (RFC 3030), the dot needs it. */
function missingLineEnd(stuffer: Stuffer): Uint8Array | undefined {
  const terminator = stuffer.terminator();
  return terminator.length > 3 ? terminator.subarray(0, terminator.length - 3) : undefined;
}
