/**
 * The order of plugins: stable, and readers behind givers.
 * @module
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { orderPlugins } from "../../src/pipeline/order.ts";

const notes = ["spf", "dkim", "dmarc", "score"];
const plugins = fc.array(
  fc.record({
    reads: fc.subarray(notes),
    gives: fc.subarray(notes),
    after: fc.subarray(["p0", "p3", "p6"]),
    before: fc.subarray(["p1", "p4"]),
  }),
  { maxLength: 8 },
).map((list) =>
  list.map(({ after, before, ...manifest }, i) => ({
    settings: { use: `p${i}`, path: `plugins[${i}]`, after, before },
    exports: { default: () => ({ name: "x", hooks: {} }), manifest },
  }))
);

test("every plugin comes once, behind all who give what it reads, or there is a problem", () => {
  fc.assert(fc.property(plugins, (list) => {
    const { ordered, behind, problems } = orderPlugins(list);
    if (problems.length > 0) return;
    assert.deepEqual(new Set(ordered), new Set(list));
    assert.equal(ordered.length, list.length);
    ordered.forEach((reader, at) => {
      for (const note of reader.exports.manifest.reads) {
        for (const later of ordered.slice(at + 1)) {
          assert.ok(!later.exports.manifest.gives.includes(note));
        }
      }
      const { use, after, before } = reader.settings;
      for (const other of ordered.filter((one) => one !== reader)) {
        const later = ordered.indexOf(other) > at;
        if (after.includes(other.settings.use)) assert.ok(!later);
        if (before.includes(other.settings.use)) assert.ok(later);
        const waits = behind.get(reader)!.has(other);
        if (later) assert.ok(!waits, `${use} waits for one behind it`);
        if (waits) {
          for (const further of behind.get(other)!) assert.ok(behind.get(reader)!.has(further));
        }
      }
    });
  }));
});

test("an order that is right already is kept", () => {
  fc.assert(fc.property(plugins, (list) => {
    const { ordered, problems } = orderPlugins(list);
    if (problems.length > 0) return;
    assert.deepEqual(orderPlugins(ordered).ordered, ordered);
  }));
});
