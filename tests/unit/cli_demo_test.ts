/** `postern demo`: the show in this process, the staying up in a child. @module */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { describe, test } from "node:test";
import { getColorEnabled } from "@std/fmt/colors";
import { demoMessages } from "../../src/cli/demo/messages.ts";
import { runCli } from "../../src/cli/run.ts";
import { SPECS } from "../../src/cli/specs.ts";
import { parseSettings } from "../../src/settings/parse.ts";
import { listMaildir } from "../../src/upstream/maildir.ts";
import { fakeIo, withFolder, type World } from "../support/cli_io.ts";
import { PosternProcess } from "../support/postern_process.ts";
import { SmtpClient } from "../support/smtp_client.ts";

async function demo(args: readonly string[], world: World = {}) {
  const io = fakeIo(world);
  const code = await runCli(["demo", ...args], io);
  return { code, out: io.out(), err: io.err() };
}

/** The folder that the demo says it uses. */
const folderOf = (out: string) => /^ +folder +(\S+)/m.exec(out)?.[1] ?? "";

test("postern demo --once sends ham, spam and a submission, and tells what became of each", async () => {
  const { code, out, err } = await demo(["--once"]);
  assert.equal(code, 0, out);
  assert.equal(err, "");
  const [intro, ham, spam, submitted, ...rest] = out.split(/^(?=\d\. )/m);
  assert.deepEqual(rest, []);
  assert.match(intro!, /^Postern demo on (?:Deno|Bun) \S+\n/);
  for (const label of ["certificate", "mx", "submission", "user", "policies"]) {
    assert.match(intro!, new RegExp(`^ +${label} +\\S`, "m"));
  }

  assert.match(ham!, /^1\. Carol writes to Alice: delivered\n/);
  assert.match(ham!, /client +127\.0\.0\.1 as mail\.example\.com to mx, TLSv1\.[23]\n/);
  assert.match(ham!, /envelope +<carol@example\.com> to <alice@example\.org>, \d+ octets\n/);
  assert.match(ham!, /rate-limit +mail +\S+ ms +no objection \(hourly: \d+ of 100 left\)\n/);
  assert.match(ham!, /spam-score +header +\S+ ms +adds X-Spam-Status\n/);
  assert.match(ham!, /header-rewrite +header +\S+ ms +adds X-Edge\n/);
  assert.match(ham!, /upstream +mailbox said 250 2\.0\.0 /);
  assert.match(ham!, /answer +250 2\.0\.0 /);
  assert.match(ham!, /file +mail\/alice@example\.org\/new\/\S+\n/);

  assert.match(spam!, /^2\. Somebody sends spam to Alice: refused\n/);
  assert.match(spam!, /spam-score +end +\S+ ms +\+1000 GTUBE\n +refuse 550 /);
  assert.match(spam!, /score +[\d.]+: .*SUBJECT_ALL_CAPS/);
  assert.match(spam!, /GTUBE/);
  assert.match(spam!, /upstream +mailbox never saw the end of the message/);
  assert.match(spam!, /answer +550 5\.7\.1 /);
  assert.doesNotMatch(spam!, /file /);

  assert.match(submitted!, /^3\. Alice logs in and writes to Carol: delivered\n/);
  assert.match(submitted!, /to submission, TLSv1\.[23], logged in as alice \((?:PLAIN|LOGIN)\)\n/);
  assert.match(submitted!, /file +world\/carol@example\.com\/new\/\S+\n/);

  assert.doesNotMatch(out, /\x1b|Not as promised/);
  for (const line of out.split("\n")) assert(line.length <= 100, line);
  assert(!fs.existsSync(folderOf(out)), "the folder is gone");
});

test("postern demo has colours on a terminal, and none with NO_COLOR", async () => {
  const colored = await demo(["--once"], { terminals: ["stdout"] });
  // Where this very process runs under NO_COLOR, Deno lets nobody have colours.
  if (getColorEnabled()) assert.match(colored.out, /\x1b\[/);
  const plain = await demo(["--once"], { terminals: ["stdout"], env: { NO_COLOR: "1" } });
  assert.doesNotMatch(plain.out, /\x1b/);
});

describe("postern demo --dir", () => {
  test("keeps everything there, fit for serve and for a second demo", () =>
    withFolder(async (cwd) => {
      const first = await demo(["--once", "--dir", "my/demo"], { cwd });
      assert.equal(first.code, 0, first.out);
      const folder = path.join(cwd, "my", "demo");
      const mail = await listMaildir(path.join(folder, "mail"));
      assert.deepEqual(mail.map(({ recipient }) => recipient), ["alice@example.org"]);
      const text = fs.readFileSync(mail[0]!.file, "utf8");
      assert.match(text, /^Received: from mail\.example\.com/m);
      assert.match(text, /^Subject: Lunch on Friday\?\r$/m);
      assert.match(text, /^X-Edge: postern-demo\r$/m);
      // The login is as good as any: the file of users holds a hash, and only its owner reads it.
      const password = /password (\S+)/.exec(first.out)![1]!;
      const users = path.join(folder, "users.txt");
      assert.match(fs.readFileSync(users, "utf8"), /^alice:\$argon2id\$/);
      assert.equal(fs.statSync(users).mode & 0o077, 0);
      const log = fs.readFileSync(path.join(folder, "postern.log"), "utf8");
      assert.match(log, / delivered id=/);
      for (const name of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!name.isFile()) continue;
        const file = path.join(name.parentPath, name.name);
        assert(!fs.readFileSync(file, "utf8").includes(password), `no password in ${file}`);
      }
      const config = path.join(folder, "postern.toml");
      const parsed = parseSettings(fs.readFileSync(config, "utf8"), {
        file: config,
        baseDir: folder,
        env: () => undefined,
        readFile: () => {
          throw new Error("There is nothing to read");
        },
      });
      assert(parsed.ok);
      assert.deepEqual(parsed.warnings, []);

      const second = await demo(["--once", "--dir", "my/demo"], { cwd });
      assert.equal(second.code, 0, second.out);
      assert.equal((await listMaildir(path.join(folder, "mail"))).length, 2);
    }));

  test("touches nobody else's configuration", () =>
    withFolder(async (cwd) => {
      const file = path.join(cwd, "postern.toml");
      fs.writeFileSync(file, 'hostname = "mine"\n');
      const { code, out, err } = await demo(["--once", "--dir", "."], { cwd });
      assert.equal(code, 2);
      assert.equal(out, "");
      assert.match(err, /^postern: Cannot use the folder \.: its postern\.toml is not the demo's/);
      assert.deepEqual(fs.readdirSync(cwd), ["postern.toml"]);
      assert.equal(fs.readFileSync(file, "utf8"), 'hostname = "mine"\n');
    }));

  test("says what is wrong with a folder", () =>
    withFolder(async (cwd) => {
      fs.writeFileSync(path.join(cwd, "file"), "");
      for (
        const [dir, why] of [["file", "it is a file"], [
          "file/below",
          "a part of the path is not a folder",
        ]] as const
      ) {
        const { code, err } = await demo(["--once", "--dir", dir], { cwd });
        assert.equal(code, 2);
        assert.equal(err, `postern: Cannot use the folder ${dir}: ${why}\n`);
      }
    }));
});

test("postern demo takes other ports where the friendly ones are in use", async () => {
  const taken = await Promise.all(
    [2525, 2587].map((port) =>
      new Promise<net.Server | undefined>((resolve) => {
        const server = net.createServer((socket) => socket.destroy());
        server.once("error", () => resolve(undefined));
        server.listen(port, "127.0.0.1", () => resolve(server));
      })
    ),
  );
  try {
    const { code, out } = await demo(["--once"]);
    assert.equal(code, 0, out);
    // Where this test could not take a port, somebody else had it, or gave it back meanwhile.
    if (taken[0]) assert.doesNotMatch(out, /127\.0\.0\.1:2525/);
    if (taken[1]) assert.doesNotMatch(out, /127\.0\.0\.1:2587/);
  } finally {
    for (const server of taken) server?.close();
  }
});

test("postern demo stays up for the reader's mail, and ends with 0 and without its folder", async () => {
  await using child = new PosternProcess(["demo"]);
  await child.ready();
  const mx = child.port("mx");
  {
    await using client = await SmtpClient.connect(mx);
    await client.expect(220);
    await client.ehlo("reader.example.com");
    await client.sendMessage({ from: "reader@example.com", to: "alice@example.org" });
    await client.command("MAIL FROM:<reader@example.com>", 250);
    await client.command("RCPT TO:<somebody@example.com>", "550 5.7.1");
    await client.quit();
  }
  const { code, signal } = await child.stop();
  assert.equal(signal, null);
  assert.equal(code, 0);
  const { stdout, stderr } = child;
  assert.equal(stderr, "");
  const [show, after = ""] = stdout.split(/^postern ready .*\n/m);
  assert.match(stdout, /^postern ready mx=127\.0\.0\.1:\d+ submission=127\.0\.0\.1:\d+\n/m);
  assert.match(show!, /^3\. Alice logs in/m);
  for (const part of [`swaks --server 127.0.0.1:${mx}`, "postern send", "curl -k", "Ctrl-C"]) {
    assert(after.includes(part), part);
  }
  assert.match(after, /^4\. From reader@example\.com: delivered\n/m);
  assert.match(after, /^log +relaying denied .*to=somebody@example\.com$/m);
  assert(!fs.existsSync(folderOf(stdout)), "the folder is gone");
});

test("the demo's spam is not in our sources, but in what is sent", () => {
  const spam = demoMessages(new Date()).find(({ promise }) => promise.fate === "refused");
  const [, string] = /\n(\S{68})\r\n/.exec(new TextDecoder().decode(spam!.content)) ?? [];
  assert.match(string ?? "", /GTUBE/);
  const source = fs.readFileSync(
    new URL("../../src/cli/demo/messages.ts", import.meta.url),
    "utf8",
  );
  assert(!source.includes(string!));
});

test("postern demo: unknown options suggest the nearest", async () => {
  const { code, err } = await demo(["--onse"]);
  assert.equal(code, 2);
  assert.match(err, /^postern: Unknown option --onse; did you mean "--once"\?/);
  assert(SPECS.some(({ name }) => name === "demo"));
});
