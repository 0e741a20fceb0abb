/** TLS over real sockets on loopback: STARTTLS and implicit TLS on both sides, and everything that must be refused. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { describe, test } from "node:test";
import tls from "node:tls";
import { nodeNetwork } from "../../src/runtime/node_net.ts";
import type {
  Duplex,
  TlsClientOptions,
  TlsIdentity,
  TlsServerOptions,
  TransportError,
} from "../../src/transport/duplex.ts";
import { inspectCertificate } from "../../src/runtime/identity.ts";
import { testAuthority, testChain, testIdentity } from "../support/certificates.ts";
import {
  connected,
  connectedPair,
  listening,
  type Probe,
  probe,
  summary,
  tryConnect,
  upgradedClient,
  upgradedServer,
} from "../support/duplex.ts";

const network = nodeNetwork();
const { ca, leaf } = await testChain(["mx.test", "127.0.0.1"]);
const other = await testIdentity(["other.test", "*.wild.test"], { ca });
const expired = await testIdentity(["mx.test"], {
  ca,
  notBefore: new Date(Date.now() - 2 * 86_400_000),
  notAfter: new Date(Date.now() - 86_400_000),
});
/** Same issuer name, another key. */
const forged = await testIdentity(["mx.test"], { ca: await testAuthority() });

/** One DNS name that reads like two (CVE-2021-44532). */
const comma = await testIdentity(["good.test", "a, DNS:evil.test"], { ca });
const capital = await testIdentity(["MX.Test"], { ca });

const mx: TlsIdentity = { ...leaf, names: ["mx.test"] };

function serverContext(options: Partial<TlsServerOptions> = {}) {
  return network.tlsServer({
    identities: [mx],
    minVersion: "1.2",
    clientCertificate: "none",
    handshakeTimeout: 5_000,
    ...options,
  });
}

function clientOptions(options: Partial<TlsClientOptions> = {}): TlsClientOptions {
  return {
    serverName: "mx.test",
    verify: true,
    ca: ca.cert,
    minVersion: "1.2",
    handshakeTimeout: 5_000,
    ...options,
  };
}

const context = serverContext();

/** A listener that upgrades each connection after its first octets, and what became of each upgrade. */
async function startTlsServer(options: Partial<TlsServerOptions> = {}) {
  const made = serverContext(options);
  const results: { duplex: Duplex; there: Probe; error: TransportError | undefined }[] = [];
  const waiting: ((result: (typeof results)[number]) => void)[] = [];
  const port = await listening(network, (duplex) => {
    duplex.handle({
      data() {
        duplex.upgradeServer(made, "220 2.0.0 go ahead\r\n", (error) => {
          const result = { duplex, there: probe(duplex), error };
          results.push(result);
          waiting.shift()?.(result);
        });
      },
      end() {},
      drain() {},
      close() {},
    });
    duplex.resume();
  });
  return {
    port,
    /** The result of the next upgrade to end. */
    next: () => new Promise<(typeof results)[number]>((resolve) => waiting.push(resolve)),
    async close() {
      for (const { duplex } of results) duplex.destroy();
      await port.close();
    },
  };
}

/** A bare socket that has said STARTTLS and read the 220. */
async function rawStartTls(port: number): Promise<net.Socket> {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("STARTTLS\r\n");
  await new Promise((resolve) => socket.once("data", resolve));
  return socket;
}

function closedSocket(socket: net.Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else socket.on("close", () => resolve());
  });
}

describe("STARTTLS", () => {
  test("both sides upgrade in place, then talk both ways", async () => {
    const { client, server, close } = await connectedPair(network);
    const there = probe(server);
    const here = probe(client);
    client.write("STARTTLS\r\n");
    await there.hears("STARTTLS\r\n");
    const up = upgradedServer(server, context, "220 go ahead\r\n");
    await here.hears("220 go ahead\r\n");
    assert.equal(await upgradedClient(client, clientOptions()), undefined);
    assert.equal(await up, undefined);
    client.write("EHLO client.test\r\n");
    await there.hears("EHLO client.test\r\n");
    server.write("250 mx.test\r\n");
    await here.hears("250 mx.test\r\n");
    assert.equal(server.tls?.version, "TLSv1.3");
    assert.match(server.tls?.cipher ?? "", /^TLS_/);
    assert.equal(server.tls?.sni, "mx.test");
    assert.equal(server.tls?.peer, undefined);
    assert.equal(client.tls?.sni, "mx.test");
    assert.deepEqual(client.tls?.peer, {
      subject: "mx.test",
      fingerprint: inspectCertificate(leaf.cert).fingerprint,
      verified: true,
    });
    assert.equal(server.remote.port, client.local.port);
    await close();
  });

  test("a paused connection stays paused through the handshake and loses nothing", async () => {
    const { client, server, close } = await connectedPair(network);
    const there = probe(server, { paused: true });
    const here = probe(client);
    const up = upgradedServer(server, context, "220 go\r\n");
    await here.hears("220 go\r\n");
    assert.equal(await upgradedClient(client, clientOptions()), undefined);
    assert.equal(await up, undefined);
    client.write("early");
    server.write("reply");
    await here.hears("reply");
    assert.deepEqual(there.told, []);
    server.resume();
    await there.hears("early");
    await close();
  });

  test("half-close by close_notify: the other side may still answer", async () => {
    const { client, server, close } = await connectedPair(network);
    const there = probe(server);
    const here = probe(client);
    const up = upgradedServer(server, context, "");
    await upgradedClient(client, clientOptions());
    await up;
    client.write("QUIT\r\n");
    client.end();
    await there.ended();
    assert.equal(there.text(), "QUIT\r\n");
    server.write("221 bye\r\n");
    server.end();
    await here.hears("221 bye\r\n");
    assert.equal(await here.closed(), undefined);
    assert.equal(await there.closed(), undefined);
    assert.deepEqual(summary(here.told), { closes: 1, last: "close" });
    assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
    await close();
  });

  test("R29: back-pressure under TLS", async () => {
    const { client, server, close } = await connectedPair(network);
    const there = probe(server, { paused: true });
    const here = probe(client);
    const up = upgradedServer(server, context, "");
    await upgradedClient(client, clientOptions());
    await up;
    const block = new Uint8Array(256 * 1024).fill(0x61);
    let sent = 0;
    while (sent < 256 * 1024 * 1024) {
      sent += block.length;
      if (!client.write(block)) {
        for (let turn = 0; turn < 3; turn++) await new Promise((done) => setImmediate(done));
        if (client.pending > 0) break;
      }
    }
    assert.ok(client.pending > 0);
    assert.equal(there.received(), 0);
    server.resume();
    await here.until(({ told }) => told.some((item) => item.event === "drain"));
    await there.until((end) => end.received() === sent);
    await close();
  });

  test("writes of one tick leave together under TLS too", async () => {
    const { client, server, close } = await connectedPair(network);
    const there = probe(server);
    const up = upgradedServer(server, context, "");
    await upgradedClient(client, clientOptions());
    await up;
    for (let line = 0; line < 20; line++) client.write(`250-line ${line}\r\n`);
    client.write(new Uint8Array([0xff]));
    await there.hears("\xff");
    assert.ok(there.text().startsWith("250-line 0\r\n250-line 1\r\n"));
    await close();
  });

  test("R12: plain octets between STARTTLS and the ClientHello end the connection, and are never data", async () => {
    const server = await startTlsServer();
    for (const injected of ["EHLO evil.test\r\n", "MAIL FROM:<evil@evil.test>\r\n".repeat(200)]) {
      const next = server.next();
      const socket = await rawStartTls(server.port.address.port);
      socket.write(injected);
      const client = tls.connect({ socket, rejectUnauthorized: false });
      client.on("error", () => {});
      const { there, error } = await next;
      assert.equal(error?.kind, "tls");
      assert.equal((await there.closed())?.kind, "tls");
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
      assert.equal(there.text(), "");
      socket.destroy();
    }
    await server.close();
  });

  test("R12: plain octets that arrive while the 220 is on its way are never data either", async () => {
    const { client, server, close } = await connectedPair(network);
    const there = probe(server);
    client.write("STARTTLS\r\n");
    await there.hears("STARTTLS\r\n");
    server.pause();
    const before = there.told.length;
    client.write("MAIL FROM:<evil@evil.test>\r\n");
    const error = await upgradedServer(server, context, "220 go\r\n");
    assert.equal(error?.kind, "tls");
    await there.closed();
    assert.equal(there.told.length, before + 1);
    await close();
  });

  test("R13: plain octets behind the upstream's 220 are never data to the client", async () => {
    const { client, server, close } = await connectedPair(network);
    const here = probe(client);
    probe(server);
    server.write("220 go ahead\r\n");
    await here.hears("220 go ahead\r\n");
    server.write("250 evil\r\n");
    const error = await upgradedClient(client, clientOptions());
    assert.notEqual(error, undefined);
    await here.closed();
    assert.equal(here.text(), "220 go ahead\r\n");
    assert.deepEqual(summary(here.told), { closes: 1, last: "close" });
    await close();
  });

  test("R35: a garbage ClientHello ends only its own connection", async () => {
    const server = await startTlsServer();
    const good = server.next();
    const socket = await rawStartTls(server.port.address.port);
    const client = tls.connect({ socket, ca: ca.cert, servername: "mx.test" });
    client.on("error", () => {});
    const { there } = await good;
    const octets = [
      new Uint8Array([0x16, 0x03, 0x01, 0xff, 0xff, ...new Array(100).fill(0)]),
      new Uint8Array([0x80, 0x2e, 0x01, 0x00, 0x02]),
      new Uint8Array(20_000).fill(0xff),
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    for (const garbage of octets) {
      const next = server.next();
      const bad = await rawStartTls(server.port.address.port);
      bad.end(garbage);
      assert.notEqual((await next).error, undefined);
      await closedSocket(bad);
    }
    client.write("still here\r\n");
    await there.hears("still here\r\n");
    socket.destroy();
    await server.close();
  });

  test("R35: TLS 1.1 and older are refused", async () => {
    const server = await startTlsServer();
    for (const version of [0x01, 0x02]) {
      const next = server.next();
      const socket = await rawStartTls(server.port.address.port);
      socket.write(oldClientHello(version));
      assert.equal((await next).error?.kind, "tls");
      await closedSocket(socket);
    }
    await server.close();
  });

  test("R35: with minVersion 1.3, TLS 1.2 is refused; with 1.2 it is served", async () => {
    for (const [minVersion, served] of [["1.3", false], ["1.2", true]] as const) {
      const server = await startTlsServer({ minVersion });
      const next = server.next();
      const socket = await rawStartTls(server.port.address.port);
      const client = tls.connect({ socket, rejectUnauthorized: false, maxVersion: "TLSv1.2" });
      client.on("error", () => {});
      const { duplex, error } = await next;
      assert.equal(error === undefined, served);
      assert.equal(duplex.tls?.version, served ? "TLSv1.2" : undefined);
      if (served) assert.match(duplex.tls?.cipher ?? "", /^(TLS_)?ECDHE.*(GCM|CHACHA20)/);
      socket.destroy();
      await server.close();
    }
  });

  test("R30: a handshake that stalls is cut off at its deadline", async () => {
    const server = await startTlsServer({ handshakeTimeout: 50 });
    const silent = server.next();
    const socket = await rawStartTls(server.port.address.port);
    const first = await silent;
    assert.equal(first.error?.kind, "timeout");
    await closedSocket(socket);
    const half = server.next();
    const second = await rawStartTls(server.port.address.port);
    second.write(oldClientHello(3).subarray(0, 30));
    assert.equal((await half).error?.kind, "timeout");
    await closedSocket(second);
    await server.close();
  });

  test("a client that leaves during the handshake is told once", async () => {
    const server = await startTlsServer();
    for (const leave of ["end", "resetAndDestroy"] as const) {
      const next = server.next();
      const socket = await rawStartTls(server.port.address.port);
      socket[leave]();
      const { there, error } = await next;
      assert.equal(error?.kind, "reset");
      await there.closed();
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
      socket.destroy();
    }
    await server.close();
  });

  test("destroy during the handshake: only close is told", async () => {
    const { client, server, close } = await connectedPair(network);
    const there = probe(server);
    let done = 0;
    server.upgradeServer(context, "220 go\r\n", () => done++);
    server.destroy();
    assert.equal(await there.closed(), undefined);
    assert.equal(done, 0);
    client.destroy();
    await close();
  });

  test("R3: a TLS stream that is cut off tells no data that was not sent", async () => {
    const server = await startTlsServer();
    for (const cut of ["end", "resetAndDestroy"] as const) {
      const next = server.next();
      const socket = await rawStartTls(server.port.address.port);
      const client = tls.connect({ socket, ca: ca.cert, servername: "mx.test" });
      client.on("error", () => {});
      const { duplex, there } = await next;
      client.write("DATA\r\nhalf a mess");
      await there.hears("half a mess");
      socket[cut]();
      await there.until(({ told }) =>
        told.some(({ event }) => event === "end" || event === "close")
      );
      duplex.end();
      await there.closed();
      assert.equal(there.text(), "DATA\r\nhalf a mess");
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
      socket.destroy();
    }
    await server.close();
  });

  test("R14: octets after close_notify are not there", async () => {
    const server = await startTlsServer();
    const next = server.next();
    const socket = await rawStartTls(server.port.address.port);
    const client = tls.connect({ socket, ca: ca.cert, servername: "mx.test" });
    client.on("error", () => {});
    const { duplex, there } = await next;
    client.end("QUIT\r\n");
    await there.ended();
    socket.write("MAIL FROM:<evil@evil.test>\r\n");
    socket.end();
    duplex.end();
    await there.closed();
    assert.equal(there.text(), "QUIT\r\n");
    assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
    socket.destroy();
    await server.close();
  });

  test("R30: 1,000 STARTTLS connections, 50 at once, none hangs", { timeout: 60_000 }, async () => {
    const made = serverContext();
    const port = await listening(network, (duplex) => {
      duplex.handle({
        data(chunk) {
          if (duplex.tls !== undefined) {
            duplex.write(chunk);
            duplex.end();
          } else duplex.upgradeServer(made, "220 go\r\n", () => {});
        },
        end() {},
        drain() {},
        close() {},
      });
      duplex.resume();
    });
    const options = clientOptions({ verify: false });
    let left = 1_000;
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const client = await connected(network, port);
        const here = probe(client);
        client.write("STARTTLS\r\n");
        await here.hears("220 go\r\n");
        const error = await upgradedClient(client, options);
        assert.equal(error, undefined, error?.message);
        client.write("EHLO\r\n");
        await here.hears("EHLO\r\n");
        await here.ended();
        client.end();
        await here.closed();
      }
    };
    await Promise.all(Array.from({ length: 50 }, worker));
    await port.close();
  });
});

describe("octets read before the handshake", () => {
  for (const size of [1, 5, 100, "all"] as const) {
    test(`the first ${size} of the ClientHello`, async () => {
      const header = "PROXY UNKNOWN\r\n";
      const { promise: upgraded, resolve: upgrade } = Promise.withResolvers<
        TransportError | undefined
      >();
      const { promise: served, resolve: serve } = Promise.withResolvers<Duplex>();
      const port = await listening(network, (duplex) => {
        let read = new Uint8Array(0);
        duplex.handle({
          data(chunk) {
            read = Uint8Array.from([...read, ...chunk]);
            if (read.length <= header.length) return;
            serve(duplex);
            duplex.upgradeServer(context, "", upgrade, read.subarray(header.length));
          },
          end() {},
          drain() {},
          close() {},
        });
        duplex.resume();
      });
      // A load balancer that puts the header and so much of the ClientHello into one packet, and sends the rest later.
      const balancer = net.createServer((inner) => {
        const outer = net.connect({ port: port.address.port, host: "127.0.0.1", noDelay: true });
        for (const socket of [inner, outer]) socket.on("error", () => {});
        outer.pipe(inner);
        inner.once("data", (hello) => {
          inner.pause();
          const first = size === "all" ? hello.length : size;
          outer.write(Buffer.concat([Buffer.from(header), hello.subarray(0, first)]));
          void served.then(() => {
            outer.write(hello.subarray(first));
            inner.pipe(outer);
          });
        });
      });
      await new Promise<void>((resolve) => balancer.listen(0, "127.0.0.1", resolve));
      const socket = net.connect((balancer.address() as net.AddressInfo).port, "127.0.0.1");
      const client = tls.connect({ socket, ca: ca.cert, servername: "mx.test" });
      client.on("error", () => {});
      assert.equal(await upgraded, undefined);
      const there = probe(await served);
      client.write("EHLO client.test\r\n");
      await there.hears("EHLO client.test\r\n");
      assert.equal(there.text(), "EHLO client.test\r\n");
      socket.destroy();
      there.duplex.destroy();
      balancer.close();
      await port.close();
    });
  }
});

describe("implicit TLS", () => {
  test("the connection is handed out after the handshake; a failed one never shows", async () => {
    const accepted: Duplex[] = [];
    const { promise, resolve } = Promise.withResolvers<Duplex>();
    const port = await listening(network, (duplex) => {
      accepted.push(duplex);
      resolve(duplex);
    }, { tls: context });
    const bad = net.connect(port.address.port, "127.0.0.1");
    bad.on("error", () => {});
    bad.write("EHLO plain.test\r\n");
    await closedSocket(bad);
    const client = await connected(network, port, { tls: clientOptions() });
    const there = probe(await promise);
    const here = probe(client);
    there.duplex.write("220 mx.test\r\n");
    await here.hears("220 mx.test\r\n");
    client.write("QUIT\r\n");
    await there.hears("QUIT\r\n");
    assert.equal(accepted.length, 1);
    assert.equal(there.duplex.tls?.version, "TLSv1.3");
    client.destroy();
    there.duplex.destroy();
    await port.close();
  });
});

describe("server identities", () => {
  const second: TlsIdentity = { ...other, names: ["other.test", "*.wild.test"] };
  const cases = [
    ["mx.test", "mx.test"],
    ["other.test", "other.test"],
    ["OTHER.test", "other.test"],
    ["a.wild.test", "other.test"],
    ["a.b.wild.test", "mx.test"],
    ["wild.test", "mx.test"],
    ["unknown.test", "mx.test"],
    ["constructor", "mx.test"],
    ["127.0.0.1", "mx.test"],
  ] as const;
  for (const [asked, subject] of cases) {
    test(`R35: SNI ${asked} gets the certificate of ${subject}`, async () => {
      const server = await listening(network, (duplex) => probe(duplex), {
        tls: serverContext({ identities: [mx, second] }),
      });
      const client = await connected(network, server, {
        tls: clientOptions({ serverName: asked, verify: false }),
      });
      assert.equal(client.tls?.peer?.subject, subject);
      client.destroy();
      await server.close();
    });
  }

  test("bad PEM and a key of another certificate are refused when the context is made", () => {
    const broken: readonly (readonly [Partial<TlsIdentity>, RegExp])[] = [
      [{ cert: "nonsense" }, /^Cannot use certificate: no PEM certificate found$/],
      [{ key: "nonsense" }, /^Cannot use certificate: the key is not a PEM private key/],
      [{ key: other.key }, /^Cannot use certificate: the key does not belong to it$/],
      [
        { cert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
        /^Cannot use certificate: it cannot be parsed/,
      ],
    ];
    for (const [part, message] of broken) {
      assert.throws(() => serverContext({ identities: [{ ...mx, ...part }] }), { message });
    }
    assert.throws(() => serverContext({ identities: [] }), {
      message: "Cannot use certificate: none is given",
    });
    assert.throws(() => serverContext({ ca: "nonsense" }), {
      message: /^Cannot use trust anchors/,
    });
  });
});

describe("ALPN", () => {
  const cases = [
    [undefined, true],
    [["smtp"], true],
    [["h2", "smtp"], true],
    [["http/1.1"], false],
    [["h2", "http/1.1"], false],
  ] as const;
  for (const [offered, served] of cases) {
    const what = offered === undefined ? "no ALPN" : offered.join(" and ");
    test(`R28: a client that offers ${what} is ${served ? "served" : "refused"}`, async () => {
      const server = await startTlsServer();
      const next = server.next();
      const socket = await rawStartTls(server.port.address.port);
      const client = tls.connect({
        socket,
        rejectUnauthorized: false,
        ...(offered === undefined ? {} : { ALPNProtocols: [...offered] }),
      });
      client.on("error", () => {});
      const { duplex, error } = await next;
      assert.equal(error?.kind, served ? undefined : "tls");
      assert.equal(duplex.tls?.alpn, served && offered !== undefined ? "smtp" : undefined);
      socket.destroy();
      await server.close();
    });
  }
});

describe("client certificates", () => {
  async function meet(
    options: Partial<TlsServerOptions>,
    identity: { cert: string; key: string } | undefined,
  ) {
    const server = await startTlsServer(options);
    const next = server.next();
    const socket = await rawStartTls(server.port.address.port);
    const client = tls.connect({ socket, rejectUnauthorized: false, ...identity });
    client.on("error", () => {});
    client.write("EHLO\r\n");
    const { duplex, there, error } = await next;
    if (error === undefined) await there.hears("EHLO\r\n");
    else await there.closed();
    const result = { error, peer: duplex.tls?.peer, heard: there.text() };
    socket.destroy();
    await server.close();
    return result;
  }
  const fingerprint = inspectCertificate(other.cert).fingerprint;

  test("request: a verified certificate is told as verified", async () => {
    const { peer } = await meet({ clientCertificate: "request", ca: ca.cert }, other);
    assert.deepEqual(peer, { subject: "other.test", fingerprint, verified: true });
  });

  test("request: none is fine", async () => {
    const { error, peer } = await meet({ clientCertificate: "request", ca: ca.cert }, undefined);
    assert.equal(error, undefined);
    assert.equal(peer, undefined);
  });

  for (const [what, identity] of [["forged", forged], ["expired", expired]] as const) {
    test(`request: a certificate that is ${what} is told as not verified`, async () => {
      const { error, peer } = await meet({ clientCertificate: "request", ca: ca.cert }, identity);
      assert.equal(error, undefined);
      assert.equal(peer?.verified, false);
    });
    test(`require: a certificate that is ${what} is refused before any data`, async () => {
      const { error, heard } = await meet({ clientCertificate: "require", ca: ca.cert }, identity);
      assert.equal(error?.kind, "certificate");
      assert.equal(heard, "");
    });
  }

  test("request without trust anchors: told, never as verified", async () => {
    const { peer } = await meet({ clientCertificate: "request" }, other);
    assert.deepEqual(peer, { subject: "other.test", fingerprint, verified: false });
  });

  test("require: none is refused before any data", async () => {
    const { error, heard } = await meet({ clientCertificate: "require", ca: ca.cert }, undefined);
    assert.equal(error?.kind, "certificate");
    assert.equal(heard, "");
  });

  test("require: a verified one is served", async () => {
    const { error, peer } = await meet({ clientCertificate: "require", ca: ca.cert }, other);
    assert.equal(error, undefined);
    assert.equal(peer?.verified, true);
  });

  test("none: a certificate is not asked for", async () => {
    const { error, peer } = await meet({ clientCertificate: "none" }, other);
    assert.equal(error, undefined);
    assert.equal(peer, undefined);
  });

  test("our own as a client", async () => {
    const { promise, resolve } = Promise.withResolvers<Duplex>();
    const port = await listening(network, resolve, {
      tls: serverContext({ clientCertificate: "require", ca: ca.cert }),
    });
    const client = await connected(network, port, { tls: clientOptions({ identity: other }) });
    const server = await promise;
    assert.deepEqual(server.tls?.peer, { subject: "other.test", fingerprint, verified: true });
    client.destroy();
    server.destroy();
    await port.close();
  });
});

describe("verification of a server", () => {
  async function reach(
    identity: { cert: string; key: string },
    options: Partial<TlsClientOptions>,
  ): Promise<TransportError["kind"] | "served"> {
    const port = await listening(network, (duplex) => probe(duplex), {
      tls: serverContext({ identities: [{ ...identity, names: [] }] }),
    });
    const result = await tryConnect(network, port, { tls: clientOptions(options) });
    await port.close();
    if ("error" in result) return result.error.kind;
    const here = probe(result);
    result.destroy();
    await here.closed();
    return "served";
  }
  const pin = inspectCertificate(leaf.cert).fingerprint;
  const anchors = ca.cert;
  const { ca: _none, ...withoutAnchors } = clientOptions();
  const cases = [
    ["the name and chain are right", leaf, {}, "served"],
    ["the name is another", leaf, { serverName: "evil.test" }, "certificate"],
    ["a wildcard covers the name", other, { serverName: "a.wild.test" }, "served"],
    ["a wildcard covers one label only", other, { serverName: "a.b.wild.test" }, "certificate"],
    ["the issuer is forged", forged, {}, "certificate"],
    ["a name only reads like ours", comma, { serverName: "evil.test" }, "certificate"],
    ["the name is written in capitals", capital, {}, "served"],
    ["it has expired", expired, {}, "certificate"],
    ["an IP address is in the certificate", leaf, { serverName: "127.0.0.1" }, "served"],
    ["an IP address is not in it", leaf, { serverName: "127.0.0.2" }, "certificate"],
    [
      "verify is off, and nothing is right",
      forged,
      { verify: false, serverName: "x.test" },
      "served",
    ],
    [
      "the pin is right, the chain unknown",
      leaf,
      { fingerprint: pin, serverName: "x.test" },
      "served",
    ],
    ["the pin is wrong, the chain right", other, {
      fingerprint: pin,
      serverName: "other.test",
    }, "certificate"],
    ["the pin is wrong, verify off", other, { fingerprint: pin, verify: false }, "certificate"],
  ] as const;
  for (const [what, identity, options, expected] of cases) {
    test(`${what}: ${expected}`, async () => {
      assert.equal(await reach(identity, { ca: anchors, ...options }), expected);
    });
  }

  test("an authority that is not known is not trusted", async () => {
    const port = await listening(network, (duplex) => probe(duplex), { tls: context });
    const result = await tryConnect(network, port, { tls: withoutAnchors });
    assert.ok("error" in result);
    assert.equal(result.error.kind, "certificate");
    await port.close();
  });

  test("a wrong pin is refused before any data is told", async () => {
    const port = await listening(network, (duplex) => {
      probe(duplex);
      duplex.write("220 evil\r\n");
    }, { tls: context });
    const client = await connected(network, port, {
      tls: clientOptions({ fingerprint: pin, verify: false }),
    });
    client.destroy();
    const plain = await listening(network, (duplex) => {
      probe(duplex);
      duplex.upgradeServer(
        serverContext({ identities: [{ ...other, names: [] }] }),
        "",
        () => duplex.write("220 evil\r\n"),
      );
    });
    const raw = await connected(network, plain);
    const here = probe(raw);
    const error = await upgradedClient(raw, clientOptions({ fingerprint: pin, verify: false }));
    assert.equal(error?.kind, "certificate");
    await here.closed();
    assert.equal(here.text(), "");
    await port.close();
    await plain.close();
  });

  test("no name is sent for an IP address", async () => {
    const { promise, resolve } = Promise.withResolvers<Duplex>();
    const port = await listening(network, resolve, { tls: context });
    const client = await connected(network, port, {
      tls: clientOptions({ serverName: "127.0.0.1" }),
    });
    const server = await promise;
    assert.equal(server.tls?.sni, undefined);
    assert.equal(client.tls?.sni, undefined);
    client.destroy();
    server.destroy();
    await port.close();
  });
});

/** A whole ClientHello of SSL 3 shape for protocol 3.`version`, without extensions. */
function oldClientHello(version: number): Uint8Array {
  const suites = [0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 0x00, 0x35];
  const body = [
    0x03,
    version,
    ...new Array(32).fill(0x42),
    0x00,
    0x00,
    suites.length,
    ...suites,
    0x01,
    0x00,
  ];
  const message = [0x01, 0x00, 0x00, body.length, ...body];
  return new Uint8Array([0x16, 0x03, 0x01, 0x00, message.length, ...message]);
}
