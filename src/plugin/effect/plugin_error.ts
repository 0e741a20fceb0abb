/**
 * A typed error for what plugins most often fail at, and the bridge from the plain door's promises.
 * @module
 */
import * as Effect from "effect/Effect";

/** @internal */
type AnEffect<A> = Effect.Effect<A, PluginError>;

/** Something that the plugin needs is broken: a service, a file. Plugins with more to tell make errors of their own. */
export class PluginError extends Error {
  /** For `Effect.catchTag`. */
  readonly _tag = "PluginError" as const;
  /** In the log. */
  override readonly name: string = "PluginError";

  /**
   * Work that may reject; the signal is aborted when the hook's budget is over or the client is gone.
   *
   * @example
   * ```ts
   * import { PluginError } from "@postern/postern/plugin/effect";
   *
   * const health = PluginError.attempt(
   *   "Cannot ask the service",
   *   (signal) => fetch("http://localhost:8080/health", { signal }),
   * );
   * ```
   */
  static attempt<A>(
    message: string,
    work: (signal: AbortSignal) => PromiseLike<A>,
  ): AnEffect<A> {
    return Effect.tryPromise({
      try: work,
      catch: (cause) => new PluginError(message, { cause }),
    });
  }
}

/** An answer of the state, which is a value while the state is in memory and a promise where it is shared. */
export function settled<A>(answer: A | PromiseLike<A>): AnEffect<A> {
  return typeof (answer as { readonly then?: unknown } | null | undefined)?.then === "function"
    ? PluginError.attempt("The state does not answer", () => answer as PromiseLike<A>)
    : Effect.succeed(answer as A);
}
