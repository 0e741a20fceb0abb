/**
 * What a file says, read at the start and again when it changes.
 * @module
 */
import type { Edge } from "@postern/postern/plugin";

/** A file, read. */
export interface Watched<T> {
  /** Undefined while the file cannot be read. */
  readonly current: T | undefined;
  /** Stops watching. */
  close(): void;
}

/**
 * Reads a file and watches it. A file that cannot be read at the start rejects; one that cannot be read later says nothing
 * until it can, for the old state may hold what was taken out.
 */
export async function watched<T>(
  edge: Edge,
  file: string,
  parse: (text: string) => T,
): Promise<Watched<T>> {
  let current: T | undefined = parse(await edge.readText(file));
  let latest = 0;
  const close = edge.watchFile(file, async () => {
    const mine = ++latest;
    let fresh: T | undefined;
    try {
      fresh = parse(await edge.readText(file));
    } catch (cause) {
      edge.log.error("Cannot read file", {
        file,
        cause: cause instanceof Error ? cause.message : String(cause),
      });
    }
    // Two changes in a row: only the newest reading counts.
    if (mine === latest) current = fresh;
  });
  return {
    get current() {
      return current;
    },
    close,
  };
}
