/**
 * `postern learn spam PATH...`.
 * @module
 */
import type { Run } from "../io.ts";
import type { learnSpamSpec } from "../specs.ts";
import { teach } from "./teach.ts";

export const run: Run<typeof learnSpamSpec> = ({ flags, words }, io) =>
  teach(io, "spam", words.path, flags.model);
