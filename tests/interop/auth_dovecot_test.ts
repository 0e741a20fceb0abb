/**
 * auth-dovecot before a real Dovecot: right, wrong and unknown logins, a name that Dovecot changes, a password database that
 * cannot answer, a restart.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { startEdge } from "../support/edge.ts";
import { tempHome } from "../support/postern_process.ts";
import { dovecotMissing, startDovecot } from "./dovecot.ts";
import type { Service } from "./programs.ts";

const LIMIT = { timeout: 60_000 };
const missing = dovecotMissing();

const SECRET = 'open sésame "';

/** The auth process that a Dovecot has started: a child of the one we started. */
function authProcess({ pid }: Service): number | undefined {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  const found = children.find((child) =>
    fs.readFileSync(`/proc/${child}/cmdline`, "utf8").startsWith("dovecot/auth")
  );
  return found === undefined ? undefined : Number(found);
}

describe("auth-dovecot and Dovecot", { skip: missing ?? false }, () => {
  test(
    "what Dovecot says is what the client is told, and a restart is no matter",
    LIMIT,
    async () => {
      await using home = await tempHome({
        "anna@example.org.passwd": `anna@example.org:${SECRET}\n`,
        "broken@example.org.passwd": "",
      });
      const dir = home.path;
      fs.chmodSync(dir, 0o755);
      fs.chmodSync(path.join(dir, "anna@example.org.passwd"), 0o644);
      fs.chmodSync(path.join(dir, "broken@example.org.passwd"), 0);
      const dovecot = await startDovecot(dir);
      try {
        await using edge = await startEdge({
          listener: 'auth = "optional"\nauth_plaintext_loopback = true',
          more: `[[plugins]]\nuse = "auth-dovecot"\noptions = { server = "unix:${dir}/auth.sock" }`,
          plugins: {
            identity: `return { name: "identity", hooks: {
            mail: (_, { session }) => edge.defer(451, "4.7.1", "You are " + session.identity?.user),
          } };`,
          },
        });
        const login = async (user: string, password: string, wanted: number) => {
          await using client = await edge.greeted();
          await client.authPlain(user, password, wanted);
          if (wanted !== 235) return undefined;
          return (await client.command("MAIL FROM:<a@client.test>", 451)).text;
        };
        assert.match(
          await login("ANNA@Example.org", SECRET, 235) ?? "",
          /You are anna@example\.org/,
        );
        await login("anna@example.org", "wrong", 535);
        await login("nobody@example.org", SECRET, 535);
        // Its file cannot be read: Dovecot fails for a time.
        await login("broken@example.org", SECRET, 454);
        const many = await Promise.all(
          Array.from({ length: 20 }, () => login("anna@example.org", SECRET, 235)),
        );
        assert.equal(new Set(many).size, 1);

        process.kill(authProcess(dovecot)!, "SIGKILL");
        await login("anna@example.org", SECRET, 235);
        assert.ok(!edge.log().includes("logins are deferred"), edge.log());
        assert.ok(!edge.log().includes("sésame"), edge.log());
      } finally {
        await dovecot.stop();
      }
    },
  );
});
