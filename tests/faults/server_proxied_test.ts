/** Who the client is, as a trusted peer tells it: PROXY headers and XCLIENT (R27). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Edge, type EdgeOptions, mailCommands, startEdge } from "../support/edge.ts";
import { formatProxyV2 } from "../../src/wire/proxy_protocol.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const stranger = { localAddress: "127.0.0.2" };
const proxied: EdgeOptions = { listener: 'proxy_protocol = ["127.0.0.1"]' };

/** The client's address as the last transaction knew it. */
async function remoteOf(edge: Edge, client: SmtpClient): Promise<string> {
  const count = edge.postern.records.length + 1;
  assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
  await edge.postern.recorded(count);
  const { address, port } = edge.postern.records[count - 1]!.transaction.session.remote;
  return `${address} ${port}`;
}

function v2(source: string, port = 4711): Uint8Array {
  return formatProxyV2({ address: source, port }, { address: "192.0.2.25", port: 25 });
}

/** LOCAL: the balancer's own connection, with a TLV that is nobody's. */
const local = Uint8Array.from([
  ...[13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10],
  ...[0x20, 0, 0, 4, 0x04, 0, 1, 0xff],
]);

describe("R27: PROXY from listed networks", () => {
  const headers: ReadonlyMap<string, readonly [Uint8Array | string, RegExp]> = new Map([
    ["v1, IPv4", ["PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n", /^198\.51\.100\.7 4711$/]],
    ["v1, IPv6", ["PROXY TCP6 2001:db8::7 2001:db8::25 4711 25\r\n", /^2001:db8::7 4711$/]],
    ["v1, UNKNOWN", ["PROXY UNKNOWN\r\n", /^127\.0\.0\.1 /]],
    ["v2, IPv4", [v2("198.51.100.7"), /^198\.51\.100\.7 4711$/]],
    ["v2, IPv6", [v2("2001:db8::7"), /^2001:db8::7 4711$/]],
    ["v2, LOCAL", [local, /^127\.0\.0\.1 /]],
  ]);
  for (const [name, [header, wanted]] of headers) {
    test(`${name}: the session's client is the one that it tells`, async () => {
      await using edge = await startEdge(proxied);
      for (const split of [1, 5, undefined]) {
        await using client = await edge.greeted({
          preface: header,
          ...(split === undefined ? {} : { split }),
        });
        assert.match(await remoteOf(edge, client), wanted);
      }
    });
  }

  test("octets behind it in its packet are the client's", async () => {
    await using edge = await startEdge(proxied);
    await using client = await edge.connect({
      preface: Buffer.concat([v2("198.51.100.7"), Buffer.from("EHLO early.test\r\nNOOP\r\n")]),
    });
    await client.expect(220);
    await client.expect(250);
    await client.expect(250);
    assert.equal(await remoteOf(edge, client), "198.51.100.7 4711");
  });

  test("under STARTTLS and implicit TLS behind it", async () => {
    await using edge = await startEdge({
      ...proxied,
      more: '[[listeners]]\nname = "smtps"\nlisten = "127.0.0.1:0"\ntls = "implicit"\n' +
        'proxy_protocol = ["127.0.0.1"]',
    });
    await using plain = await edge.greeted({ preface: v2("198.51.100.7") });
    await plain.starttls();
    await plain.ehlo();
    assert.equal(await remoteOf(edge, plain), "198.51.100.7 4711");
    await using secure = await edge.greeted({ preface: v2("198.51.100.8"), tls: true }, "smtps");
    assert.equal(await remoteOf(edge, secure), "198.51.100.8 4711");
  });

  const none: ReadonlyMap<string, Uint8Array | string> = new Map<string, Uint8Array | string>([
    ["EHLO", "EHLO client.test\r\n"],
    ["empty lines", "\r\n\r\n\r\n"],
    ["a second-hand v1", " PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n"],
    ["v1 in lower case", "proxy TCP4 198.51.100.7 192.0.2.25 4711 25\r\n"],
    ["v1 with half of it", "PROXY TCP4 198.51.100.7\r\n"],
    ["v1 with a name", "PROXY TCP4 client.test 192.0.2.25 4711 25\r\n"],
    ["v1 with a port too high", "PROXY TCP4 198.51.100.7 192.0.2.25 65536 25\r\n"],
    ["v1 of the wrong family", "PROXY TCP4 2001:db8::7 2001:db8::25 4711 25\r\n"],
    ["v1 ended by LF", "PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\nEHLO x\r\n"],
    ["v1 without end", `PROXY UNKNOWN ${"x".repeat(200)}`],
    ["v2 of version 3", Uint8Array.from(local, (octet, i) => i === 12 ? 0x31 : octet)],
    ["v2 with another command", Uint8Array.from(local, (octet, i) => i === 12 ? 0x22 : octet)],
    ["a v2 of 65,535 octets", Uint8Array.from(local, (o, i) => i === 14 || i === 15 ? 0xff : o)],
    ["a ClientHello", Uint8Array.of(0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3)],
  ]);
  for (const [name, octets] of none) {
    test(`${name} in its place: closed without a word`, async () => {
      await using edge = await startEdge(proxied);
      await using client = await edge.connect();
      client.sendRaw(octets);
      await client.expectClosed();
      assert.equal(edge.postern.running.sessions, 0);
      assert.match(edge.log(), /PROXY header expected/);
    });
  }

  test("silence in its place: closed when its time is over, a drip of it too", async () => {
    for (const octets of ["", "PROXY TCP4 198.51.100.7 192.0.2.25"]) {
      await using edge = await startEdge({ ...proxied, clock: true });
      await using client = await edge.connect();
      client.sendRaw(octets);
      await edge.advanceUntil(1_000, client.expectClosed());
      assert.equal(edge.postern.running.sessions, 0);
    }
  });

  test("a client that ends before it has told it is let go", async () => {
    await using edge = await startEdge(proxied);
    await using client = await edge.connect();
    await client.sendRaw("PROXY ");
    await client.end();
    await client.expectClosed();
  });

  test("connections count for the client that it tells", async () => {
    await using edge = await startEdge({ ...proxied, limits: "connections_per_address = 1" });
    await using one = await edge.greeted({ preface: v2("198.51.100.7") });
    await using again = await edge.connect({ preface: v2("198.51.100.7", 4712) });
    await again.expect("421 4.7.0");
    await again.expectClosed();
    await using other = await edge.greeted({ preface: v2("198.51.100.8") });
    await one.quit();
    await other.quit();
  });

  test("headers that never come to an end cost no more than the limit of connections", async () => {
    await using edge = await startEdge({ ...proxied, limits: "connections = 3" });
    const half: SmtpClient[] = [];
    for (let i = 0; i < 3; i++) half.push(await edge.connect({ preface: "PROXY" }));
    await using late = await edge.connect({ preface: v2("198.51.100.7") });
    await late.expect("421 4.7.0");
    for (const client of half) {
      client.end();
      await client.expectClosed();
      client.close();
    }
    await using next = await edge.greeted({ preface: v2("198.51.100.7") });
    await next.quit();
  });
});

describe("R27: PROXY from anybody else is an error, and changes nothing", () => {
  test("v1", async () => {
    await using edge = await startEdge(proxied);
    await using client = await edge.connect(stranger);
    await client.expect(220);
    await client.command("PROXY TCP4 198.51.100.7 192.0.2.25 4711 25", "500 5.5.2");
    await client.ehlo();
    assert.match(await remoteOf(edge, client), /^127\.0\.0\.2 /);
  });
  test("v2", async () => {
    for (const listener of [proxied, {}]) {
      await using edge = await startEdge({ ...listener, limits: "errors = 100" });
      await using client = await edge.connect(stranger);
      await client.expect(220);
      client.sendRaw(v2("198.51.100.7"));
      client.sendRaw("\r\nRSET\r\n");
      await client.expect(/^5/);
      let answer = await client.reply();
      while (answer.code !== 250) {
        assert.equal(answer.code, 500);
        answer = await client.reply();
      }
      await client.ehlo();
      assert.match(await remoteOf(edge, client), /^127\.0\.0\.2 /);
    }
  });
  test("a second header, behind the one of the balancer", async () => {
    await using edge = await startEdge(proxied);
    await using client = await edge.connect({ preface: v2("198.51.100.7") });
    await client.expect(220);
    await client.command("PROXY TCP4 203.0.113.1 192.0.2.25 4711 25", "500 5.5.2");
    await client.ehlo();
    assert.equal(await remoteOf(edge, client), "198.51.100.7 4711");
  });
});

describe("R27: XCLIENT", () => {
  const trusted: EdgeOptions = {
    listener: 'xclient = ["127.0.0.1"]',
    upstream: 'identity = "none"',
    limits: "errors = 100",
  };
  const said = "XCLIENT NAME=spike.test ADDR=198.51.100.7 PORT=4711 PROTO=ESMTP HELO=spike.test";

  test("is offered to listed peers, and honoured: the session begins anew", async () => {
    await using edge = await startEdge(trusted);
    await using client = await edge.greeted();
    assert.ok(client.capabilities.some((word) => /^XCLIENT .*ADDR/.test(word)));
    await client.command(said, 220);
    await client.command("MAIL FROM:<a@client.test>", "503 5.5.1");
    await client.ehlo();
    assert.equal(await remoteOf(edge, client), "198.51.100.7 4711");
    assert.equal(edge.postern.records[0]?.transaction.session.clientName, "spike.test");
  });

  test("in several commands, as its client may have to cut it", async () => {
    await using edge = await startEdge(trusted);
    await using client = await edge.greeted();
    await client.command("XCLIENT ADDR=198.51.100.7", 220);
    await client.command("XCLIENT PORT=4711 NAME=[UNAVAILABLE]", 220);
    await client.ehlo();
    assert.equal(await remoteOf(edge, client), "198.51.100.7 4711");
    await client.command("XCLIENT ADDR=IPV6:2001:db8::7", 220);
    await client.ehlo();
    assert.equal(await remoteOf(edge, client), "2001:db8::7 4711");
  });

  test("is not offered to others, and 550 5.7.0 for them; nothing changes", async () => {
    for (const listener of [trusted, { limits: "errors = 100" }]) {
      await using edge = await startEdge(listener);
      await using client = await edge.greeted(stranger);
      assert.ok(!client.capabilities.some((word) => word.startsWith("XCLIENT")));
      await client.command(said, "550 5.7.0");
      await client.command("XFORWARD ADDR=198.51.100.7", /^5/);
      assert.match(await remoteOf(edge, client), /^127\.0\.0\.2 /);
    }
  });

  test("is no way to trust: whom it tells may not use it on his own", async () => {
    await using edge = await startEdge({ ...trusted, listener: 'xclient = ["127.0.0.0/30"]' });
    await using client = await edge.greeted({ localAddress: "127.0.0.9" });
    await client.command("XCLIENT ADDR=127.0.0.1", "550 5.7.0");
    await using proxy = await startEdge({
      listener: 'xclient = ["127.0.0.1"]\nproxy_protocol = ["127.0.0.1"]',
    });
    await using behind = await proxy.greeted({ preface: v2("198.51.100.7") });
    assert.ok(!behind.capabilities.some((word) => word.startsWith("XCLIENT")));
    await behind.command(said, "550 5.7.0");
  });

  test("a login that it tells counts as one", async () => {
    await using edge = await startEdge({
      listener: 'xclient = ["127.0.0.1"]\nauth = "required"',
      users: { anna: "x" },
      routes: '[[routes]]\nauthenticated = true\nupstream = "up"',
    });
    await using client = await edge.greeted();
    await client.command("XCLIENT LOGIN=anna", 220);
    await client.ehlo();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("RSET", 250);
    await client.command("XCLIENT LOGIN=[UNAVAILABLE]", 220);
    await client.ehlo();
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
  });

  test("not in a transaction, not with unknown or broken attributes", async () => {
    await using edge = await startEdge(trusted);
    await using client = await edge.greeted();
    const bad = ["", "ADDR", "ADDR=", "ADDR=client.test", "ADDR=1.2.3", "PORT=0", "PORT=65536"]
      .concat(["FOO=bar", "__proto__=x", "PROTO=SMTPS", "ADDR=198.51.100.7 ADDR=198.51.100.8"])
      .concat(["HELO=a+0D+0AMAIL", "NAME=a+00b", "LOGIN=a+0Ab", "ADDR=[", "ADDR=IPV6:xyz"]);
    for (const attributes of bad) {
      await client.command(`XCLIENT ${attributes}`.trimEnd(), /^501 5\.5\.4/);
    }
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command(said, "503 5.5.1");
    await client.command("RSET", 250);
    assert.match(await remoteOf(edge, client), /^127\.0\.0\.1 /);
  });
});

describe("identity towards the upstream", () => {
  test("R22: what XCLIENT and HELO say goes on as one value each", async () => {
    await using edge = await startEdge({
      listener: 'xclient = ["127.0.0.1"]',
      upstream: 'identity = "xclient"',
      script: { capabilities: ["XCLIENT NAME ADDR PORT PROTO HELO LOGIN"] },
    });
    await using client = await edge.greeted();
    await client.command("XCLIENT ADDR=198.51.100.7 NAME=a+20LOGIN=root HELO=x+2By", /^220|^501/);
    await client.ehlo("evil+20LOGIN=root").catch(() => client.command("EHLO x.test", 250));
    await client.sendMessage({ to: "b@up.test" });
    const lines = edge.upstream.connections.flatMap((c) => c.commands)
      .filter((line) => line.startsWith("XCLIENT"));
    assert.ok(lines.length > 0);
    for (const line of lines) {
      assert.ok(!/ LOGIN=root/.test(line), line);
      assert.match(line, /^XCLIENT(?: [A-Z]+=[!-<>-~]+)+$/);
    }
    assert.ok(mailCommands(edge).length > 0);
  });
});
