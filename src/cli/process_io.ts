/**
 * The `CliIo` of a real process.
 * @module
 */
import process from "node:process";
import { env, isTerminal, writeStderr, writeStdout } from "../runtime/process.ts";
import type { CliIo } from "./io.ts";
import { createInput } from "./stdin.ts";

/** Standard streams, environment and working directory of this process. */
export function processIo(): CliIo {
  return {
    stdout: writeStdout,
    stderr: writeStderr,
    stdin: createInput(() => process.stdin),
    env,
    cwd: process.cwd(),
    isTerminal,
  };
}
