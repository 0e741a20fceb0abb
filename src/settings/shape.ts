/**
 * The schema as a plain tree: what reads the form of the configuration without validating anything.
 *
 * Owns: the one place that looks inside valibot's schema objects.   Never: validates.
 * @module
 */
import * as v from "valibot";
import { type FieldMeta, reference } from "./fields.ts";
import type { Path } from "./problem.ts";
import { configSchema } from "./schema.ts";

interface Common {
  /** Completes "expected ...". */
  readonly expects: string;
  /** For the reference page. */
  readonly type: string;
  /** All words that are right, where they can be counted. */
  readonly choices: readonly string[] | undefined;
  /** Values at and below never stand in a message. */
  readonly secret: boolean;
  /** For the reference page. */
  readonly description: string;
  /** As it would be written in the file. */
  readonly default: unknown;
  /** Must be in the file. */
  readonly required: boolean;
}

/** A table with known keys. */
export interface TableShape extends Common {
  /** Which it is. */
  readonly kind: "table";
  /** A `Map`: looked up with names from the file (R34). */
  readonly entries: ReadonlyMap<string, Shape>;
}

/** A table whose keys are names (`map`), or a list. */
export interface ManyShape extends Common {
  /** Which it is. */
  readonly kind: "map" | "list";
  /** Each value. */
  readonly item: Shape;
}

/** One value: a `text` may also be a reference, a `scalar` not; `any` is not looked into. */
export interface LeafShape extends Common {
  /** Which it is. */
  readonly kind: "text" | "scalar" | "any";
}

/** A part of the configuration's form. */
export type Shape = TableShape | ManyShape | LeafShape;

/** The form of the whole file. */
export const configShape: Shape = shapeOf(configSchema, false);

/** The part of the form at a path of the file; undefined where the form knows nothing. */
export function shapeAt(path: Path): Shape | undefined {
  let shape: Shape | undefined = configShape;
  for (const key of path) {
    if (shape?.kind === "table") shape = shape.entries.get(String(key));
    else if (shape?.kind === "map" || shape?.kind === "list") shape = shape.item;
    else return undefined;
  }
  return shape;
}

/** True when a value at this path must not stand in a message. */
export function isSecret(path: Path): boolean {
  return path.some((_, index) => shapeAt(path.slice(0, index + 1))?.secret);
}

type Schema = v.GenericSchema;

function shapeOf(schema: Schema, optional: boolean, standard?: unknown): Shape {
  if (schema.type === "optional") {
    const { wrapped, default: value } = schema as v.OptionalSchema<Schema, unknown>;
    return shapeOf(wrapped, true, value);
  }
  const meta = v.getMetadata(schema) as Partial<FieldMeta>;
  const common = (expects: string, type: string): Common => ({
    expects: meta.expects ?? expects,
    type: meta.type ?? type,
    choices: meta.choices,
    secret: meta.secret ?? false,
    description: v.getDescription(schema) ?? "",
    default: standard,
    required: !optional,
  });
  switch (schema.type) {
    case "strict_object": {
      const { entries } = schema as v.StrictObjectSchema<v.ObjectEntries, undefined>;
      const shapes = Object.entries(entries).map(([key, entry]) =>
        [key, shapeOf(entry as Schema, false)] as const
      );
      return { kind: "table", ...common("a table", "table"), entries: new Map(shapes) };
    }
    case "record": {
      const { value } = schema as v.RecordSchema<v.GenericSchema<string>, Schema, undefined>;
      return { kind: "map", ...common("a table", "tables by name"), item: shapeOf(value, true) };
    }
    case "array": {
      const item = shapeOf((schema as v.ArraySchema<Schema, undefined>).item, true);
      return { kind: "list", ...common("a list", `list of ${plural(item)}`), item };
    }
    case "unknown":
      return { kind: "any", ...common("anything", "anything") };
    default: {
      const options = (schema as Partial<v.UnionSchema<Schema[], undefined>>).options;
      return {
        kind: options?.includes(reference) ? "text" : "scalar",
        ...common("another value", schema.type),
      };
    }
  }
}

function plural(item: Shape): string {
  return item.kind === "table" ? "tables" : item.type.endsWith("s") ? item.type : `${item.type}s`;
}
