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

/** What went wrong, in words, for the errors of files that a person can mend; undefined for any other error. */
export function systemReason(error: unknown): string | undefined {
  // Deno's own guard, which has a name and no code.
  if (error instanceof Error && error.name === "NotCapable") {
    return "Deno was started without the permission for it";
  }
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  switch (error.code) {
    case "ENOENT":
      return "it does not exist";
    case "EEXIST":
      return "it exists already";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
      return "a part of the path is not a folder";
    case "EROFS":
      return "the file system is read-only";
    case "ENOSPC":
      return "the disk is full";
    case "ENAMETOOLONG":
      return "the name is too long";
    case "ELOOP":
      return "too many symbolic links";
    default:
      return undefined;
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
