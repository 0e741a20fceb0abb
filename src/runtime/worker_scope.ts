/**
 * The inside of a worker: its line to who made it, what nobody caught, and a guard for code that may never end.
 * @module
 */
import process from "node:process";
import vm from "node:vm";

interface Scope {
  postMessage(message: unknown): void;
  addEventListener(
    type: string,
    heard: (
      event: {
        readonly data?: unknown;
        readonly error?: unknown;
        readonly reason?: unknown;
        preventDefault(): void;
      },
    ) => void,
  ): void;
}

type Ending = (code?: number) => unknown;

const close = () => globalThis.close();
const scope = globalThis as unknown as Scope;
const post = scope.postMessage.bind(globalThis);

/** Throws where the message cannot be cloned. */
export function postToHost(message: unknown): void {
  post(message);
}

export function listenToHost(heard: (message: unknown) => void): void {
  scope.addEventListener("message", (event) => heard(event.data));
}

/** What nobody caught, in place of the end of the worker; and that it ends itself, which Deno tells nobody. */
export function onWorkerStray(told: (cause: unknown) => void): void {
  const { Deno } = globalThis as unknown as { readonly Deno?: { exit: Ending } };
  const global = globalThis as unknown as { close?: Ending };
  if (Deno === undefined) {
    process.on("unhandledRejection", told);
    process.on("uncaughtException", told);
    return;
  }
  const ends = (end: Ending): Ending => (code) => {
    told(new Error("It has ended itself"));
    return end(code);
  };
  Deno.exit = ends(Deno.exit);
  process.exit = ends(process.exit as Ending) as typeof process.exit;
  global.close = ends(() => close());
  scope.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    told(event.reason);
  });
  scope.addEventListener("error", (event) => {
    event.preventDefault();
    told(event.error);
  });
}

const SLOT = Symbol.for("postern.guarded");
const slot = globalThis as unknown as { [SLOT]: (() => unknown) | undefined };
const call = new vm.Script('globalThis[Symbol.for("postern.guarded")]()');

/**
 * Runs synchronous code with the runtime's watchdog behind it: after `ms` it is broken off, and what `held` gives is thrown.
 * What goes on in a later turn (behind an `await`, in a timer) is not guarded.
 */
export function guarded<T>(ms: number, run: () => T, held: () => unknown): T {
  let result: { readonly value: T } | { readonly cause: unknown } | undefined;
  const outer = slot[SLOT];
  slot[SLOT] = () => {
    try {
      result = { value: run() };
    } catch (cause) {
      result = { cause };
    }
  };
  try {
    call.runInThisContext({ timeout: Math.max(1, Math.ceil(ms)) });
  } catch (cause) {
    result ??= { cause: held() ?? cause };
  } finally {
    slot[SLOT] = outer;
  }
  if (result === undefined || "cause" in result) throw result?.cause;
  return result.value;
}
