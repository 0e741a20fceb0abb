/**
 * The program: `postern serve`, `postern check` and the rest of the command line.
 * @module
 */
import { processIo } from "./cli/process_io.ts";
import { runCli } from "./cli/run.ts";
import { args, exit } from "./runtime/process.ts";

exit(await runCli(args(), processIo()));
