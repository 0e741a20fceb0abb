/** What is generated from the schema: the reference page and the JSON Schema. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { env } from "node:process";
import { describe, test } from "node:test";
import { parseSettings } from "../../src/settings/parse.ts";
import { formatProblem } from "../../src/settings/problem.ts";
import { jsonSchema, settingsReference } from "../../src/settings/reference.ts";
import { configShape, type Shape } from "../../src/settings/shape.ts";

const PAGE = new URL("../../docs/configuration.md", import.meta.url);
const START = "<!-- deno-fmt-ignore-start -->\n";
const END = "\n<!-- deno-fmt-ignore-end -->";

describe("docs/configuration.md", () => {
  test("its last part is generated (UPDATE_GOLDEN=1 writes it)", () => {
    const page = readFileSync(PAGE, "utf8");
    const start = page.indexOf(START) + START.length;
    const end = page.lastIndexOf(END);
    assert.ok(start >= START.length && end >= start - 1);
    const fresh = `${page.slice(0, start)}\n${settingsReference()}${page.slice(end)}`;
    if (env.UPDATE_GOLDEN === "1") writeFileSync(PAGE, fresh);
    assert.equal(readFileSync(PAGE, "utf8"), fresh);
  });

  test("its example is right, and is the file it names", () => {
    const [, example] = /```toml\n([^`]*)```/.exec(readFileSync(PAGE, "utf8"))!;
    const file = new URL("../../examples/mx.toml", import.meta.url);
    assert.equal(example, readFileSync(file, "utf8"));
  });

  test("its messages are ours", () => {
    const [, messages] = /```text\n([^`]*)```/.exec(readFileSync(PAGE, "utf8"))!;
    const text = readFileSync(new URL("../../examples/mx.toml", import.meta.url), "utf8")
      .replace('"10.0.0.5:25"', '"10.0.0.5"')
      .replace("upstream =", "uptream =");
    const result = parseSettings(text, {
      file: "postern.toml",
      baseDir: "/",
      env: () => undefined,
      readFile: () => "",
    });
    assert.ok(!result.ok);
    const shown = messages!.trimEnd().split("\n");
    const said = result.problems.map(formatProblem);
    for (const line of shown) assert.ok(said.includes(line), `${line}\nnot in\n${said.join("\n")}`);
  });
});

test("every key is described", () => {
  const visit = (shape: Shape, path: string): void => {
    if (shape.kind === "table") {
      for (const [key, entry] of shape.entries) {
        assert.notEqual(entry.description, "", `${path}${key}`);
        assert.notEqual(entry.type, "", `${path}${key}`);
        visit(entry, `${path}${key}.`);
      }
    } else if (shape.kind === "map" || shape.kind === "list") visit(shape.item, path);
  };
  visit(configShape, "");
});

interface Json {
  readonly [key: string]: unknown;
}

describe("JSON Schema", () => {
  const schema = jsonSchema() as Json;

  test("is one that editors for TOML understand", () => {
    assert.equal(schema.$schema, "http://json-schema.org/draft-07/schema#");
    assert.deepEqual(JSON.parse(JSON.stringify(schema)), schema);
  });

  test("has the keys of the configuration, with descriptions and defaults", () => {
    assert.ok(configShape.kind === "table");
    const properties = schema.properties as Record<string, Json>;
    assert.deepEqual(Object.keys(properties), [...configShape.entries.keys()]);
    const limits = properties.limits!.properties as Record<string, Json>;
    assert.equal(limits.recipients!.default, 100);
    assert.equal(limits.recipients!.type, "integer");
    assert.equal(limits.message_size!.default, "25MiB");
    assert.match(String(limits.recipients!.description), /452/);
  });

  test("lets no unknown key pass", () => {
    let tables = 0;
    const visit = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      const node = value as Json;
      if (node.type === "object" && node.properties !== undefined) {
        tables++;
        assert.equal(node.additionalProperties, false);
      }
      for (const child of Object.values(node)) visit(child);
    };
    visit(schema);
    assert.ok(tables > 10);
  });

  test("asks for nothing that has a default, and takes references", () => {
    const properties = schema.properties as Record<string, Json>;
    assert.deepEqual(schema.required, []);
    const listener = (properties.listeners as Json).items as Json;
    assert.deepEqual(listener.required, ["listen"]);
    const hostname = properties.hostname as Json;
    assert.deepEqual((hostname.anyOf as Json[])[1], { $ref: "#/$defs/reference" });
  });
});
