/** Modules that cannot be loaded: one line, with the place and no word of the runtime's own. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../../src/runtime/files.ts";
import { importModule } from "../../src/runtime/modules.ts";

async function fault(use: string, text?: string): Promise<string> {
  const folder = await tempDir();
  try {
    mkdirSync(join(folder.path, "folder"));
    if (text !== undefined) writeFileSync(join(folder.path, use), text);
    await importModule(use, folder.path);
    return "";
  } catch (error) {
    assert.ok(error instanceof Error);
    const said = [error.name, error.message].filter((part) => part !== "").join(": ");
    return said.replaceAll("file://", "").replaceAll(folder.path, "DIR");
  } finally {
    await folder.remove();
  }
}

describe("what is said of a module that cannot be loaded", () => {
  test("one that is not there", async () => {
    assert.equal(await fault("./none.ts"), "DIR/none.ts: it does not exist");
  });

  test("a folder", async () => {
    assert.equal(
      await fault("./folder"),
      "DIR/folder is a folder: name a file in it, such as mod.ts",
    );
  });

  test("text that is no program: where it goes wrong", async () => {
    const said = await fault("./text.ts", "export default 1;\nconst x = ;\n");
    assert.match(said, /^[^\n]+ \(DIR\/text\.ts:2:11\)$/);
    assert.doesNotMatch(said, /TypeError|BuildMessage|\|/);
  });

  test("an import of what is not there: who imports it", async () => {
    const said = await fault("./one.ts", 'import { x } from "./none.ts";\nexport default x;\n');
    assert.match(said, /none\.ts/);
    assert.match(said, /one\.ts/);
    assert.doesNotMatch(said, /TypeError|ResolveMessage|\n/);
  });

  test("what the module itself throws stays as it is", async () => {
    assert.equal(
      await fault("./own.ts", 'throw new RangeError("mine");\nexport default 1;\n'),
      "RangeError: mine",
    );
  });
});
