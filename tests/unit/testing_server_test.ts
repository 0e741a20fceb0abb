/** The testing door's whole server: clients, upstream, clock, log. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PluginModule } from "../../src/plugin/mod.ts";
import { testServer } from "../../src/testing/mod.ts";

const blocker = ((edge, { domains }: { domains: string[] }) => ({
  name: "blocker",
  hooks: {
    rcpt: (to) =>
      domains.includes(to.domain) ? edge.refuse(550, "5.7.1", "Not accepted here") : undefined,
    header: (header) => header.append("X-Seen", "1"),
    on: { delivered: (tx) => edge.log.info("delivered", { size: tx.size }) },
  },
})) satisfies PluginModule<{ domains: string[] }>;

const idle: PluginModule = () => ({ name: "idle", hooks: {} });

describe("testServer", () => {
  for (const split of [undefined, 1, 3]) {
    test(`a message goes through the plugin to the upstream, packets of ${split ?? "all"}`, async () => {
      await using server = await testServer(blocker, {
        options: { domains: ["spam.test"] },
        ...(split === undefined ? {} : { split }),
      });
      const client = await server.connect();
      await client.expect("220 mx.test *");
      assert.ok((await client.ehlo()).includes("PIPELINING"));
      const answer = await client.sendMessage({ to: "a@spam.test" });
      assert.equal(answer.text, "550 5.7.1 Not accepted here");
      await client.command("RSET", "250 *");
      const content = "Subject: hi\n\n.dot\n..dots\n";
      assert.equal((await client.sendMessage({ to: "b@c.test", content })).code, 250);
      await client.quit();
      const [message] = server.upstream.messages;
      assert.equal(message?.text, "Subject: hi\r\nX-Seen: 1\r\n\r\n.dot\r\n..dots\r\n");
      assert.deepEqual([message.from, message.to], ["sender@client.test", ["b@c.test"]]);
      assert.ok(server.upstream.commands.includes("RCPT TO:<b@c.test>"));
      assert.deepEqual(server.logs.map(({ fields }) => fields["size"]), [29]);
      assert.deepEqual(server.transactions.map(({ fate }) => fate), ["delivered"]);
      const decided = server.transactions.flatMap(({ trace }) => trace.entries);
      assert.ok(decided.some(({ stage, plugin }) => stage === "header" && plugin === "blocker"));
      assert.match(server.log(), /delivered id=.* to=b@c\.test/);
    });
  }

  test("the upstream says what the script says, hangs up, and is waited for", async () => {
    let refused = 0;
    await using server = await testServer(idle, {
      upstream: {
        offers: ["8BITMIME"],
        rcpt: (line) => line.includes("nobody") ? "550 5.1.1 No such user" : "250 2.1.5 Ok",
        dot: () => ++refused === 1 ? "451 4.2.0 Later" : refused === 2 ? "close" : "250 2.0.0 Ok",
      },
    });
    const client = await server.connect();
    await client.expect("220 *");
    assert.ok(!(await client.ehlo()).some((keyword) => keyword === "SMTPUTF8"));
    assert.match((await client.sendMessage({ to: "nobody@x.test" })).text, /^550 5\.1\.1/);
    await client.command("RSET", "250 *");
    const send = async () => (await client.sendMessage({ from: "", to: "a@x.test" })).text;
    assert.match(await send(), /^451 4\.2\.0/);
    assert.match(await send(), /^451 4\.4\./);
    assert.match(await send(), /^250/);
    await server.upstream.received(3);
    assert.equal(server.upstream.messages.at(-1)?.from, "");
  });

  test("a clock held by hand drives delays, budgets and deadlines", async () => {
    const slow: PluginModule = (edge) => ({
      name: "slow",
      hooks: {
        connect: () => edge.delay(2_000),
        mail: () => new Promise(() => {}),
      },
    });
    await using server = await testServer(slow, { budget: 3_000 });
    const client = await server.connect();
    await server.clock.advance(1_999);
    assert.equal(client.transcript, "(nothing was said)");
    await server.clock.advance(1);
    await client.expect("220 *");
    await client.ehlo();
    await client.send("MAIL FROM:<a@b.test>");
    await server.clock.advance(3_000);
    await client.expect("451 4.3.0 *");
    assert.deepEqual(server.failures.map(({ kind }) => kind), ["over-budget"]);
    await server.clock.advance(3_600_000);
    await client.expect("421 4.4.2 *");
    await client.expectClosed();
  });

  test("STARTTLS, a login, and a listener of the test's own", async () => {
    const users: PluginModule = () => ({
      name: "users",
      hooks: {
        auth: {
          mechanisms: ["PLAIN"],
          verify: ({ user, password, mechanism }) =>
            password === "right" ? { user, mechanism } : undefined,
        },
      },
    });
    await using server = await testServer(users, {
      config: { listeners: [{ name: "submission", listen: "127.0.0.1:587", auth: "required" }] },
    });
    const client = await server.connect();
    await client.expect("220 *");
    await client.ehlo();
    await client.starttls();
    await client.ehlo();
    assert.equal((await client.login("anna", "wrong")).code, 535);
    assert.equal((await client.login("anna", "right")).code, 235);
    assert.equal((await client.sendMessage({ to: "a@x.test" })).code, 250);
    assert.equal(server.transactions[0]?.tx.session.identity?.user, "anna");
  });

  test("what serve would refuse rejects; what does not come fails with the conversation", async () => {
    await assert.rejects(
      testServer((() => ({ name: "p", hooks: { rctp: () => {} } })) as unknown as PluginModule),
      /plugins\[0\]: hooks\.rctp is unknown/,
    );
    await assert.rejects(
      testServer(idle, { config: { hostname: "-" } }),
      /config: hostname: expected/,
    );
    await using server = await testServer(idle, { patience: 20 });
    const client = await server.connect();
    await assert.rejects(client.expect("221 *"), /Expected 221 \*, got 220 mx\.test/);
    await assert.rejects(client.reply(), /Waited in vain: a line\n< "220 mx\.test/);
    await assert.rejects(client.expectClosed(), /Waited in vain/);
  });

  test("more plugins by name", async () => {
    await using server = await testServer(idle, {
      plugins: {
        tagger: {
          default: () => ({ name: "tagger", hooks: { header: (h) => h.append("X-Tag", "1") } }),
        },
      },
      config: { plugins: [{ use: "tagger" }] },
    });
    const client = await server.connect();
    await client.expect("220 *");
    await client.ehlo();
    await client.sendMessage({ to: "a@x.test" });
    assert.match(server.upstream.messages[0]!.text, /X-Tag: 1/);
  });
});

describe("body.flush on its way upstream", () => {
  const appends: PluginModule = (edge) => ({
    name: "appends",
    hooks: {
      body: { flush: () => new TextEncoder().encode(".signed\nby us") },
      end: (tx) => edge.score(0, "SEEN", String(tx.size)),
    },
  });

  for (const split of [undefined, 1]) {
    test(`its octets are stuffed and their line ends mended, packets of ${split ?? "all"}`, async () => {
      await using server = await testServer(appends, split === undefined ? {} : { split });
      const client = await server.connect();
      await client.expect("220 *");
      await client.ehlo();
      const send = async (content: string) => {
        assert.equal((await client.sendMessage({ to: "a@b.test", content })).code, 250);
        return server.upstream.messages.at(-1)?.text;
      };
      assert.equal(
        await send("A: b\n\n.\nbody\n"),
        "A: b\r\n\r\n.\r\nbody\r\n.signed\r\nby us\r\n",
      );
      assert.equal(await send("A: b\n\n"), "A: b\r\n\r\n.signed\r\nby us\r\n");
      assert.equal(await send("A: b\n"), "A: b\r\n");
      await client.command("MAIL FROM:<a@b.test>", "250 *");
      await client.command("RCPT TO:<a@b.test>", "250 *");
      await client.sendRaw("BDAT 12 LAST\r\nA: b\r\n\r\nbody");
      await client.expect("250 *");
      assert.equal(server.upstream.messages.at(-1)?.text, "A: b\r\n\r\nbody.signed\r\nby us\r\n");
    });
  }
});
