/**
 * One session's way through the plugins of its listener.
 * @module
 */
import * as Effect from "effect/Effect";
import type { HeaderView, SessionFacts } from "../plugin/facts.ts";
import type { Authenticator, BodyHooks, Hooks, Observers } from "../plugin/module.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import type { Mailbox, ReversePath } from "../wire/path.ts";
import type { Reply } from "../wire/reply.ts";
import { isRefusal, type Outcome, PASS, PASS_VERDICT, type SymbolPoints } from "./algebra.ts";
import { runPhase } from "./ask.ts";
import { authenticate, closeScram, type LoginCredentials, openScram } from "./auth.ts";
import { BodyRun } from "./body.ts";
import type { PluginFailure } from "./failure.ts";
import { closeDraft, HeaderDraft } from "./header_draft.ts";
import {
  CallContext,
  DraftContext,
  EndContext,
  MailContext,
  PendingAnswer,
  RcptContext,
  swallow,
  TxContext,
} from "./hook.ts";
import { type CompiledPlugin, failed, type Host, type Question, type Step } from "./phase.ts";
import type {
  Answered,
  AskedPlugin,
  AuthOutcome,
  BodyPipeline,
  SessionPipeline,
  Stages,
} from "./pipeline.ts";
import { rewriteReply } from "./reply.ts";
import { DecisionTrace } from "./trace.ts";
import type { Transaction } from "./transaction.ts";

/** The hooks of one listener, by stage, in order. Shared by its sessions. */
export interface ListenerPlan {
  readonly asked: readonly AskedPlugin[];
  readonly stages: Stages;
  /** Those that hold the body. */
  readonly holds: readonly CompiledPlugin[];
  /** Some plugin has a `when`. */
  readonly conditional: boolean;
  readonly mechanisms: readonly string[];
  readonly connect: readonly Step<NonNullable<Hooks["connect"]>>[];
  readonly helo: readonly Step<NonNullable<Hooks["helo"]>>[];
  readonly auth: readonly Step<Authenticator>[];
  readonly mail: readonly Step<NonNullable<Hooks["mail"]>>[];
  readonly rcpt: readonly Step<NonNullable<Hooks["rcpt"]>>[];
  readonly data: readonly Step<NonNullable<Hooks["data"]>>[];
  readonly header: readonly Step<NonNullable<Hooks["header"]>>[];
  readonly body: readonly Step<BodyHooks>[];
  readonly end: readonly Step<NonNullable<Hooks["end"]>>[];
  readonly reply: readonly Step<NonNullable<Hooks["reply"]>>[];
  readonly on: readonly Step<Observers>[];
}

const NO_SCORES: readonly SymbolPoints[] = Object.freeze([]);

/** One session. */
export class SessionRun implements SessionPipeline, Host {
  readonly stages: Stages;
  readonly session: SessionFacts;
  readonly now: () => number;
  readonly report: (failure: PluginFailure) => void;
  readonly #plan: ListenerPlan;
  #trace: DecisionTrace | undefined;
  #pending: Set<PendingAnswer> | undefined;
  #connectScores = NO_SCORES;
  #heloScores = NO_SCORES;
  #closed = false;
  /** Plugins with a `when` that were asked something in this session: the end of it is told to them and to no others. */
  #met: Set<string> | undefined;

  constructor(
    plan: ListenerPlan,
    session: SessionFacts,
    now: () => number,
    report: (failure: PluginFailure) => void,
  ) {
    this.#plan = plan;
    this.stages = plan.stages;
    this.session = session;
    this.now = now;
    this.report = report;
  }

  get asked(): readonly AskedPlugin[] {
    return this.#plan.asked;
  }

  /** Made when first needed, as `pending`: an idle session of a listener without plugins holds neither. */
  get trace(): DecisionTrace {
    return this.#trace ??= new DecisionTrace();
  }

  get pending(): Set<PendingAnswer> {
    return this.#pending ??= new Set();
  }

  /** Those of a stage that are asked here and now. */
  #asked<H>(steps: readonly Step<H>[], tx?: Transaction, to?: Mailbox): readonly Step<H>[] {
    if (!this.#plan.conditional || steps.length === 0) return steps;
    return steps.filter(({ plugin: { name, when } }) => {
      if (when === undefined) return true;
      const asked = when(this.session, tx?.facts, to);
      if (asked) {
        (tx?.trace ?? this.trace).asked.add(name);
        (this.#met ??= new Set()).add(name);
      }
      return asked;
    });
  }

  connect(): Answered {
    const steps = this.#asked(this.#plan.connect);
    if (steps.length === 0) return PASS;
    const { session } = this;
    const question: Question<NonNullable<Hooks["connect"]>> = {
      stage: "connect",
      tx: undefined,
      context: () => new CallContext(session),
      ask: (hook, context) => hook(session, context),
    };
    return kept(runPhase(this, question, steps), ({ scores }) => this.#connectScores = scores);
  }

  helo(name: string): Answered {
    const steps = this.#asked(this.#plan.helo);
    if (steps.length === 0) return PASS;
    const { session } = this;
    const question: Question<NonNullable<Hooks["helo"]>> = {
      stage: "helo",
      tx: undefined,
      context: () => new CallContext(session),
      ask: (hook, context) => hook(name, context),
    };
    // A second EHLO (after STARTTLS) judges anew.
    this.#heloScores = NO_SCORES;
    return kept(runPhase(this, question, steps), ({ scores }) => this.#heloScores = scores);
  }

  authenticate(credentials: LoginCredentials): Effect.Effect<AuthOutcome> {
    return authenticate(this, credentials, this.#asked(this.#plan.auth));
  }

  openScram(user: string): ReturnType<typeof openScram> {
    return openScram(this, user, this.#asked(this.#plan.auth));
  }

  closeScram(
    opening: Parameters<typeof closeScram>[1],
    authMessage: string,
    proof: Uint8Array,
  ): ReturnType<typeof closeScram> {
    return closeScram(this, opening, authMessage, proof);
  }

  mail(tx: Transaction, from: ReversePath, params: MailParams): Answered {
    for (const { symbol, points } of this.#connectScores) tx.addScore(symbol, points);
    for (const { symbol, points } of this.#heloScores) tx.addScore(symbol, points);
    const steps = this.#asked(this.#plan.mail, tx);
    if (steps.length === 0) return PASS;
    const context = () => new MailContext(tx.facts, params);
    const question: Question<NonNullable<Hooks["mail"]>> = {
      stage: "mail",
      tx,
      context,
      ask: (hook, context) => hook(from, context as MailContext),
    };
    return runPhase(this, question, steps);
  }

  rcpt(tx: Transaction, to: Mailbox, params: RcptParams): Answered {
    tx.reached = "rcpt";
    const steps = this.#asked(this.#plan.rcpt, tx, to);
    if (steps.length === 0) return PASS;
    const question: Question<NonNullable<Hooks["rcpt"]>> = {
      stage: "rcpt",
      tx,
      context: () => new RcptContext(tx.facts, params),
      ask: (hook, context) => hook(to, context as RcptContext),
    };
    return runPhase(this, question, steps);
  }

  data(tx: Transaction): Answered {
    tx.reached = "data";
    const steps = this.#asked(this.#plan.data, tx);
    return steps.length === 0 ? PASS : runPhase(this, dataQuestion(tx), steps);
  }

  holds(tx: Transaction): boolean {
    const { holds } = this.#plan;
    return holds.length > 0 &&
      holds.some(({ when }) => when === undefined || when(this.session, tx.facts, undefined));
  }

  header(tx: Transaction, header: HeaderView): Answered {
    tx.reached = "header";
    const steps = this.#asked(this.#plan.header, tx);
    return steps.length === 0 ? PASS : runPhase(this, headerQuestion(tx, header), steps);
  }

  body(tx: Transaction, header?: HeaderView): BodyPipeline | undefined {
    tx.reached = "body";
    const steps = this.#asked(this.#plan.body, tx);
    return steps.length === 0 ? undefined : new BodyRun(this, tx, steps, header);
  }

  end(tx: Transaction, header?: HeaderView): Answered {
    tx.reached = "end";
    const steps = this.#asked(this.#plan.end, tx);
    const soFar = tx.ruling === PASS_VERDICT
      ? PASS
      : { ...PASS, verdict: tx.ruling, plugin: tx.ruledBy };
    if (steps.length === 0 || isRefusal(soFar.verdict)) return soFar;
    return runPhase(this, endQuestion(tx, header), steps, soFar);
  }

  reply(reply: Reply): Reply {
    const steps = this.#asked(this.#plan.reply);
    return steps.length === 0 ? reply : rewriteReply(this, reply, steps);
  }

  opened(): void {
    this.#tell(undefined, (on) => on.opened?.(this.session));
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pending !== undefined) {
      const reason = new DOMException("The session is gone", "AbortError");
      for (const pending of [...this.#pending]) pending.abandon(reason);
    }
    // Whatever has become of its `when` since: what a plugin holds for a session must not stay for ever.
    const steps = this.#plan.conditional
      ? this.#plan.on.filter(({ plugin: { name, when } }) =>
        when === undefined || this.#met?.has(name) === true
      )
      : this.#plan.on;
    this.#tell(undefined, (on) => on.closed?.(this.session), steps);
  }

  delivered(tx: Transaction, outcome: { readonly upstream: string; readonly reply: Reply }): void {
    this.#tell(tx, (on) => on.delivered?.(tx.facts, outcome));
  }

  refused(tx: Transaction, outcome: { readonly stage: string; readonly reply: Reply }): void {
    this.#tell(tx, (on) => on.refused?.(tx.facts, outcome));
  }

  errorReply(reply: Reply): void {
    this.#tell(undefined, (on) => on.errorReply?.(this.session, reply));
  }

  loginFailed(user: string): void {
    this.#tell(undefined, (on) => on.loginFailed?.(this.session, user));
  }

  /** Observers are told, never awaited; what an `async` one rejects with is counted all the same. */
  #tell(
    tx: Transaction | undefined,
    tell: (on: Observers) => unknown,
    steps: readonly Step<Observers>[] = this.#asked(this.#plan.on, tx),
  ): void {
    for (let i = 0; i < steps.length; i++) {
      const { plugin, hook } = steps[i]!;
      try {
        const answer = tell(hook);
        if (answer !== undefined) {
          swallow(answer, (cause) => void failed(this, plugin, "on", tx, cause, true));
        }
      } catch (cause) {
        failed(this, plugin, "on", tx, cause, false);
      }
    }
  }
}

/** Looks at the outcome on its way, now or later. */
function kept(answered: Answered, keep: (outcome: Outcome) => void): Answered {
  if (Effect.isEffect(answered)) {
    return Effect.map(answered, (outcome) => {
      keep(outcome);
      return outcome;
    });
  }
  keep(answered);
  return answered;
}

function dataQuestion(tx: Transaction): Question<NonNullable<Hooks["data"]>> {
  const { facts } = tx;
  return {
    stage: "data",
    tx,
    context: () => new TxContext(facts),
    ask: (hook, context) => hook(facts, context as TxContext),
  };
}

function headerQuestion(
  tx: Transaction,
  header: HeaderView,
): Question<NonNullable<Hooks["header"]>> {
  return {
    stage: "header",
    tx,
    context: () => new DraftContext(tx.facts, new HeaderDraft(header)),
    ask: (hook, context) => hook(DraftContext.draftOf(context)!, context as DraftContext),
    edits: (context, commit) => closeDraft(header, DraftContext.draftOf(context), commit),
  };
}

/** `header`: where the body is held, and the header with it. */
function endQuestion(
  tx: Transaction,
  header: HeaderView | undefined,
): Question<NonNullable<Hooks["end"]>> {
  const { facts } = tx;
  return {
    stage: "end",
    tx,
    context: () => new EndContext(facts, header && new HeaderDraft(header)),
    ask: (hook, context) => hook(facts, context as EndContext),
    ...(header === undefined ? {} : {
      edits: (context, commit) => closeDraft(header, DraftContext.draftOf(context), commit),
    }),
  };
}
