/**
 * Plugin files of the command line: found, imported, and where that fails, why: one line with its place and a cure.
 * @module
 */
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { moduleFault } from "../../runtime/module_fault.ts";
import { importModule } from "../../runtime/modules.ts";
import { systemReason } from "../../runtime/system_reason.ts";
import { type PluginFiles, pluginFiles } from "../../testing/mod.ts";
import { CliError } from "../errors.ts";

/** A plugin's files, and how its own is shown. */
export interface FoundPlugin extends PluginFiles {
  readonly shown: string;
}

/** Finds the files of a plugin by its file or folder. */
export async function findPlugin(place: string, cwd: string): Promise<FoundPlugin> {
  const given = path.resolve(cwd, place);
  let isFolder: boolean;
  try {
    isFolder = (await fs.stat(given)).isDirectory();
  } catch (error) {
    throw new CliError(
      `Cannot read ${place}: ${systemReason(error) ?? "it cannot be opened"}`,
    );
  }
  if (!isFolder && !/\.[cm]?[jt]s$/.test(given)) {
    throw new CliError(
      `Cannot load ${place}: expected a folder, or a file that ends in .ts or .js`,
    );
  }
  try {
    const files = await pluginFiles(given);
    return { ...files, shown: shownPath(files.module, cwd) };
  } catch {
    throw new CliError(`Cannot load ${place}: there is no mod.ts in it`);
  }
}

/** Imports a file; a {@linkcode CliError} says why it cannot be. */
export async function importFile(file: string, cwd: string): Promise<unknown> {
  try {
    return await importModule(file, cwd);
  } catch (error) {
    throw new CliError(loadFailure(error, file, cwd));
  }
}

/** Relative where that is shorter to read. */
export function shownPath(file: string, cwd: string): string {
  const near = path.relative(cwd, file);
  return near === "" || near.startsWith("..") ? file : near;
}

/** `mod.ts:3:9: Cannot load the plugin: Expression expected`. */
export function loadFailure(error: unknown, file: string, cwd: string): string {
  const { place, why } = moduleFault(error);
  const where = place === undefined
    ? shownPath(file, cwd)
    : `${shownPath(place.file, cwd)}:${place.line}:${place.column}`;
  return `${where}: Cannot load the plugin: ${why}`;
}
