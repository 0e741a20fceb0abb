/**
 * `postern serve`: runs the proxy until it is told to stop.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { startPostern } from "../postern.ts";
import { onSignal, onStray } from "../runtime/process.ts";
import { formatProblem } from "../settings/problem.ts";
import { EXIT } from "./errors.ts";
import type { Run } from "./io.ts";
import { loadConfiguration } from "./load_configuration.ts";
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
    log.event("error", "stray failure outside any session", {
      cause: cause instanceof Error ? cause.stack ?? cause.message : String(cause),
    })
  );
  onSignal(
    "SIGHUP",
    () =>
      log.event("warn", "SIGHUP: this version does not reload; restart to read the configuration"),
  );
  for (const warning of loaded.warnings) log.event("warn", formatProblem(warning));
  io.stdout(readyLine(started.value.addresses));
  await stopped;
  log.event("info", "draining", { sessions: started.value.sessions });
  await Effect.runPromise(Scope.close(scope, Exit.void));
  return EXIT.done;
};
