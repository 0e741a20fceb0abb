/**
 * The network on Bun: plain TCP over its own sockets, everything else (TLS, connections that may become TLS, unix sockets)
 * over `node:net`. Same rules, same answers; the tests run on both. Failures are values.
 * @module
 */
import type {
  Duplex,
  Endpoint,
  ListenAddress,
  Network,
  TransportError,
} from "../transport/duplex.ts";
import { BunDuplex } from "./bun_duplex.ts";
import type { BunSocket, BunSocketHandlers, BunSockets } from "./bun_sockets.ts";
import { transportError, unmapAddress } from "./node_errors.ts";
import { BACKLOG, formatAddress } from "./node_net.ts";

/** `others` makes what Bun's own sockets do not. */
export function bunNetwork(bun: BunSockets, others: Network): Network {
  return {
    listen: (address, options, accept) =>
      "path" in address || options.tls !== undefined || options.upgradable !== false
        ? others.listen(address, options, accept)
        : listen(bun, address, options, accept),
    connect: (address, options, done) =>
      "path" in address || options.tls !== undefined || options.upgradable !== false ||
        options.localAddress !== undefined
        ? others.connect(address, options, done)
        : connect(bun, address, options.timeout, done),
    tlsServer: (options) => others.tlsServer(options),
  };
}

type TcpAddress = Exclude<ListenAddress, { readonly path: string }>;

function listen(
  bun: BunSockets,
  address: TcpAddress,
  options: Parameters<Network["listen"]>[1],
  accept: (connection: Duplex) => void,
): ReturnType<Network["listen"]> {
  try {
    const listener = bun.listen({
      hostname: address.host,
      port: address.port,
      allowHalfOpen: true,
      backlog: options.backlog ?? BACKLOG,
      ...(options.reusePort === true ? { reusePort: true } : {}),
      socket: handlers((socket) => {
        // Reset between the handshake of TCP and accept: there is nobody to serve.
        if (socket.remoteAddress === undefined) {
          socket.terminate();
          return;
        }
        const connection = taken(socket);
        accept(connection);
        connection.begun();
      }),
    });
    const bound: Endpoint = { address: unmapAddress(listener.hostname), port: listener.port };
    return Promise.resolve({
      address: bound,
      close() {
        listener.stop();
        return new Promise((closed) => setImmediate(closed));
      },
    });
  } catch (error) {
    const failed = transportError(error, `Cannot listen on ${formatAddress(address)}`);
    return Promise.resolve({ error: failed });
  }
}

function connect(
  bun: BunSockets,
  address: TcpAddress,
  timeout: number,
  done: Parameters<Network["connect"]>[2],
): { cancel(): void } {
  const action = `Cannot connect to ${formatAddress(address)}`;
  let settled = false;
  let cancelled = false;
  const settle = (result: BunDuplex | { readonly error: TransportError }): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    // An address may be connected, or refused, in this very call.
    queueMicrotask(() => {
      if (cancelled) {
        if (result instanceof BunDuplex) result.destroy();
        return;
      }
      done(result);
      if (result instanceof BunDuplex) result.begun();
    });
  };
  const fail = (error: unknown): void => settle({ error: transportError(error, action) });
  const timer = setTimeout(
    () => settle({ error: { kind: "timeout", message: `${action}: timed out` } }),
    timeout,
  );
  const connecting = async (): Promise<void> => {
    await bun.connect({
      hostname: address.host,
      port: address.port,
      allowHalfOpen: true,
      socket: {
        ...handlers((socket) => {
          if (settled) socket.close();
          else settle(taken(socket));
        }),
        connectError: (_socket, error) => fail(error),
      },
    });
  };
  connecting().catch(fail);
  return {
    cancel() {
      if (cancelled) return;
      cancelled = true;
      settled = true;
      clearTimeout(timer);
    },
  };
}

/** The connection over a socket that has just opened. */
function taken(socket: BunSocket): BunDuplex {
  socket.setKeepAlive(true);
  const connection = new BunDuplex(socket);
  socket.data = connection;
  return connection;
}

function handlers(open: (socket: BunSocket) => void): BunSocketHandlers {
  const connection = (socket: BunSocket) => socket.data as BunDuplex | undefined;
  return {
    open,
    data: (socket, chunk) => connection(socket)?.received(chunk),
    end: (socket) => connection(socket)?.finished(),
    drain: (socket) => connection(socket)?.writable(),
    close: (socket, error) => connection(socket)?.over(error),
    error: (socket, error) => connection(socket)?.over(error),
  };
}
