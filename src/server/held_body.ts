/**
 * The content of one message, held back until every verdict is in: in memory up to a limit, then in a temporary file.
 *
 * Owns: copies of the octets, in blocks (so that a message in packets of one octet costs what it weighs), and the file.
 * Never: holds more than the limit and what waits for the disk; leaves the file behind; calls back after `discard`.
 * As a leg does, it answers `write` with false where the caller has to wait for `drained`.
 * @module
 */
import type { SpillFile, SpillStore } from "../transport/spill.ts";

/** Most messages fit into the first block; the others earn large ones. */
const firstBlock = 8 * 1024;
const largestBlock = 64 * 1024;
/** Octets that wait for the disk above which a pause is asked for, and at which it ends. */
const highWater = 4 * largestBlock;
const lowWater = 2 * largestBlock;

/** What a held body is sent to: the part of a leg that takes content. */
export interface BodySink {
  /** False: send no more until told. */
  write(chunk: Uint8Array): boolean;
}

/** One held body. Calls come in order: `write`*, then `sendTo` at most once; `discard` at any time. */
export class HeldBody {
  /** Told when `write` returned false and may go on. */
  drained: () => void = () => {};
  /** Told once, when the disk refuses; from then on octets are thrown away. */
  failed: (cause: unknown) => void = () => {};

  readonly #store: SpillStore;
  readonly #limit: number;
  #size = 0;
  /** Full blocks: all of them while in memory, those that wait for the disk afterwards. */
  #full: Uint8Array[] = [];
  #block: Uint8Array = new Uint8Array(0);
  #used = 0;
  /** Octets in `#full`. */
  #waiting = 0;
  #spilling = false;
  #file: SpillFile | undefined;
  #blocked = false;
  #pumping = false;
  #written: Promise<void> = Promise.resolve();
  #failure: { readonly cause: unknown } | undefined;
  #discarded = false;

  /** `limit`: octets that stay in memory. */
  constructor(store: SpillStore, limit: number) {
    this.#store = store;
    this.#limit = limit;
  }

  /** Octets taken so far. */
  get size(): number {
    return this.#size;
  }

  /** True once memory was not enough. */
  get onDisk(): boolean {
    return this.#spilling;
  }

  /** Takes a copy. False: write no more until `drained`. */
  write(chunk: Uint8Array): boolean {
    if (this.#failure !== undefined || this.#discarded) return true;
    this.#size += chunk.length;
    for (let at = 0; at < chunk.length;) {
      if (this.#used === this.#block.length) this.#turn();
      const count = Math.min(chunk.length - at, this.#block.length - this.#used);
      this.#block.set(chunk.subarray(at, at + count), this.#used);
      this.#used += count;
      at += count;
    }
    if (this.#size <= this.#limit) return true;
    this.#spilling = true;
    this.#pump();
    this.#blocked ||= this.#waiting > highWater;
    return !this.#blocked;
  }

  /**
   * Sends everything, in order, with the sink's back-pressure: `writable` settles when the sink takes octets again. Rejects
   * with what the disk said; gives up silently once `stopped` says so.
   */
  async sendTo(
    sink: BodySink,
    writable: () => Promise<void>,
    stopped: () => boolean,
  ): Promise<void> {
    if (!this.#spilling) {
      for (const block of this.#full.splice(0)) {
        if (stopped()) return;
        if (!sink.write(block)) await writable();
      }
      if (this.#used > 0 && !stopped() && !sink.write(this.#block.subarray(0, this.#used))) {
        await writable();
      }
      return;
    }
    if (this.#used > 0) this.#turn();
    this.#pump();
    await this.#written;
    if (this.#failure !== undefined) throw this.#failure.cause;
    for (let at = 0; at < this.#size && !stopped();) {
      // The sink may keep what it is given: a new array for each read.
      const block = new Uint8Array(Math.min(largestBlock, this.#size - at));
      const count = await this.#file?.read(at, block) ?? 0;
      if (stopped()) return;
      if (count === 0) throw new Error("A held body is shorter than what was written");
      at += count;
      if (!sink.write(count === block.length ? block : block.subarray(0, count))) await writable();
    }
  }

  /** Frees memory and disk. Idempotent. */
  discard(): void {
    if (this.#discarded) return;
    this.#discarded = true;
    this.#full = [];
    this.#block = new Uint8Array(0);
    this.#used = 0;
    void this.#file?.close();
  }

  /** Puts the current block behind the others, and begins another. */
  #turn(): void {
    if (this.#used > 0) {
      const block = this.#used === this.#block.length
        ? this.#block
        : this.#block.subarray(0, this.#used);
      this.#full.push(block);
      this.#waiting += block.length;
    }
    this.#block = new Uint8Array(
      this.#block.length === 0 ? firstBlock : Math.min(2 * this.#block.length, largestBlock),
    );
    this.#used = 0;
  }

  #pump(): void {
    if (this.#pumping || this.#full.length === 0 || this.#failure !== undefined) return;
    this.#pumping = true;
    this.#written = this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    try {
      this.#file ??= await this.#store.create();
      for (let block = this.#full.shift(); block !== undefined; block = this.#full.shift()) {
        await this.#file.write(block);
        this.#waiting -= block.length;
        if (this.#discarded) break;
        if (this.#blocked && this.#waiting <= lowWater) {
          this.#blocked = false;
          this.drained();
        }
      }
    } catch (cause) {
      this.#failure = { cause };
      this.#full = [];
      this.#waiting = 0;
      if (!this.#discarded) this.failed(cause);
    } finally {
      // In the same tick as the look at the empty queue: a block that is queued later starts the pump anew.
      this.#pumping = false;
      // The file may have come to be only after it was given up.
      if (this.#discarded) void this.#file?.close();
    }
  }
}
