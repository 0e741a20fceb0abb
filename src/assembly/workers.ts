/**
 * What plugins in workers are made with: the runtime's workers, the place of their code, and who is told of their failures.
 * @module
 */
import { bundled } from "../../plugins/mod.ts";
import type { IsolateOptions } from "../isolation/isolate.ts";
import { failureMessage, type PluginFailure } from "../pipeline/failure.ts";
import { expectFile } from "../runtime/module_fault.ts";
import { modulePath, moduleUrl } from "../runtime/modules.ts";
import { resolvePath } from "../runtime/paths.ts";
import { later } from "../runtime/timers.ts";
import { workerPowers, workerSpawner } from "../runtime/worker.ts";
import type { PluginSettings } from "../settings/settings.ts";
import type { Log } from "../telemetry/log.ts";

/** The code of workers. In a bundle or a compiled program it stands beside the rest, as an entry of its own. */
const workerEntry = new URL(
  import.meta.url.endsWith(".ts") ? "../plugin_worker.ts" : "./plugin_worker.js",
  import.meta.url,
);

const PATIENCE = 1_000;

/** What isolation needs. `patience`: milliseconds that a worker has to answer a ping. */
export function isolation(
  baseDir: string,
  now: () => number,
  report: (failure: PluginFailure) => void,
  patience: number = PATIENCE,
): IsolateOptions {
  return {
    workers: { spawn: workerSpawner(workerEntry), later, ...workerPowers },
    locate: (use) => {
      if (bundled.has(use)) return undefined;
      const path = modulePath(use, baseDir);
      if (path === undefined) return use;
      expectFile(path);
      return moduleUrl(path);
    },
    baseDir,
    resolve: (path) => resolvePath(baseDir, path),
    now,
    patience,
    report: (plugin, stage, message) =>
      report({
        plugin,
        stage,
        kind: stage === "worker" ? "crashed" : "rejected",
        message: failureMessage(message),
        session: undefined,
        transaction: undefined,
        shadow: false,
      }),
  };
}

/** Says once at the start which plugins have a worker that the runtime does not restrict. */
export function warnOfRights(log: Log, plugins: readonly PluginSettings[]): void {
  const isolated = plugins.filter(({ worker, mode }) => worker !== undefined && mode !== "off");
  if (isolated.length === 0 || workerPowers.enforcesRights) return;
  log.event("warn", "this runtime does not enforce what workers are granted", {
    plugins: isolated.map(({ use }) => use).join(" "),
  });
}
