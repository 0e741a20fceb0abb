/**
 * Deno reads `deno.json`, Bun and npm read `package.json`, and the type checker of Bun's users reads `tsconfig.json`:
 * the three must say the same.
 * @module
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { VERSION } from "../src/version.ts";
import { filesUnder, ROOT, textOf } from "../tools/files.ts";
import { scan } from "../tools/imports.ts";
import { BUN_VERSION } from "../tools/runtimes.ts";

type Table = Readonly<Record<string, string>>;

const deno = JSON.parse(textOf("deno.json")) as {
  version: string;
  name: string;
  license: string;
  exports: Table;
  imports: Table;
  tasks: Table;
};
const npm = JSON.parse(textOf("package.json")) as {
  version: string;
  name: string;
  license: string;
  exports: Table;
  dependencies: Table;
  devDependencies: Table;
  scripts?: Table;
};
const tsconfig = JSON.parse(textOf("tsconfig.json")) as {
  compilerOptions: { paths: Readonly<Record<string, readonly string[]>> };
};

/** Only the type checker reads these; no code imports them. */
const isTool = (name: string) => name === "typescript" || name.startsWith("@types/");

/** `npm:@scope/name@1.2.3/path` in its parts. */
function npmSpecifier(text: string): { name: string; version: string; path: string } | undefined {
  const found = /^npm:((?:@[^/@]+\/)?[^/@]+)@([^/]+)(?:\/(.+))?$/.exec(text);
  return found === null ? undefined : { name: found[1]!, version: found[2]!, path: found[3] ?? "" };
}

const denoPackages: Record<string, string> = Object.fromEntries(
  Object.values(deno.imports).flatMap((target) => {
    const found = npmSpecifier(target);
    return found === undefined ? [] : [[found.name, found.version]];
  }),
);
const npmPackages: Table = { ...npm.devDependencies, ...npm.dependencies };

test("name, version, licence and exports are the same for Deno and npm", () => {
  for (const key of ["name", "version", "license", "exports"] as const) {
    assert.deepEqual(npm[key], deno[key], `"${key}" of package.json and deno.json`);
  }
  assert.equal(VERSION, deno.version, "src/version.ts and deno.json");
});

test("every dependency has the same version for Deno and npm", () => {
  const imported = Object.fromEntries(
    Object.entries(npmPackages).filter(([name]) => !isTool(name)),
  );
  assert.deepEqual(denoPackages, imported);
});

test("no package is a dependency twice", () => {
  const both = Object.keys(npm.dependencies).filter((name) =>
    Object.hasOwn(npm.devDependencies, name)
  );
  assert.deepEqual(both, []);
});

test("every version is exact", () => {
  for (const [name, version] of Object.entries({ ...denoPackages, ...npmPackages })) {
    assert.match(version, /^\d+\.\d+\.\d+(?:-[\w.]+)?$/, `${name} has the version ${version}`);
  }
});

test("names that no package has are mapped alike for Deno and for Bun", () => {
  const expected: Record<string, readonly string[]> = {};
  for (const [name, target] of Object.entries(deno.imports)) {
    if (target.startsWith("./")) expected[name] = [target];
    const found = npmSpecifier(target);
    if (found !== undefined && found.name !== name) {
      expected[name] = [`./node_modules/${found.name}/${found.path}`];
    }
  }
  assert.deepEqual(tsconfig.compilerOptions.paths, expected);
});

test("what the product imports is no devDependency", () => {
  const files = filesUnder("src", "plugins", "mod.ts")
    .filter((file) => /\.tsx?$/.test(file) && !file.endsWith("_test.ts"));
  const problems: string[] = [];
  for (const file of files) {
    for (const { specifier, line, kind } of scan(textOf(file)).imports) {
      const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? "";
      if (kind !== "type" && Object.hasOwn(npm.devDependencies, name)) {
        problems.push(`${file}:${line} imports ${specifier}`);
      }
    }
  }
  assert.deepEqual(problems, []);
});

test("deno task and bun run have the same names", () => {
  assert.deepEqual(Object.keys(npm.scripts ?? {}).toSorted(), Object.keys(deno.tasks).toSorted());
});

test("the version of Bun that the tools fetch is the one of its types", () => {
  assert.equal(BUN_VERSION, npm.devDependencies["@types/bun"]);
});

test("no file names a package registry or a folder of somebody's machine", () => {
  // A lock file with addresses holds whatever mirror its writer happened to use.
  const forbidden = [
    /\bregistry\.[a-z0-9-]+\.[a-z]{2,}/i,
    /\bnpm\.[a-z0-9-]+\.(?:io|com|org|net)\b/i,
    /(?<![\w.])\/(?:home|Users)\/[a-z]\w+\//,
    /(?<![\w.])\/work\/\w+\//,
  ];
  const problems: string[] = [];
  for (const file of trackedFiles()) {
    const text = textOf(file);
    if (text.includes("\0")) continue;
    for (const [index, line] of text.split("\n").entries()) {
      const found = forbidden.map((pattern) => pattern.exec(line)?.[0]).find((hit) => hit);
      if (found !== undefined) problems.push(`${file}:${index + 1} holds ${found}`);
    }
  }
  assert.deepEqual(problems, []);
  for (const lock of ["deno.lock", "bun.lock"]) {
    assert.doesNotMatch(textOf(lock), /https?:\/\//, `${lock} holds an address`);
  }
});

/** What git would commit; without git, every file that is not hidden. */
function trackedFiles(): readonly string[] {
  try {
    const list = execFileSync(
      "git",
      ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
      { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
    );
    const known = new Set(filesUnder("."));
    return list.split("\0").filter((file) => known.has(`./${file}`) || file.startsWith(".ci/"));
  } catch {
    return filesUnder(".");
  }
}
