/**
 * The process's clockwork: the few timers there are.
 * @module
 */

/** Runs a function every so many milliseconds, without keeping the process alive; returns how to stop. */
export function every(ms: number, run: () => void): () => void {
  const timer = setInterval(run, ms);
  unref(timer);
  return () => clearInterval(timer);
}

/** Runs a function once, without keeping the process alive; returns how to prevent it. */
export function later(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  unref(timer);
  return () => clearTimeout(timer);
}

function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
  // Deno's own timers are numbers.
  const deno = (globalThis as { Deno?: { unrefTimer?: (id: number) => void } }).Deno;
  if (typeof timer === "number") deno?.unrefTimer?.(timer);
}
