/**
 * One plain connection over a socket of Bun's own, without the streams of `node:net` between: about a sixth less CPU for
 * a small message. It never becomes TLS; connections that may are made by `node_duplex.ts`.
 *
 * Owns: the socket and what of our octets the kernel has not taken. Never: reuses a chunk (Bun gives each read its own
 * buffer), tells anything but `close` after `destroy`. Writes of one tick leave in one system call.
 * @module
 */
import { Buffer } from "node:buffer";
import type { Duplex, DuplexHandlers, Endpoint } from "../transport/duplex.ts";
import type { BunSocket } from "./bun_sockets.ts";
import { transportError, unmapAddress } from "./node_errors.ts";
import { joined, MOST_UNSENT, SILENT } from "./writes.ts";

const NOTHING: Uint8Array = new Uint8Array(0);

/** A plain connection on Bun. */
export class BunDuplex implements Duplex {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly tls = undefined;
  readonly #socket: BunSocket;
  #handlers: DuplexHandlers = SILENT;
  #flowing = false;
  /** The socket reads nothing; it begins reading. */
  #paused = false;
  /** Written in this tick. */
  #unsent: (Uint8Array | string)[] = [];
  #unsentSize = 0;
  /** What the kernel has not taken. */
  #rest: Uint8Array = NOTHING;
  /** `write` has said no: `drain` is to be told. */
  #owesDrain = false;
  #ended = false;
  #peerEnded = false;
  /** Destroyed or closed: only `close` is still to be told. */
  #gone = false;
  #closed = false;

  /** Takes over a socket that has just opened; {@linkcode begun} must be called in the same turn of the loop. */
  constructor(socket: BunSocket) {
    this.#socket = socket;
    this.remote = { address: unmapAddress(socket.remoteAddress), port: socket.remotePort };
    this.local = { address: unmapAddress(socket.localAddress), port: socket.localPort };
  }

  get pending(): number {
    return this.#rest.length + this.#unsentSize;
  }

  handle(handlers: DuplexHandlers): void {
    this.#handlers = handlers;
  }

  write(data: Uint8Array | string): boolean {
    if (this.#gone || this.#ended) return false;
    if (this.#unsent.length === 0) queueMicrotask(this.#flush);
    this.#unsent.push(data);
    this.#unsentSize += data.length;
    if (this.pending < MOST_UNSENT) return true;
    this.#owesDrain = true;
    return false;
  }

  pause(): void {
    this.#flowing = false;
    this.begun();
  }

  resume(): void {
    this.#flowing = true;
    if (!this.#paused || this.#gone) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** Whoever has not asked for data by now is told none until `resume`: it waits in the kernel. */
  begun(): void {
    if (this.#flowing || this.#paused || this.#gone) return;
    this.#paused = true;
    this.#socket.pause();
  }

  upgradeServer(): void {
    throw new TypeError("Cannot start TLS: the connection was made for plain text only");
  }

  upgradeClient(): void {
    throw new TypeError("Cannot start TLS: the connection was made for plain text only");
  }

  end(): void {
    if (this.#gone || this.#ended) return;
    this.#ended = true;
    this.#flush();
    if (this.#rest.length === 0) this.#socket.shutdown();
  }

  destroy(reset?: boolean): void {
    if (this.#gone) return;
    this.#gone = true;
    if (reset === true) this.#socket.terminate();
    else this.#socket.close();
  }

  /** Octets arrived. */
  received(chunk: Uint8Array): void {
    if (!this.#gone) this.#handlers.data(chunk);
  }

  /** The peer's FIN arrived. */
  finished(): void {
    if (this.#gone || this.#peerEnded) return;
    this.#peerEnded = true;
    this.#handlers.end();
  }

  /** The kernel takes octets again. */
  writable(): void {
    if (this.#gone) return;
    if (this.#rest.length > 0) {
      const rest = this.#rest;
      this.#rest = NOTHING;
      this.#send(rest);
      if (this.#rest.length > 0) return;
      if (this.#ended) this.#socket.shutdown();
    }
    this.#drained();
  }

  /** The socket is closed, by whomever. */
  over(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    const told = error === undefined || this.#gone ? undefined : transportError(error);
    // Where we have ended first, Bun tells the peer's end by the close alone.
    if (told === undefined) this.finished();
    this.#gone = true;
    queueMicrotask(() => this.#handlers.close(told));
  }

  /** Hands everything that waits to the kernel, as one chunk. */
  readonly #flush = (): void => {
    const unsent = this.#unsent;
    if (unsent.length === 0) return;
    this.#unsent = [];
    this.#unsentSize = 0;
    if (this.#gone) return;
    const chunk = unsent.length === 1 ? unsent[0] as Uint8Array | string : joined(unsent);
    this.#send(chunk);
    if (this.#rest.length === 0 && this.#owesDrain) queueMicrotask(this.#drained);
  };

  #send(chunk: Uint8Array | string): void {
    if (this.#rest.length > 0) {
      this.#rest = joined([this.#rest, chunk]) as Uint8Array;
      return;
    }
    const sent = this.#socket.write(chunk);
    // A string has as many octets as characters only in US-ASCII.
    if (sent === (typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.length)) return;
    if (sent < 0) {
      // The peer is gone. A paused socket is not told as closed then, so it is closed here.
      this.over({ code: "EPIPE" });
      this.#socket.close();
      return;
    }
    const octets = typeof chunk === "string" ? Buffer.from(chunk, "utf8") : chunk;
    if (sent < octets.length) this.#rest = octets.subarray(sent);
  }

  readonly #drained = (): void => {
    if (this.#gone || !this.#owesDrain || this.pending >= MOST_UNSENT) return;
    this.#owesDrain = false;
    this.#handlers.drain();
  };
}
