/**
 * The first pass over a configuration that was read: finds unknown keys and puts values in the place of references.
 *
 * Owns: keys.   Never: judges values (the schema does, after it); changes the value it was given; looks a key of the file up
 * anywhere but in a `Map` (R34).
 * @module
 */
import { absolutePath } from "./address.ts";
import { NAME_EXPECTS, NAME_PATTERN } from "./fields.ts";
import { didYouMean, nearest } from "./nearest.ts";
import { formatPath, kindOf, type Path, quote, type Report, show, visible } from "./problem.ts";
import { configShape, isSecret, type Shape, type TableShape } from "./shape.ts";

/** What references are resolved with. */
export interface Sources {
  /** Folder that relative paths are relative to. */
  readonly baseDir: string;
  /** Value of an environment variable. */
  readonly env: (name: string) => string | undefined;
  /** Content of a text file; throws an error whose `message` says why not. */
  readonly readFile: (path: string) => string;
}

/** A table of the file. */
export type Table = { readonly [key: string]: unknown };

/** What the pass leaves. */
export interface Walked {
  /** A copy: known keys only, references replaced. */
  readonly value: unknown;
  /** A value as it may stand in a message: secrets, and what came from outside the file, are not shown. */
  readonly show: (value: unknown, path: Path) => string;
}

/** Names that valibot's records leave out without a word. */
const RESERVED: readonly string[] = ["__proto__", "constructor", "prototype"];

const REFERENCE_KEYS: readonly string[] = ["env", "file"];

/** Walks a whole configuration along its form. */
export function walk(root: unknown, sources: Sources, report: Report): Walked {
  const outside = new Set<string>();

  function visit(value: unknown, shape: Shape, path: Path): unknown {
    switch (shape.kind) {
      case "table":
      case "map":
        return isTable(value) ? visitTable(value, shape, path) : value;
      case "list":
        return Array.isArray(value)
          ? value.map((item, position) => visit(item, shape.item, [...path, position]))
          : value;
      case "text":
        return isTable(value) ? dereference(value, path) : value;
      case "any":
        return refusePrototypes(value, path, report) ? withEnvironment(value, path) : value;
      case "scalar":
        return value;
    }
  }

  function visitTable(table: Table, shape: Shape, path: Path): Table {
    const copy: Record<string, unknown> = Object.create(null);
    for (const key of Object.keys(table)) {
      const here = [...path, key];
      if (shape.kind === "map") {
        if (!NAME_PATTERN.test(key)) {
          report.problem(here, `expected ${NAME_EXPECTS}, got ${quote(key)}`, "key");
        } else if (RESERVED.includes(key)) {
          report.problem(here, `the name "${key}" is reserved`, "key");
        } else copy[key] = visit(table[key], shape.item, here);
      } else if (shape.kind === "table") {
        const entry = shape.entries.get(key);
        if (entry) copy[key] = visit(table[key], entry, here);
        else refuseKey(key, shape, table, path);
      }
    }
    return copy;
  }

  /** A copy of a plugin's options with `{ env = "NAME" }` replaced: plugins do not see the environment. */
  function withEnvironment(
    value: unknown,
    path: Path,
    copies: Map<object, unknown> = new Map(),
  ): unknown {
    if (!Array.isArray(value) && !isEntry(value)) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value)) {
      const copy: unknown[] = [];
      copies.set(value, copy);
      for (const [position, item] of value.entries()) {
        copy.push(withEnvironment(item, [...path, position], copies));
      }
      return copy;
    }
    if (isEnvironment(value)) return dereference(value, path);
    const copy: Record<string, unknown> = {};
    copies.set(value, copy);
    for (const key of Object.keys(value)) {
      // Reported already.
      if (key !== "__proto__") copy[key] = withEnvironment(value[key], [...path, key], copies);
    }
    return copy;
  }

  function refuseKey(key: string, shape: TableShape, table: Table, path: Path): void {
    const meant = nearest(key, shape.entries.keys());
    let message = `unknown key ${quote(key)}`;
    if (meant !== undefined) {
      message += `; did you mean "${meant}"?`;
      if (!Object.hasOwn(table, meant)) report.misspelt([...path, meant]);
    } else {
      const home = homeOf(key, configShape, "");
      if (home !== undefined) message += `; it belongs ${home}`;
    }
    report.problem([...path, key], message, "key");
  }

  /** `{ env = "NAME" }` or `{ file = "path" }`; what cannot be resolved stays, and the schema takes it. */
  function dereference(table: Table, path: Path): unknown {
    const keys = Object.keys(table);
    for (const key of keys) {
      if (!REFERENCE_KEYS.includes(key)) {
        const message = `unknown key ${quote(key)}${didYouMean(key, REFERENCE_KEYS)}`;
        report.problem([...path, key], message, "key");
        return { env: "" };
      }
    }
    const [key] = keys;
    const name = key === undefined ? undefined : table[key];
    if (key === undefined || keys.length > 1) {
      report.problem(path, 'expected { env = "NAME" } or { file = "path" }');
      return { env: "" };
    }
    if (typeof name !== "string" || name === "") {
      const what = key === "env" ? "the name of an environment variable" : "a path";
      report.problem([...path, key], `expected ${what}, got ${name === "" ? '""' : kindOf(name)}`);
      return { env: "" };
    }
    outside.add(formatPath(path));
    if (key === "env") {
      const found = sources.env(name);
      if (found !== undefined) return found;
      report.problem([...path, key], `environment variable ${quote(name)} is not set`);
      return table;
    }
    try {
      // Editors end a file with a line end, and no secret does.
      return sources.readFile(absolutePath(sources.baseDir, name)).replace(/\r?\n$/, "");
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown error";
      report.problem([...path, key], `cannot read ${quote(name)}: ${visible(why.slice(0, 200))}`);
      return table;
    }
  }

  return {
    value: visit(root, configShape, []),
    show: (value, path) => {
      if (outside.has(formatPath(path))) return `${kindOf(value)} (not shown)`;
      return isSecret(path) ? kindOf(value) : show(value);
    },
  };
}

/** True for what TOML calls a table. */
export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Date);
}

/**
 * A plugin may copy its options with `Object.assign`, where this key would change what they inherit (R34). Tells whether
 * the options refer to the environment.
 */
function refusePrototypes(value: unknown, path: Path, report: Report): boolean {
  const seen = new Set<object>();
  let refers = false;
  const open: { readonly value: unknown; readonly path: Path }[] = [{ value, path }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, path } = next;
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if (Array.isArray(value)) {
      for (const [position, item] of value.entries()) {
        open.push({ value: item, path: [...path, position] });
      }
    } else if (isPlain(value)) {
      if (isEnvironment(value)) refers = true;
      for (const key of Object.keys(value)) {
        const here = [...path, key];
        if (key === "__proto__") report.problem(here, 'the key "__proto__" is reserved', "key");
        else open.push({ value: value[key], path: here });
      }
    }
  }
  return refers;
}

/** `{ env = "NAME" }` and nothing else. */
function isEnvironment(value: Table): boolean {
  const keys = Object.keys(value);
  return keys.length === 1 && keys[0] === "env" && typeof value["env"] === "string";
}

function isEntry(value: unknown): value is Table {
  return typeof value === "object" && value !== null && isPlain(value);
}

/** Tables of a file, and object literals: an embedder's options may hold anything else, which is left alone. */
function isPlain(value: object): value is Table {
  const parent = Object.getPrototypeOf(value);
  return parent === null || parent === Object.prototype;
}

/** Where a key of this very name is known: TOML puts keys that follow a `[table]` into it, which is easily overlooked. */
function homeOf(key: string, shape: Shape, path: string): string | undefined {
  if (shape.kind === "map" || shape.kind === "list") {
    const inner = shape.kind === "map" ? `${path}.NAME` : `[${path}]`;
    return homeOf(key, shape.item, inner);
  }
  if (shape.kind !== "table") return undefined;
  if (shape.entries.has(key)) {
    return path === "" ? "to the top level, before the first [table]" : `in [${path}]`;
  }
  for (const [name, entry] of shape.entries) {
    const home = homeOf(key, entry, path === "" ? name : `${path}.${name}`);
    if (home !== undefined) return home;
  }
  return undefined;
}
