/**
 * The driver of one session: octets to events, events to asks, asks to policies and legs, replies back. It reads by callback
 * and enters Effect only for what waits; what completes at once is answered in the same tick.
 *
 * Owns: the connection, the receiver, the session state, the transaction in flight. Reading goes on until something is
 * pending, then stops; a client that does not read its replies is not read either (R29).
 * @module
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type * as Fiber from "effect/Fiber";
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
import { Transcript } from "../session/transcript.ts";
import type { Deadline } from "../transport/deadlines.ts";
import type { Duplex } from "../transport/duplex.ts";
import { isForeignProtocol, parseCommand } from "../wire/command.ts";
import { Receiver, type ReceiverEvent } from "../wire/receiver.ts";
import { formatReply, type Reply } from "../wire/reply.ts";
import { answers, lineFaultReply, refusalReply } from "./answers.ts";
import { AuthExchange } from "./auth_exchange.ts";
import type { ServerContext, ServerListener } from "./context.ts";
import { Facts } from "./facts.ts";
import { TransactionRun } from "./transaction_run.ts";
import { applyXclient } from "./xclient.ts";

const unreadReplies = 65_536;
const bufferedInput = 262_144;
const lingerMs = 5_000;
/** The first octet of a TLS handshake record (RFC 8446 section 5.1): no command begins with it. */
const tlsHandshake = 0x16;

/** One session. */
export class Session implements Deadline {
  at = Infinity;
  readonly facts: Facts;
  readonly pipeline: SessionPipeline;

  readonly #context: ServerContext;
  readonly #listener: ServerListener;
  readonly #duplex: Duplex;
  readonly #transcript: Transcript | undefined;
  readonly #sessionEnd: number;
  #receiver: Receiver;
  #policy: ServerPolicy;
  #state: ServerState;
  #fiber: Fiber.Fiber<unknown, unknown> | undefined;
  #pumping = false;
  #paused = false;
  #full = false;
  #upgrading = false;
  #over = false;
  #inputEnded = false;
  #draining = false;
  #committing = false;
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
    this.#duplex = duplex;
    this.facts = facts;
    this.#receiver = this.#newReceiver();
    this.#transcript = context.log.level === "debug" ? new Transcript(400) : undefined;
    this.#state = facts.tls === undefined ? freshState : { ...freshState, secure: true };
    this.pipeline = context.pipeline.open(facts);
    this.#policy = context.policyFor(listener, facts);
    this.#sessionEnd = context.deadlines.now + context.settings.timeouts.session;
  }

  /** Takes the connection over, asks the `connect` hooks, greets. `already`: octets read behind a PROXY header. */
  start(already?: Uint8Array): void {
    const { deadlines, settings } = this.#context;
    deadlines.add(this);
    this.at = deadlines.now + settings.timeouts.command;
    this.#duplex.handle({
      data: (chunk) => this.#data(chunk),
      end: () => this.#ended(),
      drain: () => this.#drained(),
      close: (error) => this.#gone(error?.message),
    });
    this.#duplex.resume();
    this.pipeline.opened();
    if (already !== undefined && already.length > 0) this.#receiver.feed(already);
    this.decided(this.pipeline.connect(), (outcome) => {
      if (isRefusal(outcome.verdict)) {
        const refusal = refusalReply(outcome.verdict);
        this.#context.log.event("info", "session refused", {
          id: this.facts.id,
          client: this.facts.remote.address,
          plugin: outcome.plugin,
          reply: `${refusal.code} ${refusal.lines[0]}`,
        });
        this.close(outcome.verdict.code === 421 ? refusal : { ...refusal, enhanced: undefined });
        return;
      }
      this.#write(this.#listener.banner);
      this.#awaitCommand();
    });
    this.#pump();
  }

  /** No transaction more; an idle session ends now. */
  drain(): void {
    this.#draining = true;
    if (!this.#over && !this.#busy()) this.close(answers.shutdown);
  }

  /** Ends it without regard for anything: the drain time is over. */
  kill(): void {
    if (!this.#committing) this.#duplex.destroy();
  }

  /** The time to read the next command, or of the whole session, is over. */
  expired(): void {
    if (this.#over) {
      this.#duplex.destroy();
      return;
    }
    if (this.#committing || this.#fiber !== undefined) {
      // Upstream and policies have deadlines of their own; ours comes back when they have answered.
      this.at = Infinity;
      return;
    }
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
    else this.#awaitCommand();
  }

  /** Writes a reply, after the `reply` hooks. */
  send(reply: Reply): void {
    const shown = this.#context.pipeline.stages.reply ? this.pipeline.reply(reply) : reply;
    this.#write(formatReply(shown));
  }

  /** Writes a reply and ends the session. */
  close(reply: Reply): void {
    if (this.#over) return;
    this.send(reply);
    this.#finish();
  }

  /** Goes on at once with a plain outcome, later with an awaited one; waits where a policy asked for a delay. */
  decided(outcome: Outcome | Effect.Effect<Outcome>, next: (outcome: Outcome) => void): void {
    const delayed = (settled: Outcome): void => {
      if (settled.delayMs > 0) this.run(Effect.sleep(settled.delayMs), () => next(settled));
      else next(settled);
    };
    if (Effect.isEffect(outcome)) this.run(outcome, delayed);
    else delayed(outcome);
  }

  /** Runs an Effect; nothing more is read until it has ended. An unexpected failure ends the transaction with 451. */
  run<A>(effect: Effect.Effect<A>, done: (value: A) => void): void {
    const fiber = Effect.runFork(effect);
    const exit = fiber.pollUnsafe();
    if (exit !== undefined) {
      this.#exited(exit, done);
      return;
    }
    this.#fiber = fiber;
    this.at = this.#sessionEnd;
    fiber.addObserver((late) => {
      if (this.#fiber === fiber) this.#fiber = undefined;
      this.#exited(late, done);
      // A transfer goes on without a reply that would set the next deadline.
      if (this.#fiber === undefined && this.#run?.transferring === true) this.awaitContent();
      this.#pump();
    });
  }

  /** As `run`, but the end of the client does not interrupt it: between the dot and its reply. */
  commit<A>(effect: Effect.Effect<A>, done: (value: A) => void): void {
    this.#committing = true;
    this.run(effect, (value) => {
      this.#committing = false;
      done(value);
    });
  }

  /** The transaction is over. */
  transactionOver(): void {
    this.#run = undefined;
  }

  /** The leg takes no more for now: until it does, the time that runs is its own. */
  blocked(): void {
    const { deadlines, settings } = this.#context;
    this.at = Math.min(deadlines.now + settings.timeouts.upstreamData, this.#sessionEnd);
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

  /** True once nobody is left to answer. */
  get over(): boolean {
    return this.#over;
  }

  #exited<A>(exit: Exit.Exit<A>, done: (value: A) => void): void {
    if (Exit.isSuccess(exit)) {
      if (!this.#over || this.#committing) done(exit.value);
      return;
    }
    this.#committing = false;
    if (this.#over) return;
    this.#context.log.event("error", "session failed", {
      id: this.facts.id,
      cause: String(exit.cause),
    });
    this.#abandon("internal error");
    this.close({ ...answers.internal, code: 421 });
  }

  #data(chunk: Uint8Array): void {
    if (this.#over) return;
    const atLineStart = this.#receiver.buffered === 0;
    this.#receiver.feed(chunk);
    if (this.#run?.transferring === true) this.#progress(chunk.length);
    else if (this.#state.phase === "fresh" && atLineStart && chunk[0] === tlsHandshake) {
      this.#context.log.event("info", "TLS on a plain port", {
        id: this.facts.id,
        client: this.facts.remote.address,
      });
      this.#finish();
      return;
    }
    this.#pump();
    if (!this.#paused && this.#receiver.buffered > bufferedInput) {
      this.#paused = true;
      this.#duplex.pause();
    }
  }

  /** A body must go on: each period of the data deadline has to bring at least so many octets (R31). */
  #progressed = 0;
  #progress(octets: number): void {
    this.#progressed += octets;
    if (this.#progressed >= 1024) this.awaitContent();
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
    if (this.#over || this.#fiber !== undefined || this.#upgrading) return;
    if (this.#inputEnded && this.#ready()) {
      this.#inputOver();
      return;
    }
    if (this.#draining && !this.#busy()) {
      this.close(answers.shutdown);
      return;
    }
    if (this.#paused && this.#ready()) {
      this.#paused = false;
      this.#duplex.resume();
    }
  }

  #ready(): boolean {
    return !this.#over && this.#fiber === undefined && !this.#full && !this.#upgrading &&
      this.#run?.blocked !== true;
  }

  #event(event: ReceiverEvent): void {
    switch (event.event) {
      case "line":
        if (this.#auth !== undefined) this.#auth.line(event.text);
        else this.#command(event.text);
        return;
      case "line-fault":
        if (this.#authAsked) this.#transcript?.secret("C");
        else this.#transcript?.line("C", event.start);
        if (this.#auth !== undefined) this.#auth.fault();
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
    if (this.#authAsked && verb === "UNKNOWN") this.#transcript?.secret("C");
    else this.#transcript?.line("C", line);
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
    this.#abandon("HELO");
    this.facts.helo = ask.name;
    this.facts.esmtp = ask.esmtp;
    this.decided(this.pipeline.helo(ask.name), (outcome) => {
      if (isRefusal(outcome.verdict)) {
        this.refused(ask, outcome);
        return;
      }
      this.#policy = this.#context.policyFor(this.#listener, this.facts);
      this.say(ask, this.#context.greeting(this.#policy, this.#state, ask));
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
    this.at = Infinity;
    this.#transcript?.line("S", "220 2.0.0 Ready to start TLS");
    this.#duplex.upgradeServer(tls, answers.ready, (error) => {
      if (error !== undefined || this.#over) return;
      this.#upgrading = false;
      this.#receiver = this.#newReceiver();
      this.#state = secured(this.#state);
      this.facts.tls = this.#duplex.tls;
      this.facts.helo = "";
      this.facts.esmtp = false;
      this.facts.identity = undefined;
      this.#duplex.resume();
      this.#awaitCommand();
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
    if (failed) this.#authFailures += 1;
    if (identity === undefined) return;
    this.facts.identity = identity;
    this.#state = { ...this.#state, authenticated: true };
  }

  /** XCLIENT has changed who the client is: greet anew. */
  restart(state: (before: ServerState) => ServerState): void {
    this.#state = state(this.#state);
    this.#policy = this.#context.policyFor(this.#listener, this.facts);
    this.#write(this.#listener.banner);
    this.#awaitCommand();
  }

  get state(): ServerState {
    return this.#state;
  }

  /** Content is expected from here on. */
  awaitContent(): void {
    this.#progressed = 0;
    const { deadlines, settings } = this.#context;
    this.at = Math.min(deadlines.now + settings.timeouts.data, this.#sessionEnd);
  }

  #awaitCommand(): void {
    const { deadlines, settings } = this.#context;
    this.at = Math.min(deadlines.now + settings.timeouts.command, this.#sessionEnd);
  }

  #write(text: string): void {
    if (this.#transcript !== undefined) {
      for (const line of text.split("\r\n")) if (line !== "") this.#transcript.line("S", line);
    }
    this.#duplex.write(text);
    // A client that does not read its replies gets no more of them.
    if (this.#duplex.pending > unreadReplies) this.#full = true;
  }

  #drained(): void {
    if (!this.#full) return;
    this.#full = false;
    this.#pump();
  }

  /** A transaction is open, or something is being waited for. */
  #busy(): boolean {
    return this.#fiber !== undefined || this.#run !== undefined || this.#upgrading ||
      this.#auth !== undefined;
  }

  /** The client sends no more; what it has sent has been answered. */
  #ended(): void {
    this.#inputEnded = true;
    if (this.#fiber === undefined && this.#ready()) this.#inputOver();
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
    this.#duplex.end();
    this.at = this.#context.deadlines.now + lingerMs;
  }

  #gone(why: string | undefined): void {
    const { deadlines, log } = this.#context;
    deadlines.delete(this);
    this.#over = true;
    if (!this.#committing) {
      this.#fiber?.interruptUnsafe();
      this.#abandon(why ?? "client closed the connection");
    }
    this.pipeline.closed();
    if (this.#transcript !== undefined) {
      log.event("debug", "session", {
        id: this.facts.id,
        client: this.facts.remote.address,
        transcript: this.#transcript.toDialogue(),
      });
    }
    this.#context.closed(this);
  }

  #newReceiver(): Receiver {
    const { limits } = this.#context.settings;
    return new Receiver({
      commandLine: limits.commandLine,
      textLine: limits.textLine,
      longLines: limits.longLines,
      bareNewline: limits.bareNewline,
    });
  }
}
