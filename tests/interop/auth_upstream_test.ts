/**
 * auth-upstream before a real Postfix, which has its logins from a real Dovecot: STARTTLS and implicit TLS, verified.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { testChain } from "../support/certificates.ts";
import { startEdge } from "../support/edge.ts";
import { tempHome } from "../support/postern_process.ts";
import { dovecotMissing, startDovecot } from "./dovecot.ts";
import { postfixMissing, startPostfix } from "./postfix.ts";

const LIMIT = { timeout: 120_000 };
const missing = postfixMissing() ?? dovecotMissing();
const SECRET = "open sésame";

/** To Dovecot everybody comes from one address, and after two wrong logins it would be slow. */
const withoutPenalty =
  "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n";

describe("auth-upstream, Postfix and Dovecot", { skip: missing ?? false }, () => {
  test("Postfix judges the logins, over STARTTLS and implicit TLS", LIMIT, async () => {
    await using home = await tempHome({
      "anna@example.org.passwd": `anna@example.org:${SECRET}\n`,
    });
    const dir = home.path;
    fs.chmodSync(dir, 0o755);
    fs.chmodSync(path.join(dir, "anna@example.org.passwd"), 0o644);
    const { ca, leaf } = await testChain(["localhost", "127.0.0.1"]);
    fs.writeFileSync(path.join(dir, "ca.pem"), ca.cert);
    fs.writeFileSync(path.join(dir, "chain.pem"), `${leaf.key}${leaf.cert}`, { mode: 0o600 });
    const dovecot = await startDovecot(dir, withoutPenalty);
    try {
      await using postfix = await startPostfix({
        dir,
        ports: 2,
        configure: ([submission, submissions]) => ({
          main: [
            "smtpd_sasl_auth_enable = yes",
            "smtpd_sasl_type = dovecot",
            `smtpd_sasl_path = ${dir}/auth.sock`,
            "smtpd_tls_auth_only = yes",
            "smtpd_tls_security_level = may",
            `smtpd_tls_chain_files = ${dir}/chain.pem`,
          ],
          master: [
            `127.0.0.1:${submission} inet n - n - - smtpd`,
            `127.0.0.1:${submissions} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes`,
          ],
        }),
      });
      const [submission, submissions] = postfix.ports;
      for (const server of [`127.0.0.1:${submission}`, `smtps://127.0.0.1:${submissions}`]) {
        const options = (ca: string) =>
          `[[plugins]]\nuse = "auth-upstream"\noptions = { server = "${server}"${ca} }`;
        const listener = 'auth = "optional"\nauth_plaintext_loopback = true';
        {
          await using edge = await startEdge({ listener, more: options(`, ca = "${dir}/ca.pem"`) });
          await using client = await edge.greeted();
          await client.authPlain("anna@example.org", "wrong", 535);
          await client.authPlain("nobody@example.org", SECRET, 535);
          await client.authPlain("anna@EXAMPLE.org", SECRET, 235);
          assert.ok(!edge.log().includes("sésame"));
        }
        // A certificate that nobody vouches for gets no password.
        await using edge = await startEdge({ listener, more: options("") });
        await using client = await edge.greeted();
        await client.authPlain("anna@example.org", SECRET, 454);
        assert.match(edge.log(), /logins are deferred/);
      }
      assert.ok(!/fatal|panic/.test(postfix.log), postfix.log);
    } finally {
      await dovecot.stop();
    }
  });
});
