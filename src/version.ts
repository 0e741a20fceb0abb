/**
 * The version of this program, in one place: `deno.json` and `package.json` say the same, and a test compares them.
 * @module
 */

/** Semantic version, without a leading `v`. */
export const VERSION = "0.1.0";
