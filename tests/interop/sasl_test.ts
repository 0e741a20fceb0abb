/**
 * Real clients log in by each mechanism beyond PLAIN and LOGIN: msmtp with GNU SASL, and curl. Each verifies our
 * certificate, and the mail arrives in the embedded mailbox.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { formatScram, scramSecret } from "../../src/pipeline/scram.ts";
import { testAuthority, testIdentity } from "../support/certificates.ts";
import {
  ownRuntime,
  type PosternProcess,
  servePostern,
  tempHome,
} from "../support/postern_process.ts";
import { findProgram, mustRun, runProgram } from "./programs.ts";

const LIMIT = { timeout: 60_000 };
const USER = "alice@example.org";
const PASSWORD = "open sesame";
const ISSUER = "https://id.example.org";
const MESSAGE = `From: <${USER}>\r\nTo: <bob@example.org>\r\nSubject: Hello\r\n\r\nHello\r\n`;

const CONFIG = `hostname = "mx.example.org"
data_dir = "data"
[[listeners]]
name = "scram"
listen = "127.0.0.1:0"
auth = "required"
[[listeners]]
name = "tokens"
listen = "127.0.0.1:0"
auth = "required"
client_certificate = "request"
[tls]
certificates = [{ cert = "cert.pem", key = "key.pem" }]
client_ca = "ca.pem"
[upstreams.mail]
servers = ["maildir:./mail"]
[[routes]]
authenticated = true
upstream = "mail"
[[plugins]]
use = "auth-file"
listeners = ["scram"]
options = { users = "users.txt" }
[[plugins]]
use = "auth-oauth"
listeners = ["tokens"]
options = { jwks_file = "keys.json", issuer = "${ISSUER}", audience = "postern" }
[[plugins]]
use = "auth-certificate"
listeners = ["tokens"]
options = { subject_is_login = true }
[[plugins]]
use = "sender-login"
options = { header = true }
[log]
level = "debug"
`;

describe("mechanisms", () => {
  const parts = new AsyncDisposableStack();
  let dir = "";
  let token = "";
  let postern: PosternProcess;

  before(async () => {
    const secret = await scramSecret(PASSWORD);
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const keys = JSON.stringify({ keys: [await exportJWK(publicKey)] });
    token = await new SignJWT({ email: USER }).setProtectedHeader({ alg: "ES256" })
      .setIssuer(ISSUER).setAudience("postern").setExpirationTime("1h").sign(privateKey);
    const home = parts.use(
      await tempHome({ "users.txt": `${USER}:${formatScram(secret!)}\n`, "keys.json": keys }),
    );
    dir = home.path;
    const ca = await testAuthority();
    const server = await testIdentity(["localhost", "127.0.0.1"], { ca });
    const client = await testIdentity([USER], { ca });
    const files = {
      "ca.pem": ca.cert,
      "cert.pem": server.cert,
      "key.pem": server.key,
      "client.pem": client.cert,
      "client.key": client.key,
      "message.eml": MESSAGE,
    };
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(file(name), text);
    fs.chmodSync(file("client.key"), 0o600);
    postern = parts.use(await servePostern(dir, CONFIG, ownRuntime));
  }, LIMIT);

  after(() => parts.disposeAsync());

  const file = (name: string) => path.join(dir, name);
  const mails = () => {
    const folder = file("mail");
    return fs.existsSync(folder)
      ? fs.readdirSync(folder, { recursive: true }).filter((name) => /new.\d/.test(String(name)))
        .length
      : 0;
  };

  const msmtp = findProgram("msmtp");
  const curl = findProgram("curl");

  function runMsmtp(listener: string, secret: string, ...auth: readonly string[]) {
    return runProgram(msmtp!, [
      ...["--host=localhost", `--port=${postern.port(listener)}`, `--from=${USER}`],
      ...["--tls=on", "--tls-starttls=on", `--tls-trust-file=${file("ca.pem")}`],
      ...[`--user=${USER}`, `--passwordeval=echo ${secret}`, ...auth, "--", "bob@example.org"],
    ], { input: MESSAGE });
  }

  for (const mechanism of ["scram-sha-256", "oauthbearer", "xoauth2"]) {
    test(
      `msmtp, ${mechanism}`,
      { ...LIMIT, skip: msmtp === undefined && "msmtp is not installed" },
      async () => {
        const [listener, secret] = mechanism === "scram-sha-256"
          ? ["scram", PASSWORD]
          : ["tokens", token];
        const before = mails();
        const right = await runMsmtp(listener, secret, `--auth=${mechanism}`);
        assert.equal(right.code, 0, right.stderr + postern.stderr.slice(-3000));
        assert.equal(mails(), before + 1);
        const wrong = await runMsmtp(listener, `${secret}x`, `--auth=${mechanism}`);
        assert.equal(wrong.code, 77, wrong.stderr);
        assert.equal(mails(), before + 1);
      },
    );
  }

  test("msmtp takes SCRAM by itself", {
    ...LIMIT,
    skip: msmtp === undefined && "msmtp is not installed",
  }, async () => {
    const { code, stdout, stderr } = await runMsmtp("scram", PASSWORD, "--auth=on", "--debug");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /AUTH SCRAM-SHA-256/);
  });

  test(
    "msmtp, external",
    { ...LIMIT, skip: msmtp === undefined && "msmtp is not installed" },
    async () => {
      const before = mails();
      const { code, stderr } = await runMsmtp(
        "tokens",
        "",
        "--auth=external",
        `--tls-cert-file=${file("client.pem")}`,
        `--tls-key-file=${file("client.key")}`,
      );
      assert.equal(code, 0, stderr + postern.stderr.slice(-3000));
      assert.equal(mails(), before + 1);
    },
  );

  for (const mechanism of ["OAUTHBEARER", "XOAUTH2", "EXTERNAL"]) {
    test(
      `curl, ${mechanism}`,
      { ...LIMIT, skip: curl === undefined && "curl is not installed" },
      async () => {
        const before = mails();
        const login = mechanism === "EXTERNAL"
          ? ["--user", `${USER}:`, "--cert", file("client.pem"), "--key", file("client.key")]
          : ["--user", `${USER}:`, "--oauth2-bearer", token];
        await mustRun(curl!, [
          ...["--silent", "--show-error", "--max-time", "50"],
          ...[`smtp://localhost:${postern.port("tokens")}/client.test`, "--ssl-reqd"],
          ...["--cacert", file("ca.pem"), "--upload-file", file("message.eml")],
          ...["--mail-from", USER, "--mail-rcpt", "bob@example.org"],
          ...["--login-options", `AUTH=${mechanism}`, ...login],
        ]);
        assert.equal(mails(), before + 1);
      },
    );
  }
});
