/**
 * Where a service listens, as an operator writes it: `host:port`, `[v6]:port` or `unix:/path`.
 * @module
 */
import type { ConnectAddress } from "@postern/postern/plugin";
import * as v from "valibot";
import { expected } from "./options.ts";

/** The address; `port` stands in where none is written, and without it one must be. */
export function parseEndpoint(text: string, port?: number): ConnectAddress | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return path === "" || /[\x00-\x1f\x7f]/.test(path) ? undefined : { path };
  }
  const found = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9_.-]{1,255}))(?::([0-9]{1,5}))?$/.exec(
    text,
  );
  if (found === null) return undefined;
  const number = found[3] === undefined ? port : Number(found[3]);
  if (number === undefined || number < 1 || number > 65_535) return undefined;
  return { host: found[1] ?? found[2]!, port: number };
}

/** An address in a plugin's options. */
export function endpoint(port?: number) {
  const message = expected('an address such as "127.0.0.1:12345" or "unix:/run/service.sock"');
  return v.pipe(
    v.string(message),
    v.check((text) => parseEndpoint(text, port) !== undefined, message),
    v.transform((text) => parseEndpoint(text, port)!),
  );
}
