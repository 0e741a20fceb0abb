/**
 * State in memory: windows, buckets, seen-sets, values, counters; expiry and bounds.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { PluginState } from "../../src/plugin/edge.ts";
import { memoryState } from "../../src/state/memory.ts";

function store(maxEntries?: number) {
  const clock = { at: 1_000_000, now: () => clock.at };
  const state = memoryState({ clock, ...(maxEntries === undefined ? {} : { maxEntries }) });
  const door: PluginState = state;
  assert.ok(door);
  return { clock, state };
}

describe("sliding window", () => {
  test("takes up to the limit, says when again, and is free exactly then", () => {
    const { clock, state } = store();
    assert.deepEqual(state.window("k", 2, 3, 1_000), { taken: true, left: 1, retryAfter: 0 });
    clock.at += 100;
    assert.deepEqual(state.window("k", 1, 3, 1_000), { taken: true, left: 0, retryAfter: 0 });
    assert.deepEqual(state.window("k", 1, 3, 1_000), { taken: false, left: 0, retryAfter: 900 });
    clock.at += 899;
    assert.equal(state.window("k", 1, 3, 1_000).taken, false);
    clock.at += 1;
    assert.deepEqual(state.window("k", 2, 3, 1_000), { taken: true, left: 0, retryAfter: 0 });
  });

  test("what is refused takes nothing; what can never be taken says so", () => {
    const { state } = store();
    assert.deepEqual(state.window("k", 5, 3, 1_000), {
      taken: false,
      left: 3,
      retryAfter: Infinity,
    });
    assert.equal(state.window("k", 3, 3, 1_000).taken, true);
  });

  test("never gives more than the limit within any window, however many takes", () => {
    const steps = fc.array(
      fc.record({ wait: fc.nat(40), amount: fc.integer({ min: 1, max: 3 }) }),
      { minLength: 1, maxLength: 600 },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 400 }), (list, limit) => {
        const { clock, state } = store();
        const taken: { at: number; amount: number }[] = [];
        for (const { wait, amount } of list) {
          clock.at += wait;
          if (state.window("k", amount, limit, 1_000).taken) taken.push({ at: clock.at, amount });
          const sum = taken.filter(({ at }) => at > clock.at - 1_000)
            .reduce((total, { amount }) => total + amount, 0);
          assert.ok(sum <= limit);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("a retry after the time it says succeeds", () => {
    fc.assert(fc.property(fc.array(fc.nat(30), { maxLength: 50 }), (waits) => {
      const { clock, state } = store();
      for (const wait of waits) {
        clock.at += wait;
        const { taken, retryAfter } = state.window("k", 1, 5, 100);
        if (taken) continue;
        clock.at += retryAfter;
        assert.equal(state.window("k", 1, 5, 100).taken, true);
      }
    }));
  });

  test("windows of different lengths of one key do not disturb each other", () => {
    const { clock, state } = store();
    state.window("k", 1, 10, 10_000);
    clock.at += 2_000;
    assert.equal(state.window("k", 1, 1, 1_000).taken, true);
    assert.equal(state.window("k", 1, 2, 10_000).taken, false);
  });

  test("a clock that was set back blocks nobody for longer than the window", () => {
    const { clock, state } = store();
    state.window("k", 1, 1, 1_000);
    clock.at -= 500_000;
    assert.ok(state.window("k", 1, 1, 1_000).retryAfter <= 1_000);
    clock.at += 1_000;
    assert.equal(state.window("k", 1, 1, 1_000).taken, true);
  });
});

describe("token bucket", () => {
  test("is full at first and refills evenly", () => {
    const { clock, state } = store();
    assert.deepEqual(state.bucket("k", 3, 3, 1, 1_000), { taken: true, left: 0, retryAfter: 0 });
    assert.deepEqual(state.bucket("k", 1, 3, 1, 1_000), {
      taken: false,
      left: 0,
      retryAfter: 1_000,
    });
    clock.at += 500;
    assert.equal(state.bucket("k", 1, 3, 1, 1_000).retryAfter, 500);
    clock.at += 500;
    assert.equal(state.bucket("k", 1, 3, 1, 1_000).taken, true);
    clock.at += 1e9;
    assert.equal(state.bucket("k", 3, 3, 1, 1_000).taken, true);
    assert.equal(state.bucket("k", 1, 3, 1, 1_000).taken, false);
  });

  test("more than it holds is never taken; without refill neither", () => {
    const { state } = store();
    assert.equal(state.bucket("k", 4, 3, 1, 1_000).retryAfter, Infinity);
    state.bucket("k", 3, 3, 0, 1_000);
    assert.equal(state.bucket("k", 1, 3, 0, 1_000).retryAfter, Infinity);
  });

  test("a retry after the time it says succeeds, and no more than capacity and refill are given", () => {
    const steps = fc.array(
      fc.record({ wait: fc.nat(500), amount: fc.integer({ min: 1, max: 5 }) }),
    );
    fc.assert(fc.property(steps, fc.integer({ min: 1, max: 7 }), (list, refill) => {
      const { clock, state } = store();
      const start = clock.at;
      let given = 0;
      for (const { wait, amount } of list) {
        clock.at += wait;
        const { taken, retryAfter } = state.bucket("k", amount, 5, refill, 1_000);
        if (!taken) {
          clock.at += retryAfter;
          assert.equal(state.bucket("k", amount, 5, refill, 1_000).taken, true);
        }
        given += amount;
        assert.ok(given <= 5 + (clock.at - start) * refill / 1_000 + 1e-6);
      }
    }));
  });
});

describe("seen, values, counters", () => {
  test("a key is seen for its time from the first addition", () => {
    const { clock, state } = store();
    assert.equal(state.seen("k", 1_000), false);
    clock.at += 999;
    assert.equal(state.seen("k", 1_000), true);
    clock.at += 1;
    assert.equal(state.seen("k", 1_000), false);
  });

  test("values and counters expire; a counter from its first addition", () => {
    const { clock, state } = store();
    state.set("k", "v", 1_000);
    assert.equal(state.add("k", 2, 1_000), 2);
    clock.at += 999;
    assert.equal(state.get("k"), "v");
    assert.equal(state.add("k", 1, 1_000), 3);
    clock.at += 1;
    assert.equal(state.get("k"), undefined);
    assert.equal(state.add("k", 1, 1_000), 1);
  });

  test("kinds of one key do not meet, and are deleted together", () => {
    const { state } = store();
    state.window("k", 1, 1, 1_000);
    state.bucket("k", 1, 1, 1, 1_000);
    state.seen("k", 1_000);
    state.set("k", "v", 1_000);
    state.add("k", 5, 1_000);
    state.delete("k");
    assert.equal(state.window("k", 1, 1, 1_000).taken, true);
    assert.equal(state.bucket("k", 1, 1, 1, 1_000).taken, true);
    assert.equal(state.seen("k", 1_000), false);
    assert.equal(state.get("k"), undefined);
    assert.equal(state.add("k", 1, 1_000), 1);
  });

  test("R34: names of Object.prototype are keys like any other", () => {
    const { state } = store();
    for (const key of ["__proto__", "constructor", "hasOwnProperty"]) {
      assert.equal(state.get(key), undefined);
      assert.equal(state.seen(key, 1_000), false);
    }
  });

  test("what makes no sense throws a TypeError", () => {
    const { state } = store();
    assert.throws(() => state.window("k", -1, 1, 1), TypeError);
    assert.throws(() => state.window("k", NaN, 1, 1), TypeError);
    assert.throws(() => state.bucket("k", 1, 1, 1, 0), TypeError);
    assert.throws(() => state.seen("k", 0), TypeError);
    assert.throws(() => state.seen("x".repeat(10_000), 1), TypeError);
    assert.throws(() => state.set("k", "x".repeat(100_000), 1), TypeError);
    assert.throws(() => state.add("k", Infinity, 1), TypeError);
  });
});

describe("bounds", () => {
  test("R29: never more keys than allowed; the one not used for longest goes", () => {
    const { state } = store(3);
    for (const key of ["a", "b", "c"]) state.seen(key, 1e6);
    state.seen("a", 1e6);
    state.seen("d", 1e6);
    assert.equal(state.size, 3);
    assert.equal(state.seen("a", 1e6), true);
    assert.equal(state.seen("b", 1e6), false);
    for (let i = 0; i < 1_000; i++) state.seen(String(i), 1e6);
    assert.equal(state.size, 3);
  });

  test("R29: what has expired makes room without a timer", () => {
    const { clock, state } = store();
    for (let i = 0; i < 1_000; i++) {
      state.window(`w${i}`, 1, 10, 1_000);
      state.bucket(`b${i}`, 1, 10, 10, 1_000);
    }
    clock.at += 10_000;
    for (let i = 0; i < 1_000; i++) state.set("k" + i, "v", 1e6);
    assert.equal(state.size, 1_000);
  });

  test("R33: a key with very many takes stays small and quick", () => {
    const { clock, state } = store();
    for (let i = 0; i < 20_000; i++) {
      clock.at += 1;
      state.window("k", 1, 1e9, 1e9);
    }
    assert.equal(state.window("k", 0, 1e9, 1e9).left, 1e9 - 20_000);
  });
});
