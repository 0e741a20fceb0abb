/**
 * A terminal of memory for tests of commands.
 * @module
 */
import { PassThrough } from "node:stream";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { CliInput, CliIo } from "../../src/cli/io.ts";
import { createInput } from "../../src/cli/stdin.ts";

/** A `CliIo` that keeps what is printed. */
export interface FakeIo extends CliIo {
  readonly out: () => string;
  readonly err: () => string;
}

/** What the world of the command is like; nothing: no terminal, no input, no environment. */
export interface World {
  readonly input?: string | Uint8Array;
  readonly secrets?: readonly (string | undefined)[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly terminals?: readonly ("stdin" | "stdout" | "stderr")[];
}

/** Makes one. */
export function fakeIo(world: World = {}): FakeIo {
  let out = "";
  let err = "";
  const env = new Map(Object.entries(world.env ?? {}));
  return {
    stdout: (text) => void (out += text),
    stderr: (text) => void (err += text),
    stdin: inputOf(world),
    env: (name) => env.get(name),
    cwd: world.cwd ?? os.tmpdir(),
    isTerminal: (stream) => world.terminals?.includes(stream) ?? false,
    out: () => out,
    err: () => err,
  };
}

function inputOf(world: World): CliInput {
  const stream = new PassThrough();
  stream.end(world.input ?? "");
  const secrets = [...world.secrets ?? []];
  return { ...createInput(() => stream), readSecret: () => Promise.resolve(secrets.shift()) };
}

/** Runs `work` with a folder of its own, which is removed after it. */
export async function withFolder<A>(work: (folder: string) => A | Promise<A>): Promise<A> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "postern-cli-"));
  try {
    return await work(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
