import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fakeEdge, fakeHash } from "../support/fake_edge.ts";
import { optionFaults, parseOptions } from "../support/fake_facts.ts";
import { bundled } from "../../plugins/mod.ts";

const here = new URL("../../plugins/", import.meta.url);

/** Options with which each starts. */
const working: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["auth-certificate", { subject_is_login: true }],
  ["auth-file", { users: "users.txt" }],
  ["auth-upstream", { server: "127.0.0.1:587" }],
  ["auth-ldap", { server: "ldaps://127.0.0.1", dn: "uid={user},dc=example,dc=org" }],
  ["auth-dovecot", { server: "unix:/run/dovecot/auth" }],
  ["auth-http", { url: "http://127.0.0.1:9/auth" }],
  ["auth-oauth", {
    jwks_url: "https://id.example.org/keys",
    issuer: "https://id.example.org",
    audience: "postern",
  }],
  ["rate-limit", { rules: [{ by: "address", count: "messages", limit: 100, window: "1h" }] }],
  ["spam-score", { tag_at: 5, refuse_at: 15 }],
  ["header-rewrite", { add: [{ name: "X-Edge", value: "postern" }] }],
  ["received", {}],
  ["sender-login", {}],
]);

function folders(): readonly string[] {
  return readdirSync(here, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "shared")
    .map(({ name }) => name).sort();
}

function sources(folder: string): readonly string[] {
  return readdirSync(new URL(`${folder}/`, here)).filter((name) =>
    name.endsWith(".ts") && !name.endsWith("_test.ts")
  );
}

test("every folder is in the list, and nothing else", () => {
  assert.deepEqual([...bundled.keys()].sort(), folders());
});

test("the imports of the list are literal, so that a compiler finds them", () => {
  const text = readFileSync(new URL("mod.ts", here), "utf8");
  for (const name of bundled.keys()) assert.ok(text.includes(`import("./${name}/mod.ts")`), name);
});

for (const name of folders()) {
  describe(name, () => {
    test("exports a plugin, a schema and a manifest, and bears its name", async () => {
      const module = await bundled.get(name)!();
      const edge = fakeEdge({ files: { "users.txt": `anna:${fakeHash("x")}` } });
      assert.equal(module.options!["~standard"].version, 1);
      assert.equal(typeof module.manifest!.version, "string");
      const plugin = await module.default(
        edge,
        await parseOptions(module.options!, working.get(name)),
      );
      assert.equal(plugin.name, name);
      assert.ok(plugin.onError !== undefined);
      await plugin.close?.();
    });

    test("refuses unknown options and options that are no table", async () => {
      const { options } = await bundled.get(name)!();
      const given = { ...working.get(name) as object, zzz: 1 };
      assert.deepEqual(await optionFaults(options!, given), ['zzz: unknown key "zzz"']);
      assert.deepEqual(await optionFaults(options!, 7), [": expected a table, got 7"]);
    });

    test("has a README with options, cost and failure, and a test", () => {
      const text = readFileSync(new URL(`${name}/README.md`, here), "utf8");
      for (const heading of ["# ", "## Options", "## Cost", "## On failure"]) {
        assert.match(text, new RegExp(`^${heading}`, "m"), heading);
      }
      assert.ok(text.includes(`use = "${name}"`));
      readFileSync(new URL(`${name}/${name.replaceAll("-", "_")}_test.ts`, here));
    });
  });
}

/** Client libraries of what single ones talk to, or about. */
const libraries: ReadonlyMap<string, readonly string[]> = new Map([
  ["auth-ldap", ["ldapts", "node:buffer"]],
  ["auth-oauth", ["jose"]],
]);

test("bundled plugins have no privileges: types of the public door, valibot, and their own files", () => {
  const allowed = /^(?:\.\/[a-z0-9_]+\.ts|\.\.\/shared\/[a-z0-9_]+\.ts|valibot)$/;
  for (const folder of [...folders(), "shared"]) {
    for (const file of sources(folder)) {
      const text = readFileSync(new URL(`${folder}/${file}`, here), "utf8");
      for (
        const [, kind, from] of text.matchAll(
          /^(import type|import|export)\b[^;]*?from "([^"]+)"/gm,
        )
      ) {
        const good = from === "@postern/postern/plugin"
          ? kind === "import type"
          : allowed.test(from!) || libraries.get(folder)?.includes(from!) === true;
        assert.ok(good, `${folder}/${file} imports ${from}`);
      }
      assert.ok(
        !/\bimport\(|\brequire\(|\b(?:Deno|Bun|process)\.|setTimeout|Date\.now/.test(text),
        file,
      );
    }
  }
});
