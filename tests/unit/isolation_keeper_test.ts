/** Who keeps a worker alive, with workers that a test plays by hand: no thread, no clock. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Keeper, type KeeperOptions } from "../../src/isolation/keeper.ts";
import type { WorkerOrder } from "../../src/isolation/port.ts";
import type { GuestShape, ToGuest } from "../../src/isolation/protocol.ts";
import { fakeEdge } from "../support/fake_edge.ts";

const SHAPE: GuestShape = {
  name: "played",
  onError: undefined,
  hooks: ["helo"],
  mechanisms: [],
  holdBody: false,
};

/** A worker that loads and starts at once, and otherwise says what the test says. */
class Played {
  readonly heard: ToGuest[] = [];
  ended = false;
  /** It answers nothing. */
  deaf = false;
  constructor(readonly order: WorkerOrder, readonly shape: GuestShape | undefined) {}

  post(message: unknown): void {
    const heard = message as ToGuest;
    this.heard.push(heard);
    if (heard.say !== "do" || this.shape === undefined || this.deaf) return;
    if (heard.task.task === "hook") return;
    const value = heard.task.task === "start" ? this.shape : {};
    queueMicrotask(() => this.say({ say: "done", id: heard.id, value }));
  }
  terminate(): void {
    this.ended = true;
  }
  say(message: unknown): void {
    this.order.onMessage(message);
  }
  /** The number of the question that came last. */
  get asked(): number {
    const questions = this.heard.filter((each) => each.say === "do");
    return questions.at(-1)?.id ?? 0;
  }
}

interface Timer {
  readonly ms: number;
  readonly run: () => void;
  over: boolean;
}

function play(more: { readonly stopsBusyThreads?: boolean; readonly read?: true } = {}) {
  const edge = fakeEdge();
  const workers: Played[] = [];
  const timers: Timer[] = [];
  const broke: string[] = [];
  let shape: GuestShape | undefined = SHAPE;
  let now = 0;
  const options: KeeperOptions = {
    workers: {
      spawn(order) {
        const worker = new Played(order, shape);
        workers.push(worker);
        return worker;
      },
      stopsBusyThreads: more.stopsBusyThreads ?? true,
      enforcesRights: true,
      later(ms, run) {
        const timer = { ms, run, over: false };
        timers.push(timer);
        return () => void (timer.over = true);
      },
    },
    order: { name: "played", url: undefined },
    module: { bundled: "played" },
    rights: { net: [], read: more.read ?? [] },
    options: {},
    budget: 1_000,
    baseDir: "/",
    reads: [],
    edge: { ...edge, clock: { now: () => now } },
    resolve: (path) => path,
    patience: 50,
    broke: (stage, message) => broke.push(`${stage}: ${message}`),
  };
  const keeper = new Keeper(options);
  return {
    keeper,
    workers,
    broke,
    watchers: () => edge.watchers(),
    last: () => workers.at(-1)!,
    ask: (signal?: AbortSignal) =>
      keeper.ask(
        () => ({
          task: "hook",
          hook: "helo",
          session: undefined,
          tx: undefined,
          input: "x",
          header: undefined,
        }),
        signal === undefined ? {} : { signal },
      ),
    /** Timers that are set, by their milliseconds. */
    set: () => timers.filter(({ over, ms }) => !over && ms < 30_000).map(({ ms }) => ms),
    fire(ms: number): void {
      const timer = timers.find((each) => !each.over && each.ms === ms);
      assert.ok(timer !== undefined, `no timer of ${ms} ms`);
      timer.over = true;
      timer.run();
    },
    becomes: (next: GuestShape | undefined) => shape = next,
    goBy: (ms: number) => now += ms,
  };
}

/** Everything that waits for nothing is over. */
async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}

describe("R38: a worker that breaks", () => {
  test("fails what it was asked, and is started again: at once, then after growing pauses", async () => {
    const played = play();
    await played.keeper.start();
    const asked = played.ask();
    await settled();
    played.last().say({ say: "stray", message: "Error: in a timer" });
    await assert.rejects(asked, { name: "Crashed", message: "Error: in a timer" });
    assert.ok(played.workers[0]!.ended);
    await settled();
    assert.equal(played.workers.length, 2);
    for (const pause of [100, 200, 400, 800]) {
      played.last().say({ say: "stray", message: "again" });
      assert.deepEqual(played.set(), [pause]);
      await assert.rejects(played.ask(), { name: "Crashed" });
      played.fire(pause);
      await settled();
    }
    assert.equal(played.broke.length, 5);
    played.goBy(60_000);
    played.last().say({ say: "stray", message: "a minute later" });
    assert.deepEqual(played.set(), []);
    await settled();
    assert.equal(played.workers.length, 7);
  });

  test("questions wait for a worker that starts", async () => {
    const played = play();
    await played.keeper.start();
    played.last().order.onEnd("It has ended itself");
    const asked = played.ask();
    await settled();
    const { asked: id } = played.last();
    played.last().say({ say: "done", id, value: "answered" });
    assert.equal(await asked, "answered");
  });

  test("one that comes back as another plugin is not taken", async () => {
    const played = play();
    await played.keeper.start();
    played.becomes({ ...SHAPE, hooks: ["helo", "mail"] });
    played.last().order.onEnd("It has ended itself");
    await assert.rejects(played.ask(), /not the plugin that it was/);
    await settled();
    assert.deepEqual(played.set(), [100]);
    assert.ok(played.last().ended);
  });

  test("nothing is started again once the generation has ended", async () => {
    const played = play();
    await played.keeper.start();
    await played.keeper.close();
    played.workers[0]!.say({ say: "stray", message: "late" });
    await assert.rejects(played.ask(), { name: "Crashed" });
    assert.equal(played.workers.length, 1);
    assert.deepEqual(played.broke, []);
  });
});

describe("R38: a worker that does not answer in time", () => {
  test("is pinged; its pong saves it", async () => {
    const played = play();
    await played.keeper.start();
    const controller = new AbortController();
    const asked = played.ask(controller.signal);
    await settled();
    controller.abort(new Error("over"));
    await assert.rejects(asked, /over/);
    assert.deepEqual(played.last().heard.slice(-2).map(({ say }) => say), ["abort", "ping"]);
    assert.deepEqual(played.set(), [50]);
    played.last().say({ say: "pong" });
    assert.deepEqual(played.set(), []);
    assert.equal(played.workers.length, 1);
  });

  test("without a pong it is replaced", async () => {
    const played = play();
    await played.keeper.start();
    played.keeper.ping();
    played.fire(50);
    await settled();
    assert.equal(played.workers.length, 2);
    assert.deepEqual(played.broke, ["worker: It did not answer a ping within 50 ms"]);
  });

  test("one that does not close is ended all the same", async () => {
    const played = play();
    await played.keeper.start();
    played.last().deaf = true;
    const closed = played.keeper.close();
    await settled();
    assert.equal(played.last().ended, false);
    played.fire(4_000);
    await assert.rejects(closed, /It has not closed within 4000 ms/);
    assert.equal(played.last().ended, true);
    assert.equal(played.workers.length, 1);
    assert.deepEqual(played.set(), []);
  });

  test("threads that cannot be stopped are not made without end", async () => {
    const played = play({ stopsBusyThreads: false });
    await played.keeper.start();
    for (const pause of [undefined, 100, 200, undefined]) {
      played.keeper.ping();
      played.fire(50);
      if (pause !== undefined) played.fire(pause);
      await settled();
    }
    assert.equal(played.workers.length, 4);
    await assert.rejects(played.ask(), /4 of its threads spin/);
    assert.deepEqual(played.set(), []);
  });
});

describe("R38: what a worker says is not believed", () => {
  for (
    const [name, message] of [
      ["nothing", null],
      ["a failure that is none", { say: "late", failure: null }],
    ] as const
  ) {
    test(`${name}: it is replaced`, async () => {
      const played = play();
      await played.keeper.start();
      played.last().say(message);
      await settled();
      assert.equal(played.workers.length, 2);
    });
  }

  test("an answer that cannot be read: the question ends with the worker", async () => {
    const played = play();
    await played.keeper.start();
    const asked = played.ask();
    await settled();
    played.last().say({ say: "failed", id: played.last().asked, failure: null });
    await assert.rejects(asked, /It said what it cannot say/);
  });

  test("one number is one watch", async () => {
    const played = play({ read: true });
    await played.keeper.start();
    for (let i = 0; i < 3; i++) played.last().say({ say: "watch", watch: 1, path: "list" });
    assert.equal(played.watchers(), 1);
    played.last().say({ say: "unwatch", watch: 1 });
    assert.equal(played.watchers(), 0);
  });

  test("a service that there is not, and a file that is not granted, are refused", async () => {
    const played = play();
    await played.keeper.start();
    for (
      const [service, args] of [
        ["constructor", []],
        ["readText", ["/etc/passwd"]],
        [
          "readText",
          [{}],
        ],
        ["resolve", ["x.test", "AXFR"]],
        ["resolve", [{}, "A"]],
      ] as const
    ) {
      played.last().say({ say: "ask", id: 7, service, args });
      await settled();
      const answer = played.last().heard.at(-1)!;
      assert.equal(answer.say, "failed", service);
    }
    assert.equal(played.workers.length, 1);
  });
});
