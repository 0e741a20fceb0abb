/**
 * Paths of the file system.
 * @module
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** An absolute path: `path` as seen from `base`. */
export function resolvePath(base: string, path: string): string {
  return resolve(base, path);
}

/** The text of a file; throws the runtime's error. */
export function readTextSync(path: string): string {
  return readFileSync(path, "utf8");
}
