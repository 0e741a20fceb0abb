/**
 * Who may import whom: the table of the architecture as data, and the walk over every import that keeps it true.
 *
 * To allow something new, change the table here and `docs/architecture.md` in the same commit.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as path from "node:path";
import { filesUnder, textOf } from "../tools/files.ts";
import { type Import, scan } from "../tools/imports.ts";

interface Room {
  /** Rooms whose files it may import. Its own are always allowed. */
  readonly rooms: readonly string[];
  /** Rooms of which it may import types only. */
  readonly types?: readonly string[];
  /** npm packages; `effect` means its deep modules. `*`: any. */
  readonly packages: readonly string[];
  /** Modules of the runtimes, without `node:`. `*`: any. */
  readonly node: readonly string[];
  /** May use `Deno`, `Bun`, `process` and `Buffer`. */
  readonly globals: boolean;
  /** May set timers itself; the rooms that must not get time from their caller. */
  readonly timers: boolean;
}

const FLOOR_1 = ["wire", "session", "plugin", "settings", "transport"];
const FLOORS_0_TO_2 = [
  ...FLOOR_1,
  "dns",
  "state",
  "pipeline",
  "upstream",
  "spool",
  "telemetry",
];
const PURE = { packages: [], node: [], globals: false, timers: false };
const EFFECT = { packages: ["effect"], node: [], globals: false, timers: true };
const ANYTHING = { rooms: ["*"], packages: ["*"], node: ["*"], globals: true, timers: true };

/** By folder of `src`; `plugin/effect`, a file and its folder, has a row of its own. */
const ROOMS: ReadonlyMap<string, Room> = new Map<string, Room>([
  ["wire", { ...PURE, rooms: [] }],
  ["session", { ...PURE, rooms: ["wire"] }],
  ["transport", { ...PURE, rooms: ["wire"] }],
  ["plugin", { ...PURE, rooms: [], types: ["wire", "transport"] }],
  ["plugin/effect", { ...EFFECT, rooms: ["plugin", "wire"], types: ["transport"] }],
  ["settings", {
    ...PURE,
    rooms: ["wire"],
    types: ["plugin"],
    packages: ["valibot", "@valibot/to-json-schema", "smol-toml", "toml-eslint-parser"],
  }],
  ["telemetry", { ...EFFECT, rooms: [] }],
  ["state", { ...EFFECT, rooms: ["telemetry"], node: ["sqlite"] }],
  ["dns", {
    ...EFFECT,
    rooms: ["telemetry", "wire"],
    types: ["plugin"],
    packages: ["effect", "dns-packet"],
    node: ["dgram", "net", "buffer"],
  }],
  ["pipeline", { ...EFFECT, rooms: [...FLOOR_1, "state", "dns", "telemetry"] }],
  ["upstream", { ...EFFECT, rooms: [...FLOOR_1, "dns", "telemetry"] }],
  ["spool", {
    ...EFFECT,
    rooms: [...FLOOR_1, "dns", "telemetry", "upstream"],
    node: ["sqlite", "fs", "path"],
  }],
  // Both ends of the line to a worker; what makes workers it is given.
  ["isolation", { ...PURE, rooms: ["wire", "plugin", "pipeline"], types: ["settings"] }],
  ["server", { ...EFFECT, rooms: FLOORS_0_TO_2 }],
  ["control", {
    ...EFFECT,
    rooms: ["settings", "telemetry"],
    types: ["server", "upstream", "spool", "pipeline"],
    packages: ["effect", "hono", "valibot"],
  }],
  ["runtime", {
    rooms: ["transport"],
    packages: ["effect", "selfsigned"],
    node: ["*"],
    globals: true,
    timers: true,
  }],
  ["testing", { ...EFFECT, rooms: [...FLOORS_0_TO_2, "server"] }],
  ["std", { ...PURE, rooms: [], node: ["process"], timers: true }],
  ["cli", ANYTHING],
  // The assembly in parts, for those who need only some of them.
  ["assembly", ANYTHING],
  // Files of `src` itself, and the library's front door: where everything is joined.
  ["main", ANYTHING],
  ["plugins", { ...EFFECT, rooms: ["plugin", "plugin/effect"], packages: ["effect", "valibot"] }],
]);

/** What single files may have beyond their room. Each says why. */
const EXCEPTIONS: ReadonlyMap<
  string,
  {
    readonly node?: readonly string[];
    readonly packages?: readonly string[];
    readonly rooms?: readonly string[];
    readonly why: string;
  }
> = new Map([
  ["src/pipeline/passwords.ts", {
    node: ["crypto"],
    packages: ["hash-wasm", "bcryptjs"],
    why: "hashes and compares in constant time",
  }],
  ["src/pipeline/scram.ts", {
    node: ["crypto"],
    packages: ["@mongodb-js/saslprep"],
    why: "derives keys and compares in constant time",
  }],
  ["plugins/auth-oauth/*.ts", {
    packages: ["jose"],
    why: "checks the signatures of tokens",
  }],
  ["src/upstream/maildir*.ts", {
    node: ["fs", "path", "crypto", "process"],
    why: "the mailbox is a folder, and its file names hold the process id and chance",
  }],
  ["src/testing/golden.ts", {
    node: ["fs", "path", "process", "url"],
    why: "dialogues are files, and UPDATE_GOLDEN says whether they are written",
  }],
  ["src/testing/plugin_tests.ts", {
    node: ["fs", "path", "url"],
    why: "finds the files of a plugin, for the runners of both runtimes",
  }],
  ["plugins/auth-ldap/*.ts", {
    node: ["buffer"],
    packages: ["ldapts"],
    why: "an engine's own client library, over a connection of the public door",
  }],
  ["src/settings/*.ts", { node: ["path"], why: "relative paths are relative to the file" }],
]);

/** Names of the runtimes. `process` and `Buffer` count only where something is taken from them. */
const GLOBALS: ReadonlySet<string> = new Set(["Deno", "Bun", "process", "Buffer"]);
const TIMERS: ReadonlySet<string> = new Set(["setTimeout", "setInterval", "setImmediate"]);

/** Bare names that stand for files of this project. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["@postern/postern", "mod.ts"],
  ["@postern/postern/plugin", "src/plugin/mod.ts"],
  ["@postern/postern/plugin/effect", "src/plugin/effect.ts"],
  ["@postern/postern/wire", "src/wire/mod.ts"],
  ["@postern/postern/testing", "src/testing/mod.ts"],
  ["@std/cli/unstable-spinner", "src/std/spinner.ts"],
]);

/** What tests inside `plugins` may have beyond the plugin beside them. */
const PLUGIN_TESTS: Room = {
  ...EFFECT,
  rooms: ["plugin", "plugin/effect", "testing"],
  packages: ["effect", "valibot", "fast-check"],
  node: ["*"],
};

function roomOf(file: string): string {
  if (/^src\/plugin\/effect[./]/.test(file)) return "plugin/effect";
  if (file.startsWith("plugins/")) return "plugins";
  const parts = file.split("/");
  return parts[0] === "src" && parts.length > 2 ? parts[1]! : "main";
}

function rulesOf(file: string): Room | undefined {
  const room = file.startsWith("plugins/") && file.endsWith("_test.ts")
    ? PLUGIN_TESTS
    : ROOMS.get(roomOf(file));
  if (room === undefined) return undefined;
  let rules = room;
  for (const [pattern, extra] of EXCEPTIONS) {
    if (!matches(pattern, file)) continue;
    rules = {
      ...rules,
      node: [...rules.node, ...extra.node ?? []],
      packages: [...rules.packages, ...extra.packages ?? []],
      rooms: [...rules.rooms, ...extra.rooms ?? []],
    };
  }
  return rules;
}

function matches(pattern: string, file: string): boolean {
  const [start = "", end] = pattern.split("*");
  if (end === undefined) return file === pattern;
  return file.startsWith(start) && file.endsWith(end) &&
    !file.slice(start.length, file.length - end.length).includes("/");
}

/** The file an import leads to; undefined for packages and modules of the runtime. */
function targetOf(file: string, specifier: string): string | undefined {
  const alias = ALIASES.get(specifier);
  if (alias !== undefined) return alias;
  return specifier.startsWith(".")
    ? path.posix.join(path.posix.dirname(file), specifier)
    : undefined;
}

function packageOf(specifier: string): string {
  const parts = specifier.replace(/^npm:/, "").split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

const may = (list: readonly string[], name: string): boolean =>
  list.includes("*") || list.includes(name);

const listed = (names: readonly string[]): string =>
  names.length === 0 ? "nothing" : [...new Set(names)].toSorted().join(", ");

/** What is wrong with one import, in words that say what to do; undefined when it is right. */
function problemOf(file: string, { specifier, kind }: Import): string | undefined {
  const room = roomOf(file);
  const rules = rulesOf(file);
  if (rules === undefined) {
    return `is in the room "${room}", which the table of tests/rooms_test.ts does not know; add a row for it`;
  }
  if (specifier === "effect") {
    return 'imports the barrel "effect", which costs 80 ms of every start; import the module, such as "effect/Effect"';
  }
  if (/^(?:https?|jsr|npm):/.test(specifier)) {
    return `imports "${specifier}" by address; give it a name in deno.json and package.json`;
  }
  if (specifier.startsWith("@std/cli/")) {
    return file === "src/cli/args.ts" || room === "std"
      ? undefined
      : `imports "${specifier}"; src/cli/args.ts is the only door to @std/cli`;
  }
  const target = targetOf(file, specifier);
  if (target !== undefined) return problemOfFile(file, target, kind, rules);
  if (/^(?:node|bun):/.test(specifier)) {
    const name = specifier.replace(/^(?:node|bun):/, "");
    return may(rules.node, name) || may(rules.node, name.split("/")[0]!)
      ? undefined
      : `imports "${specifier}"; ${room} may import of the runtime: ${
        listed(rules.node)
      }. Let src/runtime do it and take what it gives as an argument`;
  }
  const name = packageOf(specifier);
  return may(rules.packages, name)
    ? undefined
    : `imports the package "${specifier}"; ${room} may import: ${listed(rules.packages)}`;
}

function problemOfFile(
  file: string,
  target: string,
  kind: Import["kind"],
  rules: Room,
): string | undefined {
  const room = roomOf(file);
  const other = roomOf(target);
  const isTest = file.endsWith("_test.ts");
  if (room === "plugins" && target.startsWith("tests/support/") && isTest) return undefined;
  // The list of the bundled plugins.
  if (file === "plugins/mod.ts" && other === "plugins") return undefined;
  if (room === "plugins" && other === "plugins") {
    const folder = target.split("/")[1]!;
    return [file.split("/")[1], "shared"].includes(folder)
      ? undefined
      : `imports ${target}; a plugin imports nothing of another plugin, but may share plugins/shared`;
  }
  if (room === "plugins" && other !== room && !DOORS.has(target)) {
    return `imports ${target}; plugins use the public doors only: ${listed([...DOORS])}`;
  }
  if (other === room || may(rules.rooms, other)) return undefined;
  if (may(rules.types ?? [], other)) {
    return kind === "type"
      ? undefined
      : `imports values of ${target}; ${room} may import types only of ${other}: write "import type"`;
  }
  const types = rules.types === undefined ? "" : `, and types of: ${listed(rules.types)}`;
  return `imports ${target}; ${room} may import the rooms: ${
    listed(rules.rooms)
  }${types}. Move what both need down, or take it as an argument`;
}

const DOORS: ReadonlySet<string> = new Set([
  "src/plugin/mod.ts",
  "src/plugin/effect.ts",
  "src/testing/mod.ts",
]);

const FILES = filesUnder("src", "plugins", "mod.ts").filter((file) => /\.tsx?$/.test(file));
const SCANS = new Map(FILES.map((file) => [file, scan(textOf(file))]));

function report(problems: readonly string[]): void {
  assert.equal(problems.length, 0, `\n${problems.join("\n")}\n`);
}

test("every import obeys the table of rooms", () => {
  const problems: string[] = [];
  for (const [file, { imports }] of SCANS) {
    for (const each of imports) {
      const problem = problemOf(file, each);
      if (problem !== undefined) problems.push(`${file}:${each.line} ${problem}`);
    }
  }
  report(problems);
});

test("only the rooms that may name the runtime's globals do", () => {
  const problems: string[] = [];
  for (const [file, { uses, imports }] of SCANS) {
    const rules = rulesOf(file);
    if (rules === undefined || file.endsWith("_test.ts")) continue;
    const imported = new Set(imports.map((each) => each.specifier));
    for (const { name, line } of uses) {
      if (!rules.globals && GLOBALS.has(name) && !imported.has(`node:${name.toLowerCase()}`)) {
        problems.push(
          `${file}:${line} names ${name}; only src/runtime and src/cli know the runtime`,
        );
      }
      if (!rules.timers && TIMERS.has(name)) {
        problems.push(
          `${file}:${line} names ${name}; ${
            roomOf(file)
          } sets no timers: take a clock as an argument`,
        );
      }
    }
  }
  report(problems);
});

test("every imported file is there, by its exact name", () => {
  const known = new Set(
    filesUnder("src", "plugins", "tests/support", "types", "mod.ts", "deno.json"),
  );
  const problems: string[] = [];
  for (const [file, { imports }] of SCANS) {
    for (const { specifier, line } of imports) {
      const target = targetOf(file, specifier);
      if (target !== undefined && !known.has(target)) {
        problems.push(`${file}:${line} imports ${target}, which does not exist`);
      }
    }
  }
  report(problems);
});

test("no two files import each other, straight or round about", () => {
  report(cycles().map((cycle) => `${cycle.join(" -> ")}: cut the circle by moving what both need`));
});

/** One circle of imports for each first file that closes one. Types are gone when the program runs, and do not count. */
function cycles(): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string) => {
    const start = trail.indexOf(file);
    if (start !== -1) {
      found.push([...trail.slice(start), file]);
      return;
    }
    if (done.has(file)) return;
    trail.push(file);
    for (const { specifier, kind } of SCANS.get(file)?.imports ?? []) {
      const target = targetOf(file, specifier);
      if (target !== undefined && kind !== "type") visit(target);
    }
    trail.pop();
    done.add(file);
  };
  FILES.forEach(visit);
  return found;
}

describe("the scanner", () => {
  const specifiers = (source: string) => scan(source).imports.map((each) => each.specifier);

  test("finds every form of import", () => {
    assert.deepEqual(
      scan(
        [
          'import a from "1";',
          'import type { B } from "2";',
          'import {\n  type C,\n  d as e,\n} from "3";',
          'export * from "4";',
          'export type * as f from "5";',
          'import "6";',
          'const g = await import("7");',
          'import type from "8";',
        ].join("\n"),
      ).imports,
      [
        { specifier: "1", line: 1, kind: "static" },
        { specifier: "2", line: 2, kind: "type" },
        { specifier: "3", line: 3, kind: "static" },
        { specifier: "4", line: 7, kind: "static" },
        { specifier: "5", line: 8, kind: "type" },
        { specifier: "6", line: 9, kind: "static" },
        { specifier: "7", line: 10, kind: "dynamic" },
        { specifier: "8", line: 11, kind: "static" },
      ],
    );
  });

  test("is not deceived by comments, strings, templates and regular expressions", () => {
    assert.deepEqual(specifiers('// import a from "no"\n/* import b from "no" */'), []);
    assert.deepEqual(specifiers("const a = 'import b from \"no\"';"), []);
    assert.deepEqual(
      specifiers('const a = `import b from "no" ${`${1}`} import c from "no"`;'),
      [],
    );
    assert.deepEqual(specifiers('const a = `${await import("yes")}`;'), ["yes"]);
    assert.deepEqual(specifiers('const a = /[/"]\'/; import b from "yes";'), ["yes"]);
    assert.deepEqual(specifiers('export const a = { from: "no" };'), []);
    assert.deepEqual(specifiers("const a = import.meta.url;"), []);
    assert.deepEqual(specifiers('const a = b / c; import d from "yes"; // /'), ["yes"]);
  });

  test("tells a global from a property of that name", () => {
    const uses = scan("Deno.exit(); a.Deno; a?.Deno; ({ Deno: 1 }); // Deno").uses;
    assert.deepEqual(uses.filter(({ name }) => name === "Deno"), [{ name: "Deno", line: 1 }]);
  });
});

describe("the table", () => {
  const check = (file: string, specifier: string, kind: Import["kind"] = "static") =>
    problemOf(file, { specifier, line: 1, kind });

  test("allows what the architecture allows", () => {
    assert.equal(check("src/session/server.ts", "../wire/reply.ts"), undefined);
    assert.equal(check("src/plugin/facts.ts", "../wire/path.ts", "type"), undefined);
    assert.equal(check("src/upstream/maildir_store.ts", "node:fs/promises"), undefined);
    assert.equal(check("src/runtime/node_net.ts", "node:tls"), undefined);
    assert.equal(check("src/server/driver.ts", "effect/Effect"), undefined);
    assert.equal(check("plugins/greylist/mod.ts", "@postern/postern/plugin"), undefined);
    assert.equal(check("plugins/greylist/mod.ts", "./state.ts"), undefined);
    assert.equal(check("plugins/greylist/mod.ts", "../shared/network.ts"), undefined);
    assert.equal(check("src/cli/args.ts", "@std/cli/parse-args"), undefined);
  });

  test("refuses what it refuses", () => {
    for (
      const [file, specifier] of [
        ["src/wire/reply.ts", "effect/Effect"],
        ["src/wire/reply.ts", "../session/server.ts"],
        ["src/session/server.ts", "node:buffer"],
        ["src/plugin/facts.ts", "../wire/path.ts"],
        ["src/pipeline/compile.ts", "../server/driver.ts"],
        ["src/pipeline/compile.ts", "node:fs"],
        ["src/server/driver.ts", "../runtime/node_net.ts"],
        ["src/server/driver.ts", "effect"],
        ["src/cli/serve.ts", "@std/cli/parse-args"],
        ["src/cli/serve.ts", "npm:valibot"],
        ["plugins/greylist/mod.ts", "../../src/wire/reply.ts"],
        ["plugins/greylist/mod.ts", "../../src/plugin/edge.ts"],
        ["plugins/greylist/mod.ts", "../rate-limit/mod.ts"],
        ["src/attic/old.ts", "../wire/reply.ts"],
      ] as const
    ) {
      assert.notEqual(check(file, specifier), undefined, `${file} may import ${specifier}`);
    }
  });
});
