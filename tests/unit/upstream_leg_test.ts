/**
 * One transaction towards one server: what is sent, what the replies become, how it ends.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { LegDown } from "../../src/upstream/leg.ts";
import type { MailParams, RcptParams } from "../../src/wire/params.ts";
import type { ReversePath } from "../../src/wire/path.ts";
import {
  body,
  envelope,
  mailbox,
  outcome,
  rawServer,
  recipient,
  said,
  until,
  world,
} from "../support/upstream_world.ts";

const everything = ["PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "DSN"];

describe("MAIL and RCPT", () => {
  interface Row {
    readonly name: string;
    readonly offers?: readonly string[];
    readonly from?: ReversePath;
    readonly params?: MailParams;
    readonly to?: string;
    readonly rcpt?: RcptParams;
    /** The two lines, or the refusal that comes from us. */
    readonly sends: readonly [string, string] | string;
  }
  const plain = ["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"] as const;
  const dsn = { ret: "HDRS", envid: "e+2B1" } as const;
  const rcptDsn = { notify: ["SUCCESS", "DELAY"], orcpt: "rfc822;c@d.test" } as const;
  const rows: readonly Row[] = [
    { name: "nothing asked for", sends: plain },
    { name: "the null reverse-path", from: null, sends: ["MAIL FROM:<>", plain[1]] },
    {
      name: "a quoted local part (R22)",
      from: mailbox('"a> SIZE=1"@b.test'),
      to: '"c d"@d.test',
      sends: ['MAIL FROM:<"a> SIZE=1"@b.test>', 'RCPT TO:<"c d"@d.test>'],
    },
    {
      name: "SIZE and BODY",
      params: { size: 999, body: "8BITMIME" },
      sends: ["MAIL FROM:<a@b.test> SIZE=999 BODY=8BITMIME", plain[1]],
    },
    {
      name: "SIZE and BODY are not sent where they are not offered",
      offers: [],
      params: { size: 999, body: "8BITMIME" },
      sends: plain,
    },
    {
      name: "a size over the server's limit is refused",
      params: { size: 1001 },
      sends: "552 5.3.4",
    },
    {
      name: "a limit of 0 is none (RFC 1870)",
      offers: ["SIZE 0"],
      params: { size: 1001 },
      sends: ["MAIL FROM:<a@b.test> SIZE=1001", plain[1]],
    },
    {
      name: "DSN parameters",
      params: dsn,
      rcpt: rcptDsn,
      sends: [
        "MAIL FROM:<a@b.test> RET=HDRS ENVID=e+2B1",
        "RCPT TO:<c@d.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@d.test",
      ],
    },
    {
      name: "DSN parameters are not sent where they are not offered",
      offers: ["PIPELINING"],
      params: dsn,
      rcpt: rcptDsn,
      sends: plain,
    },
    {
      name: "SMTPUTF8",
      from: mailbox("\u00e4@b.test"),
      to: "\u00f6@\u00fc.test",
      params: { smtputf8: true },
      sends: ["MAIL FROM:<\u00e4@b.test> SMTPUTF8", "RCPT TO:<\u00f6@\u00fc.test>"],
    },
    {
      name: "SMTPUTF8 that is not offered is refused, not dropped (RFC 6531 section 3.5)",
      offers: [],
      params: { smtputf8: true },
      sends: "550 5.6.7",
    },
    {
      name: "a sender outside US-ASCII is refused without SMTPUTF8",
      offers: [],
      from: mailbox("\u00e4@b.test"),
      sends: "550 5.6.7",
    },
    {
      name: "a recipient outside US-ASCII is refused without SMTPUTF8",
      offers: [],
      to: "\u00e4@b.test",
      sends: "550 5.6.7",
    },
    {
      name: "REQUIRETLS that cannot be kept is refused (RFC 8689)",
      offers: ["REQUIRETLS"],
      params: { requiretls: true },
      sends: "550 5.7.30",
    },
    {
      name: "AUTH= is the client's word to us, and goes no further (RFC 4954 section 5)",
      offers: ["AUTH PLAIN"],
      params: { auth: "a@b.test" },
      sends: plain,
    },
  ];
  for (const row of rows) {
    test(`R23: ${row.name}`, async () => {
      await using w = await world({ capabilities: row.offers ?? everything });
      const leg = w.leg(
        envelope(row.params, row.from === undefined ? mailbox("a@b.test") : row.from),
      );
      const got = await said(leg.rcpt(recipient(row.to ?? "c@d.test", row.rcpt)));
      const sent = w.lines().slice(1);
      if (typeof row.sends === "string") {
        assert.equal(got, row.sends);
        assert.deepEqual(sent, []);
      } else {
        assert.equal(got, "250 2.1.5");
        assert.deepEqual(sent, row.sends);
      }
    });
  }

  test("R23: a second recipient outside US-ASCII is refused without SMTPUTF8, the first one stays", async () => {
    for (const capabilities of [[], ["SMTPUTF8"]]) {
      await using w = await world({ capabilities });
      const leg = w.leg();
      assert.equal(await said(leg.rcpt(recipient("c@d.test"))), "250 2.1.5");
      assert.equal(await said(leg.rcpt(recipient("\u00e4@d.test"))), "550 5.6.7");
      assert.equal(await said(leg.rcpt(recipient("e@d.test"))), "250 2.1.5");
      assert.equal(w.verbs(), "EHLO MAIL RCPT RCPT");
    }
  });

  test("R5: every recipient gets its own reply, code and enhanced code as they came", async () => {
    const replies = ["250 2.1.5 ok", "550 5.1.1 who", "452 4.2.2 full", "251 2.1.5 will forward"]
      .concat(["550 no code here", "450 4.7.1 grey"]);
    await using w = await world({ rcpt: ({ nth }) => replies[nth - 1] ?? "" });
    const leg = w.leg();
    const got: string[] = [];
    for (const _ of replies) got.push(await said(leg.rcpt(recipient("c@d.test"))));
    assert.deepEqual(got, ["250 2.1.5", "550 5.1.1", "452 4.2.2", "251 2.1.5", "550", "450 4.7.1"]);
    assert.equal(w.verbs(), "EHLO MAIL RCPT RCPT RCPT RCPT RCPT RCPT");
  });

  test("R5: a refused sender is the answer to every recipient, and is asked once", async () => {
    for (const offers of [["PIPELINING"], []]) {
      await using w = await world({
        mail: "451 4.7.1 later",
        rcpt: "503 5.5.1 no",
        capabilities: offers,
      });
      const leg = w.leg();
      for (let i = 0; i < 3; i++) {
        assert.equal(await said(leg.rcpt(recipient("c@d.test"))), "451 4.7.1");
      }
      assert.equal(w.server.count("mail"), 1);
      assert.ok(w.server.count("rcpt") <= 1);
    }
  });

  test("R5: DATA refused is the answer to DATA", async () => {
    await using w = await world({ data: "554 5.5.1 no" });
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    assert.equal(await said(leg.data()), "554 5.5.1");
    assert.equal(w.server.count("body"), 0);
  });
});

describe("R23: pipelining", () => {
  test("R23: MAIL and RCPT leave together where it is offered (RFC 2920)", async () => {
    await using server = await rawServer();
    await using w = await world([], { servers: [server.settings] });
    const judged = said(w.leg().rcpt(recipient("c@d.test")));
    const peer = await server.ready("PIPELINING");
    await peer.hears("RCPT TO:<c@d.test>\r\n");
    peer.duplex.write("250 2.1.0 ok\r\n550 5.1.1 no\r\n");
    assert.equal(await judged, "550 5.1.1");
  });

  test("R23: one by one where it is not", async () => {
    await using server = await rawServer();
    await using w = await world([], { servers: [server.settings] });
    const leg = w.leg();
    const judged = said(leg.rcpt(recipient("c@d.test")));
    const peer = await server.ready("SIZE");
    await peer.hears("MAIL FROM:<a@b.test>\r\n");
    assert.ok(peer.text().endsWith("MAIL FROM:<a@b.test>\r\n"));
    peer.duplex.write("250 2.1.0 ok\r\n");
    await peer.hears("RCPT TO:<c@d.test>\r\n");
    peer.duplex.write("250 2.1.5 ok\r\n");
    assert.equal(await judged, "250 2.1.5");
  });

  test("R23: a client that is gone in mid-command costs the connection where pipelining is not offered", async () => {
    await using server = await rawServer();
    await using w = await world([], { servers: [server.settings] });
    const leg = w.leg();
    const judged = Effect.runFork(leg.rcpt(recipient("c@d.test")));
    const peer = await server.ready();
    await peer.hears("MAIL FROM:<a@b.test>\r\n");
    await Effect.runPromise(Fiber.interrupt(judged));
    leg.release();
    await until(() => w.pool.size === 0, "the connection is given up");
    peer.duplex.write("250 2.1.0 ok\r\n");
    await peer.until(({ told }) => told.some(({ event }) => event !== "data"));
    assert.ok(peer.text().endsWith("MAIL FROM:<a@b.test>\r\n"));
  });

  test("R6: and a RSET where it is; its replies are not another client's", async () => {
    await using server = await rawServer();
    await using w = await world([], { servers: [server.settings] });
    const leg = w.leg();
    const judged = Effect.runFork(leg.rcpt(recipient("x@d.test")));
    const peer = await server.ready("PIPELINING");
    await peer.hears("RCPT TO:<x@d.test>\r\n");
    await Effect.runPromise(Fiber.interrupt(judged));
    leg.release();
    await peer.hears("RSET\r\n");
    peer.duplex.write("250 2.1.0 ok\r\n550 5.1.1 no\r\n");
    assert.equal(w.pool.servers[0]?.idle.length, 0);
    peer.duplex.write("250 2.0.0 reset\r\n");
    await until(() => w.pool.servers[0]?.idle.length === 1, "the connection is idle");
    const next = said(w.leg().rcpt(recipient("c@d.test")));
    await peer.hears("RCPT TO:<c@d.test>\r\n");
    peer.duplex.write("250 2.1.0 ok\r\n250 2.1.5 ok\r\n");
    assert.equal(await next, "250 2.1.5");
  });
});

describe("the body", () => {
  const octets = (text: string): Uint8Array => new TextEncoder().encode(text);

  test("R7: octets as they are, then one dot", async () => {
    await using w = await world();
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    assert.equal(await said(leg.data()), "354");
    const content = "a: b\r\n\r\n..stuffed\r\n\u00e4\r\n..\r\n";
    for (const char of content) leg.write(octets(char));
    assert.equal(await said(leg.finish()), "250 2.0.0");
    leg.release();
    const [received] = w.server.connections[0]?.bodies ?? [];
    assert.deepEqual([...received?.raw ?? []], [...octets(content)]);
    assert.equal(w.server.messages.length, 1);
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.verbs(), "EHLO MAIL RCPT DATA MAIL RCPT DATA");
  });

  test("the last octets leave together with the dot", async () => {
    await using server = await rawServer();
    await using w = await world([], { servers: [server.settings] });
    const leg = w.leg();
    const judged = said(leg.rcpt(recipient("c@d.test")));
    const peer = await server.ready("PIPELINING");
    peer.duplex.write("250 ok\r\n250 ok\r\n");
    assert.equal(await judged, "250");
    const asked = said(leg.data());
    await peer.hears("DATA\r\n");
    peer.duplex.write("354 go\r\n");
    assert.equal(await asked, "354");
    leg.write(octets("x: y\r\n\r\nno line end"));
    const done = said(leg.finish(octets("\r\n")));
    await peer.hears("no line end\r\n.\r\n");
    peer.duplex.write("250 2.0.0 queued\r\n");
    assert.equal(await done, "250 2.0.0");
    assert.equal(peer.text().split("\r\n.\r\n").length, 2);
    assert.ok(peer.text().endsWith("\r\n.\r\n"));
  });

  test("an empty body is a dot (RFC 5321 section 4.5.2)", async () => {
    await using w = await world();
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    await said(leg.data());
    assert.equal(await said(leg.finish()), "250 2.0.0");
    assert.equal(w.server.messages[0]?.content.length, 0);
  });

  test("R29: a server that does not read stops the writer, and lets it go on", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using w = await world({ body: { after: 1, then: gate }, keep: false });
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    await said(leg.data());
    const drained = new Promise<void>((resolve) => leg.drained = resolve);
    const block = octets(`${"x".repeat(998)}\r\n`.repeat(64));
    let sent = 0;
    do sent += block.length; while (leg.write(block) && sent < 256 * 1024 * 1024);
    assert.ok(sent < 256 * 1024 * 1024, "nothing stopped the writer");
    open();
    await drained;
    assert.equal(await said(leg.finish()), "250 2.0.0");
    assert.equal(w.server.connections[0]?.bodies[0]?.octets, sent);
  });

  test("R3: released before the dot: the connection closes without one", async () => {
    for (const content of [new Uint8Array(0), octets("a: b\r\n"), body, octets("a\r\n.")]) {
      await using w = await world();
      const leg = w.leg();
      await said(leg.rcpt(recipient("c@d.test")));
      await said(leg.data());
      await w.server.waitFor("body");
      leg.write(content);
      leg.release();
      leg.release();
      await w.server.waitFor("close");
      assert.deepEqual(w.server.messages, []);
      const [received] = w.server.connections[0]?.bodies ?? [];
      assert.equal(received?.dot, false);
      const raw = new TextDecoder().decode(received.raw);
      assert.ok(new TextDecoder().decode(content).startsWith(raw), raw);
      assert.equal(w.pool.size, 0);
    }
  });

  test("R3: released while DATA is on its way: the connection closes, and 354 is no reason to go on", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using w = await world({ data: [gate, "354 go"] });
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    const asked = Effect.runFork(leg.data());
    await w.server.waitFor("data");
    await Effect.runPromise(Fiber.interrupt(asked));
    leg.release();
    open();
    await w.server.waitFor("close");
    assert.deepEqual(w.server.messages, []);
    assert.equal(w.pool.size, 0);
  });

  test("R3: a released leg opens nothing any more", async () => {
    await using w = await world();
    const leg = w.leg();
    leg.release();
    assert.equal(await said(leg.rcpt(recipient("c@d.test"))), "down in envelope");
    await until(() => w.pool.size === w.pool.servers[0]?.idle.length, "nothing is in use");
    assert.equal(w.server.count("mail"), 0);
  });

  test("R4: finish before data is a failure, not a success", async () => {
    await using w = await world();
    const got = await outcome(w.leg().finish());
    assert.equal((got as LegDown)._tag, "LegDown");
  });
});
