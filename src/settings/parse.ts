/**
 * The doors of this room: a TOML text, or a value of the same shape, into {@linkcode Settings} or into every problem it has.
 *
 * Owns: the order of the passes (TOML, keys and references, schema, checks, conversion).
 * Never: reads a file, the environment or a clock except by what it is given; throws on any input.
 * @module
 */
import { parse as parseToml, TomlError } from "smol-toml";
import * as v from "valibot";
import { isHostname } from "./address.ts";
import { check } from "./checks.ts";
import { decode, type ValidConfig } from "./decode.ts";
import { nearest } from "./nearest.ts";
import { type Places, places } from "./places.ts";
import { type Path, type Problem, Report } from "./problem.ts";
import { configSchema } from "./schema.ts";
import type { Settings } from "./settings.ts";
import { shapeAt } from "./shape.ts";
import { isTable, walk, type Walked } from "./walk.ts";

/** What a configuration is read with. */
export interface ParseOptions {
  /** Name of the file, for messages. */
  readonly file: string;
  /** Absolute path of the folder that relative paths are relative to. */
  readonly baseDir: string;
  /** Value of an environment variable. */
  readonly env: (name: string) => string | undefined;
  /** Content of a text file; throws an error whose `message` says why not. */
  readonly readFile: (path: string) => string;
  /** The machine's own name, for a configuration without `hostname`. */
  readonly hostname?: string | undefined;
}

/** Settings, or why not. */
export type ParseResult =
  | { readonly ok: true; readonly settings: Settings; readonly warnings: Problem[] }
  /** In file order, at most {@linkcode MOST_PROBLEMS}. */
  | { readonly ok: false; readonly problems: Problem[] };

/** More problems than these have one cause. */
export const MOST_PROBLEMS = 20;

/** Reads the text of a `postern.toml`. */
export function parseSettings(text: string, options: ParseOptions): ParseResult {
  let value: unknown;
  try {
    value = parseToml(text.replace(/^\ufeff/, ""));
  } catch (error) {
    return { ok: false, problems: [syntaxProblem(error, options.file)] };
  }
  let found: { readonly places: Places | undefined } | undefined;
  return read(value, options, () => {
    found ??= { places: places(text) };
    return found.places ?? { of: () => ({ line: 1, column: 1 }) };
  });
}

/** Reads a configuration that is a value already: `postern.config.ts`, or an embedder's. Its problems have no line. */
export function decodeConfig(value: unknown, options: ParseOptions): ParseResult {
  return read(value, options, () => undefined);
}

function read(
  value: unknown,
  options: ParseOptions,
  where: () => Places | undefined,
): ParseResult {
  const report = new Report(options.file, where);
  const walked = walk(value, options, report);
  const parsed = v.safeParse(configSchema, walked.value, { abortPipeEarly: true });
  for (const issue of parsed.issues ?? []) reportIssue(issue, walked, report);
  check(parsed.output, { report, show: walked.show, baseDir: options.baseDir });
  const hostname = hostnameFor(parsed.output, options, report);
  const problems = report.problems();
  if (problems.length > 0) return { ok: false, problems: problems.slice(0, MOST_PROBLEMS) };
  const settings = decode(parsed.output as ValidConfig, {
    hostname,
    dataDir: dataDirFor(options.env),
    baseDir: options.baseDir,
  });
  return { ok: true, settings, warnings: report.warnings() };
}

function syntaxProblem(error: unknown, file: string): Problem {
  const place = error instanceof TomlError ? error : { line: 1, column: 1 };
  // Only the first line: the parser goes on to quote the text, and there may be a password in it (R18).
  const first = error instanceof TomlError ? error.message.split("\n", 1)[0]! : "cannot be read";
  const message = first.replace("Invalid TOML document: ", "");
  return {
    file,
    line: place.line,
    column: place.column,
    path: "",
    message: `not valid TOML: ${message}`,
  };
}

function reportIssue(issue: v.BaseIssue<unknown>, walked: Walked, report: Report): void {
  const path: Path = (issue.path ?? []).map((item) => item.key as string | number);
  const last = path.at(-1);
  if (issue.type === "strict_object" && issue.path?.at(-1)?.origin === "key") {
    report.problem(path, `missing key "${last}"`);
    return;
  }
  if (report.has(path)) return;
  const shape = shapeAt(path);
  let message = `expected ${shape?.expects}, got ${walked.show(issue.input, path)}`;
  if (shape?.choices && typeof issue.input === "string") {
    const meant = nearest(issue.input, shape.choices);
    if (meant !== undefined) message += `; did you mean "${meant}"?`;
  }
  report.problem(path, message);
}

/** The machine's own name is taken only if it can stand in a greeting. */
function hostnameFor(config: unknown, options: ParseOptions, report: Report): string {
  if (!isTable(config) || config.hostname !== undefined) return "";
  const own = options.hostname;
  if (own !== undefined && isHostname(own)) return own;
  const why = own === undefined ? "" : ", and this machine's own name is not a host name";
  report.problem(["hostname"], `missing key "hostname"${why}`);
  return "";
}

/** `STATE_DIRECTORY` is systemd's, a list with colons; the second is the XDG base directory specification's. */
function dataDirFor(env: (name: string) => string | undefined): string {
  const [given] = (env("STATE_DIRECTORY") ?? "").split(":");
  if (given) return given;
  const state = env("XDG_STATE_HOME");
  return state ? `${state}/postern` : "/var/lib/postern";
}
