/**
 * One end of a test connection, read line by line or chunk by chunk.
 *
 * Owns: the socket, the octets not yet read, the transcript, and the guard of every wait.
 * Never: sleeps, hides how a connection ended, takes anything but CRLF for a line end.
 * What nobody reads stays in the socket above 64 KiB, so that back-pressure is real.
 * @module
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import process from "node:process";
import * as tls from "node:tls";
import type { LineEnd } from "../../src/testing/lines.ts";
import { guarded as guardedFor, Transcript } from "../../src/testing/waiting.ts";
import { MemorySocket } from "./memory_socket.ts";

export { Transcript };

/** How the peer ended a connection: FIN (or close_notify), or reset (RST, broken TLS). Deno tells a truncated TLS stream as `end`. */
export type Ending = "end" | "reset";

/** A wait that is longer than this fails its test. It is not a delay: nothing waits for it. */
export const guardTime = 20_000;
const held = 64 * 1024;

/** Waits for an event; fails with `describe()` when it does not come. */
export function guarded<T>(event: Promise<T>, describe: () => string): Promise<T> {
  return guardedFor(event, describe, guardTime);
}

/** One end of a connection. One reader at a time; anybody may wait for its end. */
export class LineSocket implements LineEnd {
  readonly transcript: Transcript;
  /** Resolves when the socket is gone, at either end's will. */
  readonly destroyed: Promise<void>;
  #gone: () => void = () => {};
  #socket: Socket;
  /** Under TLS: the socket below it. */
  #plain: Socket | undefined;
  #buffer: Buffer[] = [];
  #size = 0;
  #ending: Ending | undefined;
  #waiting: (() => void)[] = [];
  #writing: Promise<void> = Promise.resolve();
  readonly #split: number;

  /** `split`: octets a write carries at most; undefined: no limit. */
  constructor(socket: Socket, transcript: Transcript, split?: number) {
    this.#socket = socket;
    this.transcript = transcript;
    this.#split = split ?? Infinity;
    this.destroyed = new Promise((resolve) => this.#gone = resolve);
    this.#listen(socket);
  }

  /** How the peer has ended the connection so far. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  get secure(): boolean {
    return this.#socket instanceof tls.TLSSocket;
  }

  /** Octets that have arrived and were not read. */
  get unread(): number {
    return this.#size;
  }

  /** What has arrived and was not read, as text; it stays there. */
  peek(): string {
    return Buffer.concat(this.#buffer).toString("utf8");
  }

  /** The next line without its CRLF; undefined at the end of the connection. */
  line(): Promise<string | undefined> {
    return this.#line("a line");
  }

  /** The same for a server, which waits as long as its client likes. */
  next(): Promise<string | undefined> {
    return this.#line(undefined);
  }

  async #line(what: string | undefined): Promise<string | undefined> {
    const octets = await this.take((all) => {
      const at = all.indexOf("\r\n");
      return at < 0 ? undefined : at + 2;
    }, what);
    if (octets === undefined) return undefined;
    const text = octets.subarray(0, -2).toString("utf8");
    this.transcript.add("<", text);
    return text;
  }

  /** Whatever has arrived, at least one octet; undefined at the end of the connection. */
  async chunk(): Promise<Buffer | undefined> {
    return await this.take((all) => all.length === 0 ? undefined : all.length, undefined);
  }

  /** As many octets as `measure` says are complete; without `what` the wait has no guard. Undefined at the end of the connection. */
  async take(
    measure: (all: Buffer) => number | undefined,
    what: string | undefined,
  ): Promise<Buffer | undefined> {
    for (;;) {
      const all = this.#buffer.length === 1 ? this.#buffer[0] : Buffer.concat(this.#buffer);
      if (all === undefined) break;
      const count = measure(all);
      if (count !== undefined) {
        this.#keep([all.subarray(count)]);
        return all.subarray(0, count);
      }
      this.#buffer = [all];
      if (this.#ending !== undefined) return undefined;
      await this.#event(what);
    }
    return undefined;
  }

  /** Puts octets back in front of what was not read. */
  unshift(octets: Buffer): void {
    this.#keep([octets, ...this.#buffer]);
  }

  #keep(parts: Buffer[]): void {
    this.#buffer = parts.filter((part) => part.length > 0);
    this.#size = this.#buffer.reduce((sum, part) => sum + part.length, 0);
  }

  #event(what: string | undefined): Promise<void> {
    // Whoever waits wants more, however much there is.
    this.#socket.resume();
    const event = new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (what === undefined) return event;
    return guarded(
      event,
      () => `${what}\n${this.transcript}\nunread: ${JSON.stringify(this.peek().slice(0, 300))}`,
    );
  }

  /** Waits for the end of the connection. Octets that come before it stay to be read. */
  async ended(): Promise<Ending> {
    while (this.#ending === undefined) await this.#event("the end of the connection");
    return this.#ending;
  }

  /** Something happened: everybody who waits looks again. */
  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  /** Sends octets, in order; resolves when the kernel has them, or when nobody takes them any more. */
  write(octets: Uint8Array | string): Promise<void> {
    const all = Buffer.from(octets);
    if (all.length === 0) return this.#writing;
    this.transcript.add(">", all);
    return this.#writing = this.#writing.then(async () => {
      for (let at = 0; at < all.length; at += this.#split) {
        await this.#writeOne(all.subarray(at, Math.min(all.length, at + this.#split)));
      }
    });
  }

  #writeOne(part: Buffer): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return Promise.resolve();
    return new Promise((resolve) => {
      // A peer that is gone is told by `ending`, and the callback may not come then.
      socket.once("close", resolve);
      socket.write(part, () => {
        socket.off("close", resolve);
        resolve();
      });
    });
  }

  /** Half-closes: FIN (behind close_notify). */
  async end(): Promise<void> {
    await this.#writing;
    if (!this.#socket.destroyed) this.#socket.end();
  }

  /** RST. Under TLS the runtimes make it a FIN without close_notify: a truncated stream. */
  async reset(): Promise<void> {
    await this.#writing;
    this.#ending ??= "end";
    (this.#plain ?? this.#socket).resetAndDestroy();
    this.#socket.destroy();
    this.#wake();
  }

  /** Gone at once. */
  destroy(): void {
    this.#ending ??= "end";
    this.#socket.destroy();
    this.#gone();
    this.#wake();
  }

  /** TLS, server side. What was read in plain text before is thrown away. */
  upgradeServer(identity: { readonly cert: string; readonly key: string }): Promise<void> {
    const plain = this.#leave();
    const secure = new tls.TLSSocket(plain, { isServer: true, ...identity });
    return this.#handshake(secure, "secure");
  }

  /** TLS, client side. */
  async upgradeClient(options: tls.ConnectionOptions = {}): Promise<void> {
    const plain = this.#leave();
    if (plain instanceof MemorySocket) {
      this.#listen(plain);
      await plain.upgrade();
      this.transcript.add("*", "TLS");
      return;
    }
    const secure = tls.connect({ rejectUnauthorized: false, ...options, socket: plain });
    await this.#handshake(secure, "secureConnect");
  }

  #leave(): Socket {
    const plain = this.#socket;
    this.#plain = plain;
    plain.removeAllListeners("data");
    plain.removeAllListeners("end");
    plain.removeAllListeners("close");
    this.#keep([]);
    return plain;
  }

  async #handshake(secure: tls.TLSSocket, event: "secure" | "secureConnect"): Promise<void> {
    this.#socket = secure;
    let done = false;
    secure.once(event, () => {
      done = true;
      this.#wake();
    });
    this.#listen(secure);
    while (!done && this.#ending === undefined) await this.#event("the TLS handshake");
    if (!done) throw new Error(`the TLS handshake failed\n${this.transcript}`);
    this.transcript.add("*", "TLS");
  }

  #listen(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.#buffer.push(chunk);
      this.#size += chunk.length;
      if (this.#size >= held) socket.pause();
      this.#wake();
    });
    const over = (ending: Ending) => {
      if (this.#ending === undefined) {
        this.#ending = ending;
        this.transcript.add("*", `the peer's ${ending}`);
      }
      this.#wake();
    };
    socket.on("end", () => over("end"));
    socket.on("error", (error) => {
      this.transcript.add("*", error.message);
      over("reset");
    });
    socket.on("close", () => {
      over("reset");
      this.#gone();
    });
  }
}

/** The name of this runtime, for the few tests that must know. */
export const runtime: "deno" | "bun" = process.versions["bun"] === undefined ? "deno" : "bun";
