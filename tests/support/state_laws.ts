/**
 * The laws of shared state, the same for every engine: windows, buckets, several limits at once, seen-sets, values,
 * counters, expiry. Every answer must come at once.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Take, TakeRequest } from "../../src/plugin/edge.ts";
import type { MemoryState } from "../../src/state/memory.ts";

/** A store of its own, whose clock the test turns. */
export interface LawStore {
  readonly clock: { at: number; now(): number };
  readonly state: Omit<MemoryState, "size">;
}

/** A clock for a store. */
export function lawClock(): LawStore["clock"] {
  const clock = { at: 1_000_000, now: () => clock.at };
  return clock;
}

const RUNS = { numRuns: 40 };

/** Registers the tests; `make` gives a store that no other test has used. */
export function stateLaws(engine: string, make: () => LawStore): void {
  describe(engine, () => {
    describe("sliding window", () => {
      test("takes up to the limit, says when again, and is free exactly then", () => {
        const { clock, state } = make();
        assert.deepEqual(state.window("k", 2, 3, 1_000), { taken: true, left: 1, retryAfter: 0 });
        clock.at += 100;
        assert.deepEqual(state.window("k", 1, 3, 1_000), { taken: true, left: 0, retryAfter: 0 });
        assert.deepEqual(state.window("k", 1, 3, 1_000), {
          taken: false,
          left: 0,
          retryAfter: 900,
        });
        clock.at += 899;
        assert.equal(state.window("k", 1, 3, 1_000).taken, false);
        clock.at += 1;
        assert.deepEqual(state.window("k", 2, 3, 1_000), { taken: true, left: 0, retryAfter: 0 });
      });

      test("what is refused takes nothing; what can never be taken says so", () => {
        const { state } = make();
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
            const { clock, state } = make();
            const taken: { at: number; amount: number }[] = [];
            for (const { wait, amount } of list) {
              clock.at += wait;
              if (state.window("k", amount, limit, 1_000).taken) {
                taken.push({ at: clock.at, amount });
              }
              const sum = taken.filter(({ at }) => at > clock.at - 1_000)
                .reduce((total, { amount }) => total + amount, 0);
              assert.ok(sum <= limit);
            }
          }),
          RUNS,
        );
      });

      test("a retry after the time it says succeeds", () => {
        fc.assert(
          fc.property(fc.array(fc.nat(30), { maxLength: 50 }), (waits) => {
            const { clock, state } = make();
            for (const wait of waits) {
              clock.at += wait;
              const { taken, retryAfter } = state.window("k", 1, 5, 100);
              if (taken) continue;
              clock.at += retryAfter;
              assert.equal(state.window("k", 1, 5, 100).taken, true);
            }
          }),
          RUNS,
        );
      });

      test("windows of different lengths of one key do not disturb each other", () => {
        const { clock, state } = make();
        state.window("k", 1, 10, 10_000);
        clock.at += 2_000;
        assert.equal(state.window("k", 1, 1, 1_000).taken, true);
        assert.equal(state.window("k", 1, 2, 10_000).taken, false);
      });

      test("a clock that was set back blocks nobody for longer than the window", () => {
        const { clock, state } = make();
        state.window("k", 1, 1, 1_000);
        clock.at -= 500_000;
        assert.ok(state.window("k", 1, 1, 1_000).retryAfter <= 1_000);
        clock.at += 1_000;
        assert.equal(state.window("k", 1, 1, 1_000).taken, true);
      });
    });

    describe("token bucket", () => {
      test("is full at first and refills evenly", () => {
        const { clock, state } = make();
        assert.deepEqual(state.bucket("k", 3, 3, 1, 1_000), {
          taken: true,
          left: 0,
          retryAfter: 0,
        });
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
        const { state } = make();
        assert.equal(state.bucket("k", 4, 3, 1, 1_000).retryAfter, Infinity);
        state.bucket("k", 3, 3, 0, 1_000);
        assert.equal(state.bucket("k", 1, 3, 0, 1_000).retryAfter, Infinity);
      });

      test("a retry after the time it says succeeds, and no more than capacity and refill are given", () => {
        const steps = fc.array(
          fc.record({ wait: fc.nat(500), amount: fc.integer({ min: 1, max: 5 }) }),
        );
        fc.assert(
          fc.property(steps, fc.integer({ min: 1, max: 7 }), (list, refill) => {
            const { clock, state } = make();
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
          }),
          RUNS,
        );
      });
    });

    describe("seen, values, counters", () => {
      test("a key is seen for its time from the first addition", () => {
        const { clock, state } = make();
        assert.equal(state.seen("k", 1_000), false);
        clock.at += 999;
        assert.equal(state.seen("k", 1_000), true);
        clock.at += 1;
        assert.equal(state.seen("k", 1_000), false);
      });

      test("values and counters expire; a counter from its first addition", () => {
        const { clock, state } = make();
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
        const { state } = make();
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
        const { state } = make();
        for (const key of ["__proto__", "constructor", "hasOwnProperty"]) {
          assert.equal(state.get(key), undefined);
          assert.equal(state.seen(key, 1_000), false);
        }
      });

      test("what makes no sense throws a TypeError", () => {
        const { state } = make();
        assert.throws(() => state.window("k", -1, 1, 1), TypeError);
        assert.throws(() => state.window("k", NaN, 1, 1), TypeError);
        assert.throws(() => state.bucket("k", 1, 1, 1, 0), TypeError);
        assert.throws(() => state.seen("k", 0), TypeError);
        assert.throws(() => state.seen("x".repeat(10_000), 1), TypeError);
        assert.throws(() => state.set("k", "x".repeat(100_000), 1), TypeError);
        assert.throws(() => state.add("k", Infinity, 1), TypeError);
      });
    });

    describe("a window against a model that remembers everything", () => {
      const steps = fc.array(
        fc.record({ wait: fc.nat(60), amount: fc.nat(4) }),
        { minLength: 1, maxLength: 120 },
      );

      test("sliding: the same answer at every step", () => {
        fc.assert(
          fc.property(steps, fc.integer({ min: 1, max: 30 }), (list, limit) => {
            const { clock, state } = make();
            const all: { at: number; amount: number }[] = [];
            for (const { wait, amount } of list) {
              clock.at += wait;
              const inside = all.filter(({ at }) => at > clock.at - 1_000);
              const used = inside.reduce((sum, one) => sum + one.amount, 0);
              const answer = state.window("k", amount, limit, 1_000);
              assert.equal(answer.taken, used + amount <= limit);
              assert.equal(answer.left, limit - used - (answer.taken ? amount : 0));
              if (answer.taken) all.push({ at: clock.at, amount });
              else if (amount <= limit) {
                let excess = used + amount - limit;
                const free = inside.find((one) => (excess -= one.amount) <= 0)!;
                assert.equal(answer.retryAfter, free.at + 1_000 - clock.at);
              }
            }
          }),
          RUNS,
        );
      });

      test("fixed: the same answer at every step", () => {
        fc.assert(
          fc.property(steps, fc.integer({ min: 1, max: 30 }), (list, limit) => {
            const { clock, state } = make();
            const used = new Map<number, number>();
            for (const { wait, amount } of list) {
              clock.at += wait;
              const start = Math.floor(clock.at / 1_000);
              const before = used.get(start) ?? 0;
              const [answer] = state.takeAll([
                { kind: "fixed", key: "k", amount, limit, window: 1_000 },
              ]);
              const taken = before + amount <= limit;
              if (taken) used.set(start, before + amount);
              assert.deepEqual(answer, {
                taken,
                left: limit - (used.get(start) ?? 0),
                retryAfter: taken ? 0 : amount > limit ? Infinity : (start + 1) * 1_000 - clock.at,
              });
            }
          }),
          RUNS,
        );
      });
    });

    describe("several limits at once", () => {
      const sliding = (key: string, limit: number, more: object = {}): TakeRequest => ({
        kind: "window",
        key,
        amount: 1,
        limit,
        window: 1_000,
        ...more,
      });

      test("what one refuses costs nothing at the others", () => {
        const { state } = make();
        const bucket: TakeRequest = {
          kind: "bucket",
          key: "b",
          amount: 1,
          capacity: 1,
          refill: 1,
          per: 1_000,
        };
        const fixed: TakeRequest = { kind: "fixed", key: "f", amount: 1, limit: 9, window: 1_000 };
        assert.deepEqual(state.takeAll([sliding("w", 5), bucket, fixed]).map(({ left }) => left), [
          4,
          0,
          8,
        ]);
        assert.deepEqual(state.takeAll([sliding("w", 5), bucket, fixed]), [
          { taken: false, left: 4, retryAfter: 0 },
          { taken: false, left: 0, retryAfter: 1_000 },
          { taken: false, left: 8, retryAfter: 0 },
        ]);
        assert.equal(state.window("w", 4, 5, 1_000).taken, true);
      });

      test("a soft one that has no room does not stop the others", () => {
        const { state } = make();
        const both = [sliding("a", 1, { soft: true }), sliding("b", 3)];
        assert.deepEqual(state.takeAll(both).map(({ taken }) => taken), [true, true]);
        assert.deepEqual(state.takeAll(both).map(({ taken }) => taken), [false, true]);
        assert.deepEqual(state.takeAll(both).map(({ left }) => left), [0, 0]);
        // The hard one refuses: the soft one's window is as it was.
        assert.deepEqual(state.takeAll(both).map(({ taken }) => taken), [false, false]);
      });

      test("all or nothing, whatever came before", () => {
        const call = fc.record({
          wait: fc.nat(300),
          amounts: fc.array(fc.nat(3), { minLength: 3, maxLength: 3 }),
        });
        fc.assert(
          fc.property(fc.array(call, { maxLength: 40 }), (calls) => {
            const { clock, state } = make();
            const limits = [4, 6, 5];
            const look = () =>
              limits.map((limit, i) =>
                (state.takeAll([sliding(String(i), limit, { amount: 0 })])[0] as Take).left
              );
            for (const { wait, amounts } of calls) {
              clock.at += wait;
              const before = look();
              const answers = state.takeAll(
                amounts.map((amount, i) => sliding(String(i), limits[i]!, { amount })),
              );
              const room = amounts.every((amount, i) => amount <= before[i]!);
              assert.deepEqual(answers.map(({ taken }) => taken), amounts.map(() => room));
              const expected = before.map((left, i) => room ? left - amounts[i]! : left);
              assert.deepEqual(look(), expected);
              assert.deepEqual(answers.map(({ left }) => left), expected);
            }
          }),
          RUNS,
        );
      });

      test("one key twice in one call is a TypeError, and nothing is an empty answer", () => {
        const { state } = make();
        assert.throws(() => state.takeAll([sliding("a", 1), sliding("a", 2)]), TypeError);
        assert.throws(() => state.takeAll([sliding("a", 1, { kind: "lucky" })]), TypeError);
        assert.deepEqual(state.takeAll([]), []);
      });
    });

    test("keys hold any text, and no two of them meet", () => {
      const { state } = make();
      for (const key of ["", "a", "A", "a ", "a\n", "a\0", "a\0b", "\u00e4", "a\u0308", "'; --"]) {
        assert.equal(state.seen(key, 1_000), false, JSON.stringify(key));
        assert.equal(state.seen(key, 1_000), true, JSON.stringify(key));
      }
    });
  });
}
