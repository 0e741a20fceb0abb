/**
 * A Postern in the test's own process: a configuration as text in, real ports out.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import {
  type PosternOptions,
  type RunningPostern,
  startPostern as start,
} from "../../src/postern.ts";
import type { TransactionRecord } from "../../src/server/record.ts";
import { tempDir } from "../../src/runtime/files.ts";
import { parseSettings } from "../../src/settings/parse.ts";
import { formatProblem } from "../../src/settings/problem.ts";

/** A running Postern. */
export interface TestPostern {
  /** The real port of a listener. */
  port(name: string): number;
  /** The folder that relative paths of the configuration start from; removed by `stop`. */
  readonly dir: string;
  /** Log lines so far. */
  readonly log: () => string;
  /** Transactions that are over. */
  readonly records: readonly TransactionRecord[];
  readonly running: RunningPostern;
  /** Resolves when this many transactions are over. */
  recorded(count: number): Promise<void>;
  /** Resolves when a log line holds this text. */
  logged(text: string): Promise<void>;
  /** Drains and frees everything. */
  stop(): Promise<void>;
}

/** What a test may put in the place of the usual. */
export type TestOptions =
  & Partial<Pick<PosternOptions, "network" | "now" | "tick" | "authDelay" | "spill">>
  & {
    /** Called with the folder before the start, to put files there. */
    readonly prepare?: (dir: string) => Promise<void> | void;
  };

/** Starts Postern; `hostname`, `data_dir` and the log's level are set unless the text sets them. */
export async function startPostern(toml: string, options: TestOptions = {}): Promise<TestPostern> {
  const dir = await tempDir("postern-test-");
  await options.prepare?.(dir.path);
  const text = `${toml.includes("hostname =") ? "" : 'hostname = "mx.example.org"\n'}${
    toml.includes("data_dir") ? "" : 'data_dir = "data"\n'
  }${toml}`;
  const parsed = parseSettings(text, {
    file: "postern.toml",
    baseDir: dir.path,
    env: () => undefined,
    readFile: (path) => {
      throw new Error(`no secret file ${path} in this test`);
    },
  });
  if (!parsed.ok) {
    await dir.remove();
    throw new Error(parsed.problems.map(formatProblem).join("\n"));
  }
  let log = "";
  const records: TransactionRecord[] = [];
  const watchers = new Set<() => void>();
  const changed = (): void => {
    for (const watcher of [...watchers]) watcher();
  };
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
    });
  const scope = Scope.makeUnsafe();
  const started = await Effect.runPromiseExit(Scope.provide(
    start({
      settings: parsed.settings,
      writeLog: (lines) => {
        log += lines;
        changed();
      },
      recorded: (record) => {
        records.push(record);
        changed();
      },
      authDelay: options.authDelay ?? 0,
      ...(options.network === undefined ? {} : { network: options.network }),
      ...(options.spill === undefined ? {} : { spill: options.spill }),
      ...(options.now === undefined ? {} : { now: options.now }),
      ...(options.tick === undefined ? {} : { tick: options.tick }),
    }),
    scope,
  ));
  if (Exit.isFailure(started)) {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    await dir.remove();
    throw new Error(String(started.cause));
  }
  const running = started.value;
  return {
    dir: dir.path,
    records,
    running,
    log: () => log,
    port(name) {
      const address = running.addresses.get(name);
      if (address === undefined) throw new Error(`no listener ${name}`);
      return address.port;
    },
    recorded: (count) => until(() => records.length >= count),
    logged: (part) =>
      until(() => {
        running.log.flush();
        return log.includes(part);
      }),
    async stop() {
      await Effect.runPromise(Scope.close(scope, Exit.void));
      await dir.remove();
    },
  };
}
