/**
 * The host's end of a worker's `edge`: what it asks is asked of the plugin's real edge, under the same rules, and files
 * only where the worker may read itself.
 * @module
 */
import type { Edge } from "../plugin/edge.ts";
import { describe } from "../pipeline/text.ts";
import type { FactsOut } from "./facts.ts";
import { coversPath } from "./grant.ts";
import type { WorkerRights } from "./port.ts";
import type { HostService, ToGuest, ToHost } from "./protocol.ts";

/** What it needs. */
export interface HostEdgeOptions {
  readonly edge: Edge;
  readonly rights: WorkerRights;
  readonly resolve: (path: string) => string;
  readonly facts: FactsOut;
  readonly send: (message: ToGuest) => void;
}

/** A worker may not make its host watch more files than this. */
const WATCHES_LIMIT = 100;

/** Serves one worker; `close` stops what it watches. */
export class HostEdge {
  readonly #options: HostEdgeOptions;
  readonly #watches = new Map<number, () => void>();

  constructor(options: HostEdgeOptions) {
    this.#options = options;
  }

  /** True: the message was for the edge. What it throws is the worker's fault. */
  take(message: ToHost): boolean {
    const { edge, facts } = this.#options;
    switch (message.say) {
      case "ask":
        void this.#answer(message.id, message.service, message.args);
        return true;
      case "log":
        if (["debug", "info", "warn", "error"].includes(message.level)) {
          edge.log[message.level](message.message, message.fields);
        }
        return true;
      case "metric":
        if (message.kind === "count") edge.metrics.count(message.name, message.value);
        else edge.metrics.observe(message.name, message.value);
        return true;
      case "note": {
        const on = facts.find(message.session, message.tx);
        if (on !== undefined) edge.note(message.name).set(on, message.value);
        return true;
      }
      case "watch":
        this.#watch(message.watch, message.path);
        return true;
      case "unwatch":
        this.#watches.get(message.watch)?.();
        this.#watches.delete(message.watch);
        return true;
      default:
        return false;
    }
  }

  close(): void {
    for (const stop of this.#watches.values()) stop();
    this.#watches.clear();
  }

  async #answer(id: number, service: HostService, args: readonly unknown[]): Promise<void> {
    const { send } = this.#options;
    try {
      send({ say: "told", id, value: await this.#serve(service, args) });
    } catch (cause) {
      send({ say: "failed", id, message: describe(cause) });
    }
  }

  #serve(service: HostService, args: readonly unknown[]): unknown {
    const { edge } = this.#options;
    const [first, ...rest] = args;
    switch (service) {
      case "window":
      case "bucket":
      case "takeAll":
      case "seen":
      case "get":
      case "set":
      case "add":
      case "delete": {
        const call = edge.state[service] as (key: unknown, ...rest: readonly unknown[]) => unknown;
        return call(first, ...rest);
      }
      case "readText":
        return edge.readText(this.#readable(first));
      case "resolve": {
        const call = edge.dns.resolve as (...args: readonly unknown[]) => unknown;
        return call(first, rest[0]);
      }
      case "verify":
      case "hash": {
        const call = edge.passwords[service] as (...args: readonly unknown[]) => unknown;
        return call(...args);
      }
      default:
        throw new TypeError("There is no such service");
    }
  }

  #watch(watch: number, path: unknown): void {
    const { edge, send } = this.#options;
    try {
      if (this.#watches.size >= WATCHES_LIMIT) throw new RangeError("It watches too many files");
      if (this.#watches.has(watch)) throw new RangeError("There is such a watch already");
      const stop = edge.watchFile(
        this.#readable(path),
        () => send({ say: "changed", watch, now: edge.clock.now() }),
      );
      this.#watches.set(watch, stop);
    } catch (cause) {
      edge.log.error("cannot watch a file", { path: String(path), cause: describe(cause) });
    }
  }

  #readable(path: unknown): string {
    const { rights, resolve } = this.#options;
    const text = typeof path === "string" ? path : "";
    const { read } = rights;
    if (read === true || read.some((have) => coversPath(have, resolve(text)))) return text;
    throw new TypeError(
      `A worker plugin reads what its manifest asks for and the configuration grants, not ${text}`,
    );
  }
}
