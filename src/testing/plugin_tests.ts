/**
 * The tests of a plugin as its folder has them: dialogue files, and a file of functions. `postern plugin test` runs the
 * same, and needs nothing installed.
 *
 * Owns: which files belong to a plugin. Never: reports; the runner that asked does.
 * @module
 */
import { readdir, stat } from "node:fs/promises";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import type { PluginExports } from "../plugin/module.ts";
import { testEdge } from "./edge.ts";
import { type DialogueOptions, pathOf, runDialogue } from "./golden.ts";
import { type RunOptions, runPlugin, type TestPlugin } from "./run_plugin.ts";
import { type TestServer, testServer, type TestServerOptions } from "./server.ts";

/** What test functions are given, so that their file needs to import types only. */
export interface PluginKit {
  /** Runs the plugin in the engine, stage by stage; see {@linkcode runPlugin}. */
  runPlugin(options?: RunOptions): Promise<TestPlugin>;
  /** Runs the plugin in a whole server in memory; see {@linkcode testServer}. */
  testServer(options?: TestServerOptions): Promise<TestServer>;
  /** An edge by itself, for functions of the plugin's own files. */
  readonly testEdge: typeof testEdge;
}

/**
 * The default export of a plugin's `tests.ts`: test functions by name. A test fails by throwing.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { PluginTests } from "@postern/postern/testing"; // erased at run time
 *
 * export default ((kit) => ({
 *   "has no opinion on others": async () => {
 *     const plugin = await kit.runPlugin({ options: { domains: ["spam.test"] } });
 *     await plugin.mail("a@example.org");
 *     assert.equal((await plugin.rcpt("b@example.org")).verdict.verdict, "pass");
 *   },
 * })) satisfies PluginTests;
 * ```
 */
export type PluginTests = (
  kit: PluginKit,
) => { readonly [name: string]: () => void | Promise<void> };

/** One test. */
export interface PluginTest {
  /** `rcpt.dialogue`, or a function's name. */
  readonly name: string;
  /** Absolute path of the file it is in. */
  readonly file: string;
  /** Rejects when it fails: with a {@linkcode DialogueFailed}, or with whatever the function threw. */
  readonly run: () => Promise<void>;
}

/** Files of a plugin, as absolute paths. */
export interface PluginFiles {
  /** The plugin. */
  readonly module: string;
  /** Its dialogues, sorted. */
  readonly dialogues: readonly string[];
  /** Its test functions, where there are any. */
  readonly tests: string | undefined;
}

/**
 * The tests of a plugin: its file, or the folder with its `mod.ts`. Rejects with what importing its files rejects with.
 *
 * @example
 * ```ts ignore
 * import { test } from "node:test";
 * import { pluginTests } from "@postern/postern/testing";
 *
 * for (const { name, run } of await pluginTests(new URL("./", import.meta.url))) test(name, run);
 * ```
 */
export async function pluginTests(
  place: URL | string,
  options: DialogueOptions = {},
): Promise<readonly PluginTest[]> {
  const { module, dialogues, tests } = await pluginFiles(place);
  const plugin = await load<PluginExports>(module);
  const found: PluginTest[] = dialogues.map((file) => ({
    name: path.basename(file),
    file,
    run: () => runDialogue(plugin, file, options),
  }));
  if (tests === undefined) return found;
  const { default: make } = await load<{ readonly default?: PluginTests }>(tests);
  if (typeof make !== "function") {
    throw new Error(`${path.basename(tests)} has no default export that is a function`);
  }
  const kit: PluginKit = {
    runPlugin: (given) => runPlugin(plugin, given),
    testServer: (given) => testServer(plugin, given),
    testEdge,
  };
  const functions = Object.entries(make(kit));
  return [
    ...found,
    ...functions.map(([name, run]) => ({ name, file: tests, run: async () => await run() })),
  ];
}

async function load<M>(file: string): Promise<M> {
  return await import(pathToFileURL(file).href) as M;
}

const MODULES = ["mod.ts", "mod.js", "mod.mjs"];

/** The files that belong to a plugin; rejects where there is none. */
export async function pluginFiles(place: URL | string): Promise<PluginFiles> {
  const given = path.resolve(pathOf(place));
  const isFolder = (await stat(given)).isDirectory();
  const folder = isFolder ? given : path.dirname(given);
  const names = (await readdir(folder)).sort();
  const module = isFolder ? MODULES.find((name) => names.includes(name)) : path.basename(given);
  if (module === undefined) throw new Error(`There is no mod.ts in ${given}`);
  const whole = MODULES.includes(module);
  const stem = comparable(module.replace(/\.[cm]?[jt]s$/, ""));
  const own = (name: string, ending: RegExp): boolean => {
    if (!ending.test(name)) return false;
    const rest = comparable(name.replace(ending, ""));
    return whole || rest === stem || rest.startsWith(`${stem}_`);
  };
  const tests = names.find((name) =>
    whole ? /^tests\.[jt]s$/.test(name) : own(name, /[._]tests\.[jt]s$/)
  );
  return {
    module: path.join(folder, module),
    dialogues: names.filter((name) => own(name, /\.dialogue$/))
      .map((name) => path.join(folder, name)),
    tests: tests === undefined ? undefined : path.join(folder, tests),
  };
}

/** `block-domains` and `block_domains` are one name. */
function comparable(name: string): string {
  return name.replaceAll("-", "_").replaceAll(".", "_");
}
