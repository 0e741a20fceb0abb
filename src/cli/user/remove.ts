/**
 * `postern user remove NAME`.
 * @module
 */
import * as path from "node:path";
import { quote } from "../../settings/problem.ts";
import { CliError, EXIT } from "../errors.ts";
import { readText, replaceFile } from "../files.ts";
import type { Run } from "../io.ts";
import type { userRemoveSpec } from "../specs.ts";
import { removeUser } from "./file.ts";

export const run: Run<typeof userRemoveSpec> = async ({ flags, words: { name } }, io) => {
  const file = path.resolve(io.cwd, flags.file);
  const text = await readText(file);
  const without = text === undefined ? undefined : removeUser(text, name);
  if (without === undefined) {
    const reason = text === undefined ? "the file does not exist" : "there is no such user";
    throw new CliError(`Cannot remove ${quote(name)} from ${flags.file}: ${reason}`);
  }
  await replaceFile(file, without, 0o600);
  io.stdout(`Removed ${name} from ${flags.file}\n`);
  return EXIT.done;
};
