/**
 * One end of a connection in memory in the dress of a socket: as much of `net.Socket` as `LineSocket` uses.
 * @module
 */
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { Duplex, Network, TransportError } from "../../src/transport/duplex.ts";

/** A connected end. */
export class MemorySocket extends EventEmitter {
  destroyed = false;
  writableEnded = false;
  readonly #duplex: Duplex;
  #taken: (() => void)[] = [];

  constructor(duplex: Duplex) {
    super();
    this.#duplex = duplex;
    duplex.handle({
      data: (chunk) => this.emit("data", Buffer.from(chunk)),
      end: () => this.emit("end"),
      drain: () => this.#tellTaken(),
      close: (error) => this.#closed(error),
    });
  }

  /** As with a socket, who listens for data lets it flow. */
  override on(event: string, listener: (...given: any[]) => void): this {
    super.on(event, listener);
    if (event === "data") this.#duplex.resume();
    return this;
  }

  /** Connects by a network in memory. */
  static connect(network: Network, port: number, host: string): Promise<Socket> {
    return new Promise((resolve, reject) => {
      network.connect({ host, port }, { timeout: 60_000 }, (result) => {
        if ("error" in result) reject(new Error(result.error.message));
        else resolve(new MemorySocket(result) as unknown as Socket);
      });
    });
  }

  setNoDelay(): void {}

  pause(): void {
    this.#duplex.pause();
  }

  resume(): void {
    this.#duplex.resume();
  }

  write(octets: Uint8Array, taken: () => void): void {
    if (this.#duplex.write(octets)) queueMicrotask(taken);
    else this.#taken.push(taken);
  }

  end(): void {
    this.writableEnded = true;
    this.#duplex.end();
  }

  destroy(): void {
    this.destroyed = true;
    this.#duplex.destroy();
  }

  resetAndDestroy(): void {
    this.destroyed = true;
    this.#duplex.destroy(true);
  }

  /** TLS as the network in memory plays it. */
  upgrade(): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = {
        serverName: "localhost",
        verify: false,
        minVersion: "1.2" as const,
        handshakeTimeout: 60_000,
      };
      this.#duplex.upgradeClient(options, (error) => {
        if (error === undefined) resolve();
        else reject(new Error(error.message));
      });
    });
  }

  #tellTaken(): void {
    const taken = this.#taken;
    this.#taken = [];
    for (const tell of taken) tell();
  }

  #closed(error: TransportError | undefined): void {
    this.destroyed = true;
    if (error !== undefined) this.emit("error", new Error(error.message));
    this.emit("close");
  }
}
