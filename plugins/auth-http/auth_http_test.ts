import assert from "node:assert/strict";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import type { SessionFacts } from "@postern/postern/plugin";
import { runDialogue, type RunOptions, runPlugin } from "@postern/postern/testing";
import { optionFaults } from "../../tests/support/fake_facts.ts";
import * as module from "./mod.ts";
import { encoded } from "./request.ts";

const SECRET = "s3cr3t-päss word";

/** A service that remembers what it was asked. */
class Service implements AsyncDisposable {
  readonly asked: http.IncomingHttpHeaders[] = [];
  readonly #server: http.Server;
  #url = "";

  constructor(answer: (request: http.IncomingMessage, response: http.ServerResponse) => void) {
    this.#server = http.createServer((request, response) => {
      this.asked.push(request.headers);
      answer(request, response);
    });
  }

  static async start(
    answer: (request: http.IncomingMessage, response: http.ServerResponse) => void,
  ): Promise<Service> {
    const service = new Service(answer);
    await new Promise<void>((resolve) => service.#server.listen(0, "127.0.0.1", resolve));
    service.#url = `http://127.0.0.1:${(service.#server.address() as AddressInfo).port}/auth`;
    return service;
  }

  get url(): string {
    return this.#url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Answers with these fields. */
const says =
  (fields: Record<string, string>, code = 200) => (_: unknown, response: http.ServerResponse) => {
    response.writeHead(code, fields).end("a body that nobody reads");
  };

/** Right for `anna` with the secret. */
const knowing: Parameters<typeof Service.start>[0] = ({ headers }, response) => {
  const right = headers["auth-user"] === "anna" && headers["auth-pass"] === encoded(SECRET);
  says({ "Auth-Status": right ? "OK" : "Invalid login or password" })(undefined, response);
};

const start = (url: string, options: object = {}, more: RunOptions = {}) =>
  runPlugin(module, { name: "auth-http", options: { url, ...options }, ...more });

const code = (outcome: object) =>
  "refused" in outcome ? (outcome.refused as { code: number }).code : outcome;

describe("what is asked", () => {
  test("the fields of nginx, values encoded, and the operator's own", async () => {
    await using service = await Service.start(says({ "Auth-Status": "OK" }));
    const plugin = await start(service.url, {
      headers: { "X-Auth-Key": "sesame", "X-Other": { file: "key" } },
    }, { files: { key: "from a file\n" }, session: { clientName: "client.example.net" } });
    await plugin.authenticate("an na%@example.org", SECRET, "LOGIN");
    await plugin.authenticate("anna", "b");
    const picked = (at: number) =>
      Object.fromEntries(
        Object.entries(service.asked[at]!).filter(([name]) => /^(auth|client|x)-/.test(name)),
      );
    assert.deepEqual(picked(0), {
      "auth-method": "plain",
      "auth-user": "an%20na%25@example.org",
      "auth-pass": "s3cr3t-p%C3%A4ss%20word",
      "auth-protocol": "smtp",
      "auth-login-attempt": "1",
      "client-ip": "192.0.2.1",
      "client-host": "client.example.net",
      "x-auth-key": "sesame",
      "x-other": "from a file",
    });
    assert.equal(picked(1)["auth-login-attempt"], "2");
    assert.equal(decodeURIComponent(service.asked[0]!["auth-pass"] as string), SECRET);
    await plugin.close();
  });

  test("TLS and the client's certificate are told of", async () => {
    await using service = await Service.start(says({ "Auth-Status": "OK" }));
    const tls: SessionFacts["tls"] = {
      version: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      sni: undefined,
      alpn: undefined,
      peer: { subject: "an na", fingerprint: "00", verified: false },
    };
    const plugin = await start(service.url, {}, { session: { tls } });
    await plugin.authenticate("anna", "x");
    const asked = service.asked[0]!;
    assert.equal(asked["auth-ssl"], "on");
    assert.equal(asked["auth-ssl-protocol"], "TLSv1.3");
    assert.equal(asked["auth-ssl-cipher"], "TLS_AES_128_GCM_SHA256");
    assert.equal(asked["auth-ssl-verify"], "FAILED");
    assert.equal(asked["auth-ssl-subject"], "an%20na");
    assert.equal(asked["client-host"], "[UNAVAILABLE]");
    await plugin.close();
  });

  test("R22: no octet of a client begins another field", async () => {
    await using service = await Service.start(says({ "Auth-Status": "OK" }));
    const plugin = await start(service.url);
    await plugin.authenticate("anna\r\nAuth-Status: OK", "x\r\n\r\nGET / HTTP/1.1\r\n\x01\x7f");
    assert.equal(service.asked.length, 1);
    assert.equal(service.asked[0]!["auth-status"], undefined);
    assert.equal(service.asked[0]!["auth-user"], "anna%0D%0AAuth-Status:%20OK");
    assert.match(service.asked[0]!["auth-pass"] as string, /%01%7F$/);
    await plugin.close();
  });
});

describe("what the answer means", () => {
  const cases: readonly [string, Record<string, string>, number, unknown][] = [
    ["OK", { "Auth-Status": "OK" }, 200, { user: "anna", mechanism: "PLAIN" }],
    ["OK with another name", { "Auth-Status": "OK", "Auth-User": "anna@example.org" }, 200, {
      user: "anna@example.org",
      mechanism: "PLAIN",
    }],
    ["a refusal", { "Auth-Status": "No such user", "Auth-Error-Code": "535 5.7.8" }, 200, 535],
    ["a refusal with a time to wait", { "Auth-Status": "no", "Auth-Wait": "3" }, 200, 535],
    ["OK in another case, which nginx refuses too", { "Auth-Status": "ok" }, 200, 535],
    ["a temporary refusal", { "Auth-Status": "later", "Auth-Error-Code": "451 4.3.0" }, 200, 454],
    ["no status at all", {}, 200, 454],
    ["an error of the service", { "Auth-Status": "OK" }, 500, 454],
    ["a redirection, which is not followed", { "Auth-Status": "OK", Location: "/" }, 302, 454],
  ];
  for (const [name, fields, status, wanted] of cases) {
    test(name, async () => {
      await using service = await Service.start(says(fields, status));
      const plugin = await start(service.url);
      const outcome = await plugin.authenticate("anna", SECRET);
      assert.deepEqual("identity" in outcome ? outcome.identity : code(outcome), wanted);
      assert.equal(service.asked.length, 1);
      await plugin.close();
    });
  }
});

test("R16: every refusal has the same text, whatever the service says", async () => {
  const answers = [];
  for (const status of ["No such user", "Wrong password"]) {
    await using service = await Service.start(says({ "Auth-Status": status }));
    const plugin = await start(service.url);
    answers.push(await plugin.authenticate("anna", "x"));
    await plugin.close();
  }
  assert.deepEqual(answers[0], answers[1]);
});

test("R17: failures lock, and who is locked is not asked for", async () => {
  await using service = await Service.start(knowing);
  const plugin = await start(service.url, { max_failures: 2 });
  for (const user of ["a", "b"]) assert.equal(code(await plugin.authenticate(user, "x")), 535);
  assert.equal(code(await plugin.authenticate("anna", SECRET)), 535);
  assert.equal(service.asked.length, 2);
  await plugin.clock.advance(15 * 60_000);
  assert.ok("identity" in await plugin.authenticate("anna", SECRET));
  await plugin.close();
});

test("a right password is remembered for a while, a wrong one is not", async () => {
  await using service = await Service.start(knowing);
  const plugin = await start(service.url, { cache: "30s" });
  for (let i = 0; i < 3; i++) assert.ok("identity" in await plugin.authenticate("anna", SECRET));
  assert.equal(service.asked.length, 1);
  assert.equal(code(await plugin.authenticate("anna", "wrong")), 535);
  assert.equal(code(await plugin.authenticate("anna", "wrong")), 535);
  assert.equal(service.asked.length, 3);
  await plugin.clock.advance(30_000);
  assert.ok("identity" in await plugin.authenticate("anna", SECRET));
  assert.equal(service.asked.length, 4);
  assert.equal(plugin.counts.get("cache_hits"), 2);
  await plugin.close();
});

test("a service that is away defers, is told of once, and is back when it is back", async () => {
  let url: string;
  {
    await using gone = await Service.start(knowing);
    url = gone.url;
  }
  const plugin = await start(url);
  for (let i = 0; i < 3; i++) assert.equal(code(await plugin.authenticate("anna", SECRET)), 454);
  assert.deepEqual(plugin.logs.map(({ level }) => level), ["error"]);
  assert.deepEqual(plugin.failures, []);
  await plugin.close();
});

test("a service that hangs is cut off by the budget", async () => {
  const hanging = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  await using service = await Service.start((request) => {
    request.socket.once("close", () => closed.resolve());
    hanging.resolve();
  });
  const plugin = await start(service.url, {}, { budget: 5_000 });
  const asked = plugin.authenticate("anna", SECRET);
  await hanging.promise;
  await plugin.clock.advance(5_000);
  assert.equal(code(await asked), 454);
  assert.deepEqual(plugin.failures.map(({ kind }) => kind), ["over-budget"]);
  await closed.promise;
  await plugin.close();
});

test("R18: no password in logs, failures or metrics, whatever goes wrong", async () => {
  await using service = await Service.start((request, response) => {
    // A service that says everything back.
    says({ "Auth-Status": String(request.headers["auth-pass"]) }, 200)(undefined, response);
  });
  const plugin = await start(service.url, { max_failures: 1, cache: "1m" });
  await plugin.authenticate("anna", SECRET);
  const away = await start("http://127.0.0.1:1/auth");
  await away.authenticate("anna", SECRET);
  for (const { logs, failures, counts } of [plugin, away]) {
    const all = JSON.stringify([logs, failures, [...counts]]);
    assert.doesNotMatch(all, /s3cr3t/);
    const base64 = btoa(String.fromCharCode(...new TextEncoder().encode(SECRET)));
    assert.ok(!all.includes(base64));
  }
  assert.ok(plugin.logs.length + away.logs.length > 1);
  await plugin.close();
  await away.close();
});

test("a dialogue", async () => {
  await using service = await Service.start((request, response) =>
    request.headers["auth-pass"] === "later"
      ? says({ "Auth-Status": "later", "Auth-Error-Code": "454 4.7.0" })(undefined, response)
      : knowing(request, response)
  );
  await runDialogue(module, new URL("auth_http.dialogue", import.meta.url), {
    options: { url: service.url },
    clientAddress: "127.0.0.1",
  });
});

test("options say what is wrong, and show no secret", async () => {
  const faults = (given: unknown) => optionFaults(module.options, given);
  assert.deepEqual(await faults({}), ["url: expected a value, got nothing"]);
  assert.deepEqual(await faults({ url: "ldap://a" }), [
    "url: expected an address that begins with http:// or https://",
  ]);
  assert.deepEqual(await faults({ url: "http://a/", headers: { a: "s3cr3t\n" } }), [
    'headers.a: expected the value of a header field: text, { env = "NAME" } or { file = "path" }',
  ]);
  assert.deepEqual(await faults({ url: "http://a/", cache: "0s" }), [
    "cache: expected a duration longer than zero",
  ]);
});
