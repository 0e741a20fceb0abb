/**
 * The pipeline as the server sees it: one immutable generation of plugins, and what a session does with it.
 * @module
 */
import type * as Effect from "effect/Effect";
import type { HeaderView, Identity, SessionFacts } from "../plugin/facts.ts";
import type { ScramSecret } from "../plugin/module.ts";
import type { Defer, Refuse } from "../plugin/verdict.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import type { Mailbox, ReversePath } from "../wire/path.ts";
import type { Reply } from "../wire/reply.ts";
import type { Outcome } from "./algebra.ts";
import type { Stage } from "./answer.ts";
import type { LoginCredentials, ScramOpening } from "./auth.ts";
import type { BodyPipeline } from "./body.ts";
import type { DecisionTrace } from "./trace.ts";
import type { Transaction } from "./transaction.ts";

/** Which stages have a hook. */
export interface Stages {
  readonly connect: boolean;
  readonly helo: boolean;
  readonly mail: boolean;
  readonly rcpt: boolean;
  readonly data: boolean;
  readonly header: boolean;
  readonly observe: boolean;
  /** A transform that may change the content: shadow ones count as `observe`. */
  readonly transform: boolean;
  readonly scan: boolean;
  readonly end: boolean;
  readonly reply: boolean;
  readonly auth: boolean;
}

/** A plugin that sessions of a listener ask, for the trace: what says nothing leaves no entry there. */
export interface AskedPlugin {
  /** Name of the instance. */
  readonly plugin: string;
  /** Its answers have no effect. */
  readonly shadow: boolean;
  /** It has a `when`: whether it was asked, {@linkcode DecisionTrace.asked} knows. */
  readonly conditional: boolean;
  /** Where it has a hook, in the order of a transaction. */
  readonly stages: readonly Stage[];
}

/** One generation of plugins. */
export interface Pipeline {
  /** Whether any plugin, for any listener, has it. */
  readonly stages: Stages;
  /** Names of the plugin instances in the order they are asked. */
  readonly plugins: readonly string[];
  /** The plugins of this session's listener. `session` is one object for the whole session: its properties may change, it may not be replaced (notes hang on it). */
  open(session: SessionFacts): SessionPipeline;
  /** SASL mechanisms that the listener's authenticators serve; with a session, those that are asked for it. */
  mechanisms(listener: string, session?: SessionFacts): readonly string[];
  /** Names of those that were made for this generation; the others run since an earlier one. */
  readonly renewed: readonly string[];
  /** What the configuration calls the plugin of a name. */
  useOf(name: string): string | undefined;
  /** Tells the observers that this generation has taken the place of another. */
  reloaded(): void;
  /** Ends the generation: what no other one uses stops watching and closes. Never rejects; idempotent. */
  close(): Promise<void>;
}

/** What the authenticators came to. */
export type AuthOutcome =
  | { readonly identity: Identity; readonly plugin: string }
  | { readonly refused: Refuse | Defer; readonly plugin: string }
  /** Nobody had an opinion. */
  | { readonly none: true };

/** The answer of a phase: a value where every hook answered at once, else an Effect, to be run once. */
export type Answered = Outcome | Effect.Effect<Outcome>;

/** One session's plugins. No method throws or fails; a phase without hooks returns the shared `PASS`. */
export interface SessionPipeline {
  /** As {@linkcode Pipeline.stages}, for this listener. */
  readonly stages: Stages;
  /** Some plugin needs the verdict of the content before the header block goes on; asked when all recipients are known. */
  holds(tx: Transaction): boolean;
  /** Who is asked, in order; one value for all sessions of a listener. */
  readonly asked: readonly AskedPlugin[];
  /** Decisions outside transactions. */
  readonly trace: DecisionTrace;
  connect(): Answered;
  helo(name: string): Answered;
  authenticate(credentials: LoginCredentials): Effect.Effect<AuthOutcome>;
  /** The first half of a SCRAM exchange. */
  openScram(user: string): Effect.Effect<ScramOpening>;
  /** The second half. The signature is for the client where the outcome is an identity. */
  closeScram(
    opening: Extract<ScramOpening, { readonly secret: ScramSecret }>,
    authMessage: string,
    proof: Uint8Array,
  ): Effect.Effect<{ readonly outcome: AuthOutcome; readonly signature: string }>;
  /** Also gives the transaction the points of `connect` and `helo`. */
  mail(tx: Transaction, from: ReversePath, params: MailParams): Answered;
  rcpt(tx: Transaction, to: Mailbox, params: RcptParams): Answered;
  data(tx: Transaction): Answered;
  /** Edits are made in `header` when the outcome is there. */
  header(tx: Transaction, header: HeaderView): Answered;
  /** Call it once per transaction, when the content begins. Undefined: no plugin has body hooks. `header`: as in `end`. */
  body(tx: Transaction, header?: HeaderView): BodyPipeline | undefined;
  /** Also brings forward what the body's scanners ruled. `header`: the block of a held body; edits are made in it. */
  end(tx: Transaction, header?: HeaderView): Answered;
  /** Another text or code of the same class; else the same object. */
  reply(reply: Reply): Reply;
  opened(): void;
  /** Also aborts what is still running. Idempotent. */
  closed(): void;
  delivered(tx: Transaction, outcome: { readonly upstream: string; readonly reply: Reply }): void;
  refused(tx: Transaction, outcome: { readonly stage: string; readonly reply: Reply }): void;
  /** An error reply, as the client is told it. */
  errorReply(reply: Reply): void;
  loginFailed(user: string): void;
}

export type { LoginCredentials, ScramOpening } from "./auth.ts";
export type { BodyFault, BodyPipeline } from "./body.ts";
export { type Outcome, PASS } from "./algebra.ts";
