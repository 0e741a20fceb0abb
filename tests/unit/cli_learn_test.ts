import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { runCli } from "../../src/cli/run.ts";
import { fakeIo, withFolder, type World } from "../support/cli_io.ts";

async function postern(args: readonly string[], world: World = {}) {
  const io = fakeIo(world);
  const code = await runCli(args, io);
  return { code, out: io.out(), err: io.err() };
}

const mail = (n: number, text = "the words of it") =>
  `From: sam${n}@example.net\nSubject: number ${n}\nDate: Thu, 15 Jan 2026 12:00:00 +0000\n\n${text} ${n}\n`;
const mbox = (...messages: string[]) =>
  messages.map((text) => `From sam@example.net Thu Jan 15 12:00:00 2026\n${text}\n`).join("");

/** Files of a folder, by their path. */
function write(cwd: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(cwd, name)), { recursive: true });
    fs.writeFileSync(path.join(cwd, name), text);
  }
}

/** The first lines and the counts of the model. */
function model(cwd: string, name = "spam.bayes") {
  const lines = fs.readFileSync(path.join(cwd, name), "utf8").split("\n");
  const counts = new Map(
    lines.map((line) => [line.split("\t")[0], line.split("\t").slice(1).join()]),
  );
  return { text: lines.join("\n"), counts, messages: counts.get("=messages") };
}

describe("postern learn", () => {
  test("takes messages, mboxes, Maildirs, folders and standard input", async () => {
    await withFolder(async (cwd) => {
      write(cwd, {
        "one.eml": mail(1),
        "many.mbox": mbox(mail(2), mail(3, "From the heart"), mail(4)),
        "many_crlf.mbox": mbox(mail(5), mail(6)).replaceAll("\n", "\r\n"),
        "Maildir/cur/1:2,S": mail(7),
        "Maildir/new/2": mail(8),
        "Maildir/tmp/3": mail(98),
        "Maildir/.Junk/cur/4": mail(99),
        "Maildir/dovecot.index": "no message",
        "folder/deep/x": mail(9),
        "folder/.hidden": mail(97),
        "folder/notes.json": '{"no":"message"}\n',
        "folder/empty": "",
      });
      const paths = ["one.eml", "many.mbox", "many_crlf.mbox", "Maildir", "folder", "-"];
      const { code, out, err } = await postern(["learn", "ham", ...paths], {
        cwd,
        input: mail(10),
      });
      assert.equal(err, "");
      assert.equal(code, 0);
      assert.match(out, /^Learned 10 messages as ham \(1 not a message\)\n/);
      assert.match(out, /\nspam\.bayes: 10 messages of ham, 0 of spam, [0-9]+ tokens\n$/);
      const { counts, messages } = model(cwd);
      assert.equal(messages, "10,0");
      assert.equal(counts.get("words"), "9,0");
      assert.equal(counts.get("s:number"), "10,0");
      assert.equal(fs.statSync(path.join(cwd, "spam.bayes")).mode & 0o777, 0o600);
    });
  });

  test("counts a message once, whatever its line ends and its place; a second opinion moves it", async () => {
    await withFolder(async (cwd) => {
      write(cwd, {
        "a.eml": mail(1),
        "b.eml": mail(1).replaceAll("\n", "\r\n"),
        "c.mbox": mbox(mail(1)),
      });
      assert.match(
        (await postern(["learn", "spam", "a.eml", "b.eml"], { cwd })).out,
        /^Learned 1 message as spam \(1 known already\)\n/,
      );
      const before = model(cwd).text;
      assert.match(
        (await postern(["learn", "spam", "b.eml"], { cwd })).out,
        /^Learned 0 messages as spam \(1 known already\)\n/,
      );
      assert.equal(model(cwd).text, before);
      assert.match(
        (await postern(["learn", "ham", "a.eml"], { cwd })).out,
        /^Learned 1 message as ham\n/,
      );
      assert.equal(model(cwd).messages, "1,0");
      assert.equal(model(cwd).counts.get("words"), "1,0");
    });
  });

  test("forget takes back, and the model is as if it had not been", async () => {
    await withFolder(async (cwd) => {
      write(cwd, { "a.eml": mail(1), "b.eml": mail(2, "other things entirely") });
      await postern(["learn", "ham", "a.eml"], { cwd });
      const before = model(cwd).text;
      await postern(["learn", "spam", "b.eml"], { cwd });
      assert.notEqual(model(cwd).text, before);
      assert.match(
        (await postern(["learn", "forget", "b.eml"], { cwd })).out,
        /^Forgot 1 message\n/,
      );
      assert.equal(model(cwd).text, before);
      assert.match(
        (await postern(["learn", "forget", "b.eml"], { cwd })).out,
        /^Forgot 0 messages \(1 never learned\)\n/,
      );
    });
  });

  test("merge adds another model, once", async () => {
    await withFolder(async (cwd) => {
      write(cwd, { "a.eml": mail(1), "b.eml": mail(2) });
      await postern(["learn", "ham", "a.eml"], { cwd });
      await postern(["learn", "spam", "b.eml", "--model", "other.bayes"], { cwd });
      const { code, out } = await postern(["learn", "merge", "other.bayes"], { cwd });
      assert.equal(code, 0);
      assert.match(out, /^spam\.bayes: 1 messages of ham, 1 of spam/);
      assert.equal(model(cwd).counts.get("words"), "1,1");
      const again = await postern(["learn", "merge", "other.bayes"], { cwd });
      assert.equal(again.code, 1);
      assert.match(
        again.err,
        /Cannot merge other\.bayes: 1 of its messages stand in spam\.bayes already/,
      );
      assert.equal(model(cwd).messages, "1,1");
    });
  });

  test("tells how far it is, where nobody sees a spinner", async () => {
    await withFolder(async (cwd) => {
      write(cwd, { "big.mbox": mbox(...Array.from({ length: 2001 }, (_, n) => mail(n))) });
      const { out, err } = await postern(["learn", "ham", "big.mbox"], { cwd });
      assert.equal(err, "Learning: 1000 messages\nLearning: 2000 messages\n");
      assert.match(out, /^Learned 2001 messages as ham\n/);
    });
  });

  test("a huge message of an mbox is cut, and the next one found", async () => {
    await withFolder(async (cwd) => {
      const huge = mail(1, "x ".repeat(3 * 1024 * 1024));
      write(cwd, { "huge.mbox": mbox(huge, mail(2)) });
      const { out } = await postern(["learn", "ham", "huge.mbox"], { cwd });
      assert.match(out, /^Learned 2 messages as ham\n/);
    });
  });

  test("says what is wrong, and changes nothing", async () => {
    await withFolder(async (cwd) => {
      write(cwd, { "a.eml": mail(1), "broken.bayes": "nonsense\n", "x.json": "{}\n" });
      const failed = async (...args: string[]) => {
        const { code, err } = await postern(["learn", ...args], { cwd });
        return `${code} ${err.trim()}`;
      };
      assert.match(await failed("ham", "none.eml"), /^1 postern: .*none\.eml: it does not exist$/);
      assert.equal(await failed("ham", "x.json"), "1 postern: Found no message in x.json");
      assert.equal(
        await failed("ham", "a.eml", "--model", "broken.bayes"),
        '1 postern: Cannot read model: broken.bayes: line 1: expected "postern-bayes 1"',
      );
      assert.equal(
        await failed("forget", "a.eml"),
        "1 postern: Cannot read model: spam.bayes does not exist",
      );
      assert.match(await failed("ham"), /^2 postern: Missing argument PATH/);
      assert.match(await failed(), /^2 postern: Missing command: one of learn ham, learn spam, /);
      assert.ok(!fs.existsSync(path.join(cwd, "spam.bayes")));
    });
  });
});
