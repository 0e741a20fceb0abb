/**
 * The shape of a plugin: a function that receives `edge` and its options and returns plain hooks.
 * @module
 */
import type { Edge } from "./edge.ts";
import type { HeaderView, Identity, Recipient, SessionFacts, TransactionFacts } from "./facts.ts";
import type { Mailbox, ReversePath } from "../wire/path.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import type { Reply } from "../wire/reply.ts";
import type { Defer, Refuse, Verdict } from "./verdict.ts";

/** What a hook may return: one verdict, several (they are taken together, scores before a refusal included), or nothing. A promise is given the phase's budget and is cancelled by `context.signal`. */
export type Answer<V = Verdict | readonly Verdict[]> =
  | V
  | undefined
  | void
  | Promise<V | undefined | void>;

/** Given to every hook as its last argument. */
export interface HookContext {
  /** The session. */
  readonly session: SessionFacts;
  /** Aborted when the budget is over or the session is gone. Created when first read. */
  readonly signal: AbortSignal;
}

/** Given to hooks inside a transaction. */
export interface TransactionContext extends HookContext {
  /** The transaction, as far as it has come. */
  readonly tx: TransactionFacts;
}

/** Given to hooks that judge the whole content: `body.scan` and `end`. */
export interface ContentContext extends TransactionContext {
  /**
   * The header block, where the body is held: edits made here are applied when every verdict is in, before a single octet
   * goes upstream. Undefined where no plugin of this transaction holds the body: then the header has gone already.
   */
  readonly header?: HeaderView | undefined;
}

/** Credentials that a client gave. */
export interface Credentials {
  /** `PLAIN` and `LOGIN` give a password. */
  readonly mechanism: string;
  /** Authentication identity. */
  readonly user: string;
  /** Never log it. */
  readonly password: string;
}

/** A plugin that is an authenticator. */
export interface Authenticator {
  /** Mechanisms it can serve; offered in EHLO while the listener's `auth` is on. */
  readonly mechanisms: readonly ("PLAIN" | "LOGIN")[];
  /** The identity; `undefined`: no opinion (the next authenticator is asked); a refusal ends it. */
  verify(credentials: Credentials, context: HookContext): Answer<Identity | Refuse | Defer>;
}

/** Hooks of the body. */
export interface BodyHooks {
  /** Synchronous; sees content without transparency dots, in chunks of any size; returns what goes on (the same array where nothing changed). */
  readonly transform?: (chunk: Uint8Array, context: TransactionContext) => Uint8Array;
  /** Synchronous; sees each chunk as {@linkcode BodyHooks.transform} would, and cannot change it: cheaper than a transform. The chunk must not be kept. */
  readonly observe?: (chunk: Uint8Array, context: TransactionContext) => void;
  /** A judge of the whole body, fed from a bounded tee; its verdict gates the dot. */
  readonly scan?: (content: AsyncIterable<Uint8Array>, context: ContentContext) => Answer;
}

/** Stages; each is optional, and a stage without hooks costs nothing. */
export interface Hooks {
  /** Before the banner, after PROXY facts are known. */
  readonly connect?: (session: SessionFacts, context: HookContext) => Answer;
  /** HELO or EHLO. */
  readonly helo?: (name: string, context: HookContext) => Answer;
  /** AUTH, on listeners where it is on. */
  readonly auth?: Authenticator;
  /** MAIL FROM; `null` is the null reverse-path. */
  readonly mail?: (
    from: ReversePath,
    context: TransactionContext & { readonly params: MailParams },
  ) => Answer;
  /** Each RCPT TO. */
  readonly rcpt?: (
    to: Mailbox,
    context: TransactionContext & { readonly params: RcptParams },
  ) => Answer;
  /** DATA or the first BDAT, before 354. */
  readonly data?: (tx: TransactionFacts, context: TransactionContext) => Answer;
  /** The header block is complete. */
  readonly header?: (header: HeaderView, context: TransactionContext) => Answer;
  /** The content, as it comes. */
  readonly body?: BodyHooks;
  /** The content is complete; before the dot goes upstream. */
  readonly end?: (tx: TransactionFacts, context: ContentContext) => Answer;
  /** Every reply on its way to the client: return another text or code of the same class, or nothing. */
  readonly reply?: (
    reply: Reply,
    context: HookContext,
  ) => { code?: number; text?: string } | undefined | void;
  /** Observers: told, never awaited. */
  readonly on?: Observers;
}

/** Observers. What they throw is counted and costs nothing else. */
export interface Observers {
  /** A session has begun. */
  readonly opened?: (session: SessionFacts) => void;
  /** A session has ended. */
  readonly closed?: (session: SessionFacts) => void;
  /** The upstream has taken the message; `reply` is what the client was told. */
  readonly delivered?: (
    tx: TransactionFacts,
    outcome: { readonly upstream: string; readonly reply: Reply },
  ) => void;
  /** The message was refused or deferred. */
  readonly refused?: (
    tx: TransactionFacts,
    outcome: { readonly stage: string; readonly reply: Reply },
  ) => void;
  /** A login was refused. */
  readonly loginFailed?: (session: SessionFacts, user: string) => void;
}

/** One plugin instance. */
export interface Plugin {
  /** `[a-z0-9-]+`. */
  readonly name: string;
  /** What its own failure (throw, rejection, nonsense, over budget) means; the operator's `on_error` wins. Default `tempfail`. */
  readonly onError?: "pass" | "tempfail" | "refuse";
  /** By stage. */
  readonly hooks: Hooks;
  /** Needs the verdict of the whole content before the header goes on, as {@linkcode Manifest.holdBody}, but by its options. */
  readonly holdBody?: boolean;
  /** Called when the generation ends. */
  readonly close?: () => void | Promise<void>;
}

/** The default export of a plugin file. */
export type PluginModule<Options = unknown> = (
  edge: Edge,
  options: Options,
) => Plugin | Promise<Plugin>;

/** What a plugin says of itself, beside its default export. */
export interface Manifest {
  /** Its own version, for the log. */
  readonly version?: string;
  /** Hosts it talks to. */
  readonly net?: readonly string[];
  /** Paths it reads. */
  readonly read?: readonly string[];
  /** Notes it reads: it runs after the plugins that give them. */
  readonly reads?: readonly string[];
  /** Notes it gives. */
  readonly gives?: readonly string[];
  /** Needs the verdict of the whole content before the header block goes on: the body is held. */
  readonly holdBody?: boolean;
}

/** A Standard Schema (v1), the part the host uses; valibot schemas are ones. */
export interface OptionsSchema {
  /** The one property that Standard Schema asks for. */
  readonly "~standard": {
    /** Of Standard Schema. */
    readonly version: 1;
    /** Which library it is. */
    readonly vendor: string;
    /** The options with defaults filled in, or what is wrong with them. */
    readonly validate: (value: unknown) => SchemaResult | Promise<SchemaResult>;
  };
}

/** A Standard Schema result. */
export type SchemaResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | {
    readonly issues: readonly {
      readonly message: string;
      readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
    }[];
  };

/** Everything a plugin file may export. */
export interface PluginExports {
  /** The plugin. */
  // deno-lint-ignore no-explicit-any
  readonly default: PluginModule<any>;
  /** Checks its options; without it they are passed on as they are. */
  readonly options?: OptionsSchema;
  /** What it says of itself. */
  readonly manifest?: Manifest;
}

export type { Recipient };
