/**
 * What this room needs of a worker; `src/runtime/worker.ts` has it for both runtimes, from both ends.
 * @module
 */

/** What a worker may do, where the runtime can hold it to that. */
export interface WorkerRights {
  /** `host` or `host:port`; true: any. */
  readonly net: readonly string[] | true;
  /** Absolute paths; true: any. */
  readonly read: readonly string[] | true;
}

/** A worker, from outside. */
export interface WorkerHandle {
  /** Throws where the message cannot be cloned. */
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** Ends it, and hears nothing more of it. */
  terminate(): void;
}

/** What a worker is made from. */
export interface WorkerOrder {
  /** Stands in what the runtime says of it. */
  readonly name: string;
  /** The plugin's file; where the runtime asks for rights to import, it is let in with what it imports. */
  readonly url: string | undefined;
  readonly rights: WorkerRights;
  readonly onMessage: (message: unknown) => void;
  /** It broke and is no more; told at most once, as long as it was not terminated. */
  readonly onEnd: (why: string) => void;
}

/** How workers are made. */
export interface Workers {
  /** Throws where the runtime refuses. */
  spawn(order: WorkerOrder): WorkerHandle;
  /** False: the runtime does not stop a thread that never gives itself back. */
  readonly stopsBusyThreads: boolean;
  /** False: rights are not enforced. */
  readonly enforcesRights: boolean;
  /** Runs once, later; returns how to prevent it. */
  later(ms: number, run: () => void): () => void;
}

/** A worker, from inside. */
export interface WorkerScope {
  post(message: unknown): void;
  listen(heard: (message: unknown) => void): void;
  /** What nobody caught. */
  onStray(told: (cause: unknown) => void): void;
  /** Runs synchronous code; what holds the thread longer than this is broken off by {@linkcode Held}. */
  guard<T>(ms: number, run: () => T): T;
  /** Machine time, milliseconds since the epoch. */
  now(): number;
}

/** Code held its thread for too long. */
export class Held extends Error {
  override readonly name = "Held";
  /** It had this many milliseconds. */
  readonly ms: number;
  constructor(ms: number) {
    super(`It held the thread for ${ms} ms`);
    this.ms = ms;
  }
}
