/** The process and its files. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { renameSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  ensureDir,
  exists,
  readText,
  readTextIfExists,
  tempDir,
  watchFile,
  writeText,
} from "../../src/runtime/files.ts";
import {
  args,
  dropPrivileges,
  env,
  isTerminal,
  memoryUsage,
  onSignal,
  processId,
  runtimeName,
} from "../../src/runtime/process.ts";

/** Runs a script in a process of its own, on the runtime of the test. */
async function run(code: string): Promise<{ status: number; stdout: string; stderr: string }> {
  const folder = await tempDir();
  const script = join(folder.path, "script.ts");
  const room = new URL("../../src/runtime/process.ts", import.meta.url).href;
  writeFileSync(script, code.replaceAll("PROCESS", room));
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const before = runtimeName().startsWith("Deno") ? ["run", "-A", "--config", config] : [];
  const result = await new Promise<{ status: number; stdout: string; stderr: string }>((done) => {
    execFile(process.execPath, [...before, script], (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      done({ status, stdout, stderr });
    });
  });
  await folder.remove();
  return result;
}

describe("process", () => {
  test("a signal is told until it is stopped", async () => {
    let heard = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const keep = onSignal("SIGUSR2", () => resolve());
    const stop = onSignal("SIGUSR2", () => heard++);
    stop();
    // Waiting for a signal alone keeps no process alive on Deno.
    const alive = setInterval(() => {}, 1_000);
    process.kill(processId(), "SIGUSR2");
    await promise;
    clearInterval(alive);
    keep();
    assert.equal(heard, 0);
  });

  test("names the runtime, its memory and arguments", () => {
    assert.match(runtimeName(), /^(Deno|Bun) \d+\.\d+\.\d+$/);
    assert.ok(memoryUsage().rss > memoryUsage().heapUsed / 2);
    assert.ok(Array.isArray(args()));
    assert.equal(typeof isTerminal("stdout"), "boolean");
    assert.equal(env("POSTERN_SURELY_NOT_SET"), undefined);
    assert.notEqual(env("PATH"), undefined);
  });

  test("what was written before exit arrives whole, and the status is kept", async () => {
    const { status, stdout, stderr } = await run(`
      import { exit, writeStderr, writeStdout } from "PROCESS";
      writeStdout("é".repeat(200_000) + "\\n");
      writeStderr("done\\n");
      exit(3);
    `);
    assert.equal(stderr, "done\n");
    assert.equal(stdout, "é".repeat(200_000) + "\n");
    assert.equal(status, 3);
  });

  test("R40: root is given up for good, or the call fails", async (t) => {
    if (process.getuid?.() !== 0) {
      assert.throws(() => dropPrivileges({ user: "nobody" }), {
        message: /^Cannot drop privileges: not started as root/,
      });
      return t.skip("not root: only the refusal was tried");
    }
    const { stdout, stderr } = await run(`
      import process from "node:process";
      import { dropPrivileges, writeStdout } from "PROCESS";
      try { dropPrivileges({ user: "no-such-user-here" }); } catch (e) { writeStdout(e.message + "\\n"); }
      dropPrivileges({ user: 65534, group: 65534 });
      writeStdout([process.getuid(), process.geteuid(), process.getgid()].join() + "\\n");
      try { process.setuid(0); writeStdout("root again\\n"); } catch { writeStdout("for good\\n"); }
    `);
    const lines = stdout.split("\n");
    assert.match(lines[0] ?? "", /^Cannot drop privileges: no-such-user-here: /, stderr);
    assert.equal(lines[1], "65534,65534,65534", stderr);
    assert.equal(lines[2], "for good", stderr);
  });
});

describe("files", () => {
  test("text is written whole, with its mode, and read back", async () => {
    const folder = await tempDir();
    const path = join(folder.path, "a", "b.txt");
    await ensureDir(join(folder.path, "a"));
    await ensureDir(join(folder.path, "a"));
    assert.equal(await readTextIfExists(path), undefined);
    await writeText(path, "one", 0o600);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await writeText(path, "twö");
    assert.equal(await readText(path), "twö");
    assert.equal(await readTextIfExists(path), "twö");
    assert.equal(exists(path), true);
    await folder.remove();
    assert.equal(exists(folder.path), false);
    await assert.rejects(readText(path));
  });

  const changes: readonly (readonly [string, (path: string) => void])[] = [
    ["written in place", (path) => writeFileSync(path, "changed")],
    ["replaced by rename, twice", (path) => {
      writeFileSync(`${path}.new`, "changed once");
      renameSync(`${path}.new`, path);
      writeFileSync(`${path}.new`, "changed again");
      renameSync(`${path}.new`, path);
    }],
    ["removed", (path) => rmSync(path)],
    ["a link to itself from now on", (path) => {
      symlinkSync("postern.toml", `${path}.new`);
      renameSync(`${path}.new`, path);
    }],
  ];
  for (const [what, change] of changes) {
    test(`a watched file that is ${what} is told`, async () => {
      const folder = await tempDir();
      const path = join(folder.path, "postern.toml");
      writeFileSync(path, "first");
      const { promise, resolve } = Promise.withResolvers<void>();
      const stop = watchFile(path, resolve, 5);
      const alive = setInterval(() => {}, 1_000);
      change(path);
      await promise;
      clearInterval(alive);
      stop();
      await folder.remove();
    });
  }

  test("a watched file is told although its folder has no quiet moment", async () => {
    const folder = await tempDir();
    const path = join(folder.path, "users.txt");
    writeFileSync(path, "first");
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = watchFile(path, resolve, 50);
    const busy = setInterval(() => writeFileSync(join(folder.path, "state.db"), "x"), 5);
    writeFileSync(path, "second");
    await promise;
    clearInterval(busy);
    stop();
    await folder.remove();
  });

  test("a watched symbolic link that is swapped is told; a neighbour is not", async () => {
    const folder = await tempDir();
    const path = join(folder.path, "postern.toml");
    writeFileSync(join(folder.path, "one"), "1");
    writeFileSync(join(folder.path, "two"), "22");
    symlinkSync("one", path);
    let told = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = watchFile(path, () => {
      told++;
      resolve();
    }, 5);
    const alive = setInterval(() => {}, 1_000);
    writeFileSync(join(folder.path, "neighbour"), "x");
    unlinkSync(path);
    symlinkSync("two", path);
    await promise;
    clearInterval(alive);
    stop();
    assert.ok(told <= 2);
    await folder.remove();
  });
});
