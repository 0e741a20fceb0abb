/**
 * One transaction of a session: MAIL and RCPT judged by policies, routed, judged by the upstream; DATA or BDAT handed to a
 * transfer; the end recorded. One route a transaction: a recipient of another one is asked to come again (452 4.5.3).
 * @module
 */
import { isRefusal, type Outcome } from "../pipeline/algebra.ts";
import { strongerShadow } from "../pipeline/trace.ts";
import { Transaction } from "../pipeline/transaction.ts";
import type { Rewrite } from "../plugin/verdict.ts";
import type { Ask } from "../session/server.ts";
import type { Leg, LegDown } from "../upstream/leg.ts";
import { type Mailbox, parseMailbox, type ReversePath } from "../wire/path.ts";
import type { Reply } from "../wire/reply.ts";
import { answers, refusalReply, relayed, type Stage } from "./answers.ts";
import type { ServerContext } from "./context.ts";
import type { Ending } from "./ending.ts";
import { HeldBody } from "./held_body.ts";
import { judgeAll, withDown } from "./judged.ts";
import { type Fate, type RefusedRecipient, RefusedRecipients } from "./record.ts";
import type { Session } from "./session.ts";
import { Transfer } from "./transfer.ts";

type MailAsk = Extract<Ask, { ask: "mail" }>;
type RcptAsk = Extract<Ask, { ask: "rcpt" }>;
type DataAsk = Extract<Ask, { ask: "data" }>;
type BdatAsk = Extract<Ask, { ask: "bdat" }>;

/** One transaction. */
export class TransactionRun {
  readonly #context: ServerContext;
  readonly #session: Session;
  readonly #tx: Transaction;
  readonly #mail: MailAsk;
  readonly #startedAt: number;
  #leg: Leg | undefined;
  #transfer: Transfer | undefined;
  /** The content is held here until every verdict is in. */
  #held: HeldBody | undefined;
  #bdat: BdatAsk | undefined;
  #recorded = false;
  /** Made with the first. */
  #refusedRecipients: RefusedRecipients | undefined;

  constructor(context: ServerContext, session: Session, id: string, ask: MailAsk) {
    this.#context = context;
    this.#session = session;
    this.#mail = ask;
    this.#startedAt = context.now();
    this.#tx = new Transaction(id, session.facts, ask.from, ask.params);
  }

  /** Content is being received. */
  get transferring(): boolean {
    return this.#transfer !== undefined;
  }

  /** The leg is slower than the client. */
  get blocked(): boolean {
    return this.#transfer?.blocked === true;
  }

  /** MAIL. */
  mail(): void {
    const { from, params } = this.#mail;
    this.#session.decided(this.#session.pipeline.mail(this.#tx, from, params), (outcome) => {
      if (isRefusal(outcome.verdict)) {
        this.#session.transactionOver();
        this.#noted("mail", outcome.plugin, refusalReply(outcome.verdict));
        this.#session.refused(this.#mail, outcome);
        return;
      }
      if (outcome.rewrite?.from !== undefined) {
        const rewritten = reversePath(outcome.rewrite.from);
        if (rewritten === undefined) {
          this.#badRewrite(outcome);
          this.#session.transactionOver();
          this.#session.say(this.#mail, answers.badAddress);
          return;
        }
        this.#tx.from = rewritten;
      }
      this.#session.say(this.#mail, answers.senderOk);
    });
  }

  /** RCPT. */
  rcpt(ask: RcptAsk): void {
    const { pipeline } = this.#session;
    this.#session.decided(pipeline.rcpt(this.#tx, ask.to, ask.params), (outcome) => {
      if (isRefusal(outcome.verdict)) {
        const reply = refusalReply(outcome.verdict);
        this.#refusedOne(ask, { by: "policy", plugin: outcome.plugin, reply });
        this.#session.refused(ask, outcome);
        return;
      }
      const { rewrite } = outcome;
      if (rewrite === undefined) this.#relay(ask, [ask.to], undefined);
      else this.#relayRewritten(ask, rewrite, outcome);
    });
  }

  /** DATA: our 354 only after the leg's, but for a held body: nobody but us takes that before its verdict. */
  data(ask: DataAsk): void {
    this.#open(ask, (answer) => {
      this.#session.say(ask, answer);
      if (answer.code !== 354) {
        this.#session.transactionOver();
        return;
      }
      this.#begin("wire");
      this.#session.receiver.data();
    });
  }

  /** BDAT: bridged to DATA; its octets are taken off the stream whatever the answer (R11). */
  bdat(ask: BdatAsk): void {
    this.#bdat = ask;
    const { receiver } = this.#session;
    if (!ask.first) {
      receiver.bdat(ask.size);
      return;
    }
    receiver.beginMessage();
    this.#open(ask, (answer) => {
      this.#begin("plain");
      if (answer.code !== 354) this.#transfer?.refuse(answer);
      receiver.bdat(ask.size);
    });
  }

  /** Octets of content. */
  content(chunk: Uint8Array): void {
    this.#transfer?.push(chunk, this.#session.receiver.plainSize);
  }

  /** The end of DATA, or of one BDAT chunk. */
  contentEnd(): void {
    const transfer = this.#transfer;
    if (transfer === undefined) return;
    const { receiver } = this.#session;
    const { contentFault } = receiver;
    if (contentFault !== undefined) {
      transfer.refuse(contentFault === "long-line" ? answers.longLine : answers.bareNewline);
    }
    const chunk = this.#bdat;
    if (chunk !== undefined && !chunk.last && !transfer.over) {
      this.#session.say(chunk, answers.accepted);
      this.#session.awaitContent();
      return;
    }
    if (chunk !== undefined) {
      const withheld = receiver.finishMessage();
      if (withheld.length > 0) transfer.push(withheld, receiver.plainSize);
    }
    transfer.finish(receiver.plainSize, (ending) => this.#ended(ending));
  }

  /** The leg has taken nothing for too long. */
  stalled(): void {
    this.#transfer?.stalled();
  }

  /** The transaction will not be complete: nothing of it is delivered. */
  abandon(why: string): void {
    if (this.#transfer !== undefined) {
      this.#transfer.abort();
      this.#record("aborted", undefined, { cause: why });
      return;
    }
    this.#leg?.release();
    const last = this.#refusedRecipients?.list.at(-1);
    if (last !== undefined && !this.#recorded) this.#noted("rcpt", last.plugin, last.reply);
  }

  #refusedOne(ask: RcptAsk, how: Omit<RefusedRecipient, "address">): void {
    (this.#refusedRecipients ??= new RefusedRecipients()).add({ address: ask.to.address, ...how });
  }

  /** For the history: a refusal, and no content came. */
  #noted(stage: "mail" | "rcpt", plugin: string | undefined, reply: Reply): void {
    this.#recorded = true;
    this.#context.refused({
      session: this.#session.facts,
      transaction: this.#tx,
      stage,
      plugin,
      reply,
      refusedRecipients: this.#refusedRecipients,
      decisions: this.#session.pipeline,
    });
  }

  #relayRewritten(ask: RcptAsk, rewrite: Rewrite, outcome: Outcome): void {
    const targets = rewrite.to === undefined ? [ask.to] : rewrite.to.map(parseMailbox);
    if (
      targets.length === 0 || targets.some((t) => t === undefined) ||
      (rewrite.upstream !== undefined && !this.#context.upstreams.has(rewrite.upstream))
    ) {
      this.#badRewrite(outcome);
      this.#session.say(ask, answers.badAddress);
      return;
    }
    this.#relay(ask, targets as Mailbox[], rewrite.upstream);
  }

  #badRewrite(outcome: Outcome): void {
    this.#context.log.event("error", "rewrite is not usable", {
      id: this.#tx.id,
      plugin: outcome.plugin,
    });
  }

  /** Routes a recipient and lets its upstream judge it. */
  #relay(ask: RcptAsk, targets: readonly Mailbox[], chosen: string | undefined): void {
    const { upstreams } = this.#context;
    const { facts } = this.#session;
    const names = targets.map((to) =>
      chosen ?? upstreams.route({
        domain: to.domain,
        listener: facts.listener,
        authenticated: facts.identity !== undefined,
      })
    );
    const [name] = names;
    if (name === undefined || names.includes(undefined)) {
      this.#context.log.event("info", "relaying denied", {
        id: this.#tx.id,
        client: facts.remote.address,
        to: ask.to.address,
      });
      this.#refusedOne(ask, { by: "no route", reply: answers.relayDenied });
      this.#session.say(ask, answers.relayDenied);
      return;
    }
    if (names.some((n) => n !== (this.#leg?.upstream ?? name))) {
      this.#refusedOne(ask, { by: "another route", reply: answers.anotherRoute });
      this.#session.say(ask, answers.anotherRoute);
      return;
    }
    const leg = this.#leg ??= this.#openLeg(name);
    const [to] = targets;
    const judged = targets.length === 1
      ? leg.rcpt({ to: to as Mailbox, params: ask.params })
      : judgeAll(leg, targets, ask.params);
    this.#session.run(withDown(judged), ({ answer, down }) => {
      if (down !== undefined) this.#logDown(down);
      const shown = this.#shown(answer, down, "rcpt");
      if (answer.code < 400) {
        for (const target of targets) {
          this.#tx.recipients.push({ ...target, params: ask.params });
        }
      } else if (down === undefined) {
        const said = `${answer.code} ${answer.enhanced ?? ""} ${answer.lines.join(" ")}`;
        this.#context.log.event("info", "recipient refused by upstream", {
          id: this.#tx.id,
          to: ask.to.address,
          upstream: leg.upstream,
          reply: said,
        });
        this.#refusedOne(ask, {
          by: "upstream",
          reply: shown,
          cause: `${leg.upstream} said ${said}`,
        });
      } else this.#refusedOne(ask, { by: "down", reply: shown, cause: down.message });
      this.#session.say(ask, shown);
    });
  }

  #openLeg(upstream: string): Leg {
    const { facts } = this.#session;
    return this.#context.upstreams.open(
      upstream,
      { from: this.#tx.from, params: this.#mail.params, id: this.#tx.id },
      {
        remote: facts.remote,
        local: facts.local,
        name: facts.clientName,
        helo: facts.helo,
        esmtp: facts.esmtp,
        user: facts.identity?.user,
      },
    );
  }

  /** The `data` hooks, then the leg's DATA. */
  #open(ask: DataAsk | BdatAsk, next: (answer: Reply) => void): void {
    const { pipeline } = this.#session;
    this.#session.decided(pipeline.data(this.#tx), (outcome) => {
      const leg = this.#leg;
      if (isRefusal(outcome.verdict) || leg === undefined) {
        leg?.release();
        if (outcome.verdict.verdict === "drop" && ask.ask === "data") {
          const reply = refusalReply(outcome.verdict);
          this.#record(fateOf(reply), reply, { refusedBy: outcome.plugin });
          this.#session.transactionOver();
          this.#session.refused(ask, outcome);
        } else {
          const answer = isRefusal(outcome.verdict)
            ? refusalReply(outcome.verdict)
            : answers.internal;
          this.#record(fateOf(answer), answer, { refusedBy: outcome.plugin });
          next(answer);
        }
        return;
      }
      if (pipeline.holds(this.#tx)) {
        const { spill, settings } = this.#context;
        this.#held = new HeldBody(spill, settings.limits.heldMemory);
        next(answers.startData);
        return;
      }
      this.#session.run(withDown(leg.data()), ({ answer, down }) => {
        if (down !== undefined) this.#logDown(down);
        if (answer.code === 354) {
          next(answers.startData);
          return;
        }
        leg.release();
        const shown = this.#shown(answer, down, "data");
        this.#record(fateOf(shown), shown, { upstreamReply: answer });
        next(shown);
      });
    });
  }

  #begin(form: "wire" | "plain"): void {
    const leg = this.#leg;
    if (leg === undefined) return;
    const session = this.#session;
    session.awaitContent();
    this.#transfer = new Transfer(
      {
        pipeline: session.pipeline,
        limits: this.#limits(),
        passText: this.#context.upstreams.passesText(leg.upstream),
        run: (effect, done) => session.run(effect, done),
        commit: (effect, done) => session.commit(effect, done),
        blocked: () => session.blocked(),
        resume: () => session.resume(),
        deadlines: this.#context.deadlines,
        stallMs: this.#context.settings.timeouts.upstreamData,
        quarantineOf: ({ upstream }) => this.#quarantineOf(upstream),
        reroute: (upstream) => {
          this.#leg?.release();
          return this.#leg = this.#openLeg(upstream);
        },
      },
      this.#tx,
      leg,
      form,
      this.#held,
    );
  }

  #quarantineOf(asked: string | undefined): string | undefined {
    const { settings, upstreams } = this.#context;
    const upstream = asked ?? settings.quarantine;
    return upstream !== undefined && upstreams.has(upstream) ? upstream : undefined;
  }

  #limits(): { messageSize: number; headerSize: number; hops: number } {
    const { headerSize, hops } = this.#context.settings.limits;
    return { messageSize: this.#session.policy.offer.size, headerSize, hops };
  }

  #ended(ending: Ending): void {
    const ask: Ask = this.#bdat ?? { ask: "data" };
    this.#session.transactionOver();
    if (ending.down !== undefined) this.#logDown(ending.down);
    const { refusedBy, upstreamReply, discarded, quarantined, trouble } = ending;
    if (trouble !== undefined) {
      this.#context.log.event("error", trouble, {
        id: this.#tx.id,
        plugin: quarantined === undefined ? undefined : this.#tx.ruledBy,
      });
    }
    const fate: Fate = ending.down?.phase === "dot"
      ? "unknown"
      : discarded !== undefined
      ? "discarded"
      : quarantined !== undefined && ending.reply.code < 400
      ? "quarantined"
      : fateOf(ending.reply);
    this.#record(fate, ending.reply, {
      ...(upstreamReply === undefined ? {} : { upstreamReply }),
      cause: discarded ?? trouble ?? ending.down?.message ?? quarantined ?? refusedBy?.text,
    });
    if (refusedBy?.verdict === "drop") this.#session.close(ending.reply);
    else this.#session.say(ask, ending.reply);
  }

  #shown(answer: Reply, down: LegDown | undefined, stage: Stage): Reply {
    if (down !== undefined) return answer;
    const upstream = this.#leg?.upstream;
    return relayed(
      answer,
      stage,
      upstream !== undefined && this.#context.upstreams.passesText(upstream),
    );
  }

  #logDown(down: LegDown): void {
    this.#context.log.event(
      "error",
      down.phase === "dot" ? "outcome unknown: upstream lost after the dot" : "upstream failed",
      { id: this.#tx.id, cause: down.message },
    );
  }

  #record(
    fate: Fate,
    reply: Reply | undefined,
    more: {
      readonly upstreamReply?: Reply;
      readonly cause?: string | undefined;
      readonly refusedBy?: string | undefined;
    },
  ): void {
    if (this.#recorded) return;
    this.#recorded = true;
    const server = this.#leg?.server;
    const { pipeline } = this.#session;
    const { ruling, ruledBy } = this.#tx;
    const ruled = fate === "discarded" || fate === "quarantined" || isRefusal(ruling);
    this.#context.recorded({
      transaction: this.#tx,
      fate,
      reply,
      plugin: more.refusedBy ?? (ruled ? ruledBy : undefined),
      refusedRecipients: this.#refusedRecipients,
      decisions: pipeline,
      upstream: this.#leg?.upstream,
      server: server === "" ? undefined : server,
      upstreamReply: more.upstreamReply,
      cause: more.cause ?? more.refusedBy,
      held: this.#held === undefined ? undefined : this.#held.onDisk ? "file" : "memory",
      wouldHave: strongerShadow(pipeline.trace.wouldHave, this.#tx.trace.wouldHave),
      ms: this.#context.now() - this.#startedAt,
    });
    if ((fate === "delivered" || fate === "quarantined") && reply !== undefined) {
      pipeline.delivered(this.#tx, { upstream: this.#leg?.upstream ?? "", reply });
    } else if ((fate === "refused" || fate === "deferred") && reply !== undefined) {
      pipeline.refused(this.#tx, { stage: "end", reply });
    }
  }
}

function fateOf(reply: Reply): Fate {
  return reply.code < 400 ? "delivered" : reply.code < 500 ? "deferred" : "refused";
}

function reversePath(address: string): ReversePath | undefined {
  return address === "" ? null : parseMailbox(address);
}
