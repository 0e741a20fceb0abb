/**
 * `postern learn merge MODEL...`.
 * @module
 */
import { CliError, EXIT } from "../errors.ts";
import type { Run } from "../io.ts";
import type { learnMergeSpec } from "../specs.ts";
import { openModel } from "./model.ts";

export const run: Run<typeof learnMergeSpec> = async ({ flags, words: { other } }, io) => {
  const model = await openModel(io, flags.model);
  for (const name of other) {
    const both = model.counts.merge((await openModel(io, name, true)).counts);
    if (both > 0) {
      throw new CliError(
        `Cannot merge ${name}: ${both} of its messages stand in ${flags.model} already, and would count twice`,
      );
    }
  }
  const tokens = await model.save();
  const { ham, spam } = model.counts;
  io.stdout(`${flags.model}: ${ham} messages of ham, ${spam} of spam, ${tokens} tokens\n`);
  return EXIT.done;
};
