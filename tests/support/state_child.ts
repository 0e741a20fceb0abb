/**
 * A second process on one state file: takes as much as it gets, or counts until it is killed. Told by its arguments.
 * @module
 */
import process from "node:process";
import { SqliteState } from "../../src/state/sqlite.ts";

const [path = "", task = "", times = "0"] = process.argv.slice(2);
const state = new SqliteState({ path, clock: { now: () => 1_000_000 } });
state.open();

async function takeAll(): Promise<object> {
  let window = 0;
  let both = 0;
  for (let i = 0; i < Number(times); i++) {
    if ((await state.window("w", 1, 150, 1_000)).taken) window++;
    const answers = await state.takeAll([
      { kind: "bucket", key: "b", amount: 1, capacity: 70, refill: 1, per: 1e9 },
      { kind: "fixed", key: "f", amount: 1, limit: 1_000, window: 1e9 },
    ]);
    if (answers.every(({ taken }) => taken)) both++;
    await state.add("sum", 1, 1e9);
  }
  return { window, both };
}

async function countForEver(): Promise<never> {
  for (;;) process.stdout.write(`${await state.add("sum", 1, 1e9)}\n`);
}

// Both children begin when the parent says so.
process.stdout.write("ready\n");
process.stdin.once("data", async () => {
  if (task === "count") await countForEver();
  const told = JSON.stringify(await takeAll());
  state.close();
  // A pipe may take the line later than `write` returns: the process ends behind it, not before.
  process.stdout.write(`${told}\n`, () => process.exit(0));
});
