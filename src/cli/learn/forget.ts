/**
 * `postern learn forget PATH...`.
 * @module
 */
import type { Run } from "../io.ts";
import type { learnForgetSpec } from "../specs.ts";
import { teach } from "./teach.ts";

export const run: Run<typeof learnForgetSpec> = ({ flags, words }, io) =>
  teach(io, "forget", words.path, flags.model);
