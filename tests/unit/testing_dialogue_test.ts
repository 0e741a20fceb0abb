/** Golden dialogues of plugins: played, compared, recorded. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import type { PluginModule } from "../../src/plugin/mod.ts";
import { DialogueFailed, pluginTests, runDialogue } from "../../src/testing/mod.ts";
import { withFolder } from "../support/cli_io.ts";

const plugin: PluginModule<{ domain: string; file?: string }> = async (edge, options) => {
  const text = options.file === undefined ? "No" : (await edge.readText(options.file)).trim();
  return {
    name: "no-domain",
    hooks: {
      mail: () => edge.delay(1_000),
      rcpt: (to) => to.domain === options.domain ? edge.refuse(550, "5.7.1", text) : undefined,
    },
  };
};

const dialogue = `# Refuses a domain.
config plugin.options = { domain = "spam.test" }
S: 220 *
C: EHLO client.test
S: ...
S: 250 STARTTLS
C: MAIL FROM:<a@b.test>
T: 1s
S: 250 2.1.0 *
C: RCPT TO:<a@spam.test>
S: 550 5.7.1 No
C: RCPT TO:<a@up.test>
U> MAIL FROM:<a@b.test>
U> RCPT TO:<a@up.test>
U< 250 ok
U< 250 ok
S: 250 2.1.5 *
`;

function withFile<A>(text: string, work: (file: string) => Promise<A>): Promise<A> {
  return withFolder((folder) => {
    const file = path.join(folder, "x.dialogue");
    fs.writeFileSync(file, text);
    fs.writeFileSync(path.join(folder, "text.txt"), "From a file\n");
    return work(file);
  });
}

const play = (text: string, more = {}) =>
  withFile(text, (file) => runDialogue(plugin, file, { update: false, ...more }));

const record = (text: string) =>
  withFile(text, async (file) => {
    await runDialogue(plugin, file, { update: true });
    return fs.readFileSync(file, "utf8");
  });

describe("runDialogue", () => {
  for (const split of [undefined, 1, 7]) {
    test(`plays with the plugin loaded, packets of ${split ?? "all"}`, () =>
      play(dialogue, split === undefined ? {} : { split }));
  }

  test("options from the test, files from the dialogue's folder", () =>
    play(
      dialogue.replace(/^config.*\n/m, "").replace("5.7.1 No", "5.7.1 From a file"),
      { options: { domain: "spam.test", file: "text.txt" } },
    ));

  test("a difference tells place, what was expected, what came and both conversations", async () => {
    const failure = await play(dialogue.replace("550 5.7.1 No", "550 5.7.1 Never")).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.ok(failure instanceof DialogueFailed);
    assert.equal(failure.place, "x.dialogue:11");
    assert.equal(failure.expected, "S: 550 5.7.1 Never");
    assert.equal(failure.got, "550 5.7.1 No");
    assert.match(failure.client, /> "RCPT TO:<a@spam\.test>\\r\\n"/);
    assert.match(failure.message, /^x\.dialogue:11: S: 550 5\.7\.1 Never\ngot "550 5\.7\.1 No"\n/);
  });

  test("what does not come, and what comes unasked, fails", async () => {
    await assert.rejects(
      play("S: 220 *\nS: 250 *", { patience: 20 }),
      /x\.dialogue:2: S: 250 \*\nWaited in vain/,
    );
    await assert.rejects(
      play(
        "S: 220 *\nC: NOOP\nC: NOOP\nS: 250 *\nC: RSET\nS: 250 *\nS: 250 *\nC= \nT: 1s\nC: NOOP\nT: 1s",
      ),
      /said more than the dialogue/,
    );
  });

  test("a wrong file names its line, a wrong setting its path", async () => {
    await assert.rejects(play("D: x"), /^Error: x\.dialogue:1: Not a line of a dialogue/);
    await assert.rejects(play("T: soon"), /x\.dialogue:1: Not a time: soon/);
    await assert.rejects(
      play('config plugin.options = { domain = 1 }\nconfig hostnme = "x"\nS: 220 *'),
      /x\.dialogue: hostnme: unknown key/,
    );
  });
});

describe("recording", () => {
  test("what is met stays as it is", async () => assert.equal(await record(dialogue), dialogue));

  test("what is not met is written, on both sides; stars are escaped", async () => {
    const stale = dialogue.replace("550 5.7.1 No", "250 2.1.5 *\nS: 999 gone")
      .replace("U> MAIL FROM:<a@b.test>", "U> MAIL FROM:<x@b.test>");
    assert.equal(await record(stale), dialogue);
    const starred = await withFile(
      dialogue.replace("5.7.1 No", "5.7.1 no"),
      async (file) => {
        const star: PluginModule = (edge) => ({
          name: "star",
          hooks: {
            mail: () => edge.delay(1_000),
            rcpt: (to) =>
              to.domain === "spam.test" ? edge.refuse(550, "5.7.1", "A * b") : undefined,
          },
        });
        await runDialogue(star, file, { update: true });
        return fs.readFileSync(file, "utf8");
      },
    );
    assert.match(starred, /^S: 550 5\.7\.1 A \\\* b$/m);
  });

  test("a file of inputs only is filled in", async () => {
    const inputs = dialogue.split("\n").filter((line) => !/^[SU]/.test(line)).join("\n");
    const filled = await record(inputs);
    assert.match(filled, /^# Refuses.*\nconfig .*\nS: 220 mx\.test ESMTP Postern\nC: EHLO/);
    assert.match(filled, /^C: MAIL FROM:<a@b\.test>\nT: 1s\nS: 250 2\.1\.0 Sender ok$/m);
    assert.match(filled, /^C: RCPT TO:<a@spam\.test>\nS: 550 5\.7\.1 No$/m);
    assert.match(filled, /^C: RCPT TO:<a@up\.test>\nS: 250 2\.0\.0 Recipient ok$/m);
    await play(filled);
  });
});

test("pluginTests finds what belongs to a file, and to a folder", () =>
  withFolder(async (folder) => {
    const write = (name: string, text: string) => fs.writeFileSync(path.join(folder, name), text);
    const source = 'export default () => ({ name: "x", hooks: {} });\n';
    write("tag-it.ts", source);
    write("tag_it.dialogue", "S: 220 *\n");
    write("tag_it_more.dialogue", "S: 221 *\n");
    write("tagger.dialogue", "S: 220 *\n");
    write(
      "tag_it.tests.ts",
      `export default (kit) => ({
        "passes": async () => void await kit.runPlugin(),
        "fails": () => { throw new Error("on purpose"); },
      });\n`,
    );
    const results = async (place: string) => {
      const tests = await pluginTests(place, { update: false });
      return await Promise.all(
        tests.map(async ({ name, run }) => [name, await run().then(() => true, () => false)]),
      );
    };
    assert.deepEqual(await results(path.join(folder, "tag-it.ts")), [
      ["tag_it.dialogue", true],
      ["tag_it_more.dialogue", false],
      ["passes", true],
      ["fails", false],
    ]);
    await assert.rejects(pluginTests(folder), /There is no mod\.ts in/);
    write("mod.ts", source);
    write("tests.ts", "export default 7;\n");
    await assert.rejects(pluginTests(folder), /tests\.ts has no default export that is a function/);
    fs.rmSync(path.join(folder, "tests.ts"));
    assert.equal((await results(folder)).length, 3);
  }));

test("names are those of the dialogue, then those of the options", () => {
  const asks: PluginModule = (edge) => ({
    name: "asks",
    hooks: {
      async helo(name, { signal }) {
        const { status } = await edge.dns.resolve(name, "A", { signal });
        if (status !== "found") return edge.refuse(550, "5.7.1", `Your name: ${status}`);
      },
    },
  });
  const text = `config dns a.test A 192.0.2.1
config dns b.test servfail
S: 220 *
C: EHLO b.test
S: 550 5.7.1 Your name: failed
C: EHLO c.test
S: 550 5.7.1 Your name: no-name
C: EHLO d.test
S: ...
S: 250 STARTTLS
C: EHLO a.test
S: ...
S: 250 STARTTLS
`;
  return withFile(text, (file) =>
    runDialogue(asks, file, {
      update: false,
      dns: { "b.test": { A: ["192.0.2.2"] }, "d.test": { A: ["192.0.2.2"] } },
    }));
});
