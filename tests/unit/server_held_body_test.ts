/**
 * The held body: in memory, then in a file, sent in order with back-pressure, gone in every end.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HeldBody } from "../../src/server/held_body.ts";
import { MemorySpill, type SpillFile, type SpillStore } from "../../src/transport/spill.ts";

/** A sink that has enough after each so-many-th write, and room again a microtask later. */
function sink(every: number) {
  const parts: Uint8Array[] = [];
  let waits = 0;
  return {
    write: (chunk: Uint8Array) => parts.push(chunk) % every !== 0,
    writable: () => {
      waits++;
      return Promise.resolve();
    },
    get octets() {
      return Buffer.concat(parts);
    },
    get waits() {
      return waits;
    },
  };
}

/** Writes as a transfer does: not while blocked. */
async function fill(body: HeldBody, chunks: readonly Uint8Array[]): Promise<void> {
  for (const chunk of chunks) {
    if (body.write(chunk)) continue;
    await new Promise<void>((resolve) => body.drained = resolve);
  }
}

describe("a held body", () => {
  test("gives back what it took, whatever the chunks, the memory and the pauses", async () => {
    const chunk = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(new Uint8Array(70_000)));
    await fc.assert(fc.asyncProperty(
      fc.array(chunk, { maxLength: 12 }),
      fc.nat(200_000),
      fc.integer({ min: 1, max: 4 }),
      async (chunks, limit, every) => {
        const spill = new MemorySpill();
        const body = new HeldBody(spill, limit);
        await fill(body, chunks);
        const wanted = Buffer.concat(chunks);
        assert.equal(body.size, wanted.length);
        assert.equal(body.onDisk, wanted.length > limit);
        const to = sink(every);
        await body.sendTo(to, to.writable, () => false);
        assert.ok(to.octets.equals(wanted));
        body.discard();
        await Promise.resolve();
        assert.equal(spill.open, 0);
      },
    ));
  });

  test("takes copies: what it was given may be changed", async () => {
    for (const limit of [0, 1_000]) {
      const body = new HeldBody(new MemorySpill(), limit);
      const chunk = Uint8Array.of(1, 2, 3);
      body.write(chunk);
      chunk.fill(9);
      const to = sink(100);
      await body.sendTo(to, to.writable, () => false);
      assert.deepEqual([...to.octets], [1, 2, 3]);
    }
  });

  test("makes no file while memory is enough", async () => {
    const spill = new MemorySpill();
    const body = new HeldBody(spill, 10_000);
    await fill(body, [new Uint8Array(10_000)]);
    assert.equal(spill.made, 0);
    await fill(body, [new Uint8Array(1)]);
    assert.equal(spill.made, 1);
  });

  test("R29: asks for a pause when the disk is behind, and ends it", async () => {
    const gates: (() => void)[] = [];
    const spill = new MemorySpill();
    const slow: SpillStore = {
      create: async () => {
        const file = await spill.create();
        return {
          ...file,
          write: (octets: Uint8Array) =>
            new Promise<void>((resolve) => gates.push(() => resolve(file.write(octets)))),
        };
      },
    };
    const body = new HeldBody(slow, 1_000);
    const block = new Uint8Array(64 * 1024);
    let taken = 0;
    while (body.write(block)) taken += block.length;
    assert.ok(taken < 1024 * 1024, `${taken} octets wait for the disk`);
    const drained = new Promise<void>((resolve) => body.drained = resolve);
    let open = true;
    const pump = async (): Promise<void> => {
      while (open) {
        gates.shift()?.();
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    };
    const pumping = pump();
    await drained;
    assert.equal(body.write(block), true);
    const to = sink(3);
    await body.sendTo(to, to.writable, () => false);
    open = false;
    await pumping;
    assert.equal(to.octets.length, body.size);
  });

  test("tells of a disk that refuses once, and throws away what comes", async () => {
    const refusing: SpillStore = { create: () => Promise.reject(new Error("no room")) };
    const body = new HeldBody(refusing, 0);
    const told: unknown[] = [];
    const failed = new Promise<void>((resolve) => {
      body.failed = (cause) => {
        told.push(cause);
        resolve();
      };
    });
    body.write(new Uint8Array(100_000));
    await failed;
    assert.equal(body.write(new Uint8Array(100_000)), true);
    const to = sink(1);
    await assert.rejects(body.sendTo(to, to.writable, () => false), /no room/);
    assert.equal(told.length, 1);
  });

  test("R3: leaves no file when it is given up while the file is being made", async () => {
    const spill = new MemorySpill();
    const gate = Promise.withResolvers<void>();
    let made: Promise<SpillFile> | undefined;
    const body = new HeldBody({ create: () => made = gate.promise.then(() => spill.create()) }, 0);
    body.write(new Uint8Array(100_000));
    body.discard();
    body.discard();
    gate.resolve();
    await made;
    for (let i = 0; i < 10; i++) await Promise.resolve();
    assert.equal(spill.open, 0);
    assert.equal(spill.made, 1);
  });

  test("stops sending when it is told to", async () => {
    const body = new HeldBody(new MemorySpill(), 0);
    await fill(body, [new Uint8Array(300_000)]);
    let writes = 0;
    await body.sendTo({ write: () => ++writes > 0 }, () => Promise.resolve(), () => writes >= 2);
    assert.equal(writes, 2);
  });
});
