/**
 * Finds and reads the configuration of a command: `-c`, `$POSTERN_CONFIG`, `postern.toml` or `postern.config.ts` here, then
 * `$XDG_CONFIG_HOME/postern/`, then `/etc/postern/`.
 * @module
 */
import { readFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { contentHash, importModule } from "../runtime/modules.ts";
import { systemReason } from "../runtime/system_reason.ts";
import {
  decodeConfig,
  type ParseOptions,
  type ParseResult,
  parseSettings,
} from "../settings/parse.ts";
import { locate } from "../settings/places.ts";
import { formatProblem, type Path, type Problem } from "../settings/problem.ts";
import type { Settings } from "../settings/settings.ts";
import { CliError, ConfigurationError, EXIT } from "./errors.ts";
import { readText } from "./files.ts";
import type { CliIo } from "./io.ts";

/** A configuration that is right, and where it came from. */
export interface LoadedConfiguration {
  readonly settings: Settings;
  readonly warnings: readonly Problem[];
  /** As it is shown in messages. */
  readonly file: string;
  /** `file:line:column: path: message` for a problem found later. */
  place(path: string | undefined, message: string): string;
}

/**
 * Reads the configuration, or throws a {@linkcode ConfigurationError} with every problem it has. `again`: a `postern.config.ts`
 * that this process has read before may have changed.
 */
export async function loadConfiguration(
  given: string | undefined,
  io: CliIo,
  again = false,
): Promise<LoadedConfiguration> {
  const path = await find(given ?? io.env("POSTERN_CONFIG"), io);
  const file = shown(path, io.cwd);
  const options: ParseOptions = {
    file,
    baseDir: dirname(path),
    hostname: hostname(),
    env: io.env,
    readFile: (name) => readFileSync(name, "utf8"),
  };
  const isModule = /\.[cm]?[jt]s$/.test(path);
  const text = isModule ? undefined : await textOf(path, file);
  const result: ParseResult = text === undefined
    ? decodeConfig(await moduleConfig(path, file, again), options)
    : parseSettings(text, options);
  if (!result.ok) throw new ConfigurationError(result.problems.map(formatProblem));
  return {
    settings: result.settings,
    warnings: result.warnings,
    file,
    place: (dotted, message) => {
      const spot = text === undefined || dotted === undefined
        ? undefined
        : nearestPlace(text, segments(dotted));
      const where = spot === undefined ? file : `${file}:${spot.line}:${spot.column}`;
      return dotted === undefined ? `${where}: ${message}` : `${where}: ${dotted}: ${message}`;
    },
  };
}

async function find(given: string | undefined, io: CliIo): Promise<string> {
  if (given !== undefined) return resolve(io.cwd, given);
  const home = io.env("XDG_CONFIG_HOME") ??
    (io.env("HOME") === undefined ? undefined : join(io.env("HOME") ?? "", ".config"));
  const folders = [
    io.cwd,
    ...(home === undefined ? [] : [join(home, "postern")]),
    "/etc/postern",
  ];
  const candidates = folders.flatMap((folder) => [
    join(folder, "postern.toml"),
    join(folder, "postern.config.ts"),
  ]);
  for (const candidate of candidates) {
    if (await access(candidate).then(() => true, () => false)) return candidate;
  }
  throw new CliError(
    `No configuration: looked for postern.toml in ${
      folders.join(", ")
    } (write one with "postern init", or name it with -c)`,
    EXIT.usage,
  );
}

async function textOf(path: string, file: string): Promise<string> {
  let text: string | undefined;
  try {
    text = await readText(path);
  } catch (error) {
    throw new CliError(
      `Cannot read ${file}: ${systemReason(error) ?? "it is not UTF-8 text"}`,
      EXIT.usage,
    );
  }
  if (text === undefined) throw new CliError(`Cannot read ${file}: it does not exist`, EXIT.usage);
  return text;
}

async function moduleConfig(path: string, file: string, again: boolean): Promise<unknown> {
  try {
    const hash = again ? await contentHash(path) : undefined;
    const module = await importModule(path, dirname(path), hash) as { readonly default: unknown };
    return module.default;
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new CliError(`Cannot load ${file}: ${why}`, EXIT.usage);
  }
}

/** Relative where that is shorter to read. */
function shown(path: string, cwd: string): string {
  const near = relative(cwd, path);
  return near === "" || near.startsWith("..") ? path : near;
}

/** `plugins[2].options.rules` to its parts. */
function segments(dotted: string): (string | number)[] {
  return [...dotted.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map(([, name, index]) =>
    index === undefined ? name ?? "" : Number(index)
  );
}

/** The place of a path, or of the closest parent that is written in the file. */
function nearestPlace(text: string, path: Path): { line: number; column: number } | undefined {
  for (let length = path.length; length > 0; length--) {
    const place = locate(text, path.slice(0, length));
    if (place !== undefined) return place;
  }
  return undefined;
}
