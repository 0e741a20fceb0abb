/**
 * Problems of a configuration: where, what was expected, what was found.
 *
 * Owns: how a problem reads, and that nothing from the file can break the line it stands on (R26).
 * Never: shows a secret; callers give `kindOf` instead of `show` for those (R18).
 * @module
 */
import type { Places } from "./places.ts";

/** Keys and indexes from the root of the file. */
export type Path = readonly (string | number)[];

/** One problem of a configuration. */
export interface Problem {
  /** Name of the file, as the caller gave it. */
  readonly file: string;
  /** From 1; 0 where there is no text (a configuration that is a value). */
  readonly line: number;
  /** From 1, in UTF-16 units; 0 where there is no text. */
  readonly column: number;
  /** Dotted path in the file: `upstreams.mailbox.servers[0]`; empty for the file as a whole. */
  readonly path: string;
  /** What is wrong, on one line. */
  readonly message: string;
}

/** `postern.toml:14:11: upstreams.mailbox.servers[0]: expected "host:port", got "10.0.0.5"`. */
export function formatProblem(problem: Problem): string {
  const place = problem.line > 0 ? `:${problem.line}:${problem.column}` : "";
  return `${problem.file}${place}: ${
    problem.path === "" ? "" : `${problem.path}: `
  }${problem.message}`;
}

/** Dotted form of a path; keys that are not bare are quoted. */
export function formatPath(path: Path): string {
  let text = "";
  for (const key of path) {
    if (typeof key === "number") text += `[${key}]`;
    else text += `${text === "" ? "" : "."}${/^[A-Za-z0-9_-]+$/.test(key) ? key : quote(key)}`;
  }
  return text;
}

/** A text in double quotes, shortened, with everything invisible escaped. */
export function quote(text: string): string {
  return visible(JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text));
}

/** The same text with control and direction characters escaped. */
export function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u${char.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );
}

/** A value as it may stand in a message. */
export function show(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return kindOf(value);
}

/** What sort of thing a value is, and nothing of the value itself. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (value instanceof Date) return "a date";
  return typeof value === "object" ? "a table" : `a ${typeof value}`;
}

/** Collects problems and warnings and gives them their places. */
export class Report {
  readonly #problems: Problem[] = [];
  readonly #warnings: Problem[] = [];
  readonly #paths = new Set<string>();
  readonly #misspelt = new Set<string>();
  readonly #file: string;
  readonly #places: () => Places | undefined;

  /** `places` is called with the first problem only: a right file is not parsed a second time. */
  constructor(file: string, places: () => Places | undefined) {
    this.#file = file;
    this.#places = places;
  }

  /** True when there is a problem at this very path. */
  has(path: Path): boolean {
    return this.#paths.has(formatPath(path));
  }

  /** The key at this path stands in the file misspelt, which is a problem of its own: that it is missing is not another. */
  misspelt(path: Path): void {
    this.#misspelt.add(formatPath(path));
  }

  /** See {@linkcode Report.misspelt}. */
  isMisspelt(path: Path): boolean {
    return this.#misspelt.has(formatPath(path));
  }

  /** Adds a problem at a value, or at its key. */
  problem(path: Path, message: string, at: "value" | "key" = "value"): void {
    if (this.isMisspelt(path)) return;
    const problem = this.#place(path, message, at);
    this.#problems.push(problem);
    this.#paths.add(problem.path);
  }

  /** Adds a warning: the configuration is taken all the same. */
  warning(path: Path, message: string, at: "value" | "key" = "value"): void {
    this.#warnings.push(this.#place(path, message, at));
  }

  /** In file order. */
  problems(): Problem[] {
    return this.#problems.toSorted(inFileOrder);
  }

  /** In file order. */
  warnings(): Problem[] {
    return this.#warnings.toSorted(inFileOrder);
  }

  #place(path: Path, message: string, at: "value" | "key"): Problem {
    const place = this.#places()?.of(path, at) ?? { line: 0, column: 0 };
    return { file: this.#file, ...place, path: formatPath(path), message };
  }
}

function inFileOrder(a: Problem, b: Problem): number {
  return a.line - b.line || a.column - b.column;
}
