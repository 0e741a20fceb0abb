/**
 * The public plugin door: types only, erased at run time. A plugin is a function that receives `edge` and its options and
 * returns plain hooks; it needs no value import.
 *
 * @example
 * ```ts
 * import type { PluginModule } from "@postern/postern/plugin";
 *
 * export default ((edge, options: { domains: string[] }) => ({
 *   name: "block-domains",
 *   hooks: {
 *     rcpt: (to) =>
 *       options.domains.includes(to.domain)
 *         ? edge.refuse(550, "5.7.1", "Recipient not accepted here")
 *         : undefined,
 *   },
 * })) satisfies PluginModule<{ domains: string[] }>;
 * ```
 * @module
 */
export type * from "./verdict.ts";
export type * from "./facts.ts";
export type * from "./edge.ts";
export type * from "./connection.ts";
export type * from "./dns.ts";
export type * from "./module.ts";
export type { Mailbox, ReversePath } from "../wire/path.ts";
export type { MailParams, RcptParams } from "../wire/params.ts";
export type { Reply } from "../wire/reply.ts";
export type { TlsFacts } from "../transport/duplex.ts";
