/**
 * One message on its way to the disk: a file under `tmp/`, written in order, in blocks, with a bound on what is held.
 *
 * Owns: the descriptor and the octets not yet written. Chunks are copied, so the caller keeps his.
 * Never: holds more than `highWater` and one chunk; calls back after `discard`; leaves the file behind after `discard`.
 * @module
 */
import { promises as fs } from "node:fs";

type Handle = Awaited<ReturnType<typeof fs.open>>;

/** Octets waiting for the disk above which `write` asks for a pause. */
const highWater = 1024 * 1024;
/** Octets waiting at which the pause ends. */
const lowWater = highWater / 2;
/** Most messages fit into the first block; the others earn large ones. */
const firstBlock = 8 * 1024;
const nextBlock = 64 * 1024;

/** A file that is being written. Calls come in order: `write`*, then `commit`; `discard` at any time. */
export class MessageFile {
  /** Told when `write` returned false and may go on. */
  drained: () => void = () => {};
  /** Told once, when the disk refuses; `commit` then throws the same. */
  failed: (cause: unknown) => void = () => {};

  readonly path: string;
  #handle: Handle | undefined;
  #size = 0;
  #pending = 0;
  #full: Uint8Array[] = [];
  #block: Uint8Array;
  #used = 0;
  #spare: Uint8Array | undefined;
  #blocked = false;
  #pumping = false;
  /** The writing and the fsync that were begun last; neither rejects. */
  #written: Promise<void> = Promise.resolve();
  #synced: Promise<void> = Promise.resolve();
  #failure: { readonly cause: unknown } | undefined;
  #discarded = false;

  private constructor(path: string, handle: Handle) {
    this.path = path;
    this.#handle = handle;
    this.#block = new Uint8Array(firstBlock);
  }

  /** Makes a file that did not exist. */
  static async create(path: string): Promise<MessageFile> {
    return new MessageFile(path, await fs.open(path, "wx", 0o600));
  }

  /** Octets taken so far. */
  get size(): number {
    return this.#size;
  }

  /** Takes octets. False: write no more until `drained`. After a failure octets are thrown away and the answer is true. */
  write(chunk: Uint8Array): boolean {
    if (this.#failure !== undefined || this.#discarded) return true;
    this.#size += chunk.length;
    this.#pending += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      const count = Math.min(chunk.length - at, this.#block.length - this.#used);
      this.#block.set(chunk.subarray(at, at + count), this.#used);
      this.#used += count;
      at += count;
      if (this.#used === this.#block.length) this.#turn();
    }
    if (this.#full.length > 0) this.#pump();
    this.#blocked ||= this.#pending > highWater;
    return !this.#blocked;
  }

  /** Puts everything on the disk (fsync) and closes the file. Throws what the disk said. */
  commit(): Promise<void> {
    const done = this.#commit();
    this.#synced = done.catch(() => {});
    return done;
  }

  async #commit(): Promise<void> {
    if (this.#used > 0) this.#turn();
    this.#pump();
    await this.#written;
    if (this.#failure !== undefined) throw this.#failure.cause;
    if (this.#handle === undefined || this.#discarded) throw new Error("the message was given up");
    await this.#handle.sync();
    await this.#close();
  }

  /** Closes and removes the file; what was written elsewhere by then (a link) stays. Never throws; idempotent. */
  async discard(): Promise<void> {
    this.#discarded = true;
    // The descriptor must not be closed under a call that is still running: its number may be another file by then.
    await this.#written;
    await this.#synced;
    try {
      await this.#close();
    } catch {
      // Nothing that was acknowledged depends on this descriptor: after fsync its close has nothing left to say.
    }
    // What cannot be removed now is removed as a leftover at a later start.
    await fs.unlink(this.path).catch(() => {});
  }

  /** Moves the current block behind the others. */
  #turn(): void {
    this.#full.push(
      this.#used === this.#block.length ? this.#block : this.#block.subarray(0, this.#used),
    );
    this.#block = this.#spare ?? new Uint8Array(nextBlock);
    this.#spare = undefined;
    this.#used = 0;
  }

  #pump(): void {
    if (this.#pumping || this.#full.length === 0) return;
    this.#pumping = true;
    this.#written = this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    const handle = this.#handle;
    try {
      for (let block = this.#full.shift(); block !== undefined; block = this.#full.shift()) {
        for (let at = 0; at < block.length;) {
          if (this.#discarded || handle === undefined) return;
          at += (await handle.write(block, at, block.length - at, null)).bytesWritten;
        }
        this.#pending -= block.length;
        if (block.length === nextBlock) this.#spare = block;
        if (this.#blocked && this.#pending <= lowWater && !this.#discarded) {
          this.#blocked = false;
          this.drained();
        }
      }
    } catch (cause) {
      this.#failure = { cause };
      this.#full = [];
      this.#pending = 0;
      if (!this.#discarded) this.failed(cause);
    } finally {
      // In the same tick as the look at the empty queue: a block that is queued later starts the pump anew.
      this.#pumping = false;
    }
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}
