/**
 * The model file of the classifier, as commands read and replace it.
 * @module
 */
import * as path from "node:path";
import { Counts, formatModel, parseModel } from "../../../plugins/spam-score/bayes.ts";
import { CliError } from "../errors.ts";
import { readText, replaceFile } from "../files.ts";
import type { CliIo } from "../io.ts";

/** A model that was read, to be written back. */
export interface OpenModel {
  readonly counts: Counts;
  /** Replaces the file in one step; fails where somebody else has written it meanwhile. Gives the tokens it holds. */
  save(): Promise<number>;
}

/** Reads a model; an empty one where there is no file, unless it has to be there. */
export async function openModel(io: CliIo, name: string, required = false): Promise<OpenModel> {
  const file = path.resolve(io.cwd, name);
  const before = await readText(file);
  if (before === undefined && required) {
    throw new CliError(`Cannot read model: ${name} does not exist`);
  }
  const counts = before === undefined ? new Counts() : parseModel(before);
  if ("problem" in counts) throw new CliError(`Cannot read model: ${name}: ${counts.problem}`);
  return {
    counts,
    async save() {
      if (await readText(file) !== before) {
        throw new CliError(`Cannot write model: ${name} was changed meanwhile, run it again`);
      }
      const { text, tokens } = formatModel(counts);
      await replaceFile(file, text, 0o600);
      return tokens;
    },
  };
}
