/**
 * An edge for tests: fake clock, state in memory, captured log and metrics, files that are strings.
 * @module
 */
import { type DnsZones, type StaticDns, staticDns } from "../dns/static.ts";
import { memoryState } from "../state/memory.ts";
import type { PluginFailure } from "../pipeline/failure.ts";
import { makeEdge, Notes, type PipelineServices, type PluginEvent } from "../pipeline/make_edge.ts";
import { passwords } from "../pipeline/passwords.ts";
import { PluginConnection } from "../pipeline/connection.ts";
import { describe } from "../pipeline/text.ts";
import type { Connection } from "../plugin/connection.ts";
import type { Edge } from "../plugin/edge.ts";
import type { Duplex, Network } from "../transport/duplex.ts";
import { memoryNetwork } from "../transport/memory.ts";
import { type FakeClock, ManualClock } from "./clock.ts";

/** What a test may set up. */
export interface TestEdgeOptions {
  /** Where the clock starts, in milliseconds since the epoch. Default: 2026-01-01T00:00:00Z. */
  readonly now?: number;
  /** Files by path, for `edge.readText`. */
  readonly files?: { readonly [path: string]: string };
  /** The plugin's name in the log and the metrics. Default `test`. */
  readonly name?: string;
  /**
   * Services for `edge.connect`, played by the test, by `host:port` or by the path of a unix socket. Each is called for
   * each connection with the service's end of it, where `startTls` is the server's side. Elsewhere nobody listens.
   */
  readonly services?: {
    readonly [address: string]: (connection: Connection) => void | Promise<void>;
  };
  /** Answers of `edge.dns`: zones, or what `staticDns` made of them. Without it no name exists. */
  readonly dns?: DnsZones | StaticDns;
  /** How many octets come at once over such a connection; default: what was written in one tick. */
  readonly split?: number;
}

/** What a plugin did, for a test to look at. */
export interface Observed {
  /** The clock of the plugin, its state and its budgets. */
  readonly clock: FakeClock;
  /** What it logged. */
  readonly logs: readonly PluginEvent[];
  /** Counters by name. */
  readonly counts: ReadonlyMap<string, number>;
  /** Observed values by name. */
  readonly values: ReadonlyMap<string, readonly number[]>;
  /** Its own failures: what it threw, its nonsense, its hangs. */
  readonly failures: readonly PluginFailure[];
  /** Changes (or makes) a file, and tells those who watch it. */
  writeFile(path: string, text: string): void;
}

/** An edge and what was done with it. */
export interface TestEdge extends Observed {
  /** To be handed to a plugin's factory. */
  readonly edge: Edge;
}

/** Services for tests; the engine's and `testEdge`'s alike. */
export interface TestServices extends Observed {
  readonly clock: ManualClock;
  readonly services: PipelineServices;
}

/** 2026-01-01T00:00:00Z: a test must not depend on the day it runs. */
const START = 1_767_225_600_000;

/** Makes the services. `readMore`: asked for files that the options do not have. */
export function testServices(
  options: TestEdgeOptions,
  readMore: (path: string) => Promise<string> = noFile,
): TestServices {
  const clock = new ManualClock(options.now ?? START);
  const logs: PluginEvent[] = [];
  const failures: PluginFailure[] = [];
  const counts = new Map<string, number>();
  const values = new Map<string, number[]>();
  const files = new Map(Object.entries(options.files ?? {}));
  const watchers = new Map<string, Set<() => void>>();
  return {
    clock,
    logs,
    counts,
    values,
    failures,
    writeFile: (path, text) => {
      files.set(path, text);
      for (const changed of [...watchers.get(path) ?? []]) changed();
    },
    services: {
      clock,
      state: memoryState({ clock }),
      log: (event) => void logs.push(event),
      report: (failure) => void failures.push(failure),
      metrics: {
        count: (_, name, by) => void counts.set(name, (counts.get(name) ?? 0) + by),
        observe: (_, name, value) => {
          const known = values.get(name);
          if (known === undefined) values.set(name, [value]);
          else known.push(value);
        },
      },
      readText: async (path) => files.get(path) ?? await readMore(path),
      watchFile: (path, changed) => {
        const of = watchers.get(path) ?? new Set();
        watchers.set(path, of.add(changed));
        return () => void of.delete(changed);
      },
      passwords,
      dns: dnsOf(options.dns),
      network: playedNetwork(options),
    },
  };
}

/** What was made, or is made, of the option; `more` zones come before its own. */
export function dnsOf(dns: TestEdgeOptions["dns"] = {}, more: DnsZones = {}): StaticDns {
  const made = isStaticDns(dns) ? dns : staticDns(dns);
  made.set(more);
  return made;
}

function isStaticDns(dns: DnsZones | StaticDns): dns is StaticDns {
  return typeof dns["resolve"] === "function";
}

/** A network in memory on which the test's services listen. */
function playedNetwork({ services = {}, split }: TestEdgeOptions): Network {
  const network = memoryNetwork(split === undefined ? {} : { split });
  const tls = network.tlsServer({
    identities: [],
    minVersion: "1.2",
    clientCertificate: "none",
    handshakeTimeout: Infinity,
  });
  const play =
    (address: string, serve: NonNullable<TestEdgeOptions["services"]>[string]) =>
    async (duplex: Duplex): Promise<void> => {
      const connection = new PluginConnection(
        address,
        duplex,
        (_, done) => duplex.upgradeServer(tls, "", done),
        undefined,
      );
      try {
        await serve(connection);
      } catch {
        // A service that breaks, or whose client went away, is one that hangs up.
        connection.destroy();
      }
    };
  for (const [address, serve] of Object.entries(services)) {
    const port = /:([0-9]+)$/.exec(address)?.[1];
    const where = port === undefined
      ? { path: address }
      : { host: address.slice(0, -port.length - 1), port: Number(port) };
    void network.listen(where, {}, (duplex) => void play(address, serve)(duplex));
  }
  return network;
}

function noFile(path: string): Promise<never> {
  return Promise.reject(new Error(`Cannot read file: ${path} does not exist`));
}

/**
 * An edge to call a plugin's own functions with, without the engine. For verdicts, failure policies and budgets as in
 * production use {@linkcode runPlugin}.
 */
export function testEdge(options: TestEdgeOptions = {}): TestEdge {
  const { services, ...observed } = testServices(options);
  const name = options.name ?? "test";
  const edge = makeEdge(services, {
    name,
    statePrefix: `${name}:`,
    shadow: false,
    disposers: new Set(),
    broke: (cause, asynchronous) =>
      services.report({
        plugin: name,
        stage: "watch",
        kind: asynchronous ? "rejected" : "threw",
        message: describe(cause),
        session: undefined,
        transaction: undefined,
        shadow: false,
      }),
  }, new Notes());
  return { ...observed, edge };
}
