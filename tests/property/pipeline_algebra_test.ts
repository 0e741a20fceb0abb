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
import { Transaction } from "../../src/pipeline/transaction.ts";
import type { SessionFacts } from "../../src/plugin/facts.ts";
import type { Verdict } from "../../src/plugin/verdict.ts";
import { engine, hooks } from "../unit/pipeline_host.ts";

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

  test("the stronger of two: associative, the same of equals, and never weaker than either", () => {
    const ruling = outcome.map(({ verdict }) => verdict);
    fc.assert(fc.property(ruling, ruling, ruling, (a, b, c) => {
      assert.equal(stronger(stronger(a, b), c), stronger(a, stronger(b, c)));
      assert.ok(rank(stronger(a, b).verdict) >= rank(a.verdict));
      assert.ok(rank(stronger(a, b).verdict) >= rank(b.verdict));
      assert.equal(rank(stronger(a, b).verdict), rank(stronger(b, a).verdict));
    }));
  });

  test("more answers never weaken an outcome, shorten a delay or take a score back", () => {
    fc.assert(fc.property(outcome, outcome, outcome, (before, more, after) => {
      const without = combine(before, after);
      const with_ = combine(combine(before, more), after);
      assert.ok(strength(with_) >= strength(without));
      assert.ok(with_.delayMs >= without.delayMs);
      for (const given of without.scores) assert.ok(with_.scores.includes(given));
    }));
  });

  test("a refusal stays one, whatever is answered before and behind it", () => {
    fc.assert(fc.property(outcome, outcome, outcome, (before, refusing, behind) => {
      fc.pre(isRefusal(refusing.verdict));
      assert.ok(isRefusal(combine(combine(before, refusing), behind).verdict));
    }));
  });

  test("whose a verdict is, is told of every verdict but a pass", () => {
    fc.assert(fc.property(outcome, ({ verdict, plugin }) => {
      assert.equal(plugin === undefined, verdict.verdict === "pass");
    }));
  });

  test("a delay is at most the budget, and changes of the same field are the last one's", () => {
    fc.assert(fc.property(fc.nat(20_000), fc.nat(10_000), (ms, budget) => {
      const { delayMs } = outcomeOf({ verdict: "delay", ms }, "p", budget);
      assert.equal(delayMs, Math.min(ms, budget));
    }));
    const upstream = fc.option(fc.constantFrom("u", "v"), { nil: undefined });
    fc.assert(fc.property(fc.array(upstream, { maxLength: 5 }), (names) => {
      const all = names.map((name) =>
        name === undefined ? PASS : outcomeOf({ verdict: "rewrite", upstream: name }, "p", 0)
      ).reduce(combine, PASS);
      assert.equal(all.rewrite?.upstream, names.findLast((name) => name !== undefined));
    }));
  });

  test("a transaction's ruling is the fold of what was ruled, and its score stays finite", () => {
    fc.assert(fc.property(fc.array(outcome), fc.array(fc.double({ noNaN: true })), (all, added) => {
      const tx = new Transaction("s.1", {} as SessionFacts, null, {});
      for (const { verdict, plugin } of all) tx.rule(verdict, plugin);
      const sum = all.reduce(combine, PASS);
      assert.deepEqual([tx.ruling, tx.ruledBy], [sum.verdict, sum.plugin]);
      for (const points of added) tx.addScore("S", Number.isFinite(points) ? points : 0);
      assert.ok(Number.isFinite(tx.score));
    }));
  });

  test("a phase is the fold of its answers up to the first that refuses", async () => {
    const allowed = verdict.filter(({ verdict }) => verdict !== "delay" && verdict !== "rewrite");
    await fc.assert(fc.asyncProperty(fc.array(allowed, { maxLength: 6 }), async (answers) => {
      const { session, tx } = await engine(
        answers.map((answer, i) => hooks(`p${i}`, { end: () => answer })),
      );
      let wanted = PASS;
      for (const [i, answer] of answers.entries()) {
        wanted = combine(wanted, outcomeOf(answer, `p${i}`, 1_000));
        if (isRefusal(wanted.verdict)) break;
      }
      assert.deepEqual(session.end(tx), wanted);
      assert.equal(tx.score, sum(wanted));
    }));
  });

  test("what shadows would have done is the strongest of them, and changes nothing", async () => {
    await fc.assert(fc.asyncProperty(fc.array(verdict, { maxLength: 6 }), async (answers) => {
      const { session, tx } = await engine(
        answers.map((answer, i) => hooks(`p${i}`, { end: () => answer }, { mode: "shadow" })),
      );
      assert.equal(session.end(tx), PASS);
      const told = answers.filter(({ verdict }) => verdict !== "delay" && verdict !== "rewrite")
        .map(({ verdict }) => rank(verdict));
      const strongest = Math.max(0, ...told);
      // Delays and rewrites cannot be answered in `end`: these plugins failed, which would have been a defer.
      const failed = told.length < answers.length ? rank("defer") : 0;
      const wanted = Math.max(strongest, failed);
      const found = tx.trace.wouldHave === undefined ? 0 : rank(tx.trace.wouldHave.verdict);
      assert.equal(found, wanted >= rank("quarantine") ? wanted : 0);
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
