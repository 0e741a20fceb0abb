/**
 * The instances of plugins, over all generations of one proxy. A plugin that a reload did not change is the same instance in
 * both, with what it remembers and holds open; the last generation that ends closes it, once.
 *
 * Owns: starting, counting, stopping.   Never: decides what has changed; who loads does, by giving the same exports again.
 * @module
 */
import * as Effect from "effect/Effect";
import type { Plugin } from "../plugin/module.ts";
import type { PluginSettings } from "../settings/settings.ts";
import type { LoadedPlugin } from "./compile.ts";
import { failureKind, failureMessage, type PluginFailure } from "./failure.ts";
import { type EdgeOwner, makeEdge, Notes, type PipelineServices } from "./make_edge.ts";
import { shapeOf } from "./shape.ts";

/** Milliseconds that a plugin may take to start, and to stop. */
const START_LIMIT = 30_000;
const STOP_LIMIT = 5_000;

/** A plugin that runs. */
export interface Instance {
  readonly plugin: Plugin;
  readonly owner: EdgeOwner;
  /** What it was made from. */
  readonly loaded: LoadedPlugin;
  readonly ordinal: number;
  /** Generations that use it. */
  users: number;
}

/** All that run. */
export class Instances {
  readonly #services: PipelineServices;
  readonly #report: (failure: PluginFailure) => void;
  /** One set for all generations: a plugin that stays reads the notes of one that was made anew. */
  readonly #notes = new Notes();
  readonly #running = new Set<Instance>();

  constructor(services: PipelineServices) {
    this.#services = services;
    this.#report = quiet(services.report);
  }

  /** Reports a failure; never throws. */
  get report(): (failure: PluginFailure) => void {
    return this.#report;
  }

  /** The running instance of this very plugin, or a new one, or what is wrong with it. Whoever takes must `release`. */
  take(
    loaded: LoadedPlugin,
    ordinal: number,
  ): Effect.Effect<Instance | { readonly wrong: readonly string[] }> {
    return Effect.suspend(() => {
      for (const instance of this.#running) {
        if (instance.ordinal !== ordinal || !isSame(instance.loaded, loaded)) continue;
        instance.users++;
        return Effect.succeed(instance);
      }
      return this.#start(loaded, ordinal);
    });
  }

  /** One user less; without any it is stopped. */
  async release(instance: Instance): Promise<void> {
    instance.users--;
    if (instance.users > 0 || !this.#running.delete(instance)) return;
    await this.#stop(instance);
  }

  #start(
    loaded: LoadedPlugin,
    ordinal: number,
  ): Effect.Effect<Instance | { readonly wrong: readonly string[] }> {
    const { settings, exports } = loaded;
    const owner = this.#ownerOf(settings, ordinal);
    const edge = makeEdge(this.#services, owner, this.#notes);
    return Effect.tryPromise({
      try: async () => shapeOf(await exports.default(edge, settings.options ?? {})),
      catch: (cause) => `The plugin does not start: ${failureMessage(cause)}`,
    }).pipe(
      Effect.timeoutOrElse({
        duration: START_LIMIT,
        orElse: () => Effect.fail(`The plugin has not started within ${START_LIMIT} ms`),
      }),
      Effect.catch((message) => Effect.succeed({ wrong: [message] })),
      Effect.map((made) => {
        if ("wrong" in made) {
          for (const dispose of [...owner.disposers]) dispose();
          return made;
        }
        owner.name = made.plugin.name;
        const instance = { plugin: made.plugin, owner, loaded, ordinal, users: 1 };
        this.#running.add(instance);
        return instance;
      }),
    );
  }

  #ownerOf(settings: PluginSettings, ordinal: number): EdgeOwner {
    const owner: EdgeOwner = {
      name: settings.use,
      statePrefix: `${settings.use}#${ordinal}:`,
      shadow: settings.mode === "shadow",
      percent: settings.percent,
      disposers: new Set(),
      broke: (cause, asynchronous) => this.#report(outside(owner, "watch", cause, asynchronous)),
    };
    return owner;
  }

  async #stop({ plugin, owner }: Instance): Promise<void> {
    for (const dispose of [...owner.disposers]) dispose();
    const closing = Effect.tryPromise({ try: async () => await plugin.close?.(), catch: (e) => e })
      .pipe(
        Effect.timeoutOrElse({
          duration: STOP_LIMIT,
          orElse: () => Effect.fail(new Error(`close has not ended within ${STOP_LIMIT} ms`)),
        }),
        Effect.catch((cause) =>
          Effect.sync(() => this.#report(outside(owner, "close", cause, true)))
        ),
      );
    await Effect.runPromise(closing);
  }
}

/** A failure outside of every session. */
export function outside(
  owner: Pick<EdgeOwner, "name" | "shadow">,
  stage: "watch" | "close" | "on",
  cause: unknown,
  asynchronous: boolean,
): PluginFailure {
  return {
    plugin: owner.name,
    stage,
    kind: failureKind(cause, asynchronous),
    message: failureMessage(cause),
    session: undefined,
    transaction: undefined,
    shadow: owner.shadow,
  };
}

/** Shadows, for all or for some sessions, have notes of their own; all else of the settings is the generation's. */
function isSame(a: LoadedPlugin, b: LoadedPlugin): boolean {
  return a.exports === b.exports && a.settings.use === b.settings.use &&
    a.settings.options === b.settings.options && a.settings.percent === b.settings.percent &&
    (a.settings.mode === "shadow") === (b.settings.mode === "shadow");
}

/** A reporter that breaks must not break a session. */
function quiet(report: (failure: PluginFailure) => void): (failure: PluginFailure) => void {
  return (failure) => {
    try {
      report(failure);
    } catch {
      // There is nobody left to tell.
    }
  };
}
