/**
 * The bundled plugins: the one list of them.
 *
 * Each is loaded when a configuration asks for it. The imports are literal, so that a compiler finds and embeds them.
 * @module
 */
import type { PluginExports } from "@postern/postern/plugin";

/** Name in `use` to the module. */
export const bundled: ReadonlyMap<string, () => Promise<PluginExports>> = new Map<
  string,
  () => Promise<PluginExports>
>([
  ["auth-certificate", () => import("./auth-certificate/mod.ts")],
  ["auth-dovecot", () => import("./auth-dovecot/mod.ts")],
  ["auth-file", () => import("./auth-file/mod.ts")],
  ["auth-http", () => import("./auth-http/mod.ts")],
  ["auth-ldap", () => import("./auth-ldap/mod.ts")],
  ["auth-oauth", () => import("./auth-oauth/mod.ts")],
  ["auth-upstream", () => import("./auth-upstream/mod.ts")],
  ["header-rewrite", () => import("./header-rewrite/mod.ts")],
  ["rate-limit", () => import("./rate-limit/mod.ts")],
  ["received", () => import("./received/mod.ts")],
  ["sender-login", () => import("./sender-login/mod.ts")],
  ["spam-score", () => import("./spam-score/mod.ts")],
]);
