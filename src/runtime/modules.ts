/**
 * Imports code that is not ours: plugin files beside the configuration, and packages.
 * @module
 */
import { pathToFileURL } from "node:url";
import { resolvePath } from "./paths.ts";

/** Imports `./file.ts` as seen from `base`, an absolute path, or a package by its name. */
export function importModule(use: string, base: string): Promise<unknown> {
  const isPath = use.startsWith(".") || use.startsWith("/");
  return import(isPath ? pathToFileURL(resolvePath(base, use)).href : use);
}
