/**
 * So many at once, the others in the order they came.
 * @module
 */

/** Runs functions, at most `count` at a time. Who waits when its signal is aborted leaves the queue with its reason. */
export function permits(
  count: number,
): <T>(signal: AbortSignal, run: () => Promise<T>) => Promise<T> {
  let free = count;
  const waiting = new Set<() => void>();

  const release = (): void => {
    const [next] = waiting;
    if (next === undefined) free++;
    else {
      waiting.delete(next);
      next();
    }
  };

  async function turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (free > 0) {
      free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        waiting.delete(go);
        reject(signal.reason);
      };
      waiting.add(go);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  return async (signal, run) => {
    await turn(signal);
    try {
      return await run();
    } finally {
      release();
    }
  };
}
