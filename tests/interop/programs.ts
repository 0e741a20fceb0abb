/**
 * The programs of other people that the interop tests run: found or said to be absent, started, ended by their ids.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { Buffer } from "node:buffer";
import * as net from "node:net";
import * as path from "node:path";
import process from "node:process";
import { ROOT } from "../../tools/files.ts";
import { isProgram, which } from "../../tools/process.ts";

/** A wait that is longer than this fails its test. */
const guardTime = 60_000;

/** Path of a program, on PATH or where Debian keeps services. */
export function findProgram(name: string): string | undefined {
  const service = path.join("/usr/sbin", name);
  return which(name) ?? (isProgram(service) ? service : undefined);
}

/** Exim conflicts with Postfix as a Debian package, so it may also be unpacked beside the project. */
export function findExim(): string | undefined {
  const unpacked = path.join(ROOT, ".postern-tools/debian/usr/sbin/exim4");
  return [process.env["POSTERN_EXIM"], findProgram("exim4"), unpacked]
    .find((program) => program !== undefined && isProgram(program));
}

/** How a program ended. */
export interface ProgramEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; `input` is its standard input. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: {
    readonly input?: Uint8Array | string;
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
  } = {},
): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, LC_ALL: "C.UTF-8", NO_COLOR: "1", ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      stdio: ["pipe", "pipe", "pipe"],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), guardTime);
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (chunk: Buffer) => output[name] += chunk.toString());
    }
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, ...output });
    });
    // A program that does not read its input to the end says by its exit code why.
    child.stdin.on("error", () => {});
    child.stdin.end(Buffer.from(options.input ?? ""));
  });
}

/** As {@linkcode runProgram}; an exit code other than 0 is an error that holds what the program said. */
export async function mustRun(
  ...[program, args, options]: Parameters<typeof runProgram>
): Promise<ProgramEnd> {
  const end = await runProgram(program, args, options);
  if (end.code !== 0) {
    throw new Error(
      `${path.basename(program)} ended with exit code ${end.code}\n${end.stdout.slice(-2000)}${
        end.stderr.slice(-2000)
      }`,
    );
  }
  return end;
}

/** A service of this test's own, in the foreground, with a process group of its own: some end their children by it. */
export class Service {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  /** What it wrote. */
  output = "";
  over = false;

  constructor(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#child.stdout?.on("data", (chunk: Buffer) => this.output += chunk.toString());
    this.#child.stderr?.on("data", (chunk: Buffer) => this.output += chunk.toString());
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.over = true;
        resolve();
      };
      this.#child.once("exit", end);
      this.#child.once("error", end);
    });
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** SIGTERM to this process; it ends its own children. */
  async stop(): Promise<void> {
    const { pid } = this.#child;
    if (!this.over && pid !== undefined) process.kill(pid, "SIGTERM");
    await this.#ended;
  }
}

/** Looks again and again until there is something; `describe` says what was waited for in vain. */
export async function eventually<T>(
  look: () => T | undefined | Promise<T | undefined>,
  describe: () => string,
): Promise<T> {
  const end = performance.now() + guardTime;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`Waited in vain: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Ports for services that cannot take a free one by themselves. They are below those that the system gives to others by
 * chance, so only two tests at once could meet; a service that does not start is started again with other ports.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Resolves when somebody says something on every port; fails when the service has ended. */
export async function greeted(service: Service, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    await eventually(
      async () => {
        if (service.over) throw new Error(`The service ended\n${service.output}`);
        return await greets(port) ? true : undefined;
      },
      () => `a service on port ${port}\n${service.output}`,
    );
  }
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
