/**
 * The permissions of the command line in SECURITY.md are enough for what a proxy does, and each is needed.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { passwords } from "../../src/pipeline/passwords.ts";
import { textOf } from "../../tools/files.ts";
import { ownRuntime, PosternProcess, servePostern, tempHome } from "../support/postern_process.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const CONFIG = `
data_dir = "data"

[[listeners]]
name = "mx"
listen = "127.0.0.1:0"

[[listeners]]
name = "submission"
listen = "127.0.0.1:0"
require_tls = true
auth = "required"

[upstreams.mailbox]
servers = ["maildir:data/mail"]

[[routes]]
to = ["example.org"]
upstream = "mailbox"

[[routes]]
authenticated = true
upstream = "mailbox"

[[plugins]]
use = "auth-file"
options = { users = "users.txt" }

[[plugins]]
use = "./own.ts"
`;

const OWN_PLUGIN =
  `export default (edge) => ({ name: "own", hooks: { header: (h) => h.append("X-Own", "1") } });\n`;

/** The permissions as documented, for this folder. The hostname comes from the environment. */
function permissions(home: string): Map<string, string> {
  return new Map([
    ["--allow-net", "127.0.0.1:0"],
    ["--allow-read", home],
    ["--allow-write", path.join(home, "data")],
    ["--allow-env", "POSTERN_TEST_HOSTNAME"],
    ["--allow-sys", "hostname"],
  ]);
}

function at(allowed: ReadonlyMap<string, string>) {
  const flags = [...allowed].map(([flag, value]) => `${flag}=${value}`);
  return { ...ownRuntime, permissions: ["--no-prompt", ...flags] };
}

async function home() {
  const made = await tempHome({
    "users.txt": `alice:${await passwords.hash("secret")}\n`,
    "own.ts": OWN_PLUGIN,
  });
  fs.mkdirSync(path.join(made.path, "data"));
  return made;
}

/** Environment of the children: a secret that only the permission makes readable. */
process.env.POSTERN_TEST_HOSTNAME = "mx.example.org";
const TOML = `hostname = { env = "POSTERN_TEST_HOSTNAME" }\n${CONFIG}`;

test("R40: the least permissions are documented by these names", () => {
  const command = /```sh\ndeno run --no-prompt --cached-only \\\n([^`]*)```/
    .exec(textOf("SECURITY.md"))?.[1] ?? "";
  assert.deepEqual(command.match(/--allow-[a-z]+/g), [...permissions("").keys()]);
});

describe("R40: the least permissions of Deno", { skip: ownRuntime.name !== "Deno" }, () => {
  test("R40: are enough: TLS, a login, a plugin, a delivery, a drain", async () => {
    await using folder = await home();
    await using postern = await servePostern(folder.path, TOML, at(permissions(folder.path)));
    {
      await using client = await SmtpClient.connect(postern.port("submission"));
      await client.expect(220);
      await client.ehlo();
      await client.starttls();
      await client.ehlo();
      await client.authPlain("alice", "secret");
      const { code } = await client.sendMessage({
        from: "alice@example.org",
        to: "bob@example.org",
        content: "Subject: x\r\n\r\nx\r\n",
      });
      assert.equal(code, 250);
    }
    const inbox = path.join(folder.path, "data/mail/bob@example.org/new");
    const [file = ""] = fs.readdirSync(inbox);
    assert.match(fs.readFileSync(path.join(inbox, file), "utf8"), /^X-Own: 1\r?$/m);
    assert.deepEqual(await postern.stop(), { code: 0, signal: null });
  });

  for (const missing of permissions("").keys()) {
    test(`R40: without ${missing} it does not start, and says why`, async () => {
      await using folder = await home();
      fs.writeFileSync(path.join(folder.path, "postern.toml"), TOML);
      const allowed = permissions(folder.path);
      allowed.delete(missing);
      await using postern = new PosternProcess(
        ["serve", "-c", path.join(folder.path, "postern.toml")],
        at(allowed),
      );
      const { code } = await postern.exited;
      assert.notEqual(code, 0);
      assert.equal(postern.stdout, "");
      assert.notEqual(postern.stderr, "");
    });
  }
});
