/**
 * `postern plugin test PATH`: a plugin's dialogues and test functions, in this process, with nothing to install.
 * @module
 */
import { bundled } from "../../../plugins/mod.ts";
import { visible } from "../../settings/problem.ts";
import { DialogueFailed, type PluginTest, pluginTests } from "../../testing/mod.ts";
import { guarded } from "../../testing/waiting.ts";
import { CliError, EXIT } from "../errors.ts";
import type { CliIo, Run } from "../io.ts";
import { styles } from "../output.ts";
import type { pluginTestSpec } from "../specs.ts";
import { findPlugin, importFile, shownPath } from "./load.ts";

/** Milliseconds that one test may take. */
const LONGEST = 30_000;

export const run: Run<typeof pluginTestSpec> = async ({ flags, words }, io) => {
  const plugin = await findPlugin(words.path ?? ".", io.cwd);
  await importFile(plugin.module, io.cwd);
  if (plugin.tests !== undefined) await importFile(plugin.tests, io.cwd);
  const tests = await pluginTests(plugin.module, {
    plugins: Object.fromEntries(bundled),
    ...(flags.update ? { update: true } : {}),
  }).catch((cause: unknown) => {
    throw new CliError(`Cannot load the tests of ${plugin.shown}: ${messageOf(cause)}`);
  });
  if (tests.length === 0) {
    throw new CliError(
      `There is nothing to test: ${plugin.shown} has no .dialogue file and no tests.ts beside it`,
    );
  }
  const style = styles(io);
  io.stdout(`${style.bold(visible(plugin.shown))}\n`);
  let failed = 0;
  for (const test of tests) {
    const failure = await outcomeOf(test);
    if (failure === undefined) {
      io.stdout(`  ${style.green("ok  ")}  ${visible(test.name)}\n`);
      continue;
    }
    failed++;
    io.stdout(`  ${style.red("FAIL")}  ${visible(test.name)}\n`);
    io.stdout(describe(failure.cause, test, io));
  }
  const counts = `${tests.length - failed} passed, ${failed} failed`;
  io.stdout(`${failed === 0 ? style.green(counts) : style.red(counts)}\n`);
  return failed === 0 ? EXIT.done : EXIT.failed;
};

/** Undefined: it passed. */
async function outcomeOf(test: PluginTest): Promise<{ readonly cause: unknown } | undefined> {
  try {
    await guarded(test.run(), () => "the end of the test", LONGEST);
    return undefined;
  } catch (cause) {
    return { cause };
  }
}

function describe(cause: unknown, test: PluginTest, io: CliIo): string {
  const style = styles(io);
  if (cause instanceof DialogueFailed) {
    const { place, expected, got, why, client, upstream } = cause;
    const line = place.slice(place.lastIndexOf(":") + 1);
    return indented([
      `${shownPath(test.file, io.cwd)}:${line}`,
      `${style.green("expected")}  ${expected}`,
      `${style.red("got     ")}  ${got === undefined ? why : `${expected.slice(0, 2)} ${got}`}`,
      style.dim("client side:"),
      ...client.split("\n").map((said) => style.dim(`  ${said}`)),
      style.dim("upstream side:"),
      ...upstream.split("\n").map((said) => style.dim(`  ${said}`)),
    ]);
  }
  const place = cause instanceof Error ? placeOf(cause, test.file) : "";
  return indented([`${shownPath(test.file, io.cwd)}${place}`, ...messageOf(cause).split("\n")]);
}

/** `:12:5` where the test's own file stands in the stack. */
function placeOf(error: Error, file: string): string {
  const stack = error.stack ?? "";
  const at = stack.indexOf(`${file}:`);
  return at < 0 ? "" : /^:\d+(?::\d+)?/.exec(stack.slice(at + file.length))?.[0] ?? "";
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `        ${line}`.trimEnd() + "\n").join("");
}
