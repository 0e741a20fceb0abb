/**
 * Why a proxy did not start, as an error that a person can act on.
 * @module
 */
import * as Cause from "effect/Cause";
import * as Option from "effect/Option";
import { StartFailed } from "../postern.ts";
import { CliError, ConfigurationError } from "./errors.ts";
import type { LoadedConfiguration } from "./load_configuration.ts";

/** The error to throw: the operator's problems with their places, or the defect itself. */
export function startFailure(
  cause: Cause.Cause<StartFailed>,
  loaded: Pick<LoadedConfiguration, "place">,
): unknown {
  const failed = Option.getOrUndefined(Cause.findErrorOption(cause));
  if (failed === undefined) return Cause.squash(cause);
  return failed.because === "environment"
    ? new CliError(failed.message)
    : new ConfigurationError(failed.problems.map((p) => loaded.place(p.path, p.message)));
}
