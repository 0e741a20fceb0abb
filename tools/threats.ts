/**
 * `deno run -A tools/threats.ts`: writes the test column of `docs/threats.md` anew. A test belongs to a requirement when
 * its name, or that of its group, begins with the id: `test("R9: ...")`, `test("R9, R10: ...")`.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { ROOT, testFiles, textOf } from "./files.ts";

/** The page with the table. */
export const PAGE = "docs/threats.md";

/** Requirement to the files whose tests prove it, both in order. */
export function testsById(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>();
  for (const file of testFiles()) {
    for (const [, ids = ""] of textOf(file).matchAll(NAMED)) {
      for (const [id] of ids.matchAll(/R\d+/g)) {
        const files = found.get(id) ?? new Set();
        found.set(id, files.add(file));
      }
    }
  }
  return new Map([...found].map(([id, files]) => [id, [...files].sort()]));
}

/** The ids at the beginning of a name, in any kind of quotes. `R14 to R18` is a list of five, and nobody writes it. */
const NAMED = /["'`](R\d+(?:(?:, | and )R\d+)*):/g;

/** The page with its test column as the tests are now. */
export function withTests(page: string, tests = testsById()): string {
  return page.replace(/^(\| (R\d+) \|.*\| ).* \|$/gm, (_, row: string, id: string) => {
    const links = (tests.get(id) ?? []).map((file) => `[${shortName(file)}](../${file})`);
    return `${row}${links.length === 0 ? "none" : links.join(", ")} |`;
  });
}

function shortName(file: string): string {
  return path.posix.basename(file).replace(/_test\.ts$/, "");
}

if (import.meta.main) {
  const before = textOf(PAGE);
  const after = withTests(before);
  if (after !== before) fs.writeFileSync(path.join(ROOT, PAGE), after);
  process.stdout.write(after === before ? `${PAGE} is current\n` : `Wrote ${PAGE}\n`);
}
