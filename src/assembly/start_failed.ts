/**
 * Why Postern does not start: every reason at once, each with its place in the configuration.
 * @module
 */
import * as Data from "effect/Data";

/** Postern could not start; every line of `problems` stands for itself. */
export class StartFailed extends Data.TaggedError("StartFailed")<{
  /** `configuration`: the operator has to change something; `environment`: a port, a disk. */
  readonly because: "configuration" | "environment";
  readonly problems: readonly StartProblem[];
}> {
  override get message(): string {
    return this.problems.map((p) => p.path === undefined ? p.message : `${p.path}: ${p.message}`)
      .join("\n");
  }
}

/** One reason. */
export interface StartProblem {
  /** Dotted path in the configuration. */
  readonly path?: string;
  readonly message: string;
}

/** One thing that the operator has to change. */
export function configurationFailed(message: string, path?: string): StartFailed {
  return new StartFailed({
    because: "configuration",
    problems: [path === undefined ? { message } : { path, message }],
  });
}

/** The text of anything thrown. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
