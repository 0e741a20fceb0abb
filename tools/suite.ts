/**
 * Runs the tests on Deno and on Bun and adds up what they report.
 * @module
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import process from "node:process";
import { stripVTControlCharacters } from "node:util";
import { ROOT, testFiles } from "./files.ts";
import { tally } from "./junit.ts";
import { run, seconds } from "./process.ts";
import { findBun, findDeno, type Runtime } from "./runtimes.ts";

/** The result of both runtimes. */
export interface SuiteResult {
  readonly passed: number;
  readonly skipped: number;
  readonly failed: number;
}

/** What to run. */
export interface SuiteOptions {
  /** Parts of file names; none: every file. */
  readonly filters: readonly string[];
  readonly on: readonly Runtime["name"][];
}

/** Longest a single test may take on Bun, whose own limit of 5 s is short for a machine under load. */
const TEST_TIMEOUT_MS = 60_000;
/** How often a run that has nobody to draw for says that it is alive. */
const HEARTBEAT_MS = 30_000;
/** Lines shown of a run that ended without saying which test failed. */
const TAIL_LINES = 80;

/** Runs the tests on each runtime in turn, telling on standard output. */
export async function runSuite({ filters, on }: SuiteOptions): Promise<SuiteResult> {
  const files = testFiles().filter((file) =>
    filters.length === 0 || filters.some((filter) => file.includes(filter))
  );
  if (files.length === 0) {
    console.log(
      filters.length === 0
        ? "There are no tests"
        : `No test file has ${filters.join(", ")} in its name`,
    );
    return { passed: 0, skipped: 0, failed: 1 };
  }
  const total = { passed: 0, skipped: 0, failed: 0 };
  const failures: string[] = [];
  for (const name of on) {
    const result = await runOn(name, files);
    total.passed += result.passed;
    total.skipped += result.skipped;
    total.failed += result.failed.length;
    failures.push(...result.failed.map((test) => `${name}: ${test}`));
  }
  if (failures.length > 0) {
    console.log(`\nFailed:\n${failures.map((line) => `  ${line}\n`).join("")}`);
  }
  return total;
}

/** The last line of every run: `N passed, N failed`. */
export function summary({ passed, skipped, failed }: SuiteResult): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

interface RuntimeResult {
  readonly passed: number;
  readonly skipped: number;
  readonly failed: readonly string[];
}

async function runOn(name: Runtime["name"], files: readonly string[]): Promise<RuntimeResult> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "postern-tests-"));
  try {
    const runtime = name === "Deno" ? await findDeno() : await findBun();
    if (name === "Bun") await installForBun(runtime);
    return await runFiles(runtime, files, path.join(folder, "report.xml"));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.log(`${name}: ${message}`);
    return { passed: 0, skipped: 0, failed: [message] };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function runFiles(
  { name, program, version }: Runtime,
  files: readonly string[],
  report: string,
): Promise<RuntimeResult> {
  const args = name === "Deno"
    ? ["test", "-A", "--no-check", "--parallel", "--reporter=dot", `--junit-path=${report}`]
    : [
      "test",
      "--parallel",
      "--only-failures",
      `--timeout=${TEST_TIMEOUT_MS}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
    ];
  const started = performance.now();
  const label = `${name} ${version}`;
  const alive = showLife(label, started);
  const { code, output } = await run(program, [...args, ...files.map((file) => `./${file}`)]);
  alive();
  const counted = fs.existsSync(report)
    ? tally(fs.readFileSync(report, "utf8"))
    : { passed: 0, skipped: 0, failed: [] };
  const failed = [...counted.failed];
  if (code !== 0) {
    // Files that could not be loaded are not in the report.
    const errors = Number(/^ *(\d+) errors?$/m.exec(stripVTControlCharacters(output))?.[1] ?? 0);
    for (let index = 0; index < errors; index++) {
      failed.push("a test file could not be run (see above)");
    }
    if (failed.length === 0) failed.push(`the run ended with exit code ${code}`);
    console.log(failureText(stripVTControlCharacters(output)));
  }
  const result = { ...counted, failed };
  console.log(`${label}: ${summary({ ...result, failed: failed.length })} (${seconds(started)})`);
  return result;
}

/** Says that the tests are running; the function it gives ends that. */
function showLife(label: string, started: number): () => void {
  const terminal = process.stdout.isTTY === true;
  const tell = () => {
    if (terminal) process.stdout.write(`\r${label}: running (${seconds(started)})`);
    else console.log(`${label}: running (${seconds(started)})`);
  };
  if (terminal) tell();
  const timer = setInterval(tell, terminal ? 1000 : HEARTBEAT_MS);
  return () => {
    clearInterval(timer);
    if (terminal) process.stdout.write("\r\x1b[K");
  };
}

/** The part of a run's output that tells of failures. */
function failureText(output: string): string {
  const deno = output.indexOf("\n ERRORS ");
  if (deno !== -1) return output.slice(deno);
  const lines = output.split("\n");
  const start = lines.findIndex((line) => /\(fail\)|^error\b|# Unhandled error/.test(line));
  return lines.slice(start === -1 ? -TAIL_LINES : Math.max(0, start - TAIL_LINES)).join("\n");
}

/** Bun reads packages from `node_modules`, Deno from its own cache. */
async function installForBun({ program }: Runtime): Promise<void> {
  const modules = path.join(ROOT, "node_modules");
  const installed = fs.statSync(modules, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const locked = fs.statSync(path.join(ROOT, "bun.lock")).mtimeMs;
  if (installed >= locked) return;
  console.log("Installing packages for Bun");
  const { code, output } = await run(program, ["install", "--frozen-lockfile"]);
  if (code !== 0) throw new Error(`bun install failed\n${output}`);
  // An install that had nothing to add leaves the folder's time as it was.
  const now = new Date();
  fs.utimesSync(modules, now, now);
}
