/**
 * The header block in pieces: all of it, whatever the cut, and nobody's chunk written to.
 * @module
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HeadBuffer } from "../../src/server/head_buffer.ts";

test("R33: gives all octets in order for any cut, and changes no chunk", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1 }),
      (chunks) => {
        const copies = chunks.map((chunk) => chunk.slice());
        const buffer = new HeadBuffer();
        const seen: number[] = [];
        for (const chunk of chunks) {
          seen.push(...chunk);
          assert.deepEqual([...buffer.push(chunk)], seen);
        }
        assert.deepEqual([...buffer.octets], seen);
        assert.deepEqual(chunks, copies);
      },
    ),
  );
});

test("R33: octet by octet it grows by doubling", () => {
  const buffer = new HeadBuffer();
  const arrays = new Set<ArrayBufferLike>();
  for (let i = 0; i < 10_000; i++) arrays.add(buffer.push(Uint8Array.of(i & 0xff)).buffer);
  assert.ok(arrays.size < 20, `${arrays.size} arrays`);
});

test("one chunk is not copied", () => {
  const chunk = Uint8Array.of(1, 2, 3);
  assert.equal(new HeadBuffer().push(chunk), chunk);
});
