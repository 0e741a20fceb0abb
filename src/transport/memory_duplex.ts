/**
 * One end of a connection in memory; what it promises is in `memory.ts`.
 *
 * Owns: what it wrote until the peer has it, and what it received until its owner has it.
 * @module
 */
import type {
  Duplex,
  DuplexHandlers,
  Endpoint,
  TlsClientOptions,
  TlsFacts,
  TlsServerContext,
  TransportError,
} from "./duplex.ts";

/** How a connection behaves: {@linkcode MemoryNetworkOptions} with the defaults filled in. */
export interface MemoryConfig {
  readonly split: number | "all";
  readonly highWaterMark: number;
  readonly clientAddress: string;
  readonly tlsFacts: Partial<TlsFacts>;
}

type Done = (error: TransportError | undefined) => void;
/** `encrypted`: written after the writer's handshake. */
type Item = { readonly octets: Uint8Array; readonly encrypted: boolean } | "end";

const SILENT: DuplexHandlers = { data() {}, end() {}, drain() {}, close() {} };
const RESET: TransportError = { kind: "reset", message: "Connection reset by the peer" };
const NOT_TLS: TransportError = { kind: "tls", message: "Plain octets instead of a TLS record" };
const encoder = new TextEncoder();

/** One end. */
export class MemoryDuplex implements Duplex {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  tls: TlsFacts | undefined;
  pending = 0;
  readonly #config: MemoryConfig;
  #peer: MemoryDuplex | undefined;
  #handlers: DuplexHandlers = SILENT;
  /** Written by us, not yet in the peer's inbox. */
  #outbox: Item[] = [];
  /** From the peer, not yet told; `#inboxAt` is the first that is left of it. */
  #inbox: Item[] = [];
  #inboxAt = 0;
  #flowing = false;
  #delivering = false;
  #flushPlanned = false;
  #needDrain = false;
  #ended = false;
  #peerEnded = false;
  #gone = false;
  #closed = false;
  #error: TransportError | undefined;
  /** While a handshake waits for the peer's: who is told, and the name the client asks for. */
  #handshake: { readonly done: Done; readonly sni: string | undefined } | undefined;

  constructor(config: MemoryConfig, local: Endpoint, remote: Endpoint) {
    this.#config = config;
    this.local = local;
    this.remote = remote;
  }

  /** Makes two ends one connection. */
  static join(a: MemoryDuplex, b: MemoryDuplex): void {
    a.#peer = b;
    b.#peer = a;
  }

  handle(handlers: DuplexHandlers): void {
    this.#handlers = handlers;
  }

  write(data: Uint8Array | string): boolean {
    if (this.#gone || this.#ended || this.#handshake !== undefined) return false;
    // A copy: the writer may use its buffer again, the reader owns the chunk for ever.
    const octets = typeof data === "string" ? encoder.encode(data) : Uint8Array.from(data);
    if (octets.length > 0) {
      this.pending += octets.length;
      this.#outbox.push({ octets, encrypted: this.tls !== undefined });
      this.#planFlush();
    }
    const free = this.pending < this.#config.highWaterMark;
    if (!free) this.#needDrain = true;
    return free;
  }

  pause(): void {
    this.#flowing = false;
  }

  resume(): void {
    this.#flowing = true;
    this.#planDelivery();
  }

  upgradeServer(
    _context: TlsServerContext,
    before: Uint8Array | string,
    done: Done,
    _already?: Uint8Array,
  ): void {
    this.write(before);
    this.#upgrade(undefined, done);
  }

  upgradeClient(options: TlsClientOptions, done: Done): void {
    const address = /^[\d.]+$|:/.test(options.serverName);
    this.#upgrade(address ? undefined : options.serverName, done);
  }

  end(): void {
    if (this.#gone || this.#ended || this.#handshake !== undefined) return;
    this.#ended = true;
    this.#outbox.push("end");
    this.#planFlush();
  }

  destroy(reset?: boolean): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#handshake = undefined;
    const peer = this.#peer;
    if (reset === true && peer !== undefined) peer.#lose(RESET);
    if (reset !== true && !this.#ended) {
      this.#ended = true;
      this.#outbox.push("end");
      this.#planFlush();
    }
    this.#inbox = [];
    this.#inboxAt = 0;
    queueMicrotask(() => this.#tellClose());
  }

  #upgrade(sni: string | undefined, done: Done): void {
    if (this.#gone || this.#handshake !== undefined) return;
    this.#handshake = { done, sni };
    // What has arrived already is read as TLS, and is none.
    this.#planDelivery();
    queueMicrotask(() => this.#shake());
  }

  /** The handshake is done when both ends are in it and nothing plain is on its way. */
  #shake(): void {
    const peer = this.#peer;
    const mine = this.#handshake;
    if (peer === undefined || mine === undefined) return;
    const theirs = peer.#handshake;
    if (theirs === undefined) return;
    this.#flush();
    peer.#flush();
    this.#deliver();
    peer.#deliver();
    if (this.#handshake === undefined || peer.#handshake === undefined) return;
    const facts: TlsFacts = {
      version: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      sni: mine.sni ?? theirs.sni,
      alpn: undefined,
      peer: undefined,
      ...this.#config.tlsFacts,
    };
    for (const end of [this, peer]) end.#handshake = undefined;
    for (const end of [this, peer]) end.tls = facts;
    mine.done(undefined);
    theirs.done(undefined);
    this.#planDelivery();
    peer.#planDelivery();
  }

  #failHandshake(error: TransportError): void {
    const handshake = this.#handshake;
    if (handshake === undefined) return;
    this.#error ??= error;
    this.destroy();
    handshake.done(error);
  }

  /** The peer is gone without a FIN, or took no more. */
  #lose(error: TransportError): void {
    if (this.#gone) return;
    this.#error ??= error;
    if (this.#handshake !== undefined) this.#failHandshake(error);
    else this.destroy();
  }

  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    const items = joined(this.#outbox);
    this.#outbox = [];
    const peer = this.#peer;
    if (peer === undefined || items.length === 0) return;
    if (peer.#gone) {
      // Octets for one who closed are answered by RST; a FIN is not.
      if (items.some((item) => item !== "end")) this.#lose(RESET);
      else this.#closeIfBothEnded();
      return;
    }
    for (const item of items) {
      if (item === "end") peer.#inbox.push(item);
      else {for (const chunk of cut(item.octets, this.#config.split)) {
          peer.#inbox.push({ octets: chunk, encrypted: item.encrypted });
        }}
    }
    peer.#deliver();
  }

  #planDelivery(): void {
    queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (!this.#gone && (this.#flowing || this.#handshake !== undefined)) {
      const item = this.#inbox[this.#inboxAt];
      if (item === undefined) {
        this.#inbox = [];
        this.#inboxAt = 0;
        break;
      }
      this.#inboxAt++;
      if (this.#handshake !== undefined) this.#failHandshake(item === "end" ? RESET : NOT_TLS);
      else if (item === "end") {
        this.#peerEnded = true;
        this.#handlers.end();
        this.#closeIfBothEnded();
      } else if (item.encrypted !== (this.tls !== undefined)) {
        this.#lose(NOT_TLS);
      } else {
        if (this.#peer !== undefined) this.#peer.#taken(item.octets.length);
        this.#handlers.data(item.octets);
      }
    }
    this.#delivering = false;
  }

  /** The peer has read so many of our octets. */
  #taken(octets: number): void {
    this.pending -= octets;
    if (this.pending > 0 || !this.#needDrain) return;
    this.#needDrain = false;
    queueMicrotask(() => {
      if (!this.#gone) this.#handlers.drain();
    });
  }

  #closeIfBothEnded(): void {
    const peer = this.#peer;
    if (!this.#ended || !this.#peerEnded || this.#outbox.length > 0) return;
    if (peer !== undefined && !peer.#gone && !peer.#peerEnded) return;
    for (const end of [this, peer]) {
      if (end === undefined || end.#gone) continue;
      end.#gone = true;
      queueMicrotask(() => end.#tellClose());
    }
  }

  #tellClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handlers.close(this.#error);
  }
}

/** What was written in one tick leaves together; a change from plain to encrypted is a boundary. */
function joined(items: readonly Item[]): Item[] {
  const out: Item[] = [];
  let run: { octets: Uint8Array; encrypted: boolean }[] = [];
  const close = (): void => {
    const first = run[0];
    if (first === undefined) return;
    const octets = new Uint8Array(run.reduce((sum, item) => sum + item.octets.length, 0));
    let at = 0;
    for (const item of run) {
      octets.set(item.octets, at);
      at += item.octets.length;
    }
    out.push({ octets, encrypted: first.encrypted });
    run = [];
  };
  for (const item of items) {
    if (item === "end") {
      close();
      out.push(item);
      continue;
    }
    if (run[0] !== undefined && run[0].encrypted !== item.encrypted) close();
    run.push(item);
  }
  close();
  return out;
}

function cut(octets: Uint8Array, split: number | "all"): Uint8Array[] {
  if (split === "all") return [octets];
  const out: Uint8Array[] = [];
  for (let at = 0; at < octets.length; at += split) out.push(octets.subarray(at, at + split));
  return out;
}
