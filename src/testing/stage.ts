/**
 * The whole server in memory: the real engine, sessions and upstream connections on a network without sockets, with a
 * clock that stands still until it is told to go.
 *
 * Owns: the way from settings and plugin modules to a server that takes connections. Never: opens a socket, reads a file.
 * @module
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Scope from "effect/Scope";
import { compilePipeline } from "../pipeline/compile.ts";
import { loadPlugins } from "../pipeline/load.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { TransactionRecord } from "../server/record.ts";
import { startServer } from "../server/server.ts";
import type { ListenerSettings, Settings } from "../settings/settings.ts";
import { makeLog } from "../telemetry/log.ts";
import { Deadlines } from "../transport/deadlines.ts";
import { memoryNetwork } from "../transport/memory.ts";
import { MemorySpill } from "../transport/spill.ts";
import { Upstreams } from "../upstream/upstreams.ts";
import type { FakeClock, ManualClock } from "./clock.ts";
import type { TestServices } from "./edge.ts";
import { MemoryLines } from "./lines.ts";

/** Port of the fake upstream, on a network of its own. */
export const UPSTREAM_PORT = 2525;
/** Where clients come from: an address for documentation (RFC 5737). */
export const CLIENT = "192.0.2.1";
/** Milliseconds. */
export const PATIENCE = 5_000;

/** What the server is started with. */
export interface StageOptions {
  readonly settings: Settings;
  readonly services: TestServices;
  /** Modules by the names that `[[plugins]]` entries use. */
  readonly modules: ReadonlyMap<string, () => Promise<unknown>>;
  /** Who converses on {@linkcode UPSTREAM_PORT}. */
  readonly upstream: (io: MemoryLines) => void;
  /** Octets of a packet at most. */
  readonly split?: number;
  /** Where clients come from; default {@linkcode CLIENT}. */
  readonly clientAddress?: string;
  /** Milliseconds of real time that a wait may take; default {@linkcode PATIENCE}. */
  readonly patience?: number;
  /** The upstream's side of the conversation is kept here. */
  readonly transcript: MemoryLines["transcript"];
}

/** A server that takes connections. */
export interface RunningStage {
  readonly clock: FakeClock;
  /** Transactions that are over. */
  readonly records: readonly TransactionRecord[];
  /** Lines of the server's own log. */
  log(): string;
  connect(): Promise<MemoryLines>;
  /** TLS on the upstream's side. */
  secureUpstream(io: MemoryLines): Promise<void>;
  stop(): Promise<void>;
}

/** Milliseconds of real time that the upstream's greeting is waited for. */
const FIRST_LOOK = 500;
/** Milliseconds between two looks at the deadlines, on the fake clock, as in production. */
const TICK = 500;
/** Looks in one advance at most: a long one has coarser ones. */
const MOST_TICKS = 50;

/** Starts a server; rejects with every problem of its plugins. */
export async function startStage(options: StageOptions): Promise<RunningStage> {
  const { settings, services, patience = PATIENCE } = options;
  const { clock } = services;
  const now = () => clock.now();
  const network = memoryNetwork({
    ...(options.split === undefined ? {} : { split: options.split }),
    clientAddress: options.clientAddress ?? CLIENT,
  });
  await network.listen(
    { host: "127.0.0.1", port: UPSTREAM_PORT },
    {},
    (duplex) => options.upstream(new MemoryLines(duplex, options.transcript, patience)),
  );
  const deadlines = new Deadlines(now());
  const records: TransactionRecord[] = [];
  let lines = "";
  const log = makeLog({
    level: "debug",
    format: "human",
    now,
    write: (text) => lines += text,
    later: () => {},
  });
  const pipeline = await startPipeline(options);
  const upstreams = new Upstreams({
    settings,
    network,
    deadlines,
    now,
    trustAnchors: () => undefined,
  });
  // What the upstream offers decides what we offer: learned before the first client asks, unless a script says nothing.
  const look = Effect.runPromise(upstreams.check());
  await Promise.race([look, new Promise((resolve) => setTimeout(resolve, FIRST_LOOK))]);
  const context = network.tlsServer({
    identities: [],
    minVersion: "1.2",
    clientCertificate: "none",
    handshakeTimeout: patience,
  });
  const demands: readonly ListenerSettings["clientCertificate"][] = ["none", "request", "require"];
  const scope = Scope.makeUnsafe();
  const server = await Effect.runPromise(Scope.provide(
    startServer({
      settings,
      network,
      pipeline,
      upstreams,
      deadlines,
      spill: new MemorySpill(),
      log,
      now,
      idPrefix: "s",
      tls: new Map(demands.map((demand) => [demand, context])),
      authDelay: 0,
      fork: (effect) => Effect.runFork(Effect.provideService(effect, Clock.Clock, clock)),
      recorded: (record) => void records.push(record),
    }),
    scope,
  ));
  const [address] = server.addresses.values();
  const clients = new Set<MemoryLines>();
  return {
    clock: { now, advance: (ms) => advance(clock, deadlines, ms) },
    records,
    log: () => {
      log.flush();
      return lines;
    },
    connect: async () => {
      const client = await MemoryLines.connect(network, address?.port ?? 0, patience);
      clients.add(client);
      return client;
    },
    secureUpstream: (io) => io.upgradeServer(context),
    stop: async () => {
      // Who is gone need not be waited for.
      for (const client of clients) client.destroy();
      await Effect.runPromise(Scope.close(scope, Exit.void));
      await pipeline.close();
    },
  };
}

async function startPipeline({ settings, services, modules }: StageOptions): Promise<Pipeline> {
  const { plugins, problems } = await loadPlugins(settings.plugins, {
    builtins: modules,
    importModule: (use) => Promise.reject(new Error(`there is no ${use} in this test`)),
  });
  if (problems.length > 0) {
    throw new Error(
      problems.map(({ pluginPath, message }) => `${pluginPath}: ${message}`).join("\n"),
    );
  }
  return await Effect.runPromise(compilePipeline(plugins, services.services));
}

/** The clock goes on in steps, so that what falls due on the way is told about when it does. */
async function advance(clock: ManualClock, deadlines: Deadlines, ms: number): Promise<void> {
  const step = Math.max(TICK, Math.ceil(ms / MOST_TICKS));
  for (let left = ms; left > 0; left -= step) {
    await clock.advance(Math.min(step, left));
    deadlines.tick(clock.now());
  }
  await clock.advance(0);
}
