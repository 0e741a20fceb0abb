/**
 * Runs Deno with the given words, fetching it where it is not installed: for the scripts of `package.json` whose work
 * only Deno does (formatting, linting).
 * @module
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { ROOT } from "./files.ts";
import { findDeno } from "./runtimes.ts";

const { program } = await findDeno();
const { status } = spawnSync(program, process.argv.slice(2), { cwd: ROOT, stdio: "inherit" });
process.exit(status ?? 1);
