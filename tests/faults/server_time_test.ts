/** Deadlines and the drain: R3, R31, R36. The clock is held; what it ends is waited for. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import * as net from "node:net";
import * as Effect from "effect/Effect";
import { assertNoDot, type Edge, startEdge } from "../support/edge.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const minute = 60_000;

/** Two turns of the deadlines, so that what should not happen has had its chance. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 4));
}

async function toData(client: SmtpClient): Promise<void> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command("RCPT TO:<b@up.test>", 250);
  await client.command("DATA", 354);
}

describe("R31: an idle client is told 421 4.4.2", () => {
  const points = new Map<string, (client: SmtpClient) => Promise<unknown>>([
    ["behind the banner", () => Promise.resolve()],
    ["behind EHLO", (client: SmtpClient) => client.ehlo()],
    ["in a command", async (client: SmtpClient) => {
      await client.ehlo();
      await client.sendRaw("MAIL FROM:<");
    }],
    ["in a transaction", async (client: SmtpClient) => {
      await client.ehlo();
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.command("RCPT TO:<b@up.test>", 250);
    }],
    ["under TLS", async (client: SmtpClient) => {
      await client.ehlo();
      await client.starttls();
      // The server's handshake ends behind the client's.
      await client.ehlo();
    }],
  ]);
  for (const [name, reach] of points) {
    test(name, async () => {
      await using edge = await startEdge({ clock: true, timeouts: 'command = "5m"' });
      await using client = await edge.connect();
      await client.expect(220);
      await reach(client);
      edge.advance(4 * minute);
      await settle();
      assert.equal(client.io.peek(), "", "too early");
      edge.advance(2 * minute);
      await client.expect("421 4.4.2");
      await client.expectClosed();
      assertNoDot(edge);
    });
  }

  test("in a SASL exchange", async () => {
    await using edge = await startEdge({
      clock: true,
      listener: 'auth = "required"\nauth_plaintext_loopback = true',
      users: { anna: "x" },
    });
    await using client = await edge.greeted();
    await client.command("AUTH LOGIN", 334);
    edge.advance(6 * minute);
    await client.expect("421 4.4.2");
    await client.expectClosed();
  });

  test("and one that does not hang up then is cut off", async () => {
    await using edge = await startEdge({ clock: true });
    await using client = await edge.greeted();
    edge.advance(6 * minute);
    await client.expect("421 4.4.2");
    await client.expectClosed();
    assert.equal(edge.postern.running.sessions, 1);
    while (edge.postern.running.sessions > 0) {
      edge.advance(1_000);
      await settle();
    }
  });
});

describe("R31: a drip of octets does not extend anything for ever", () => {
  test("octets of a command", async () => {
    await using edge = await startEdge({ clock: true, timeouts: 'command = "5m"' });
    await using client = await edge.greeted();
    for (let i = 0; i < 11; i++) {
      await client.sendRaw("N");
      await settle();
      edge.advance(minute / 2);
    }
    await client.expect("421 4.4.2");
  });

  test("octets of a body", async () => {
    await using edge = await startEdge({ clock: true, timeouts: 'data = "3m"' });
    await using client = await edge.greeted();
    await toData(client);
    await settle();
    for (let i = 0; i < 7; i++) {
      await client.sendRaw(i === 0 ? "A: b\r\n\r\n" : "x");
      await settle();
      edge.advance(minute / 2);
    }
    await client.expect("421 4.4.2");
    assertNoDot(edge);
  });

  test("octets of a BDAT chunk, and empty chunks", async () => {
    for (const drip of ["x", "BDAT 0\r\n"]) {
      await using edge = await startEdge({
        clock: true,
        timeouts: 'data = "3m"\nsession = "30m"\ncommand = "3m"',
      });
      await using client = await edge.greeted();
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.command("RCPT TO:<b@up.test>", 250);
      client.sendRaw(drip === "x" ? "BDAT 1000\r\nA" : "BDAT 1\r\nA");
      await edge.upstream.waitFor("body");
      let over = false;
      const closed = client.io.ended().then(() => over = true);
      for (let i = 0; i < 70 && !over; i++) {
        await client.sendRaw(drip);
        await settle();
        edge.advance(minute / 2);
      }
      await closed;
      assertNoDot(edge);
    }
  });

  test("a body that goes on slowly but surely is taken", async () => {
    await using edge = await startEdge({ clock: true, timeouts: 'data = "3m"\nsession = "24h"' });
    await using client = await edge.greeted();
    await toData(client);
    await client.sendRaw("A: b\r\n\r\n");
    for (let i = 0; i < 10; i++) {
      await client.sendRaw(`${"x".repeat(700)}\r\n${"y".repeat(700)}\r\n`);
      await settle();
      edge.advance(2 * minute);
      await settle();
    }
    client.sendRaw(".\r\n");
    await client.expect("250 2.0.0");
  });

  test("commands that come in time: the session has its end", async () => {
    await using edge = await startEdge({
      clock: true,
      timeouts: 'session = "10m"\ncommand = "5m"',
      limits: "idle_commands = 1000",
    });
    await using client = await edge.greeted();
    for (let i = 0; i < 9; i++) {
      await client.command("NOOP", 250);
      edge.advance(minute);
      await settle();
    }
    await client.command("NOOP", 250);
    edge.advance(2 * minute);
    await client.expect("421 4.4.2");
  });

  test("nothing behind a header that a policy thinks about has no end either", async () => {
    await using edge = await startEdge({
      clock: true,
      timeouts: 'data = "3m"',
      plugins: {
        slow: `return { name: "slow", hooks: { header: () =>
          new Promise((resolve) => setTimeout(resolve, 20)) } };`,
      },
    });
    await using client = await edge.greeted();
    await toData(client);
    client.sendRaw("A: b\r\n\r\n");
    await edge.upstream.waitFor("body");
    // The session is longer than this; the body's own deadline has to end it.
    for (let i = 0; i < 100 && client.io.unread === 0; i++) {
      await settle();
      if (i >= 10) edge.advance(10_000);
    }
    await client.expect("421 4.4.2");
    assertNoDot(edge);
  });
});

describe("R31: handshakes that never end", () => {
  for (const listener of ["mx", "smtps"]) {
    test(listener === "mx" ? "behind STARTTLS" : "on an implicit port", async () => {
      await using edge = await startEdge({
        timeouts: 'tls_handshake = "100ms"',
        more: '[[listeners]]\nname = "smtps"\nlisten = "127.0.0.1:0"\ntls = "implicit"',
      });
      await using client = await edge.connect({}, listener);
      if (listener === "mx") {
        await client.expect(220);
        await client.ehlo();
        await client.command("STARTTLS", 220);
      }
      client.sendRaw(Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc));
      await client.io.ended();
      assert.equal(client.io.peek(), "");
    });
  }
});

test("R31: time that the upstream takes is not the client's", async () => {
  const gate = Promise.withResolvers<void>();
  await using edge = await startEdge({
    clock: true,
    script: { rcpt: [gate.promise, "250 2.1.5 ok"] },
    timeouts: 'command = "5m"\nupstream_command = "20m"',
  });
  await using client = await edge.greeted();
  await client.command("MAIL FROM:<a@client.test>", 250);
  client.send("RCPT TO:<b@up.test>");
  await edge.upstream.waitFor("rcpt");
  edge.advance(10 * minute);
  await settle();
  gate.resolve();
  await client.expect("250 2.1.5");
});

/** Begins the drain; the promise is its end. */
function drain(edge: Edge): Promise<void> {
  return Effect.runPromise(edge.postern.running.drain);
}

async function refused(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      // An accepted connection must be of no use: it is closed without a banner.
      socket.once("data", () => resolve(false));
      socket.once("close", () => resolve(true));
    });
    socket.once("error", () => resolve(true));
  });
}

describe("R36: the drain", () => {
  const long = 'drain = "20s"';

  test("tells idle clients 421 4.3.2 and takes no new connections", async () => {
    await using edge = await startEdge({ timeouts: long });
    await using greeted = await edge.greeted();
    await using fresh = await edge.connect();
    await fresh.expect(220);
    await using secure = await edge.greeted();
    await secure.starttls();
    await secure.ehlo();
    await using half = await edge.greeted();
    await half.sendRaw("MAIL FROM:<a@cl");
    const over = drain(edge);
    for (const client of [greeted, fresh, secure, half]) {
      await client.expect("421 4.3.2");
      await client.expectClosed();
      client.close();
    }
    assert.ok(await refused(edge.port()));
    await over;
    assert.equal(edge.postern.running.sessions, 0);
  });

  test("lets a transaction in flight end, whose client then is told 421", async () => {
    const gate = Promise.withResolvers<void>();
    await using edge = await startEdge({
      script: { dot: [gate.promise, "250 2.0.0 ok"] },
      timeouts: long,
    });
    await using early = await edge.greeted();
    await early.command("MAIL FROM:<a@client.test>", 250);
    await using body = await edge.greeted();
    await toData(body);
    await body.sendRaw("A: b\r\n\r\nhalf");
    await using dot = await edge.greeted();
    await toData(dot);
    dot.sendRaw("A: b\r\n\r\nall\r\n.\r\n");
    await edge.upstream.waitFor("dot");
    let over = false;
    const drained = drain(edge).then(() => over = true);
    assert.ok(await refused(edge.port()));
    assert.equal(over, false);
    await early.command("RCPT TO:<b@up.test>", 250);
    await early.command("DATA", 354);
    early.sendRaw("A: b\r\n\r\nlate\r\n.\r\n");
    body.sendRaw(" and half\r\n.\r\n");
    gate.resolve();
    for (const client of [early, body, dot]) {
      await client.expect("250 2.0.0");
      await client.expect("421 4.3.2");
      await client.expectClosed();
      client.close();
    }
    await drained;
    assert.equal(edge.upstream.messages.length, 3);
    assert.ok(edge.postern.records.every((record) => record.fate === "delivered"));
  });

  test("takes no second transaction on a connection that is busy", async () => {
    await using edge = await startEdge({ timeouts: long });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    const over = drain(edge);
    await client.command("RSET", 250);
    await client.expect("421 4.3.2");
    await client.expectClosed();
    client.close();
    await over;
  });

  test("ends in bounded time: who does not finish is cut off, without the dot", async () => {
    await using edge = await startEdge({ timeouts: 'drain = "100ms"' });
    await using client = await edge.greeted();
    await toData(client);
    await client.sendRaw("A: b\r\n\r\nhalf");
    await edge.upstream.waitFor("body");
    await drain(edge);
    await client.io.ended();
    await edge.postern.recorded(1);
    assert.equal(edge.postern.records[0]?.fate, "aborted");
    assertNoDot(edge);
  });

  test("does not wait for handshakes and PROXY headers that have not come", async () => {
    await using edge = await startEdge({
      timeouts: long,
      listener: 'proxy_protocol = ["127.0.0.1"]',
      more: '[[listeners]]\nname = "smtps"\nlisten = "127.0.0.1:0"\ntls = "implicit"',
    });
    await using proxied = await edge.connect({ preface: "PROXY TCP4" });
    await using shaking = await edge.connect({}, "smtps");
    await shaking.sendRaw(Uint8Array.of(0x16, 3, 1));
    // Both are accepted when a later connection has been served.
    await using witness = await edge.connect({ preface: "PROXY UNKNOWN\r\n" });
    await witness.expect(220);
    const over = drain(edge);
    await witness.expect("421 4.3.2");
    witness.close();
    await proxied.io.ended();
    await shaking.io.ended();
    await over;
  });
});
