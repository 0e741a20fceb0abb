/**
 * The demo's proxy: started on the demo's folder, its records told one by one.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { type RunningPostern, startPostern } from "../../postern.ts";
import { systemNetwork } from "../../runtime/system_net.ts";
import type { TransactionRecord } from "../../server/record.ts";
import type { Settings } from "../../settings/settings.ts";
import type { DemoFolder, Ports } from "./folder.ts";
import { ANY_PORTS, choosePorts } from "./ports.ts";
import { CliError } from "../errors.ts";
import type { CliIo } from "../io.ts";
import { loadConfiguration } from "../load_configuration.ts";
import { startFailure } from "../start_failure.ts";

/** Who is told of what happens. */
export interface DemoHooks {
  readonly recorded: (record: TransactionRecord) => void;
  readonly logged: (lines: string) => void;
}

/** A running demo. */
export interface DemoServer {
  readonly settings: Settings;
  readonly running: RunningPostern;
  /** Drains. */
  stop(): Promise<void>;
}

/** Starts it on the friendly ports, or on any where they are taken. */
export async function startDemo(
  folder: DemoFolder,
  io: CliIo,
  hooks: DemoHooks,
): Promise<DemoServer> {
  const ports = await choosePorts(systemNetwork());
  try {
    return await startOn(ports, folder, io, hooks);
  } catch (error) {
    // Somebody else was faster between the look and the start.
    if (!(error instanceof CliError)) throw error;
    return await startOn(ANY_PORTS, folder, io, hooks);
  }
}

async function startOn(
  ports: Ports,
  folder: DemoFolder,
  io: CliIo,
  hooks: DemoHooks,
): Promise<DemoServer> {
  await folder.configure(ports);
  const loaded = await loadConfiguration(folder.config, io);
  const scope = Scope.makeUnsafe();
  const stop = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void));
  const started = await Effect.runPromiseExit(Scope.provide(
    startPostern({
      settings: loaded.settings,
      recorded: hooks.recorded,
      writeLog: (lines) => {
        folder.writeLog(lines);
        hooks.logged(lines);
      },
    }),
    scope,
  ));
  if (Exit.isFailure(started)) {
    await stop();
    throw startFailure(started.cause, loaded);
  }
  return { settings: loaded.settings, running: started.value, stop };
}
