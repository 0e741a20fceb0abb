/**
 * The {@linkcode Network} of production: ports and connections over `node:net` and `node:tls`, one adapter for Deno and
 * Bun. Every socket has `noDelay` (Nagle costs a kept connection 40 ms a message), keep-alive, and stays open for writing
 * after the peer's FIN. Failures are values.
 * @module
 */
import fs from "node:fs";
import net from "node:net";
import type {
  Duplex,
  Endpoint,
  ListenAddress,
  ListeningPort,
  Network,
  TlsServerContext,
  TransportError,
} from "../transport/duplex.ts";
import { NodeDuplex } from "./node_duplex.ts";
import { errorCode, transportError, unmapAddress } from "./node_errors.ts";
import { NodeTlsContext } from "./node_tls.ts";

/** Connections that may wait to be accepted. */
export const BACKLOG = 511;

/** The one network of a process; it holds no state of its own. */
export function nodeNetwork(): Network {
  return { listen, connect, tlsServer: (options) => new NodeTlsContext(options) };
}

type Listening = ListeningPort | { readonly error: TransportError };

const listen: Network["listen"] = async (address, options, accept) => {
  const path = "path" in address ? address.path : undefined;
  if (path !== undefined) {
    const busy = await clearStaleSocket(path);
    if (busy !== undefined) return { error: busy };
  }
  const server = net.createServer(
    { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true },
    (socket) => receive(socket, path, options.tls, accept),
  );
  const error = await new Promise<unknown>((settle) => {
    // Stays: an error of a single accept (no descriptors left) must not end the process.
    server.on("error", settle);
    try {
      server.listen({
        ..."path" in address ? { path: address.path } : { host: address.host, port: address.port },
        backlog: options.backlog ?? BACKLOG,
        ...(options.reusePort === true ? { reusePort: true } : {}),
      }, () => settle(undefined));
    } catch (thrown) {
      settle(thrown);
    }
  });
  if (error !== undefined) {
    return { error: transportError(error, `Cannot listen on ${formatAddress(address)}`) };
  }
  return listening(server, path);
};

function listening(server: net.Server, path: string | undefined): Listening {
  const bound = server.address();
  const address: Endpoint = bound === null || typeof bound === "string"
    ? { address: path ?? "", port: 0 }
    : { address: unmapAddress(bound.address), port: bound.port };
  const inode = path === undefined ? undefined : inodeOf(path);
  return {
    address,
    close() {
      // The callback of `close` would wait for the open connections; accepting stops at once.
      server.close();
      if (path !== undefined && inode !== undefined && inodeOf(path) === inode) {
        fs.rmSync(path, { force: true });
      }
      return new Promise((closed) => setImmediate(closed));
    },
  };
}

function receive(
  socket: net.Socket,
  path: string | undefined,
  context: TlsServerContext | undefined,
  accept: (connection: Duplex) => void,
): void {
  if (path === undefined && socket.remoteAddress === undefined) {
    // Reset between the handshake of TCP and accept: there is nobody to serve.
    socket.on("error", () => {});
    socket.destroy();
    return;
  }
  const connection = new NodeDuplex(socket, path);
  if (context === undefined) return accept(connection);
  connection.upgradeServer(context, "", (error) => {
    if (error === undefined) accept(connection);
  });
}

const connect: Network["connect"] = (address, options, done) => {
  const action = `Cannot connect to ${formatAddress(address)}`;
  let settled = false;
  let connection: NodeDuplex | undefined;
  let socket: net.Socket | undefined;
  const settle = (result: Duplex | { readonly error: TransportError }): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    if ("error" in result) discard();
    done(result);
  };
  const discard = (): void => {
    connection?.destroy();
    socket?.destroy();
  };
  const fail = (error: unknown): void => settle({ error: transportError(error, action) });
  const timer = setTimeout(
    () => settle({ error: { kind: "timeout", message: `${action}: timed out` } }),
    options.timeout,
  );
  const onClose = (): void =>
    settle({ error: { kind: "unreachable", message: `${action}: closed without a reason` } });
  const onConnect = (): void => {
    if (settled || socket === undefined) return;
    socket.off("error", fail);
    socket.off("close", onClose);
    connection = new NodeDuplex(socket, "path" in address ? address.path : undefined);
    const made = connection;
    if (options.tls === undefined) return settle(made);
    clearTimeout(timer);
    made.upgradeClient(options.tls, (error) => {
      settle(
        error === undefined
          ? made
          : { error: { kind: error.kind, message: `${action}: ${error.message}` } },
      );
    });
  };
  try {
    socket = net.connect({
      ..."path" in address ? { path: address.path } : { host: address.host, port: address.port },
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
    });
    socket.on("error", fail);
    socket.on("close", onClose);
    socket.once("connect", onConnect);
  } catch (error) {
    queueMicrotask(() => fail(error));
  }
  return {
    // Nothing is told after it.
    cancel() {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      discard();
    },
  };
};

/** An address as messages show it. */
export function formatAddress(address: ListenAddress): string {
  if ("path" in address) return address.path;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

function inodeOf(path: string): number | undefined {
  return fs.statSync(path, { throwIfNoEntry: false })?.ino;
}

/** A socket file outlives a killed process. It is removed only if it is a socket and nobody answers on it. */
async function clearStaleSocket(path: string): Promise<TransportError | undefined> {
  const action = `Cannot listen on ${path}`;
  let found: fs.Stats | undefined;
  try {
    found = fs.statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    return transportError(error, action);
  }
  if (found === undefined) return undefined;
  if (!found.isSocket()) {
    return { kind: "busy", message: `${action}: a file that is not a socket is there` };
  }
  const code = await new Promise<string>((settle) => {
    const probe = net.connect({ path });
    probe.once("connect", () => {
      probe.destroy();
      settle("");
    });
    probe.on("error", (error) => settle(errorCode(error)));
  });
  if (code !== "ECONNREFUSED" && code !== "ENOENT") {
    return { kind: "busy", message: `${action}: another process listens there` };
  }
  fs.rmSync(path, { force: true });
  return undefined;
}
