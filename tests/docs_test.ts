/**
 * The documents say what is so: their configurations are valid, their code type-checks, their links lead somewhere,
 * their commands exist, and what is generated in them is current.
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { parse } from "smol-toml";
import { bundled } from "../plugins/mod.ts";
import { commandHelp, programHelp } from "../src/cli/help.ts";
import { SPECS } from "../src/cli/specs.ts";
import { decodeConfig } from "../src/settings/parse.ts";
import { formatProblem } from "../src/settings/problem.ts";
import { filesUnder, ROOT, textOf } from "../tools/files.ts";
import { PAGE as THREATS, testsById, withTests } from "../tools/threats.ts";
import { fakeIo } from "./support/cli_io.ts";

const PAGES = filesUnder(".").map((file) => file.slice(2)).filter((file) => file.endsWith(".md"));

interface Block {
  readonly page: string;
  /** Of the fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let open: { line: number; language: string; lines: string[] } | undefined;
  for (const [index, line] of textOf(page).split("\n").entries()) {
    const fence = /^ *```(.*)$/.exec(line)?.[1];
    if (fence === undefined) open?.lines.push(line);
    else if (open === undefined) open = { line: index + 1, language: fence.trim(), lines: [] };
    else {
      blocks.push({ page, ...open, text: open.lines.join("\n") });
      open = undefined;
    }
  }
  assert.equal(open, undefined, `${page}: a fence is not closed`);
  return blocks;
}

const BLOCKS = PAGES.flatMap(blocksOf);

function report(problems: readonly string[]): void {
  assert.equal(problems.length, 0, `\n${problems.join("\n")}\n`);
}

const SOURCES = {
  file: "postern.toml",
  baseDir: ROOT,
  env: () => "from-the-environment",
  readFile: () => "from-a-file",
};

describe("configurations in the documents", () => {
  test("every toml block is valid; a part of a file is completed by the smallest rest", () => {
    const problems: string[] = [];
    const blocks = BLOCKS.filter(({ language }) => language === "toml");
    assert.ok(blocks.length > 5);
    for (const { page, line, text } of blocks) {
      const result = decodeConfig(completed(parse(text)), { ...SOURCES, file: `${page}:${line}` });
      if (!result.ok) problems.push(...result.problems.map(formatProblem));
    }
    report(problems);
  });

  test("the options of bundled plugins are valid", async () => {
    const problems: string[] = [];
    for (const { page, line, text } of BLOCKS.filter(({ language }) => language === "toml")) {
      const result = decodeConfig(completed(parse(text)), SOURCES);
      for (const { use, options } of result.ok ? result.settings.plugins : []) {
        const load = bundled.get(use);
        if (load === undefined) continue;
        const checked = await (await load()).options?.["~standard"].validate(options ?? {});
        for (const { message } of checked?.issues ?? []) {
          problems.push(`${page}:${line}: ${use}: ${message}`);
        }
      }
    }
    report(problems);
  });

  test("the examples are valid", () => {
    const problems: string[] = [];
    for (const file of filesUnder("examples").filter((name) => name.endsWith(".toml"))) {
      const result = decodeConfig(parse(textOf(file)), {
        file,
        baseDir: path.join(ROOT, "examples"),
        env: () => "from-the-environment",
        readFile: () => "from-a-file",
      });
      if (!result.ok) problems.push(...result.problems.map(formatProblem));
    }
    report(problems);
  });
});

/** What a block leaves out, in the smallest form, so that what it has can be judged. */
function completed(config: Readonly<Record<string, unknown>>): unknown {
  const routes = (config.routes ?? []) as readonly { readonly upstream?: string }[];
  const upstreams = Object.keys((config.upstreams ?? {}) as object);
  const names = routes.map(({ upstream }) => upstream ?? "");
  const listeners = new Set(
    [...routes, ...(config.plugins ?? []) as readonly unknown[]]
      .flatMap((each) => (each as { readonly listeners?: readonly string[] }).listeners ?? []),
  );
  const standIn = (name: string): [string, unknown] => [name, { servers: ["192.0.2.1:25"] }];
  return {
    hostname: "mx.example.org",
    listeners: listeners.size === 0
      ? [{ listen: "127.0.0.1:2525" }]
      : [...listeners].map((name, index) => ({ name, listen: `127.0.0.1:${2525 + index}` })),
    upstreams: Object.fromEntries((names.length === 0 ? ["mailbox"] : names).map(standIn)),
    routes: [{ to: ["example.org"], upstream: upstreams[0] ?? "mailbox" }],
    ...config,
  };
}

test("every ts block type-checks", { skip: process.versions.deno === undefined }, () => {
  const pages = [
    ...new Set(BLOCKS.filter(({ language }) => language === "ts").map(({ page }) => page)),
  ];
  const { status, stderr } = spawnSync(process.execPath, ["check", "--doc-only", ...pages], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  assert.equal(status, 0, stderr);
});

describe("links", () => {
  test("every relative link leads to a file, and to a heading of it", () => {
    const problems: string[] = [];
    for (const page of PAGES) {
      for (const target of linksOf(page)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file = "", anchor] = target.split("#");
        const place = file === "" ? page : path.posix.join(path.posix.dirname(page), file);
        if (!fs.existsSync(path.join(ROOT, place))) {
          problems.push(`${page}: ${target} does not exist`);
        } else if (anchor !== undefined && place.endsWith(".md") && !anchorsOf(place).has(anchor)) {
          problems.push(`${page}: ${target} has no such heading`);
        }
      }
    }
    report(problems);
  });
});

/** The text outside of fenced blocks. */
function prose(page: string): string {
  return textOf(page).replace(/^ *```.*\n[\s\S]*?^ *```$/gm, "");
}

function linksOf(page: string): string[] {
  return [...prose(page).matchAll(/\]\(([^()\s]+)\)/g)].map(([, target]) => target!);
}

/** As the well-known hosts make them: lower case, no signs, hyphens for spaces, numbers for what stands twice. */
function anchorsOf(page: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  const counts = new Map<string, number>();
  for (const [, heading] of prose(page).matchAll(/^#{1,6} +(.+)$/gm)) {
    const text = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const slug = text.toLowerCase().replace(/[^\p{L}\p{N}\p{Mn}_\- ]/gu, "").replaceAll(" ", "-");
    const count = counts.get(slug) ?? 0;
    counts.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

describe("commands", () => {
  const names = new Set(SPECS.map(({ name }) => name));
  const groups = new Set([...names].filter((name) => name.includes(" ")).map(firstWord));

  test("every command that is mentioned exists", () => {
    const problems: string[] = [];
    const look = (where: string, text: string): void => {
      // Behind a path or a sentence "postern" is no command; in code it is, with its word right behind it.
      const calls = text.matchAll(
        /(?:^|[`\s"'|(])(?:postern|(?:task|run) postern|main\.ts) ([a-z]+)(?: ([a-z]+)\b)?/g,
      );
      for (const [, first = "", second = ""] of calls) {
        if (first === "ready" || names.has(first)) continue;
        if (groups.has(first) && (second === "" || names.has(`${first} ${second}`))) continue;
        problems.push(`${where}: there is no command "${first} ${second}"`);
      }
    };
    for (const page of PAGES) {
      for (const [span] of prose(page).matchAll(/`[^`\n]+`/g)) look(page, span);
    }
    for (const { page, line, language, text } of BLOCKS) {
      if (["sh", "console", "ini", ""].includes(language)) look(`${page}:${line}`, text);
    }
    report(problems);
  });

  test("every task that is mentioned exists", () => {
    const { tasks } = JSON.parse(textOf("deno.json")) as { tasks: Record<string, string> };
    const problems: string[] = [];
    for (const page of PAGES) {
      for (
        const [call, name = ""] of textOf(page).matchAll(
          /\b(?:deno task|deno@2 task|bun run) ([a-z]+)/g,
        )
      ) {
        if (!Object.hasOwn(tasks, name)) problems.push(`${page}: ${call}`);
      }
    }
    report(problems);
  });

  test("docs/cli.md has the help of every command (UPDATE_GOLDEN=1 writes it)", () => {
    const page = "docs/cli.md";
    const text = textOf(page);
    const start = text.indexOf(START);
    const end = text.indexOf(END);
    assert.ok(start > 0 && end > start);
    const io = fakeIo();
    const parts = [
      `\`\`\`text\n${programHelp(io)}\`\`\``,
      ...SPECS.map((spec) => `### ${spec.name}\n\n\`\`\`text\n${commandHelp(io, spec)}\`\`\``),
    ];
    const fresh = `${text.slice(0, start + START.length)}\n${parts.join("\n\n")}\n\n${
      text.slice(end)
    }`;
    if (process.env.UPDATE_GOLDEN === "1") fs.writeFileSync(path.join(ROOT, page), fresh);
    assert.equal(textOf(page), fresh);
  });
});

const START = "<!-- deno-fmt-ignore-start -->\n";
const END = "<!-- deno-fmt-ignore-end -->";

function firstWord(text: string): string {
  return text.split(" ")[0]!;
}

describe("docs/threats.md", () => {
  test("its test column is current (UPDATE_GOLDEN=1 or tools/threats.ts writes it)", () => {
    const fresh = withTests(textOf(THREATS));
    if (process.env.UPDATE_GOLDEN === "1") fs.writeFileSync(path.join(ROOT, THREATS), fresh);
    const rows = new Set(textOf(THREATS).split("\n"));
    const stale = fresh.split("\n").filter((row) => !rows.has(row));
    report(stale.map((row) => `${/R\d+/.exec(row)?.[0]} is not current; run tools/threats.ts`));
  });

  test("it has every requirement once, in order, and names files that are there", () => {
    const rows = [...textOf(THREATS).matchAll(/^\| (R\d+) \| [^|]+ \| ([^|]+) \|/gm)];
    assert.deepEqual(
      rows.map(([, id]) => id),
      Array.from({ length: 40 }, (_, index) => `R${index + 1}`),
    );
    const problems: string[] = [];
    for (const [, id, where] of rows) {
      for (const [, file] of where!.matchAll(/`([^`]+)`/g)) {
        const there = [file!, `src/${file}`].some((place) => fs.existsSync(path.join(ROOT, place)));
        if (!there) problems.push(`${id}: ${file}`);
      }
    }
    report(problems);
  });

  test("no test names a requirement that is not in it", () => {
    const strange = [...testsById().keys()].filter((id) => {
      const number = Number(id.slice(1));
      return number < 1 || number > 40;
    });
    assert.deepEqual(strange, []);
  });
});

test("docs/architecture.md has a line for every room", () => {
  const page = textOf("docs/architecture.md");
  const rooms = new Set(
    filesUnder("src").map((file) => file.split("/")).filter((parts) => parts.length > 2)
      .map((parts) => `${parts[1]}/`),
  );
  assert.deepEqual([...rooms].filter((room) => !page.includes(`\n  ${room} `)), []);
});

test("files that are named in docs/flow.md are there", () => {
  const problems: string[] = [];
  for (const [, file] of textOf("docs/flow.md").matchAll(/`([a-z_]+\/[a-z_/]+\.ts)`/g)) {
    if (!fs.existsSync(path.join(ROOT, "src", file!))) problems.push(file!);
  }
  report(problems);
});

test("the least Deno permissions of SECURITY.md are those of its unit file", () => {
  const security = textOf("SECURITY.md").match(/--allow-[a-z]+/g) ?? [];
  const unit = textOf("docs/operations.md").match(/--allow-[a-z]+/g) ?? [];
  assert.ok(security.length > 0);
  assert.deepEqual([...new Set(unit)].sort(), [...new Set(security)].sort());
});
