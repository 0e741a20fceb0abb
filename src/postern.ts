/**
 * The assembly: settings to a running proxy. The one place where all rooms meet; the command line, the demo, the tests and
 * `mod.ts` start Postern here. The scope's end drains it.
 * @module
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { startPlugins } from "./assembly/plugins.ts";
import { makeDns } from "./assembly/dns.ts";
import { keepHistory } from "./assembly/history.ts";
import { makeReloader, type Reloader } from "./assembly/reload.ts";
import { makeState } from "./assembly/state.ts";
import { configurationFailed, reasonOf, StartFailed } from "./assembly/start_failed.ts";
import { serverTls } from "./assembly/tls.ts";
import { makeUpstreams } from "./assembly/upstreams.ts";
import type { PipelineServices } from "./pipeline/make_edge.ts";
import type { Pipeline } from "./pipeline/pipeline.ts";
import { resolvePath } from "./runtime/paths.ts";
import { dropPrivileges } from "./runtime/process.ts";
import { SpillFiles } from "./runtime/spill_files.ts";
import { systemNetwork } from "./runtime/system_net.ts";
import { every, later } from "./runtime/timers.ts";
import { refusalEntry, transactionEntry } from "./server/history_entry.ts";
import type { TransactionRecord } from "./server/record.ts";
import { ListenFailed, type RunningServer, startServer } from "./server/server.ts";
import { describeAddress } from "./settings/describe.ts";
import type { Settings } from "./settings/settings.ts";
import type { HistoryReader } from "./telemetry/history.ts";
import { type Log, makeLog } from "./telemetry/log.ts";
import { Deadlines } from "./transport/deadlines.ts";
import type { Network } from "./transport/duplex.ts";
import type { SpillStore } from "./transport/spill.ts";
import type { Upstreams } from "./upstream/upstreams.ts";

export { StartFailed, type StartProblem } from "./assembly/start_failed.ts";

/** What may be put in the place of the usual. */
export interface PosternOptions {
  readonly settings: Settings;
  /** Takes whole lines of the log. */
  readonly writeLog: (text: string) => void;
  readonly network?: Network;
  /** Answers for the plugins; default: the resolver of the settings. */
  readonly dns?: PipelineServices["dns"];
  /** Where held bodies go that are too large for memory; default: `held` in the data folder. */
  readonly spill?: SpillStore;
  readonly now?: () => number;
  /** Milliseconds between two looks at the deadlines; default 500. */
  readonly tick?: number;
  /** Milliseconds, times the failures so far, that the reply to a failed login waits; default 1,000. */
  readonly authDelay?: number;
  /** Milliseconds that a plugin's worker has to answer a ping; default 1,000. */
  readonly workerPatience?: number;
  readonly recorded?: (record: TransactionRecord) => void;
}

/** A running proxy. */
export interface RunningPostern extends Omit<RunningServer, "use">, Reloader {
  readonly log: Log;
  readonly history: HistoryReader;
  /** The plugins of new sessions. */
  readonly pipeline: Pipeline;
  readonly upstreams: Upstreams;
}

/** How long the start waits for the upstreams' first word, in milliseconds: what they offer decides what we offer. */
const firstLook = 2_000;

/** Starts everything; listening when it succeeds. */
export function startPostern(
  options: PosternOptions,
): Effect.Effect<RunningPostern, StartFailed, Scope.Scope> {
  return Effect.gen(function* () {
    const { settings } = options;
    const now = options.now ?? Date.now;
    const network = options.network ?? systemNetwork();
    const log = makeLog({
      level: settings.log.level,
      format: settings.log.format,
      now,
      write: options.writeLog,
      later: (run) => later(50, run),
    });
    yield* Effect.addFinalizer(() => Effect.sync(() => log.flush()));
    const deadlines = new Deadlines(now());
    const stopTicking = every(options.tick ?? 500, () => deadlines.tick(now()));
    yield* Effect.addFinalizer(() => Effect.sync(stopTicking));

    const history = keepHistory(settings, log, now);
    yield* Effect.addFinalizer(() => Effect.promise(() => history.close()));

    const tls = yield* serverTls(settings, network);
    const { state, open: openState } = yield* makeState(settings, now);
    if (settings.user === undefined) yield* openState;
    const plugins = yield* startPlugins(settings, {
      log,
      now,
      network,
      dns: options.dns ?? (yield* makeDns(settings.dns, now)),
      state,
      ...(options.workerPatience === undefined ? {} : { workerPatience: options.workerPatience }),
    });
    const upstreams = yield* makeUpstreams(settings, { network, deadlines, now });
    // The first look makes the mailbox folder, which must belong to the user that fills it: after the change of users.
    const look = firstContact(upstreams, log);
    if (settings.user === undefined) yield* look;
    const spillFiles = new SpillFiles(resolvePath(settings.dataDir, "held"));
    const server = yield* Effect.mapError(
      startServer({
        settings,
        network,
        pipeline: plugins.pipeline,
        upstreams,
        deadlines,
        spill: options.spill ?? spillFiles,
        log,
        now,
        idPrefix: `${Math.trunc(now() / 1000).toString(36)}-`,
        tls,
        authDelay: options.authDelay ?? 1_000,
        recorded: (record) => {
          const notable = record.decisions.trace.notable || record.transaction.trace.notable;
          if (history.takes(record.fate, notable)) history.append(transactionEntry(record, now()));
          options.recorded?.(record);
        },
        refused: (record) => {
          if (history.takes("refused", true)) history.append(refusalEntry(record, now()));
        },
      }),
      listenProblem,
    );
    const { user, group } = settings;
    if (user !== undefined) {
      yield* Effect.try({
        try: () => dropPrivileges({ user, ...(group === undefined ? {} : { group }) }),
        catch: (cause) => configurationFailed(reasonOf(cause), "user"),
      });
      yield* openState;
      yield* look;
    }
    yield* Effect.promise(() => spillFiles.sweep());
    history.open();
    const reloader = yield* makeReloader({ settings, plugins, server, log });
    return {
      ...reloader,
      log,
      history,
      get pipeline() {
        return plugins.pipeline;
      },
      upstreams,
      addresses: server.addresses,
      get sessions() {
        return server.sessions;
      },
      drain: server.drain,
    };
  });
}

/** Learns what the upstreams offer before the first client asks; who does not answer in time is learned later. */
function firstContact(upstreams: Upstreams, log: Log): Effect.Effect<void, never, Scope.Scope> {
  return Effect.gen(function* () {
    const look = upstreams.check().pipe(
      Effect.map((checks) => {
        for (const { upstream, server, problem } of checks) {
          if (problem !== undefined) {
            log.event("warn", "upstream is not available", { upstream, server, cause: problem });
          }
        }
      }),
    );
    const fiber = yield* Effect.forkScoped(look);
    yield* Effect.raceFirst(
      Effect.callback<void>((resume) => {
        fiber.addObserver(() => resume(Effect.void));
      }),
      Effect.sleep(firstLook),
    );
  });
}

function listenProblem(failed: ListenFailed): StartFailed {
  const { listener, error } = failed;
  const address = describeAddress(listener.listen);
  const why = error.kind === "busy"
    ? "the port is in use; stop the other program or choose another port"
    : error.kind === "denied"
    ? `permission denied${
      "path" in listener.listen ? "" : "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    }`
    : error.message;
  return new StartFailed({
    because: "environment",
    problems: [{ message: `Cannot listen on ${address} (listener "${listener.name}"): ${why}` }],
  });
}
