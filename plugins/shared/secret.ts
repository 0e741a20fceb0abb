/**
 * Secrets in a plugin's options. `{ env = "NAME" }` has become its value before a plugin is asked; a file is read by the
 * plugin. Never: shows a value in a message.
 * @module
 */
import type { Edge } from "@postern/postern/plugin";
import * as v from "valibot";

/** A secret as the operator gives it. */
export type Secret = string | { readonly file: string };

/** Text, or the file that holds it. */
export function secret(what: string) {
  const message = `expected ${what}: text, { env = "NAME" } or { file = "path" }`;
  const filled = v.pipe(v.string(message), v.regex(/^[^\x00-\x1f\x7f]+$/, message));
  return v.union([filled, v.strictObject({ file: filled }, message)], message);
}

/** The secret itself; editors end a file with a line end, and no secret does. */
export async function readSecret(edge: Edge, given: Secret): Promise<string> {
  return typeof given === "string" ? given : (await edge.readText(given.file)).replace(
    /\r?\n$/,
    "",
  );
}
