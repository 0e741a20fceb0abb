/** The history on disk: what is kept, found again, rotated; and what a broken disk does. @module */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { historyReader, keepHistory } from "../../src/assembly/history.ts";
import { LineFile, linesOf } from "../../src/runtime/line_file.ts";
import type { Settings } from "../../src/settings/settings.ts";
import type { HistoryEntry } from "../../src/telemetry/history.ts";
import { makeLog } from "../../src/telemetry/log.ts";
import { withFolder } from "../support/cli_io.ts";

async function linesIn(file: string): Promise<string[]> {
  return await Array.fromAsync(linesOf(file));
}

function entry(id: string, over: Partial<HistoryEntry> = {}): HistoryEntry {
  return {
    id,
    time: 1,
    fate: "refused",
    reached: "end",
    ms: 1,
    session: {
      id: id.split(".")[0]!,
      listener: "mx",
      address: "192.0.2.7",
      port: 1,
      helo: "",
      esmtp: false,
    },
    asked: [],
    decisions: [],
    ...over,
  };
}

function keeper(dataDir: string, trace: Partial<Settings["trace"]> = {}) {
  let text = "";
  let now = 0;
  const log = makeLog({
    level: "info",
    format: "human",
    now: () => 0,
    write: (lines) => void (text += lines),
    later: () => {},
  });
  const settings = { dataDir, trace: { history: "all", size: 1_000_000, ...trace } } as Settings;
  const history = keepHistory(settings, log, () => now);
  history.open();
  return {
    history,
    log: () => (log.flush(), text),
    advance: (ms: number) => void (now += ms),
  };
}

describe("a file of lines", () => {
  test("is for its owner only, and goes on where it was", () =>
    withFolder(async (folder) => {
      const file = path.join(folder, "a", "lines");
      const first = new LineFile(file, 1_000);
      await first.append("one\ntwo\n");
      await first.close();
      const second = new LineFile(file, 1_000);
      await second.append("three\n");
      await second.close();
      assert.deepEqual(await linesIn(file), ["one", "two", "three"]);
      assert.equal(fs.statSync(file).mode & 0o777, 0o600);
      assert.equal(fs.statSync(path.dirname(file)).mode & 0o777, 0o700);
    }));

  test("is moved away when it is half of its size, and stays within it", () =>
    withFolder(async (folder) => {
      const file = path.join(folder, "lines");
      const lines = new LineFile(file, 200);
      for (let n = 0; n < 50; n++) await lines.append(`line ${String(n).padStart(4, "0")}\n`);
      await lines.close();
      const sizes = [file, `${file}.1`].map((each) => fs.statSync(each).size);
      for (const size of sizes) assert(size <= 110, String(sizes));
      const kept = await linesIn(file);
      assert.equal(kept.at(-1), "line 0049");
      assert.deepEqual(kept, kept.toSorted());
      assert(kept.length >= 10);
    }));

  test("that a crash cut short keeps its torn line apart", () =>
    withFolder(async (folder) => {
      const file = path.join(folder, "lines");
      fs.writeFileSync(file, "whole\nto");
      const lines = new LineFile(file, 1_000);
      await lines.append("next\n");
      await lines.close();
      assert.deepEqual(await linesIn(file), ["whole", "to", "next"]);
    }));

  test("that another process moves away is begun anew; lines of several stay whole", () =>
    withFolder(async (folder) => {
      const file = path.join(folder, "lines");
      const [a, b] = [new LineFile(file, 2_000), new LineFile(file, 2_000)];
      for (let n = 0; n < 40; n++) {
        await Promise.all([a.append(`a ${n} ${"x".repeat(20)}\n`), b.append(`b ${n}\n`)]);
      }
      fs.renameSync(file, `${file}.gone`);
      await Promise.all([a.append("a last\n"), b.append("b last\n")]);
      assert.deepEqual(fs.readFileSync(file, "utf8").split("\n").toSorted(), [
        "",
        "a last",
        "b last",
      ]);
      for (const line of fs.readFileSync(`${file}.gone`, "utf8").split("\n")) {
        assert.match(line, /^(?:a \d+ x{20}|b \d+)?$/);
      }
      await a.close();
      await b.close();
    }));
});

describe("the history", () => {
  test("finds by the beginning of an id, also while and after it is written, and the newest", () =>
    withFolder(async (folder) => {
      const { history } = keeper(folder);
      history.append(entry("abc-1.1", { time: 3, fate: "delivered" }));
      history.append(entry("abc-1.2", { time: 4 }));
      history.append(entry("abc-1", { time: 5, reached: "helo" }));
      history.append(entry("abc-2.1", { time: 6 }));
      history.append(entry("xyz-1.1", { time: 7 }));
      assert.equal((await history.find("abc-1.")).length, 2);
      await history.close();
      const reader = historyReader(folder);
      const ids = async (prefix: string) => (await reader.find(prefix)).map(({ id }) => id);
      assert.deepEqual(await ids("abc-1"), ["abc-1.1", "abc-1.2", "abc-1"]);
      assert.deepEqual(await ids("abc-2.1"), ["abc-2.1"]);
      assert.deepEqual(await ids('"'), []);
      assert.equal((await ids("")).length, 5);
      assert.deepEqual((await reader.recent(2)).map(({ id }) => id), ["xyz-1.1", "abc-2.1"]);
      // What was refused without content is in a file of its own.
      assert.equal((await linesIn(path.join(folder, "history/refusals.jsonl"))).length, 1);
    }));

  test("keeps what the settings say", () =>
    withFolder((folder) => {
      const fates = [
        "delivered",
        "refused",
        "deferred",
        "discarded",
        "aborted",
        "unknown",
      ] as const;
      const kept = (history: Settings["trace"]["history"]) =>
        fates.filter((fate) => keeper(folder, { history }).history.takes(fate, false));
      assert.deepEqual(kept("all"), fates);
      assert.deepEqual(kept("notable"), fates.slice(1));
      assert.deepEqual(kept("none"), []);
      assert.equal(keeper(folder, { history: "notable" }).history.takes("delivered", true), true);
      assert.equal(keeper(folder, { history: "none" }).history.takes("delivered", true), false);
    }));

  test("a torn line and other people's lines are passed over", () =>
    withFolder(async (folder) => {
      fs.mkdirSync(path.join(folder, "history"));
      const file = path.join(folder, "history/transactions.jsonl");
      const whole = JSON.stringify(entry("a-1.1"));
      fs.writeFileSync(file, `{"id":"a-2.1"}\nnothing\n${whole}\n${whole.slice(0, 40)}`);
      const reader = historyReader(folder);
      assert.deepEqual((await reader.find("a-")).map(({ id }) => id), ["a-1.1"]);
      assert.deepEqual((await reader.recent(9)).map(({ id }) => id), ["a-1.1"]);
    }));

  test("a disk that does not take it is told once; when it does again, that too", () =>
    withFolder(async (folder) => {
      const blocked = path.join(folder, "history");
      fs.writeFileSync(blocked, "a file in the place of the folder");
      const { history, log, advance } = keeper(folder);
      history.append(entry("a-1.1"));
      history.append(entry("a-1.2"));
      // Reading writes first, and there is nothing to read yet.
      const written = () => history.recent(1).catch(() => undefined);
      await written();
      history.append(entry("a-1.3"));
      await written();
      assert.match(log(), /^\S+ warn +history cannot be written, mail goes on [^\n]+\n$/);
      fs.rmSync(blocked);
      advance(60_000);
      history.append(entry("a-1.4"));
      await history.close();
      assert.match(log(), /\n\S+ info +history is written again [^\n]* left_out=3\n$/);
      assert.deepEqual((await historyReader(folder).find("a-")).map(({ id }) => id), ["a-1.4"]);
    }));

  test("what waits for the disk is bounded", () =>
    withFolder(async (folder) => {
      const { history } = keeper(folder, { size: 1e9 });
      const long = entry("a-1.1", { cause: "x".repeat(100_000) });
      for (let n = 0; n < 50; n++) history.append(long);
      await history.close();
      const found = await historyReader(folder).find("a-");
      assert.equal(found.length, 10);
    }));

  test("none: no folder is made, and none is no error", () =>
    withFolder(async (folder) => {
      const dataDir = path.join(folder, "data");
      const { history } = keeper(dataDir, { history: "none" });
      history.append(entry("a-1.1"));
      await history.close();
      assert(!fs.existsSync(dataDir));
      assert.deepEqual(await historyReader(dataDir).find("a"), []);
      assert.deepEqual(await historyReader(dataDir).recent(5), []);
    }));

  test("a full disk costs no mail and no process", {
    skip: fs.existsSync("/dev/full") && process.getuid?.() === 0
      ? false
      : "needs root and /dev/full",
  }, () =>
    withFolder(async (folder) => {
      fs.mkdirSync(path.join(folder, "history"));
      fs.symlinkSync("/dev/full", path.join(folder, "history/transactions.jsonl"));
      const { history, log } = keeper(folder);
      history.append(entry("a-1.1"));
      await history.close();
      assert.match(log(), /history cannot be written/);
    }));
});
