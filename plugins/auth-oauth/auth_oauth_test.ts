import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { base64url, exportJWK, generateKeyPair, SignJWT } from "jose";
import type { Refuse } from "@postern/postern/plugin";
import { fakeEdge, type FakeEdgeOptions, noon } from "../../tests/support/fake_edge.ts";
import {
  context,
  optionFaults,
  parseOptions,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import authOAuth, { type Options, options } from "./mod.ts";

const invalid = {
  verdict: "refuse",
  code: 535,
  enhanced: "5.7.8",
  text: "Authentication credentials invalid",
};

/** An authorization server of this test's own. */
async function authorizationServer(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
) {
  const requests: { readonly request: IncomingMessage; readonly body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => body += chunk);
    request.on("end", () => {
      requests.push({ request, body });
      answer(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/keys`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
  readonly jwk: Record<string, unknown>;
}

async function makeKey(kid: string, alg = "ES256"): Promise<Key> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...await exportJWK(publicKey), kid, alg, use: "sig" } };
}

const key = await makeKey("one");
const rsa = await makeKey("rsa", "RS256");
const now = noon / 1000;

const good = {
  iss: "https://id.example.org",
  aud: "postern",
  sub: "42",
  email: "Anna@Example.org",
  scope: "openid mail.send",
  exp: now + 600,
};

function sign(claims: Record<string, unknown> = {}, by: Key = key): Promise<string> {
  return new SignJWT({ ...good, ...claims }).setProtectedHeader({ alg: by.alg, kid: by.kid })
    .sign(by.privateKey);
}

const file = JSON.stringify({ keys: [key.jwk, rsa.jwk] });
const base = { jwks_file: "keys.json", issuer: good.iss, audience: "postern" };

async function start(over: Record<string, unknown> = {}, host: FakeEdgeOptions = {}) {
  const edge = fakeEdge({ files: { "keys.json": file, "secret.txt": "s3cret & more\n" }, ...host });
  const plugin = await authOAuth(edge, await parseOptions<Options>(options, { ...base, ...over }));
  const login = async (token: string, user = "", address = "192.0.2.1") =>
    await plugin.hooks.auth!.token!(
      { mechanism: "OAUTHBEARER", user, token, host: undefined, port: undefined },
      context(transaction({ session: session({ remote: { address, port: 1 } }) })),
    );
  const code = async (token: string, user = "") => (await login(token, user) as Refuse).code;
  return { edge, plugin, login, code };
}

const anna = { user: "Anna@example.org", mechanism: "OAUTHBEARER" };

describe("signed tokens", () => {
  test("a good one gives the login that it names", async () => {
    const { login, plugin } = await start({ scope: ["mail.send"] });
    assert.deepEqual(await login(await sign()), anna);
    assert.deepEqual(await login(await sign(), "anna@EXAMPLE.org"), anna);
    assert.deepEqual(await login(await sign({}, rsa)), anna);
    assert.deepEqual(
      await login(await sign({ aud: ["other", "postern"], scp: ["mail.send"], scope: undefined })),
      anna,
    );
    await plugin.close?.();
  });

  test("R16: any other is refused with one answer, and the log has the reason without the token", async () => {
    const { login, edge } = await start({ scope: "mail.send", max_failures: 1000 });
    const stranger = await makeKey("one");
    const wrong: readonly [string, string, string?][] = [
      [await sign({ exp: now - 61 }), "expired"],
      [await sign({ nbf: now + 61 }), "not yet valid"],
      [await sign({ iss: "https://evil.test" }), "another issuer"],
      [await sign({ aud: "another" }), "another audience"],
      [await sign({ aud: undefined }), "another audience"],
      [await sign({ exp: undefined }), "expired"],
      [await sign({ exp: "soon" }), "expired"],
      [await sign({ scope: "openid" }), "lacks a scope"],
      [await sign({ scope: undefined }), "lacks a scope"],
      [await sign({ email: undefined }), "names nobody"],
      [await sign({ email: 7 }), "names nobody"],
      [await sign({ email: "a\nb" }), "names nobody"],
      [await sign({ email_verified: false }), "its address is not verified"],
      [await sign({ cnf: { jkt: "x" } }), "bound to a key"],
      [await sign(), "another's token", "boss@example.org"],
      [await sign({}, stranger), "not one of the issuer's"],
      [await sign({}, await makeKey("unknown")), "not one of the issuer's"],
      ["abc", "not one of the issuer's"],
      ["a.b.c", "not one of the issuer's"],
      [`${await sign()}x`, "not one of the issuer's"],
    ];
    for (const [token, reason, user] of wrong) {
      edge.entries.length = 0;
      assert.deepEqual(await login(token, user), invalid, reason);
      const log = JSON.stringify(edge.entries);
      assert.ok(log.includes(reason), `${reason}: ${log}`);
      assert.ok(!log.includes(token) && !log.includes(token.split(".")[1] ?? token), log);
    }
  });

  test("a clock that is a little off does no harm", async () => {
    const { login } = await start();
    assert.deepEqual(await login(await sign({ exp: now - 59, nbf: now + 59 })), anna);
  });

  test("R34: claims that every object has are no claims", async () => {
    const { login } = await start({ claim: "constructor" });
    assert.deepEqual(await login(await sign()), invalid);
    const named = await start({ claim: "sub" });
    assert.deepEqual(await named.login(await sign()), { ...anna, user: "42" });
  });

  test("CVE-2015-9235: neither `none` nor a public key as a secret signs anything", async () => {
    const { login } = await start();
    const part = (value: unknown) => base64url.encode(JSON.stringify(value));
    assert.deepEqual(await login(`${part({ alg: "none" })}.${part(good)}.`), invalid);
    for (const secret of [JSON.stringify(rsa.jwk), String(rsa.jwk["n"])]) {
      const forged = await new SignJWT(good).setProtectedHeader({ alg: "HS256", kid: "rsa" })
        .sign(new TextEncoder().encode(secret.padEnd(32, "x")));
      assert.deepEqual(await login(forged), invalid);
    }
    const header = { alg: key.alg, jwk: (await makeKey("own")).jwk, jku: "https://evil.test/keys" };
    const own = await makeKey("own");
    const embedded = await new SignJWT(good).setProtectedHeader({ ...header, jwk: own.jwk })
      .sign(own.privateKey);
    assert.deepEqual(await login(embedded), invalid);
    const narrow = await start({ algorithms: ["RS256"] });
    assert.deepEqual(await narrow.login(await sign()), invalid);
    assert.deepEqual(await narrow.login(await sign({}, rsa)), anna);
  });

  test("R17: forged tokens lock their source, tokens that have run out do not", async () => {
    const { login } = await start({ max_failures: 2 });
    const old = await sign({ exp: now - 3600 });
    for (let i = 0; i < 5; i++) await login(old);
    assert.deepEqual(await login(await sign()), anna);
    await login("guess.one.two");
    await login("guess.two.three");
    assert.deepEqual(await login(await sign()), invalid);
    // The login is not locked: a stranger may name anybody in a token that is none.
    assert.deepEqual(await login(await sign(), "", "192.0.2.9"), anna);
  });
});

describe("keys of a file", () => {
  test("are read again when it changes; a broken file leaves the old ones", async () => {
    const { edge, login } = await start();
    const next = await makeKey("next");
    await edge.write("keys.json", JSON.stringify({ keys: [next.jwk] }));
    assert.deepEqual(await login(await sign({}, next)), anna);
    assert.deepEqual(await login(await sign()), invalid);
    for (const broken of [undefined, "", "[]", '{"keys":7}']) {
      await edge.write("keys.json", broken);
      assert.deepEqual(await login(await sign({}, next)), anna);
    }
    assert.ok(
      edge.entries.some(({ level, message }) =>
        level === "error" && message.includes("the old ones stay")
      ),
    );
  });

  test("that cannot be read at the start stop the start", async () => {
    await assert.rejects(start({}, { files: {} }), /keys\.json/);
    await assert.rejects(start({}, { files: { "keys.json": "{}" } }), /no set of keys/);
    await assert.rejects(start({}, { files: { "keys.json": "<html>" } }), /no JSON/);
  });
});

describe("keys of an address", () => {
  const remote = (url: string) => ({ jwks_file: undefined, jwks_url: url, timeout: "2s" });

  test("are fetched once for many logins, and again when they are old", async () => {
    await using server = await authorizationServer((_, response) => response.end(file));
    const { edge, login } = await start(remote(server.url));
    const token = await sign({ exp: now + 7200 });
    await Promise.all([1, 2, 3].map((n) => login(token, "", `192.0.2.${n}`)));
    assert.deepEqual(await login(token), anna);
    assert.equal(server.requests.length, 1);
    edge.clock.advance(600_000);
    assert.deepEqual(await login(token), anna);
    assert.equal(server.requests.length, 2);
  });

  test("an issuer may change its keys; unknown ones do not make us ask without end", async () => {
    let keys = file;
    await using server = await authorizationServer((_, response) => response.end(keys));
    const { edge, login } = await start(remote(server.url));
    assert.deepEqual(await login(await sign()), anna);
    const next = await makeKey("next");
    keys = JSON.stringify({ keys: [next.jwk] });
    assert.deepEqual(await login(await sign({}, next)), invalid);
    assert.equal(server.requests.length, 1);
    edge.clock.advance(30_000);
    assert.deepEqual(await login(await sign({}, next)), anna);
    assert.equal(server.requests.length, 2);
    for (let i = 0; i < 5; i++) await login(await sign({}, await makeKey("none")));
    assert.equal(server.requests.length, 2);
  });

  test("that cannot be had defer the login: refused, slow, garbage, too long, moved", async () => {
    const answers: readonly ((response: ServerResponse) => void)[] = [
      (response) => void response.writeHead(503).end(),
      (response) => void response.writeHead(302, { location: "/other" }).end(file),
      (response) => void response.end("<html>"),
      (response) => void response.end("[]"),
      (response) => void response.end('{"keys":[7]}'),
      (response) => void response.end(`{"keys":[],"x":"${"x".repeat(300_000)}"}`),
      (response) => response.destroy(),
      () => {},
    ];
    for (const answer of answers) {
      await using server = await authorizationServer((_, response) => answer(response));
      const { code, edge } = await start({ ...remote(server.url), timeout: "200ms" });
      assert.equal(await code(await sign()), 454);
      assert.ok(edge.entries.some(({ message }) => message === "Cannot fetch keys"));
      // A server that did not answer is not asked again at once.
      assert.equal(await code(await sign()), 454);
      assert.equal(server.requests.length, 1);
    }
    const gone = await authorizationServer(() => {});
    await gone[Symbol.asyncDispose]();
    const { code } = await start(remote(gone.url));
    assert.equal(await code(await sign()), 454);
  });

  test("the old ones go on for an hour while the server is away", async () => {
    let up = true;
    await using server = await authorizationServer((_, response) =>
      up ? response.end(file) : response.writeHead(500).end()
    );
    const { edge, login, code } = await start(remote(server.url));
    const token = await sign({ exp: now + 86_400 });
    assert.deepEqual(await login(token), anna);
    up = false;
    edge.clock.advance(601_000);
    assert.deepEqual(await login(token), anna);
    edge.clock.advance(3_600_000);
    assert.equal(await code(token), 454);
    up = true;
    edge.clock.advance(5_000);
    assert.deepEqual(await login(token), anna);
    assert.ok(edge.entries.some(({ message }) => message === "Tokens can be checked again"));
  });
});

describe("introspection", () => {
  const about = (url: string, over = {}) => ({
    jwks_file: undefined,
    issuer: undefined,
    audience: undefined,
    introspection: { url, client_id: "postern:1", client_secret: { file: "secret.txt" } },
    ...over,
  });
  const active = { active: true, username: "anna@example.org", scope: "mail.send", exp: now + 600 };
  const json = (value: unknown) => (_: unknown, response: ServerResponse) =>
    void response.end(JSON.stringify(value));
  const opaque = "mF_9.B5f-4.1JqM";

  test("asks with our credentials, and remembers the answer for a while", async () => {
    await using server = await authorizationServer(json(active));
    const { login, edge } = await start(about(server.url, { scope: "mail.send" }));
    const expected = { ...anna, user: "anna@example.org" };
    assert.deepEqual(await login(opaque, "anna@example.org"), expected);
    assert.deepEqual(await login(opaque), expected);
    assert.equal(server.requests.length, 1);
    const { request, body } = server.requests[0]!;
    assert.equal(request.method, "POST");
    const [, credentials = ""] = (request.headers.authorization ?? "").split(" ");
    assert.equal(atob(credentials), "postern%3A1:s3cret+%26+more");
    assert.equal(body, `token=${opaque}&token_type_hint=access_token`);
    assert.ok(!edge.stored().includes(opaque));
    edge.clock.advance(300_000);
    await login(opaque);
    assert.equal(server.requests.length, 2);
  });

  test("an answer is remembered no longer than the token is good for", async () => {
    await using server = await authorizationServer(json({ ...active, exp: now + 10 }));
    const { login, edge } = await start(about(server.url, { clock_skew: "1ms" }));
    await login(opaque);
    edge.clock.advance(10_001);
    assert.deepEqual(await login(opaque), invalid);
    assert.equal(server.requests.length, 2);
  });

  test("R16: what is not active, not ours or not whose it should be is refused", async () => {
    const wrong: readonly Record<string, unknown>[] = [
      { active: false },
      { ...active, exp: now - 61 },
      { ...active, nbf: now + 61 },
      { ...active, iss: "https://evil.test" },
      { ...active, aud: "another" },
      { ...active, scope: "other" },
      { ...active, username: undefined },
      { ...active, cnf: {} },
      { ...active, username: "boss@example.org" },
    ];
    for (const answer of wrong) {
      await using server = await authorizationServer(
        json({ iss: good.iss, aud: "postern", ...answer }),
      );
      const { login } = await start(
        about(server.url, { issuer: good.iss, audience: "postern", scope: "mail.send" }),
      );
      assert.deepEqual(await login(opaque, "anna@example.org"), invalid, JSON.stringify(answer));
      await login(opaque, "anna@example.org");
      assert.equal(server.requests.length, 1);
    }
  });

  test("a server that cannot be asked defers the login, and nothing is remembered", async () => {
    const answers: readonly ((response: ServerResponse) => void)[] = [
      (response) => void response.writeHead(401).end(),
      (response) => void response.end("<html>"),
      (response) => void response.end("{}"),
      (response) => void response.end('{"active":"true"}'),
      () => {},
    ];
    for (const answer of answers) {
      let broken = true;
      await using server = await authorizationServer((_, response) =>
        broken ? answer(response) : response.end(JSON.stringify(active))
      );
      const { code, login, edge } = await start(about(server.url, { timeout: "200ms" }));
      assert.equal(await code(opaque), 454);
      assert.ok(!JSON.stringify(edge.entries).includes(opaque));
      assert.ok(!JSON.stringify(edge.entries).includes("s3cret"));
      broken = false;
      assert.deepEqual(await login(opaque), { ...anna, user: "anna@example.org" });
    }
  });

  test("R17: guesses lock their source, and then cost no question", async () => {
    await using server = await authorizationServer(json({ active: false }));
    const { login } = await start(about(server.url, { max_failures: 3 }));
    for (let i = 0; i < 6; i++) assert.deepEqual(await login(`guess-${i}`), invalid);
    assert.equal(server.requests.length, 3);
  });
});

test("options say what is wrong and where", async () => {
  const faults = (given: Record<string, unknown>) => optionFaults(options, given);
  assert.deepEqual(await faults({}), [
    ": expected one of jwks_url, jwks_file and introspection",
    ": expected issuer and audience beside the keys",
  ]);
  assert.deepEqual(await faults({ jwks_file: "k", audience: "a" }), [
    ": expected issuer and audience beside the keys",
  ]);
  const url = "expected an address that begins with https:// (http:// only to this machine)";
  for (
    const bad of ["http://id.example.org/keys", "ftp://x", "keys", "http://127.0.0.1.evil.test/"]
  ) {
    assert.match(
      (await faults({ ...base, jwks_file: undefined, jwks_url: bad }))[0]!,
      /^jwks_url: expected an address/,
    );
  }
  assert.equal(
    (await faults({ ...base, jwks_file: undefined, jwks_url: "http://x" }))[0],
    `jwks_url: ${url}, got "http://x"`,
  );
  for (const bad of ["none", "HS256", "rs256"]) {
    assert.match(
      (await faults({ ...base, algorithms: [bad] }))[0]!,
      /^algorithms\.0: expected "RS256" or/,
    );
  }
  assert.deepEqual(await faults({ ...base, algorithms: [] }), [
    "algorithms: expected at least one algorithm, got none",
  ]);
  assert.match(
    (await faults({ ...base, audience: 7 }))[0]!,
    /^audience: expected an audience, or a list, got 7/,
  );
});
