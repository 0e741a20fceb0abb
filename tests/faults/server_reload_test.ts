/** Plugins made anew in mid-traffic: each session sees one generation, and nothing is lost, left open or closed twice. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { type Edge, type EdgeOptions, startEdge } from "../support/edge.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const LIMIT = { timeout: 60_000 };

/** What the plugins of one test have told, by the test's own name on the global object: they share no module. */
class Told {
  readonly lines: string[] = [];
  readonly key = `postern-test-${crypto.randomUUID()}`;

  constructor() {
    (globalThis as { [key: string]: unknown })[this.key] = this.lines;
  }

  count(line: string): number {
    return this.lines.filter((each) => each === line).length;
  }

  [Symbol.dispose](): void {
    delete (globalThis as { [key: string]: unknown })[this.key];
  }
}

/** A plugin that answers with its version at every stage, and tells of its life. */
function body(told: Told, version: string, name = "answer"): string {
  return `const told = (globalThis as any)["${told.key}"];
    told.push("${name} opens ${version}");
    edge.watchFile("list", () => { told.push("${name} hears of the list"); edge.log.info("list"); });
    const seen = (stage: string, context: any) =>
      edge.score(1, "${name.toUpperCase()}_${version}");
    return {
      name: "${name}",
      close: () => void told.push("${name} closes ${version}"),
      hooks: {
        connect: seen, helo: seen, mail: seen, rcpt: seen, end: seen,
        on: { reloaded: (names: any) => void told.push("${name} ${version} hears " + names) },
      },
    };`;
}

function write(edge: Edge, name: string, body: string): void {
  const file = path.join(edge.postern.dir, `${name}.ts`);
  fs.writeFileSync(`${file}.new`, `export default (edge: any, options: any) => {\n${body}\n};\n`);
  fs.renameSync(`${file}.new`, file);
}

const reloadPlugin = (edge: Edge, name: string) =>
  Effect.runPromiseExit(edge.postern.running.reloadPlugin(name));

async function deliver(client: SmtpClient): Promise<void> {
  const reply = await client.sendMessage({ to: "b@up.test" });
  assert.equal(reply.code, 250);
}

/** The versions that gave points to the transactions so far, one text for each. */
function versions(edge: Edge): string[] {
  return edge.postern.records.map(({ transaction }) =>
    [...new Set(transaction.symbols.map(({ symbol }) => symbol))].join(" ")
  );
}

async function start(told: Told, more: Partial<EdgeOptions> = {}): Promise<Edge> {
  return await startEdge({
    plugins: { answer: body(told, "0"), other: body(told, "0", "other") },
    ...more,
  });
}

describe("a plugin is reloaded", () => {
  test(
    "fifty times under traffic: one generation a session, nothing fails, all closed once",
    LIMIT,
    async () => {
      using told = new Told();
      const edge = await start(told);
      let going = true;
      let messages = 0;
      const talk = async (): Promise<void> => {
        while (going) {
          await using client = await edge.greeted();
          for (let n = 0; n < 3; n++) {
            await deliver(client);
            messages++;
          }
          await client.quit();
        }
      };
      const talkers = [talk(), talk(), talk()];
      for (let n = 1; n <= 50; n++) {
        const version = String(n % 2);
        if (n === 25) {
          write(edge, "answer", "return {");
          assert(Exit.isFailure(await reloadPlugin(edge, "answer")));
        }
        write(edge, "answer", body(told, version));
        const exit = await reloadPlugin(edge, "answer");
        assert(Exit.isSuccess(exit), String(exit));
        assert.deepEqual(exit.value.plugins, ["answer"]);
        // Whom the talkers' sessions meet is chance; each generation has one of our own.
        await using own = await edge.greeted();
        await deliver(own);
        messages++;
        await own.quit();
      }
      going = false;
      await Promise.all(talkers);
      // Of all that were started, the two that run still watch.
      fs.writeFileSync(path.join(edge.postern.dir, "list"), "changed");
      await edge.postern.logged("list plugin=answer");
      await edge.postern.logged("list plugin=other");
      assert.equal(edge.upstream.messages.length, messages);
      assert.equal(edge.postern.records.length, messages);
      const seen = new Set(versions(edge));
      assert.deepEqual([...seen].toSorted(), ["ANSWER_0 OTHER_0", "ANSWER_1 OTHER_0"]);
      const bySession = Map.groupBy(
        edge.postern.records,
        ({ transaction }) => transaction.session.id,
      );
      for (const records of bySession.values()) {
        const of = records.map(({ transaction }) => transaction.symbols[0]?.symbol);
        assert.equal(new Set(of).size, 1, String(of));
      }
      await edge[Symbol.asyncDispose]();
      assert.equal(told.count("answer opens 0") + told.count("answer opens 1"), 51);
      assert.equal(told.count("answer closes 0"), told.count("answer opens 0"));
      assert.equal(told.count("answer closes 1"), told.count("answer opens 1"));
      assert.equal(told.count("answer hears of the list"), 1);
      // The other one was never touched.
      assert.equal(told.count("other opens 0"), 1);
      assert.equal(told.count("other closes 0"), 1);
    },
  );

  test("an old session ends on the old one, which closes with it; the new one is told", async () => {
    using told = new Told();
    await using edge = await start(told);
    await using old = await edge.greeted();
    write(edge, "answer", body(told, "1"));
    assert(Exit.isSuccess(await reloadPlugin(edge, "answer")));
    assert.deepEqual(told.lines.slice(-2), ["answer 1 hears answer", "other 0 hears answer"]);
    await using young = await edge.greeted();
    await deliver(old);
    await deliver(young);
    assert.deepEqual(versions(edge), ["ANSWER_0 OTHER_0", "ANSWER_1 OTHER_0"]);
    assert.equal(told.count("answer closes 0"), 0);
    const closed = new Promise<void>((resolve) => {
      told.lines.push = (line: string) => {
        if (line === "answer closes 0") resolve();
        return Array.prototype.push.call(told.lines, line);
      };
    });
    await old.quit();
    old.close();
    await closed;
    await deliver(young);
    assert.match(edge.log(), / info +plugins reloaded plugins=answer\n/);
  });

  test("a file that is broken in any way changes nothing, and is told in one line", async () => {
    using told = new Told();
    await using edge = await start(told);
    for (
      const [broken, why] of [
        ["return {", /Cannot load plugin/],
        ['throw new Error("not today");', /does not start: Error: not today/],
        ["return 5;", /must return an object/],
        ['return { name: "answer", hooks: { rctp: () => {} } };', /hooks\.rctp is unknown/],
        ['return { name: "other", hooks: {} };', /are both named/],
        ["return new Promise((_, no) => no(1));", /does not start/],
      ] as const
    ) {
      write(edge, "answer", broken);
      const exit = await reloadPlugin(edge, "answer");
      assert(Exit.isFailure(exit), broken);
      const [line, ...rest] = edge.log().trimEnd().split("\n").toReversed();
      assert.match(line!, / error reload refused, the plugins go on as they are cause=/);
      assert.match(line!, why);
      assert.match(line!, /plugins\[[01]\]/);
      assert.doesNotMatch(rest[0] ?? "", new RegExp(why));
    }
    fs.rmSync(path.join(edge.postern.dir, "answer.ts"));
    assert(Exit.isFailure(await reloadPlugin(edge, "answer")));
    await using client = await edge.greeted();
    await deliver(client);
    assert.deepEqual(versions(edge), ["ANSWER_0 OTHER_0"]);
    assert.equal(told.count("answer closes 0"), 0);
    assert.equal(told.count("other opens 0"), 1);
  });

  test("by a name that is none: an error with the nearest", async () => {
    using told = new Told();
    await using edge = await start(told);
    const exit = await reloadPlugin(edge, "anwser");
    assert.match(String(exit), /There is no plugin "anwser"; did you mean "answer"\?/);
  });

  test("what it keeps in edge.state stays, and so do notes and watches of who was not touched", async () => {
    using told = new Told();
    const counts = `let sum = 0; const note = edge.note("n");
      return { name: "counts", hooks: {
        mail: () => edge.score(edge.state.add("k", 1, 1e9), "STATE"),
        end: (tx: any) => edge.score(note.get(tx) ?? 0, "NOTE"),
      } };`;
    const gives = (n: number) =>
      `const note = edge.note("n"); return { name: "gives", hooks: {
        mail: (_: any, { tx }: any) => note.set(tx, ${n}) } };`;
    await using edge = await startEdge({ plugins: { gives: gives(1), counts } });
    const points = async () => {
      await using client = await edge.greeted();
      await deliver(client);
      return edge.postern.records.at(-1)?.transaction.symbols.map(({ points }) => points);
    };
    assert.deepEqual(await points(), [1, 1]);
    write(edge, "gives", gives(7));
    assert(Exit.isSuccess(await reloadPlugin(edge, "gives")));
    assert.deepEqual(await points(), [2, 7]);
    assert(Exit.isSuccess(await reloadPlugin(edge, "counts")));
    assert.deepEqual(await points(), [3, 7]);
    assert.equal(told.lines.length, 0);
  });

  test("by a change of its file, where it is watched, and only then", async () => {
    using told = new Told();
    await using edge = await start(told, { pluginSettings: "watch = true" });
    write(edge, "answer", "return {");
    await edge.postern.logged("reload refused");
    write(edge, "answer", body(told, "1"));
    await edge.postern.logged("plugins reloaded plugins=answer");
    await using client = await edge.greeted();
    await deliver(client);
    assert.deepEqual(versions(edge), ["ANSWER_1 OTHER_0"]);
    assert.equal(told.count("other opens 0"), 1);
  });

  test("together with others: what has not changed is not made anew", async () => {
    using told = new Told();
    await using edge = await start(told);
    const { running } = edge.postern;
    const none = await Effect.runPromise(running.reloadPlugins());
    assert.deepEqual(none.plugins, []);
    write(edge, "other", body(told, "1", "other"));
    const one = await Effect.runPromise(running.reloadPlugins());
    assert.deepEqual(one.plugins, ["other"]);
    const many = await Effect.runPromise(Effect.all([
      running.reloadPlugin("other"),
      running.reloadPlugin("./answer.ts"),
      running.reloadPlugins(),
    ], { concurrency: "unbounded" }));
    assert.deepEqual(many.map(({ plugins }) => plugins), [["other"], ["answer"], []]);
    await using client = await edge.greeted();
    await deliver(client);
    assert.deepEqual(versions(edge), ["ANSWER_0 OTHER_1"]);
  });
});
