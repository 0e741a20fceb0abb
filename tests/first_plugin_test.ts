/**
 * The guide "Your first plugin", done as it says: in a folder of its own its files are written, its commands run and
 * what they print compared, in order. The programs of the page on testing run too.
 *
 * A block whose first line is a comment with a path is that file. A `text` block is what the command before it prints,
 * in the patterns of dialogues. `postern serve` goes on in the background.
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import process from "node:process";
import { test } from "node:test";
import { matches } from "../src/testing/dialogue/parse.ts";
import { ROOT, textOf } from "../tools/files.ts";
import { withFolder } from "./support/cli_io.ts";

const bun = process.versions["bun"] !== undefined;

interface Block {
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let open: { line: number; language: string; lines: string[] } | undefined;
  for (const [index, line] of textOf(page).split("\n").entries()) {
    const fence = /^```(.*)$/.exec(line)?.[1];
    if (fence === undefined) open?.lines.push(line);
    else if (open === undefined) open = { line: index + 1, language: fence, lines: [] };
    else {
      blocks.push({ ...open, text: `${open.lines.join("\n")}\n` });
      open = undefined;
    }
  }
  return blocks;
}

/** A folder in which `postern` is a command; and how programs are started there. */
function prepare(folder: string): NodeJS.ProcessEnv {
  const bin = path.join(folder, ".bin");
  fs.mkdirSync(bin);
  const main = path.join(ROOT, "src", "main.ts");
  const start = bun
    ? `exec '${process.execPath}' '${main}' "$@"`
    : `exec '${process.execPath}' run -A --no-check '${main}' "$@"`;
  fs.writeFileSync(path.join(bin, "postern"), `#!/bin/sh\n${start}\n`, { mode: 0o755 });
  return { ...process.env, PATH: `${bin}:${process.env["PATH"]}`, NO_COLOR: "1" };
}

/** A port that nobody has at the moment. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a command that stays; resolves when it is ready. */
function stay(command: string, cwd: string, env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", `exec ${command}`], { cwd, env });
  return new Promise((resolve, reject) => {
    let said = "";
    const hear = (chunk: unknown) => {
      said += String(chunk);
      if (said.includes("postern ready")) resolve(child);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("exit", () => reject(new Error(`${command} ended\n${said}`)));
  });
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exit;
}

/** Whether lines are what patterns say; `...` is any number of lines. */
function like(patterns: readonly string[], lines: readonly string[]): boolean {
  const [first, ...rest] = patterns;
  if (first === undefined) return lines.length === 0;
  if (first.trim() === "...") {
    return lines.some((_, at) => like(rest, lines.slice(at))) || like(rest, []);
  }
  return lines.length > 0 && matches(first, lines[0]!) && like(rest, lines.slice(1));
}

test("docs/first_plugin.md, from nothing to a running plugin", () =>
  withFolder(async (folder) => {
    const page = "docs/first_plugin.md";
    const env = prepare(folder);
    const port = String(await freePort());
    const running: ChildProcess[] = [];
    let printed: string | undefined;
    let commands = 0;
    try {
      for (const { line, language, text: raw } of blocksOf(page)) {
        const where = `${page}:${line}`;
        const text = raw.replaceAll("2525", port);
        const file = /^(?:\/\/|#) (\S+\.(?:ts|toml|dialogue))\n/.exec(text)?.[1];
        if (file !== undefined) {
          fs.writeFileSync(path.join(folder, file), text);
        } else if (language === "sh" && text.startsWith("postern serve")) {
          running.push(await stay(text.trim(), folder, env));
          commands++;
        } else if (language === "sh") {
          const { stdout, stderr } = spawnSync("sh", ["-c", text], {
            cwd: folder,
            env,
            encoding: "utf8",
          });
          printed = `${stdout}${stderr}`;
          commands++;
        } else {
          assert.equal(language, "text", `${where}: neither a file nor a command`);
          assert.ok(printed !== undefined, `${where}: no command printed this`);
          const lines = printed.replaceAll(port, "2525").trimEnd().split("\n");
          const good = like(raw.trimEnd().split("\n"), lines);
          assert.ok(good, `${where}: expected\n${raw}\ngot\n${printed}`);
        }
      }
      assert.ok(commands >= 8);
      assert.equal(fs.readdirSync(path.join(folder, "mail", "day@example.org", "new")).length, 1);
    } finally {
      for (const child of running) await ended(child);
    }
  }));

test("the programs of docs/testing.md run", () =>
  withFolder((folder) => {
    const env = prepare(folder);
    if (bun) {
      fs.mkdirSync(path.join(folder, "node_modules", "@postern"), { recursive: true });
      fs.symlinkSync(ROOT, path.join(folder, "node_modules", "@postern", "postern"));
    }
    const programs = blocksOf("docs/testing.md").filter(({ language }) => language === "ts");
    assert.ok(programs.length >= 3);
    for (const { line, text } of programs) {
      const file = path.join(folder, `block_${line}.ts`);
      fs.writeFileSync(file, text);
      const args = bun
        ? [file]
        : ["run", "-A", "--no-check", "--config", path.join(ROOT, "deno.json"), file];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, {
        cwd: folder,
        env,
        encoding: "utf8",
      });
      assert.equal(status, 0, `docs/testing.md:${line}\n${stdout}${stderr}`);
    }
  }));
