/** What a changed configuration means for a running proxy. @module */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isSameValue, restartNeeded } from "../../src/settings/changes.ts";
import { parseSettings } from "../../src/settings/parse.ts";
import type { Settings } from "../../src/settings/settings.ts";

const CONFIG = `hostname = "mx.example.org"
[[listeners]]
listen = "127.0.0.1:2525"
[upstreams.out]
servers = ["10.0.0.5:25"]
[[routes]]
to = ["example.org"]
upstream = "out"
`;

function settings(text: string, baseDir = "/etc/postern"): { settings: Settings; warned: string } {
  const result = parseSettings(text, {
    file: "postern.toml",
    baseDir,
    env: () => undefined,
    readFile: () => "",
  });
  assert(result.ok);
  return {
    settings: result.settings,
    warned: result.warnings.map(({ path, message }) => `${path}: ${message}`).join("\n"),
  };
}

test("values are the same all the way down, and by nothing else", () => {
  const same: unknown[] = [1, NaN, "a", null, undefined, [], [1, [2]], {}, { a: [{ b: 1 }] }];
  same.push(new Date(5));
  for (const [i, a] of same.entries()) {
    assert(isSameValue(a, structuredClone(a)), String(i));
    for (const [j, b] of same.entries()) assert.equal(isSameValue(a, b), i === j, `${i} ${j}`);
  }
  assert(!isSameValue({ a: undefined }, { b: undefined }));
  assert(!isSameValue([1], { 0: 1, length: 1 }));
  // What it cannot look into is the same only as itself.
  const map = new Map();
  assert(isSameValue({ map }, { map }));
  assert(!isSameValue(new Map(), new Map()));
  assert(!isSameValue({ toString: 1 }, {}));
});

test("plugins are taken over; every other change is named by its key", () => {
  const before = settings(CONFIG).settings;
  const needed = (text: string) => restartNeeded(before, settings(text).settings);
  assert.deepEqual(needed(CONFIG), []);
  assert.deepEqual(needed(`received = false\n${CONFIG}[[plugins]]\nuse = "./a.ts"\n`), []);
  assert.deepEqual(needed(`data_dir = "x"\n${CONFIG}[limits]\nerrors = 1\n`), [
    "data_dir",
    "limits",
  ]);
  assert.deepEqual(needed(CONFIG.replace("10.0.0.5", "10.0.0.6")), ["upstreams"]);
});

test("watch is for files", () => {
  const entry = (use: string) => `${CONFIG}[[plugins]]\nuse = "${use}"\nwatch = true\n`;
  assert.equal(settings(entry("./own.ts")).warned, "");
  assert.equal(settings(entry("/etc/own.ts")).warned, "");
  assert.match(settings(entry("rate-limit")).warned, /^plugins\[0\]\.watch: has no effect/);
});
