/**
 * Counts the system calls of processes by strace, where it is installed and allowed to look.
 * @module
 */
import { spawn } from "node:child_process";
import { which } from "../../tools/process.ts";

/** Those that move octets of a connection, by what they do. */
const CALLS = {
  send: ["sendto", "sendmsg", "write", "writev"],
  receive: ["recvfrom", "recvmsg", "read", "readv"],
};

/** How often they were called. */
export interface CallCount {
  readonly send: number;
  /** Those that brought something, or the end. */
  readonly receive: number;
  /** Those that found nothing there (EAGAIN). */
  readonly empty: number;
}

/** Counts while `work` is done. A text says why it could not be counted; `work` is not done then. */
export async function countSystemCalls(
  pids: readonly number[],
  work: () => Promise<void>,
): Promise<CallCount | string> {
  const program = which("strace");
  if (program === undefined) return "strace is not installed";
  const calls = Object.values(CALLS).flat();
  const strace = spawn(program, [
    "-f",
    "-c",
    "-e",
    `trace=${calls.join(",")}`,
    ...pids.flatMap((pid) => ["-p", `${pid}`]),
  ], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  const ended = new Promise<void>((resolve) => {
    strace.once("error", () => resolve()).once("close", () => resolve());
  });
  await new Promise<void>((resolve) => {
    strace.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (/Process \d+ attached/.test(said)) resolve();
    });
    ended.then(resolve);
  });
  if (strace.exitCode !== null || !/ attached/.test(said)) {
    return said.trim().split("\n").at(-1) || "strace did not start";
  }
  try {
    await work();
  } finally {
    strace.kill("SIGINT");
    await ended;
  }
  // Calls, errors (left out where there are none), name.
  const rows = [...said.matchAll(/^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +(\d+))? +(\w+)$/gm)];
  const sum = (names: readonly string[], column: number) =>
    rows.filter((row) => names.includes(row[3]!))
      .reduce((total, row) => total + Number(row[column] ?? 0), 0);
  const empty = sum(CALLS.receive, 2);
  return { send: sum(CALLS.send, 1), receive: sum(CALLS.receive, 1) - empty, empty };
}
