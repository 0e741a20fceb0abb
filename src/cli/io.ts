/**
 * What a command may touch of the terminal and the environment. Commands take this and never the globals, so that a
 * test runs them in its own process.
 * @module
 */
import type { CommandSpec, Input } from "./args.ts";

/** Standard input. */
export interface CliInput {
  /** The next line without its line end; undefined at the end of input. */
  readLine(): Promise<string | undefined>;
  /** Everything that is left. */
  readAll(): Promise<Uint8Array>;
  /** One line without echo, for a terminal; undefined when the person gave up (Ctrl-C, Ctrl-D). */
  readSecret(): Promise<string | undefined>;
}

/** The world of one command. A plain object: callers may spread it. */
export interface CliIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly stdin: CliInput;
  /** A variable of the environment. */
  readonly env: (name: string) => string | undefined;
  /** Absolute path that relative paths of the command line start from. */
  readonly cwd: string;
  readonly isTerminal: (stream: "stdin" | "stdout" | "stderr") => boolean;
}

/** The code of a command: what each command's file exports as `run`. Gives the exit code. */
export type Run<S extends CommandSpec> = (input: Input<S>, io: CliIo) => number | Promise<number>;
