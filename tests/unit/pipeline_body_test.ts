/**
 * Body hooks: transforms, observers, scanners behind a bounded tee.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import type { BodyHooks } from "../../src/plugin/module.ts";
import { TEE_LIMIT } from "../../src/pipeline/tee.ts";
import { engine, hooks } from "./pipeline_host.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const body = (name: string, body: BodyHooks, more = {}) => hooks(name, { body }, more);
const refuse = { verdict: "refuse", code: 554, enhanced: "5.6.0", text: "Virus" } as const;
const upper: BodyHooks = {
  transform: (chunk) => bytes(new TextDecoder().decode(chunk).toUpperCase()),
};

async function read(content: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of content) text += new TextDecoder().decode(chunk);
  return text;
}

describe("transforms and observers", () => {
  test("work in order; each sees what the one before gave", async () => {
    const seen: string[] = [];
    const observe = (chunk: Uint8Array) => void seen.push(new TextDecoder().decode(chunk));
    const { session, tx } = await engine([
      body("a", { observe }),
      body("b", upper),
      body("c", { observe }),
    ]);
    const run = session.body(tx)!;
    assert.equal(run.observeOnly, false);
    assert.deepEqual(run.push(bytes("ab")), bytes("AB"));
    assert.deepEqual(seen, ["ab", "AB"]);
  });

  test("what flush adds goes through those behind it, scanners included, and not through itself", async () => {
    let scanned = "";
    const { session, tx, outcome } = await engine([
      body("a", { flush: () => bytes("tail") }),
      body("b", upper),
      body("c", { scan: async (content) => void (scanned = await read(content)) }),
      body("d", { flush: () => undefined }),
      body("e", { flush: () => bytes("!") }),
      body("f", { flush: () => bytes("shadow") }, { mode: "shadow" }),
    ]);
    const run = session.body(tx)!;
    assert.equal(run.observeOnly, false);
    assert.deepEqual(run.push(bytes("ab")), bytes("AB"));
    assert.deepEqual(run.flush(), bytes("TAIL!"));
    await outcome(run.finish());
    assert.equal(scanned, "ABTAIL");
  });

  test("R38: a flush that throws or answers nonsense is a fault, or is passed over", async () => {
    const broken = (flush: unknown, onError: "pass" | "tempfail") =>
      engine([
        body("a", { flush: flush as never }, { onError }),
        body("b", { flush: () => bytes("b") }),
      ]);
    const throws = () => {
      throw new Error("broken");
    };
    for (const flush of [throws, async () => bytes("x"), () => "x"]) {
      const { session, tx, host } = await broken(flush, "tempfail");
      const run = session.body(tx)!;
      const fault = run.flush();
      assert.ok(!(fault instanceof Uint8Array));
      assert.equal(fault.fault.code, 451);
      assert.equal(host.failures.length, 1);
    }
    const { session, tx } = await broken(throws, "pass");
    assert.deepEqual(session.body(tx)!.flush(), bytes("b"));
  });

  test("observers alone give back the very same chunk", async () => {
    const { session, tx } = await engine([body("a", { observe: () => {} })]);
    const run = session.body(tx)!;
    const chunk = bytes("x");
    assert.equal(run.observeOnly, true);
    assert.equal(run.push(chunk), chunk);
  });

  for (
    const [what, broken] of [
      ["a throw", () => {
        throw new Error("broken");
      }],
      ["a promise", async () => bytes("x")],
      ["no array", () => "x"],
    ] as const
  ) {
    test(`R38: ${what} of a transform is a fault, and stays one`, async () => {
      const { session, tx, host } = await engine([body("a", { transform: broken as never })]);
      const run = session.body(tx)!;
      const fault = run.push(bytes("x"));
      assert.ok(!(fault instanceof Uint8Array));
      assert.equal(fault.fault.code, 451);
      assert.equal(run.push(bytes("y")), fault);
      const outcome = run.finish();
      assert.ok(!Effect.isEffect(outcome));
      assert.deepEqual(outcome.verdict, fault.fault);
      assert.equal(host.failures.length, 1);
    });
  }

  test("a failure that is to pass switches the hook off for this message", async () => {
    let calls = 0;
    const { session, tx } = await engine([
      body("a", {
        transform: () => {
          calls++;
          throw new Error("broken");
        },
      }, { onError: "pass" }),
    ]);
    const run = session.body(tx)!;
    assert.deepEqual([run.push(bytes("x")), run.push(bytes("y"))], [bytes("x"), bytes("y")]);
    assert.equal(calls, 1);
  });

  test("R7: a transform that breaks after it has changed something is never passed over", async () => {
    let calls = 0;
    const { session, tx } = await engine([
      body("a", {
        // It holds the first chunk back: to go on without it would lose these octets.
        transform: () => {
          if (calls++ === 0) return new Uint8Array(0);
          throw new Error("broken");
        },
      }, { onError: "pass" }),
    ]);
    const run = session.body(tx)!;
    run.push(bytes("x"));
    assert.ok(!(run.push(bytes("y")) instanceof Uint8Array));
  });
});

describe("scanners", () => {
  test("read the whole content, and their verdict gates the dot", async () => {
    let seen = "";
    const { session, tx, outcome } = await engine([
      body("a", {
        scan: async (content) => {
          seen = await read(content);
          return refuse;
        },
      }),
    ]);
    const run = session.body(tx)!;
    run.push(bytes("ab"));
    run.push(bytes("cd"));
    assert.deepEqual((await outcome(run.finish())).verdict, refuse);
    assert.equal(seen, "abcd");
  });

  test("all are heard: points add, the strongest verdict counts", async () => {
    const { session, tx, outcome } = await engine([
      body("a", { scan: async () => ({ verdict: "score", points: 2, symbol: "A" }) }),
      body("b", { scan: async (content) => (await read(content), refuse) }),
      body("c", { scan: () => ({ verdict: "quarantine", reason: "r" }) }),
    ]);
    const run = session.body(tx)!;
    run.push(bytes("x"));
    assert.deepEqual((await outcome(run.finish())).verdict, refuse);
    assert.equal(tx.score, 2);
  });

  test("own their chunks: what a later transform does in place is not theirs", async () => {
    let seen = "";
    const { session, tx, outcome } = await engine([
      body("a", { scan: async (content) => void (seen = await read(content)) }),
      body("b", { transform: (chunk) => chunk.fill(0x78) }),
    ]);
    const run = session.body(tx)!;
    run.push(bytes("abc"));
    await outcome(run.finish());
    assert.equal(seen, "abc");
  });

  test("R29: one that is behind is waited for, and memory stays bounded", async () => {
    let read = 0;
    const { session, tx, run, outcome } = await engine([
      body("a", {
        scan: async (content) => {
          for await (const chunk of content) read += chunk.length;
        },
      }),
    ]);
    const pipeline = session.body(tx)!;
    const chunk = new Uint8Array(64 * 1024);
    for (let i = 0; i < 100; i++) {
      pipeline.push(chunk);
      if (pipeline.full) await run(pipeline.room());
      assert.ok((i + 1) * chunk.length - read <= TEE_LIMIT + chunk.length);
    }
    await outcome(pipeline.finish());
    assert.equal(read, 100 * chunk.length);
  });

  test("R38: one that does not read is cut off by its budget; the rest of the body flows", async () => {
    let signal: AbortSignal | undefined;
    const { session, tx, run, host } = await engine([
      body("a", { scan: (_, context) => (signal = context.signal, new Promise(() => {})) }),
    ]);
    const pipeline = session.body(tx)!;
    pipeline.push(new Uint8Array(TEE_LIMIT));
    assert.equal(pipeline.full, true);
    const room = run(pipeline.room());
    await host.clock.advance(1_000);
    await room;
    assert.equal(pipeline.full, false);
    assert.equal(signal?.aborted, true);
    pipeline.push(new Uint8Array(TEE_LIMIT));
    assert.equal(pipeline.full, false);
    const outcome = pipeline.finish();
    assert.ok(!Effect.isEffect(outcome));
    assert.equal(outcome.verdict.verdict, "defer");
  });

  test("R38: budgets of several run side by side, from the end of the content", async () => {
    const hang = { scan: () => new Promise<undefined>(() => {}) };
    const { session, tx, run, host } = await engine([
      body("a", hang, { onError: "pass" }),
      body("b", hang, { onError: "refuse" }),
    ]);
    const pipeline = session.body(tx)!;
    await host.clock.advance(60_000);
    const answered = pipeline.finish();
    assert.ok(Effect.isEffect(answered));
    const asked = run(answered);
    await host.clock.advance(1_000);
    assert.equal((await asked).verdict.verdict, "refuse");
    assert.equal(host.clock.sleeping, 0);
    assert.equal(host.failures.length, 2);
  });

  test("R3: a content that is broken off is an error to its scanner, not an end", async () => {
    let ended: unknown = "not yet";
    const { session, tx } = await engine([
      body("a", {
        scan: (content) =>
          read(content).then(() => void (ended = "whole"), (e) => void (ended = e)),
      }),
    ]);
    const pipeline = session.body(tx)!;
    pipeline.push(bytes("half"));
    pipeline.cancel();
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal((ended as DOMException).name, "AbortError");
  });

  test("one that stops reading is dropped and does not hold the body up", async () => {
    const { session, tx, outcome } = await engine([
      body("a", {
        scan: async (content) => {
          for await (const _ of content) break;
          return refuse;
        },
      }),
    ]);
    const pipeline = session.body(tx)!;
    pipeline.push(bytes("x"));
    await new Promise((resolve) => setTimeout(resolve, 0));
    pipeline.push(new Uint8Array(2 * TEE_LIMIT));
    assert.equal(pipeline.full, false);
    assert.deepEqual((await outcome(pipeline.finish())).verdict, refuse);
  });
});
