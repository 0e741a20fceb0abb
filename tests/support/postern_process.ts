/**
 * A Postern as it is run by people: a child process, started by the command line, ended by signals.
 *
 * Owns: the child, what it wrote, the ports of its ready line.   Never: leaves a child behind when it is disposed.
 * The folder of configuration and data belongs to the caller, so that a killed Postern can be started again in it.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { ROOT } from "../../tools/files.ts";
import { tempDir } from "../../src/runtime/files.ts";
import { guarded, runtime } from "./line_socket.ts";

/** A runtime to start Postern with. */
export interface PosternRuntime {
  readonly name: "Deno" | "Bun";
  readonly program: string;
  /** Of Deno; all where left out. */
  readonly permissions?: readonly string[];
}

/** The runtime that runs this test. */
export const ownRuntime: PosternRuntime = {
  name: runtime === "deno" ? "Deno" : "Bun",
  program: process.execPath,
};

/** How a process ended: one of the two is set. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A folder that others may enter (mail programs have users of their own), removed when it is disposed. */
export async function tempHome(
  files: Readonly<Record<string, string>> = {},
): Promise<{ readonly path: string } & AsyncDisposable> {
  const home = await tempDir("postern-process-");
  fs.chmodSync(home.path, 0o755);
  for (const [name, text] of Object.entries(files)) {
    fs.writeFileSync(path.join(home.path, name), text);
  }
  return { path: home.path, [Symbol.asyncDispose]: () => home.remove() };
}

/** One run of `postern ARGS`. */
export class PosternProcess implements AsyncDisposable {
  /** Resolves when the process has ended and all it wrote is here. */
  readonly exited: Promise<ExitStatus>;
  #stdout = "";
  #stderr = "";
  #status: ExitStatus | undefined;
  readonly #child: ChildProcess;
  #watchers: (() => void)[] = [];

  /** `input`: its standard input; without it there is none. */
  constructor(args: readonly string[], at: PosternRuntime = ownRuntime, input?: string) {
    const main = path.join(ROOT, "src/main.ts");
    const before = at.name === "Deno"
      ? ["run", ...at.permissions ?? ["-A"], "--no-check", "--quiet"]
      : [];
    this.#child = spawn(at.program, [...before, main, ...args], {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: "1" },
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    this.#child.stdin?.on("error", () => {});
    this.#child.stdin?.end(input);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#wake();
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
      this.#wake();
    });
    this.exited = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code, signal) => {
        this.#status = { code, signal };
        this.#wake();
        resolve(this.#status);
      });
    });
    this.exited.catch(() => {});
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error("Postern was not started");
    return pid;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The real port of a listener, by the ready line. */
  port(name: string): number {
    const line = this.#stdout.split("\n").find((each) => each.startsWith("postern ready "));
    const address = line?.split(" ").find((word) => word.startsWith(`${name}=`));
    if (address === undefined) throw new Error(`No listener ${name} in ${JSON.stringify(line)}`);
    return Number(address.slice(address.lastIndexOf(":") + 1));
  }

  /** Resolves when it listens; fails with what it said when it ends before. */
  async ready(): Promise<void> {
    await this.#until(() => /^postern ready .*\n/m.test(this.#stdout), "the ready line");
  }

  /** Resolves when standard error holds this text. */
  async logged(text: string): Promise<void> {
    await this.#until(() => this.#stderr.includes(text), `the log to say ${JSON.stringify(text)}`);
  }

  /** Sends a signal to this process, by its id. */
  signal(name: "SIGTERM" | "SIGKILL" | "SIGINT" | "SIGHUP"): void {
    if (this.#status === undefined) process.kill(this.pid, name);
  }

  /** SIGTERM, and the end that follows. */
  async stop(): Promise<ExitStatus> {
    this.signal("SIGTERM");
    return await guarded(this.exited, () => `the end after SIGTERM\n${this.#stderr.slice(-2000)}`);
  }

  /** SIGKILL, and the end that follows. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill().catch(() => {});
  }

  async #until(holds: () => boolean, what: string): Promise<void> {
    const event = new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (holds()) resolve();
        else if (this.#status === undefined) {
          this.#watchers.push(look);
          return;
        } else reject(new Error(`Postern ended before ${what}:\n${this.#stdout}${this.#stderr}`));
      };
      look();
    });
    this.exited.catch(() => this.#wake());
    await guarded(event, () => `${what}\n${this.#stdout}${this.#stderr.slice(-2000)}`);
  }

  #wake(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const look of watchers) look();
  }
}

/** Writes the configuration into the folder, runs `postern serve` with it and waits until it listens. */
export async function servePostern(
  dir: string,
  toml: string,
  at: PosternRuntime = ownRuntime,
): Promise<PosternProcess> {
  const file = path.join(dir, "postern.toml");
  fs.writeFileSync(file, toml);
  const postern = new PosternProcess(["serve", "-c", file], at);
  try {
    await postern.ready();
    return postern;
  } catch (error) {
    await postern.kill().catch(() => {});
    throw error;
  }
}
