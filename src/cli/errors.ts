/**
 * Errors that a command ends with on purpose: their message is the whole answer to the person, in one line.
 * Everything else that is thrown is a defect, and `run.ts` says so.
 * @module
 */

/** Exit codes of the program (`configuration.md`). */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** The command could not do what was asked. */
export class CliError extends Error {
  override readonly name: string = "CliError";
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The command line itself is wrong. `command` names whose help to read; empty for the program's own. */
export class UsageError extends CliError {
  override readonly name = "UsageError";
  readonly command: string;

  constructor(message: string, command = "") {
    super(message, EXIT.usage);
    this.command = command;
  }
}

/** The configuration is wrong: every line stands for itself, with its place. */
export class ConfigurationError extends CliError {
  override readonly name = "ConfigurationError";
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join("\n"), EXIT.usage);
    this.lines = lines;
  }
}
