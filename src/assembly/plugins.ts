/**
 * The plugins, from the settings: loaded, their options checked, started; stopped at the end of the scope.
 * @module
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { bundled } from "../../plugins/mod.ts";
import { compilePipeline } from "../pipeline/compile.ts";
import { loadPlugins } from "../pipeline/load.ts";
import { passwords } from "../pipeline/passwords.ts";
import type { PluginState } from "../plugin/edge.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import { readText, watchFile } from "../runtime/files.ts";
import { importModule } from "../runtime/modules.ts";
import { resolvePath } from "../runtime/paths.ts";
import type { PluginSettings, Settings } from "../settings/settings.ts";
import type { Network } from "../transport/duplex.ts";
import { memoryState } from "../state/memory.ts";
import type { Log } from "../telemetry/log.ts";
import { StartFailed } from "./start_failed.ts";

/** What plugins are started with. */
export interface PluginWorld {
  readonly log: Log;
  readonly now: () => number;
  readonly network: Network;
  /** Default: in memory. */
  readonly state?: PluginState;
}

/** Loads and starts every plugin; fails with all their problems at once. Without a state of their own they get one in memory. */
export function startPlugins(
  settings: Settings,
  world: PluginWorld,
): Effect.Effect<Pipeline, StartFailed, Scope.Scope> {
  const { log, now, network, state = memoryState({ clock: { now } }) } = world;
  return Effect.gen(function* () {
    const { plugins: loaded, problems } = yield* Effect.promise(() =>
      loadPlugins(wantedPlugins(settings), {
        builtins: bundled,
        importModule: (use) => importModule(use, settings.baseDir),
      })
    );
    // Those that loaded are started although others did not: everything that is wrong is told at once.
    const compiled = yield* Effect.match(
      compilePipeline(loaded, {
        clock: { now },
        state,
        log: ({ plugin, level, message, fields }) =>
          log.event(level, message, { plugin, ...fields }),
        metrics: { count: () => {}, observe: () => {} },
        report: ({ plugin, stage, kind, message, transaction, session }) =>
          log.event("error", "plugin failed", {
            plugin,
            stage,
            kind,
            cause: message,
            id: transaction ?? session,
          }),
        readText: (path) => readText(resolvePath(settings.baseDir, path)),
        watchFile: (path, changed) => watchFile(resolvePath(settings.baseDir, path), changed),
        passwords,
        network: {
          connect: (address, options, done) =>
            network.connect(
              "path" in address ? { path: resolvePath(settings.baseDir, address.path) } : address,
              options,
              done,
            ),
        },
      }),
      {
        onSuccess: (made) => ({ pipeline: made, problems: [] }),
        onFailure: (failed) => ({ pipeline: undefined, problems: failed.problems }),
      },
    );
    const { pipeline } = compiled;
    const wrong = [...problems, ...compiled.problems];
    if (pipeline === undefined || wrong.length > 0) {
      yield* Effect.promise(async () => await pipeline?.close());
      return yield* pluginProblems(wrong);
    }
    yield* Effect.addFinalizer(() => Effect.promise(() => pipeline.close()));
    return pipeline;
  });
}

/** The plugins of the file, and the one that `received` stands for. */
function wantedPlugins({ received, plugins }: Settings): readonly PluginSettings[] {
  return received && !plugins.some(({ use }) => use === "received")
    ? [receivedPlugin, ...plugins]
    : plugins;
}

const receivedPlugin: PluginSettings = {
  use: "received",
  listeners: undefined,
  mode: "enforce",
  onError: undefined,
  budget: 5_000,
  options: undefined,
  path: "received",
};

function pluginProblems(
  problems: readonly { readonly pluginPath: string; readonly message: string }[],
): StartFailed {
  return new StartFailed({
    because: "configuration",
    problems: problems.map(({ pluginPath, message }) => ({ path: pluginPath, message })),
  });
}
