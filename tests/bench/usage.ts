/**
 * What a process uses, from Linux's `/proc`; undefined on other systems.
 * @module
 */
import * as fs from "node:fs";

/** Unit of the times in `/proc/PID/stat`: 100 a second on every Linux that programs see (`USER_HZ`). */
const TICKS_PER_SECOND = 100;

/** The process and its descendants: a runtime may be started by a script of its package. */
export function processTree(pid: number): readonly number[] {
  const pids = [pid];
  for (const each of pids) {
    for (const task of list(`/proc/${each}/task`)) {
      const children = read(`/proc/${each}/task/${task}/children`) ?? "";
      pids.push(...children.split(" ").filter((word) => word !== "").map(Number));
    }
  }
  return pids;
}

/** User and system seconds of the processes, all their threads. */
export function cpuSeconds(pids: readonly number[]): number | undefined {
  return sum(pids, (pid) => {
    // The name in brackets may hold anything, so the fields are counted from behind it: utime and stime are 14 and 15.
    const fields = read(`/proc/${pid}/stat`)?.replace(/^.*\) /s, "").split(" ");
    return fields && (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  });
}

/** KiB of memory in use (RSS). */
export function residentKib(pids: readonly number[]): number | undefined {
  return sum(pids, (pid) => {
    const found = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? "");
    return found === null ? undefined : Number(found[1]);
  });
}

function sum(
  pids: readonly number[],
  of: (pid: number) => number | undefined,
): number | undefined {
  const known = pids.map(of).filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0);
}

function read(file: string): string | undefined {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function list(folder: string): readonly string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}
