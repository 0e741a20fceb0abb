/**
 * One connection over a `node:net` socket, and its change to TLS in place, for Deno and Bun.
 *
 * Owns: the socket and its listeners. Never: reuses a chunk (both runtimes give each read its own buffer), lets an
 * `error` event go unheard, tells anything but `close` after `destroy`.
 *
 * Writes of one tick are corked and leave in one system call. TLS is put over the socket only after the socket was
 * paused and what was to be said in plain text has left: on Deno a flowing socket may have read the ClientHello
 * already, and the handshake would hang. Plain octets that arrived between are read by TLS as a broken record and end
 * the connection (RFC 3207 section 4.2): they can never come out as data.
 * @module
 */
import type { Buffer } from "node:buffer";
import type net from "node:net";
import tls from "node:tls";
import type {
  Duplex,
  DuplexHandlers,
  Endpoint,
  TlsClientOptions,
  TlsFacts,
  TlsServerContext,
  TransportError,
} from "../transport/duplex.ts";
import { transportError, unmapAddress } from "./node_errors.ts";
import { clientFacts, clientRefusal, clientSocketOptions, NodeTlsContext } from "./node_tls.ts";
import { joined, MOST_UNSENT, SILENT } from "./writes.ts";

const CUT_OFF: TransportError = {
  kind: "reset",
  message: "Connection closed during the TLS handshake",
};

/** One handshake: how to start it, and how to judge it when it is done. */
interface Handshake {
  readonly event: "secure" | "secureConnect";
  readonly timeout: number;
  start(): tls.TLSSocket;
  refusal(socket: tls.TLSSocket): TransportError | undefined;
  facts(socket: tls.TLSSocket): TlsFacts;
}

type Done = (error: TransportError | undefined) => void;

export class NodeDuplex implements Duplex {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly #raw: net.Socket;
  /** `#raw`, or the TLS socket over it. */
  #socket: net.Socket;
  #handlers: DuplexHandlers = SILENT;
  #tls: TlsFacts | undefined;
  /** What the owner asked for; kept through a handshake. */
  #flowing = false;
  /** From the call of an upgrade until it succeeded; stays set when it failed. */
  #handshaking = false;
  /** Who waits for the handshake that runs. */
  #handshakeDone: Done | undefined;
  #handshakeTimer: ReturnType<typeof setTimeout> | undefined;
  /** Written in this tick. */
  #unsent: (Uint8Array | string)[] = [];
  #unsentSize = 0;
  /** `write` has said no: `drain` is to be told. */
  #owesDrain = false;
  #ended = false;
  /** Destroyed: only `close` is still to be told. */
  #gone = false;
  #rawClosed = false;
  #closed = false;
  #error: TransportError | undefined;

  /** Takes over a connected, paused socket. */
  constructor(socket: net.Socket, path?: string) {
    this.#raw = socket;
    this.#socket = socket;
    this.remote = endpoint(socket.remoteAddress, socket.remotePort, path);
    this.local = endpoint(socket.localAddress, socket.localPort, path);
    socket.pause();
    socket.on("error", this.#onError);
    socket.on("close", this.#onRawClose);
    this.#listen(socket);
  }

  get tls(): TlsFacts | undefined {
    return this.#tls;
  }

  get pending(): number {
    return this.#socket.writableLength + this.#unsentSize;
  }

  handle(handlers: DuplexHandlers): void {
    this.#handlers = handlers;
  }

  write(data: Uint8Array | string): boolean {
    if (this.#gone || this.#ended || this.#handshaking) return false;
    // What is written in one tick leaves in one call.
    if (this.#unsent.length === 0) queueMicrotask(this.#flush);
    this.#unsent.push(data);
    this.#unsentSize += data.length;
    if (this.pending < MOST_UNSENT) return true;
    this.#owesDrain = true;
    return false;
  }

  /** Hands everything that waits to the socket, as one chunk. */
  readonly #flush = (): void => {
    const unsent = this.#unsent;
    if (unsent.length === 0) return;
    this.#unsent = [];
    this.#unsentSize = 0;
    if (this.#gone) return;
    const chunk = unsent.length === 1 ? unsent[0] as Uint8Array | string : joined(unsent);
    // The socket tells `drain` only where it has refused itself.
    if (this.#socket.write(chunk) && this.#owesDrain) queueMicrotask(this.#onDrain);
  };

  pause(): void {
    this.#flowing = false;
    if (!this.#handshaking) this.#socket.pause();
  }

  resume(): void {
    this.#flowing = true;
    if (!this.#handshaking && !this.#gone) this.#socket.resume();
  }

  upgradeServer(
    context: TlsServerContext,
    before: Uint8Array | string,
    done: Done,
    already?: Uint8Array,
  ): void {
    if (!(context instanceof NodeTlsContext)) {
      throw new TypeError("Cannot start TLS: the context was made by another network");
    }
    const raw = this.#raw;
    this.#upgrade(before, {
      event: "secure",
      timeout: context.handshakeTimeout,
      start: () => {
        // Both runtimes feed what lies in the socket's read buffer to TLS first.
        if (already !== undefined && already.length > 0) raw.unshift(already);
        return new tls.TLSSocket(raw, context.socketOptions);
      },
      refusal: (socket) => context.refusal(socket),
      facts: (socket) => context.facts(socket),
    }, done);
  }

  upgradeClient(options: TlsClientOptions, done: Done): void {
    const raw = this.#raw;
    this.#upgrade("", {
      event: "secureConnect",
      timeout: options.handshakeTimeout,
      start: () => tls.connect(clientSocketOptions(raw, options)),
      refusal: (socket) => clientRefusal(socket, options),
      facts: (socket) => clientFacts(socket, options),
    }, done);
  }

  end(): void {
    if (this.#gone || this.#ended || this.#handshaking) return;
    this.#ended = true;
    this.#flush();
    this.#socket.end();
  }

  destroy(reset?: boolean): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#settleHandshake();
    if (reset === true && !this.#rawClosed) this.#raw.resetAndDestroy();
    if (this.#socket !== this.#raw) this.#socket.destroy();
    this.#raw.destroy();
    // A socket that closed under its TLS has no further close event for us.
    if (this.#rawClosed) this.#tellClose();
  }

  #listen(socket: net.Socket): void {
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
  }

  #upgrade(before: Uint8Array | string, handshake: Handshake, done: Done): void {
    if (this.#gone || this.#ended || this.#handshaking) return;
    const raw = this.#raw;
    raw.pause();
    raw.off("data", this.#onData);
    raw.off("end", this.#onEnd);
    raw.off("drain", this.#onDrain);
    if (before.length > 0) this.write(before);
    this.#flush();
    this.#handshaking = true;
    this.#handshakeDone = done;
    this.#handshakeTimer = setTimeout(
      () => this.#failHandshake({ kind: "timeout", message: "The TLS handshake took too long" }),
      handshake.timeout,
    );
    // An empty write is told as done only after all before it has left.
    if (raw.writableLength === 0) this.#shake(handshake);
    else raw.write("", () => this.#shake(handshake));
  }

  #shake(handshake: Handshake): void {
    if (this.#gone) return;
    let socket: tls.TLSSocket;
    try {
      socket = handshake.start();
    } catch (error) {
      this.#failHandshake({ kind: "tls", message: transportError(error).message });
      return;
    }
    this.#socket = socket;
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    this.#listen(socket);
    socket.once(handshake.event, () => {
      if (this.#gone) return;
      socket.pause();
      const refused = handshake.refusal(socket);
      if (refused !== undefined) return this.#failHandshake(refused);
      this.#tls = handshake.facts(socket);
      this.#handshaking = false;
      this.#settleHandshake()?.(undefined);
      if (this.#flowing && !this.#gone) socket.resume();
    });
  }

  #failHandshake(error: TransportError): void {
    const done = this.#settleHandshake();
    if (done === undefined) return;
    this.#error ??= error;
    this.destroy();
    done(error);
  }

  #settleHandshake(): Done | undefined {
    clearTimeout(this.#handshakeTimer);
    const done = this.#handshakeDone;
    this.#handshakeDone = undefined;
    return done;
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#gone || this.#handshaking) return;
    this.#handlers.data(chunk);
  };

  readonly #onEnd = (): void => {
    if (this.#gone) return;
    if (this.#handshaking) this.#failHandshake(CUT_OFF);
    else this.#handlers.end();
  };

  readonly #onDrain = (): void => {
    if (this.#gone || this.#handshaking || !this.#owesDrain) return;
    this.#owesDrain = false;
    this.#handlers.drain();
  };

  readonly #onError = (error: unknown): void => {
    const told = transportError(error);
    if (!this.#gone) this.#error ??= told;
    this.#failHandshake(told);
    this.destroy();
  };

  readonly #onRawClose = (): void => {
    this.#rawClosed = true;
    // On Bun the socket under a half-closed TLS stream is told as closed while TLS goes on.
    if (this.#handshakeDone !== undefined) this.#failHandshake(CUT_OFF);
    else if (this.#gone || this.#socket === this.#raw) this.#tellClose();
  };

  readonly #onClose = (): void => {
    if (this.#handshakeDone !== undefined) this.#failHandshake(CUT_OFF);
    else this.#tellClose();
  };

  /** In a later microtask: whoever waits for a handshake is told before, whatever way `destroy` takes. */
  #tellClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#gone = true;
    if (!this.#raw.destroyed) this.#raw.destroy();
    queueMicrotask(() => this.#handlers.close(this.#error));
  }
}

function endpoint(
  address: string | undefined,
  port: number | undefined,
  path: string | undefined,
): Endpoint {
  return address === undefined
    ? { address: path ?? "", port: 0 }
    : { address: unmapAddress(address), port: port ?? 0 };
}
