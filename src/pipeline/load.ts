/**
 * Loads plugin files: imports each, checks what it exports, validates its options by its own schema.
 *
 * Owns no way to import: that is injected, as is the table of bundled plugins. Every mistake is a problem with its path
 * in the configuration; none is thrown.
 * @module
 */
import type { Manifest, OptionsSchema, PluginExports, SchemaResult } from "../plugin/module.ts";
import { didYouMean } from "../settings/nearest.ts";
import type { PluginSettings } from "../settings/settings.ts";
import type { LoadedPlugin } from "./compile.ts";
import { failureMessage } from "./failure.ts";
import type { Problem } from "./order.ts";
import { escapeText } from "./text.ts";

/** Where plugins come from. */
export interface PluginSource {
  /** Bundled plugins by name; asked first. */
  readonly builtins: ReadonlyMap<string, () => Promise<unknown>>;
  /** Imports a path (as written, relative to the configuration file's folder) or a package. */
  readonly importModule: (use: string) => Promise<unknown>;
  /** Imports a plugin, bundled or not, into a worker of its own. */
  readonly importIsolated?: (settings: IsolatedSettings) => Promise<unknown>;
}

/** Settings of a plugin that has a worker. */
export type IsolatedSettings = PluginSettings & {
  readonly worker: NonNullable<PluginSettings["worker"]>;
};

/** What came of loading. */
export interface LoadResult {
  /** In the order of the configuration; `mode = "off"` and what has problems are left out. */
  readonly plugins: readonly LoadedPlugin[];
  readonly problems: readonly Problem[];
}

/** Loads every plugin that is not off. Never rejects. */
export async function loadPlugins(
  settings: readonly PluginSettings[],
  source: PluginSource,
): Promise<LoadResult> {
  const loaded = await Promise.all(
    settings.filter(({ mode }) => mode !== "off").map((one) => loadOne(one, source)),
  );
  return {
    plugins: loaded.flatMap((one) => "plugin" in one ? [one.plugin] : []),
    problems: loaded.flatMap((one) => "problems" in one ? one.problems : []),
  };
}

type Loaded = { readonly plugin: LoadedPlugin } | { readonly problems: readonly Problem[] };

async function loadOne(settings: PluginSettings, source: PluginSource): Promise<Loaded> {
  const { use, path } = settings;
  const at = (pluginPath: string, message: string): Loaded => ({
    problems: [{ pluginPath, message }],
  });
  const builtin = source.builtins.get(use);
  let module: unknown;
  try {
    module = await (isIsolated(settings)
      ? isolated(settings, source)
      : builtin === undefined
      ? source.importModule(use)
      : builtin());
  } catch (cause) {
    const isName = builtin === undefined && /^[a-z0-9-]+$/.test(use);
    const names = isName ? [...source.builtins.keys()] : [];
    const hint = didYouMean(use, names);
    // Who meant a bundled one is not helped by where else it was looked for.
    const why = hint === "" ? `: ${failureMessage(cause)}` : hint;
    const known = names.length === 0
      ? ""
      : `${hint === "" ? "." : ""} Bundled plugins are ${names.join(", ")}`;
    return at(`${path}.use`, `Cannot load plugin ${escapeText(use)}${why}${known}`);
  }
  try {
    const exports = exportsOf(module);
    if (typeof exports === "string") return at(`${path}.use`, `${escapeText(use)} ${exports}`);
    const options = await validated(exports.options, settings.options ?? {}, path);
    if ("problems" in options) return options;
    return {
      plugin: {
        settings: { ...settings, options: options.value },
        exports,
        builtin: builtin !== undefined,
      },
    };
  } catch (cause) {
    return at(path, `Cannot load plugin ${escapeText(use)}: ${failureMessage(cause)}`);
  }
}

function isIsolated(settings: PluginSettings): settings is IsolatedSettings {
  return settings.worker !== undefined;
}

function isolated(settings: IsolatedSettings, source: PluginSource): Promise<unknown> {
  if (source.importIsolated === undefined) throw new Error("There are no workers here");
  return source.importIsolated(settings);
}

/** The exports, or what is wrong with them. */
function exportsOf(module: unknown): PluginExports | string {
  if (typeof module !== "object" || module === null) return "is not a module";
  const { default: factory, options, manifest } = module as { readonly [name: string]: unknown };
  if (factory === undefined) return "has no default export";
  if (typeof factory !== "function") return "has a default export that is not a function";
  if (options !== undefined && !isSchema(options)) {
    return "has an export `options` that is not a Standard Schema";
  }
  const wrong = manifest === undefined ? undefined : manifestFault(manifest);
  if (wrong !== undefined) return `has an export \`manifest\` whose ${wrong}`;
  return {
    default: factory as PluginExports["default"],
    ...(options === undefined ? {} : { options: options as OptionsSchema }),
    ...(manifest === undefined ? {} : { manifest: manifest as Manifest }),
  };
}

function isSchema(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const standard = (value as { readonly "~standard"?: unknown })["~standard"];
  return typeof standard === "object" && standard !== null &&
    typeof (standard as { readonly validate?: unknown }).validate === "function";
}

function manifestFault(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return "value is not an object";
  const manifest = value as { readonly [name: string]: unknown };
  for (const key of ["net", "read", "reads", "gives"]) {
    const list = manifest[key];
    if (list === undefined) continue;
    if (!Array.isArray(list) || !list.every((item) => typeof item === "string")) {
      return `\`${key}\` is not a list of strings`;
    }
  }
  const { version, holdBody } = manifest;
  if (version !== undefined && typeof version !== "string") return "`version` is not a string";
  if (holdBody !== undefined && typeof holdBody !== "boolean") return "`holdBody` is not a boolean";
  return undefined;
}

async function validated(
  schema: OptionsSchema | undefined,
  options: unknown,
  path: string,
): Promise<{ readonly value: unknown } | { readonly problems: readonly Problem[] }> {
  if (schema === undefined) return { value: options };
  const result: SchemaResult = await schema["~standard"].validate(options);
  if (result.issues === undefined) return { value: result.value };
  return {
    problems: result.issues.map(({ message, path: within }) => ({
      pluginPath: `${path}.options${(within ?? []).map(segment).join("")}`,
      message: escapeText(message),
    })),
  };
}

/** `[0]` for an index, `.name` for a key. */
function segment(step: PropertyKey | { readonly key: PropertyKey }): string {
  const key = typeof step === "object" ? step.key : step;
  return typeof key === "number" ? `[${key}]` : `.${String(key)}`;
}
