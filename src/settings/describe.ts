/**
 * Addresses as people write them.
 * @module
 */
import type { ListenerSettings } from "./settings.ts";

/** `127.0.0.1:25`, `[::1]:25`, `unix:/path`. */
export function describeAddress(address: ListenerSettings["listen"]): string {
  if ("path" in address) return `unix:${address.path}`;
  return address.host.includes(":")
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}
