/**
 * A {@linkcode Duplex} as promises, for tests: everything it tells is recorded, and a test waits for what it expects.
 * @module
 */
import assert from "node:assert/strict";
import type { Duplex, ListeningPort, Network, TransportError } from "../../src/transport/duplex.ts";

/** What one end was told, in order. */
export type Told =
  | { readonly event: "data"; readonly chunk: Uint8Array }
  | { readonly event: "end" | "drain" }
  | { readonly event: "close"; readonly error: TransportError | undefined };

export interface Probe {
  readonly duplex: Duplex;
  readonly told: readonly Told[];
  /** All data so far, as latin1 text. */
  text(): string;
  /** Octets so far. */
  received(): number;
  /** Resolves once `condition` holds; it is tried at once and after each event. */
  until(condition: (probe: Probe) => boolean): Promise<void>;
  /** Resolves once the text contains this. */
  hears(expected: string): Promise<void>;
  ended(): Promise<void>;
  closed(): Promise<TransportError | undefined>;
}

/** Takes the handlers of a connection over, and starts to read unless told otherwise. */
export function probe(duplex: Duplex, options: { readonly paused?: boolean } = {}): Probe {
  const told: Told[] = [];
  const waiting = new Set<() => void>();
  const decoder = new TextDecoder("latin1");
  let text = "";
  let octets = 0;
  const tell = (item: Told): void => {
    told.push(item);
    for (const look of [...waiting]) look();
  };
  duplex.handle({
    data(chunk) {
      octets += chunk.length;
      text += decoder.decode(chunk);
      tell({ event: "data", chunk });
    },
    end: () => tell({ event: "end" }),
    drain: () => tell({ event: "drain" }),
    close: (error) => tell({ event: "close", error }),
  });
  const self: Probe = {
    duplex,
    told,
    text: () => text,
    received: () => octets,
    until: (condition) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!condition(self)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    hears: (expected) => self.until(() => text.includes(expected)),
    ended: () => self.until(() => told.some((item) => item.event === "end")),
    async closed() {
      await self.until(() => told.some((item) => item.event === "close"));
      const item = told.find((item) => item.event === "close");
      return item?.event === "close" ? item.error : undefined;
    },
  };
  if (options.paused !== true) duplex.resume();
  return self;
}

/** How often each event was told, and which came last. */
export function summary(told: readonly Told[]): { closes: number; last: string | undefined } {
  return {
    closes: told.filter((item) => item.event === "close").length,
    last: told.at(-1)?.event,
  };
}

export async function listening(
  network: Network,
  accept: (connection: Duplex) => void,
  options: Parameters<Network["listen"]>[1] = {},
  host = "127.0.0.1",
): Promise<ListeningPort> {
  const port = await network.listen({ host, port: 0 }, options, accept);
  if ("error" in port) assert.fail(port.error.message);
  return port;
}

type ConnectOptions = Partial<Parameters<Network["connect"]>[1]>;

/** The connection or the error. */
export function tryConnect(
  network: Network,
  port: ListeningPort | { host: string; port: number } | { path: string },
  options: ConnectOptions = {},
): Promise<Duplex | { readonly error: TransportError }> {
  const where = "address" in port
    ? (port.address.port === 0
      ? { path: port.address.address }
      : { host: port.address.address, port: port.address.port })
    : port;
  return new Promise((done) => {
    network.connect(where, { timeout: 5_000, ...options }, done);
  });
}

export async function connected(
  network: Network,
  port: ListeningPort,
  options: ConnectOptions = {},
): Promise<Duplex> {
  const result = await tryConnect(network, port, options);
  if ("error" in result) assert.fail(result.error.message);
  return result;
}

/** A listener, and both ends of one connection to it. */
export async function connectedPair(
  network: Network,
): Promise<{ client: Duplex; server: Duplex; close(): Promise<void> }> {
  const { promise, resolve } = Promise.withResolvers<Duplex>();
  const port = await listening(network, resolve);
  const client = await connected(network, port);
  const server = await promise;
  return {
    client,
    server,
    async close() {
      client.destroy();
      server.destroy();
      await port.close();
    },
  };
}

/** An upgrade as a promise of its error. */
export function upgradedServer(
  duplex: Duplex,
  ...[context, before, already]: [
    Parameters<Duplex["upgradeServer"]>[0],
    Parameters<Duplex["upgradeServer"]>[1],
    Uint8Array?,
  ]
): Promise<TransportError | undefined> {
  return new Promise((done) => duplex.upgradeServer(context, before, done, already));
}

export function upgradedClient(
  duplex: Duplex,
  options: Parameters<Duplex["upgradeClient"]>[0],
): Promise<TransportError | undefined> {
  return new Promise((done) => duplex.upgradeClient(options, done));
}
