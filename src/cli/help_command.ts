/**
 * `postern help [COMMAND]`.
 * @module
 */
import { EXIT } from "./errors.ts";
import { commandHelp, groupHelp, programHelp } from "./help.ts";
import type { Run } from "./io.ts";
import { resolve } from "./resolve.ts";
import type { helpSpec } from "./specs.ts";

export const run: Run<typeof helpSpec> = ({ words }, io) => {
  const names = [words.command, words.subcommand].filter((word) => word !== undefined);
  if (names.length === 0) {
    io.stdout(programHelp(io));
    return EXIT.done;
  }
  const found = resolve(names);
  io.stdout(
    found.kind === "group" ? groupHelp(io, found.name, found.specs) : commandHelp(io, found.spec),
  );
  return EXIT.done;
};
