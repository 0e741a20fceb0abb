/**
 * What the connections of both adapters share: how much may wait in one, and the writes of one tick as one chunk. A corked
 * stream costs more than this copy.
 * @module
 */
import { Buffer } from "node:buffer";
import type { DuplexHandlers } from "../transport/duplex.ts";

/** Octets that may wait in one connection before `write` says no. */
export const MOST_UNSENT = 131_072;

/** Before the owner has set its own. */
export const SILENT: DuplexHandlers = { data() {}, end() {}, drain() {}, close() {} };

/** Several writes as one; a string where all of them are. */
export function joined(parts: readonly (Uint8Array | string)[]): Uint8Array | string {
  if (parts.every((part) => typeof part === "string")) return parts.join("");
  return Buffer.concat(
    parts.map((part) => typeof part === "string" ? Buffer.from(part, "utf8") : part),
  );
}
