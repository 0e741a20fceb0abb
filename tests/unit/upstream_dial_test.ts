/**
 * Opening a connection: TLS modes and credentials, over real sockets.
 * @module
 */
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { dial, type SocketServer } from "../../src/upstream/dial.ts";
import { testAuthority, testChain, testIdentity } from "../support/certificates.ts";
import { fin, raw, type Script, startTls } from "../support/scripted_upstream.ts";
import {
  dialed,
  outcome,
  type World,
  world,
  type WorldOptions,
} from "../support/upstream_world.ts";

const { ca, leaf } = await testChain(["127.0.0.1"]);
const stranger = await testIdentity(["127.0.0.1"]);
const otherName = await testIdentity(["other.test", "127.0.0.2"], { ca });
const otherAuthority = await testAuthority("Another CA");
const day = 24 * 3600 * 1000;
const expired = await testIdentity(["127.0.0.1"], {
  ca,
  notBefore: new Date(Date.now() - 3 * day),
  notAfter: new Date(Date.now() - 2 * day),
});
const fingerprint = (cert: string): string =>
  new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase();

const refusesTls = { starttls: "454 4.7.0 not now", capabilities: ["STARTTLS"] };
/** The server is gone where it should shake hands. */
const breaksTls: Script = { starttls: ["220 go", fin()], capabilities: ["STARTTLS"] };

describe("R13: STARTTLS by policy", () => {
  interface Row {
    readonly name: string;
    readonly script: Script;
    readonly with: WorldOptions;
    readonly expected: string | RegExp;
    readonly connections?: number;
  }
  const good: Script = { tls: leaf };
  const rows: readonly Row[] = [
    { name: "none takes none", script: good, with: { tls: "none" }, expected: "plain" },
    ...(["opportunistic", "require"] as const).flatMap((tls): Row[] => [
      { name: `${tls}: a good certificate`, script: good, with: { tls }, expected: "TLS" },
      {
        name: `${tls}: any certificate will do (RFC 7435)`,
        script: { tls: stranger },
        with: { tls },
        expected: "TLS",
      },
      {
        name: `${tls}: even one for another name`,
        script: { tls: otherName },
        with: { tls },
        expected: "TLS",
      },
    ]),
    {
      name: "opportunistic: no offer",
      script: {},
      with: { tls: "opportunistic" },
      expected: "plain",
    },
    {
      name: "opportunistic: refused",
      script: refusesTls,
      with: { tls: "opportunistic" },
      expected: "plain",
      connections: 1,
    },
    {
      name: "opportunistic: a handshake that fails, then once more without (RFC 7435)",
      script: breaksTls,
      with: { tls: "opportunistic" },
      expected: "plain",
      connections: 2,
    },
    ...(["require", "verify"] as const).flatMap((tls): Row[] => [
      {
        name: `${tls}: no offer, no mail`,
        script: {},
        with: { tls },
        expected: "does not offer STARTTLS",
      },
      {
        name: `${tls}: refused, no mail`,
        script: refusesTls,
        with: { tls },
        expected: "answered STARTTLS with 454",
      },
      {
        name: `${tls}: a handshake that fails, no mail`,
        script: breaksTls,
        with: { tls },
        expected: /^TLS handshake failed: /,
        connections: 1,
      },
    ]),
    {
      name: "verify: chain and name",
      script: good,
      with: { tls: "verify", ca: ca.cert },
      expected: "TLS",
    },
    {
      name: "verify: an unknown authority",
      script: good,
      with: { tls: "verify", ca: otherAuthority.cert },
      expected: /^TLS handshake failed: /,
    },
    {
      name: "verify: no authority of ours",
      script: good,
      with: { tls: "verify" },
      expected: /^TLS handshake failed: /,
    },
    {
      name: "verify: self-signed",
      script: { tls: stranger },
      with: { tls: "verify", ca: ca.cert },
      expected: /^TLS handshake failed: /,
    },
    {
      name: "verify: another name",
      script: { tls: otherName },
      with: { tls: "verify", ca: ca.cert },
      expected: /^TLS handshake failed: /,
    },
    {
      name: "verify: expired",
      script: { tls: expired },
      with: { tls: "verify", ca: ca.cert },
      expected: /^TLS handshake failed: /,
    },
    {
      name: "pinned: the fingerprint replaces chain and name",
      script: { tls: otherName },
      with: { tls: "verify", fingerprint: fingerprint(otherName.cert) },
      expected: "TLS",
    },
    ...(["opportunistic", "require", "verify"] as const).flatMap((tls): Row[] => [
      {
        name: `pinned, ${tls}: another certificate of the same authority is refused`,
        script: good,
        with: { tls, ca: ca.cert, fingerprint: fingerprint(otherName.cert) },
        expected: /^TLS handshake failed: /,
        connections: 1,
      },
      {
        name: `pinned, ${tls}: no offer, no mail`,
        script: {},
        with: { tls, fingerprint: fingerprint(leaf.cert) },
        expected: "does not offer STARTTLS",
        connections: 1,
      },
    ]),
  ];
  for (const row of rows) {
    test(`R13: ${row.name}`, async () => {
      await using w = await world(row.script, row.with);
      const got = await dialed(w);
      if (typeof row.expected === "string") assert.equal(got, row.expected);
      else assert.match(got, row.expected);
      assert.equal(w.server.connections.length, row.connections ?? 1);
      for (const connection of w.server.connections) {
        assert.equal(connection.behindStartTls, "");
        assert.equal(connection.secure && got !== "TLS" && /plain/.test(got), false);
      }
      if (got === "TLS") {
        assert.equal(w.verbs().replace(" QUIT", ""), "EHLO STARTTLS EHLO");
        assert.equal(w.lines()[2], "EHLO edge.test");
      }
    });
  }

  test("R13: plain text behind the 220 is thrown away with its connection, and nothing is tried without TLS", async () => {
    const injected = "250-up.test\r\n250-AUTH PLAIN\r\n250 XCLIENT NAME\r\n";
    for (const tls of ["opportunistic", "require", "verify"] as const) {
      await using w = await world(
        { starttls: [raw(`220 go\r\n${injected}`), startTls()], tls: leaf },
        { tls, ca: ca.cert, auth: { user: "u", password: "p" } },
      );
      assert.equal(await dialed(w), "sent octets behind its reply to STARTTLS");
      assert.equal(w.verbs(), "EHLO STARTTLS");
      assert.equal(w.server.connections.length, 1);
    }
  });

  test("R13: half a line behind the 220, too", async () => {
    await using w = await world(
      { starttls: [raw("220 go\r\n2"), startTls()], tls: leaf },
      { tls: "require" },
    );
    assert.equal(await dialed(w), "sent octets behind its reply to STARTTLS");
  });

  test("R13: what was offered before TLS does not count", async () => {
    await using w = await world({
      ehlo: ({ connection }) =>
        connection.secure
          ? "250-up.test\r\n250 SIZE 5"
          : "250-up.test\r\n250-STARTTLS\r\n250-DSN\r\n250 SIZE 99",
      tls: leaf,
    }, { tls: "require" });
    const got = await outcome(dial(w.options, w.settings.servers[0] as SocketServer, undefined));
    assert.ok("extensions" in got);
    assert.equal(got.extensions.dsn, false);
    assert.equal(got.extensions.size, 5);
    got.quit();
  });
});

describe("R23: a server that did not offer STARTTLS the last time", () => {
  const again = async (w: World) =>
    await outcome(dial(w.options, w.settings.servers[0] as SocketServer, undefined, true));

  test("stays in plain text, on one connection", async () => {
    await using w = await world({}, { tls: "opportunistic" });
    const got = await again(w);
    assert.ok("secure" in got);
    assert.equal(got.secure, false);
    assert.equal(w.verbs(), "EHLO");
    got.quit();
  });

  test("and offers it now gets TLS", async () => {
    await using w = await world({ tls: leaf }, { tls: "opportunistic" });
    const got = await again(w);
    assert.ok("secure" in got);
    assert.equal(got.secure, true);
    got.quit();
  });
});

describe("implicit TLS", () => {
  const implicit = async (script: Script, options: WorldOptions): Promise<World> => {
    const w = await world({ ...script, implicitTls: true }, options);
    const [server] = w.settings.servers;
    if (server?.kind === "smtp") Object.assign(server, { implicitTls: true });
    return w;
  };

  for (const tls of ["none", "opportunistic", "require"] as const) {
    test(`${tls}: TLS from the first octet, whoever it is`, async () => {
      await using w = await implicit({ tls: stranger }, { tls });
      assert.equal(await dialed(w), "TLS");
      assert.equal(w.lines()[0], "EHLO edge.test");
      assert.equal(w.server.count("starttls"), 0);
    });
  }

  test("verify: chain and name", async () => {
    await using w = await implicit({ tls: leaf }, { tls: "verify", ca: ca.cert });
    assert.equal(await dialed(w), "TLS");
    await using bad = await implicit({ tls: otherName }, { tls: "verify", ca: ca.cert });
    assert.match(await dialed(bad), /^cannot connect: /);
  });

  test("a server without TLS there is never spoken to in plain text", async () => {
    await using w = await world({ banner: "220 plain" }, { tls: "opportunistic" });
    const [server] = w.settings.servers;
    Object.assign(server as object, { implicitTls: true });
    assert.match(await dialed(w), /^cannot connect: /);
    for (const { commands } of w.server.connections) {
      assert.ok(!commands.some((line) => line.startsWith("EHLO")));
    }
  });

  test("a pinned fingerprint holds here, too", async () => {
    await using w = await implicit({ tls: leaf }, {
      tls: "require",
      fingerprint: fingerprint(stranger.cert),
    });
    assert.match(await dialed(w), /^cannot connect: /);
  });
});

describe("credentials", () => {
  const auth = { user: "relay", password: "pass word" };

  test("R18: PLAIN behind TLS", async () => {
    await using w = await world({ tls: leaf, capabilities: ["AUTH LOGIN PLAIN"] }, {
      tls: "verify",
      ca: ca.cert,
      auth,
    });
    assert.equal(await dialed(w), "TLS");
    assert.equal(w.lines()[3], `AUTH PLAIN ${btoa("\0relay\0pass word")}`);
  });

  test("R18: LOGIN, in plain text where the operator chose it", async () => {
    await using w = await world({
      auth: "334 VXNlcm5hbWU6",
      sasl: ({ nth }) => nth === 1 ? "334 UGFzc3dvcmQ6" : "235 2.7.0 ok",
      capabilities: ["AUTH LOGIN"],
    }, { auth });
    assert.equal(await dialed(w), "plain");
    const [, ...lines] = w.lines();
    assert.deepEqual(lines.slice(0, 3), ["AUTH LOGIN", btoa("relay"), btoa("pass word")]);
  });

  test("R18: not without TLS: not offered, refused, or broken by somebody on the way", async () => {
    const scripts: readonly Script[] = [{}, refusesTls, breaksTls];
    for (const script of scripts) {
      const capabilities = [...script.capabilities ?? [], "AUTH PLAIN LOGIN"];
      await using w = await world({ ...script, capabilities }, { tls: "opportunistic", auth });
      const got = await dialed(w);
      assert.match(got, /^(has no TLS, so our credentials are not sent|TLS handshake failed: .*)$/);
      assert.equal(w.server.count("auth"), 0);
    }
  });

  test("R4 R18: refused: a failure that tells no secret", async () => {
    for (const answer of ["535 5.7.8 no", "334 eA==", "250 ok", "454 4.7.0 later", "235"]) {
      await using w = await world({ auth: answer, capabilities: ["AUTH PLAIN"] }, { auth });
      const got = await outcome(w.pool.acquire(undefined, { servers: new Set(), idle: false }));
      if (answer === "235") assert.ok("connection" in got);
      else {
        assert.ok("_tag" in got && got.phase === "connect", answer);
        assert.ok(!got.message.includes("pass word") && !got.message.includes(btoa("pass word")));
        await w.server.waitFor("close");
        assert.equal(w.verbs(), "EHLO AUTH");
      }
    }
  });
});
