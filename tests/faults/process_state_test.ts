/**
 * The shared state of a whole Postern: limits survive its restart and its death; a file that cannot be used stops the
 * start and says so.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { PosternProcess, servePostern, tempHome } from "../support/postern_process.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const LIMIT = { timeout: 60_000 };

const TOML = `
hostname = "mx.example.org"
data_dir = "data"
state = "sqlite"
[[listeners]]
name = "in"
listen = "127.0.0.1:0"
tls = "none"
[upstreams.out]
servers = ["maildir:data/mail"]
[[routes]]
to = ["example.org"]
upstream = "out"
[[plugins]]
use = "rate-limit"
options = { rules = [{ by = "address", count = "messages", limit = 3, window = "1d" }] }
`;

/** MAIL, and the code of its answer. */
async function mail(port: number): Promise<number> {
  await using client = await SmtpClient.connect(port);
  await client.expect(220);
  await client.ehlo();
  const reply = await client.command("MAIL FROM:<a@client.test>", /./);
  return reply.code;
}

test("a limit holds over a restart, and over kill -9", LIMIT, async () => {
  await using home = await tempHome();
  {
    await using first = await servePostern(home.path, TOML);
    assert.equal(await mail(first.port("in")), 250);
    assert.deepEqual(await first.stop(), { code: 0, signal: null });
  }
  const file = path.join(home.path, "data", "state.db");
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  {
    await using second = await servePostern(home.path, TOML);
    assert.equal(await mail(second.port("in")), 250);
    assert.equal(await mail(second.port("in")), 250);
    second.signal("SIGKILL");
    await second.exited;
  }
  await using third = await servePostern(home.path, TOML);
  assert.equal(await mail(third.port("in")), 450);
});

test("two Posterns share the limits of one file", LIMIT, async () => {
  await using one = await tempHome();
  await using two = await tempHome();
  const shared = path.join(one.path, "shared.db");
  const toml = TOML.replace('"sqlite"', JSON.stringify(`sqlite:${shared}`));
  await using first = await servePostern(one.path, toml);
  await using second = await servePostern(two.path, toml);
  const codes: number[] = [];
  for (const postern of [first, second, first, second]) codes.push(await mail(postern.port("in")));
  assert.deepEqual(codes, [250, 250, 250, 450]);
});

test("R39: a damaged state file stops the start with one sentence", LIMIT, async () => {
  await using home = await tempHome({ "postern.toml": TOML });
  const file = path.join(home.path, "data", "state.db");
  fs.mkdirSync(path.dirname(file));
  fs.writeFileSync(file, "no database\n".repeat(1000));
  await using postern = new PosternProcess(["serve", "-c", path.join(home.path, "postern.toml")]);
  assert.deepEqual(await postern.exited, { code: 1, signal: null });
  assert.equal(postern.stdout, "");
  assert.match(
    postern.stderr.trimEnd(),
    /^[^\n]*state: Cannot open state: [^\n]*state\.db is damaged or no state file [^\n]*; move it away[^\n]*$/,
  );
});
