/** The memory network keeps the promises of duplex.ts, for every split. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Duplex, TlsClientOptions } from "../../src/transport/duplex.ts";
import { memoryNetwork } from "../../src/transport/memory.ts";
import {
  connected,
  connectedPair,
  listening,
  probe,
  summary,
  tryConnect,
  upgradedClient,
  upgradedServer,
} from "../support/duplex.ts";

const CLIENT: TlsClientOptions = {
  serverName: "mx.test",
  verify: true,
  minVersion: "1.2",
  handshakeTimeout: 1,
};
const SERVER = {
  identities: [],
  minVersion: "1.2",
  clientCertificate: "none",
  handshakeTimeout: 1,
} as const;

/** Enough turns for everything that is only microtasks. */
const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 0));

describe("memory connection", () => {
  for (const split of [1, 2, 3, 7, "all"] as const) {
    test(`split ${split}: everything arrives in order, in chunks of that size`, async () => {
      await fc.assert(fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
        async (writes) => {
          const [client, server] = memoryNetwork({ split }).pair();
          const there = probe(server);
          for (const octets of writes) client.write(octets);
          client.end();
          await there.ended();
          const chunks = there.told.flatMap((item) => item.event === "data" ? [item.chunk] : []);
          assert.deepEqual(chunks.flatMap((chunk) => [...chunk]), writes.flatMap((o) => [...o]));
          if (split !== "all") {
            for (const chunk of chunks.slice(0, -1)) assert.equal(chunk.length, split);
          } else assert.ok(chunks.length <= 1);
          assert.equal(client.pending, 0);
        },
      ));
    });
  }

  test("a string is UTF-8, and nothing is told in the same tick", async () => {
    const [client, server] = memoryNetwork().pair();
    const there = probe(server);
    client.write("ü\r\n");
    assert.equal(there.received(), 0);
    await there.hears("\u00c3\u00bc\r\n");
  });

  test("the writer may use its buffer again", async () => {
    const [client, server] = memoryNetwork().pair();
    const there = probe(server);
    const buffer = new TextEncoder().encode("one");
    client.write(buffer);
    buffer.fill(0);
    await there.hears("one");
  });

  test("starts paused; pause takes hold within a handler", async () => {
    const [client, server] = memoryNetwork({ split: 1 }).pair();
    const there = probe(server, { paused: true });
    client.write("ab");
    await settled();
    assert.equal(there.received(), 0);
    let heard = "";
    server.handle({
      data(chunk) {
        heard += new TextDecoder().decode(chunk);
        server.pause();
      },
      end() {},
      drain() {},
      close() {},
    });
    server.resume();
    await settled();
    assert.equal(heard, "a");
    server.resume();
    await settled();
    assert.equal(heard, "ab");
  });

  test("back-pressure: false from the mark on, drain when all is read", async () => {
    const [client, server] = memoryNetwork({ highWaterMark: 10 }).pair();
    const there = probe(server, { paused: true });
    const here = probe(client);
    assert.equal(client.write("123456789"), true);
    assert.equal(client.write("0"), false);
    assert.equal(client.pending, 10);
    await settled();
    assert.deepEqual(here.told, []);
    server.resume();
    await here.until(({ told }) => told.some((item) => item.event === "drain"));
    assert.equal(client.pending, 0);
    assert.equal(there.text(), "1234567890");
  });

  test("half-close both ways, then close once and last on both ends", async () => {
    const [client, server] = memoryNetwork({ split: 1 }).pair();
    const there = probe(server);
    const here = probe(client);
    client.write("QUIT");
    client.end();
    assert.equal(client.write("late"), false);
    await there.ended();
    server.write("221");
    server.end();
    assert.equal(await here.closed(), undefined);
    assert.equal(await there.closed(), undefined);
    assert.equal(there.text(), "QUIT");
    assert.equal(here.text(), "221");
    assert.deepEqual(summary(here.told), { closes: 1, last: "close" });
    assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
  });

  test("destroy: end at the peer, whose next write is answered by a reset", async () => {
    const [client, server] = memoryNetwork().pair();
    const there = probe(server);
    const here = probe(client);
    client.write("last words");
    client.destroy();
    client.destroy();
    assert.equal(await here.closed(), undefined);
    await there.ended();
    assert.equal(there.text(), "last words");
    server.write("hello?");
    assert.equal((await there.closed())?.kind, "reset");
    assert.deepEqual(summary(here.told), { closes: 1, last: "close" });
    assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
  });

  test("destroy, and an end in answer: close without an error", async () => {
    const [client, server] = memoryNetwork().pair();
    const there = probe(server);
    client.destroy();
    await there.ended();
    server.end();
    assert.equal(await there.closed(), undefined);
  });

  test("R3: a reset is told as close with the error, and what was under way is lost", async () => {
    const [client, server] = memoryNetwork().pair();
    const there = probe(server);
    client.write("DATA");
    client.destroy(true);
    assert.equal((await there.closed())?.kind, "reset");
    assert.equal(there.text(), "");
    assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
  });
});

describe("memory TLS", () => {
  test("STARTTLS sets the facts on both ends and goes on", async () => {
    const network = memoryNetwork({ split: 1 });
    const [client, server] = network.pair();
    const there = probe(server);
    const here = probe(client);
    const up = upgradedServer(server, network.tlsServer(SERVER), "220 go\r\n");
    await here.hears("220 go\r\n");
    assert.equal(server.tls === undefined, true);
    assert.equal(await upgradedClient(client, CLIENT), undefined);
    assert.equal(await up, undefined);
    assert.equal(server.tls?.sni, "mx.test");
    assert.equal(client.tls?.version, "TLSv1.3");
    client.write("EHLO");
    await there.hears("EHLO");
  });

  test("R12: plain octets in the handshake destroy the connection and are never data", async () => {
    const network = memoryNetwork();
    for (const late of [false, true]) {
      const [client, server] = network.pair();
      const there = probe(server);
      probe(client);
      if (!late) {
        server.pause();
        client.write("MAIL FROM:<evil@evil.test>\r\n");
        await settled();
      }
      const up = upgradedServer(server, network.tlsServer(SERVER), "220 go\r\n");
      if (late) client.write("MAIL FROM:<evil@evil.test>\r\n");
      assert.equal((await up)?.kind, "tls");
      assert.equal((await there.closed())?.kind, "tls");
      assert.equal(there.text(), "");
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
    }
  });

  test("R13: plain octets behind the 220 are never data to the client", async () => {
    const network = memoryNetwork();
    const [client, server] = network.pair();
    const here = probe(client);
    server.write("220 go\r\n");
    await here.hears("220 go\r\n");
    server.write("250 evil\r\n");
    assert.equal((await upgradedClient(client, CLIENT))?.kind, "tls");
    await here.closed();
    assert.equal(here.text(), "220 go\r\n");
  });

  test("a peer that leaves during the handshake is told once", async () => {
    const network = memoryNetwork();
    const [client, server] = network.pair();
    const there = probe(server);
    const up = upgradedServer(server, network.tlsServer(SERVER), "");
    client.destroy();
    assert.equal((await up)?.kind, "reset");
    await there.closed();
    assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
  });

  test("implicit TLS: handed out after the handshake; plain octets never show", async () => {
    const network = memoryNetwork();
    const accepted: Duplex[] = [];
    const port = await listening(network, (duplex) => accepted.push(duplex), {
      tls: network.tlsServer(SERVER),
    });
    const plain = probe(await connected(network, port));
    plain.duplex.write("EHLO\r\n");
    await plain.until(({ told }) => told.length > 0);
    assert.equal(accepted.length, 0);
    const client = await connected(network, port, { tls: CLIENT });
    assert.equal(accepted.length, 1);
    assert.equal(accepted[0]?.tls?.sni, "mx.test");
    assert.equal(client.tls?.sni, "mx.test");
  });

  test("facts can be played", () => {
    const peer = { subject: "client.test", fingerprint: "ab", verified: true };
    const network = memoryNetwork({ tlsFacts: { peer, version: "TLSv1.2" } });
    const [client, server] = network.pair();
    return new Promise<void>((done) => {
      server.upgradeServer(network.tlsServer(SERVER), "", () => {});
      client.upgradeClient(CLIENT, () => {
        assert.deepEqual(server.tls?.peer, peer);
        assert.equal(server.tls?.version, "TLSv1.2");
        done();
      });
    });
  });
});

describe("memory listeners", () => {
  test("found by port or path, busy twice, refused after close, open connections stay", async () => {
    const network = memoryNetwork({ clientAddress: "192.0.2.7" });
    const accepted: Duplex[] = [];
    const port = await listening(network, (duplex) => accepted.push(duplex));
    const busy = await network.listen({ host: "::", port: port.address.port }, {}, () => {});
    assert.ok("error" in busy);
    assert.equal(busy.error.kind, "busy");
    const client = await connected(network, port);
    await connected(network, port, { localAddress: "198.51.100.1" });
    assert.equal(accepted[0]?.remote.address, "192.0.2.7");
    assert.equal(accepted[1]?.remote.address, "198.51.100.1");
    assert.deepEqual(accepted[0]?.remote, client.local);
    await port.close();
    const late = await tryConnect(network, port);
    assert.ok("error" in late);
    assert.equal(late.error.kind, "refused");
    assert.ok(accepted[0]);
    const there = probe(accepted[0]);
    client.write("still here");
    await there.hears("still here");
    const unix = await network.listen({ path: "/run/x.sock" }, {}, (duplex) => probe(duplex));
    assert.ok(!("error" in unix));
    assert.ok(!("error" in await tryConnect(network, { path: "/run/x.sock" })));
  });

  test("nothing is told after cancel, and networks do not know each other", async () => {
    const network = memoryNetwork();
    const port = await listening(network, () => {});
    const where = { host: "127.0.0.1", port: port.address.port };
    let told = 0;
    network.connect(where, { timeout: 1 }, () => told++).cancel();
    assert.equal(told, 0);
    await settled();
    assert.equal(told, 0);
    assert.ok("error" in await tryConnect(memoryNetwork(), port));
  });

  test("connectedPair works as on sockets", async () => {
    const { client, server, close } = await connectedPair(memoryNetwork({ split: 3 }));
    const there = probe(server);
    client.write("EHLO client.test\r\n");
    await there.hears("EHLO client.test\r\n");
    await close();
  });

  test("a split that is none is refused", () => {
    assert.throws(() => memoryNetwork({ split: 0 }), RangeError);
    assert.throws(() => memoryNetwork({ split: 1.5 }), RangeError);
  });
});
