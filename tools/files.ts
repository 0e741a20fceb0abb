/**
 * The project's own files, by folder.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const ROOT: string = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "");

const SKIPPED: ReadonlySet<string> = new Set(["node_modules", "dist", "coverage"]);

/** Every file under the given files and folders, as sorted paths from the project's folder with `/`. */
export function filesUnder(...places: readonly string[]): string[] {
  const found: string[] = [];
  const visit = (place: string) => {
    const stat = fs.statSync(path.join(ROOT, place), { throwIfNoEntry: false });
    if (stat?.isFile()) found.push(place);
    if (!stat?.isDirectory()) return;
    for (const entry of fs.readdirSync(path.join(ROOT, place))) {
      if (!SKIPPED.has(entry) && !entry.startsWith(".")) visit(`${place}/${entry}`);
    }
  };
  places.forEach(visit);
  return found.sort();
}

/** The text of a file of the project. */
export function textOf(file: string): string {
  return fs.readFileSync(path.join(ROOT, file), "utf8");
}

/** The tests of the project: every file whose name ends in `_test.ts`. */
export function testFiles(): string[] {
  return filesUnder("tests", "plugins", "examples").filter((file) => file.endsWith("_test.ts"));
}
