/**
 * The Effect door: the same hooks returning `Effect`, and a layer for resources. It is compiled onto the plain door, so
 * there is one engine: a hook's Effect that ends without suspending is answered at once, any other becomes a promise
 * whose Effect is interrupted when the budget is over or the session is gone.
 *
 * A file beside a compiled binary cannot import `effect`: plugins of this door run from source, or are compiled in.
 *
 * Besides the layer's own services hooks have {@linkcode Capabilities}, which is the edge. What Effect logs goes to the
 * plugin's log. A typed failure is what the plugin's `recover` makes of it, else the plugin's failure, as a defect is.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect";
 * import { Capabilities, type EffectPlugin, fromEffect } from "@postern/postern/plugin/effect";
 *
 * export default fromEffect((): EffectPlugin<Capabilities> => ({
 *   name: "slow-helo",
 *   hooks: {
 *     helo: Effect.fnUntraced(function* (name) {
 *       const edge = yield* Capabilities;
 *       yield* Effect.logDebug("slowed down").pipe(Effect.annotateLogs({ name }));
 *       return edge.delay(500);
 *     }),
 *   },
 * }));
 * ```
 * @module
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import type { Edge } from "./edge.ts";
import { Capabilities, capabilitiesOf } from "./effect/capabilities.ts";
import type {
  Authenticator,
  BodyHooks,
  ContentContext,
  HookContext,
  Hooks,
  Plugin,
  PluginModule,
} from "./module.ts";
import type { Verdict } from "./verdict.ts";

export type * from "./mod.ts";
export { Capabilities };
export { PluginError, settled } from "./effect/plugin_error.ts";

// The lint of documentation takes a package's types for private ones of ours, unless they go by a name of this file.
/** @internal */
type AnEffect<A, R, E = unknown> = Effect.Effect<A, E, R>;
/** @internal */
type ALayer<R> = Layer.Layer<R, unknown, Capabilities>;

/** What a hook of this door returns: one verdict, several, or nothing. */
export type EffectAnswer<R, E = unknown, V = Verdict | readonly Verdict[]> = AnEffect<
  V | undefined | void,
  R,
  E
>;

/** A plain hook with its answer as an Effect. */
export type EffectHook<K extends keyof Hooks, R, E = unknown> = NonNullable<Hooks[K]> extends
  (...args: infer A) => unknown ? (...args: A) => EffectAnswer<R, E> : never;

/** An authenticator whose functions return Effects. */
export interface EffectAuthenticator<R = never, E = unknown>
  extends Pick<Authenticator, "mechanisms"> {
  /** `PLAIN` and `LOGIN`. */
  readonly verify?: AuthCall<"verify", R, E>;
  /** `SCRAM-SHA-256`: the secret of a login. */
  readonly scram?: AuthCall<"scram", R, E>;
  /** `SCRAM-SHA-256`: the proof has been checked. */
  readonly scramChecked?: AuthCall<"scramChecked", R, E>;
  /** `XOAUTH2` and `OAUTHBEARER`. */
  readonly token?: AuthCall<"token", R, E>;
  /** `EXTERNAL`. */
  readonly certificate?: AuthCall<"certificate", R, E>;
}

/** A function of an authenticator, with its answer as an Effect. */
export type AuthCall<K extends Exclude<keyof Authenticator, "mechanisms">, R, E = unknown> =
  NonNullable<Authenticator[K]> extends (...args: infer A) => infer V
    ? (...args: A) => AnEffect<Awaited<V>, R, E>
    : never;

/** Hooks that return Effects. What is synchronous on the plain door (`reply`, `transform`, `observe`, observers) is so here. */
export interface EffectHooks<R = never, E = unknown> extends Pick<Hooks, "reply" | "on"> {
  /** Before the banner. */
  readonly connect?: EffectHook<"connect", R, E>;
  /** HELO or EHLO. */
  readonly helo?: EffectHook<"helo", R, E>;
  /** An authenticator. */
  readonly auth?: EffectAuthenticator<R, E>;
  /** MAIL FROM. */
  readonly mail?: EffectHook<"mail", R, E>;
  /** Each RCPT TO. */
  readonly rcpt?: EffectHook<"rcpt", R, E>;
  /** DATA or the first BDAT, before 354. */
  readonly data?: EffectHook<"data", R, E>;
  /** The header block is complete. */
  readonly header?: EffectHook<"header", R, E>;
  /** Hooks of the body; only the scan is an Effect. */
  readonly body?: Pick<BodyHooks, "transform" | "flush" | "observe"> & {
    readonly scan?: (
      content: AsyncIterable<Uint8Array>,
      context: ContentContext,
    ) => EffectAnswer<R, E>;
  };
  /** The content is complete; before the dot goes upstream. */
  readonly end?: EffectHook<"end", R, E>;
}

/** One plugin instance of this door; its resources are its layer's. `R`: services its hooks need; `E`: how they may fail. */
export interface EffectPlugin<R = never, E = unknown>
  extends Pick<Plugin, "name" | "onError" | "holdBody"> {
  /** By stage. */
  readonly hooks: EffectHooks<R, E>;
  /** What a typed failure means: a verdict, or nothing, and it is the plugin's failure. Never asked about a defect. */
  recover?(failure: E): Verdict | undefined;
}

/** Makes a plain plugin of one that needs no resources but the edge. */
export function fromEffect<Options = unknown, E = unknown>(
  make: (
    edge: Edge,
    options: Options,
  ) => EffectPlugin<Capabilities, E> | AnEffect<EffectPlugin<Capabilities, E>, Capabilities>,
): PluginModule<Options>;
/** Makes a plain plugin of one with resources: the layer is built when the plugin starts and released when its generation ends. */
export function fromEffect<R, Options = unknown, E = unknown>(
  make: (
    edge: Edge,
    options: Options,
  ) =>
    | EffectPlugin<R | Capabilities, E>
    | AnEffect<EffectPlugin<R | Capabilities, E>, R | Capabilities>,
  layer: (edge: Edge, options: Options) => ALayer<R>,
): PluginModule<Options>;
export function fromEffect<R, Options, E>(
  make: (
    edge: Edge,
    options: Options,
  ) =>
    | EffectPlugin<R | Capabilities, E>
    | AnEffect<EffectPlugin<R | Capabilities, E>, R | Capabilities>,
  layer?: (edge: Edge, options: Options) => ALayer<R>,
): PluginModule<Options> {
  return async (edge, options) => {
    const resources = layer?.(edge, options) ??
      (Layer.empty as Layer.Layer<never> as Layer.Layer<R>);
    const runtime = ManagedRuntime.make(Layer.provideMerge(resources, capabilitiesOf(edge)));
    try {
      const run = Effect.runForkWith(await runtime.context());
      const made = make(edge, options);
      const plugin = Effect.isEffect(made) ? await runtime.runPromise(made) : made;
      return {
        name: plugin.name,
        ...(plugin.onError === undefined ? {} : { onError: plugin.onError }),
        ...(plugin.holdBody === undefined ? {} : { holdBody: plugin.holdBody }),
        hooks: plainHooks(plugin.hooks, { run, recover: plugin.recover?.bind(plugin) }),
        close: () => runtime.dispose(),
      };
    } catch (cause) {
      await runtime.dispose();
      throw cause;
    }
  };
}

/** How an Effect of a hook is run, and its failures answered. */
interface Runner<R, E> {
  readonly run: ReturnType<typeof Effect.runForkWith<R>>;
  readonly recover: ((failure: E) => Verdict | undefined) | undefined;
}

/** Each hook has its own subject; here it only goes through. */
type AnyHook<R, E> = (subject: unknown, context: HookContext) => EffectAnswer<R, E>;

const HOOKS = ["connect", "helo", "mail", "rcpt", "data", "header", "end"] as const;

function plainHooks<R, E>(hooks: EffectHooks<R, E>, runner: Runner<R, E>): Hooks {
  const { auth, body, reply, on } = hooks;
  const plain: { [name: string]: unknown } = {};
  for (const name of HOOKS) {
    const hook = hooks[name] as AnyHook<R, E> | undefined;
    if (hook !== undefined) plain[name] = plainHook(hook.bind(hooks), runner);
  }
  return {
    ...plain,
    ...(reply === undefined ? {} : { reply: reply.bind(hooks) }),
    ...(on === undefined ? {} : { on }),
    ...(auth === undefined ? {} : { auth: plainAuth(auth, runner) }),
    ...(body === undefined ? {} : { body: plainBody(body, runner) }),
  };
}

const AUTH_CALLS = ["verify", "scram", "scramChecked", "token", "certificate"] as const;

/** What `recover` gives beyond a refusal, the engine takes for nonsense. */
function plainAuth<R, E>(auth: EffectAuthenticator<R, E>, runner: Runner<R, E>): Authenticator {
  const plain: { [name: string]: unknown } = {};
  for (const name of AUTH_CALLS) {
    const call = auth[name] as AnyHook<R, E> | undefined;
    if (call !== undefined) plain[name] = plainHook(call.bind(auth), runner);
  }
  return { mechanisms: auth.mechanisms, ...plain };
}

function plainBody<R, E>(
  body: NonNullable<EffectHooks<R, E>["body"]>,
  runner: Runner<R, E>,
): BodyHooks {
  return {
    ...(body.transform === undefined ? {} : { transform: body.transform.bind(body) }),
    ...(body.flush === undefined ? {} : { flush: body.flush.bind(body) }),
    ...(body.observe === undefined ? {} : { observe: body.observe.bind(body) }),
    ...(body.scan === undefined ? {} : { scan: plainHook(body.scan.bind(body), runner) }),
  };
}

/** The signal is read only when the Effect is still running: it costs a controller. */
function plainHook<R, E, S, C extends HookContext, V>(
  hook: (subject: S, context: C) => Effect.Effect<V, E, R>,
  { run, recover }: Runner<R, E>,
): (subject: S, context: C) => V | Verdict | undefined | Promise<V | Verdict | undefined> {
  return (subject, context) => {
    const fiber = run(hook(subject, context));
    const exit = fiber.pollUnsafe();
    if (exit !== undefined) return valueOf(exit, recover);
    const { signal } = context;
    const interrupt = () => fiber.interruptUnsafe();
    signal.addEventListener("abort", interrupt, { once: true });
    return new Promise((resolve, reject) => {
      fiber.addObserver((exit) => {
        signal.removeEventListener("abort", interrupt);
        try {
          resolve(valueOf(exit, recover));
        } catch (cause) {
          reject(cause);
        }
      });
    });
  };
}

function valueOf<V, E>(
  exit: Exit.Exit<V, E>,
  recover: ((failure: E) => Verdict | undefined) | undefined,
): V | Verdict | undefined {
  if (Exit.isSuccess(exit)) return exit.value;
  const failure = recover === undefined ? Option.none<E>() : Cause.findErrorOption(exit.cause);
  const verdict = Option.isSome(failure) ? recover?.(failure.value) : undefined;
  if (verdict !== undefined) return verdict;
  throw Cause.squash(exit.cause);
}
