/** Plain connections over real sockets on loopback: order, half-close, back-pressure, errors, listeners. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../../src/runtime/files.ts";
import { nodeNetwork } from "../../src/runtime/node_net.ts";
import { systemNetwork } from "../../src/runtime/system_net.ts";
import { transportError, unmapAddress } from "../../src/runtime/node_errors.ts";
import type { Duplex, Network } from "../../src/transport/duplex.ts";
import {
  connected,
  connectedPair,
  listening,
  probe,
  summary,
  tryConnect,
} from "../support/duplex.ts";

/** Each network that this runtime has: the same rules hold. */
const networks: readonly (readonly [name: string, network: Network])[] = [
  ["node:net", nodeNetwork()],
  ["the runtime's own", plainOnly(systemNetwork())],
];

/** Asks for connections that stay in plain text, which may be of another kind. */
function plainOnly(network: Network): Network {
  return {
    ...network,
    listen: (address, options, accept) =>
      network.listen(address, { ...options, upgradable: false }, accept),
    connect: (address, options, done) =>
      network.connect(address, { ...options, upgradable: false }, done),
  };
}

for (const [name, network] of networks) describe(name, () => rules(network));

function rules(network: Network): void {
  describe("connection", () => {
    test("octets arrive in order, in both directions, and UTF-8 for a string", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      const here = probe(client);
      client.write("EHLO ");
      client.write(new Uint8Array([0x66, 0x6f, 0x6f, 0xff]));
      client.write("ü\r\n");
      await there.hears("\r\n");
      assert.equal(there.text(), "EHLO foo\xff\u00c3\u00bc\r\n");
      server.write("250 ok\r\n");
      await here.hears("250 ok\r\n");
      await close();
    });

    test("nothing is told before resume, and nothing is lost", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server, { paused: true });
      const back = probe(client);
      client.write("early");
      server.write("go");
      await back.hears("go");
      assert.deepEqual(there.told, []);
      server.resume();
      await there.hears("early");
      await close();
    });

    test("the ends know each other's addresses", async () => {
      const { client, server, close } = await connectedPair(network);
      assert.equal(server.remote.address, "127.0.0.1");
      assert.deepEqual(server.remote, client.local);
      assert.deepEqual(server.local, client.remote);
      assert.equal(server.tls, undefined);
      await close();
    });

    test("writes of one tick leave together", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      for (let line = 0; line < 20; line++) client.write(`250-line ${line}\r\n`);
      await there.hears("line 19\r\n");
      assert.equal(there.told.length, 1);
      await close();
    });

    test("half-close by the client: the server may still answer", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      const here = probe(client);
      client.write("QUIT\r\n");
      client.end();
      await there.ended();
      assert.equal(there.text(), "QUIT\r\n");
      server.write("221 bye\r\n");
      server.end();
      assert.equal(await here.closed(), undefined);
      assert.equal(await there.closed(), undefined);
      assert.equal(here.text(), "221 bye\r\n");
      assert.deepEqual(summary(here.told), { closes: 1, last: "close" });
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
      await close();
    });

    test("half-close by the server: the client may still send", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      const here = probe(client);
      server.write("421 bye\r\n");
      server.end();
      await here.ended();
      client.write("QUIT\r\n");
      client.end();
      assert.equal(await there.closed(), undefined);
      assert.equal(there.text(), "QUIT\r\n");
      await here.closed();
      await close();
    });

    test("R29: write says stop when the peer does not read, pending counts, drain follows", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server, { paused: true });
      const here = probe(client);
      const block = new Uint8Array(256 * 1024).fill(0x61);
      let sent = 0;
      while (sent < 256 * 1024 * 1024) {
        sent += block.length;
        // What the kernel takes it takes within the tick or the next turn of the loop.
        if (!client.write(block)) {
          await new Promise((turn) => setImmediate(turn));
          if (client.pending > 0) break;
        }
      }
      assert.ok(client.pending > 0);
      assert.ok(client.pending <= 2 * block.length);
      assert.equal(there.received(), 0);
      server.resume();
      await here.until(({ told }) => told.some((item) => item.event === "drain"));
      await there.until((end) => end.received() === sent);
      assert.equal(client.pending, 0);
      await close();
    });

    test("a chunk that was handed out is never written again", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      for (let round = 0; round < 40; round++) {
        const before = there.received();
        const size = round % 4 === 0 ? 150_000 : 100;
        client.write(new Uint8Array(size).fill(round));
        await there.until((end) => end.received() === before + size);
      }
      let at = 0;
      for (const item of there.told) {
        if (item.event !== "data") continue;
        assert.ok(item.chunk.every((octet) => octet === item.chunk[0]));
        assert.ok((item.chunk[0] ?? 0) >= at);
        at = item.chunk[0] ?? 0;
      }
      await close();
    });

    test("R3: a reset is told as close with the error, not as an end", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      client.write("DATA\r\n");
      await there.hears("DATA\r\n");
      client.destroy(true);
      assert.equal((await there.closed())?.kind, "reset");
      assert.equal(there.told.some((item) => item.event === "end"), false);
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
      await close();
    });

    test("writing to a peer that is gone ends in close, told once", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server, { paused: true });
      client.destroy(true);
      const write = (): void => {
        if (there.told.some((item) => item.event === "close")) return;
        server.write("250 ok\r\n");
        setImmediate(write);
      };
      write();
      assert.equal((await there.closed())?.kind, "reset");
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
      assert.equal(server.write("more"), false);
      await close();
    });

    test("after destroy only close is told, without an error", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      const here = probe(client);
      client.write("one");
      await there.hears("one");
      client.write("two");
      server.write("never heard");
      server.destroy();
      server.destroy();
      server.end();
      assert.equal(server.write("x"), false);
      assert.equal(await there.closed(), undefined);
      assert.equal(there.text(), "one");
      await here.until(({ told }) =>
        told.some(({ event }) => event === "end" || event === "close")
      );
      client.destroy();
      await here.closed();
      assert.deepEqual(summary(there.told), { closes: 1, last: "close" });
      await close();
    });

    test("handlers may be replaced at any time", async () => {
      const { client, server, close } = await connectedPair(network);
      const first = probe(server);
      client.write("a");
      await first.hears("a");
      const second = probe(server);
      client.write("b");
      await second.hears("b");
      assert.equal(first.text(), "a");
      await close();
    });

    test("end flushes what was written before it", async () => {
      const { client, server, close } = await connectedPair(network);
      const there = probe(server);
      client.write(new Uint8Array(1_000_000));
      client.write("last");
      client.end();
      await there.ended();
      assert.equal(there.received(), 1_000_004);
      await close();
    });
  });

  describe("connect", () => {
    test("a port where nobody listens refuses", async () => {
      const port = await listening(network, () => {});
      await port.close();
      const result = await tryConnect(network, port);
      assert.ok("error" in result);
      assert.equal(result.error.kind, "refused");
      assert.match(result.error.message, /^Cannot connect to 127\.0\.0\.1:\d+: /);
    });

    test("a name that does not exist is an error of dns", async () => {
      const result = await tryConnect(network, { host: "does-not-exist.invalid", port: 25 });
      assert.ok("error" in result);
      assert.equal(result.error.kind, "dns");
    });

    test("a port that is no port is told as an error, not thrown", async () => {
      const result = await tryConnect(network, { host: "127.0.0.1", port: 70_000 });
      assert.ok("error" in result);
    });

    test("the result is never told in the same tick, and never after cancel", async () => {
      const port = await listening(network, (connection) => connection.destroy());
      let told = 0;
      const where = { host: "127.0.0.1", port: port.address.port };
      const attempt = network.connect(where, { timeout: 1_000 }, () => told++);
      assert.equal(told, 0);
      attempt.cancel();
      attempt.cancel();
      const other = await connected(network, port);
      await probe(other).until(({ told }) => told.length > 0);
      assert.equal(told, 0);
      other.destroy();
      await port.close();
    });

    test("a server that never speaks TLS is given up after the handshake deadline", async () => {
      const held: Duplex[] = [];
      const port = await listening(network, (connection) => held.push(connection));
      const result = await tryConnect(network, port, {
        tls: { serverName: "mx.test", verify: false, minVersion: "1.2", handshakeTimeout: 50 },
      });
      assert.ok("error" in result);
      assert.equal(result.error.kind, "timeout");
      for (const connection of held) connection.destroy();
      await port.close();
    });

    test("localAddress is where the connection comes from", async () => {
      const { promise, resolve } = Promise.withResolvers<Duplex>();
      const port = await listening(network, resolve);
      const client = await connected(network, port, { localAddress: "127.0.0.1" });
      const server = await promise;
      assert.equal(server.remote.address, "127.0.0.1");
      client.destroy();
      server.destroy();
      await port.close();
    });
  });

  describe("listen", () => {
    test("port 0 is resolved; a port in use is told as busy", async () => {
      const port = await listening(network, () => {});
      assert.ok(port.address.port > 0);
      const where = { host: "127.0.0.1", port: port.address.port };
      const second = await network.listen(where, {}, () => {});
      assert.ok("error" in second);
      assert.equal(second.error.kind, "busy");
      assert.match(
        second.error.message,
        /^Cannot listen on 127\.0\.0\.1:\d+: address already in use/,
      );
      await port.close();
    });

    test("two listeners share a port with reusePort", async () => {
      const first = await listening(network, () => {}, { reusePort: true });
      const where = { host: "127.0.0.1", port: first.address.port };
      const second = await network.listen(where, { reusePort: true }, () => {});
      assert.ok(!("error" in second), "error" in second ? second.error.message : "");
      await first.close();
      await second.close();
    });

    test("R36: close resolves with connections open, takes no new ones, and leaves the open ones", async () => {
      const { promise, resolve } = Promise.withResolvers<Duplex>();
      const port = await listening(network, resolve);
      const client = await connected(network, port);
      const server = await promise;
      await port.close();
      const late = await tryConnect(network, port);
      assert.ok("error" in late);
      assert.equal(late.error.kind, "refused");
      const there = probe(server);
      client.write("still here");
      await there.hears("still here");
      client.destroy();
      server.destroy();
    });

    test("an IPv4 client of a dual-stack listener is told by its IPv4 address", async (t) => {
      const { promise, resolve } = Promise.withResolvers<Duplex>();
      const port = await network.listen({ host: "::", port: 0 }, {}, resolve);
      if ("error" in port) return t.skip("no IPv6 here");
      const result = await tryConnect(network, { host: "127.0.0.1", port: port.address.port });
      assert.ok(!("error" in result));
      const server = await promise;
      assert.equal(server.remote.address, "127.0.0.1");
      assert.equal(server.local.address, "127.0.0.1");
      result.destroy();
      server.destroy();
      await port.close();
    });

    test("IPv6 loopback", async (t) => {
      const { promise, resolve } = Promise.withResolvers<Duplex>();
      const port = await network.listen({ host: "::1", port: 0 }, {}, resolve);
      if ("error" in port) return t.skip("no IPv6 here");
      const client = await connected(network, port);
      const there = probe(await promise);
      assert.equal(there.duplex.remote.address, "::1");
      client.write("hello");
      await there.hears("hello");
      client.destroy();
      there.duplex.destroy();
      await port.close();
    });
  });

  describe("unix sockets", () => {
    test("listen and connect, addresses are the path", async () => {
      const folder = await tempDir();
      const path = join(folder.path, "smtp.sock");
      const { promise, resolve } = Promise.withResolvers<Duplex>();
      const port = await network.listen({ path }, {}, resolve);
      assert.ok(!("error" in port));
      assert.deepEqual(port.address, { address: path, port: 0 });
      const client = await connected(network, port);
      const there = probe(await promise);
      assert.deepEqual(there.duplex.remote, { address: path, port: 0 });
      client.write("hello");
      await there.hears("hello");
      client.destroy();
      there.duplex.destroy();
      await port.close();
      assert.equal(existsSync(path), false);
      await folder.remove();
    });

    test("a path where a server answers is busy and stays its own", async () => {
      const folder = await tempDir();
      const path = join(folder.path, "smtp.sock");
      const first = await network.listen({ path }, {}, (connection) => connection.destroy());
      assert.ok(!("error" in first));
      const second = await network.listen({ path }, {}, () => {});
      assert.ok("error" in second);
      assert.equal(second.error.kind, "busy");
      const client = await connected(network, first);
      client.destroy();
      await first.close();
      await folder.remove();
    });

    test("a file that is no socket is never removed", async () => {
      const folder = await tempDir();
      const path = join(folder.path, "precious");
      writeFileSync(path, "data");
      const result = await network.listen({ path }, {}, () => {});
      assert.ok("error" in result);
      assert.equal(result.error.kind, "busy");
      assert.equal(existsSync(path), true);
      await folder.remove();
    });

    test("a missing socket refuses", async () => {
      const result = await tryConnect(network, { path: "/nonexistent/smtp.sock" });
      assert.ok("error" in result);
      assert.equal(result.error.kind, "refused");
    });
  });

  test("a client that resets at once harms nobody", async () => {
    const seen: Duplex[] = [];
    const port = await listening(network, (connection) => {
      seen.push(connection);
      probe(connection);
    });
    await Promise.all(
      Array.from({ length: 20 }, () =>
        new Promise<void>((resolve) => {
          const socket = net.connect(port.address.port, "127.0.0.1");
          socket.on("error", () => {});
          socket.on("connect", () => socket.resetAndDestroy());
          socket.on("close", () => resolve());
        })),
    );
    const { length } = seen;
    const client = await connected(network, port);
    await new Promise<void>((resolve) => {
      const look = () => seen.length > length ? resolve() : setImmediate(look);
      look();
    });
    client.destroy();
    for (const connection of seen) connection.destroy();
    await port.close();
  });
}

test("IPv4-mapped addresses are unmapped, others are left", () => {
  assert.equal(unmapAddress("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(unmapAddress("::FFFF:192.0.2.1"), "192.0.2.1");
  assert.equal(unmapAddress("192.0.2.1"), "192.0.2.1");
  assert.equal(unmapAddress("2001:db8::1"), "2001:db8::1");
});

test("error codes become kinds", () => {
  const kinds = [
    ["ECONNRESET", "reset"],
    ["EPIPE", "reset"],
    ["ECONNREFUSED", "refused"],
    ["EHOSTUNREACH", "unreachable"],
    ["ENETUNREACH", "unreachable"],
    ["ETIMEDOUT", "timeout"],
    ["EADDRINUSE", "busy"],
    ["EACCES", "denied"],
    ["ENOTFOUND", "dns"],
    ["CERT_HAS_EXPIRED", "certificate"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "certificate"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "certificate"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "tls"],
    ["ESOMETHING", "other"],
    ["constructor", "other"],
  ] as const;
  for (const [code, kind] of kinds) {
    const error = Object.assign(new Error("text"), { code });
    assert.equal(transportError(error).kind, kind, code);
  }
  assert.equal(transportError("no error at all").kind, "other");
  assert.equal(transportError(undefined).kind, "other");
});
