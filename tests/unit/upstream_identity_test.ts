/**
 * How a server is told who the client is: XCLIENT, XFORWARD, PROXY. On the wire, over real sockets.
 * @module
 */
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { nodeNetwork } from "../../src/runtime/node_net.ts";
import type { UpstreamSettings } from "../../src/settings/settings.ts";
import type { ClientIdentity } from "../../src/upstream/dial.ts";
import { testIdentity } from "../support/certificates.ts";
import { upgradedServer } from "../support/duplex.ts";
import { fin, type Script } from "../support/scripted_upstream.ts";
import {
  client,
  dialed,
  rawServer,
  recipient,
  said,
  until,
  type World,
  world,
} from "../support/upstream_world.ts";

const leaf = await testIdentity(["127.0.0.1"]);
const nothing = new Uint8Array(0);
/** The server is gone where it should shake hands. */
const breaksTls: Script = { starttls: ["220 go", fin()], capabilities: ["STARTTLS"] };

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
