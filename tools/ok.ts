/**
 * `deno task ok`: the one gate. The cheap steps all run, so that one go shows everything they find; the tests, the
 * examples and the bench smoke follow only where those passed. The last line is `N passed, N failed`: the tests of both
 * runtimes, and a failure for each other step that failed.
 *
 * An example is a file of `examples/` (not of its folders): it must end by itself, with exit code 0, under
 * `POSTERN_EXAMPLE=once`. The bench smoke is `tests/bench/smoke.ts`.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { filesUnder, ROOT } from "./files.ts";
import { type Ended, run, type RunOptions, seconds } from "./process.ts";
import { findBun, findDeno } from "./runtimes.ts";
import { runSuite, summary } from "./suite.ts";

const EXAMPLE_TIMEOUT_MS = 60_000;
const BENCH_TIMEOUT_MS = 120_000;

const deno = await findDeno();
const bun = await findBun();
const started = performance.now();
let failed = 0;

function there(...places: readonly string[]): string[] {
  return places.filter((place) => fs.existsSync(path.join(ROOT, place)));
}

async function step(name: string, work: () => Promise<Ended>): Promise<void> {
  const since = performance.now();
  const { code, output } = await work();
  console.log(`${code === 0 ? "ok    " : "FAILED"} ${name} (${seconds(since)})`);
  if (code === 0) return;
  failed++;
  console.log(output.trimEnd());
}

function denoStep(name: string, args: readonly string[]): Promise<void> {
  return step(name, () => run(deno.program, args, { env: { NO_COLOR: "1" } }));
}

async function onBoth(file: string, options: RunOptions): Promise<void> {
  await step(`${file} on Deno`, () => run(deno.program, ["run", "-A", file], options));
  await step(`${file} on Bun`, () => run(bun.program, [file], options));
}

const doors = there(
  "mod.ts",
  "src/plugin/mod.ts",
  "src/plugin/effect.ts",
  "src/wire/mod.ts",
  "src/testing/mod.ts",
);
await denoStep("fmt", ["fmt", "--check"]);
await denoStep("lint", ["lint"]);
await denoStep("doc", ["doc", "--lint", ...doors]);
await denoStep("check", [
  "check",
  ...there("mod.ts", "src", "plugins", "tests", "examples", "tools"),
]);

let result = { passed: 0, skipped: 0, failed: 0 };
if (failed > 0) {
  console.log("The tests are not run before these are mended");
} else {
  result = await runSuite({ filters: [], on: ["Deno", "Bun"] });
  const examples = filesUnder("examples").filter((file) => /^examples\/[^/_]+\.ts$/.test(file));
  for (const file of examples) {
    await onBoth(file, { env: { POSTERN_EXAMPLE: "once" }, timeout: EXAMPLE_TIMEOUT_MS });
  }
  for (const file of there("tests/bench/smoke.ts")) {
    await onBoth(file, { timeout: BENCH_TIMEOUT_MS });
  }
}
const total = { ...result, failed: result.failed + failed };
console.log(`Took ${seconds(started)}`);
console.log(summary(total));
process.exit(total.failed === 0 ? 0 : 1);
