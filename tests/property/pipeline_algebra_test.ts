/**
 * The laws of the verdict algebra.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  combine,
  isRefusal,
  type Outcome,
  outcomeOf,
  PASS,
  rank,
  stronger,
} from "../../src/pipeline/algebra.ts";
import { copyVerdict } from "../../src/pipeline/answer.ts";
import type { Verdict } from "../../src/plugin/verdict.ts";

const text = fc.stringMatching(/^[ -~]{0,40}$/);
const points = fc.integer({ min: -100, max: 100 });
const refusal = (verdict: "defer" | "refuse" | "drop", base: number) =>
  fc.record({
    verdict: fc.constant(verdict),
    code: fc.integer({ min: base, max: base + 99 }),
    enhanced: fc.constant(`${base / 100}.7.1`),
    text,
  });
const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constant({ verdict: "pass" } as const),
  fc.record({ verdict: fc.constant("score" as const), points, symbol: fc.constant("SYMBOL") }),
  fc.record({ verdict: fc.constant("quarantine" as const), reason: text }),
  fc.record({ verdict: fc.constant("discard" as const), reason: text }),
  refusal("defer", 400) as fc.Arbitrary<Verdict>,
  refusal("refuse", 500) as fc.Arbitrary<Verdict>,
  refusal("drop", 400) as fc.Arbitrary<Verdict>,
  fc.record({ verdict: fc.constant("delay" as const), ms: fc.nat(10_000) }),
  fc.record({
    verdict: fc.constant("rewrite" as const),
    to: fc.array(fc.constantFrom("a@x.test", "b@x.test"), { minLength: 1, maxLength: 3 }),
  }),
).map((made) => ({ ...made }));
const outcome: fc.Arbitrary<Outcome> = fc
  .array(fc.tuple(verdict, fc.constantFrom("p", "q", "r")), { maxLength: 4 })
  .map((list) => list.reduce((sum, [v, p]) => combine(sum, outcomeOf(v, p, 1e6)), PASS));

const sum = ({ scores }: Outcome) => scores.reduce((total, { points }) => total + points, 0);
const strength = ({ verdict }: Outcome) => rank(verdict.verdict);

describe("verdict algebra", () => {
  test("combining is associative", () => {
    fc.assert(fc.property(outcome, outcome, outcome, (a, b, c) => {
      assert.deepEqual(combine(combine(a, b), c), combine(a, combine(b, c)));
    }));
  });

  test("a pass is the identity", () => {
    fc.assert(fc.property(outcome, (a) => {
      assert.equal(combine(PASS, a), a);
      assert.equal(combine(a, PASS), a);
      assert.deepEqual(combine({ ...PASS }, a), a);
    }));
  });

  test("nothing lowers a verdict: the result is as strong as the strongest", () => {
    fc.assert(fc.property(outcome, outcome, (a, b) => {
      assert.equal(strength(combine(a, b)), Math.max(strength(a), strength(b)));
    }));
  });

  test("an earlier refusal is never replaced by one that is not stronger", () => {
    fc.assert(fc.property(outcome, outcome, (a, b) => {
      if (strength(a) < strength(b)) return;
      assert.deepEqual(combine(a, b).verdict, a.verdict);
    }));
  });

  test("a verdict combined with itself is itself, and so is everything but the points", () => {
    fc.assert(fc.property(outcome, (a) => {
      const { scores: _, ...twice } = combine(a, a);
      const { scores: __, ...once } = a;
      assert.deepEqual(twice, once);
      assert.equal(stronger(a.verdict, a.verdict), a.verdict);
    }));
  });

  test("points add", () => {
    fc.assert(fc.property(outcome, outcome, (a, b) => {
      assert.equal(sum(combine(a, b)), sum(a) + sum(b));
    }));
  });

  test("the order is pass < score < quarantine < discard < defer < refuse < drop", () => {
    const order = ["pass", "score", "quarantine", "discard", "defer", "refuse", "drop"] as const;
    assert.deepEqual(order.map(rank), [0, 1, 2, 3, 4, 5, 6]);
    assert.deepEqual(
      order.filter((kind) => isRefusal({ verdict: kind })),
      ["defer", "refuse", "drop"],
    );
  });

  test("copying a right verdict changes nothing", () => {
    fc.assert(fc.property(verdict, (v) => assert.deepEqual(copyVerdict(v), v)));
  });

  test("copying any value gives a verdict or throws, and never keeps a reference", () => {
    fc.assert(fc.property(fc.anything(), (value) => {
      try {
        assert.ok(rank(copyVerdict(value).verdict) >= 0);
      } catch (cause) {
        assert.ok(cause instanceof TypeError);
      }
    }));
  });
});
