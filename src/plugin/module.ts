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

/** A login name and a password that a client gave. */
export interface Credentials {
  /** `PLAIN` or `LOGIN`. */
  readonly mechanism: string;
  /** Authentication identity. */
  readonly user: string;
  /** Never log it. */
  readonly password: string;
}

/** A bearer token that a client gave (RFC 6750). */
export interface TokenCredentials {
  /** `XOAUTH2` or `OAUTHBEARER`. */
  readonly mechanism: string;
  /** Whom the client wants to be: the token must be that one's. `""` where it did not say. */
  readonly user: string;
  /** Never log it. */
  readonly token: string;
  /** The server that the client means to talk to, where it said so. */
  readonly host: string | undefined;
  /** The port that the client means to talk to, where it said so. */
  readonly port: number | undefined;
}

/** A client certificate that verified, of a client that asks for `EXTERNAL` (RFC 4422 appendix A). */
export interface CertificateCredentials {
  /** `EXTERNAL`. */
  readonly mechanism: string;
  /** Whom the client wants to be; `""`: whom the certificate names. */
  readonly user: string;
  /** The certificate's common name; `""` where it has none. */
  readonly subject: string;
  /** SHA-256 of the certificate, lower-case hex without colons. */
  readonly fingerprint: string;
}

/** What a server keeps in the place of a password for SCRAM (RFC 5802 section 3). */
export interface ScramSecret {
  /** Base64. */
  readonly salt: string;
  /** From 4096. */
  readonly iterations: number;
  /** Base64 of 32 octets. Never log it. */
  readonly storedKey: string;
  /** Base64 of 32 octets. Never log it. */
  readonly serverKey: string;
}

/** An unknown login: the host makes up the rest, always the same for a name, and no proof is right. */
export interface ScramDecoy {
  /** As many as the secrets of known logins have. */
  readonly iterations: number;
  /** Octets of their salts; 16 where left out. */
  readonly saltSize?: number | undefined;
}

/** What came of a SCRAM exchange. */
export interface ScramResult {
  /** `SCRAM-SHA-256`. */
  readonly mechanism: string;
  /** The login name that the client gave. */
  readonly user: string;
  /** Whether the client has proved that it knows the password. */
  readonly proved: boolean;
}

/** A SASL mechanism that an authenticator can serve. */
export type Mechanism =
  | "PLAIN"
  | "LOGIN"
  | "SCRAM-SHA-256"
  | "XOAUTH2"
  | "OAUTHBEARER"
  | "EXTERNAL";

/** What an authenticator answers: the identity; `undefined`: no opinion, the next one is asked; a refusal ends it. */
export type LoginAnswer = Answer<Identity | Refuse | Defer>;

/**
 * A plugin that is an authenticator. It has the functions that its mechanisms need; what they are given and what they
 * answer is plain data.
 */
export interface Authenticator {
  /** Mechanisms it can serve; offered in EHLO while the listener's `auth` is on. `EXTERNAL` is offered only to clients whose certificate verified. */
  readonly mechanisms: readonly Mechanism[];
  /** `PLAIN` and `LOGIN`. */
  verify?(credentials: Credentials, context: HookContext): LoginAnswer;
  /** `SCRAM-SHA-256`: the secret of a login. Give a {@linkcode ScramDecoy} for an unknown one; `undefined`: the next authenticator is asked. */
  scram?(user: string, context: HookContext): Answer<ScramSecret | ScramDecoy | Defer>;
  /** `SCRAM-SHA-256`: the proof has been checked against what `scram` gave. The answer counts only where it was right. */
  scramChecked?(result: ScramResult, context: HookContext): LoginAnswer;
  /** `XOAUTH2` and `OAUTHBEARER`. */
  token?(credentials: TokenCredentials, context: HookContext): LoginAnswer;
  /** `EXTERNAL`. */
  certificate?(credentials: CertificateCredentials, context: HookContext): LoginAnswer;
}

/** Hooks of the body. */
export interface BodyHooks {
  /** Synchronous; sees content without transparency dots, in chunks of any size; returns what goes on (the same array where nothing changed). */
  readonly transform?: (chunk: Uint8Array, context: TransactionContext) => Uint8Array;
  /** Synchronous; called once when the content is complete, and gives what goes behind it: what a transform held back, a text to append. Its content ends with CRLF if the client's did. */
  readonly flush?: (context: TransactionContext) => Uint8Array | undefined | void;
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
  /** The client was told an error, 4yz or 5yz; `reply` is what it was told, whoever decided it. */
  readonly errorReply?: (session: SessionFacts, reply: Reply) => void;
  /** A login was refused. */
  readonly loginFailed?: (session: SessionFacts, user: string) => void;
  /** Plugins were reloaded, and this one is of the new generation: made anew where its name is among them, else as it was. */
  readonly reloaded?: (plugins: readonly string[]) => void;
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
  /** Called when the last generation that has it ends. */
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
  /**
   * Notes it reads: it stands behind the plugins that give them, and waits for them where others are asked side by side.
   * `score`: it looks at the points of the transaction, so it waits for all that stand before it.
   */
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
