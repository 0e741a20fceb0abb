/**
 * A file of lines that is appended to and kept within a size: when it is half of that it becomes `NAME.1`, in the place of
 * the one before, and a new one is begun.
 *
 * Several processes may append to one file: it is opened for appending, every write is of whole lines, and who finds that
 * the file was moved away opens the new one. Two that move it in the same instant lose the older half, and no line of the
 * newer. A line that was cut by a crash or a full disk stays alone: what comes next begins with a line end.
 * @module
 */
import { Buffer } from "node:buffer";
import { type FileHandle, mkdir, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode } from "./node_errors.ts";

/** Appends whole lines. Calls must not overlap. */
export class LineFile {
  readonly path: string;
  readonly #limit: number;
  #handle: FileHandle | undefined;
  /** Which file the handle is of. */
  #identity = "";
  #size = 0;

  /** `limit`: octets of both files together. */
  constructor(path: string, limit: number) {
    this.path = path;
    this.#limit = Math.ceil(limit / 2);
  }

  /** Rejects with the system's error; the next call begins anew. */
  async append(lines: string): Promise<void> {
    try {
      let handle = await this.#current();
      if (this.#size >= this.#limit) {
        await rename(this.path, previous(this.path));
        await this.close();
        handle = await this.#current();
      }
      const octets = Buffer.from(lines);
      for (let at = 0; at < octets.length;) {
        const { bytesWritten } = await handle.write(octets, at, octets.length - at);
        at += bytesWritten;
        this.#size += bytesWritten;
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  /** The file of this name: the open one, unless somebody has moved it away. */
  async #current(): Promise<FileHandle> {
    if (this.#handle !== undefined && await identityOf(this.path) === this.#identity) {
      return this.#handle;
    }
    await this.close();
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    const handle = this.#handle = await open(this.path, "a+", 0o600);
    const { ino, dev, size } = await handle.stat();
    this.#identity = `${dev}:${ino}`;
    this.#size = size;
    if (size > 0 && await lastOctet(handle, size) !== 0x0a) {
      await handle.write(Buffer.from("\n"), 0, 1);
      this.#size += 1;
    }
    return handle;
  }
}

/** The lines of a file of this kind, oldest first, those of its predecessor before them; none where there is none. */
export async function* linesOf(path: string): AsyncGenerator<string> {
  yield* linesOfOne(previous(path));
  yield* linesOfOne(path);
}

async function* linesOfOne(path: string): AsyncGenerator<string> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  try {
    const buffer = Buffer.allocUnsafe(262_144);
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      const lines = (rest + decoder.decode(buffer.subarray(0, bytesRead), { stream: true }))
        .split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
    if (rest !== "") yield rest;
  } finally {
    await handle.close();
  }
}

function previous(path: string): string {
  return `${path}.1`;
}

async function identityOf(path: string): Promise<string> {
  try {
    const { ino, dev } = await stat(path);
    return `${dev}:${ino}`;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}

async function lastOctet(handle: FileHandle, size: number): Promise<number | undefined> {
  const octet = Buffer.alloc(1);
  await handle.read(octet, 0, 1, size - 1);
  return octet[0];
}
