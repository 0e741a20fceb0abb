/** The users file as text, and files that are replaced whole. @module */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { createFile, readText, replaceFile } from "../../src/cli/files.ts";
import { listUsers, nameProblem, removeUser, setUser } from "../../src/cli/user/file.ts";
import { withFolder } from "../support/cli_io.ts";

describe("the users file", () => {
  test("keeps comments, blank lines and the order when a user is set", () => {
    const text = "# a\nalice:1\n\n# b:c\nbob:2\n";
    assert.deepEqual(setUser(text, "alice", "9"), {
      text: "# a\nalice:9\n\n# b:c\nbob:2\n",
      replaced: true,
    });
    assert.deepEqual(setUser(text, "carol", "3"), { text: `${text}carol:3\n`, replaced: false });
  });

  test("has no second line of a user left after a change: an old password is not valid any more", () => {
    assert.equal(setUser("a:1\nb:2\na:3\n", "a", "9").text, "a:9\nb:2\n");
    assert.equal(removeUser("a:1\nb:2\na:3\n", "a"), "b:2\n");
  });

  test("may lack its last line end", () => {
    assert.equal(setUser("a:1", "b", "2").text, "a:1\nb:2\n");
    assert.equal(removeUser("a:1", "a"), "");
  });

  test("tells names apart exactly", () => {
    assert.deepEqual(listUsers("alice:1\nalice2:2\n#c:3\nAlice:4\n:5\nno colon\n"), [
      "alice",
      "alice2",
      "Alice",
    ]);
    assert.equal(removeUser("alice2:1\n", "alice"), undefined);
    assert.deepEqual(listUsers(setUser("", "__proto__", "1").text), ["__proto__"]);
  });

  test("gives every name that may stand in it back, and leaves the others alone", () => {
    const name = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) =>
      nameProblem(text) === undefined
    );
    fc.assert(fc.property(fc.uniqueArray(name, { minLength: 1 }), (names) => {
      let text = "# kept\n";
      for (const each of names) text = setUser(text, each, "hash:with:colons").text;
      assert.deepEqual(listUsers(text), names);
      const [first, ...others] = names;
      const without = removeUser(text, first!);
      assert.deepEqual(listUsers(without!), others);
      assert(without!.startsWith("# kept\n"));
    }));
  });
});

describe("a replaced file", () => {
  test("that is a folder cannot be read, and is named", () =>
    withFolder(async (folder) => {
      await assert.rejects(readText(folder), { code: "EISDIR", path: folder });
    }));

  test("whose folder is not there: the folder is named, not the temporary file", () =>
    withFolder(async (folder) => {
      await assert.rejects(replaceFile(path.join(folder, "none", "f"), "x", 0o600), {
        code: "ENOENT",
        path: path.join(folder, "none"),
      });
    }));

  test("is private when it is new, and leaves nothing beside it", () =>
    withFolder(async (folder) => {
      const file = path.join(folder, "f");
      await replaceFile(file, "new", 0o600);
      assert.equal(fs.statSync(file).mode & 0o777, 0o600);
      assert.deepEqual(fs.readdirSync(folder), ["f"]);
    }));

  test("loses what others could read, and keeps a mode that gives others nothing", () =>
    withFolder(async (folder) => {
      const file = path.join(folder, "f");
      for (const [before, after] of [[0o644, 0o600], [0o640, 0o640], [0o600, 0o600]] as const) {
        fs.writeFileSync(file, "old");
        fs.chmodSync(file, before);
        await replaceFile(file, "new", 0o600);
        assert.equal(fs.statSync(file).mode & 0o777, after);
        assert.equal(await readText(file), "new");
      }
    }));

  test("is the one that a link leads to", () =>
    withFolder(async (folder) => {
      const file = path.join(folder, "f");
      const link = path.join(folder, "link");
      fs.writeFileSync(file, "old");
      fs.symlinkSync(file, link);
      await replaceFile(link, "new", 0o600);
      assert.equal(fs.lstatSync(link).isSymbolicLink(), true);
      assert.equal(fs.readFileSync(file, "utf8"), "new");
    }));

  test("stays as it was when the new one cannot be put there", () =>
    withFolder(async (folder) => {
      fs.mkdirSync(path.join(folder, "f"));
      await assert.rejects(replaceFile(path.join(folder, "f"), "new", 0o600));
      assert.deepEqual(fs.readdirSync(folder), ["f"]);
    }));
});

test("a created file never replaces one", () =>
  withFolder(async (folder) => {
    const file = path.join(folder, "f");
    await createFile(file, "first", 0o600);
    await assert.rejects(createFile(file, "second", 0o600), { code: "EEXIST" });
    assert.equal(await readText(file), "first");
    assert.equal(await readText(path.join(folder, "none")), undefined);
  }));
