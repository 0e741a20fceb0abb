/**
 * Plugin files of the command line: found, imported, and where that fails, why: one line with its place and a cure.
 * @module
 */
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { importModule } from "../../runtime/modules.ts";
import { type PluginFiles, pluginFiles } from "../../testing/mod.ts";
import { CliError, systemReason } from "../errors.ts";

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

/** `mod.ts:3:9: Cannot load: Expression expected`; the runtimes tell it in a form of their own each. */
export function loadFailure(error: unknown, file: string, cwd: string): string {
  const cause = error instanceof AggregateError ? error.errors[0] as unknown : error;
  const { message, stack, position } = partsOf(cause);
  const place = position ?? placeIn(message) ?? placeIn(stack);
  const where = place === undefined
    ? shownPath(file, cwd)
    : `${shownPath(place.file, cwd)}:${place.line}:${place.column}`;
  const [first = ""] = message.split("\n", 1);
  const why = first.replace(/^SyntaxError: /, "").replace(/ (?:at|from) (?:file:|\/)\S+$/, "")
    .replace(/ imported$/, "").replace(/ and not in import map .*$/, "").replace(/\.$/, "");
  return `${where}: Cannot load the plugin: ${why}${cureOf(first)}`;
}

interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

function partsOf(cause: unknown): { message: string; stack: string; position: Place | undefined } {
  if (typeof cause !== "object" || cause === null) {
    return { message: String(cause), stack: "", position: undefined };
  }
  const { message, stack, position } = cause as Readonly<Record<string, unknown>>;
  const known = position as Partial<Place> | null | undefined;
  return {
    message: stripVTControlCharacters(String(message ?? cause)),
    stack: stripVTControlCharacters(String(stack ?? "")),
    position: known?.file === undefined || known.line === undefined || known.column === undefined
      ? undefined
      : { file: known.file, line: known.line, column: known.column },
  };
}

function placeIn(text: string): Place | undefined {
  const match = /(?:at|from) (?:async )?(file:\/\/\S+?|\/\S+?):(\d+):(\d+)/.exec(text);
  if (match === null) return undefined;
  const [, file = "", line, column] = match;
  return {
    file: file.startsWith("file:") ? fileURLToPath(file) : file,
    line: Number(line),
    column: Number(column),
  };
}

function cureOf(message: string): string {
  return /not a dependency|Cannot find package|does not provide an export/.test(message)
    ? "; what a plugin takes of a package must be a type (import type), or be bundled into its file"
    : "";
}
