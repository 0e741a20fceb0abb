/** SIGHUP: the plugins of the configuration are taken over, and what cannot be is told. @module */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { PosternProcess, servePostern, tempHome } from "../support/postern_process.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const LIMIT = { timeout: 60_000 };

const plugin = (text: string) =>
  `export default (edge, options) => ({ name: "no-${text}", hooks: {
    mail: () => edge.refuse(550, "5.7.1", "${text} " + options.word) } });\n`;

const entries = (word: string) =>
  `\n[[plugins]]\nuse = "./no.ts"\noptions = { word = "${word}" }\n`;

const CONFIG = `hostname = "mx.example.org"
data_dir = "data"
[[listeners]]
name = "in"
listen = "127.0.0.1:0"
tls = "none"
[upstreams.out]
servers = ["maildir:./mail"]
[[routes]]
to = ["example.org"]
upstream = "out"
`;

async function refusal(postern: PosternProcess): Promise<string> {
  await using client = await SmtpClient.connect(postern.port("in"));
  await client.expect(220);
  await client.ehlo();
  return (await client.command("MAIL FROM:<a@b.test>", 550)).lines[0] ?? "";
}

test("SIGHUP takes over options and files of plugins, for new sessions", LIMIT, async () => {
  await using home = await tempHome({ "no.ts": plugin("one") });
  const file = path.join(home.path, "postern.toml");
  await using postern = await servePostern(home.path, CONFIG + entries("first"));
  assert.equal(await refusal(postern), "5.7.1 one first");
  await using old = await SmtpClient.connect(postern.port("in"));
  await old.expect(220);
  await old.ehlo();

  fs.writeFileSync(file, CONFIG + entries("second"));
  postern.signal("SIGHUP");
  await postern.logged("plugins reloaded plugins=no-one\n");
  assert.equal(await refusal(postern), "5.7.1 one second");

  fs.writeFileSync(path.join(home.path, "no.ts"), plugin("two"));
  fs.writeFileSync(file, `${CONFIG + entries("third")}\n[limits]\nerrors = 3\n`);
  postern.signal("SIGHUP");
  await postern.logged("these changes need a restart keys=limits\n");
  await postern.logged("plugins reloaded plugins=no-two\n");
  assert.equal(await refusal(postern), "5.7.1 two third");
  await old.command("MAIL FROM:<a@b.test>", /^550 5\.7\.1 one first$/);
  old.close();
  assert.deepEqual(await postern.stop(), { code: 0, signal: null });
});

test(
  "SIGHUP with a wrong configuration or plugin changes nothing, and says where",
  LIMIT,
  async () => {
    await using home = await tempHome({ "no.ts": plugin("one") });
    const file = path.join(home.path, "postern.toml");
    await using postern = await servePostern(home.path, CONFIG + entries("first"));
    fs.writeFileSync(file, `${CONFIG}\nlimts = {}\n`);
    postern.signal("SIGHUP");
    await postern.logged("reload refused, the configuration goes on as it was");
    assert.match(postern.stderr, /postern\.toml:\d+:\d+: [^\n]*limts/);
    fs.writeFileSync(file, `${CONFIG}${entries("second")}\n[[plugins]]\nuse = "./none.ts"\n`);
    postern.signal("SIGHUP");
    await postern.logged("reload refused, the plugins go on as they are");
    assert.match(postern.stderr, /plugins\[1\]\.use: Cannot load plugin \.\/none\.ts/);
    fs.rmSync(file);
    postern.signal("SIGHUP");
    await postern.logged("it does not exist");
    assert.equal(await refusal(postern), "5.7.1 one first");
    assert.deepEqual(await postern.stop(), { code: 0, signal: null });
  },
);

test("SIGHUP reads a configuration that is code again, too", LIMIT, async () => {
  const code = (word: string) =>
    `export default {
      hostname: "mx.example.org",
      data_dir: "data",
      listeners: [{ name: "in", listen: "127.0.0.1:0", tls: "none" }],
      upstreams: { out: { servers: ["maildir:./mail"] } },
      routes: [{ to: ["example.org"], upstream: "out" }],
      plugins: [{ use: "./no.ts", options: { word: "${word}" } }],
    };\n`;
  await using home = await tempHome({ "no.ts": plugin("one"), "postern.config.ts": code("first") });
  const file = path.join(home.path, "postern.config.ts");
  await using postern = new PosternProcess(["serve", "-c", file]);
  await postern.ready();
  fs.writeFileSync(file, code("second"));
  postern.signal("SIGHUP");
  await postern.logged("plugins reloaded plugins=no-one");
  assert.equal(await refusal(postern), "5.7.1 one second");
});
