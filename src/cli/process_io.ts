/**
 * The `CliIo` of a real process, and its end.
 * @module
 */
import process from "node:process";
import type { CliIo } from "./io.ts";
import { createInput } from "./stdin.ts";

/** Standard streams, environment and working directory of this process. */
export function processIo(): CliIo {
  for (const stream of [process.stdout, process.stderr]) {
    // `postern help | head -1`: nobody reads on, which is no failure of ours.
    stream.on("error", (error: Error & { code?: string }) => {
      if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
      throw error;
    });
  }
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    stdin: createInput(() => process.stdin),
    env: (name) => process.env[name],
    cwd: process.cwd(),
    isTerminal: (stream) => process[stream].isTTY === true,
  };
}

/**
 * Ends the process when everything printed has left it. It does not wait for anything else: Deno goes on reading a
 * paused pipe, and would otherwise live as long as whoever writes into it.
 */
export async function leave(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => stream.write("", () => resolve()));
  }
  process.exit(code);
}
