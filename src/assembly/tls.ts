/**
 * The TLS of the listeners, from the settings: identities read or made, one context for all.
 * @module
 */
import * as Effect from "effect/Effect";
import { readText } from "../runtime/files.ts";
import { loadIdentity, selfSigned } from "../runtime/identity.ts";
import type { Settings } from "../settings/settings.ts";
import type { Network, TlsIdentity, TlsServerContext } from "../transport/duplex.ts";
import { configurationFailed, reasonOf, type StartFailed } from "./start_failed.ts";

/** True where a listener speaks TLS. */
export function usesTls(settings: Settings): boolean {
  return settings.listeners.some((listener) => listener.tls !== "none");
}

/** The context of all listeners; undefined where none speaks TLS. */
export function serverTls(
  settings: Settings,
  network: Network,
): Effect.Effect<TlsServerContext | undefined, StartFailed> {
  if (!usesTls(settings)) return Effect.succeed(undefined);
  return Effect.tryPromise({
    try: async () => {
      const { certificates } = settings.tls;
      const identities = certificates.length === 0
        ? [await selfSigned(settings.dataDir, settings.hostname)]
        : await Promise.all(certificates.map(loadIdentity));
      return await tlsContext(settings, network, identities);
    },
    catch: (cause) => configurationFailed(reasonOf(cause), "tls"),
  });
}

/** A context of these identities; rejects where one of them, or the trust anchors for clients, cannot be used. */
export async function tlsContext(
  settings: Settings,
  network: Network,
  identities: readonly TlsIdentity[],
): Promise<TlsServerContext> {
  const { minVersion, clientCa } = settings.tls;
  const asked = new Set(settings.listeners.map((listener) => listener.clientCertificate));
  return network.tlsServer({
    identities,
    minVersion,
    clientCertificate: asked.has("require")
      ? "require"
      : asked.has("request")
      ? "request"
      : "none",
    ...(clientCa === undefined ? {} : { ca: await readText(clientCa) }),
    handshakeTimeout: settings.timeouts.tlsHandshake,
  });
}
