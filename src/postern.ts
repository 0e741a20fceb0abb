/**
 * The assembly: settings to a running proxy. The one place where all rooms meet; the command line, the demo, the tests and
 * `mod.ts` start Postern here. The scope's end drains it.
 * @module
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { bundled } from "../plugins/mod.ts";
import { compilePipeline, type LoadedPlugin } from "./pipeline/compile.ts";
import { loadPlugins } from "./pipeline/load.ts";
import { passwords } from "./pipeline/passwords.ts";
import type { Pipeline } from "./pipeline/pipeline.ts";
import { readText, watchFile } from "./runtime/files.ts";
import { loadIdentity, selfSigned } from "./runtime/identity.ts";
import { importModule } from "./runtime/modules.ts";
import { nodeNetwork } from "./runtime/node_net.ts";
import { readTextSync, resolvePath } from "./runtime/paths.ts";
import { every, later } from "./runtime/timers.ts";
import type { TransactionRecord } from "./server/record.ts";
import { ListenFailed, type RunningServer, startServer } from "./server/server.ts";
import { describeAddress } from "./settings/describe.ts";
import type { PluginSettings, Settings } from "./settings/settings.ts";
import { memoryState } from "./state/memory.ts";
import { type Log, makeLog } from "./telemetry/log.ts";
import { Deadlines } from "./transport/deadlines.ts";
import type { Network, TlsServerContext } from "./transport/duplex.ts";
import { Upstreams } from "./upstream/upstreams.ts";

/** Postern could not start; every line of `problems` stands for itself. */
export class StartFailed extends Data.TaggedError("StartFailed")<{
  /** `configuration`: the operator has to change something; `environment`: a port, a disk. */
  readonly because: "configuration" | "environment";
  readonly problems: readonly StartProblem[];
}> {
  override get message(): string {
    return this.problems.map((p) => p.path === undefined ? p.message : `${p.path}: ${p.message}`)
      .join("\n");
  }
}

/** One reason. */
export interface StartProblem {
  /** Dotted path in the configuration. */
  readonly path?: string;
  readonly message: string;
}

/** What may be put in the place of the usual. */
export interface PosternOptions {
  readonly settings: Settings;
  /** Takes whole lines of the log. */
  readonly writeLog: (text: string) => void;
  readonly network?: Network;
  readonly now?: () => number;
  /** Milliseconds between two looks at the deadlines; default 500. */
  readonly tick?: number;
  /** Milliseconds, times the failures so far, that the reply to a failed login waits; default 1,000. */
  readonly authDelay?: number;
  readonly recorded?: (record: TransactionRecord) => void;
}

/** A running proxy. */
export interface RunningPostern extends RunningServer {
  readonly log: Log;
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
    const network = options.network ?? nodeNetwork();
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

    const tls = yield* serverTls(settings, network);
    const pipeline = yield* plugins(settings, log, now);
    const upstreams = yield* Effect.try({
      try: () =>
        new Upstreams({
          settings,
          network,
          deadlines,
          now,
          trustAnchors: (upstream) =>
            upstream.ca === undefined ? undefined : readTextSync(upstream.ca),
        }),
      catch: (cause) => configuration(`Cannot read trust anchors: ${reason(cause)}`, "upstreams"),
    });
    yield* firstContact(upstreams, log);
    const server = yield* Effect.mapError(
      startServer({
        settings,
        network,
        pipeline,
        upstreams,
        deadlines,
        log,
        now,
        idPrefix: `${Math.trunc(now() / 1000).toString(36)}-`,
        tls,
        authDelay: options.authDelay ?? 1_000,
        ...(options.recorded === undefined ? {} : { recorded: options.recorded }),
      }),
      listenProblem,
    );
    return {
      log,
      pipeline,
      upstreams,
      addresses: server.addresses,
      get sessions() {
        return server.sessions;
      },
      drain: server.drain,
    };
  });
}

function configuration(message: string, path?: string): StartFailed {
  return new StartFailed({
    because: "configuration",
    problems: [path === undefined ? { message } : { path, message }],
  });
}

function serverTls(
  settings: Settings,
  network: Network,
): Effect.Effect<TlsServerContext | undefined, StartFailed> {
  const users = settings.listeners.filter((listener) => listener.tls !== "none");
  if (users.length === 0) return Effect.succeed(undefined);
  return Effect.tryPromise({
    try: async () => {
      const { certificates, minVersion, clientCa } = settings.tls;
      const identities = certificates.length === 0
        ? [await selfSigned(settings.dataDir, settings.hostname)]
        : await Promise.all(certificates.map(loadIdentity));
      const asked = new Set(users.map((listener) => listener.clientCertificate));
      return network.tlsServer({
        identities,
        minVersion,
        clientCertificate: asked.has("require")
          ? "require"
          : asked.has("request")
          ? "request"
          : "none",
        ...(clientCa === undefined ? {} : { ca: await readText(clientCa) }),
        handshakeTimeout: settings.timeouts.tlsHandshake,
      });
    },
    catch: (cause) => configuration(reason(cause), "tls"),
  });
}

function plugins(
  settings: Settings,
  log: Log,
  now: () => number,
): Effect.Effect<Pipeline, StartFailed, Scope.Scope> {
  return Effect.gen(function* () {
    const wanted = settings.received && !settings.plugins.some((p) => p.use === "received")
      ? [receivedPlugin, ...settings.plugins]
      : settings.plugins;
    const { plugins: loaded, problems } = yield* Effect.promise(() =>
      loadPlugins(wanted, {
        builtins: bundled,
        importModule: (use) => importModule(use, settings.baseDir),
      })
    );
    if (problems.length > 0) return yield* pluginProblems(problems);
    const held = loaded.find((one: LoadedPlugin) => one.exports.manifest?.holdBody === true);
    if (held !== undefined) {
      return yield* configuration(
        "The plugin needs held bodies (`holdBody`), which this version does not have",
        held.settings.path,
      );
    }
    const pipeline = yield* Effect.mapError(
      compilePipeline(loaded, {
        clock: { now },
        state: memoryState({ clock: { now } }),
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
      }),
      (failed) => pluginProblems(failed.problems),
    );
    yield* Effect.addFinalizer(() => Effect.promise(() => pipeline.close()));
    return pipeline;
  });
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
    ? "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    : error.message;
  return new StartFailed({
    because: "environment",
    problems: [{ message: `Cannot listen on ${address} (listener "${listener.name}"): ${why}` }],
  });
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
