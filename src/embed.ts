/**
 * The proxy for programs that embed it: a configuration value in, a running proxy out.
 * @module
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { startPostern } from "./postern.ts";
import { env, workingDirectory, writeStderr } from "./runtime/process.ts";
import { readTextSync } from "./runtime/paths.ts";
import type { ConfigInput } from "./settings/input.ts";
import { decodeConfig } from "./settings/parse.ts";
import { formatProblem } from "./settings/problem.ts";
import type { Endpoint } from "./transport/duplex.ts";

/** What may differ from the usual. */
export interface RunOptions {
  /** Folder that relative paths start from; default: the working directory. */
  readonly baseDir?: string;
  /** Takes whole lines of the log; default: standard error. */
  readonly writeLog?: (text: string) => void;
}

/** A proxy that runs in this process. */
export interface RunningProxy {
  /** Real addresses, by the listeners' names. */
  readonly addresses: ReadonlyMap<string, Endpoint>;
  /** Sessions now. */
  readonly sessions: number;
  /** Drains, then frees everything; transactions in flight end within `timeouts.drain`. */
  stop(): Promise<void>;
}

/**
 * Starts the proxy. Rejects with an `Error` whose message has one line for each thing that is wrong in the configuration or
 * with the ports.
 */
export async function run(config: ConfigInput, options: RunOptions = {}): Promise<RunningProxy> {
  const parsed = decodeConfig(config, {
    file: "configuration",
    baseDir: options.baseDir ?? workingDirectory(),
    env,
    readFile: readTextSync,
  });
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join("\n"));
  const scope = Scope.makeUnsafe();
  const close = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void));
  const started = await Effect.runPromiseExit(Scope.provide(
    startPostern({ settings: parsed.settings, writeLog: options.writeLog ?? writeStderr }),
    scope,
  ));
  if (Exit.isFailure(started)) {
    await close();
    throw Cause.squash(started.cause);
  }
  const postern = started.value;
  return {
    addresses: postern.addresses,
    get sessions() {
      return postern.sessions;
    },
    stop: close,
  };
}
