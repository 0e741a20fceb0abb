/**
 * The TLS of the listeners, from the settings: identities read or made, contexts by the demand for client certificates.
 * @module
 */
import * as Effect from "effect/Effect";
import { readText } from "../runtime/files.ts";
import { loadIdentity, selfSigned } from "../runtime/identity.ts";
import type { Settings } from "../settings/settings.ts";
import type { TlsContexts } from "../server/server.ts";
import type { Network, TlsIdentity } from "../transport/duplex.ts";
import { configurationFailed, reasonOf, type StartFailed } from "./start_failed.ts";

/** True where a listener speaks TLS. */
export function usesTls(settings: Settings): boolean {
  return settings.listeners.some((listener) => listener.tls !== "none");
}

/** One context for each demand for client certificates among the listeners; none where no listener speaks TLS. */
export function serverTls(
  settings: Settings,
  network: Network,
): Effect.Effect<TlsContexts, StartFailed> {
  if (!usesTls(settings)) return Effect.succeed(new Map());
  return Effect.tryPromise({
    try: async () => {
      const { certificates } = settings.tls;
      const identities = certificates.length === 0
        ? [await selfSigned(settings.dataDir, settings.hostname)]
        : await Promise.all(certificates.map(loadIdentity));
      return await tlsContexts(settings, network, identities);
    },
    catch: (cause) => configurationFailed(reasonOf(cause), "tls"),
  });
}

/** The contexts of these identities; rejects where one of them, or the trust anchors for clients, cannot be used. */
export async function tlsContexts(
  settings: Settings,
  network: Network,
  identities: readonly TlsIdentity[],
): Promise<TlsContexts> {
  const { minVersion, clientCa } = settings.tls;
  const ca = clientCa === undefined ? {} : { ca: await readText(clientCa) };
  const demands = settings.listeners.filter((listener) => listener.tls !== "none")
    .map((listener) => listener.clientCertificate);
  return new Map(
    [...new Set(demands)].map((clientCertificate) => [
      clientCertificate,
      network.tlsServer({
        identities,
        minVersion,
        clientCertificate,
        ...ca,
        handshakeTimeout: settings.timeouts.tlsHandshake,
      }),
    ]),
  );
}
