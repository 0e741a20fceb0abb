/** `postern plugin new | test | check`, in this process and, for what is generated, under the runtime's own test runner. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { runCli } from "../../src/cli/run.ts";
import { ROOT } from "../../tools/files.ts";
import { fakeIo, withFolder } from "../support/cli_io.ts";

async function postern(cwd: string, ...args: string[]) {
  const io = fakeIo({ cwd });
  const code = await runCli(["plugin", ...args], io);
  return { code, out: io.out(), err: io.err() };
}

const oneLine = /^postern: [^\n]+\n$/;

/** A folder with a file in it. */
function withFile<A>(
  name: string,
  text: string,
  work: (folder: string) => Promise<A>,
): Promise<A> {
  return withFolder((folder) => {
    fs.writeFileSync(path.join(folder, name), text);
    return work(folder);
  });
}

describe("postern plugin new", () => {
  test("writes a plugin whose tests pass as written, and which checks", () =>
    withFolder(async (folder) => {
      const made = await postern(folder, "new", "block-some");
      assert.equal(made.code, 0);
      assert.match(made.out, /Next: postern plugin test block-some/);
      assert.deepEqual(fs.readdirSync(path.join(folder, "block-some")).sort(), [
        "README.md",
        "block-some.dialogue",
        "block-some_test.ts",
        "mod.ts",
        "tests.ts",
      ]);
      const source = fs.readFileSync(path.join(folder, "block-some", "mod.ts"), "utf8");
      assert.deepEqual(source.match(/^import .*/gm)?.map((line) => line.slice(0, 11)), [
        "import type",
      ]);
      for (const place of ["block-some", "block-some/mod.ts"]) {
        const tested = await postern(folder, "test", place);
        assert.equal(tested.code, 0, tested.out);
        assert.match(tested.out, /ok {4}block-some\.dialogue\n.*\n.*\n3 passed, 0 failed\n$/);
      }
      const checked = await postern(folder, "check", "block-some", "--options", '{"domains":[]}');
      assert.equal(checked.code, 0, checked.out);
      assert.match(checked.out, /rcpt {2}once a recipient/);
    }));

  test("what it writes runs under the test runner of this runtime", () =>
    withFolder(async (folder) => {
      await postern(folder, "new", "mine");
      const bun = process.versions["bun"] !== undefined;
      if (bun) {
        fs.mkdirSync(path.join(folder, "node_modules", "@postern"), { recursive: true });
        fs.symlinkSync(ROOT, path.join(folder, "node_modules", "@postern", "postern"));
      }
      const args = bun
        ? ["test", "./mine/mine_test.ts"]
        : ["test", "-A", "--no-check", "--config", path.join(ROOT, "deno.json"), "mine"];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, NO_COLOR: "1" },
      });
      assert.equal(status, 0, `${stdout}${stderr}`);
      assert.match(`${stdout}${stderr}`, /3 pass/);
    }));

  for (
    const [words, expected] of [
      [["Bad_Name"], /Cannot make a plugin named "Bad_Name": expected a-z, 0-9 and -/],
      [["-x"], /Unknown option/],
      [["no/such/folder"], /Cannot make no\/such\/folder: the folder above it does not exist/],
      [["there"], /Cannot make there: it exists already/],
      [[], /Missing argument NAME/],
    ] as const
  ) {
    test(`refuses in one line: ${JSON.stringify(words)}`, () =>
      withFile("there", "a file", async (folder) => {
        const { code, err } = await postern(folder, "new", ...words);
        assert.notEqual(code, 0);
        assert.match(err, oneLine);
        assert.match(err, expected);
        assert.equal(fs.readFileSync(path.join(folder, "there"), "utf8"), "a file");
      }));
  }
});

describe("postern plugin test", () => {
  const plugin = `export default (edge) => ({
  name: "mail-no",
  hooks: { mail: () => edge.refuse(550, "5.7.1", "No") },
});
`;
  const dialogue = "S: 220 *\nC: HELO x\nS: 250 *\nC: MAIL FROM:<>\nS: 550 5.7.1 Never\n";

  test("shows place, what was expected, what came and the conversation; ends with 1", () =>
    withFile("mail-no.ts", plugin, async (folder) => {
      fs.writeFileSync(path.join(folder, "mail_no.dialogue"), dialogue);
      fs.writeFileSync(
        path.join(folder, "mail-no.tests.ts"),
        'export default () => ({\n  breaks() {\n    throw new Error("on\\npurpose");\n  },\n});\n',
      );
      const { code, out, err } = await postern(folder, "test", "mail-no.ts");
      assert.equal(code, 1);
      assert.equal(err, "");
      assert.match(out, / {2}FAIL {2}mail_no\.dialogue\n {8}mail_no\.dialogue:5\n/);
      assert.match(out, /expected {2}S: 550 5\.7\.1 Never\n {8}got {7}S: 550 5\.7\.1 No\n/);
      assert.match(out, /> "MAIL FROM:<>\\r\\n"/);
      assert.match(out, /FAIL {2}breaks\n {8}mail-no\.tests\.ts:3:\d+\n {8}on\n {8}purpose\n/);
      assert.doesNotMatch(out, /^ *at /m);
      assert.match(out, /0 passed, 2 failed\n$/);
    }));

  test("--update writes what is answered", () =>
    withFile("mod.ts", plugin, async (folder) => {
      const file = path.join(folder, "a.dialogue");
      fs.writeFileSync(file, dialogue);
      assert.equal((await postern(folder, "test", "--update")).code, 0);
      assert.equal(fs.readFileSync(file, "utf8"), dialogue.replace("Never", "No"));
      assert.equal((await postern(folder, "test", ".")).code, 0);
    }));

  test("dialogues may use the bundled plugins beside it", () =>
    withFile("mod.ts", 'export default () => ({ name: "x", hooks: {} });\n', async (folder) => {
      fs.writeFileSync(
        path.join(folder, "a.dialogue"),
        'config [[plugins]]\nconfig use = "spam-score"\nS: 220 *\n',
      );
      const { code, out } = await postern(folder, "test");
      assert.equal(code, 0, out);
    }));

  test("refuses in one line where there is nothing to test, or tests that cannot be", () =>
    withFile("mod.ts", plugin, async (folder) => {
      const empty = await postern(folder, "test");
      assert.equal(empty.code, 1);
      assert.match(empty.err, oneLine);
      assert.match(empty.err, /nothing to test: mod\.ts has no \.dialogue file and no tests\.ts/);
      fs.writeFileSync(path.join(folder, "tests.ts"), "export default 1;\n");
      const wrong = await postern(folder, "test");
      assert.match(wrong.err, oneLine);
      assert.match(wrong.err, /tests\.ts has no default export that is a function/);
    }));
});

describe("postern plugin check", () => {
  test("tells stages, costs, failure policy, manifest and what it logs", () =>
    withFile(
      "all.mjs",
      `export const manifest = { version: "2.0.0", net: ["api.test"], reads: ["spf"], holdBody: true };
export default async (edge) => {
  edge.log.warn("careful");
  await edge.readText("all.mjs");
  return {
    name: "all",
    hooks: {
      auth: { mechanisms: ["PLAIN"], verify() {} },
      body: { transform: (c) => c, observe() {}, scan() {} },
      reply() {},
      on: { delivered() {} },
    },
  };
};
`,
      async (folder) => {
        const { code, out } = await postern(folder, "check", "all.mjs");
        assert.equal(code, 0, out);
        for (
          const part of [
            /name {8}all\n/,
            /options {5}no schema/,
            /on failure {2}tempfail, the default/,
            /version 2\.0\.0; talks to api\.test; reads the notes spf/,
            /held until its verdict/,
            /it logs \(warn\): careful/,
            /auth {12}once a login; serves PLAIN/,
            /body\.transform {2}every chunk/,
            /body\.scan/,
            /told, never waited for: delivered/,
            /1 warning\n$/,
          ]
        ) assert.match(out, part);
      },
    ));

  test("wrong options, exports and hooks are told with their path, and end with 2", async () => {
    const schema = `export const options = { "~standard": { version: 1, vendor: "x",
      validate: () => ({ issues: [{ message: "expected a list", path: ["domains", 0] }] }) } };\n`;
    const good = 'export default () => ({ name: "x", hooks: {} });\n';
    for (
      const [text, expected] of [
        [schema + good, /FAIL {2}options\.domains\[0\]: expected a list/],
        ["export const a = 1;\n", /mod\.ts has no default export/],
        [`export const manifest = { net: 1 };\n${good}`, /`net` is not a list of strings/],
        ['export default () => ({ name: "x", hooks: { rctp() {} } });', /hooks\.rctp is unknown/],
        ['export default () => { throw new Error("no key"); };', /does not start: Error: no key/],
        ['export default () => ({ name: "X Y", hooks: {} });', /name must consist of/],
      ] as const
    ) {
      await withFile("mod.ts", text, async (folder) => {
        const { code, out, err } = await postern(folder, "check", ".");
        assert.equal(code, 2, out);
        assert.equal(err, "");
        assert.match(out, expected);
        assert.doesNotMatch(out, /^ *at /m);
      });
    }
  });

  test("what cannot be loaded is one line with its place and no stack", async () => {
    const help = /must be a type \(import type\), or be bundled/;
    for (
      const [text, expected] of [
        ["export const a = 1 +;\n", /mod\.ts:1:21: Cannot load the plugin: \S/],
        ['import { x } from "./nope.ts";\nx;\n', /mod\.ts.*: Cannot load the plugin: .*nope\.ts/],
        ['import { x } from "@no/such-package";\nx;\n', help],
        ["\nnull.x;\n", /mod\.ts:2:\d+: Cannot load the plugin: \S/],
      ] as const
    ) {
      await withFile("mod.ts", text, async (folder) => {
        // A folder of packages keeps Bun from looking for some by itself.
        fs.mkdirSync(path.join(folder, "node_modules"));
        const { code, err } = await postern(folder, "check", ".");
        assert.equal(code, 1);
        assert.match(err, oneLine);
        assert.match(err, expected);
      });
    }
  });

  for (
    const [words, code, expected] of [
      [["nope"], 1, /Cannot read nope: it does not exist/],
      [["."], 1, /Cannot load \.: there is no mod\.ts in it/],
      [["a.txt"], 1, /Cannot load a\.txt: expected a folder, or a file that ends in \.ts or \.js/],
      [["a.txt", "--options", "{"], 2, /Cannot use --options: expected JSON/],
      [[], 2, /Missing argument PATH/],
    ] as const
  ) {
    test(`refuses in one line: ${JSON.stringify(words)}`, () =>
      withFile("a.txt", "x", async (folder) => {
        const result = await postern(folder, "check", ...words);
        assert.equal(result.code, code);
        assert.match(result.err, oneLine);
        assert.match(result.err, expected);
      }));
  }
});
