/**
 * `postern user list`: one name a line, for scripts.
 * @module
 */
import * as path from "node:path";
import { visible } from "../../settings/problem.ts";
import { CliError, EXIT } from "../errors.ts";
import { readText } from "../files.ts";
import type { Run } from "../io.ts";
import type { userListSpec } from "../specs.ts";
import { listUsers } from "./file.ts";

export const run: Run<typeof userListSpec> = async ({ flags }, io) => {
  const text = await readText(path.resolve(io.cwd, flags.file));
  if (text === undefined) throw new CliError(`Cannot read ${flags.file}: it does not exist`);
  for (const name of listUsers(text)) io.stdout(`${visible(name)}\n`);
  return EXIT.done;
};
