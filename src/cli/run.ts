/**
 * Runs one command line: finds the command, parses its words, loads its code, and turns every error into one line and
 * an exit code (0 done, 1 failed, 2 bad usage or configuration).
 * @module
 */
import { systemReason } from "../runtime/system_reason.ts";
import { commandFirst, parseCommand } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { CliError, ConfigurationError, EXIT, UsageError } from "./errors.ts";
import { commandHelp, groupHelp, programHelp } from "./help.ts";
import type { CliIo } from "./io.ts";
import { fail } from "./output.ts";
import { resolve } from "./resolve.ts";

/** Runs `args` (without the program's name) and gives the exit code. Never throws. */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  try {
    return await dispatch(args, io);
  } catch (error) {
    return report(error, io);
  }
}

async function dispatch(args: readonly string[], io: CliIo): Promise<number> {
  const words = commandFirst(args);
  if (words.length === 0) {
    io.stdout(programHelp(io));
    return EXIT.done;
  }
  const found = resolve(words);
  if (found.kind === "group") {
    if (words.includes("--help") || words.includes("-h")) {
      io.stdout(groupHelp(io, found.name, found.specs));
      return EXIT.done;
    }
    const names = found.specs.map((spec) => spec.name).join(", ");
    throw new UsageError(`Missing command: one of ${names}`, found.name);
  }
  const request = parseCommand(found.spec, found.rest);
  if (request.kind === "help") {
    io.stdout(commandHelp(io, found.spec));
    return EXIT.done;
  }
  const command = COMMANDS.get(found.spec.name);
  if (command === undefined) throw new Error(`No code for the command ${found.spec.name}`);
  const run = await command.load();
  return await run(request.input, request.noColor ? withoutColor(io) : io);
}

function withoutColor(io: CliIo): CliIo {
  return { ...io, env: (name) => name === "NO_COLOR" ? "1" : io.env(name) };
}

function report(error: unknown, io: CliIo): number {
  if (error instanceof UsageError) {
    const help = error.command === "" ? "postern help" : `postern help ${error.command}`;
    fail(io, `${error.message} (see "${help}")`);
    return error.exitCode;
  }
  if (error instanceof ConfigurationError) {
    io.stderr(`${error.lines.join("\n")}\n`);
    return error.exitCode;
  }
  if (error instanceof CliError) {
    fail(io, error.message);
    return error.exitCode;
  }
  const reason = systemReason(error);
  const message = error instanceof Error ? error.message : String(error);
  if (reason !== undefined && error instanceof Error && "path" in error) {
    fail(io, `Cannot use ${error.path}: ${reason}`);
  } else if (io.env("POSTERN_DEBUG")) {
    fail(io, `Unexpected error: ${message}`);
  } else {
    fail(io, `Unexpected error: ${message} (set POSTERN_DEBUG=1 for the stack)`);
  }
  if (io.env("POSTERN_DEBUG") && error instanceof Error) io.stderr(`${error.stack}\n`);
  return EXIT.failed;
}
