/**
 * Temporary files, real and in memory: what both promise, and what only real ones have to.
 * @module
 */
import assert from "node:assert/strict";
import { readdir, stat, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { tempDir } from "../../src/runtime/files.ts";
import { SpillFiles } from "../../src/runtime/spill_files.ts";
import { MemorySpill, type SpillStore } from "../../src/transport/spill.ts";

for (const kind of ["a real one", "one in memory"]) {
  test(`${kind} gives back what was written, in pieces of any size`, async () => {
    const dir = await tempDir();
    const store: SpillStore = kind === "a real one"
      ? new SpillFiles(`${dir.path}/a/held`)
      : new MemorySpill();
    const file = await store.create();
    const octets = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
    for (let at = 0; at < 1000; at += 300) await file.write(octets.subarray(at, at + 300));
    for (const step of [1, 7, 300, 5000]) {
      const got: number[] = [];
      for (let at = 0;;) {
        const into = new Uint8Array(step);
        const count = await file.read(at, into);
        if (count === 0) break;
        got.push(...into.subarray(0, count));
        at += count;
      }
      assert.deepEqual(got, [...octets]);
    }
    await file.close();
    await file.close();
    await dir.remove();
  });
}

describe("real files", () => {
  test("have no name, are apart, and their folder is nobody else's", async () => {
    const dir = await tempDir();
    const store = new SpillFiles(`${dir.path}/held`);
    const [one, two] = await Promise.all([store.create(), store.create()]);
    await one.write(Uint8Array.of(1));
    await two.write(Uint8Array.of(2));
    assert.deepEqual(await readdir(`${dir.path}/held`), []);
    assert.equal((await stat(`${dir.path}/held`)).mode & 0o777, 0o700);
    const into = new Uint8Array(1);
    await one.read(0, into);
    assert.equal(into[0], 1);
    await Promise.all([one.close(), two.close()]);
    await assert.rejects(one.read(0, into), /closed/);
    await dir.remove();
  });

  test("a file is closed behind the call that runs", async () => {
    const dir = await tempDir();
    const file = await new SpillFiles(dir.path).create();
    const written = file.write(new Uint8Array(3_000_000));
    const closed = file.close();
    await written;
    await closed;
    await dir.remove();
  });

  test("where the folder cannot be, none is made", async () => {
    const dir = await tempDir();
    await writeFile(`${dir.path}/file`, "");
    await assert.rejects(new SpillFiles(`${dir.path}/file/held`).create());
    await new SpillFiles(`${dir.path}/file/held`).sweep();
    await dir.remove();
  });

  test("a sweep takes what a kill has left, and nothing else", async () => {
    const dir = await tempDir();
    await writeFile(`${dir.path}/held-1`, "x");
    await writeFile(`${dir.path}/other`, "x");
    const store = new SpillFiles(dir.path);
    const file = await store.create();
    await file.write(Uint8Array.of(7));
    await store.sweep();
    assert.deepEqual(await readdir(dir.path), ["other"]);
    const into = new Uint8Array(1);
    assert.equal(await file.read(0, into), 1);
    await file.close();
    await dir.remove();
  });
});
