/**
 * Opening a connection: TLS modes, credentials, and how the server is told who the client is. On the wire, over real sockets.
 * @module
 */
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { UpstreamSettings } from "../../src/settings/settings.ts";
import { type ClientIdentity, dial, type SocketServer } from "../../src/upstream/dial.ts";
import { nodeNetwork } from "../../src/runtime/node_net.ts";
import { testAuthority, testChain, testIdentity } from "../support/certificates.ts";
import { upgradedServer } from "../support/duplex.ts";
import { fin, raw, type Script, startTls } from "../support/scripted_upstream.ts";
import {
  client,
  outcome,
  rawServer,
  recipient,
  said,
  until,
  type World,
  world,
  type WorldOptions,
} from "../support/upstream_world.ts";

const { ca, leaf } = await testChain(["127.0.0.1"]);
const stranger = await testIdentity(["127.0.0.1"]);
const otherName = await testIdentity(["other.test", "127.0.0.2"], { ca });
const otherAuthority = await testAuthority("Another CA");
const nothing = new Uint8Array(0);
const day = 24 * 3600 * 1000;
const expired = await testIdentity(["127.0.0.1"], {
  ca,
  notBefore: new Date(Date.now() - 3 * day),
  notAfter: new Date(Date.now() - 2 * day),
});
const fingerprint = (cert: string): string =>
  new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase();

/** `plain` or `TLS` where there is a connection, else why there is none. */
async function dialed(w: World, identity?: ClientIdentity): Promise<string> {
  const [server] = w.settings.servers;
  const got = await outcome(dial(w.options, server as SocketServer, identity));
  if (!("_tag" in got)) {
    const secure = got.secure;
    got.quit();
    return secure ? "TLS" : "plain";
  }
  assert.equal(got.phase, "connect");
  return got.message.replace(/^upstream mail (?:smtps:\/\/)?127\.0\.0\.1:\d+: /, "");
}

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

describe("who the client is", () => {
  const offers = ["PIPELINING", "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"];
  const forwards = ["PIPELINING", "XFORWARD NAME ADDR PORT PROTO HELO"];
  const v6: ClientIdentity = {
    remote: { address: "2001:db8::7", port: 40_000 },
    local: { address: "2001:db8::1", port: 25 },
    name: undefined,
    helo: "x y",
    esmtp: false,
    user: "u=1",
  };
  const other: ClientIdentity = { ...client, remote: { address: "192.0.2.8", port: 1 } };
  const xclient = { identity: "xclient" } as const;

  test("by XCLIENT, what is offered and nothing else, and EHLO again", async () => {
    await using w = await world({ capabilities: offers }, xclient);
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.deepEqual(w.lines().slice(0, 3), [
      "EHLO edge.test",
      "XCLIENT NAME=client.test ADDR=192.0.2.7 PORT=40000 PROTO=ESMTP HELO=helo.test " +
      "LOGIN=[UNAVAILABLE] DESTADDR=198.51.100.1 DESTPORT=25",
      "EHLO edge.test",
    ]);
    await using few = await world({ capabilities: ["XCLIENT ADDR LOGIN"] }, xclient);
    assert.equal(await few.deliver(undefined, v6), "250 2.0.0");
    assert.equal(few.lines()[1], "XCLIENT ADDR=IPV6:2001:db8::7 LOGIN=u+3D1");
  });

  test("R22: by XCLIENT, no word of the client's becomes another attribute", async () => {
    await using w = await world({ capabilities: ["XCLIENT HELO NAME"] }, xclient);
    await w.deliver(undefined, { ...client, helo: "a ADDR=1\r\nQUIT", name: "n LOGIN=x" });
    assert.equal(w.lines()[1], "XCLIENT NAME=n+20LOGIN+3Dx HELO=a+20ADDR+3D1+0D+0AQUIT");
  });

  test("R6: a connection of one client becomes another's by XCLIENT", async () => {
    await using w = await world({ capabilities: offers }, xclient);
    await w.deliver();
    await w.deliver();
    await w.deliver(undefined, other);
    assert.equal(w.server.connections.length, 1);
    const transaction = "MAIL RCPT DATA";
    assert.equal(
      w.verbs(),
      `EHLO XCLIENT EHLO ${transaction} ${transaction} XCLIENT EHLO ${transaction}`,
    );
    assert.match(w.lines()[9] ?? "", / ADDR=192\.0\.2\.8 /);
  });

  test("R6: that died while it was idle is replaced unseen, at XCLIENT as well", async () => {
    for (const answer of ["421 4.3.2 bye", "550 5.7.0 no"]) {
      await using w = await world({
        capabilities: offers,
        xclient: ({ nth }) => nth === 2 ? answer : "220 up.test",
      }, xclient);
      assert.equal(await w.deliver(), "250 2.0.0");
      assert.equal(await w.deliver(undefined, other), "250 2.0.0");
      assert.equal(w.server.connections.length, 2);
      assert.match(w.lines(1)[1] ?? "", / ADDR=192\.0\.2\.8 /);
    }
  });

  test("R4: XCLIENT that is not offered, or refused, is a failure: mail under a wrong name is none", async () => {
    await using w = await world({}, xclient);
    assert.equal(await dialed(w, client), "does not offer XCLIENT");
    await using no = await world({ capabilities: offers, xclient: "550 5.7.0 no" }, xclient);
    assert.equal(await dialed(no, client), "refused XCLIENT with 550");
    assert.equal(no.server.count("mail"), 0);
  });

  test("XCLIENT in an opportunistic connection whose handshake had failed", async () => {
    await using w = await world(
      { ...breaksTls, capabilities: [...offers, "STARTTLS"] },
      { ...xclient, tls: "opportunistic" },
    );
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(await w.deliver(undefined, other), "250 2.0.0");
    assert.equal(w.server.connections.length, 2);
    assert.equal(w.server.count("starttls"), 1);
  });

  test("by XFORWARD before each MAIL, and reused", async () => {
    await using w = await world({ capabilities: forwards }, { identity: "xforward" });
    await w.deliver();
    await w.deliver(undefined, { ...v6, helo: "" });
    assert.equal(w.server.connections.length, 1);
    assert.equal(w.verbs(), "EHLO XFORWARD MAIL RCPT DATA XFORWARD MAIL RCPT DATA");
    assert.deepEqual([w.lines()[1], w.lines()[5]], [
      "XFORWARD NAME=client.test ADDR=192.0.2.7 PORT=40000 PROTO=ESMTP HELO=helo.test",
      "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::7 PORT=40000 PROTO=SMTP " +
      "HELO=[UNAVAILABLE]",
    ]);
  });

  test("XFORWARD is for the log only: not offered or refused, the mail goes on", async () => {
    await using w = await world({ capabilities: ["XFORWARD NAME"], xforward: "501 5.5.4 no" }, {
      identity: "xforward",
    });
    assert.equal(await w.deliver(), "250 2.0.0");
    await using none = await world({}, { identity: "xforward" });
    assert.equal(await none.deliver(), "250 2.0.0");
    assert.equal(none.server.count("xforward"), 0);
  });

  const proxy = (identity: UpstreamSettings["identity"], more: Script = {}): Promise<World> =>
    world({ proxyHeader: true, ...more }, { identity });
  const header = (w: World, connection = 0): string =>
    [...w.server.connections[connection]?.proxyHeader ?? []]
      .map((octet) => String.fromCharCode(octet)).join("");

  test("by PROXY version 1, before anything else", async () => {
    await using w = await proxy("proxy-v1");
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(header(w), "PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n");
    await using six = await proxy("proxy-v1");
    assert.equal(await six.deliver(undefined, v6), "250 2.0.0");
    assert.equal(header(six), "PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n");
  });

  test("by PROXY version 2", async () => {
    await using w = await proxy("proxy-v2");
    assert.equal(await w.deliver(), "250 2.0.0");
    const start = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    assert.equal(header(w), `${start}\xc0\0\x02\x07\xc6\x33\x64\x01\x9c\x40\0\x19`);
  });

  test("R6: a connection behind a PROXY header belongs to one client for ever", async () => {
    for (const identity of ["proxy-v1", "proxy-v2"] as const) {
      await using w = await proxy(identity);
      await w.deliver();
      await w.deliver();
      assert.equal(w.server.connections.length, 2);
      assert.equal(w.pool.size, 0);
    }
  });

  test("R6: an aborted transaction does not give it to another client either", async () => {
    await using w = await proxy("proxy-v1");
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    leg.release();
    await until(() => w.pool.size === 0, "the connection is gone");
    await w.deliver(undefined, other);
    assert.match(header(w, 1), / 192\.0\.2\.8 /);
  });

  test("PROXY before STARTTLS and before implicit TLS", async () => {
    await using w = await proxy("proxy-v1", { tls: leaf });
    Object.assign(w.settings, { tls: "require" });
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.server.connections[0]?.secure, true);
    await using server = await rawServer();
    const servers = [{ ...server.settings, implicitTls: true }] as UpstreamSettings["servers"];
    await using implicit = await world([], { servers, identity: "proxy-v2", tls: "require" });
    const got = dialed(implicit, client);
    const peer = await server.accept();
    await peer.until(() => peer.received() > 28);
    const octets = Buffer.concat(peer.told.map((item) => "chunk" in item ? item.chunk : nothing));
    assert.deepEqual([...octets.subarray(0, 16)].slice(12), [0x21, 0x11, 0, 12]);
    const context = nodeNetwork().tlsServer({
      identities: [{ ...leaf, names: [] }],
      minVersion: "1.2",
      clientCertificate: "none",
      handshakeTimeout: 20_000,
    });
    assert.equal(await upgradedServer(peer.duplex, context, "", octets.subarray(28)), undefined);
    peer.duplex.resume();
    peer.duplex.write("220 up.test\r\n");
    await peer.hears("EHLO edge.test\r\n");
    peer.duplex.write("250 up.test\r\n");
    assert.equal(await got, "TLS");
  });

  test("our own connections name no client", async () => {
    await using w = await proxy("proxy-v1");
    assert.equal(await dialed(w), "plain");
    assert.equal(header(w), "PROXY UNKNOWN\r\n");
    await using two = await proxy("proxy-v2");
    assert.equal(await dialed(two), "plain");
    assert.equal(header(two).length, 16);
    await using x = await world({ capabilities: offers }, xclient);
    assert.equal(await dialed(x), "plain");
    assert.equal(x.server.count("xclient"), 0);
  });
});
