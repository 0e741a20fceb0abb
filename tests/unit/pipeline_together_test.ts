/**
 * Hooks side by side: who is asked when, what is cut off, and by which budget. That the outcome is the same is in
 * `tests/property/pipeline_together_test.ts`.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { Transaction } from "../../src/pipeline/transaction.ts";
import type { Hooks } from "../../src/plugin/module.ts";
import { engine, hooks, mailbox } from "./pipeline_host.ts";

const refuse = { verdict: "refuse", code: 550, enhanced: "5.7.1", text: "No" } as const;
const score = (points: number, symbol = "S") => ({ verdict: "score", points, symbol }) as const;
const end = (end: NonNullable<Hooks["end"]>): Hooks => ({ end });
const never = () => new Promise<undefined>(() => {});
const ticks = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe("hooks that wait", () => {
  test("are asked side by side, and each in its turn where one has to wait for another", async () => {
    const asked: string[] = [];
    const gates = new Map<string, () => void>();
    const waits = (name: string): Hooks =>
      end(() => {
        asked.push(name);
        return new Promise((resolve) => gates.set(name, () => resolve(undefined)));
      });
    const { session, tx, outcome } = await engine([
      hooks("a", waits("a"), { manifest: { gives: ["x"] } }),
      hooks("b", waits("b")),
      hooks("c", waits("c"), { after: ["b"] }),
      hooks("d", waits("d"), { manifest: { reads: ["x"] } }),
    ]);
    const answered = outcome(session.end(tx));
    await ticks();
    assert.deepEqual(asked, ["a", "b"]);
    gates.get("b")!();
    await ticks();
    // In the order of the plugins: what is behind one that waits is asked with it, or when its turn has come.
    assert.deepEqual(asked, ["a", "b"]);
    gates.get("a")!();
    await ticks();
    assert.deepEqual(asked, ["a", "b", "c", "d"]);
    gates.get("c")!();
    gates.get("d")!();
    assert.equal((await answered).verdict.verdict, "pass");
  });

  test("a refusal aborts those behind it, whose answers do not count any more", async () => {
    const signals: AbortSignal[] = [];
    const { session, tx, outcome, host } = await engine([
      hooks("a", end(async () => await Promise.resolve(refuse))),
      hooks("b", end((_, { signal }) => (signals.push(signal), never()))),
      hooks("c", end(async () => await Promise.resolve(score(5)))),
      hooks(
        "d",
        end(() => {
          throw new Error("nobody hears of it");
        }),
      ),
    ]);
    assert.deepEqual((await outcome(session.end(tx))).verdict, refuse);
    assert.deepEqual(signals.map(({ aborted }) => aborted), [true]);
    assert.equal(tx.score, 0);
    assert.deepEqual(tx.trace.entries.map(({ plugin }) => plugin), ["a"]);
    assert.deepEqual(host.failures, []);
    assert.equal(host.clock.sleeping, 0);
  });

  test("behind one that has refused at once nobody is asked", async () => {
    const { session, tx, outcome } = await engine([
      hooks("a", end(async () => await Promise.resolve(undefined))),
      hooks("b", end(() => refuse)),
      hooks("c", end(() => assert.fail("asked"))),
    ]);
    assert.deepEqual((await outcome(session.end(tx))).verdict, refuse);
  });

  test("R38: budgets run side by side: the whole wait is at most the longest", async () => {
    const { session, tx, host, run } = await engine(
      [1_000, 3_000, 2_000, 3_000].map((budget, i) =>
        hooks(`p${i}`, end(never), { budget, onError: "pass" })
      ),
    );
    const answered = session.end(tx);
    assert.ok(Effect.isEffect(answered));
    const asked = run(answered);
    await host.clock.advance(1_000);
    assert.equal(host.failures.length, 1);
    await host.clock.advance(2_000);
    await asked;
    assert.deepEqual(host.failures.map(({ kind }) => kind), Array(4).fill("over-budget"));
    assert.equal(host.clock.sleeping, 0);
  });

  test("the trace has each one's own time", async () => {
    const gates: (() => void)[] = [];
    const waits = end(() => new Promise((resolve) => gates.push(() => resolve(score(1)))));
    const given = await engine([hooks("a", waits), hooks("b", waits)]);
    let now = 0;
    given.host.clock.now = () => now;
    const answered = given.outcome(given.session.end(given.tx));
    now = 5;
    gates[1]!();
    await ticks();
    now = 40;
    gates[0]!();
    await answered;
    assert.deepEqual(given.tx.trace.entries.map(({ plugin, ms }) => [plugin, ms]), [
      ["a", 40],
      ["b", 5],
    ]);
  });

  test("the end of the session aborts all of them", async () => {
    const signals: AbortSignal[] = [];
    const hang = end((_, { signal }) => (signals.push(signal), never()));
    const { session, tx, run, host } = await engine([hooks("a", hang), hooks("b", hang)]);
    const answered = session.end(tx);
    assert.ok(Effect.isEffect(answered));
    await run(Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(answered, { startImmediately: true });
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)));
      yield* Fiber.interrupt(fiber);
    }));
    assert.deepEqual(signals.map(({ aborted }) => aborted), [true, true]);
    assert.equal(host.clock.sleeping, 0);
  });

  test("rewrites and delays of several count in the order of the plugins", async () => {
    const rewrite = (upstream: string) => ({ verdict: "rewrite", upstream }) as const;
    const gate = Promise.withResolvers<void>();
    const { session, tx, outcome } = await engine([
      hooks("slow", { rcpt: () => gate.promise.then(() => rewrite("slow")) }),
      hooks("quick", { rcpt: async () => await Promise.resolve(rewrite("quick")) }),
    ]);
    const answered = outcome(session.rcpt(tx, mailbox("a@b.test"), {}));
    await ticks();
    gate.resolve();
    assert.equal((await answered).rewrite?.upstream, "quick");
  });
});

describe("who looks at the points", () => {
  const slow = hooks("slow", end(async () => await Promise.resolve(score(9))));

  test("and says so is asked when all points before it are there", async () => {
    let asked = 0;
    const { session, tx, outcome } = await engine([
      slow,
      hooks("judge", end((tx) => (asked++, tx.score > 5 ? refuse : undefined)), {
        manifest: { reads: ["score"] },
      }),
    ]);
    assert.deepEqual((await outcome(session.end(tx))).verdict, refuse);
    assert.equal(asked, 1);
  });

  test("and does not say so is found out: asked twice the first time, then once", async () => {
    let asked = 0;
    const { pipeline, tx, outcome, session, host } = await engine([
      slow,
      hooks("judge", end((tx) => (asked++, tx.score > 5 ? refuse : undefined))),
      hooks("behind", end(() => undefined)),
    ]);
    assert.deepEqual((await outcome(session.end(tx))).verdict, refuse);
    assert.equal(asked, 2);
    assert.deepEqual(tx.trace.entries.map(({ plugin }) => plugin), ["slow", "judge"]);
    const next = new Transaction("s2.1", tx.session, null, {});
    assert.deepEqual((await outcome(pipeline.open(tx.session).end(next))).verdict, refuse);
    assert.equal(asked, 3);
    assert.deepEqual(host.failures, []);
  });
});
