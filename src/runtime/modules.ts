/**
 * Imports code that is not ours: plugin files beside the configuration, and packages; and files that have changed, once more.
 *
 * A runtime keeps every module it has imported, by its name. A changed file is another module under another name: its path
 * and `?v=` with the content's hash, so that going back to an old content is no third one. What the file itself imports keeps
 * its name, and so stays as it was.
 * @module
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { expectFile, isModuleFault, moduleFault } from "./module_fault.ts";
import { resolvePath } from "./paths.ts";

/** The path of `./file.ts` as seen from `base`, or of an absolute path; undefined for a package. */
export function modulePath(use: string, base: string): string | undefined {
  return use.startsWith(".") || use.startsWith("/") ? resolvePath(base, use) : undefined;
}

/** Imports an address. Rejects with one line that says where, or with what the module itself has thrown. */
export async function importUrl(url: string): Promise<unknown> {
  try {
    return await import(url);
  } catch (cause) {
    throw isModuleFault(cause) ? moduleFault(cause) : cause;
  }
}

/**
 * Imports `./file.ts` as seen from `base`, an absolute path, or a package by its name. `hash`: of a content that came later.
 * Rejects as `importUrl` does.
 */
export async function importModule(use: string, base: string, hash?: string): Promise<unknown> {
  const path = modulePath(use, base);
  if (path !== undefined) expectFile(path);
  return await importUrl(nameOf(use, path, hash));
}

function nameOf(use: string, path: string | undefined, hash: string | undefined): string {
  if (path === undefined) return use;
  if (hash === undefined) return pathToFileURL(path).href;
  // Bun takes a file's address with a query for the file without it, and a path with a query for what it says.
  const name = process.versions.bun === undefined ? pathToFileURL(path).href : path;
  return `${name}?v=${hash}`;
}

/** The address of an absolute path. */
export function moduleUrl(path: string): string {
  return pathToFileURL(path).href;
}

/** A hash of a file's content; undefined where it cannot be read. */
export async function contentHash(path: string): Promise<string | undefined> {
  try {
    return createHash("sha256").update(await readFile(path)).digest("hex").slice(0, 16);
  } catch {
    return undefined;
  }
}
