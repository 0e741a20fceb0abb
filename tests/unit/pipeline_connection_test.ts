/**
 * `edge.connect`: reading by chunk, by line and by length, back-pressure, ends, TLS, signals; over the network in memory
 * at several packet sizes, and over real sockets.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nodeNetwork } from "../../src/runtime/node_net.ts";
import { openConnection } from "../../src/pipeline/connection.ts";
import type { Connection, ConnectionError } from "../../src/plugin/connection.ts";
import { runPlugin, testEdge, type TestEdgeOptions } from "../../src/testing/mod.ts";
import type { Duplex } from "../../src/transport/duplex.ts";
import { testChain } from "../support/certificates.ts";

const AT = { host: "service.test", port: 783 };
type Serve = NonNullable<TestEdgeOptions["services"]>[string];

function open(serve: Serve, split?: number, options?: Parameters<typeof openConnection>[2]) {
  const { edge } = testEdge({
    services: { "service.test:783": serve },
    ...(split === undefined ? {} : { split }),
  });
  return edge.connect(AT, options);
}

/** A test rejects with this kind. */
const kind = (wanted: ConnectionError["kind"]) => (error: ConnectionError) => {
  assert.equal(error.name, "ConnectionError");
  assert.equal(error.kind, wanted, error.message);
  return true;
};

const text = (octets: Uint8Array | undefined) => new TextDecoder().decode(octets);

/** A connection whose other end does nothing of its own. */
async function pair(split?: number): Promise<[client: Connection, server: Connection]> {
  const { promise, resolve } = Promise.withResolvers<Connection>();
  const client = await open((server) => resolve(server), split);
  return [client, await promise];
}

for (const split of [1, 2, 3, undefined]) {
  describe(`in chunks of ${split ?? "all"} octets`, () => {
    test("lines end by LF or CRLF, and the rest waits for who reads next", async () => {
      const [client, server] = await pair(split);
      await server.write("one\r\ntwo\n\r\nfünf\nabcdefgh");
      assert.equal(await client.readLine(), "one");
      assert.equal(await client.readLine(), "two");
      assert.equal(await client.readLine(), "");
      assert.equal(await client.readLine(), "fünf");
      assert.equal(text(await client.readExactly(3)), "abc");
      assert.equal(text(await client.readExactly(0)), "");
      assert.equal(text(await client.readExactly(4)), "defg");
      assert.equal(text(await client.read()), "h");
    });

    test("a line of the limit is read, a longer one ends the connection", async () => {
      for (const end of ["\n", "\r\n"]) {
        const [client, server] = await pair(split);
        await server.write(`12345678${end}123456789${end}`);
        assert.equal(await client.readLine(8), "12345678");
        await assert.rejects(client.readLine(8), kind("overlong"));
        assert.equal(client.open, false);
        await assert.rejects(client.write("x"), kind("overlong"));
      }
    });

    test("R29: a line without an end is not collected for ever", async () => {
      const client = await open(async (server) => {
        for (;;) await server.write("x".repeat(50));
      }, split);
      await assert.rejects(client.readLine(100), kind("overlong"));
    });

    test("the peer's end is told after its last octets, and breaks what was promised", async () => {
      const [client, server] = await pair(split);
      await server.write("last\n");
      server.end();
      assert.equal(await client.readLine(), "last");
      assert.equal(await client.readLine(), undefined);
      assert.equal(await client.read(), undefined);
      assert.equal(client.open, false);
      const half = async () => {
        const [one, other] = await pair(split);
        await other.write("half");
        other.end();
        return one;
      };
      await assert.rejects((await half()).readLine(), kind("closed"));
      await assert.rejects((await half()).readExactly(5), kind("closed"));
    });

    test("iterates to the end, and TLS begins where both have agreed", async () => {
      const client = await open(async (server) => {
        assert.equal(await server.readLine(), "STARTTLS");
        await server.write("ok\n");
        await server.startTls();
        for await (const chunk of server) await server.write(chunk);
        server.end();
      }, split);
      await client.write("STARTTLS\n");
      assert.equal(await client.readLine(), "ok");
      const version = () => client.tls?.version;
      assert.equal(version(), undefined);
      await client.startTls();
      assert.equal(version(), "TLSv1.3");
      await client.write("secret");
      client.end();
      let echoed = "";
      for await (const chunk of client) echoed += text(chunk);
      assert.equal(echoed, "secret");
    });
  });
}

test("R13: octets that came before TLS end the connection", async () => {
  const [client, server] = await pair();
  await server.write("ok\nforged\n");
  assert.equal(await client.readLine(), "ok");
  await assert.rejects(client.startTls(), kind("tls"));
  await assert.rejects(client.readLine(), kind("tls"));
});

test("TLS is not begun on a connection that one side has ended", async () => {
  const [client, server] = await pair();
  server.end();
  assert.equal(await client.read(), undefined);
  await assert.rejects(client.startTls(), kind("closed"));
  const [other] = await pair();
  other.end();
  await assert.rejects(other.startTls(), kind("closed"));
});

test("what nobody reads makes the writer wait, and reading lets it go on", async () => {
  const [client, server] = await pair();
  let sent = 0;
  const writing = (async () => {
    for (let i = 0; i < 64; i++) {
      await server.write(new Uint8Array(16_384));
      sent++;
    }
    server.end();
  })();
  for (let i = 0; i < 200; i++) await Promise.resolve();
  assert.ok(sent > 0 && sent < 32, String(sent));
  let received = 0;
  for await (const chunk of client) received += chunk.length;
  await writing;
  assert.equal(received, 64 * 16_384);
});

test("who waits for octets or for room is told when the connection goes", async () => {
  const [client, server] = await pair();
  const reading = assert.rejects(client.read(), kind("closed"));
  const full = (async () => {
    for (;;) await client.write(new Uint8Array(65_536));
  })();
  const writing = assert.rejects(full, kind("closed"));
  await Promise.resolve();
  client.destroy();
  await reading;
  await writing;
  assert.equal(client.open, false);
  assert.equal(await server.read().catch(() => undefined) === undefined, false);
});

test("close sends what was written, and needs no answer", async () => {
  const [client, server] = await pair();
  void client.write("QUIT\r\n");
  client.close();
  await assert.rejects(client.read(), kind("closed"));
  assert.equal(await server.readLine(), "QUIT");
  assert.equal(await server.readLine(), undefined);
  server.close();
});

test("two readers at once are a mistake", async () => {
  const [client, server] = await pair();
  const first = client.readLine();
  await assert.rejects(client.read(), TypeError);
  await server.write("x\n");
  assert.equal(await first, "x");
});

test("a signal ends what waits, with its reason", async () => {
  const cut = new AbortController();
  const client = await open(() => {}, undefined, { signal: cut.signal });
  const reading = client.read();
  cut.abort(new Error("enough"));
  await assert.rejects(reading, /enough/);
  await assert.rejects(client.write("x"), /enough/);
  await assert.rejects(open(() => {}, undefined, { signal: cut.signal }), /enough/);
});

test("nobody there is an error of its kind; a mistake is a TypeError", async () => {
  const { edge } = testEdge();
  await assert.rejects(edge.connect(AT), kind("refused"));
  for (
    const wrong of [
      {},
      { host: "" },
      { host: "a", port: 0 },
      { host: "a", port: 65_536 },
      { host: "a\n", port: 1 },
      { path: "" },
      { path: "a\0" },
    ]
  ) await assert.rejects(edge.connect(wrong as never), TypeError);
  await assert.rejects(edge.connect(AT, { timeout: 0 }), TypeError);
});

test("connections end with the plugin's generation", async () => {
  let connection: Connection | undefined;
  const plugin = await runPlugin(async (edge) => {
    connection = await edge.connect(AT);
    return { name: "p", hooks: {} };
  }, { services: { "service.test:783": () => {} } });
  assert.ok(connection);
  const reading = assert.rejects(connection.read(), kind("closed"));
  await plugin.close();
  await reading;
});

describe("over real sockets", () => {
  const network = nodeNetwork();
  const TIMEOUT = { timeout: 30_000 };

  async function listening(
    accept: (duplex: Duplex) => void,
    tls?: Parameters<typeof network.listen>[1],
  ) {
    const port = await network.listen({ host: "127.0.0.1", port: 0 }, tls ?? {}, accept);
    assert.ok("close" in port);
    return { host: "127.0.0.1", port: port.address.port, close: () => port.close() };
  }

  async function chain() {
    const { ca, leaf } = await testChain(["localhost", "127.0.0.1"]);
    const server = network.tlsServer({
      identities: [{ ...leaf, names: ["localhost"] }],
      minVersion: "1.2",
      clientCertificate: "none",
      handshakeTimeout: 10_000,
    });
    return { ca: ca.cert, server };
  }

  const echo = (duplex: Duplex) => {
    duplex.handle({
      data: (chunk) => void duplex.write(chunk),
      end: () => duplex.end(),
      drain() {},
      close() {},
    });
    duplex.resume();
  };

  test("implicit TLS is verified unless told otherwise", TIMEOUT, async () => {
    const { ca, server } = await chain();
    const { close, ...at } = await listening(echo, { tls: server });
    await assert.rejects(openConnection(network, at, { tls: true }), kind("certificate"));
    await assert.rejects(
      openConnection(network, at, { tls: { ca, serverName: "other.test" } }),
      kind("certificate"),
    );
    for (const tls of [{ ca }, { verify: false }]) {
      const client = await openConnection(network, at, { tls });
      await client.write("ping\n");
      assert.equal(await client.readLine(), "ping");
      assert.notEqual(client.tls, undefined);
      client.end();
      assert.equal(await client.read(), undefined);
    }
    await close();
  });

  test("STARTTLS, and a peer that speaks on in plain text", TIMEOUT, async () => {
    const { ca, server } = await chain();
    const { close, ...at } = await listening((duplex) => {
      duplex.handle({
        data: () => duplex.upgradeServer(server, "go\n", () => echo(duplex)),
        end() {},
        drain() {},
        close() {},
      });
      duplex.resume();
    });
    const client = await openConnection(network, at);
    await client.write("tls\n");
    assert.equal(await client.readLine(), "go");
    await client.startTls({ ca });
    await client.write("inside\n");
    assert.equal(await client.readLine(), "inside");
    client.close();
    await close();
    const plain = await listening(echo);
    const other = await openConnection(network, { host: plain.host, port: plain.port });
    await assert.rejects(other.startTls({ ca }), kind("tls"));
    await plain.close();
  });

  test("nobody there, and a signal before there is a connection", TIMEOUT, async () => {
    const { close, ...at } = await listening(() => {});
    await close();
    await assert.rejects(openConnection(network, at), kind("refused"));
    await assert.rejects(
      openConnection(network, { path: "/nowhere/at/all.sock" }),
      kind("refused"),
    );
    const cut = new AbortController();
    const opening = openConnection(network, at, { signal: cut.signal });
    cut.abort(new Error("enough"));
    await assert.rejects(opening, /enough/);
  });
});
