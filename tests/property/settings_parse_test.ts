/** Properties of reading a configuration. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { decodeConfig, type ParseOptions, parseSettings } from "../../src/settings/parse.ts";
import { formatProblem } from "../../src/settings/problem.ts";
import { duration, size } from "../../src/settings/units.ts";

const OPTIONS: ParseOptions = {
  file: "postern.toml",
  baseDir: "/etc/postern",
  env: () => "hunter2",
  readFile: () => "hunter2",
};

const FULL = readFileSync(new URL("../../examples/full.toml", import.meta.url), "utf8");

/** Words that get past the first checks, and words that have broken other programs. */
const word = fc.oneof(
  fc.constantFrom("hostname", "listeners", "listen", "upstreams", "servers", "routes", "to", "tls"),
  fc.constantFrom("plugins", "options", "auth", "password", "env", "file", "admin", "tokens"),
  fc.constantFrom("__proto__", "constructor", "toString", "prototype", "valueOf"),
  fc.string({ maxLength: 5 }),
);
const token = fc.oneof(
  word,
  fc.constantFrom("[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\n", " ", "#", "'", '"', '"""'),
  fc.constantFrom("1", "-0", "1e9", "0x1F", "inf", "nan", "true", "2026-01-01", '"a:25"', '"5m"'),
  word.map((text) => `\n[${text}]\n`),
  word.map((text) => `\n[[${text}]]\n`),
  fc.tuple(word, fc.oneof(fc.string().map((text) => JSON.stringify(text)), fc.jsonValue())).map((
    [key, value],
  ) => `\n${key} = ${typeof value === "string" ? value : JSON.stringify(value)}\n`),
);

function wellFormed(result: ReturnType<typeof parseSettings>, lines: number): void {
  if (result.ok) return;
  assert.ok(result.problems.length > 0);
  for (const problem of result.problems) {
    assert.ok(!/[\0-\x1f\x7f]/.test(formatProblem(problem)), JSON.stringify(problem));
    assert.ok(problem.line >= Math.min(lines, 1) && problem.line <= lines, JSON.stringify(problem));
  }
}

test("R39: any text gives settings or problems on one line each, and never throws", () => {
  fc.assert(
    fc.property(fc.array(token, { maxLength: 40 }).map((tokens) => tokens.join("")), (text) => {
      wellFormed(parseSettings(text, OPTIONS), text.split("\n").length);
    }),
    { numRuns: 1000 },
  );
});

test("R34: any value, with any names for keys, gives settings or problems and changes no prototype", () => {
  const table: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.anything(),
      fc.array(tie("value"), { maxLength: 3 }),
      tie("table"),
    ),
    table: fc.array(fc.tuple(word, tie("value")), { maxLength: 6 }).map((pairs) => {
      const made = Object.create(null);
      for (const [key, value] of pairs) {
        Object.defineProperty(made, key, { value, enumerable: true, configurable: true });
      }
      return made;
    }),
  })).table;
  fc.assert(
    fc.property(table, (value) => wellFormed(decodeConfig(value, OPTIONS), 0)),
    { numRuns: 500 },
  );
  assert.deepEqual(Object.keys(Object.prototype), []);
});

interface Key {
  readonly line: number;
  readonly start: number;
  readonly end: number;
  readonly name: string;
}

/** Every key of the full example that is the configuration's own: not the names of upstreams, not the options of plugins. */
function keysOf(text: string): Key[] {
  const keys: Key[] = [];
  let offset = 0;
  for (const [index, line] of text.split("\n").entries()) {
    const header = /^\[+([a-z_]+)/.exec(line);
    const code = line.split("#", 1)[0]!;
    const pairs = /^options/.test(code)
      ? code.matchAll(/^(options)/g)
      : code.matchAll(/([a-z_]+) = /g);
    for (const match of header ? [header] : pairs) {
      const start = offset + match.index + match[0].indexOf(match[1]!);
      keys.push({ line: index + 1, start, end: start + match[1]!.length, name: match[1]! });
    }
    offset += line.length + 1;
  }
  return keys;
}

test("R39: any one key of the full example, misspelt, is named with its line", () => {
  const keys = keysOf(FULL);
  assert.ok(keys.length > 60);
  fc.assert(
    fc.property(fc.constantFrom(...keys), fc.nat(), fc.boolean(), (key, at, doubled) => {
      const place = at % (key.name.length + 1);
      const wrong = doubled
        ? `${key.name.slice(0, place)}q${key.name.slice(place)}`
        : `${key.name}${key.name}`;
      const text = `${FULL.slice(0, key.start)}${wrong}${FULL.slice(key.end)}`;
      const result = parseSettings(text, OPTIONS);
      assert.ok(!result.ok, `${wrong} was taken`);
      const named = result.problems.filter((problem) =>
        problem.message.includes(`unknown key "${wrong}"`)
      );
      assert.ok(named.length > 0, result.problems.map(formatProblem).join("\n"));
      assert.equal(named[0]!.line, key.line);
      assert.equal(named[0]!.column, key.start - FULL.lastIndexOf("\n", key.start - 1));
    }),
    { numRuns: 300 },
  );
});

test("any one line of the full example left out gives settings or problems", () => {
  const lines = FULL.split("\n");
  for (const index of lines.keys()) {
    wellFormed(parseSettings(lines.toSpliced(index, 1).join("\n"), OPTIONS), lines.length);
  }
});

test("durations and sizes: what is written comes back", () => {
  fc.assert(fc.property(fc.nat(86_400), fc.nat(999), (seconds, ms) => {
    assert.equal(duration(`${seconds}s${ms}ms`), seconds * 1000 + ms);
    assert.equal(size(`${seconds}KiB`), seconds * 1024);
    assert.equal(size(seconds), seconds);
  }));
  fc.assert(fc.property(fc.string(), (text) => {
    for (const value of [duration(text), size(text)]) {
      assert.ok(value === undefined || (Number.isSafeInteger(value) && value >= 0));
    }
  }));
});
