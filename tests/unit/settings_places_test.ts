/** Where keys and values stand in a TOML text. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { locate, places } from "../../src/settings/places.ts";

const TEXT = `hostname = "a"
limits.errors = 5

[[plugins]]
use = "x"
options = { a = 1, "b c" = [
  1,
    { d = 2 },
] }

[[plugins]]
use = "y"
[plugins.options.rule]
  limit = 3

[upstreams.mailbox]
servers = ["a", "b"]
`;

test("values: of keys, lists, inline tables, lists of tables", () => {
  const table: [(string | number)[], [number, number]][] = [
    [["hostname"], [1, 12]],
    [["limits", "errors"], [2, 17]],
    [["limits"], [2, 1]],
    [["plugins", 0, "use"], [5, 7]],
    [["plugins", 0, "options"], [6, 11]],
    [["plugins", 0, "options", "a"], [6, 17]],
    [["plugins", 0, "options", "b c", 0], [7, 3]],
    [["plugins", 0, "options", "b c", 1, "d"], [8, 11]],
    [["plugins", 1], [11, 1]],
    [["plugins", 1, "use"], [12, 7]],
    [["plugins", 1, "options", "rule", "limit"], [14, 11]],
    [["upstreams", "mailbox"], [16, 1]],
    [["upstreams", "mailbox", "servers", 1], [17, 17]],
    [[], [1, 1]],
  ];
  for (const [path, [line, column]] of table) {
    assert.deepEqual(locate(TEXT, path), { line, column }, JSON.stringify(path));
  }
});

test("keys", () => {
  const index = places(TEXT)!;
  assert.deepEqual(index.of(["limits", "errors"], "key"), { line: 2, column: 8 });
  assert.deepEqual(index.of(["upstreams", "mailbox"], "key"), { line: 16, column: 12 });
  assert.deepEqual(index.of(["plugins", 0, "options", "b c"], "key"), { line: 6, column: 20 });
});

test("what is not there gives what is around it", () => {
  assert.deepEqual(locate(TEXT, ["plugins", 1, "mode"]), { line: 11, column: 1 });
  assert.deepEqual(locate(TEXT, ["upstreams", "mailbox", "servers", 9]), { line: 17, column: 11 });
  assert.deepEqual(locate(TEXT, ["log", "level"]), { line: 1, column: 1 });
});

test("a byte order mark is no column", () => {
  assert.deepEqual(locate("\ufeffa = 5\r\nb = 6\r\n", ["a"]), { line: 1, column: 5 });
  assert.deepEqual(locate("\ufeffa = 5\r\nb = 6\r\n", ["b"]), { line: 2, column: 5 });
});

test("no TOML, no place", () => {
  assert.equal(locate("a = = 1", ["a"]), undefined);
  assert.equal(locate("a = [".repeat(50_000), ["a"]), undefined);
});

test("R34: names that every object has are keys like any other", () => {
  assert.deepEqual(locate("", ["constructor", "name"]), { line: 1, column: 1 });
  assert.deepEqual(locate("x = 1\n__proto__ = 2\n", ["__proto__"]), { line: 2, column: 13 });
});
