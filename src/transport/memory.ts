/**
 * A {@linkcode Network} in memory, for tests: connected pairs, listeners by port or path, no sockets, no timers.
 *
 * What is written in one tick arrives in a later microtask, cut into chunks of `split` octets, so that a test meets every
 * packet boundary. Order, half-close, back-pressure, reset and `close` told once and last are as on a real socket. TLS is
 * only played: when both ends have upgraded, `tls` is set; plain octets that reach an end in its handshake destroy it, as
 * a broken record would. Never: enforces a deadline (`timeout`, `handshakeTimeout`), checks a certificate.
 * @module
 */
import type {
  Duplex,
  Endpoint,
  ListenAddress,
  Network,
  TlsFacts,
  TlsServerContext,
  TransportError,
} from "./duplex.ts";
import { type MemoryConfig, MemoryDuplex } from "./memory_duplex.ts";

/** How a memory network behaves. */
export interface MemoryNetworkOptions {
  /** Octets a chunk; `all` (the default) delivers what was written in one tick as one. */
  readonly split?: number | "all";
  /** `write` returns false from this many pending octets on; 64 KiB by default. */
  readonly highWaterMark?: number;
  /** Where connections come from that name no `localAddress`; `127.0.0.1` by default. */
  readonly clientAddress?: string;
  /** Replaces what a connection under TLS tells of it. */
  readonly tlsFacts?: Partial<TlsFacts>;
}

/** A network in memory, and connected pairs without a listener. */
export interface MemoryNetwork extends Network {
  /** Both ends of a new connection; the first is the one that would have connected. */
  pair(): readonly [client: Duplex, server: Duplex];
}

interface Listener {
  readonly address: Endpoint;
  readonly tls: TlsServerContext | undefined;
  readonly accept: (connection: Duplex) => void;
}

const FIRST_PORT = 40_000;
const CONTEXT: TlsServerContext = { kind: "tls-server-context" };

/** A new network, unconnected to any other. */
export function memoryNetwork(options: MemoryNetworkOptions = {}): MemoryNetwork {
  const config: MemoryConfig = {
    split: options.split ?? "all",
    highWaterMark: options.highWaterMark ?? 65_536,
    clientAddress: options.clientAddress ?? "127.0.0.1",
    tlsFacts: options.tlsFacts ?? {},
  };
  if (config.split !== "all" && !(Number.isInteger(config.split) && config.split > 0)) {
    throw new RangeError("Cannot make a memory network: split must be a positive integer or all");
  }
  /** By port or path: hosts make no difference. */
  const listeners = new Map<number | string, Listener>();
  let lastPort = FIRST_PORT;

  const connectedPair = (client: Endpoint, server: Endpoint): [MemoryDuplex, MemoryDuplex] => {
    const a = new MemoryDuplex(config, client, server);
    const b = new MemoryDuplex(config, server, client);
    MemoryDuplex.join(a, b);
    return [a, b];
  };
  const clientEndpoint = (address: string): Endpoint => ({ address, port: ++lastPort });

  return {
    pair: () =>
      connectedPair(clientEndpoint(config.clientAddress), { address: "127.0.0.1", port: 25 }),
    tlsServer: () => CONTEXT,
    listen: (where, { tls }, accept) => {
      const key = "path" in where ? where.path : where.port === 0 ? ++lastPort : where.port;
      if (listeners.has(key)) {
        const message = `Cannot listen on ${text(where)}: address already in use`;
        return Promise.resolve({ error: { kind: "busy", message } });
      }
      const address = typeof key === "string"
        ? { address: key, port: 0 }
        : { address: "path" in where ? where.path : where.host, port: key };
      listeners.set(key, { address, tls, accept });
      return Promise.resolve({
        address,
        close: () => {
          listeners.delete(key);
          return Promise.resolve();
        },
      });
    },
    connect: (where, { tls, localAddress }, done) => {
      let told = false;
      let opened: MemoryDuplex | undefined;
      const fail = (kind: TransportError["kind"], why: string): void => {
        const message = `Cannot connect to ${text(where)}: ${why}`;
        if (!told) done({ error: { kind, message } });
        told = true;
      };
      queueMicrotask(() => {
        if (told) return;
        const listener = listeners.get("path" in where ? where.path : where.port);
        if (listener === undefined) return fail("refused", "connection refused");
        if (tls !== undefined && listener.tls === undefined) {
          return fail("tls", "the server does not speak TLS");
        }
        const from = "path" in where
          ? { address: where.path, port: 0 }
          : clientEndpoint(localAddress ?? config.clientAddress);
        const to = "path" in where ? from : { address: where.host, port: listener.address.port };
        const [client, server] = connectedPair(from, to);
        opened = client;
        if (listener.tls === undefined) listener.accept(server);
        else {
          server.upgradeServer(listener.tls, "", (error) => {
            if (error === undefined) listener.accept(server);
          });
        }
        const settle = (error: TransportError | undefined): void => {
          if (told) return;
          if (error !== undefined) return fail(error.kind, error.message);
          told = true;
          done(client);
        };
        if (tls === undefined) settle(undefined);
        else client.upgradeClient(tls, settle);
      });
      return {
        cancel: () => {
          if (told) return;
          told = true;
          opened?.destroy();
        },
      };
    },
  };
}

function text(where: ListenAddress): string {
  return "path" in where ? where.path : `${where.host}:${where.port}`;
}
