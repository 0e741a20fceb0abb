/**
 * The plugins, from the settings: loaded, their options checked, started, made anew one by one; stopped at the end of the
 * scope.
 * @module
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { bundled } from "../../plugins/mod.ts";
import { importIsolated, type IsolateOptions } from "../isolation/isolate.ts";
import { compilePipeline, type LoadedPlugin } from "../pipeline/compile.ts";
import { Instances } from "../pipeline/instances.ts";
import { loadPlugins } from "../pipeline/load.ts";
import type { PipelineServices } from "../pipeline/make_edge.ts";
import { passwords } from "../pipeline/passwords.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { PluginState } from "../plugin/edge.ts";
import { readText, watchFile } from "../runtime/files.ts";
import { expectFile } from "../runtime/module_fault.ts";
import { contentHash, importModule, modulePath } from "../runtime/modules.ts";
import { resolvePath } from "../runtime/paths.ts";
import { systemReason } from "../runtime/system_reason.ts";
import { isSameValue } from "../settings/changes.ts";
import type { PluginSettings, Settings } from "../settings/settings.ts";
import type { Network } from "../transport/duplex.ts";
import { memoryState } from "../state/memory.ts";
import type { Log } from "../telemetry/log.ts";
import { StartFailed } from "./start_failed.ts";
import { isolation, warnOfRights } from "./workers.ts";

/** What plugins are started with. */
export interface PluginWorld {
  readonly log: Log;
  readonly now: () => number;
  readonly network: Network;
  readonly dns: PipelineServices["dns"];
  /** Default: in memory. */
  readonly state?: PluginState;
  /** Milliseconds that a plugin's worker has to answer a ping. */
  readonly workerPatience?: number;
}

/** Plugins that could take the place of those that run: adopt them, or drop them. */
export interface NextPlugins {
  readonly pipeline: Pipeline;
  /** Makes them the current ones. Call `retire` when no session is left that has the former ones. */
  adopt(): { retire(): Promise<void> };
  /** Stops what was started for them. */
  drop(): Promise<void>;
}

/**
 * What a reload does with an entry whose options are as they were: `keep` it, `check` whether its file has changed, or make it
 * anew all the same (`again`).
 */
export type Renewal = "keep" | "check" | "again";

/** The plugins of one proxy, over their generations. */
export interface PluginHost {
  /** Of new sessions. */
  readonly pipeline: Pipeline;
  /** The entries it was made from. */
  readonly entries: readonly PluginSettings[];
  /** Makes a generation of these settings. Fails with every problem at once, and then nothing has changed. */
  next(
    settings: Settings,
    renewal: (entry: PluginSettings) => Renewal,
  ): Effect.Effect<NextPlugins, StartFailed>;
}

/** One entry, loaded, and what it was loaded from. */
interface Entry {
  /** As the configuration has it. */
  readonly given: PluginSettings;
  readonly loaded: LoadedPlugin;
  /** Of its file; undefined for what is bundled and for packages. */
  readonly hash: string | undefined;
}

interface Generation {
  readonly pipeline: Pipeline;
  readonly entries: readonly Entry[];
}

/** Loads and starts every plugin; fails with all their problems at once. Without a state of their own they get one in memory. */
export function startPlugins(
  settings: Settings,
  world: PluginWorld,
): Effect.Effect<PluginHost, StartFailed, Scope.Scope> {
  return Effect.gen(function* () {
    const services = servicesOf(settings.baseDir, world);
    const instances = new Instances(services);
    const workers = isolation(
      settings.baseDir,
      world.now,
      services.report,
      world.workerPatience,
    );
    const open = new Set<Pipeline>();
    const closed = async (pipeline: Pipeline): Promise<void> => {
      open.delete(pipeline);
      await pipeline.close();
    };
    yield* Effect.addFinalizer(() => Effect.promise(() => Promise.all([...open].map(closed))));
    const make = (wanted: Settings, former: Former | undefined) =>
      Effect.tap(
        generation(wanted, services, instances, workers, former),
        ({ pipeline }) => Effect.sync(() => open.add(pipeline)),
      );
    let current = yield* make(settings, undefined);
    warnOfRights(world.log, settings.plugins);
    return {
      get pipeline() {
        return current.pipeline;
      },
      get entries() {
        return current.entries.map(({ given }) => given);
      },
      next: (wanted, renewal) =>
        Effect.map(make(wanted, { entries: current.entries, renewal }), (made): NextPlugins => ({
          pipeline: made.pipeline,
          adopt() {
            const { pipeline } = current;
            current = made;
            return { retire: () => closed(pipeline) };
          },
          drop: () => closed(made.pipeline),
        })),
    };
  });
}

/** The generation before, and what to do with its entries. */
interface Former {
  readonly entries: readonly Entry[];
  readonly renewal: (entry: PluginSettings) => Renewal;
}

function generation(
  settings: Settings,
  services: PipelineServices,
  instances: Instances,
  workers: IsolateOptions,
  former: Former | undefined,
): Effect.Effect<Generation, StartFailed> {
  return Effect.gen(function* () {
    const { entries, problems } = yield* Effect.promise(() =>
      loadEntries(settings, workers, former)
    );
    // Those that loaded are started although others did not: everything that is wrong is told at once.
    const compiled = yield* Effect.match(
      compilePipeline(entries.map(({ loaded }) => loaded), services, instances),
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
    return { pipeline, entries };
  });
}

/** Never rejects. */
async function loadEntries(
  settings: Settings,
  workers: IsolateOptions,
  former: Former | undefined,
): Promise<{ readonly entries: readonly Entry[]; readonly problems: readonly Problem[] }> {
  const wanted = wantedPlugins(settings).filter(({ mode }) => mode !== "off");
  const before = former?.entries ?? [];
  const results = await Promise.all(wanted.map(async (given, i) => {
    const kept = before.find((entry, j) =>
      entry.given.use === given.use &&
      ordinalOf(before.map((each) => each.given), j) === ordinalOf(wanted, i)
    );
    const renewal = former?.renewal(given) ?? "again";
    const path = bundled.has(given.use) ? undefined : modulePath(given.use, settings.baseDir);
    const hash = path === undefined
      ? undefined
      : renewal === "keep" && kept !== undefined
      ? kept.hash
      : await contentHash(path);
    if (
      kept !== undefined && renewal !== "again" && kept.hash === hash &&
      isSameValue(kept.given.options, given.options) && isSameWorker(kept.given, given)
    ) {
      const { options } = kept.loaded.settings;
      const loaded = { ...kept.loaded, settings: { ...given, options } };
      return { entries: [{ given, loaded, hash }], problems: [] };
    }
    const { plugins, problems } = await loadPlugins([given], {
      builtins: bundled,
      importModule: (use) => {
        // The first time by its plain name, which is how a person wants to see it in a stack trace.
        if (former === undefined) return importModule(use, settings.baseDir);
        // The plain name would give the module of old.
        if (path !== undefined && hash === undefined) {
          expectFile(path);
          throw new Error(`${path} cannot be read`);
        }
        return importModule(use, settings.baseDir, hash);
      },
      // A new worker has nothing in its memory that would be the module of old.
      importIsolated: (one) => importIsolated(one, workers),
    });
    return { entries: plugins.map((loaded) => ({ given, loaded, hash })), problems };
  }));
  return {
    entries: results.flatMap(({ entries }) => entries),
    problems: results.flatMap(({ problems }) => problems),
  };
}

/** A worker is made with its rights, and told its budget. */
function isSameWorker(former: PluginSettings, given: PluginSettings): boolean {
  return isSameValue(former.worker, given.worker) &&
    (given.worker === undefined || former.budget === given.budget);
}

/** The how-many-th entry of its `use` it is. */
function ordinalOf(entries: readonly PluginSettings[], index: number): number {
  return entries.slice(0, index).filter(({ use }) => use === entries[index]?.use).length;
}

function servicesOf(baseDir: string, world: PluginWorld): PipelineServices {
  const { log, now, network, dns, state = memoryState({ clock: { now } }) } = world;
  return {
    clock: { now },
    state,
    log: ({ plugin, level, message, fields }) => log.event(level, message, { plugin, ...fields }),
    metrics: { count: () => {}, observe: () => {} },
    report: ({ plugin, stage, kind, message, transaction, session }) =>
      log.event("error", "plugin failed", {
        plugin,
        stage,
        kind,
        cause: message,
        id: transaction ?? session,
      }),
    readText: (path) => readForPlugin(path, resolvePath(baseDir, path)),
    watchFile: (path, changed) => watchFile(resolvePath(baseDir, path), changed),
    passwords,
    dns,
    network: {
      connect: (address, options, done) =>
        network.connect(
          "path" in address ? { path: resolvePath(baseDir, address.path) } : address,
          options,
          done,
        ),
    },
  };
}

/** What goes wrong is told by the name that the operator has written. */
async function readForPlugin(path: string, resolved: string): Promise<string> {
  try {
    return await readText(resolved);
  } catch (cause) {
    const reason = systemReason(cause);
    throw reason === undefined ? cause : new Error(`Cannot read ${path}: ${reason}`, { cause });
  }
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
  watch: false,
  options: undefined,
  path: "received",
};

interface Problem {
  readonly pluginPath: string;
  readonly message: string;
}

function pluginProblems(problems: readonly Problem[]): StartFailed {
  return new StartFailed({
    because: "configuration",
    problems: problems.map(({ pluginPath, message }) => ({ path: pluginPath, message })),
  });
}
