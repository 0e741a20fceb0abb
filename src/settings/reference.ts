/**
 * What the schema tells people and editors: the reference page's tables, and a JSON Schema.
 *
 * Owns: their form.   Never: knows a key, a default or a meaning; `schema.ts` does.
 * @module
 */
import { toJsonSchema } from "@valibot/to-json-schema";
import { reference } from "./fields.ts";
import { configSchema } from "./schema.ts";
import { configShape, type Shape, type TableShape } from "./shape.ts";

/** Markdown: a table for each table of the file, with every key, its type, its default and its meaning. */
export function settingsReference(): string {
  const parts: string[] = [];
  if (configShape.kind === "table") addTable("Top level", configShape, parts);
  return parts.join("\n");
}

/**
 * JSON Schema (draft-07, which TOML editors understand) of a `postern.toml`. A first line `#:schema ./postern.schema.json` in
 * the file makes an editor use it.
 */
export function jsonSchema(): unknown {
  return {
    title: "postern.toml",
    ...toJsonSchema(configSchema, {
      target: "draft-07",
      typeMode: "input",
      definitions: { reference },
      // Tests that are code, and notes for our own messages, have no place in it.
      ignoreActions: ["check", "excludes", "metadata"],
    }),
  };
}

function addTable(title: string, shape: TableShape, parts: string[], name = ""): void {
  parts.push(`### ${title}`, "");
  if (shape.description !== "") parts.push(`${shape.description}.`, "");
  parts.push("| Key | Type | Default | Meaning |", "| --- | --- | --- | --- |");
  const inner: (() => void)[] = [];
  addRows(shape, "", name, parts, inner);
  parts.push("");
  for (const add of inner) add();
}

function addRows(
  shape: TableShape,
  prefix: string,
  name: string,
  parts: string[],
  inner: (() => void)[],
): void {
  for (const [key, entry] of shape.entries) {
    const full = `${prefix}${key}`;
    if (name === "" && entry.kind === "table") {
      inner.push(() => addTable(`\`[${key}]\``, entry, parts, key));
    } else if (name === "" && entry.kind !== "any" && "item" in entry && isTable(entry.item)) {
      const { item } = entry;
      const title = entry.kind === "map" ? `\`[${key}.NAME]\`` : `\`[[${key}]]\``;
      inner.push(() => addTable(title, { ...item, description: entry.description }, parts, key));
    } else {
      const cells = [`\`${full}\``, entry.type, standard(entry), `${entry.description}.`];
      parts.push(`| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
      if (entry.kind === "table") addRows(entry, `${full}.`, name, parts, inner);
      if (entry.kind === "list" && isTable(entry.item)) {
        addRows(entry.item, `${full}[].`, name, parts, inner);
      }
    }
  }
}

function isTable(shape: Shape): shape is TableShape {
  return shape.kind === "table";
}

function standard(shape: Shape): string {
  if (shape.default !== undefined) return `\`${JSON.stringify(shape.default)}\``;
  return shape.required ? "required" : "";
}
