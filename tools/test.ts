/**
 * `deno task test [--deno] [--bun] [FILTER...]`: the tests on both runtimes, or on one, and of the files whose names
 * hold one of the filters. The last line is `N passed, N failed`, both runtimes together.
 * @module
 */
import process from "node:process";
import { runSuite, summary } from "./suite.ts";

const args = process.argv.slice(2);
const chosen = (["Deno", "Bun"] as const).filter((name) =>
  args.includes(`--${name.toLowerCase()}`)
);
const filters = args.filter((arg) => !arg.startsWith("-"));
const result = await runSuite({ filters, on: chosen.length === 0 ? ["Deno", "Bun"] : chosen });
console.log(summary(result));
process.exit(result.failed === 0 ? 0 : 1);
