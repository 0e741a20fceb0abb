/**
 * `postern learn ham PATH...`.
 * @module
 */
import type { Run } from "../io.ts";
import type { learnHamSpec } from "../specs.ts";
import { teach } from "./teach.ts";

export const run: Run<typeof learnHamSpec> = ({ flags, words }, io) =>
  teach(io, "ham", words.path, flags.model);
