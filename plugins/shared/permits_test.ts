import assert from "node:assert/strict";
import { test } from "node:test";
import { permits } from "./permits.ts";

const signal = new AbortController().signal;

test("permits: so many at once, the others in order, and a failure gives its place back", async () => {
  const inTurn = permits(2);
  const begun: number[] = [];
  const ends = new Map<number, PromiseWithResolvers<void>>();
  const run = (id: number) =>
    inTurn(signal, async () => {
      begun.push(id);
      const end = Promise.withResolvers<void>();
      ends.set(id, end);
      await end.promise;
      return id;
    });
  const all = [run(1), run(2), run(3), run(4)];
  await Promise.resolve();
  assert.deepEqual(begun, [1, 2]);
  ends.get(2)!.reject(new Error("broken"));
  await assert.rejects(all[1]!, /broken/);
  assert.deepEqual(begun, [1, 2, 3]);
  ends.get(1)!.resolve();
  assert.equal(await all[0], 1);
  for (const id of [3, 4]) {
    ends.get(id)!.resolve();
    assert.equal(await all[id - 1], id);
  }
});

test("permits: who is cut off while it waits leaves the queue", async () => {
  const inTurn = permits(1);
  const first = Promise.withResolvers<void>();
  const holding = inTurn(signal, () => first.promise);
  const cut = new AbortController();
  let ran = false;
  const waiting = inTurn(cut.signal, async () => void (ran = true));
  const next = inTurn(signal, () => Promise.resolve("next"));
  cut.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  first.resolve();
  await holding;
  assert.equal(await next, "next");
  assert.equal(ran, false);
  await assert.rejects(inTurn(cut.signal, () => Promise.resolve()), /enough/);
});
