/**
 * The edge: constructors, log, metrics, state, notes, files.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { testEdge } from "../../src/testing/mod.ts";
import type { Edge } from "../../src/plugin/edge.ts";
import { engine } from "./pipeline_host.ts";

describe("verdict constructors", () => {
  test("make the values of the contract", () => {
    const { edge } = testEdge();
    assert.deepEqual(edge.pass(), { verdict: "pass" });
    assert.deepEqual(edge.score(2, "BIG"), { verdict: "score", points: 2, symbol: "BIG" });
    assert.deepEqual(edge.defer(451, "4.7.1", "Later"), {
      verdict: "defer",
      code: 451,
      enhanced: "4.7.1",
      text: "Later",
    });
    assert.deepEqual(edge.quarantine("why", "jail"), {
      verdict: "quarantine",
      reason: "why",
      upstream: "jail",
    });
    assert.deepEqual(edge.discard("why"), { verdict: "discard", reason: "why" });
    assert.deepEqual(edge.delay(5), { verdict: "delay", ms: 5 });
    assert.deepEqual(edge.rewrite({ from: "" }), { verdict: "rewrite", from: "" });
    assert.deepEqual(edge.drop(421, "4.7.0", "Bye").verdict, "drop");
  });

  test("a mistake is a TypeError at the plugin's own line", () => {
    const { edge } = testEdge();
    const mistakes: (() => unknown)[] = [
      () => edge.refuse(450, "5.7.1", "x"),
      () => edge.refuse(550, "4.7.1", "x"),
      () => edge.refuse(550, "5.7", "x"),
      () => edge.refuse(550, "5.7.1", "a\r\nb"),
      () => edge.defer(550, "4.7.1", "x"),
      () => edge.drop(250, "2.0.0", "x"),
      () => edge.score(NaN, "X"),
      () => edge.score(1, "lower"),
      () => edge.delay(-1),
      () => edge.quarantine(undefined as never),
      () => edge.rewrite({}),
      () => edge.note(""),
    ];
    for (const mistake of mistakes) assert.throws(mistake, TypeError);
  });

  test("R22: a rewrite takes an address and nothing else, in its canonical form", () => {
    const { edge } = testEdge();
    for (
      const bad of ["a@b.test> SIZE=1", "a@b.test\r\nDATA", "a b@c.test", "", "no-at", "<a@b.test>"]
    ) {
      assert.throws(() => edge.rewrite({ to: [bad] }), TypeError);
    }
    assert.deepEqual(edge.rewrite({ to: ['"a"@b.test'] }).to, ["a@b.test"]);
  });
});

describe("log and metrics", () => {
  test("R26: one event is one line, whatever the client said", () => {
    const { edge, logs } = testEdge({ name: "p" });
    edge.log.warn("hello\r\n\x1b[31m", { helo: "a\nb", n: 1, ok: true, gone: undefined });
    assert.deepEqual(logs, [{
      plugin: "p",
      level: "warn",
      message: "hello\\u{d}\\u{a}\\u{1b}[31m",
      fields: { helo: "a\\u{a}b", n: 1, ok: true },
    }]);
  });

  test("metrics have names of their own, and only so many", () => {
    const { edge, counts, values } = testEdge();
    edge.metrics.count("hits");
    edge.metrics.count("hits", 2);
    edge.metrics.observe("ms", 5);
    assert.equal(counts.get("hits"), 3);
    assert.deepEqual(values.get("ms"), [5]);
    assert.throws(() => edge.metrics.count("Bad name"), TypeError);
    assert.throws(() => edge.metrics.count("hits", -1), TypeError);
    assert.throws(() => edge.metrics.observe("ms", NaN), TypeError);
    assert.throws(() => {
      for (let i = 0; i < 1_000; i++) edge.metrics.count(`client_${i}`);
    }, TypeError);
  });
});

describe("state, notes, files", () => {
  async function edges(...modes: readonly ("enforce" | "shadow")[]) {
    const made: Edge[] = [];
    const given = await engine(modes.map((mode) => ({
      module: (edge: Edge) => (made.push(edge), { name: "p", hooks: {} }),
      use: "p",
      mode,
    })));
    return { made, ...given };
  }

  test("state is private to the instance", async () => {
    const { made: [a, b] } = await edges("enforce", "enforce");
    a!.state.set("k", "1", 1_000);
    assert.equal(await b!.state.get("k"), undefined);
    assert.equal(await a!.state.get("k"), "1");
  });

  test("a note travels between plugins; a transaction shows its session's", async () => {
    const { made: [a, b], tx } = await edges("enforce", "enforce");
    a!.note<string>("spf").set(tx.session, "pass");
    assert.equal(b!.note<string>("spf").get(tx.facts), "pass");
    b!.note<string>("spf").set(tx.facts, "fail");
    assert.equal(a!.note<string>("spf").get(tx.facts), "fail");
    assert.equal(a!.note<string>("spf").get(tx.session), "pass");
    assert.equal(a!.note<string>("dkim").get(tx.facts), undefined);
    assert.throws(() => a!.note("spf").set(1 as never, 1), TypeError);
  });

  test("a shadow plugin's notes are seen by itself only", async () => {
    const { made: [real, shadow], tx } = await edges("enforce", "shadow");
    real!.note<number>("n").set(tx.facts, 1);
    assert.equal(shadow!.note<number>("n").get(tx.facts), 1);
    shadow!.note<number>("n").set(tx.facts, 2);
    assert.equal(shadow!.note<number>("n").get(tx.facts), 2);
    assert.equal(real!.note<number>("n").get(tx.facts), 1);
  });

  test("a watcher that breaks is counted", async () => {
    const { edge, failures, writeFile } = testEdge({ files: { list: "a" } });
    assert.equal(await edge.readText("list"), "a");
    await assert.rejects(edge.readText("none"));
    const stop = edge.watchFile("list", () => {
      throw new Error("broken");
    });
    writeFile("list", "b");
    stop();
    writeFile("list", "c");
    assert.equal(failures.length, 1);
    assert.equal(await edge.readText("list"), "c");
  });
});
