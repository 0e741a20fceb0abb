/**
 * `edge.connect`: a {@linkcode Duplex} as the promises of the plugin door.
 *
 * Owns: what has come and was not read yet (the peer waits above 64 KiB), who waits for octets or for room, the signal.
 * Never: tells a plugin two ends of one connection, or leaves a promise open when it is gone.
 * @module
 */
import type {
  ConnectAddress,
  Connection,
  ConnectionError,
  ConnectOptions,
  ConnectTls,
} from "../plugin/connection.ts";
import type {
  Duplex,
  Network,
  TlsClientOptions,
  TlsFacts,
  TransportError,
} from "../transport/duplex.ts";
import { escapeText } from "./text.ts";

type Kind = ConnectionError["kind"];

const TIMEOUT = 10_000;
/** Octets that may wait for their reader. */
const MOST_UNREAD = 65_536;
const LINE_LIMIT = 8_192;
/** Milliseconds in which a peer may end a connection that we have closed. */
const FAREWELL = 5_000;
const LF = 10;
const CR = 13;

const decoder = new TextDecoder();

class Fault extends Error implements ConnectionError {
  override readonly name = "ConnectionError";
  constructor(readonly kind: Kind, message: string) {
    super(message);
  }
}

/** Opens a connection for a plugin. Rejects with a {@linkcode ConnectionError}, the signal's reason, or a `TypeError`. */
export async function openConnection(
  network: Pick<Network, "connect">,
  address: ConnectAddress,
  options: ConnectOptions = {},
  opened: (connection: PluginConnection) => void = () => {},
): Promise<PluginConnection> {
  const name = nameOf(address);
  const timeout = options.timeout ?? TIMEOUT;
  if (!(timeout > 0)) throw new TypeError("Cannot connect: timeout is not a positive number");
  const { signal, tls = false } = options;
  signal?.throwIfAborted();
  const tlsOptions = (given: ConnectTls): TlsClientOptions => ({
    serverName: given.serverName ?? ("host" in address ? address.host : "localhost"),
    verify: given.fingerprint === undefined && given.verify !== false,
    ...(given.ca === undefined ? {} : { ca: given.ca }),
    ...(given.fingerprint === undefined ? {} : { fingerprint: given.fingerprint }),
    minVersion: "1.2",
    handshakeTimeout: timeout,
  });
  const duplex = await new Promise<Duplex>((resolve, reject) => {
    const abort = (): void => {
      attempt.cancel();
      reject(signal?.reason);
    };
    const attempt = network.connect(address, {
      timeout,
      ...(tls === false ? {} : { tls: tlsOptions(tls === true ? {} : tls) }),
    }, (result) => {
      signal?.removeEventListener("abort", abort);
      if ("error" in result) reject(new Fault(result.error.kind, result.error.message));
      else resolve(result);
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
  const connection = new PluginConnection(
    name,
    duplex,
    (given, done) => duplex.upgradeClient(tlsOptions(given), done),
    signal,
  );
  opened(connection);
  return connection;
}

/** Checks an address that a plugin gave, and names it. */
function nameOf(address: ConnectAddress): string {
  const given = address as { host?: unknown; port?: unknown; path?: unknown };
  const text = (value: unknown): value is string =>
    typeof value === "string" && value !== "" && !/[\x00-\x1f\x7f]/.test(value);
  if (given.path !== undefined) {
    if (!text(given.path)) throw new TypeError("Cannot connect: path is not a path");
    return given.path;
  }
  if (!text(given.host)) throw new TypeError("Cannot connect: host is not a name or an address");
  const port = given.port;
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new TypeError("Cannot connect: port is not a whole number from 1 to 65535");
  }
  return given.host.includes(":") ? `[${given.host}]:${port}` : `${given.host}:${port}`;
}

/** How a side starts TLS. */
export type Upgrade = (tls: ConnectTls, done: (error: TransportError | undefined) => void) => void;

/** One connection, on either side: tests play the server with it. */
export class PluginConnection implements Connection {
  readonly name: string;
  readonly #duplex: Duplex;
  readonly #upgrade: Upgrade;
  readonly #signal: AbortSignal | undefined;
  /** Told once, when the connection is over for its owner. */
  onGone: () => void = () => {};
  #unread: Uint8Array[] = [];
  #size = 0;
  #flowing = false;
  #peerEnded = false;
  #ended = false;
  #closedByNow = false;
  /** Why nothing is read or written any more. */
  #gone: unknown = undefined;
  #reading = false;
  #wake: (() => void) | undefined;
  #writers: (() => void)[] = [];
  #farewell: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string, duplex: Duplex, upgrade: Upgrade, signal: AbortSignal | undefined) {
    this.name = name;
    this.#duplex = duplex;
    this.#upgrade = upgrade;
    this.#signal = signal;
    duplex.handle({
      data: (chunk) => this.#data(chunk),
      end: () => this.#peerEnd(),
      drain: () => this.#release(),
      close: (error) => this.#closed(error),
    });
    signal?.addEventListener("abort", this.#abort, { once: true });
    if (signal?.aborted === true) this.#abort();
    else this.#flow(true);
  }

  get tls(): TlsFacts | undefined {
    return this.#duplex.tls;
  }

  get open(): boolean {
    return this.#gone === undefined && !this.#peerEnded && !this.#ended;
  }

  async write(data: Uint8Array | string): Promise<void> {
    if (this.#gone !== undefined) throw this.#gone;
    if (this.#ended || this.#closedByNow) throw this.#fault("closed", "it is over");
    if (this.#duplex.write(data)) return;
    await new Promise<void>((resolve) => this.#writers.push(resolve));
    if (this.#gone !== undefined) throw this.#gone;
    if (this.#closedByNow) throw this.#fault("closed", "it is over");
  }

  async read(): Promise<Uint8Array | undefined> {
    return await this.#alone(async () => {
      if (this.#size === 0 && !await this.#more()) return undefined;
      const chunk = this.#unread.shift()!;
      this.#size -= chunk.length;
      return chunk;
    });
  }

  async readExactly(octets: number): Promise<Uint8Array> {
    if (!Number.isInteger(octets) || octets < 0) {
      throw new TypeError("Cannot read: octets is not a whole number");
    }
    return await this.#alone(async () => {
      // The peer is not held up in the middle of what was asked for, however much that is.
      while (this.#size < octets) {
        if (!await this.#more()) throw this.#fail("closed", "the peer ended it too early");
      }
      return this.#take(octets);
    });
  }

  async readLine(limit = LINE_LIMIT): Promise<string | undefined> {
    return await this.#alone(async () => {
      let seen = 0;
      for (let at = 0;; at++) {
        const chunk = this.#unread[at];
        if (chunk === undefined) {
          if (seen > limit + 1) throw this.#fail("overlong", "a line is too long");
          at--;
          if (await this.#more()) continue;
          if (seen > 0) throw this.#fail("closed", "the peer ended it in a line");
          return undefined;
        }
        const found = chunk.indexOf(LF);
        seen += found < 0 ? chunk.length : found + 1;
        if (found < 0) continue;
        const line = this.#take(seen);
        const end = line[line.length - 2] === CR ? line.length - 2 : line.length - 1;
        if (end > limit) throw this.#fail("overlong", "a line is too long");
        return decoder.decode(line.subarray(0, end));
      }
    });
  }

  async startTls(tls: ConnectTls = {}): Promise<void> {
    await this.#alone(async () => {
      if (this.#gone !== undefined) throw this.#gone;
      if (!this.open) throw this.#fail("closed", "it is over");
      // Plain text behind the agreement is an attack or a bug; neither is the server's word (R13).
      if (this.#size > 0) throw this.#fail("tls", "octets came before TLS");
      const error = await new Promise<TransportError | undefined>((done) => {
        this.#wake = () => done(undefined);
        this.#upgrade(tls, done);
      });
      this.#wake = undefined;
      if (error !== undefined) throw this.#fail(error.kind, error.message);
      if (this.#gone !== undefined) throw this.#gone;
    });
  }

  end(): void {
    if (this.#ended || this.#gone !== undefined) return;
    this.#ended = true;
    this.#duplex.end();
  }

  close(): void {
    if (this.#gone !== undefined) return;
    this.end();
    this.#gone = this.#fault("closed", "it was closed by us");
    this.#drop();
    this.#rouse();
    // What the peer still says is thrown away; one that never ends must not hold the socket.
    if (this.#peerEnded) return this.#duplex.destroy();
    this.#flow(true);
    this.#farewell = setTimeout(() => this.#duplex.destroy(), FAREWELL);
  }

  destroy(): void {
    this.#lose(this.#fault("closed", "it was closed by us"));
    clearTimeout(this.#farewell);
    this.#duplex.destroy();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  readonly #abort = (): void => {
    this.#lose(this.#signal?.reason);
    this.#duplex.destroy();
  };

  #data(chunk: Uint8Array): void {
    if (this.#gone !== undefined || chunk.length === 0) return;
    this.#unread.push(chunk);
    this.#size += chunk.length;
    if (this.#size >= MOST_UNREAD && this.#wake === undefined) this.#flow(false);
    this.#wakeReader();
  }

  #peerEnd(): void {
    this.#peerEnded = true;
    if (this.#gone === undefined) this.#wakeReader();
    else this.#duplex.destroy();
  }

  #closed(error: TransportError | undefined): void {
    clearTimeout(this.#farewell);
    this.#closedByNow = true;
    // An end that was told before is not made an error by what comes after it; what was read before it stays readable.
    if (this.#gone === undefined && !(this.#peerEnded && error === undefined)) {
      this.#lose(this.#fault(error?.kind ?? "closed", error?.message ?? "the peer closed it"));
    } else this.#rouse();
    this.#signal?.removeEventListener("abort", this.#abort);
    this.onGone();
  }

  #lose(reason: unknown): void {
    if (this.#gone !== undefined) return;
    this.#gone = reason;
    this.#drop();
    this.#rouse();
  }

  #drop(): void {
    this.#unread = [];
    this.#size = 0;
  }

  #rouse(): void {
    this.#wakeReader();
    this.#release();
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #release(): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const resolve of writers) resolve();
  }

  #flow(flowing: boolean): void {
    if (this.#flowing === flowing) return;
    this.#flowing = flowing;
    if (flowing) this.#duplex.resume();
    else this.#duplex.pause();
  }

  /** Waits for more octets; false at the peer's end. */
  async #more(): Promise<boolean> {
    if (this.#gone !== undefined) throw this.#gone;
    if (this.#peerEnded) return false;
    const before = this.#size;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#flow(true);
    });
    if (this.#gone !== undefined) throw this.#gone;
    return this.#size > before;
  }

  /** The first octets of what is unread, as one array. */
  #take(octets: number): Uint8Array {
    const first = this.#unread[0];
    this.#size -= octets;
    if (first !== undefined && first.length >= octets) {
      if (first.length === octets) this.#unread.shift();
      else this.#unread[0] = first.subarray(octets);
      return first.subarray(0, octets);
    }
    const out = new Uint8Array(octets);
    let at = 0;
    while (at < octets) {
      const chunk = this.#unread[0]!;
      const part = chunk.subarray(0, octets - at);
      out.set(part, at);
      at += part.length;
      if (part.length === chunk.length) this.#unread.shift();
      else this.#unread[0] = chunk.subarray(part.length);
    }
    return out;
  }

  async #alone<T>(run: () => Promise<T>): Promise<T> {
    if (this.#reading) throw new TypeError("Cannot read: another read is waiting");
    this.#reading = true;
    try {
      return await run();
    } finally {
      this.#reading = false;
      if (this.#gone === undefined) this.#flow(this.#size < MOST_UNREAD);
    }
  }

  #fault(kind: Kind, why: string): Fault {
    return new Fault(kind, escapeText(`Connection to ${this.name}: ${why}`));
  }

  #fail(kind: Kind, why: string): unknown {
    this.#lose(this.#fault(kind, why));
    this.#duplex.destroy();
    return this.#gone;
  }
}
