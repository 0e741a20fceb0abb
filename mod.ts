/**
 * Postern as a library: start the proxy inside your own program.
 *
 * @example
 * ```ts
 * import { run } from "@postern/postern";
 *
 * const postern = await run({
 *   hostname: "mx.example.org",
 *   listeners: [{ name: "mx", listen: "127.0.0.1:2525", tls: "none" }],
 *   upstreams: { mailbox: { servers: ["maildir:./mail"] } },
 *   routes: [{ to: ["example.org"], upstream: "mailbox" }],
 * });
 * console.log(postern.addresses.get("mx"));
 * await postern.stop();
 * ```
 * @module
 */
export { run, type RunningProxy, type RunOptions } from "./src/embed.ts";
export { defineConfig } from "./src/settings/input.ts";
export type * from "./src/settings/input.ts";
export type { Endpoint } from "./src/transport/duplex.ts";
export type {
  Edge,
  Hooks,
  OptionsSchema,
  Plugin,
  PluginExports,
  PluginModule,
  Verdict,
} from "./src/plugin/mod.ts";
