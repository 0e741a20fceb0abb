/**
 * Plugins made anew while mail flows: by name, by the configuration read again, by a file that has changed. All or nothing:
 * what does not load leaves the plugins that run, and one line in the log. New sessions take the new generation, old ones
 * end on theirs.
 * @module
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import * as Semaphore from "effect/Semaphore";
import { bundled } from "../../plugins/mod.ts";
import { watchFile } from "../runtime/files.ts";
import { modulePath } from "../runtime/modules.ts";
import type { RunningServer } from "../server/server.ts";
import { nearest } from "../settings/nearest.ts";
import type { PluginSettings, Settings } from "../settings/settings.ts";
import type { Log } from "../telemetry/log.ts";
import type { PluginHost, Renewal } from "./plugins.ts";
import { configurationFailed, reasonOf, type StartFailed } from "./start_failed.ts";

/** What a reload came to. */
export interface Reloaded {
  /** Names of the plugins that were made anew; the others run on. */
  readonly plugins: readonly string[];
}

/** Reloads plugins. */
export interface Reloader {
  /** Makes the plugin of this name, or of this `use`, anew, whether or not it has changed. */
  reloadPlugin(name: string): Effect.Effect<Reloaded, StartFailed>;
  /** Takes over what has changed: the files of plugins and, with settings, their entries. Other settings are not looked at. */
  reloadPlugins(settings?: Settings): Effect.Effect<Reloaded, StartFailed>;
}

/** What there is to reload. */
export interface ReloadOptions {
  readonly settings: Settings;
  readonly plugins: PluginHost;
  readonly server: Pick<RunningServer, "use">;
  readonly log: Log;
}

/** Makes a reloader; it watches the files of plugins with `watch` until the scope ends. */
export function makeReloader(options: ReloadOptions): Effect.Effect<Reloader, never, Scope.Scope> {
  return Effect.gen(function* () {
    const { plugins, server, log } = options;
    let { settings } = options;
    let over = false;
    const one = yield* Semaphore.make(1);

    const swap = (renewal: (entry: PluginSettings) => Renewal, wanted: Settings, asked: boolean) =>
      Effect.gen(function* () {
        if (over) return yield* configurationFailed("Postern is stopping");
        const next = yield* plugins.next(wanted, renewal);
        const { pipeline } = next;
        if (!asked && pipeline.renewed.length === 0) {
          yield* Effect.promise(() => next.drop());
          return { plugins: [] };
        }
        settings = wanted;
        const { retire } = next.adopt();
        void server.use(pipeline).then(retire);
        watches.only(plugins.entries);
        log.event("info", "plugins reloaded", {
          plugins: pipeline.renewed.length === 0 ? "none had changed" : pipeline.renewed.join(","),
        });
        pipeline.reloaded();
        return { plugins: pipeline.renewed };
      }).pipe(
        Effect.tapError((failed) =>
          Effect.sync(() =>
            log.event("error", "reload refused, the plugins go on as they are", {
              cause: failed.message.replaceAll("\n", "; "),
            })
          )
        ),
        Semaphore.withPermit(one),
      );
    const only = (use: string, renewal: Renewal) => (entry: PluginSettings): Renewal =>
      entry.use === use ? renewal : "keep";

    const watches = new Watches(settings.baseDir, log, (use) => {
      void Effect.runPromise(
        Effect.ignore(Effect.suspend(() => swap(only(use, "check"), settings, false))),
      );
    });
    watches.only(plugins.entries);
    yield* Effect.addFinalizer(() =>
      Semaphore.withPermit(
        one,
        Effect.sync(() => {
          over = true;
          watches.only([]);
        }),
      )
    );
    return {
      reloadPlugin: (name) =>
        Effect.suspend(() => {
          const known = plugins.entries.some(({ use }) => use === name);
          const use = known ? name : plugins.pipeline.useOf(name);
          return use === undefined
            ? Effect.fail(unknown(name, plugins))
            : swap(only(use, "again"), settings, true);
        }),
      reloadPlugins: (wanted) =>
        Effect.suspend(() => swap(() => "check", wanted ?? settings, true)),
    };
  });
}

function unknown(name: string, { pipeline }: PluginHost): StartFailed {
  const meant = nearest(name, pipeline.plugins);
  return configurationFailed(
    `There is no plugin "${name}"` + (meant === undefined ? "" : `; did you mean "${meant}"?`),
  );
}

/** The files that are watched. */
class Watches {
  readonly #baseDir: string;
  readonly #log: Log;
  readonly #changed: (use: string) => void;
  readonly #stops = new Map<string, () => void>();

  constructor(baseDir: string, log: Log, changed: (use: string) => void) {
    this.#baseDir = baseDir;
    this.#log = log;
    this.#changed = changed;
  }

  /** Watches the files of these that want it, and no others. */
  only(entries: readonly PluginSettings[]): void {
    const wanted = new Set(
      entries.filter(({ use, watch }) => watch && !bundled.has(use)).map(({ use }) => use),
    );
    for (const [use, stop] of this.#stops) {
      if (wanted.has(use)) continue;
      this.#stops.delete(use);
      stop();
    }
    for (const use of wanted) {
      const path = modulePath(use, this.#baseDir);
      if (path === undefined || this.#stops.has(use)) continue;
      try {
        this.#stops.set(use, watchFile(path, () => this.#changed(use)));
      } catch (cause) {
        this.#log.event("warn", "plugin is not watched", { plugin: use, cause: reasonOf(cause) });
      }
    }
  }
}
