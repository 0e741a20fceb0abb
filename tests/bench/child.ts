/**
 * The processes of a bench: each says hello with one line of JSON on standard output, then answers a line of JSON on
 * standard input with another. It ends when its standard input does, so none outlives the bench.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { PosternRuntime } from "../support/postern_process.ts";

/** Longer than any load may take. */
const ANSWER_MS = 100_000;
const END_MS = 5_000;

/** The other side of {@linkcode serveParent}. */
export class Child<Hello, Request, Answer> implements AsyncDisposable {
  readonly hello: Hello;
  readonly #child: ChildProcess;
  readonly #lines: Lines;

  private constructor(child: ChildProcess, lines: Lines, hello: Hello) {
    this.#child = child;
    this.#lines = lines;
    this.hello = hello;
  }

  /** Starts a file of this folder. */
  static async start<Hello, Request, Answer>(
    at: PosternRuntime,
    file: string,
    options: unknown = {},
  ): Promise<Child<Hello, Request, Answer>> {
    const before = at.name === "Deno" ? ["run", "-A", "--no-check", "--quiet"] : [];
    const path = fileURLToPath(new URL(file, import.meta.url));
    const child = spawn(at.program, [...before, path, JSON.stringify(options)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = new Lines(child, file);
    try {
      return new Child(child, lines, await lines.next() as Hello);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** One request at a time. */
  async ask(request: Request): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    return await this.#lines.next() as Answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_MS);
    await this.#lines.ended;
    clearTimeout(timer);
  }
}

/** What a child says, line by line. */
class Lines {
  readonly ended: Promise<void>;
  #said: string[] = [];
  #look: () => void = () => {};
  #over = false;
  readonly #file: string;

  constructor(child: ChildProcess, file: string) {
    this.#file = file;
    createInterface({ input: child.stdout! }).on("line", (line) => {
      this.#said.push(line);
      this.#look();
    });
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.#over = true;
        this.#look();
        resolve();
      };
      child.once("error", end).once("close", end);
    });
  }

  next(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${this.#file} does not answer`)),
        ANSWER_MS,
      );
      this.#look = () => {
        const line = this.#said.shift();
        if (line === undefined && !this.#over) return;
        clearTimeout(timer);
        this.#look = () => {};
        if (line === undefined) reject(new Error(`${this.#file} has ended`));
        else resolve(JSON.parse(line));
      };
      this.#look();
    });
  }
}

/** The options that the parent gave. */
export function ownOptions<T>(): T {
  return JSON.parse(process.argv[2] ?? "{}") as T;
}

/** Says hello and answers until the parent has had enough. */
export function serveParent<Request, Answer>(
  hello: unknown,
  answer: (request: Request) => Answer | Promise<Answer>,
): void {
  const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
  createInterface({ input: process.stdin })
    .on("line", async (line) => say(await answer(JSON.parse(line) as Request)))
    .on("close", () => process.exit(0));
  say(hello);
}
