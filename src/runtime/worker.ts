/**
 * Workers with the rights they are given: the one adapter over the Web Worker of both runtimes.
 *
 * Not `node:worker_threads`, whose workers have every right on Deno. On Deno the rights are enforced (with `worker-options`
 * among the unstable features, else Deno ends the process and says so); on Bun a worker is a boundary against crashes only.
 * A thread that never gives itself back ends with `terminate` on Bun; Deno 2.9 lets it run. Neither bounds a worker's memory.
 * @module
 */
import { stripVTControlCharacters } from "node:util";
import { moduleFault } from "./module_fault.ts";

interface Order {
  readonly name: string;
  readonly url: string | undefined;
  readonly rights: {
    readonly net: readonly string[] | true;
    readonly read: readonly string[] | true;
  };
  readonly onMessage: (message: unknown) => void;
  readonly onEnd: (why: string) => void;
}

interface Handle {
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  terminate(): void;
}

interface WorkerEvent {
  readonly data?: unknown;
  readonly message?: unknown;
  preventDefault(): void;
}

const onDeno = "Deno" in globalThis;

/** What the runtime can do with workers. */
export const workerPowers: {
  readonly stopsBusyThreads: boolean;
  readonly enforcesRights: boolean;
} = { stopsBusyThreads: !onDeno, enforcesRights: onDeno };

/** Makes workers whose code is `entry`. */
export function workerSpawner(entry: URL): (order: Order) => Handle {
  return (order) => spawn(entry, order);
}

function spawn(entry: URL, { name, url, rights, onMessage, onEnd }: Order): Handle {
  const options = {
    type: "module",
    name,
    deno: {
      permissions: {
        net: mutable(rights.net),
        read: mutable(rights.read),
        env: false,
        ffi: false,
        import: false,
        run: false,
        sys: false,
        write: false,
      },
    },
  };
  const worker = new Worker(
    onDeno && url !== undefined ? letIn(entry, url) : entry,
    options as WorkerOptions,
  );
  let over = false;
  const end = (why: string): void => {
    if (over) return;
    over = true;
    worker.terminate();
    onEnd(why);
  };
  const listen = (type: string, heard: (event: WorkerEvent) => void): void =>
    worker.addEventListener(type, heard as unknown as EventListener);
  listen("message", (event) => {
    if (!over) onMessage(event.data);
  });
  listen("error", (event) => {
    event.preventDefault?.();
    end(reasonOf(String(event.message)));
  });
  listen("close", () => end("It has ended itself"));
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    terminate() {
      over = true;
      worker.terminate();
    },
  };
}

/**
 * A worker may load what its first module imports by name, and nothing else without the right to read: so the plugin and its
 * own imports come in, and stay unreadable for it.
 */
function letIn(entry: URL, url: string): string {
  const source = `import ${JSON.stringify(entry.href)}; import ${JSON.stringify(url)};`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** The first line of what the runtime says, which is coloured, and the place where the module's text is wrong. */
function reasonOf(message: string): string {
  const text = stripVTControlCharacters(message).replace(/^Uncaught (?:\(in promise\) )?/, "");
  const [line = ""] = text.split("\n", 1);
  return /\n {4}at file:\S+$/.test(text) ? moduleFault(text).message : line;
}

function mutable(list: readonly string[] | true): string[] | true {
  return list === true ? true : [...list];
}
