/**
 * The driver of one session: octets to events, events to asks, asks to policies and legs, replies back. It reads by callback
 * and enters Effect only for what waits; what completes at once is answered in the same tick.
 *
 * Owns: the connection, the receiver, the session state, the transaction in flight. Reading goes on until something is
 * pending, then stops; a client that does not read its replies is not read either (R29).
 * @module
 */
import type * as Effect from "effect/Effect";
import { isRefusal, type Outcome } from "../pipeline/algebra.ts";
import type { SessionPipeline } from "../pipeline/pipeline.ts";
import {
  type Ask,
  exhausted,
  freshState,
  secured,
  type ServerPolicy,
  type ServerState,
  settle,
  step,
} from "../session/server.ts";
import type { Duplex } from "../transport/duplex.ts";
import { isForeignProtocol, parseCommand } from "../wire/command.ts";
import { Receiver, type ReceiverEvent } from "../wire/receiver.ts";
import { formatReply, type Reply } from "../wire/reply.ts";
import { answers, lineFaultReply, refusalReply } from "./answers.ts";
import { AuthExchange, saslLine } from "./auth_exchange.ts";
import { ClientChannel } from "./client_channel.ts";
import type { ServerContext, ServerListener } from "./context.ts";
import { Facts } from "./facts.ts";
import { Pending } from "./pending.ts";
import { SessionClock } from "./session_clock.ts";
import { TransactionRun } from "./transaction_run.ts";
import { applyXclient } from "./xclient.ts";

/** The first octet of a TLS handshake record (RFC 8446 section 5.1): no command begins with it. */
const tlsHandshake = 0x16;

/** One session. */
export class Session {
  readonly facts: Facts;
  readonly pipeline: SessionPipeline;

  readonly #context: ServerContext;
  readonly #listener: ServerListener;
  readonly #channel: ClientChannel;
  readonly #clock: SessionClock;
  readonly #pending: Pending;
  #receiver: Receiver;
  #policy: ServerPolicy;
  #state: ServerState;
  #pumping = false;
  #upgrading = false;
  #over = false;
  /** The client is gone; what became of its message is not known yet. */
  #leaving = false;
  #inputEnded = false;
  #draining = false;
  #run: TransactionRun | undefined;
  #auth: AuthExchange | undefined;
  /** From here on a line that is no command may be a response of an exchange that was refused: no log is told it (R18). */
  #authAsked = false;
  #authFailures = 0;
  #transactions = 0;
  /** Content that is read and thrown away, then answered. */
  #skipping: { readonly ask: Ask; readonly reply: Reply } | undefined;

  constructor(context: ServerContext, listener: ServerListener, facts: Facts, duplex: Duplex) {
    this.#context = context;
    this.#listener = listener;
    this.#channel = new ClientChannel(duplex, context.log.level === "debug");
    this.facts = facts;
    this.#receiver = this.#newReceiver();
    this.#state = facts.tls === undefined ? freshState : { ...freshState, secure: true };
    this.pipeline = context.pipeline.open(facts);
    this.#policy = context.policyFor(listener, facts);
    this.#clock = new SessionClock(
      context.deadlines,
      context.settings.timeouts,
      () => this.#expired(),
    );
    this.#pending = new Pending({
      waiting: () => this.#clock.awaitOurselves(),
      ended: () => {
        if (this.#leaving) this.#left();
        else this.resume();
      },
      failed: (cause) => this.#failed(String(cause)),
    }, context.fork);
  }

  /** Takes the connection over, asks the `connect` hooks, greets. `already`: octets read behind a PROXY header. */
  start(already?: Uint8Array): void {
    const { duplex } = this.#channel;
    duplex.handle({
      data: (chunk) => this.#data(chunk),
      end: () => this.#ended(),
      drain: () => {
        if (this.#channel.drained()) this.#pump();
      },
      close: (error) => this.#gone(error?.message),
    });
    duplex.resume();
    this.pipeline.opened();
    if (already !== undefined && already.length > 0) this.#receiver.feed(already);
    this.#greet();
    this.#pump();
  }

  /** Asks the `connect` hooks; the banner, or why not. */
  #greet(): void {
    this.decided(this.pipeline.connect(), (outcome) => {
      if (isRefusal(outcome.verdict)) {
        const refusal = refusalReply(outcome.verdict);
        this.#context.log.event("info", "session refused", {
          id: this.facts.id,
          client: this.facts.remote.address,
          plugin: outcome.plugin,
          reply: `${refusal.code} ${refusal.lines[0]}`,
        });
        this.#noted("connect", outcome.plugin, refusal);
        this.close(refusal.code === 421 ? refusal : { ...refusal, enhanced: undefined });
        return;
      }
      this.#channel.write(this.#listener.banner);
      this.#clock.awaitCommand();
    });
  }

  /** No transaction more; an idle session ends now. */
  drain(): void {
    this.#draining = true;
    if (!this.#over && !this.#busy()) this.close(answers.shutdown);
  }

  /** Ends it without regard for anything: the drain time is over. */
  kill(): void {
    if (!this.#pending.committing) this.#channel.duplex.destroy();
  }

  /** The time to read the next command, or of the whole session, is over. */
  #expired(): void {
    if (this.#over) {
      this.#channel.duplex.destroy();
      return;
    }
    // Upstream and policies have deadlines of their own; ours comes back when they have answered.
    if (this.#pending.active) return;
    if (this.#run?.blocked === true) {
      this.#run.stalled();
      this.awaitContent();
      this.#pump();
      return;
    }
    this.#context.log.event("info", "session timed out", {
      id: this.facts.id,
      client: this.facts.remote.address,
    });
    this.close(answers.timeout);
  }

  /** Answers an ask: the state follows, the reply goes out, a session that has earned it ends. */
  say(ask: Ask, reply: Reply): void {
    this.#state = settle(this.#state, ask, reply);
    this.send(reply);
    if (reply.code === 421) this.#finish();
    else if (exhausted(this.#policy, this.#state)) this.close(answers.tooManyErrors);
    else this.#clock.awaitCommand();
  }

  /** Writes a reply, after the `reply` hooks. */
  send(reply: Reply): void {
    const shown = this.#context.pipeline.stages.reply ? this.pipeline.reply(reply) : reply;
    this.#channel.write(formatReply(shown));
    if (shown.code >= 400) this.pipeline.errorReply(shown);
  }

  /** Writes a reply and ends the session. */
  close(reply: Reply): void {
    if (this.#over) return;
    this.send(reply);
    this.#finish();
  }

  /** As {@linkcode Pending.decided}. */
  decided(outcome: Outcome | Effect.Effect<Outcome>, next: (outcome: Outcome) => void): void {
    this.#pending.decided(outcome, next);
  }

  /** Runs an Effect; nothing more is read until it has ended. */
  run<A>(effect: Effect.Effect<A>, done: (value: A) => void): void {
    this.#pending.run(effect, done);
  }

  /** As `run`, but the end of the client does not interrupt it: between the dot and its reply. */
  commit<A>(effect: Effect.Effect<A>, done: (value: A) => void): void {
    this.#pending.commit(effect, done);
  }

  /** The transaction is over. */
  transactionOver(): void {
    this.#run = undefined;
  }

  /** The leg takes no more for now: until it does, the time that runs is its own. */
  blocked(): void {
    this.#clock.awaitLeg();
  }

  /** The leg takes octets again: reads on. */
  resume(): void {
    if (this.#run?.transferring === true) this.awaitContent();
    this.#pump();
  }

  /** The listener's offer and limits. */
  get policy(): ServerPolicy {
    return this.#policy;
  }

  get receiver(): Receiver {
    return this.#receiver;
  }

  /** A defect ends the transaction and the session, and nobody else's. */
  #failed(cause: string): void {
    if (this.#over) return;
    this.#context.log.event("error", "session failed", { id: this.facts.id, cause });
    this.#abandon("internal error");
    this.close({ ...answers.internal, code: 421 });
  }

  #data(chunk: Uint8Array): void {
    if (this.#over) return;
    const atLineStart = this.#receiver.buffered === 0;
    this.#receiver.feed(chunk);
    if (this.#run?.transferring === true) this.#clock.progressed(chunk.length);
    else if (this.#state.phase === "fresh" && atLineStart && chunk[0] === tlsHandshake) {
      this.#context.log.event("info", "TLS on a plain port", {
        id: this.facts.id,
        client: this.facts.remote.address,
      });
      this.#finish();
      return;
    }
    this.#pump();
    this.#channel.holdBack(this.#receiver.buffered);
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#ready()) {
      const event = this.#receiver.next();
      if (event === undefined) break;
      this.#event(event);
    }
    this.#pumping = false;
    if (this.#over || this.#pending.active || this.#upgrading) return;
    if (this.#inputEnded && this.#ready()) {
      this.#inputOver();
      return;
    }
    if (this.#draining && !this.#busy()) {
      this.close(answers.shutdown);
      return;
    }
    if (this.#ready()) this.#channel.readOn();
  }

  #ready(): boolean {
    return !this.#over && !this.#pending.active && !this.#channel.full && !this.#upgrading &&
      this.#run?.blocked !== true;
  }

  #event(event: ReceiverEvent): void {
    switch (event.event) {
      case "line":
        if (this.#auth !== undefined) this.#auth.line(event.text);
        else this.#command(event.text);
        return;
      case "line-fault":
        if (this.#authAsked) this.#channel.transcript?.secret("C");
        else this.#channel.transcript?.line("C", event.start);
        if (this.#auth !== undefined) this.#auth.fault(event.fault === "too-long");
        else {
          const fault = lineFaultReply(event.fault);
          this.say({ ask: "reply", reply: fault }, fault);
        }
        return;
      case "content":
        if (this.#skipping === undefined) this.#run?.content(event.chunk);
        return;
      case "end":
        this.#receiver.command();
        if (this.#skipping !== undefined) {
          const { ask, reply } = this.#skipping;
          this.#skipping = undefined;
          this.say(ask, reply);
        } else this.#run?.contentEnd();
    }
  }

  #command(line: string): void {
    const command = parseCommand(line);
    const { verb } = command;
    if (verb === "AUTH" || (verb === "BAD" && command.of === "AUTH")) this.#authAsked = true;
    if (this.#authAsked && verb === "UNKNOWN") this.#channel.transcript?.secret("C");
    else this.#channel.transcript?.line("C", line);
    if (isForeignProtocol(line)) {
      this.close(answers.foreign);
      return;
    }
    const ask = step(this.#policy, this.#state, command);
    switch (ask.ask) {
      case "reply":
        this.say(ask, ask.reply);
        return;
      case "quit":
        this.#abandon("QUIT");
        this.close(ask.reply);
        return;
      case "reset":
        this.#abandon("RSET");
        this.say(ask, ask.reply);
        return;
      case "helo":
        this.#helo(ask);
        return;
      case "starttls":
        this.#starttls();
        return;
      case "auth":
        this.#authenticate(ask);
        return;
      case "xclient":
        applyXclient(this, ask);
        return;
      case "skip":
        this.#skip(ask, ask.size, ask.reply);
        return;
      case "mail":
        this.#transactions += 1;
        this.#run = new TransactionRun(
          this.#context,
          this,
          `${this.facts.id}.${this.#transactions}`,
          ask,
        );
        this.#run.mail();
        return;
      case "rcpt":
        this.#run?.rcpt(ask);
        return;
      case "data":
        this.#run?.data(ask);
        return;
      case "bdat":
        this.#run?.bdat(ask);
    }
  }

  /** Takes `size` octets off the stream, then answers (RFC 3030 section 2, R11). */
  #skip(ask: Ask, size: number, reply: Reply): void {
    this.#skipping = { ask, reply };
    this.#receiver.beginMessage();
    this.#receiver.bdat(size);
  }

  #helo(ask: Extract<Ask, { ask: "helo" }>): void {
    const { helo, esmtp } = this.facts;
    this.facts.helo = ask.name;
    this.facts.esmtp = ask.esmtp;
    this.decided(this.pipeline.helo(ask.name), (outcome) => {
      if (isRefusal(outcome.verdict)) {
        // A refused EHLO changes nothing, a transaction in flight included (RFC 5321 section 4.1.4).
        this.facts.helo = helo;
        this.facts.esmtp = esmtp;
        this.#noted("helo", outcome.plugin, refusalReply(outcome.verdict));
        this.refused(ask, outcome);
        return;
      }
      this.#abandon("HELO");
      this.#policy = this.#context.policyFor(this.#listener, this.facts);
      this.say(ask, this.#context.greeting(this.#policy, this.#state, ask));
    });
  }

  /** For the history: a refusal outside of transactions. */
  #noted(
    stage: "connect" | "helo" | "auth",
    plugin: string | undefined,
    reply: Reply | undefined,
  ): void {
    this.#context.refused({
      session: this.facts,
      transaction: undefined,
      stage,
      plugin,
      reply,
      refusedRecipients: undefined,
      decisions: this.pipeline,
    });
  }

  /** A policy's refusal; a drop ends the session. */
  refused(ask: Ask, outcome: Outcome): void {
    if (!isRefusal(outcome.verdict)) return;
    const reply = refusalReply(outcome.verdict);
    this.#context.log.event("info", "refused by policy", {
      id: this.facts.id,
      client: this.facts.remote.address,
      stage: ask.ask,
      plugin: outcome.plugin,
      reply: `${reply.code} ${reply.lines[0]}`,
    });
    if (outcome.verdict.verdict === "drop") this.close(reply);
    else this.say(ask, reply);
  }

  #starttls(): void {
    const { log } = this.#context;
    const { tls } = this.#listener;
    // What came in plain text behind STARTTLS was never sent by whom TLS will prove (R12).
    if (tls === undefined || this.#receiver.buffered > 0) {
      log.event("warn", "plain text behind STARTTLS", {
        id: this.facts.id,
        client: this.facts.remote.address,
      });
      this.close(answers.injected);
      return;
    }
    this.#upgrading = true;
    this.#clock.suspend();
    this.#channel.transcript?.line("S", "220 2.0.0 Ready to start TLS");
    this.#channel.duplex.upgradeServer(tls, answers.ready, (error) => {
      if (error !== undefined || this.#over) return;
      this.#upgrading = false;
      this.#receiver = this.#newReceiver();
      this.#state = secured(this.#state);
      this.facts.tls = this.#channel.duplex.tls;
      this.facts.helo = "";
      this.facts.esmtp = false;
      this.facts.identity = undefined;
      this.#channel.duplex.resume();
      this.#clock.awaitCommand();
      this.#pump();
    });
  }

  #authenticate(ask: Extract<Ask, { ask: "auth" }>): void {
    this.#auth = new AuthExchange(this, ask, {
      delay: this.#context.authDelay,
      failures: this.#authFailures,
      limit: this.#context.settings.limits.authFailures,
      log: this.#context.log,
    });
    this.#auth.begin();
  }

  /** The SASL exchange has ended: with an identity, or with one more failure. */
  authOver(identity: Facts["identity"], failed: boolean): void {
    this.#auth = undefined;
    this.#receiver.command();
    if (failed) {
      this.#authFailures += 1;
      const last = this.pipeline.trace.entries.at(-1);
      this.#noted("auth", last?.stage === "auth" ? last.plugin : undefined, undefined);
    }
    if (identity === undefined) return;
    this.facts.identity = identity;
    this.#state = { ...this.#state, authenticated: true };
  }

  /** XCLIENT has changed who the client is: greet anew. */
  restart(state: (before: ServerState) => ServerState): void {
    this.#state = state(this.#state);
    this.#policy = this.#context.policyFor(this.#listener, this.facts);
    this.#greet();
  }

  get state(): ServerState {
    return this.#state;
  }

  /** Content is expected from here on. */
  awaitContent(): void {
    this.#clock.awaitContent();
  }

  /** A transaction is open, or something is being waited for. */
  #busy(): boolean {
    return this.#pending.active || this.#run !== undefined || this.#upgrading ||
      this.#auth !== undefined;
  }

  /** The client sends no more; what it has sent has been answered. */
  #ended(): void {
    this.#inputEnded = true;
    if (this.#ready()) this.#inputOver();
  }

  #inputOver(): void {
    this.#abandon("client closed the connection");
    this.#finish();
  }

  /** Ends the transaction in flight: nothing of it is delivered (R3). */
  #abandon(why: string): void {
    const run = this.#run;
    this.#run = undefined;
    run?.abandon(why);
  }

  /** No more reading; what was written still leaves. */
  #finish(): void {
    if (this.#over) return;
    this.#abandon("session ended");
    this.#over = true;
    this.#channel.duplex.end();
    this.#clock.awaitClose();
  }

  #gone(why: string | undefined): void {
    this.#clock.stop();
    this.#over = true;
    this.#pending.cancel();
    if (this.#pending.committing) {
      // Observers, the history, the limits of connections: all of them wait for the reply to the dot.
      this.#leaving = true;
      return;
    }
    this.#abandon(why ?? "client closed the connection");
    this.#left();
  }

  /** Nothing of it is under way any more. */
  #left(): void {
    this.pipeline.closed();
    const { transcript } = this.#channel;
    if (transcript !== undefined) {
      this.#context.log.event("debug", "session", {
        id: this.facts.id,
        client: this.facts.remote.address,
        transcript: transcript.toDialogue(),
      });
    }
    this.#context.closed(this);
  }

  #newReceiver(): Receiver {
    const { limits } = this.#context.settings;
    return new Receiver({
      commandLine: limits.commandLine,
      ...(this.#listener.settings.auth === "off" ? {} : { authLine: saslLine }),
      textLine: limits.textLine,
      longLines: limits.longLines,
      bareNewline: limits.bareNewline,
    });
  }
}
