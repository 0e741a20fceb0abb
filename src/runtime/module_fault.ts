/**
 * Why a module was not loaded, in one line, and where: each runtime tells it in a form of its own.
 * @module
 */
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { systemReason } from "./system_reason.ts";

/** A place in a source file. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A module that cannot be loaded, told by the runtime. Its text says all: there is no name before it. */
export class ModuleFault extends Error {
  override readonly name = "";
  readonly place: Place | undefined;
  readonly why: string;

  constructor(why: string, place?: Place) {
    super(place === undefined ? why : `${why} (${place.file}:${place.line}:${place.column})`);
    this.why = why;
    this.place = place;
  }
}

/** Throws where there is no file that could be loaded. */
export function expectFile(path: string): void {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw new ModuleFault(`${path}: ${systemReason(error) ?? "it cannot be read"}`);
  }
  if (isFolder) throw new ModuleFault(`${path} is a folder: name a file in it, such as mod.ts`);
}

/** The fault in what a runtime has thrown, or in what the module itself has. */
export function moduleFault(error: unknown): ModuleFault {
  if (error instanceof ModuleFault) return error;
  const { message, stack, position } = partsOf(firstOf(error));
  const [first = ""] = message.split("\n", 1);
  const why = first.replace(/^SyntaxError: /, "").replace(/ (?:at|from) (?:file:|\/)\S+$/, "")
    .replace(/ imported$/, "").replace(/ and not in import map .*$/, "").replace(/\.$/, "");
  return new ModuleFault(
    `${why}${cureOf(first)}`,
    position ?? placeIn(message) ?? placeIn(stack),
  );
}

/** Whether it is about the text of a module or its imports; else the module has thrown it. */
export function isModuleFault(error: unknown): boolean {
  const cause = firstOf(error);
  if (!(cause instanceof Error)) return false;
  return cause.name === "BuildMessage" || cause.name === "ResolveMessage" ||
    stripVTControlCharacters(cause.message).includes("\n    at file:");
}

/** Bun tells of each mistake. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError ? error.errors[0] : error;
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
