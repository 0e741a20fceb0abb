/**
 * The `edge` of a plugin inside its worker: verdicts and checks are made here, everything else is asked of the host, or
 * told it.
 * @module
 */
import {
  type EdgeOwner,
  makeEdge,
  type Notes,
  type PipelineServices,
} from "../pipeline/make_edge.ts";
import type { DnsAnswer } from "../plugin/dns.ts";
import type { Edge, Take } from "../plugin/edge.ts";
import type { HostService, ToHost } from "./protocol.ts";

/** What the edge needs of the guest. */
export interface HostLine {
  send(message: ToHost): void;
  ask(service: HostService, args: readonly unknown[]): Promise<unknown>;
  now(): number;
  /** Registers a watch's callback; returns its number. */
  watch(changed: () => void): number;
  unwatch(watch: number): void;
  /** A callback of the plugin broke. */
  broke(cause: unknown): void;
}

/** Makes it. `network` is the worker's own, under its rights. */
export function guestEdge(
  host: HostLine,
  notes: Notes,
  network: PipelineServices["network"],
): Edge {
  const owner: EdgeOwner = {
    name: "",
    statePrefix: "",
    // What a shadow plugin gives is kept apart by the host.
    shadow: false,
    disposers: new Set(),
    broke: (cause) => host.broke(cause),
  };
  const asked = <T>(service: HostService, ...args: readonly unknown[]) =>
    host.ask(service, args) as Promise<T>;
  return makeEdge(
    {
      clock: { now: () => host.now() },
      state: {
        window: (...args) => asked<Take>("window", ...args),
        takeAll: (requests) => asked<readonly Take[]>("takeAll", requests),
        bucket: (...args) => asked<Take>("bucket", ...args),
        seen: (...args) => asked<boolean>("seen", ...args),
        get: (...args) => asked<string | undefined>("get", ...args),
        set: (...args) => asked<void>("set", ...args),
        add: (...args) => asked<number>("add", ...args),
        delete: (...args) => asked<void>("delete", ...args),
      },
      log: ({ level, message, fields }) => host.send({ say: "log", level, message, fields }),
      metrics: {
        count: (_, name, value) => host.send({ say: "metric", kind: "count", name, value }),
        observe: (_, name, value) => host.send({ say: "metric", kind: "observe", name, value }),
      },
      report: () => {},
      network,
      readText: (path) => asked<string>("readText", path),
      watchFile: (path, changed) => {
        const watch = host.watch(changed);
        host.send({ say: "watch", watch, path });
        return () => {
          host.unwatch(watch);
          host.send({ say: "unwatch", watch });
        };
      },
      passwords: {
        verify: (hash, password) => asked<boolean>("verify", hash, password),
        hash: (password) => asked<string>("hash", password),
      },
      // The host's budget ends what a signal cannot reach.
      dns: { resolve: (name, type) => asked<DnsAnswer>("resolve", name, type) },
    },
    owner,
    notes,
  );
}
