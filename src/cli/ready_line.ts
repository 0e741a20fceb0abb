/**
 * The line that tells people and scripts that connections are taken.
 * @module
 */
import { describeAddress } from "../settings/describe.ts";
import type { Endpoint } from "../transport/duplex.ts";

/** `postern ready mx=127.0.0.1:40123 submission=unix:/run/postern.sock`, with its end. */
export function readyLine(addresses: ReadonlyMap<string, Endpoint>): string {
  const words = [...addresses].map(([name, address]) => `${name}=${endpointText(address)}`);
  return `postern ready ${words.join(" ")}\n`;
}

/** A real address as a client writes it. */
export function endpointText({ address, port }: Endpoint): string {
  return port === 0 ? `unix:${address}` : describeAddress({ host: address, port });
}
