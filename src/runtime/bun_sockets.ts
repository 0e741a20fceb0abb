/**
 * The part of Bun's socket API that is used here, as types: there is no `Bun` on Deno to take them from.
 * @module
 */

/** A TCP socket. */
export interface BunSocket {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Octets taken; -1 when it is closed. */
  write(data: Uint8Array | string): number;
  pause(): void;
  resume(): void;
  /** Half-close: FIN behind what was written. */
  shutdown(): void;
  close(): void;
  /** Closes with a reset. */
  terminate(): void;
  setKeepAlive(enable: boolean): void;
  data: unknown;
}

/** What a socket tells. */
export interface BunSocketHandlers {
  open(socket: BunSocket): void;
  data(socket: BunSocket, chunk: Uint8Array): void;
  end(socket: BunSocket): void;
  drain(socket: BunSocket): void;
  close(socket: BunSocket, error?: unknown): void;
  error(socket: BunSocket, error: unknown): void;
  connectError?(socket: BunSocket, error: unknown): void;
}

interface Address {
  readonly hostname: string;
  readonly port: number;
  readonly allowHalfOpen: true;
  readonly socket: BunSocketHandlers;
}

/** `Bun.listen` and `Bun.connect`. */
export interface BunSockets {
  listen(options: Address & { readonly reusePort?: boolean; readonly backlog?: number }): {
    readonly hostname: string;
    readonly port: number;
    stop(closeActiveConnections?: boolean): void;
  };
  connect(options: Address): Promise<BunSocket>;
}

/** The API, where this is Bun. */
export function bunSockets(): BunSockets | undefined {
  return (globalThis as { readonly Bun?: BunSockets }).Bun;
}
