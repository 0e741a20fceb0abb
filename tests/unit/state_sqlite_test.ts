/**
 * State in a SQLite file: the laws of state, several processes, kill -9, damage, a full file, a busy one.
 * @module
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, test } from "node:test";
import { ROOT } from "../../tools/files.ts";
import type { PluginState } from "../../src/plugin/edge.ts";
import { tempDir } from "../../src/runtime/files.ts";
import { SqliteState, StateFault } from "../../src/state/sqlite.ts";
import { ownRuntime } from "../support/postern_process.ts";
import { lawClock, type LawStore, stateLaws } from "../support/state_laws.ts";

const home = await tempDir("postern-state-");
after(() => home.remove());
let files = 0;

/** A path that no other test has. */
function fresh(): string {
  return path.join(home.path, `${++files}.db`);
}

/** One file for all laws: each store has a prefix of its own, as plugins have. */
const shared = { clock: lawClock(), stores: 0 };
const sharedState = new SqliteState({ path: fresh(), clock: shared.clock });
after(() => sharedState.close());

function lawStore(): LawStore {
  const door: PluginState = sharedState;
  const prefix = `${++shared.stores}:`;
  const at = (key: string) => prefix + key;
  return {
    clock: shared.clock,
    state: {
      window: (key, ...rest) => door.window(at(key), ...rest),
      bucket: (key, ...rest) => door.bucket(at(key), ...rest),
      takeAll: (requests) => door.takeAll(requests.map((r) => ({ ...r, key: at(r.key) }))),
      seen: (key, ttl) => door.seen(at(key), ttl),
      get: (key) => door.get(at(key)),
      set: (key, ...rest) => door.set(at(key), ...rest),
      add: (key, ...rest) => door.add(at(key), ...rest),
      delete: (key) => door.delete(at(key)),
    } as LawStore["state"],
  };
}

stateLaws("state in SQLite", lawStore);

function store(file = fresh(), more: { maxBytes?: number; pause?: () => Promise<void> } = {}) {
  const clock = lawClock();
  const state = new SqliteState({ path: file, clock, ...more });
  return { clock, state, file, [Symbol.dispose]: () => state.close() };
}

/** Rows in the file, by a connection of the test's own. */
function rowsOf(file: string): number {
  const db = new DatabaseSync(file);
  try {
    return Number(Object.values(db.prepare("SELECT count(*) FROM state").get() ?? {})[0]);
  } finally {
    db.close();
  }
}

describe("over restarts", () => {
  test("everything is there again", () => {
    const file = fresh();
    {
      using first = store(file);
      first.state.window("w", 3, 5, 10_000);
      first.state.bucket("b", 2, 5, 1, 1_000);
      first.state.takeAll([{ kind: "fixed", key: "f", amount: 4, limit: 5, window: 1e9 }]);
      first.state.seen("s", 10_000);
      first.state.set("v", "text", 10_000);
      first.state.add("c", 2.5, 10_000);
    }
    using second = store(file);
    const { state, clock } = second;
    clock.at += 1_000;
    assert.deepEqual(state.window("w", 3, 5, 10_000), { taken: false, left: 2, retryAfter: 9_000 });
    assert.deepEqual(state.bucket("b", 0, 5, 1, 1_000), { taken: true, left: 4, retryAfter: 0 });
    assert.deepEqual(
      state.takeAll([{ kind: "fixed", key: "f", amount: 2, limit: 5, window: 1e9 }]),
      [{ taken: false, left: 1, retryAfter: 1e9 - 1_001_000 }],
    );
    assert.equal(state.seen("s", 1), true);
    assert.equal(state.get("v"), "text");
    assert.equal(state.add("c", 1, 1), 3.5);
  });

  test("a state that was closed says so", () => {
    const { state } = store();
    state.close();
    state.close();
    assert.throws(() => state.get("k"), /^StateFault: Cannot use state: .* is closed$/);
  });
});

/** A process on the file; what it writes, line by line. */
class Child implements AsyncDisposable {
  readonly exited: Promise<unknown>;
  readonly lines: string[] = [];
  readonly #process: ChildProcess;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(file: string, task: string, times: number) {
    const script = path.join(ROOT, "tests/support/state_child.ts");
    const before = ownRuntime.name === "Deno" ? ["run", "-A", "--no-check", "--quiet"] : [];
    this.#process = spawn(ownRuntime.program, [...before, script, file, task, String(times)], {
      cwd: ROOT,
      stdio: ["pipe", "pipe", "inherit"],
    });
    let rest = "";
    this.#process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.lines.push(...lines);
      this.#wake?.();
    });
    this.exited = new Promise((resolve) => {
      this.#process.once("close", () => {
        this.#ended = true;
        resolve(undefined);
        this.#wake?.();
      });
    });
  }

  async line(count: number): Promise<string> {
    while (this.lines.length < count) {
      assert.ok(!this.#ended, `the process has ended behind ${this.lines.length} lines`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.lines[count - 1]!;
  }

  go(): void {
    this.#process.stdin?.end("go\n");
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.exited;
  }
}

const LIMIT = { timeout: 120_000 };

describe("several processes on one file", () => {
  test("are exact together: never more than the limit, and all of it", LIMIT, async () => {
    const file = fresh();
    await using one = new Child(file, "take", 200);
    await using two = new Child(file, "take", 200);
    await one.line(1);
    await two.line(1);
    one.go();
    two.go();
    const told = [JSON.parse(await one.line(2)), JSON.parse(await two.line(2))];
    assert.equal(told[0].window + told[1].window, 150);
    assert.equal(told[0].both + told[1].both, 70);
    using here = store(file);
    assert.equal(here.state.add("sum", 0, 1), 400);
    assert.deepEqual(
      here.state.takeAll([{ kind: "fixed", key: "f", amount: 0, limit: 1_000, window: 1e9 }]),
      [{ taken: true, left: 930, retryAfter: 0 }],
    );
  });

  test("kill -9 loses nothing that was answered", LIMIT, async () => {
    const file = fresh();
    await using child = new Child(file, "count", 0);
    await child.line(1);
    child.go();
    await child.line(200);
    child.kill();
    await child.exited;
    const last = Number(child.lines.at(-1));
    using here = store(file);
    const sum = here.state.add("sum", 0, 1) as number;
    assert.ok(sum >= last, `${sum} >= ${last}`);
  });
});

describe("expiry and bounds", () => {
  test("R29: what has expired goes in steps, without a timer", () => {
    using made = store();
    const { state, clock, file } = made;
    for (let i = 0; i < 500; i++) state.seen(`old${i}`, 1_000);
    clock.at += 2_000;
    for (let i = 0; i < 200; i++) state.seen("new", 1e9);
    assert.equal(rowsOf(file), 1);
  });

  test("R29: over its size, what is nearest to its end goes", () => {
    using made = store(fresh(), { maxBytes: 1024 * 1024 });
    const { state, file } = made;
    for (let i = 0; i < 400; i++) state.set(`k${i}`, "x".repeat(8_000), 1e6 + i);
    assert.ok(rowsOf(file) < 300, String(rowsOf(file)));
    assert.equal(state.get("k0"), undefined);
    assert.equal(state.get("k399"), "x".repeat(8_000));
    assert.ok(fs.statSync(file).size <= 2 * 1024 * 1024);
  });

  test("a full disk is a failure of the call, and of no other", () => {
    using made = store(fresh(), { maxBytes: 128 * 1024 });
    const { state } = made;
    assert.throws(() => {
      for (let i = 0; i < 20; i++) state.set(`k${i}`, "x".repeat(60_000), 1e3);
    }, /^StateFault: Cannot use state: .*\.db: .*full/);
    // What was nearest to its end has made room.
    assert.equal(state.get("k0"), undefined);
    state.set("k", "y".repeat(60_000), 1e3);
    assert.equal(state.get("k"), "y".repeat(60_000));
  });
});

describe("a file that cannot be used is told in one sentence", () => {
  const fault = (file: string) => {
    using made = store(file);
    try {
      made.state.open();
    } catch (cause) {
      assert.ok(cause instanceof StateFault);
      return cause.message.replaceAll(file, "FILE");
    }
    return "opened";
  };

  test("garbage", () => {
    const file = fresh();
    fs.writeFileSync(file, "this is no database at all\n".repeat(500));
    assert.match(fault(file), /^Cannot open state: FILE is damaged or no state file \(.*\); move/);
  });

  test("a file with a page of garbage", () => {
    const file = fresh();
    {
      using made = store(file);
      for (let i = 0; i < 2_000; i++) made.state.set(`k${i}`, "x".repeat(50), 1e9);
    }
    const octets = fs.readFileSync(file);
    octets.fill(0x7a, 8 * 4096, 12 * 4096);
    fs.writeFileSync(file, octets);
    assert.match(fault(file), /^Cannot open state: FILE is damaged or no state file \(/);
  });

  test("somebody else's database, and that of a later version", () => {
    const file = fresh();
    const other = new DatabaseSync(file);
    other.exec("CREATE TABLE addresses (name TEXT)");
    other.close();
    assert.equal(fault(file), "Cannot open state: FILE is the database of another program");
    const later = fresh();
    store(later)[Symbol.dispose]();
    assert.equal(fault(later), "opened");
    const newer = new DatabaseSync(later);
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    assert.equal(fault(later), "Cannot open state: FILE was written by a later version of Postern");
  });

  test("no folder", () => {
    assert.match(fault(path.join(home.path, "none", "x.db")), /^Cannot open state: FILE: unable/);
  });
});

describe("held by another process", () => {
  test("the answer becomes a promise, and comes when the file is free", async () => {
    const file = fresh();
    let waited = 0;
    const other = new DatabaseSync(file);
    using made = store(file, {
      pause: () => {
        if (++waited === 2) other.exec("COMMIT");
        return Promise.resolve();
      },
    });
    made.state.open();
    other.exec("BEGIN IMMEDIATE");
    const answer = made.state.add("k", 1, 1_000);
    assert.ok(answer instanceof Promise);
    assert.equal(await answer, 1);
    assert.equal(made.state.add("k", 1, 1_000), 2);
    other.close();
  });

  test("for too long: a failure that says so", async () => {
    const file = fresh();
    using made = store(file, { pause: () => Promise.resolve() });
    made.state.open();
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    await assert.rejects(
      async () => await made.state.seen("k", 1_000),
      /^StateFault: Cannot use state: .* is held by another process$/,
    );
    other.close();
  });
});
