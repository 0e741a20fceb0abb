/**
 * The inside of a plugin worker: loads one plugin, starts it, and asks its hooks what the host asks.
 *
 * Every way into the plugin's code that is synchronous runs under a guard, so that a loop without end is broken off where
 * the runtime can do it. Nothing here is a boundary: the plugin shares this thread. The boundary is the host's.
 * @module
 */
import { Nonsense } from "../pipeline/answer.ts";
import { HeaderDraft } from "../pipeline/header_draft.ts";
import { isThenable } from "../pipeline/hook.ts";
import { shapeOf } from "../pipeline/shape.ts";
import type { PipelineServices } from "../pipeline/make_edge.ts";
import { describe } from "../pipeline/text.ts";
import type { SessionFacts } from "../plugin/facts.ts";
import type { OptionsSchema, Plugin, PluginExports } from "../plugin/module.ts";
import { ContentIn } from "./guest_content.ts";
import { guestEdge } from "./guest_edge.ts";
import { FactsIn } from "./guest_facts.ts";
import { draftOf } from "./guest_header.ts";
import {
  type Callable,
  copyOf,
  type Envelope,
  given,
  type Hook,
  hooksOf,
  isTold,
  unfitOf,
} from "./guest_hooks.ts";
import { Held, type WorkerScope } from "./port.ts";
import {
  type AskedHook,
  type GuestFailure,
  type GuestModule,
  type GuestShape,
  type GuestTask,
  type HostService,
  type ToGuest,
  type ToHost,
  type ToldHook,
} from "./protocol.ts";

/** How a plugin's module is found. */
export type ImportPlugin = (module: GuestModule) => Promise<unknown>;

/** What a guest is given beside its scope. */
export interface GuestWorld {
  readonly load: ImportPlugin;
  /** Connections, under the worker's own rights; paths as seen from the configuration's folder. */
  readonly network: (baseDir: string) => PipelineServices["network"];
}

type StartTask = Extract<GuestTask, { readonly task: "start" }>;
type HookTask = Extract<GuestTask, { readonly task: "hook" }>;

interface Call {
  readonly controller: AbortController;
  readonly content: ContentIn | undefined;
}

/** Milliseconds that starting, loading and what is told may hold the thread. */
const LONG = 30_000;

/** Runs until the worker is terminated. */
export function runGuest(scope: WorkerScope, world: GuestWorld): void {
  const guest = new Guest(scope, world);
  scope.onStray((cause) => guest.broke(cause));
  scope.listen((message) => guest.hear(message as ToGuest));
}

class Guest {
  readonly #scope: WorkerScope;
  readonly #world: GuestWorld;
  readonly #facts: FactsIn;
  readonly #calls = new Map<number, Call>();
  readonly #asked = new Map<
    number,
    { resolve(value: unknown): void; reject(cause: unknown): void }
  >();
  readonly #watches = new Map<number, () => void>();
  #counter = 0;
  #offset = 0;
  #budget = LONG;
  #exports: Partial<PluginExports> = {};
  #plugin: Plugin | undefined;
  #hooks = new Map<Hook, Callable>();

  constructor(scope: WorkerScope, world: GuestWorld) {
    this.#scope = scope;
    this.#world = world;
    this.#facts = new FactsIn((note) => this.#send({ say: "note", ...note }));
  }

  #send(message: ToHost): void {
    this.#scope.post(message);
  }

  broke(cause: unknown): void {
    this.#send({ say: "stray", message: describe(cause) });
  }

  hear(message: ToGuest): void {
    switch (message.say) {
      case "do":
        this.#offset = message.now - this.#scope.now();
        void this.#do(message.id, message.task);
        break;
      case "abort":
        this.#abort(message.id, message.reason);
        break;
      case "chunk":
        this.#calls.get(message.id)?.content?.push(message.chunk);
        break;
      case "end":
        this.#calls.get(message.id)?.content?.end(message.broken);
        break;
      case "told":
        this.#answered(message.id)?.resolve(message.value);
        break;
      case "failed":
        this.#answered(message.id)?.reject(new Error(message.message));
        break;
      case "changed":
        this.#offset = message.now - this.#scope.now();
        this.#changed(message.watch);
        break;
      case "forget":
        this.#facts.forget(message.session);
        break;
      case "ping":
        this.#send({ say: "pong" });
        break;
    }
  }

  #answered(id: number) {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }

  #changed(watch: number): void {
    try {
      this.#scope.guard(LONG, () => this.#watches.get(watch)?.());
    } catch (cause) {
      this.broke(cause);
    }
  }

  #abort(id: number, reason: string): void {
    const controller = this.#calls.get(id)?.controller;
    this.#over(id);
    try {
      this.#scope.guard(LONG, () => controller?.abort(new DOMException(reason, "AbortError")));
    } catch (cause) {
      this.broke(cause);
    }
  }

  #over(id: number): void {
    this.#calls.get(id)?.content?.leave();
    this.#calls.delete(id);
  }

  async #do(id: number, task: GuestTask): Promise<void> {
    try {
      const value = await this.#answer(id, task);
      try {
        this.#send({ say: "done", id, value });
      } catch (cause) {
        throw new Nonsense(describe(cause));
      }
    } catch (cause) {
      this.#send({ say: "failed", id, failure: failureOf(cause) });
    } finally {
      this.#over(id);
    }
  }

  #answer(id: number, task: GuestTask): unknown {
    switch (task.task) {
      case "load":
        return this.#loaded(task.module);
      case "validate":
        return this.#validated(task.options, false);
      case "start":
        return this.#started(task);
      case "hook":
        return this.#ask(id, task);
      case "close":
        return this.#plugin?.close?.();
    }
  }

  async #loaded(module: GuestModule): Promise<unknown> {
    this.#exports = await this.#world.load(module) as Partial<PluginExports>;
    const { default: factory, options, manifest } = this.#exports;
    return { manifest, factory: typeof factory, options: typeof options };
  }

  /** The value may hold what cannot be cloned; only this side needs it. */
  async #validated(options: unknown, keep: boolean): Promise<unknown> {
    const schema: OptionsSchema | undefined = this.#exports.options;
    if (schema === undefined) return keep ? options : {};
    const result = await schema["~standard"].validate(options);
    if (result.issues === undefined) return keep ? result.value : {};
    if (keep) throw new TypeError("The options do not validate");
    return {
      issues: result.issues.map(({ message, path }) => ({
        message: String(message),
        path: path?.map((step) => {
          const key = typeof step === "object" ? step.key : step;
          return typeof key === "number" ? key : String(key);
        }),
      })),
    };
  }

  async #started({ options, budget, baseDir }: StartTask): Promise<GuestShape> {
    const checked = await this.#validated(options, true);
    const edge = guestEdge(
      {
        send: (message) => this.#send(message),
        ask: (service, args) => this.#askHost(service, args),
        now: () => this.#scope.now() + this.#offset,
        watch: (changed) => {
          const watch = ++this.#counter;
          this.#watches.set(watch, changed);
          return watch;
        },
        unwatch: (watch) => this.#watches.delete(watch),
        broke: (cause) => this.broke(cause),
      },
      this.#facts.notes,
      this.#world.network(baseDir),
    );
    const made = this.#scope.guard(LONG, () => this.#exports.default!(edge, checked));
    const shaped = shapeOf(await made);
    if ("wrong" in shaped) throw new TypeError(shaped.wrong.join("; "));
    const { plugin } = shaped;
    const unfit = unfitOf(plugin);
    if (unfit.length > 0) throw new TypeError(unfit.join("; "));
    this.#plugin = plugin;
    this.#hooks = hooksOf(plugin);
    this.#budget = budget;
    return {
      name: plugin.name,
      onError: plugin.onError,
      hooks: [...this.#hooks.keys()],
      mechanisms: plugin.hooks.auth?.mechanisms ?? [],
      holdBody: plugin.holdBody === true,
    };
  }

  #askHost(service: HostService, args: readonly unknown[]): Promise<unknown> {
    const id = ++this.#counter;
    return new Promise((resolve, reject) => {
      this.#send({ say: "ask", id, service, args });
      this.#asked.set(id, { resolve, reject });
    });
  }

  #ask(id: number, { hook, session: sent, tx: sentTx, input, header }: HookTask): unknown {
    const ask = this.#hooks.get(hook);
    if (ask === undefined) throw new Nonsense(`There is no hook ${hook}`);
    const session = sent === undefined ? undefined : this.#facts.session(sent);
    const tx = session === undefined || sentTx === undefined
      ? undefined
      : this.#facts.transaction(session, sentTx);
    if (isTold(hook)) return this.#tell(hook, ask, tx ?? session, input);
    const { controller, content } = this.#call(id, hook);
    const draft = header === undefined ? undefined : draftOf(header);
    const context = {
      session,
      ...(tx === undefined ? {} : { tx }),
      ...(hook === "mail" || hook === "rcpt" ? { params: (input as Envelope).params } : {}),
      ...(draft === undefined || hook === "header" ? {} : { header: draft }),
      get signal() {
        return controller.signal;
      },
    };
    const first = hook === "header" ? draft : given(hook, input, session, tx, content);
    const answered = this.#run(hook, ask, first, context);
    return draft === undefined ? answered : this.#edited(draft, answered);
  }

  #call(id: number, hook: AskedHook): Call {
    const content = hook === "scan"
      ? new ContentIn(
        (octets) => this.#send({ say: "read", id, octets }),
        () => this.#send({ say: "enough", id }),
      )
      : undefined;
    const call = { controller: new AbortController(), content };
    this.#calls.set(id, call);
    return call;
  }

  async #run(hook: AskedHook, ask: Callable, input: unknown, context: unknown): Promise<unknown> {
    let answer: unknown = this.#scope.guard(this.#budget, () => ask(input, context));
    if (isThenable(answer)) answer = await answer;
    return copyOf(hook, answer);
  }

  async #edited(draft: HeaderDraft, answered: Promise<unknown>): Promise<unknown> {
    const answer = await answered;
    return { answer, edits: HeaderDraft.close(draft) };
  }

  /** Told, not awaited; what it rejects with later is told the host on its own. */
  #tell(hook: ToldHook, tell: Callable, facts: unknown, input: unknown): undefined {
    const answer = this.#scope.guard(
      this.#budget,
      () => facts === undefined ? tell(input) : tell(facts, input),
    );
    if (isThenable(answer)) {
      answer.then(undefined, (cause) => this.#send({ say: "late", failure: failureOf(cause) }));
    }
    if (hook === "closed") this.#facts.forget((facts as SessionFacts).id);
    return undefined;
  }
}

function failureOf(cause: unknown): GuestFailure {
  try {
    if (cause instanceof Held) return { kind: "over-budget", message: String(cause.ms) };
    if (cause instanceof Nonsense) return { kind: "nonsense", message: cause.message };
  } catch {
    // A proxy whose prototype cannot be read.
  }
  return { kind: "threw", message: describe(cause) };
}
