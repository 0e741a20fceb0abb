/**
 * The keys that tokens are signed with (RFC 7517): from an address, with a memory, or from a file, read again when it
 * changes.
 *
 * Keys from an address are fetched again when they are old, and when a token names one that is not among them (issuers
 * change keys), but not more often than the cooldown allows. While the address cannot be reached, old keys go on for an
 * hour: an issuer that is restarted must not stop the mail, and one that takes a key back has its hour.
 * @module
 */
import type { Edge } from "@postern/postern/plugin";
import { createLocalJWKSet, errors, type JWTVerifyGetKey, type LocalJWKSet } from "jose";
import { fetchJson } from "./http.ts";

/** How long keys may be used that could not be fetched again, beyond their age. */
const GRACE = 3_600_000;
/** A server that did not answer is not asked again at once. */
const PAUSE = 5_000;

/** Where keys come from, and for how long they are good. */
export interface KeyOptions {
  readonly timeout: number;
  readonly jwks_max_age: number;
  readonly jwks_cooldown: number;
}

/** Finds a token's key. What it throws where keys cannot be had is an {@linkcode Unavailable}. */
export interface Keys {
  readonly find: JWTVerifyGetKey;
  close(): void;
}

/** It cannot be told whether a token is right. */
export class Unavailable extends Error {}

/** Keys of an address. */
export function remoteKeys(edge: Edge, url: string, options: KeyOptions): Keys {
  let known: { readonly set: LocalJWKSet; readonly at: number } | undefined;
  let failed: { readonly at: number; readonly cause: string } | undefined;
  let fetching: Promise<void> | undefined;

  async function fetchKeys(): Promise<void> {
    try {
      const set = keySet(await fetchJson(url, options.timeout));
      if (failed !== undefined) edge.log.info("The keys can be fetched again", { url });
      known = { set, at: edge.clock.now() };
      failed = undefined;
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      if (failed === undefined) edge.log.error("Cannot fetch keys", { url, cause: message });
      failed = { at: edge.clock.now(), cause: message };
    } finally {
      fetching = undefined;
    }
  }

  /** All who wait share one request. */
  async function refresh(): Promise<void> {
    if (failed !== undefined && edge.clock.now() - failed.at < PAUSE) return;
    await (fetching ??= fetchKeys());
  }

  async function current(): Promise<LocalJWKSet> {
    const { jwks_max_age: maxAge } = options;
    if (known === undefined || edge.clock.now() - known.at >= maxAge) await refresh();
    if (known === undefined || edge.clock.now() - known.at >= maxAge + GRACE) {
      throw new Unavailable(`No keys: ${failed?.cause ?? "they were not fetched"}`);
    }
    return known.set;
  }

  return {
    find: async (header, token) => {
      const set = await current();
      try {
        return await set(header, token);
      } catch (cause) {
        const age = known === undefined ? 0 : edge.clock.now() - known.at;
        if (!(cause instanceof errors.JWKSNoMatchingKey) || age < options.jwks_cooldown) {
          throw cause;
        }
        await refresh();
        return await (await current())(header, token);
      }
    },
    close: () => {},
  };
}

/** Keys of a file. Rejects where it cannot be read at the start; later the old keys stay until it can. */
export async function fileKeys(edge: Edge, file: string): Promise<Keys> {
  const read = async () => {
    const text = await edge.readText(file);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Error(`Cannot read keys: ${file} is no JSON`);
    }
    return keySet(value);
  };
  let set = await read();
  let latest = 0;
  const close = edge.watchFile(file, async () => {
    const mine = ++latest;
    try {
      const fresh = await read();
      if (mine === latest) set = fresh;
      edge.log.info("Keys read", { file });
    } catch (cause) {
      edge.log.error("Cannot read keys, the old ones stay", {
        file,
        cause: cause instanceof Error ? cause.message : String(cause),
      });
    }
  });
  return { find: (header, token) => set(header, token), close };
}

function keySet(value: unknown): LocalJWKSet {
  try {
    return createLocalJWKSet(value as Parameters<typeof createLocalJWKSet>[0]);
  } catch {
    throw new Error("It is no set of keys (RFC 7517)");
  }
}
