/**
 * nginx's own `auth_http` request beside ours: one service is asked about the same logins by a real nginx mail proxy and by
 * Postern, and must not be able to tell them apart by the fields of the protocol.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import * as path from "node:path";
import { describe, test } from "node:test";
import { testIdentity } from "../support/certificates.ts";
import { startEdge } from "../support/edge.ts";
import { tempHome } from "../support/postern_process.ts";
import { SmtpClient } from "../support/smtp_client.ts";
import { findProgram, freePorts, greeted, Service } from "./programs.ts";

const LIMIT = { timeout: 60_000 };
const MODULE = "/usr/lib/nginx/modules/ngx_mail_module.so";

const missing = findProgram("nginx") === undefined
  ? "nginx is not installed"
  : fs.existsSync(MODULE)
  ? undefined
  : "nginx's mail module is not installed";

type Fields = Readonly<Record<string, string>>;

/** The fields of the protocol, as they were sent. */
function fieldsOf({ rawHeaders }: http.IncomingMessage): Fields {
  const fields: [string, string][] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    // What a client and a server agree upon is theirs: only that it is told.
    const agreed = /^auth-ssl-(protocol|cipher)$/.test(name);
    const value = agreed ? "agreed" : rawHeaders[at + 1]!;
    if (/^(auth|client|x)-/.test(name)) fields.push([name, value]);
  }
  return Object.fromEntries(fields);
}

async function service(asked: Fields[]) {
  const server = http.createServer((request, response) => {
    asked.push(fieldsOf(request));
    response.writeHead(200, {
      "Auth-Status": "Invalid login or password",
      "Auth-Error-Code": "535 5.7.8",
      "Auth-Wait": "1",
    }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function startNginx(dir: string, authHttp: string) {
  const { cert, key } = await testIdentity(["localhost"]);
  fs.writeFileSync(path.join(dir, "cert.pem"), cert);
  fs.writeFileSync(path.join(dir, "key.pem"), key);
  for (let attempt = 1;; attempt++) {
    const [plain, secure] = await freePorts(2) as [number, number];
    const file = path.join(dir, "nginx.conf");
    fs.writeFileSync(
      file,
      `load_module ${MODULE};
daemon off; master_process off; pid ${dir}/nginx.pid; error_log ${dir}/error.log;
events { worker_connections 64; }
mail {
  server_name mx.example.org; auth_http ${authHttp}/auth; auth_http_header X-Auth-Key sesame;
  smtp_auth plain login;
  ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem;
  server { listen 127.0.0.1:${plain}; protocol smtp; }
  server { listen 127.0.0.1:${secure} ssl; protocol smtp; }
}
`,
    );
    const nginx = new Service(findProgram("nginx")!, [
      "-p",
      dir,
      "-c",
      file,
      "-e",
      path.join(dir, "error.log"),
    ]);
    try {
      await greeted(nginx, [plain, secure]);
      return { plain, secure, [Symbol.asyncDispose]: () => nginx.stop() };
    } catch (error) {
      await nginx.stop();
      if (attempt === 3) throw error;
    }
  }
}

const LOGINS: readonly [string, string][] = [
  ["anna@example.org", "secret"],
  ["an na%41", "p\tw+&=\"'`<>;,~:/?#[]@!$()*"],
];

async function drive(port: number, secure: boolean): Promise<void> {
  await using client = await SmtpClient.connect(port, secure ? { tls: true } : {});
  await client.expect(220);
  await client.ehlo("client.example.net");
  for (const [user, password] of LOGINS) await client.authPlain(user, password, 535);
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  await client.command("AUTH LOGIN", 334);
  await client.command(base64("bob"), 334);
  await client.command(base64("x y"), 535);
}

describe("auth-http asks as nginx does", { skip: missing ?? false }, () => {
  for (const secure of [false, true]) {
    test(secure ? "under TLS" : "in plain text", LIMIT, async () => {
      const asked: Fields[] = [];
      await using answering = await service(asked);
      await using home = await tempHome({});
      await using nginx = await startNginx(home.path, answering.address);
      await drive(secure ? nginx.secure : nginx.plain, secure);
      const theirs = asked.splice(0);
      await using edge = await startEdge({
        listener: `auth = "optional"\n${
          secure ? 'tls = "implicit"' : "auth_plaintext_loopback = true"
        }`,
        more: `[[plugins]]
use = "auth-http"
options = { url = "http://${answering.address}/auth", headers = { X-Auth-Key = "sesame" } }`,
      });
      await drive(edge.port(), secure);
      assert.equal(theirs.length, 3);
      assert.deepEqual(asked, theirs);
    });
  }
});
