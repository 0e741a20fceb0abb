/**
 * The port to temporary files: where a held body goes that is too large for memory. The real one is in `runtime`.
 *
 * A file has no name that matters and no life beyond its `close`; whoever made it closes it in every end.
 * @module
 */

/** One temporary file. Calls come one at a time, but for `close`. */
export interface SpillFile {
  /** Adds octets at the end; rejects where the disk refuses. The array may be changed once it has settled. */
  write(octets: Uint8Array): Promise<void>;
  /** Octets from this position on, into the array; gives how many: 0 at the end. */
  read(at: number, into: Uint8Array): Promise<number>;
  /** Frees the disk; what still runs ends first. Never rejects; idempotent. */
  close(): Promise<void>;
}

/** Makes temporary files. */
export interface SpillStore {
  /** A new file; rejects where none can be made. */
  create(): Promise<SpillFile>;
}

/** Files in memory, for tests and for those who have no disk. */
export class MemorySpill implements SpillStore {
  /** Files made and not closed. */
  open = 0;
  /** Files made. */
  made = 0;

  /** Makes a file. */
  create(): Promise<SpillFile> {
    this.open++;
    this.made++;
    const parts: Uint8Array[] = [];
    let closed = false;
    return Promise.resolve({
      write: (octets) => {
        parts.push(octets.slice());
        return Promise.resolve();
      },
      read: (at, into) => {
        let start = 0;
        for (const part of parts) {
          if (at < start + part.length) {
            const piece = part.subarray(at - start, at - start + into.length);
            into.set(piece);
            return Promise.resolve(piece.length);
          }
          start += part.length;
        }
        return Promise.resolve(0);
      },
      close: () => {
        if (!closed) this.open--;
        closed = true;
        return Promise.resolve();
      },
    });
  }
}
