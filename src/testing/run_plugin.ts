/**
 * Runs one plugin in the real engine, with facts that a test makes up.
 * @module
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import { isRefusal, type Outcome, PASS } from "../pipeline/algebra.ts";
import { compilePipeline } from "../pipeline/compile.ts";
import { loadPlugins } from "../pipeline/load.ts";
import type {
  Answered,
  AuthOutcome,
  LoginCredentials,
  Pipeline,
  SessionPipeline,
} from "../pipeline/pipeline.ts";
import type { DecisionTrace } from "../pipeline/trace.ts";
import { Transaction } from "../pipeline/transaction.ts";
import type { SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type {
  CertificateCredentials,
  Credentials,
  PluginExports,
  PluginModule,
  TokenCredentials,
} from "../plugin/module.ts";
import { HeaderBlock, type HeaderEdit } from "../wire/headers.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import { type Mailbox, parseMailbox } from "../wire/path.ts";
import type { Reply } from "../wire/reply.ts";
import { type Observed, type TestEdgeOptions, testServices } from "./edge.ts";

/** How a test runs a plugin. */
export interface RunOptions extends TestEdgeOptions {
  /** The plugin's options, as the configuration would hold them; validated by its schema. */
  readonly options?: unknown;
  /** Default `enforce`. */
  readonly mode?: "enforce" | "shadow";
  /** The operator's `on_error`; default: the plugin's own. */
  readonly onError?: "pass" | "tempfail" | "refuse";
  /** Milliseconds per phase. Default 5000. */
  readonly budget?: number;
  /** Facts of the session that differ from the defaults. */
  readonly session?: Partial<SessionFacts>;
}

/** What came of the header block. */
export interface HeaderOutcome extends Outcome {
  /** The edits asked for. */
  readonly edits: readonly HeaderEdit[];
  /** The block with the edits made. */
  readonly text: string;
}

/** What came of the body. */
export interface BodyOutcome extends Outcome {
  /** What went on, as text of one character per octet (latin1). */
  readonly text: string;
}

/** What came of the end of the content. */
export interface EndOutcome extends Outcome {
  /** The header block with all edits, where the plugin holds the body and `header` was called; else undefined. */
  readonly text: string | undefined;
}

/**
 * One plugin in one session. The methods are the stages; call those that matter, in the order of SMTP. A hook that
 * hangs is cut off when the clock has been advanced by its budget:
 *
 * ```ts ignore
 * const asked = plugin.rcpt("user@example.org");
 * await plugin.clock.advance(5_000);
 * const { verdict } = await asked; // 451 4.3.0
 * ```
 */
export interface TestPlugin extends Observed {
  /** The session's facts; a test may change them between calls. */
  readonly session: { -readonly [K in keyof SessionFacts]: SessionFacts[K] };
  /** The transaction that `mail` began last. */
  readonly tx: TransactionFacts;
  /** Decisions of the session, outside transactions. */
  readonly sessionTrace: DecisionTrace;
  /** Decisions of the transaction. */
  readonly trace: DecisionTrace;
  /** Before the banner. */
  connect(): Promise<Outcome>;
  /** EHLO; `session.helo` is set where it is not refused. */
  helo(name: string): Promise<Outcome>;
  /** AUTH. Default mechanism `PLAIN`. */
  authenticate(
    user: string,
    password: string,
    mechanism?: Credentials["mechanism"],
  ): Promise<AuthOutcome>;
  /** AUTH with a bearer token; `user` is whom the client wants to be. Default mechanism `OAUTHBEARER`. */
  authenticateToken(
    user: string,
    token: string,
    mechanism?: TokenCredentials["mechanism"],
  ): Promise<AuthOutcome>;
  /** AUTH EXTERNAL with a certificate that verified. */
  authenticateCertificate(
    user: string,
    certificate: Pick<CertificateCredentials, "subject" | "fingerprint">,
  ): Promise<AuthOutcome>;
  /** MAIL FROM, which begins a transaction; `""` is the null reverse-path. */
  mail(from: string, params?: MailParams): Promise<Outcome>;
  /** RCPT TO; a recipient that is not refused is one of `tx.recipients`. */
  rcpt(to: string, params?: RcptParams): Promise<Outcome>;
  /** DATA. */
  data(): Promise<Outcome>;
  /** The header block, lines ended by `\n` or CRLF, the empty line at its end may be missing. */
  header(block: string): Promise<HeaderOutcome>;
  /** The content, one string or array per chunk; a string has one octet per character (latin1). */
  body(...chunks: readonly (string | Uint8Array)[]): Promise<BodyOutcome>;
  /** The content is complete. A plugin that holds the body may still edit the header. */
  end(): Promise<EndOutcome>;
  /** A reply on its way to the client. */
  reply(reply: Reply): Reply;
  /** Tells the observers. */
  opened(): void;
  /** Tells the observers, and aborts what still runs. */
  closed(): void;
  /** Tells the observers. */
  delivered(outcome: { readonly upstream: string; readonly reply: Reply }): void;
  /** Tells the observers. */
  refused(outcome: { readonly stage: string; readonly reply: Reply }): void;
  /** Tells the observers. */
  errorReply(reply: Reply): void;
  /** Tells the observers. */
  loginFailed(user: string): void;
  /** Tells the observers that this plugin was reloaded. */
  reloaded(): void;
  /** Ends the generation: watchers stop, the plugin closes. */
  close(): Promise<void>;
}

/**
 * Starts a plugin: its default export, or the whole module with `options` and `manifest`. Rejects where `serve` would
 * refuse to start: options that do not validate, a mistyped hook.
 *
 * @example
 * ```ts
 * import { runPlugin } from "@postern/postern/testing";
 *
 * const plugin = await runPlugin((edge) => ({
 *   name: "no-spam-test",
 *   hooks: {
 *     rcpt: (to) =>
 *       to.domain === "spam.test" ? edge.refuse(550, "5.7.1", "Not accepted here") : undefined,
 *   },
 * }));
 * await plugin.mail("a@example.org");
 * const { verdict } = await plugin.rcpt("b@spam.test");
 * if (verdict.verdict !== "refuse") throw new Error("Expected a refusal");
 * ```
 */
export async function runPlugin<Options = any>(
  plugin: PluginModule<Options> | PluginExports,
  options: RunOptions = {},
): Promise<TestPlugin> {
  const { services, ...observed } = testServices(options);
  const exports = typeof plugin === "function" ? { default: plugin } : plugin;
  const settings = {
    use: options.name ?? "test",
    listeners: undefined,
    mode: options.mode ?? "enforce",
    onError: options.onError,
    budget: options.budget ?? 5_000,
    watch: false,
    options: options.options,
    path: "plugins[0]",
  };
  const loaded = await loadPlugins([settings], {
    builtins: new Map(),
    importModule: () => Promise.resolve(exports),
  });
  if (loaded.problems.length > 0) {
    throw new Error(loaded.problems.map((p) => `${p.pluginPath}: ${p.message}`).join("\n"));
  }
  // The start has its limit in real time; the fake clock is for what the plugin does afterwards.
  const pipeline = await Effect.runPromise(compilePipeline(loaded.plugins, services));
  const session = { ...sessionDefaults(observed.clock.now()), ...options.session };
  return new Run(observed, pipeline, session);
}

function sessionDefaults(now: number): SessionFacts {
  return {
    id: "s1",
    listener: "mx",
    hostname: "mx.example.org",
    remote: { address: "192.0.2.1", port: 49152 },
    local: { address: "198.51.100.1", port: 25 },
    clientName: undefined,
    helo: "",
    esmtp: false,
    tls: undefined,
    identity: undefined,
    startedAt: now,
  };
}

class Run implements TestPlugin {
  readonly clock;
  readonly logs;
  readonly counts;
  readonly values;
  readonly failures;
  readonly writeFile;
  readonly session: TestPlugin["session"];
  readonly #clock: Clock.Clock;
  readonly #pipeline: Pipeline;
  readonly #run: SessionPipeline;
  #tx: Transaction | undefined;
  #header: HeaderBlock | undefined;
  #transactions = 0;

  constructor(
    observed: Observed & { readonly clock: Clock.Clock },
    pipeline: Pipeline,
    session: SessionFacts,
  ) {
    this.clock = observed.clock;
    this.logs = observed.logs;
    this.counts = observed.counts;
    this.values = observed.values;
    this.failures = observed.failures;
    this.writeFile = observed.writeFile;
    this.#clock = observed.clock;
    this.#pipeline = pipeline;
    this.session = session;
    this.#run = pipeline.open(session);
  }

  #transaction(): Transaction {
    if (this.#tx === undefined) throw new Error("No transaction: call mail first");
    return this.#tx;
  }

  get tx(): TransactionFacts {
    return this.#transaction().facts;
  }
  get trace(): DecisionTrace {
    return this.#transaction().trace;
  }
  get sessionTrace(): DecisionTrace {
    return this.#run.trace;
  }

  async #effect<A>(effect: Effect.Effect<A>): Promise<A> {
    return await Effect.runPromise(Effect.provideService(effect, Clock.Clock, this.#clock));
  }

  async #answer(answered: Answered): Promise<Outcome> {
    return Effect.isEffect(answered) ? await this.#effect(answered) : answered;
  }

  connect(): Promise<Outcome> {
    return this.#answer(this.#run.connect());
  }

  async helo(name: string): Promise<Outcome> {
    const outcome = await this.#answer(this.#run.helo(name));
    if (!isRefusal(outcome.verdict)) {
      this.session.helo = name;
      this.session.esmtp = true;
    }
    return outcome;
  }

  async #login(credentials: LoginCredentials): Promise<AuthOutcome> {
    const outcome = await this.#effect(this.#run.authenticate(credentials));
    if ("identity" in outcome) this.session.identity = outcome.identity;
    return outcome;
  }

  authenticate(user: string, password: string, mechanism = "PLAIN"): Promise<AuthOutcome> {
    return this.#login({ mechanism, user, password });
  }

  authenticateToken(
    user: string,
    token: string,
    mechanism = "OAUTHBEARER",
  ): Promise<AuthOutcome> {
    return this.#login({ mechanism, user, token, host: undefined, port: undefined });
  }

  authenticateCertificate(
    user: string,
    { subject, fingerprint }: Pick<CertificateCredentials, "subject" | "fingerprint">,
  ): Promise<AuthOutcome> {
    return this.#login({ mechanism: "EXTERNAL", user, subject, fingerprint });
  }

  mail(from: string, params: MailParams = {}): Promise<Outcome> {
    const path = from === "" ? null : mailbox(from);
    const id = `${this.session.id}.${++this.#transactions}`;
    this.#tx = new Transaction(id, this.session, path, params);
    this.#header = undefined;
    return this.#answer(this.#run.mail(this.#tx, path, params));
  }

  async rcpt(to: string, params: RcptParams = {}): Promise<Outcome> {
    const tx = this.#transaction();
    const path = mailbox(to);
    const outcome = await this.#answer(this.#run.rcpt(tx, path, params));
    if (!isRefusal(outcome.verdict)) tx.recipients.push({ ...path, params });
    return outcome;
  }

  data(): Promise<Outcome> {
    return this.#answer(this.#run.data(this.#transaction()));
  }

  async header(block: string): Promise<HeaderOutcome> {
    const lines = block.replace(/\r?\n/g, "\r\n");
    const whole = lines.endsWith("\r\n\r\n") ? lines : `${lines.replace(/(\r\n)*$/, "")}\r\n\r\n`;
    const view = new HeaderBlock(new TextEncoder().encode(whole));
    const tx = this.#transaction();
    tx.size += view.size;
    this.#header = view;
    const outcome = await this.#answer(this.#run.header(tx, view));
    return { ...outcome, edits: view.edits, text: new TextDecoder().decode(view.apply()) };
  }

  async body(...chunks: readonly (string | Uint8Array)[]): Promise<BodyOutcome> {
    const tx = this.#transaction();
    const body = this.#run.body(tx, this.#held());
    let text = "";
    for (const given of chunks) {
      const chunk = typeof given === "string" ? octets(given) : given;
      tx.size += chunk.length;
      const sent = body === undefined ? chunk : body.push(chunk);
      if (!(sent instanceof Uint8Array)) break;
      text += latin1(sent);
      if (body?.full === true) await this.#effect(body.room());
    }
    const last = body?.flush();
    if (last instanceof Uint8Array) text += latin1(last);
    const outcome = body === undefined ? PASS : await this.#answer(body.finish());
    return { ...outcome, text };
  }

  async end(): Promise<EndOutcome> {
    const header = this.#held();
    const outcome = await this.#answer(this.#run.end(this.#transaction(), header));
    return { ...outcome, text: header && new TextDecoder().decode(header.apply()) };
  }

  #held(): HeaderBlock | undefined {
    return this.#run.holds(this.#transaction()) ? this.#header : undefined;
  }
  reply(reply: Reply): Reply {
    return this.#run.reply(reply);
  }
  opened(): void {
    this.#run.opened();
  }
  closed(): void {
    this.#run.closed();
  }
  delivered(outcome: { readonly upstream: string; readonly reply: Reply }): void {
    this.#run.delivered(this.#transaction(), outcome);
  }
  refused(outcome: { readonly stage: string; readonly reply: Reply }): void {
    this.#run.refused(this.#transaction(), outcome);
  }
  errorReply(reply: Reply): void {
    this.#run.errorReply(reply);
  }

  loginFailed(user: string): void {
    this.#run.loginFailed(user);
  }
  reloaded(): void {
    this.#pipeline.reloaded();
  }
  close(): Promise<void> {
    return this.#pipeline.close();
  }
}

function mailbox(address: string): Mailbox {
  const parsed = parseMailbox(address);
  if (parsed === undefined) throw new TypeError(`Not an address: ${address}`);
  return parsed;
}

function octets(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

function latin1(chunk: Uint8Array): string {
  let text = "";
  for (const octet of chunk) text += String.fromCharCode(octet);
  return text;
}
