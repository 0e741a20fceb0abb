/**
 * The Effect door: the same hooks returning `Effect`, and a layer for resources. It is compiled onto the plain door, so
 * there is one engine: a hook's Effect that ends without suspending is answered at once, any other becomes a promise
 * whose Effect is interrupted when the budget is over or the session is gone.
 *
 * A file beside a compiled binary cannot import `effect`: plugins of this door run from source, or are compiled in.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect";
 * import { type EffectPlugin, fromEffect } from "@postern/postern/plugin/effect";
 *
 * export default fromEffect((edge): EffectPlugin => ({
 *   name: "slow-helo",
 *   hooks: { helo: () => Effect.succeed(edge.delay(500)) },
 * }));
 * ```
 * @module
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Cause from "effect/Cause";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import type { Edge } from "./edge.ts";
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

// The lint of documentation takes a package's types for private ones of ours, unless they go by a name of this file.
/** @internal */
type AnEffect<A, R = never> = Effect.Effect<A, unknown, R>;
/** @internal */
type ALayer<R> = Layer.Layer<R, unknown>;

/** What a hook of this door returns. Any failure or defect is the plugin's failure, and its `onError` answers. */
export type EffectAnswer<R, V = Verdict> = AnEffect<V | undefined | void, R>;

/** A plain hook with its answer as an Effect. */
export type EffectHook<K extends keyof Hooks, R> = NonNullable<Hooks[K]> extends
  (...args: infer A) => unknown ? (...args: A) => EffectAnswer<R> : never;

/** An authenticator whose functions return Effects. */
export interface EffectAuthenticator<R = never> extends Pick<Authenticator, "mechanisms"> {
  /** `PLAIN` and `LOGIN`. */
  readonly verify?: AuthCall<"verify", R>;
  /** `SCRAM-SHA-256`: the secret of a login. */
  readonly scram?: AuthCall<"scram", R>;
  /** `SCRAM-SHA-256`: the proof has been checked. */
  readonly scramChecked?: AuthCall<"scramChecked", R>;
  /** `XOAUTH2` and `OAUTHBEARER`. */
  readonly token?: AuthCall<"token", R>;
  /** `EXTERNAL`. */
  readonly certificate?: AuthCall<"certificate", R>;
}

/** A function of an authenticator, with its answer as an Effect. */
export type AuthCall<K extends Exclude<keyof Authenticator, "mechanisms">, R> =
  NonNullable<Authenticator[K]> extends (...args: infer A) => infer V
    ? (...args: A) => AnEffect<Awaited<V>, R>
    : never;

/** Hooks that return Effects. What is synchronous on the plain door (`reply`, `transform`, `observe`, observers) is so here. */
export interface EffectHooks<R = never> extends Pick<Hooks, "reply" | "on"> {
  /** Before the banner. */
  readonly connect?: EffectHook<"connect", R>;
  /** HELO or EHLO. */
  readonly helo?: EffectHook<"helo", R>;
  /** An authenticator. */
  readonly auth?: EffectAuthenticator<R>;
  /** MAIL FROM. */
  readonly mail?: EffectHook<"mail", R>;
  /** Each RCPT TO. */
  readonly rcpt?: EffectHook<"rcpt", R>;
  /** DATA or the first BDAT, before 354. */
  readonly data?: EffectHook<"data", R>;
  /** The header block is complete. */
  readonly header?: EffectHook<"header", R>;
  /** Hooks of the body; only the scan is an Effect. */
  readonly body?: Pick<BodyHooks, "transform" | "observe"> & {
    readonly scan?: (
      content: AsyncIterable<Uint8Array>,
      context: ContentContext,
    ) => EffectAnswer<R>;
  };
  /** The content is complete; before the dot goes upstream. */
  readonly end?: EffectHook<"end", R>;
}

/** One plugin instance of this door; its resources are its layer's. */
export interface EffectPlugin<R = never> extends Pick<Plugin, "name" | "onError" | "holdBody"> {
  /** By stage. */
  readonly hooks: EffectHooks<R>;
}

/** Makes a plain plugin of one that needs no resources. */
export function fromEffect<Options = unknown>(
  make: (edge: Edge, options: Options) => EffectPlugin | AnEffect<EffectPlugin>,
): PluginModule<Options>;
/** Makes a plain plugin of one with resources: the layer is built when the plugin starts and released when its generation ends. */
export function fromEffect<R, Options = unknown>(
  make: (
    edge: Edge,
    options: Options,
  ) => EffectPlugin<R> | AnEffect<EffectPlugin<R>, R>,
  layer: (edge: Edge, options: Options) => ALayer<R>,
): PluginModule<Options>;
export function fromEffect<R, Options>(
  make: (
    edge: Edge,
    options: Options,
  ) => EffectPlugin<R> | AnEffect<EffectPlugin<R>, R>,
  layer?: (edge: Edge, options: Options) => ALayer<R>,
): PluginModule<Options> {
  return async (edge, options) => {
    const resources = layer?.(edge, options) ??
      (Layer.empty as Layer.Layer<never> as Layer.Layer<R>);
    const runtime = ManagedRuntime.make(resources);
    try {
      const run = Effect.runForkWith(await runtime.context());
      const made = make(edge, options);
      const plugin = Effect.isEffect(made) ? await runtime.runPromise(made) : made;
      return {
        name: plugin.name,
        ...(plugin.onError === undefined ? {} : { onError: plugin.onError }),
        ...(plugin.holdBody === undefined ? {} : { holdBody: plugin.holdBody }),
        hooks: plainHooks(plugin.hooks, run),
        close: () => runtime.dispose(),
      };
    } catch (cause) {
      await runtime.dispose();
      throw cause;
    }
  };
}

type Run<R> = ReturnType<typeof Effect.runForkWith<R>>;

/** Each hook has its own subject; here it only goes through. */
type AnyHook<R> = (subject: unknown, context: HookContext) => EffectAnswer<R>;

const HOOKS = ["connect", "helo", "mail", "rcpt", "data", "header", "end"] as const;

function plainHooks<R>(hooks: EffectHooks<R>, run: Run<R>): Hooks {
  const { auth, body, reply, on } = hooks;
  const plain: { [name: string]: unknown } = {};
  for (const name of HOOKS) {
    const hook = hooks[name] as AnyHook<R> | undefined;
    if (hook !== undefined) plain[name] = plainHook(hook.bind(hooks), run);
  }
  return {
    ...plain,
    ...(reply === undefined ? {} : { reply: reply.bind(hooks) }),
    ...(on === undefined ? {} : { on }),
    ...(auth === undefined ? {} : { auth: plainAuth(auth, run) }),
    ...(body === undefined ? {} : { body: plainBody(body, run) }),
  };
}

const AUTH_CALLS = ["verify", "scram", "scramChecked", "token", "certificate"] as const;

function plainAuth<R>(auth: EffectAuthenticator<R>, run: Run<R>): Authenticator {
  const plain: { [name: string]: unknown } = {};
  for (const name of AUTH_CALLS) {
    const call = auth[name] as AnyHook<R> | undefined;
    if (call !== undefined) plain[name] = plainHook(call.bind(auth), run);
  }
  return { mechanisms: auth.mechanisms, ...plain };
}

function plainBody<R>(body: NonNullable<EffectHooks<R>["body"]>, run: Run<R>): BodyHooks {
  return {
    ...(body.transform === undefined ? {} : { transform: body.transform.bind(body) }),
    ...(body.observe === undefined ? {} : { observe: body.observe.bind(body) }),
    ...(body.scan === undefined ? {} : { scan: plainHook(body.scan.bind(body), run) }),
  };
}

/** The signal is read only when the Effect is still running: it costs a controller. */
function plainHook<R, S, C extends HookContext, V>(
  hook: (subject: S, context: C) => Effect.Effect<V, unknown, R>,
  run: Run<R>,
): (subject: S, context: C) => V | Promise<V> {
  return (subject, context) => {
    const fiber = run(hook(subject, context));
    const exit = fiber.pollUnsafe();
    if (exit !== undefined) return valueOf(exit);
    const { signal } = context;
    const interrupt = () => fiber.interruptUnsafe();
    signal.addEventListener("abort", interrupt, { once: true });
    return new Promise((resolve, reject) => {
      fiber.addObserver((exit) => {
        signal.removeEventListener("abort", interrupt);
        try {
          resolve(valueOf(exit));
        } catch (cause) {
          reject(cause);
        }
      });
    });
  };
}

function valueOf<V>(exit: Exit.Exit<V, unknown>): V {
  if (Exit.isSuccess(exit)) return exit.value;
  throw Cause.squash(exit.cause);
}
