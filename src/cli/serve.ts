/**
 * `postern serve`: runs the proxy until it is told to stop.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { type RunningPostern, startPostern } from "../postern.ts";
import { onSignal, onStray } from "../runtime/process.ts";
import { restartNeeded } from "../settings/changes.ts";
import { formatProblem } from "../settings/problem.ts";
import type { Log } from "../telemetry/log.ts";
import { EXIT } from "./errors.ts";
import type { CliIo, Run } from "./io.ts";
import { loadConfiguration, type LoadedConfiguration } from "./load_configuration.ts";
import { readyLine } from "./ready_line.ts";
import type { serveSpec } from "./specs.ts";
import { startFailure } from "./start_failure.ts";

/** Runs until SIGTERM or SIGINT, then drains. */
export const run: Run<typeof serveSpec> = async (input, io) => {
  const loaded = await loadConfiguration(input.flags.config, io);
  const scope = Scope.makeUnsafe();
  const stopped = new Promise<void>((resolve) => {
    onSignal("SIGTERM", resolve);
    onSignal("SIGINT", resolve);
  });
  const started = await Effect.runPromiseExit(
    Scope.provide(
      startPostern({ settings: loaded.settings, writeLog: io.stderr }),
      scope,
    ),
  );
  if (Exit.isFailure(started)) {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    throw startFailure(started.cause, loaded);
  }
  const { log } = started.value;
  onStray((cause) =>
    log.event("error", "plugin failed", {
      plugin: "unknown",
      stage: "stray",
      cause: cause instanceof Error ? cause.stack ?? cause.message : String(cause),
    })
  );
  onSignal("SIGHUP", () => void reload(input.flags.config, io, loaded, started.value));
  for (const warning of loaded.warnings) log.event("warn", formatProblem(warning));
  io.stdout(readyLine(started.value.addresses));
  await stopped;
  log.event("info", "draining", { sessions: started.value.sessions });
  await Effect.runPromise(Scope.close(scope, Exit.void));
  return EXIT.done;
};

/** Takes over what the configuration says of plugins now, and the plugins' files. What else has changed, it only tells. */
async function reload(
  config: string | undefined,
  io: CliIo,
  { settings: before }: LoadedConfiguration,
  postern: RunningPostern,
): Promise<void> {
  const { log } = postern;
  const now = await readAgain(config, io, log);
  if (now === undefined) return;
  for (const warning of now.warnings) log.event("warn", formatProblem(warning));
  const others = restartNeeded(before, now.settings);
  if (others.length > 0) {
    log.event("warn", "these changes need a restart", { keys: others.join(",") });
  }
  // Why not has been logged.
  await Effect.runPromise(Effect.ignore(postern.reloadPlugins(now.settings)));
}

async function readAgain(
  config: string | undefined,
  io: CliIo,
  log: Log,
): Promise<LoadedConfiguration | undefined> {
  try {
    return await loadConfiguration(config, io, true);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    log.event("error", "reload refused, the configuration goes on as it was", {
      cause: why.replaceAll("\n", "; "),
    });
    return undefined;
  }
}
