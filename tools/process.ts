/**
 * Child processes for the project's tools, alike on Deno and Bun.
 * @module
 */
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { ROOT } from "./files.ts";

/** How a child ended. */
export interface Ended {
  /** Exit code; 1 when a signal ended it or it did not start. */
  readonly code: number;
  /** Standard output and standard error as they came. */
  readonly output: string;
  /** Standard output alone. */
  readonly stdout: string;
}

/** Options of {@linkcode run}. */
export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called with what comes, as it comes. */
  readonly onOutput?: (text: string) => void;
  /** Milliseconds after which the child is ended. */
  readonly timeout?: number;
}

/** Runs a program to its end. Never throws: a program that does not start has ended badly. */
export function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    let output = "";
    let stdout = "";
    const child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const add = (text: string) => {
      output += text;
      options.onOutput?.(text);
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      add(text);
    });
    child.stderr.setEncoding("utf8").on("data", add);
    const timer = options.timeout === undefined ? undefined : setTimeout(() => {
      add(`\nEnded after ${options.timeout! / 1000} s\n`);
      child.kill("SIGKILL");
    }, options.timeout);
    child.on("error", (error) => {
      clearTimeout(timer);
      add(`${error.message}\n`);
      resolve({ code: 1, output, stdout });
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 1, output, stdout });
    });
  });
}

/** The first program of that name on PATH. */
export function which(name: string): string | undefined {
  const endings = process.platform === "win32" ? [".exe", ".cmd", ""] : [""];
  for (const folder of (process.env.PATH ?? "").split(path.delimiter)) {
    for (const ending of endings) {
      const file = path.join(folder, name + ending);
      if (folder !== "" && isProgram(file)) return file;
    }
  }
  return undefined;
}

/** True for a file that may be run. */
export function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** `12.3 s`. */
export function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
