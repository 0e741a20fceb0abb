/**
 * Temporary files for held bodies: in one folder, readable by nobody else, and without a name as soon as they are open.
 *
 * A file that has lost its name is freed by the system when the process ends, however it ends. What a kill leaves behind
 * between the two calls, or where an open file cannot lose its name, is removed by {@linkcode SpillFiles.sweep} at the next
 * start; another process that shares the folder loses nothing by it, for it needs no names either.
 * @module
 */
import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { join } from "node:path";
import type { SpillFile, SpillStore } from "../transport/spill.ts";
import { errorCode } from "./node_errors.ts";

type Handle = Awaited<ReturnType<typeof fs.open>>;

const PREFIX = "held-";

/** The files of one folder, which is made when it is first needed. */
export class SpillFiles implements SpillStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes a file that nobody else can open. */
  async create(): Promise<SpillFile> {
    const path = join(this.#folder, `${PREFIX}${randomUUID()}`);
    const handle = await this.#open(path);
    // Windows keeps the name of an open file: then it goes with the close.
    const named = await fs.unlink(path).then(() => false, () => true);
    return new NamelessFile(handle, named ? path : undefined);
  }

  /** Removes what a process that was killed has left. Never rejects: what cannot be removed only takes room. */
  async sweep(): Promise<void> {
    const names = await fs.readdir(this.#folder).catch((): string[] => []);
    await Promise.all(
      names.filter((name) => name.startsWith(PREFIX))
        .map((name) => fs.unlink(join(this.#folder, name)).catch(() => {})),
    );
  }

  async #open(path: string): Promise<Handle> {
    try {
      return await fs.open(path, "wx+", 0o600);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      await fs.mkdir(this.#folder, { recursive: true, mode: 0o700 });
      return await fs.open(path, "wx+", 0o600);
    }
  }
}

class NamelessFile implements SpillFile {
  readonly #handle: Handle;
  readonly #path: string | undefined;
  #size = 0;
  /** The call that runs: a descriptor must not be closed under it, for its number may be another file's by then. */
  #running: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(handle: Handle, path: string | undefined) {
    this.#handle = handle;
    this.#path = path;
  }

  write(octets: Uint8Array): Promise<void> {
    return this.#run(async () => {
      for (let at = 0; at < octets.length;) {
        const { bytesWritten } = await this.#handle.write(
          octets,
          at,
          octets.length - at,
          this.#size,
        );
        at += bytesWritten;
        this.#size += bytesWritten;
      }
    });
  }

  read(at: number, into: Uint8Array): Promise<number> {
    return this.#run(async () => (await this.#handle.read(into, 0, into.length, at)).bytesRead);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  #run<A>(call: () => Promise<A>): Promise<A> {
    if (this.#closed !== undefined) return Promise.reject(new Error("The file is closed"));
    const running = call();
    this.#running = running.catch(() => {});
    return running;
  }

  async #close(): Promise<void> {
    await this.#running;
    await this.#handle.close().catch(() => {});
    if (this.#path !== undefined) await fs.unlink(this.#path).catch(() => {});
  }
}
