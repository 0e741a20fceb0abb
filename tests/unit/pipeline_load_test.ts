/**
 * From configuration to a generation: loading, options, shape, order, closing.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import * as v from "valibot";
import { compilePipeline, PluginProblems } from "../../src/pipeline/compile.ts";
import { loadPlugins } from "../../src/pipeline/load.ts";
import { testServices } from "../../src/testing/edge.ts";
import { engine, type Given, hooks } from "./pipeline_host.ts";

const settings = (use: string, more: object = {}) => ({
  use,
  listeners: undefined,
  mode: "enforce" as const,
  onError: undefined,
  budget: 1_000,
  watch: false,
  options: undefined,
  path: "plugins[2]",
  ...more,
});
const good = () => ({ name: "good", hooks: {} });

async function problemOf(module: unknown, more: object = {}) {
  const { problems, plugins } = await loadPlugins([settings("./p.ts", more)], {
    builtins: new Map(),
    importModule: async () => module,
  });
  assert.equal(plugins.length, 0);
  return problems.map(({ pluginPath, message }) => `${pluginPath}: ${message}`);
}

/** What compiling these plugins fails with. */
async function problemsOf(...given: readonly Given[]): Promise<readonly string[]> {
  try {
    await engine(given);
  } catch (cause) {
    assert.ok(cause instanceof PluginProblems);
    return cause.problems.map(({ pluginPath, message }) => `${pluginPath}: ${message}`);
  }
  return [];
}

describe("loading", () => {
  test("bundled plugins come first, all else is imported as written; off is not imported", async () => {
    const imported: string[] = [];
    const { plugins, problems } = await loadPlugins([
      settings("rate-limit"),
      settings("./mine.ts"),
      settings("./broken.ts", { mode: "off" }),
    ], {
      builtins: new Map([["rate-limit", async () => ({ default: good })]]),
      importModule: async (use) => (imported.push(use), { default: good }),
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(plugins.map(({ builtin }) => builtin), [true, false]);
    assert.deepEqual(imported, ["./mine.ts"]);
  });

  test("R34: a name of Object.prototype is no bundled plugin", async () => {
    const { problems } = await loadPlugins([settings("constructor")], {
      builtins: new Map([["access", async () => ({ default: good })]]),
      importModule: () => Promise.reject(new Error("not found")),
    });
    assert.match(problems[0]!.message, /^Cannot load plugin constructor: .*not found.*access$/);
    assert.equal(problems[0]!.pluginPath, "plugins[2].use");
  });

  test("a module without a default export, or with one that is no function", async () => {
    assert.deepEqual(await problemOf({}), ["plugins[2].use: ./p.ts has no default export"]);
    assert.deepEqual(await problemOf({ default: {} }), [
      "plugins[2].use: ./p.ts has a default export that is not a function",
    ]);
    assert.match((await problemOf(undefined))[0]!, /not a module/);
    assert.match((await problemOf({ default: good, options: {} }))[0]!, /Standard Schema/);
    assert.match((await problemOf({ default: good, manifest: { reads: "spf" } }))[0]!, /`reads`/);
  });

  test("options are validated by the plugin's schema, and its output is what the plugin gets", async () => {
    const options = v.object({
      rules: v.array(v.object({ limit: v.number("Expected a number") })),
      name: v.optional(v.string(), "default"),
    });
    const module = { default: good, options };
    assert.deepEqual(await problemOf(module, { options: { rules: [{ limit: "x" }] } }), [
      "plugins[2].options.rules[0].limit: Expected a number",
    ]);
    const { plugins } = await loadPlugins([settings("p", { options: { rules: [] } })], {
      builtins: new Map(),
      importModule: async () => module,
    });
    assert.deepEqual(plugins[0]!.settings.options, { rules: [], name: "default" });
  });

  test("a schema that breaks is a problem, not a crash", async () => {
    const options = {
      "~standard": {
        version: 1,
        vendor: "x",
        validate: () => {
          throw new Error("broken");
        },
      },
    };
    assert.match((await problemOf({ default: good, options }))[0]!, /broken/);
  });
});

describe("compiling", () => {
  test("R39: a mistyped hook, a bad name, a bad onError stop the start", async () => {
    const problems = await problemsOf({
      module: () => ({ name: "Bad Name", onError: "ignore", hooks: { rctp: () => {} } }) as never,
    });
    assert.equal(problems.length, 3);
    assert.match(problems.join("\n"), /hooks\.rctp is unknown/);
    const bad = [
      undefined,
      { name: "p" },
      { name: "p", hooks: { rcpt: 1 } },
      { name: "p", hooks: { body: { filter: () => {} } } },
      { name: "p", hooks: { on: 1 } },
      { name: "p", hooks: { auth: { mechanisms: ["SCRAM"], verify: () => {} } } },
      { name: "p", hooks: { auth: { mechanisms: ["PLAIN"] } } },
      { name: "p", hooks: {}, close: 1 },
    ];
    for (const plugin of bad) {
      assert.equal((await problemsOf({ module: () => plugin as never })).length, 1);
    }
  });

  test("a factory that throws or rejects is a problem; the others are closed again", async () => {
    const closed: string[] = [];
    const problems = await problemsOf(
      { module: () => ({ name: "a", hooks: {}, close: () => void closed.push("a") }) },
      {
        module: () => {
          throw new Error("no database");
        },
      },
      { module: () => Promise.reject(new Error("no network")) },
    );
    assert.deepEqual(problems, [
      "plugins[1]: The plugin does not start: Error: no database",
      "plugins[2]: The plugin does not start: Error: no network",
    ]);
    assert.deepEqual(closed, ["a"]);
  });

  test("two different plugins of one name clash; two instances of one plugin do not", async () => {
    assert.deepEqual(
      await problemsOf(hooks("p", {}, { use: "./a.ts" }), hooks("p", {}, { use: "./b.ts" })),
      ['plugins[1]: ./b.ts and ./a.ts are both named "p"'],
    );
    const { pipeline } = await engine([hooks("p", {}), hooks("p", {})]);
    assert.deepEqual(pipeline.plugins, ["p", "p#2"]);
  });

  test("hooks may be methods: `this` is theirs", async () => {
    class Mine {
      readonly name = "mine";
      readonly hooks = {
        points: 3,
        end() {
          return { verdict: "score", points: this.points, symbol: "S" } as const;
        },
      };
    }
    const problems = await problemsOf({ module: () => new Mine() as never });
    assert.match(problems[0]!, /hooks\.points is unknown/);
    class Hooks {
      #points = 3;
      end() {
        return { verdict: "score", points: this.#points, symbol: "S" } as const;
      }
    }
    const { session, tx } = await engine([{
      module: () => ({ name: "mine", hooks: new Hooks() }),
    }]);
    session.end(tx);
    assert.equal(tx.score, 3);
  });

  test("who reads a note stands behind who gives it, all else as configured", async () => {
    const { pipeline } = await engine([
      hooks("dmarc", {}, { manifest: { reads: ["spf", "dkim"], gives: ["dmarc"] } }),
      hooks("first", {}),
      hooks("dkim", {}, { manifest: { gives: ["dkim"] } }),
      hooks("spf", {}, { manifest: { gives: ["spf"] } }),
      hooks("last", {}),
    ]);
    assert.deepEqual(pipeline.plugins, ["first", "dkim", "spf", "dmarc", "last"]);
  });

  test("after and before are kept, for every instance of the plugin they name", async () => {
    const { pipeline } = await engine([
      hooks("a", {}, { after: ["c"] }),
      hooks("b", {}),
      hooks("c", {}),
      hooks("c", {}),
      hooks("d", {}, { before: ["b", "not-there"] }),
    ]);
    assert.deepEqual(pipeline.plugins, ["c", "c#2", "a", "d", "b"]);
  });

  test("a circle of after, before and notes names each plugin and why it waits", async () => {
    assert.deepEqual(
      await problemsOf(
        hooks("a", {}, { manifest: { reads: ["x"] } }),
        hooks("b", {}, { manifest: { gives: ["x"] }, after: ["c"] }),
        hooks("c", {}, { after: ["a"] }),
      ),
      [
        'plugins[0]: Plugins wait for each other in a circle: a (plugins[0]) reads the note "x" of b (plugins[1]), ' +
        "which has to stand after c (plugins[2]), which has to stand after a (plugins[0])",
      ],
    );
    assert.deepEqual(
      await problemsOf(
        hooks("a", {}, { before: ["b"] }),
        hooks("b", {}, { before: ["a"] }),
      ),
      [
        "plugins[0]: Plugins wait for each other in a circle: a (plugins[0]) has to stand after b (plugins[1]), " +
        "which has to stand after a (plugins[0])",
      ],
    );
  });

  test("a note that is given on other listeners only names both plugins", async () => {
    const giver = hooks("giver", {}, { manifest: { gives: ["x"] }, listeners: ["mx"] });
    assert.deepEqual(
      await problemsOf(
        giver,
        hooks("reader", {}, { manifest: { reads: ["x"] }, listeners: ["submission"] }),
      ),
      [
        'plugins[1]: reader reads the note "x", which giver (plugins[0]) gives, but they share no listener',
      ],
    );
    await engine([giver, hooks("reader", {}, { manifest: { reads: ["x"] } })]);
  });

  test("the score is a note that everybody gives", async () => {
    const { pipeline } = await engine([
      hooks("judge", {}, { manifest: { reads: ["score"] } }),
      hooks("rules", {}),
    ]);
    assert.deepEqual(pipeline.plugins, ["judge", "rules"]);
  });

  test("a circle of notes names its plugins, a missing one its reader", async () => {
    const circle = await problemsOf(
      hooks("a", {}, { manifest: { reads: ["y"], gives: ["x"] } }),
      hooks("b", {}, { manifest: { reads: ["x"], gives: ["y"] } }),
    );
    assert.equal(circle.length, 1);
    assert.match(circle[0]!, /a \(plugins\[0\]\).*b \(plugins\[1\]\)/);
    assert.deepEqual(await problemsOf(hooks("a", {}, { manifest: { reads: ["spf"] } })), [
      'plugins[0]: a reads the note "spf", which no plugin gives',
    ]);
  });

  test("holdBody and stages are those of the listener", async () => {
    const { pipeline, session, tx } = await engine([
      hooks("a", { end: () => {} }, {
        manifest: { holdBody: true },
        listeners: ["submission"],
      }),
    ]);
    assert.equal(session.holds(tx), false);
    const submission = pipeline.open({ ...tx.session, listener: "submission" });
    assert.equal(submission.holds(tx), true);
    assert.equal(submission.stages.end, true);
  });

  test("closing ends watchers and plugins once, whatever they do", async () => {
    const done: string[] = [];
    let watched = 0;
    const { pipeline, host } = await engine([
      {
        module: (edge) => {
          edge.watchFile("list", () => void watched++);
          return { name: "a", hooks: {}, close: async () => void done.push("a") };
        },
      },
      {
        module: () => ({
          name: "b",
          hooks: {},
          close: () => {
            throw new Error("stuck");
          },
        }),
      },
    ]);
    host.writeFile("list", "1");
    await pipeline.close();
    await pipeline.close();
    host.writeFile("list", "2");
    assert.equal(watched, 1);
    assert.deepEqual(done, ["a"]);
    assert.deepEqual(host.failures.map(({ plugin, stage }) => [plugin, stage]), [["b", "close"]]);
  });

  test("two pipelines live in one process without knowing of each other", async () => {
    const module = { default: good };
    const one = await Effect.runPromise(
      compilePipeline(
        [{ settings: settings("p"), exports: module, builtin: false }],
        testServices({}).services,
      ),
    );
    const other = await engine([hooks("good", {}, { use: "./other.ts" })]);
    assert.deepEqual(one.plugins, other.pipeline.plugins);
  });
});
