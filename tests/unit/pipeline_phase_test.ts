/**
 * Phases: order, synchrony, verdicts, failures, budgets.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as TestClock from "effect/testing/TestClock";
import { PASS } from "../../src/pipeline/algebra.ts";
import type { Hooks } from "../../src/plugin/module.ts";
import { engine, hooks, mailbox } from "./pipeline_host.ts";

const refuse = { verdict: "refuse", code: 550, enhanced: "5.7.1", text: "No" } as const;
const defer = { verdict: "defer", code: 451, enhanced: "4.7.1", text: "Later" } as const;
const score = (points: number, symbol = "S") => ({ verdict: "score", points, symbol }) as const;
const end = (end: NonNullable<Hooks["end"]>): Hooks => ({ end });
const never = () => new Promise<undefined>(() => {});

describe("a phase without hooks", () => {
  test("is the shared constant at every stage, and no stage is there", async () => {
    const { session, tx, pipeline } = await engine([]);
    const header = {} as Parameters<typeof session.header>[1];
    assert.equal(session.connect(), PASS);
    assert.equal(session.helo("x"), PASS);
    assert.equal(session.mail(tx, null, {}), PASS);
    assert.equal(session.rcpt(tx, mailbox("a@b.test"), {}), PASS);
    assert.equal(session.data(tx), PASS);
    assert.equal(session.header(tx, header), PASS);
    assert.equal(session.body(tx), undefined);
    assert.equal(session.end(tx), PASS);
    const reply = { code: 250, enhanced: "2.0.0", lines: ["Ok"] };
    assert.equal(session.reply(reply), reply);
    assert.ok(Object.values(pipeline.stages).every((there) => !there));
  });

  test("belongs to the listener: a plugin for another one is not asked", async () => {
    const { session, tx, pipeline } = await engine([
      hooks("p", end(() => refuse), { listeners: ["submission"] }),
    ]);
    assert.equal(session.end(tx), PASS);
    assert.equal(session.stages.end, false);
    assert.equal(pipeline.stages.end, true);
  });
});

describe("evidence", () => {
  test("stands in the trace whatever the verdict, and is no part of the outcome of a pass", async () => {
    const verdicts = [
      { verdict: "pass", evidence: "1 of 2\nleft" },
      { verdict: "delay", ms: 5, evidence: "slow" },
      { ...defer, evidence: "0 of 2 left" },
    ] as const;
    const { session, tx } = await engine(
      verdicts.map((verdict, i) => hooks(`p${i}`, { data: () => verdict })),
    );
    const outcome = session.data(tx);
    assert.ok(!Effect.isEffect(outcome));
    assert.equal(outcome.verdict.verdict, "defer");
    assert.equal(outcome.delayMs, 5);
    assert.deepEqual(
      tx.trace.entries.map(({ verdict, evidence }) => [verdict, evidence]).slice(0, 2),
      [
        ["pass", "1 of 2\\u{a}left"],
        ["delay", "slow"],
      ],
    );
    const passing = await engine([hooks("p", end(() => verdicts[0]))]);
    assert.equal(passing.session.end(passing.tx), PASS);
  });
});

describe("synchronous hooks", () => {
  test("give a plain value, no Effect", async () => {
    const { session, tx } = await engine([hooks("p", end(() => refuse))]);
    const outcome = session.end(tx);
    assert.ok(!Effect.isEffect(outcome));
    assert.deepEqual(outcome.verdict, refuse);
    assert.equal(outcome.plugin, "p");
  });

  test("without an opinion are the shared constant, and only counted", async () => {
    const { session, tx } = await engine([hooks("p", end(() => undefined))]);
    assert.equal(session.end(tx), PASS);
    assert.deepEqual([tx.trace.entries.length, tx.trace.passes], [0, 1]);
  });

  test("without an opinion that are slow stand in the trace", async () => {
    const given = await engine([hooks("p", end(() => undefined))]);
    let now = 0;
    given.host.clock.now = () => now += 5;
    given.session.end(given.tx);
    assert.equal(given.tx.trace.entries[0]?.verdict, "pass");
    assert.equal(given.tx.trace.entries[0]?.ms, 5);
  });

  test("several verdicts of one answer count together, each in the trace", async () => {
    const { session, tx } = await engine([
      hooks("p", end(() => [score(1, "A"), score(2, "B"), refuse])),
    ]);
    const outcome = session.end(tx);
    assert.ok(!Effect.isEffect(outcome));
    assert.deepEqual(outcome.verdict, refuse);
    assert.equal(tx.score, 3);
    assert.deepEqual(tx.trace.entries.map(({ verdict }) => verdict), ["score", "score", "refuse"]);
  });

  test("an empty list is no opinion; a list with anything but verdicts is nonsense", async () => {
    const empty = await engine([hooks("p", end(() => []))]);
    assert.equal(empty.session.end(empty.tx), PASS);
    const bad = await engine([hooks("p", end(() => [score(1), 5] as never))]);
    const outcome = bad.session.end(bad.tx);
    assert.ok(!Effect.isEffect(outcome));
    assert.equal(outcome.verdict.verdict, "defer");
    assert.equal(bad.tx.score, 0);
  });

  test("the first defer or refuse ends the phase", async () => {
    const asked: string[] = [];
    const { session, tx } = await engine([
      hooks("a", end(() => (asked.push("a"), score(1)))),
      hooks("b", end(() => (asked.push("b"), defer))),
      hooks("c", end(() => (asked.push("c"), refuse))),
    ]);
    const outcome = session.end(tx);
    assert.ok(!Effect.isEffect(outcome));
    assert.deepEqual(outcome.verdict, defer);
    assert.deepEqual(asked, ["a", "b"]);
  });

  test("points add up in the transaction, with those of connect and of the last helo", async () => {
    const { session, tx } = await engine([
      hooks("a", {
        connect: () => score(1, "C"),
        helo: (name) => score(2, name.toUpperCase()),
        mail: () => score(4, "M"),
      }),
      hooks("b", end(() => score(-0.5, "E"))),
    ]);
    session.connect();
    session.helo("first");
    session.helo("second");
    session.mail(tx, null, {});
    session.end(tx);
    assert.equal(tx.score, 6.5);
    assert.deepEqual(tx.facts.symbols.map(({ symbol }) => symbol), ["C", "SECOND", "M", "E"]);
  });

  test("a quarantine does not end the phase; a discard of the scan is brought forward to end", async () => {
    const asked: string[] = [];
    const { session, tx } = await engine([
      hooks("a", { body: { scan: () => ({ verdict: "discard", reason: "r" }) } }),
      hooks("b", end(() => (asked.push("b"), { verdict: "quarantine", reason: "r" }))),
    ]);
    session.body(tx)!.finish();
    const outcome = session.end(tx);
    assert.ok(!Effect.isEffect(outcome));
    assert.equal(outcome.verdict.verdict, "discard");
    assert.equal(outcome.plugin, "a");
    assert.deepEqual(asked, ["b"]);
  });

  test("a delay is the longest asked for, at most its plugin's budget", async () => {
    const { session, tx } = await engine([
      hooks("a", { rcpt: () => ({ verdict: "delay", ms: 300 }) }),
      hooks("b", { rcpt: () => ({ verdict: "delay", ms: 99_999 }) }, { budget: 700 }),
    ]);
    const outcome = session.rcpt(tx, mailbox("a@b.test"), {});
    assert.ok(!Effect.isEffect(outcome));
    assert.equal(outcome.delayMs, 700);
  });

  test("rewrites of different fields are joined, of the same the later wins", async () => {
    const rewrite = (change: object) => ({ verdict: "rewrite", ...change }) as const;
    const { session, tx } = await engine([
      hooks("a", { rcpt: () => rewrite({ to: ["x@b.test"] }) }),
      hooks("b", { rcpt: () => rewrite({ upstream: "one" }) }),
      hooks("c", { rcpt: () => rewrite({ upstream: "two" }) }),
    ]);
    const outcome = session.rcpt(tx, mailbox("a@b.test"), {});
    assert.ok(!Effect.isEffect(outcome));
    assert.deepEqual(outcome.rewrite, {
      verdict: "rewrite",
      to: ["x@b.test"],
      upstream: "two",
    });
  });

  test("are given facts that cannot be assigned to", async () => {
    const { session, tx, host } = await engine([
      hooks("p", end((facts) => void ((facts as { score: number }).score = 99))),
    ]);
    session.end(tx);
    assert.equal(tx.score, 0);
    assert.equal(host.failures[0]?.kind, "threw");
  });
});

describe("asynchronous hooks", () => {
  test("make an Effect, and the hooks behind them still run", async () => {
    const { session, tx, outcome } = await engine([
      hooks("a", end(async () => score(1))),
      hooks("b", end(() => score(2))),
      hooks("c", end(async () => refuse)),
      hooks("d", end(() => assert.fail("asked behind a refusal"))),
    ]);
    const answered = session.end(tx);
    assert.ok(Effect.isEffect(answered));
    assert.deepEqual((await outcome(answered)).verdict, refuse);
    assert.equal(tx.score, 3);
  });

  test("that wait for nothing need no timer", async () => {
    const { session, tx, outcome, host } = await engine([
      hooks("a", end(async () => score(1))),
    ]);
    let timers = 0;
    const sleep = host.clock.sleep.bind(host.clock);
    host.clock.sleep = (duration) => (timers++, sleep(duration));
    await outcome(session.end(tx));
    assert.equal(timers, 0);
  });

  test("may answer with any thenable", async () => {
    const thenable = { then: (done: (value: unknown) => void) => done(refuse) };
    const { session, tx, outcome } = await engine([hooks("a", end(() => thenable as never))]);
    assert.deepEqual((await outcome(session.end(tx))).verdict, refuse);
  });

  test("R38: a hook that hangs is cut off by its budget with 451, its signal aborted", async () => {
    let signal: AbortSignal | undefined;
    const { session, tx, host, run } = await engine([
      hooks("p", end((_, context) => (signal = context.signal, never())), { budget: 2_000 }),
    ]);
    const answered = session.end(tx);
    assert.ok(Effect.isEffect(answered));
    const asked = run(answered);
    await host.clock.advance(1_999);
    assert.equal(signal?.aborted, false);
    await host.clock.advance(1);
    const outcome = await asked;
    assert.deepEqual(outcome.verdict, {
      verdict: "defer",
      code: 451,
      enhanced: "4.3.0",
      text: "Temporary failure",
    });
    assert.equal(signal?.aborted, true);
    assert.equal(host.failures[0]?.kind, "over-budget");
    assert.equal(host.clock.sleeping, 0);
    assert.match(tx.trace.entries[0]?.failure ?? "", /within 2000 ms/);
  });

  test("R38: budgets are counted on Effect's clock", async () => {
    const { session, tx } = await engine([hooks("p", end(never))]);
    const answered = session.end(tx);
    assert.ok(Effect.isEffect(answered));
    const outcome = await Effect.runPromise(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(answered, { startImmediately: true });
        // The grace of a few microtasks goes by before the budget is on the clock.
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)));
        yield* TestClock.adjust("1 second");
        return yield* Fiber.join(fiber);
      }).pipe(Effect.provide(TestClock.layer())),
    );
    assert.equal(outcome.verdict.verdict, "defer");
  });

  test("interruption aborts the signal and leaves no timer", async () => {
    let signal: AbortSignal | undefined;
    const { session, tx, host, run } = await engine([
      hooks("p", end((_, context) => (signal = context.signal, never()))),
    ]);
    const answered = session.end(tx);
    assert.ok(Effect.isEffect(answered));
    await run(Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(answered, { startImmediately: true });
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)));
      assert.equal(host.clock.sleeping, 1);
      yield* Fiber.interrupt(fiber);
    }));
    assert.equal(signal?.aborted, true);
    assert.equal(host.clock.sleeping, 0);
  });

  test("the end of the session aborts what nobody waited for", async () => {
    let signal: AbortSignal | undefined;
    const { session, tx } = await engine([
      hooks("p", end((_, context) => (signal = context.signal, never()))),
    ]);
    session.end(tx);
    session.closed();
    assert.equal(signal?.aborted, true);
  });

  test("a signal that is first read when it is too late is aborted already", async () => {
    let late: (() => boolean) | undefined;
    const { session, tx } = await engine([
      hooks("p", end((_, context) => (late = () => context.signal.aborted, never()))),
    ]);
    session.end(tx);
    session.closed();
    assert.equal(late?.(), true);
  });

  test("a late rejection, before the Effect runs or after the budget, is nobody's unhandled one", async () => {
    const unhandled: unknown[] = [];
    const listen = (event: PromiseRejectionEvent | Error) => void unhandled.push(event);
    const { default: process } = await import("node:process");
    process.on("unhandledRejection", listen as never);
    let reject: ((cause: Error) => void) | undefined;
    const { session, tx, host, run } = await engine([
      hooks("p", end(() => new Promise((_, no) => reject = no))),
    ]);
    session.end(tx);
    reject?.(new Error("never run"));
    const answered = session.end(tx);
    assert.ok(Effect.isEffect(answered));
    const asked = run(answered);
    await host.clock.advance(1_000);
    await asked;
    reject?.(new Error("too late"));
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", listen as never);
    assert.deepEqual(unhandled, []);
  });
});

describe("failures", () => {
  const hostile = {
    getter: {
      get verdict(): string {
        throw new Error("getter");
      },
    },
    proxy: new Proxy({}, {
      get: () => {
        throw new Error("proxy");
      },
      getPrototypeOf: () => {
        throw new Error("prototype");
      },
    }),
    thenGetter: {
      get then(): never {
        throw new Error("then");
      },
    },
    thenThrows: {
      then: () => {
        throw new Error("thrown by then");
      },
    },
  };
  const nonsense: readonly (readonly [string, unknown])[] = [
    ["null", null],
    ["true", true],
    ["a string", "refuse"],
    ["an empty object", {}],
    ["an unknown verdict", { verdict: "reject" }],
    ["a name of Object.prototype", { verdict: "constructor" }],
    ["a code outside its class", { ...refuse, code: 450 }],
    ["a code that is no integer", { ...refuse, code: 550.5 }],
    ["a code as text", { ...refuse, code: "550" }],
    ["a success", { ...refuse, verdict: "drop", code: 250 }],
    ["an enhanced code of another class", { ...refuse, enhanced: "4.7.1" }],
    ["CR LF in the text", { ...refuse, text: "No\r\n250 Ok" }],
    ["text that is not ASCII", { ...refuse, text: "Né" }],
    ["endless text", { ...refuse, text: "x".repeat(1000) }],
    ["points that are not a number", score(NaN)],
    ["infinite points", score(Infinity)],
    ["a lower-case symbol", score(1, "spam")],
    ["a rewrite of the wrong stage", { verdict: "rewrite", from: "a@b.test" }],
    ["a delay of the wrong stage", { verdict: "delay", ms: 1 }],
    ["a function", () => refuse],
    ["a throwing getter", hostile.getter],
    ["a throwing proxy", hostile.proxy],
    ["a throwing then getter", hostile.thenGetter],
    ["a throwing then", hostile.thenThrows],
    ["a thenable that rejects with a proxy", {
      then: (_: unknown, reject: (cause: unknown) => void) => reject(hostile.proxy),
    }],
  ];
  for (const [what, answer] of nonsense) {
    test(`R38: ${what} as an answer is 451 for that transaction`, async () => {
      const { session, tx, host, outcome } = await engine([hooks("p", end(() => answer as never))]);
      const { verdict } = await outcome(session.end(tx));
      assert.equal(verdict.verdict, "defer");
      assert.equal(host.failures.length, 1);
      assert.equal(host.failures[0]?.transaction, "s1.1");
    });
  }

  for (
    const [what, hook] of [
      ["a throw", () => {
        throw new Error("broken");
      }],
      ["a rejection", async () => await Promise.reject(new Error("broken"))],
      ["a throw of nothing", () => {
        throw undefined;
      }],
    ] as const
  ) {
    test(`R38: ${what} is 451, and the next session is not touched`, async () => {
      const { session, tx, outcome, pipeline } = await engine([hooks("p", end(hook as never))]);
      assert.equal((await outcome(session.end(tx))).verdict.verdict, "defer");
      assert.equal(pipeline.open(tx.session).connect(), PASS);
    });
  }

  test("the operator's on_error wins over the plugin's, and tempfail is the default", async () => {
    const broken = (onError?: "pass" | "refuse") => () => ({
      name: "p",
      ...(onError === undefined ? {} : { onError }),
      hooks: end(() => {
        throw new Error("broken");
      }),
    });
    const answer = async (...given: Parameters<typeof engine>[0]) => {
      const { session, tx, outcome } = await engine(given);
      return (await outcome(session.end(tx))).verdict;
    };
    assert.equal((await answer({ module: broken() })).verdict, "defer");
    assert.equal((await answer({ module: broken("pass") })).verdict, "pass");
    assert.deepEqual(await answer({ module: broken("refuse") }), {
      verdict: "refuse",
      code: 550,
      enhanced: "5.7.1",
      text: "Refused by local policy",
    });
    assert.equal((await answer({ module: broken("refuse"), onError: "pass" })).verdict, "pass");
    assert.equal(
      (await answer({ module: broken("pass"), onError: "tempfail" })).verdict,
      "defer",
    );
  });

  test("R26: a failure's message is one line", async () => {
    const { session, tx, host } = await engine([
      hooks(
        "p",
        end(() => {
          throw new Error("first\r\nsecond\u2028third");
        }),
      ),
    ]);
    session.end(tx);
    assert.equal(host.failures[0]?.message, "Error: first\\u{d}\\u{a}second\\u{2028}third");
  });

  test("a reporter that throws does not matter", async () => {
    const given = await engine([hooks("p", end(() => null as never))]);
    (given.host.failures as unknown[]).push = () => {
      throw new Error("log is full");
    };
    const outcome = given.session.end(given.tx);
    assert.ok(!Effect.isEffect(outcome));
    assert.equal(outcome.verdict.verdict, "defer");
  });

  test("R29: the trace is bounded", async () => {
    const { session, tx } = await engine([hooks("p", { rcpt: () => refuse })]);
    for (let i = 0; i < 1_000; i++) session.rcpt(tx, mailbox("a@b.test"), {});
    assert.equal(tx.trace.entries.length, 500);
    assert.equal(tx.trace.omitted, 500);
  });
});
