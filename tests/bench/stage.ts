/**
 * Who takes part in a bench: the driver and the sink, and between them a relay under test (Postern, or the reference).
 *
 * The two ends run on the runtime of the bench itself, so that they are the same for every relay.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { testIdentity } from "../support/certificates.ts";
import {
  ownRuntime,
  type PosternRuntime,
  servePostern,
  tempHome,
} from "../support/postern_process.ts";
import type { Cell } from "./cells.ts";
import { Child } from "./child.ts";
import type { DriverAnswer, IdleRequest, LoadRequest } from "./driver.ts";
import type { ReferencePorts } from "./reference.ts";
import type { SinkCount } from "./sink.ts";
import { cpuSeconds, processTree } from "./usage.ts";

/** A relay under test. */
export interface Relay extends AsyncDisposable {
  /** Port without TLS. */
  readonly plain: number;
  /** Port with STARTTLS. */
  readonly secure: number;
  readonly pids: readonly number[];
  /** Milliseconds from its start until it listened. */
  readonly startMs: number;
}

/** Where a load ends: after this time, or this many messages. */
export type Bounds = Pick<LoadRequest, "seconds" | "most">;

/** What one run of a load gave. */
export interface Measured extends DriverAnswer {
  /** Messages acknowledged to the client that the sink does not have, or not whole. */
  readonly lost: number;
  readonly upstreamConnections: number;
  /** CPU seconds of the relay per 1,000 messages; undefined where the system does not tell. */
  readonly cpu: number | undefined;
}

/** What a Postern has beyond the usual. */
export interface Further {
  readonly tables?: string;
  readonly files?: Readonly<Record<string, string>>;
}

/** The two ends, and how to put a relay between them. */
export interface Stage extends AsyncDisposable {
  /** `more`: further tables of the configuration, and files beside it. */
  postern(at: PosternRuntime, more?: Further): Promise<Relay>;
  reference(at: PosternRuntime): Promise<Relay>;
  load(relay: Relay, cell: Cell, bounds: Bounds): Promise<Measured>;
  /** Has so many connections open; 0 closes them. */
  idle(relay: Relay, secure: boolean, count: number): Promise<DriverAnswer>;
}

/** Starts the two ends. */
export async function startStage(): Promise<Stage> {
  const identity = await testIdentity(["localhost"]);
  const home = await tempHome({ "cert.pem": identity.cert, "key.pem": identity.key });
  const [driver, sink] = await Promise.all([
    Child.start<unknown, LoadRequest | IdleRequest, DriverAnswer>(ownRuntime, "driver.ts"),
    Child.start<{ readonly port: number }, object, SinkCount>(ownRuntime, "sink.ts"),
  ]);
  const portOf = (relay: Relay, secure: boolean) => secure ? relay.secure : relay.plain;
  return {
    async postern(at, { tables = "", files = {} } = {}) {
      const folder = fs.mkdtempSync(path.join(home.path, "postern-"));
      for (const [name, text] of Object.entries(files)) {
        fs.writeFileSync(path.join(folder, name), text);
      }
      const since = performance.now();
      const postern = await servePostern(folder, configuration(sink.hello.port) + tables, at);
      return {
        plain: postern.port("plain"),
        secure: postern.port("secure"),
        pids: processTree(postern.pid),
        startMs: performance.now() - since,
        [Symbol.asyncDispose]: async () => void await postern.stop(),
      };
    },
    async reference(at) {
      const since = performance.now();
      const options = { upstream: sink.hello.port, ...identity };
      const relay = await Child.start<ReferencePorts, object, object>(at, "reference.ts", options);
      return {
        ...relay.hello,
        pids: processTree(relay.pid),
        startMs: performance.now() - since,
        [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
      };
    },
    async load(relay, cell, bounds) {
      const { secure, size, atOnce, perConnection } = cell;
      const port = portOf(relay, secure);
      const before = await sink.ask({});
      const cpuBefore = cpuSeconds(relay.pids);
      const answer = await driver.ask({
        kind: "load",
        port,
        secure,
        size,
        atOnce,
        perConnection,
        ...bounds,
      });
      const cpuAfter = cpuSeconds(relay.pids);
      const after = await sink.ask({});
      const arrived = Math.min(
        after.messages - before.messages,
        Math.floor((after.octets - before.octets) / size),
      );
      return {
        ...answer,
        lost: Math.max(0, answer.done - arrived),
        upstreamConnections: after.connections - before.connections,
        cpu: cpuBefore === undefined || cpuAfter === undefined || answer.done === 0
          ? undefined
          : (cpuAfter - cpuBefore) / answer.done * 1000,
      };
    },
    idle: (relay, secure, count) =>
      driver.ask({ kind: "idle", port: portOf(relay, secure), secure, count }),
    async [Symbol.asyncDispose]() {
      await driver[Symbol.asyncDispose]();
      await sink[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

/** No policies but the `Received` field, as in the comparison with other proxies. */
function configuration(sinkPort: number): string {
  return `
hostname = "bench.test"
data_dir = "data"
[[listeners]]
name = "plain"
listen = "127.0.0.1:0"
tls = "none"
[[listeners]]
name = "secure"
listen = "127.0.0.1:0"
tls = "starttls"
[tls]
certificates = [{ cert = "../cert.pem", key = "../key.pem" }]
[limits]
connections = 20000
connections_per_address = 20000
[upstreams.sink]
servers = ["127.0.0.1:${sinkPort}"]
tls = "none"
connections = 200
[[routes]]
upstream = "sink"
[log]
level = "error"
`;
}
