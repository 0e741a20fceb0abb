/**
 * One end of a connection in memory, read line by line.
 *
 * Owns: the octets not yet read, the transcript, the guard of every wait. Never: takes anything but CRLF for a line end.
 * @module
 */
import type { Duplex, Network, TlsServerContext, TransportError } from "../transport/duplex.ts";
import { CR, LF } from "../wire/bytes.ts";
import { guarded, Transcript } from "./waiting.ts";

/** As much of a connection as a dialogue needs. */
export interface LineEnd {
  /** Both directions. */
  readonly transcript: Transcript;
  /** Octets that have arrived and were not read. */
  readonly unread: number;
  /** The same as text; they stay there. */
  peek(): string;
  /** The next line without its CRLF, under a guard; undefined at the end of the connection. */
  line(): Promise<string | undefined>;
  /** The same for a server, which waits as long as its client likes. */
  next(): Promise<string | undefined>;
  /** Sends octets; resolves when they have left, or nobody takes them any more. */
  write(octets: Uint8Array | string): Promise<void>;
  /** Half-closes. */
  end(): Promise<void>;
  /** Breaks off. */
  reset(): Promise<void>;
  /** Waits for the peer's end; octets that come before it stay to be read. */
  ended(): Promise<unknown>;
  /** Gone at once. */
  destroy(): void;
  /** TLS, client side. */
  upgradeClient(): Promise<void>;
}

const EMPTY = new Uint8Array(0);

/** A connected end. One reader at a time; anybody may wait for its end. */
export class MemoryLines implements LineEnd {
  readonly transcript: Transcript;
  readonly #duplex: Duplex;
  readonly #patience: number;
  #buffer: Uint8Array = EMPTY;
  #over = false;
  #blocked = false;
  #waiting: (() => void)[] = [];

  /** `patience`: milliseconds of real time that a wait under guard may take. */
  constructor(duplex: Duplex, transcript: Transcript, patience: number) {
    this.#duplex = duplex;
    this.transcript = transcript;
    this.#patience = patience;
    duplex.handle({
      data: (chunk) => {
        this.#buffer = joined(this.#buffer, chunk);
        this.#wake();
      },
      end: () => this.#ended("the peer's end"),
      drain: () => {
        this.#blocked = false;
        this.#wake();
      },
      close: (error) => this.#ended(error?.message ?? "the peer's end"),
    });
    duplex.resume();
  }

  /** Connects by a network in memory. */
  static connect(network: Network, port: number, patience: number): Promise<MemoryLines> {
    return new Promise((resolve, reject) => {
      network.connect({ host: "127.0.0.1", port }, { timeout: patience }, (result) => {
        if ("error" in result) reject(new Error(result.error.message));
        else resolve(new MemoryLines(result, new Transcript(), patience));
      });
    });
  }

  get unread(): number {
    return this.#buffer.length;
  }

  peek(): string {
    return new TextDecoder().decode(this.#buffer);
  }

  async line(): Promise<string | undefined> {
    return textOf(await this.#octets("a line"));
  }

  async next(): Promise<string | undefined> {
    return textOf(await this.#octets(undefined));
  }

  /** As `next`, before it is made text of. */
  nextOctets(): Promise<Uint8Array | undefined> {
    return this.#octets(undefined);
  }

  async #octets(what: string | undefined): Promise<Uint8Array | undefined> {
    for (let from = 0;;) {
      const end = lineEnd(this.#buffer, from);
      if (end >= 0) {
        const line = this.#buffer.subarray(0, end);
        this.#buffer = this.#buffer.subarray(end + 2);
        this.transcript.add("<", line);
        return line;
      }
      from = Math.max(0, this.#buffer.length - 1);
      if (this.#over) return undefined;
      await this.#event(what);
    }
  }

  async ended(): Promise<void> {
    while (!this.#over) await this.#event("the end of the connection");
  }

  async write(octets: Uint8Array | string): Promise<void> {
    if (octets.length === 0) return;
    this.transcript.add(">", octets);
    this.#blocked = !this.#duplex.write(octets) && this.#duplex.pending > 0;
    while (this.#blocked && !this.#over) await this.#event(undefined);
  }

  async end(): Promise<void> {
    this.#duplex.end();
  }

  async reset(): Promise<void> {
    this.#duplex.destroy(true);
    this.#ended("our own reset");
  }

  destroy(): void {
    this.#duplex.destroy();
    this.#ended("our own end");
  }

  upgradeClient(): Promise<void> {
    const options = {
      serverName: "localhost",
      verify: false,
      minVersion: "1.2" as const,
      handshakeTimeout: this.#patience,
    };
    return this.#upgrade((done) => this.#duplex.upgradeClient(options, done));
  }

  /** TLS, server side, as the network in memory plays it. */
  upgradeServer(context: TlsServerContext): Promise<void> {
    return this.#upgrade((done) => this.#duplex.upgradeServer(context, "", done));
  }

  async #upgrade(
    start: (done: (error: TransportError | undefined) => void) => void,
  ): Promise<void> {
    this.#buffer = EMPTY;
    const done = new Promise<void>((resolve, reject) =>
      start((error) => error === undefined ? resolve() : reject(new Error(error.message)))
    );
    await guarded(done, () => `the TLS handshake\n${this.transcript}`, this.#patience);
    this.transcript.add("*", "TLS");
  }

  #event(what: string | undefined): Promise<void> {
    const event = new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (what === undefined) return event;
    const describe = () => `${what}\n${this.transcript}\nunread: ${JSON.stringify(this.peek())}`;
    return guarded(event, describe, this.#patience);
  }

  #ended(how: string): void {
    if (!this.#over) this.transcript.add("*", how);
    this.#over = true;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Where the first CRLF from here on begins; -1: there is none yet. */
function lineEnd(octets: Uint8Array, from: number): number {
  for (let at = octets.indexOf(LF, from); at >= 0; at = octets.indexOf(LF, at + 1)) {
    if (at > 0 && octets[at - 1] === CR) return at - 1;
  }
  return -1;
}

function textOf(octets: Uint8Array | undefined): string | undefined {
  return octets === undefined ? undefined : new TextDecoder().decode(octets);
}
