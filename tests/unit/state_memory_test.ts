/**
 * State in memory: the laws of state, and its bounds.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PluginState } from "../../src/plugin/edge.ts";
import { memoryState } from "../../src/state/memory.ts";
import { lawClock, stateLaws } from "../support/state_laws.ts";

function store(maxEntries?: number) {
  const clock = lawClock();
  const state = memoryState({ clock, ...(maxEntries === undefined ? {} : { maxEntries }) });
  const door: PluginState = state;
  assert.ok(door);
  return { clock, state };
}

stateLaws("state in memory", () => store());

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
