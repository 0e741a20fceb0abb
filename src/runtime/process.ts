/**
 * The process: signals, exit, standard streams, environment, privileges. The only place that asks which runtime this is.
 * @module
 */
import fs from "node:fs";
import process from "node:process";
import { errorCode } from "./node_errors.ts";

export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGUSR1" | "SIGUSR2";

/** Calls `handler` at each arrival of the signal; returns how to stop. */
export function onSignal(signal: Signal, handler: () => void): () => void {
  const heard = (): void => handler();
  process.on(signal, heard);
  return () => void process.off(signal, heard);
}

/**
 * Keeps the process alive when code that is not ours (an inline plugin) leaves a promise rejected or throws out of a timer: it is
 * told instead (R38). Returns how to stop.
 */
export function onStray(told: (cause: unknown) => void): () => void {
  process.on("unhandledRejection", told);
  process.on("uncaughtException", told);
  return () => {
    process.off("unhandledRejection", told);
    process.off("uncaughtException", told);
  };
}

export function exit(code: number): never {
  process.exit(code);
}

/** Written when it returns, so that an exit right after cuts nothing off. */
export function writeStdout(text: string): void {
  writeAll(1, text);
}

/** As {@linkcode writeStdout}. */
export function writeStderr(text: string): void {
  writeAll(2, text);
}

function writeAll(descriptor: 1 | 2, text: string): void {
  const octets = new TextEncoder().encode(text);
  let at = 0;
  while (at < octets.length) {
    try {
      at += fs.writeSync(descriptor, octets, at);
    } catch (error) {
      const code = errorCode(error);
      if (code === "EINTR") continue;
      // The reader of the pipe went away (`postern help | head`): nobody is left to tell.
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      // A pipe that was made non-blocking by its other owner is full: the runtime's stream waits for it.
      const stream = descriptor === 1 ? process.stdout : process.stderr;
      stream.write(octets.subarray(at));
      return;
    }
  }
}

export function isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean {
  return process[stream].isTTY === true;
}

/** Undefined where it is not set, or may not be read. */
export function env(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

/** What follows the program's name on the command line. */
export function args(): readonly string[] {
  return process.argv.slice(2);
}

export function workingDirectory(): string {
  return process.cwd();
}

export function processId(): number {
  return process.pid;
}

/** Octets: of the process, and of the JavaScript heap in use. */
export function memoryUsage(): { readonly rss: number; readonly heapUsed: number } {
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heapUsed };
}

/** Like `Deno 2.9.6`. */
export function runtimeName(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>;
  if (deno !== undefined) return `Deno ${deno}`;
  if (bun !== undefined) return `Bun ${bun}`;
  return `Node ${node}`;
}

/** A user or group, by name or number. */
export interface Account {
  readonly user: string | number;
  readonly group?: string | number;
}

/**
 * Gives up root for good, after the ports are open and the keys are read. The group goes first: afterwards the right to
 * change it is lost. Supplementary groups are dropped where the runtime can (Bun; Deno has no call for it, so there start
 * as root without any, or let systemd set the user). Throws `Cannot drop privileges: ...`; the caller must not go on then.
 */
export function dropPrivileges(account: Account): void {
  const { setuid, setgid, setgroups, getuid, geteuid } = process;
  if (setuid === undefined || setgid === undefined || getuid === undefined) {
    throw new Error(
      "Cannot drop privileges: this platform cannot change its user; start Postern as that user",
    );
  }
  if (getuid() !== 0) {
    throw new Error(
      "Cannot drop privileges: not started as root; remove the user from the settings",
    );
  }
  try {
    const group = account.group ?? account.user;
    if (typeof setgroups === "function") setgroups.call(process, [group]);
    setgid.call(process, group);
    setuid.call(process, account.user);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot drop privileges: ${String(account.user)}: ${why}`);
  }
  if (getuid() === 0 || geteuid?.() === 0) {
    throw new Error("Cannot drop privileges: still root after the change");
  }
}
