/**
 * The resolver, from the settings: made with the first question, given up at the end of the scope.
 * @module
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { parseResolvConf } from "../dns/resolv_conf.ts";
import type { Resolver, ResolverOptions } from "../dns/resolver.ts";
import type { PipelineServices } from "../pipeline/make_edge.ts";
import { readTextIfExists } from "../runtime/files.ts";
import { later } from "../runtime/timers.ts";
import type { DnsSettings } from "../settings/settings.ts";

/** Where the system says which resolvers there are. */
const SYSTEM = "/etc/resolv.conf";
/** Milliseconds after which it is read again, when there is a question. */
const AGE = 5_000;

/** Makes it. The codec is loaded when somebody asks: a proxy whose plugins never do starts without it. */
export function makeDns(
  settings: DnsSettings,
  now: () => number,
): Effect.Effect<PipelineServices["dns"], never, Scope.Scope> {
  return Effect.gen(function* () {
    let closed = false;
    let made: Promise<Resolver> | undefined;
    const { servers } = settings;
    const options: ResolverOptions = {
      ...settings,
      servers: servers === undefined ? systemServers(now) : () => servers,
      now,
      later,
    };
    const load = async (): Promise<Resolver> => {
      const { Resolver } = await import("../dns/resolver.ts");
      const resolver = new Resolver(options);
      if (closed) resolver.close();
      return resolver;
    };
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        closed = true;
        (await made)?.close();
      })
    );
    return {
      resolve: async (name, type, signal) =>
        await (await (made ??= load())).resolve(name, type, signal),
    };
  });
}

/** The system's servers, read again when they may have changed; those of before where that fails. */
export function systemServers(
  now: () => number,
  path: string = SYSTEM,
): ResolverOptions["servers"] {
  let servers = parseResolvConf(undefined);
  let readAt = -Infinity;
  return async () => {
    if (now() - readAt < AGE) return servers;
    readAt = now();
    try {
      servers = parseResolvConf(await readTextIfExists(path));
    } catch {
      // Not readable now: whoever could be asked before still can.
    }
    return servers;
  };
}
