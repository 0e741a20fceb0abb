/**
 * Another server takes over as long as no octet of the body has gone: with the whole envelope, or not at all.
 * @module
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { FailoverLeg } from "../../src/upstream/failover_leg.ts";
import { fin, type Reaction, rst, type Script } from "../support/scripted_upstream.ts";
import {
  body,
  envelope,
  mailbox,
  outcome,
  recipient,
  said,
  until,
  world,
} from "../support/upstream_world.ts";

const deaths: Readonly<Record<string, Reaction>> = {
  "FIN": fin(),
  "RST": rst(),
  "421": "421 4.3.2 going down",
  "garbage": "?",
};

/** DATA, a body, the dot. */
async function delivered(leg: FailoverLeg): Promise<string> {
  const asked = await said(leg.data());
  if (asked !== "354") return asked;
  leg.write(body);
  const done = await said(leg.finish());
  leg.release();
  return done;
}

describe("before the body", () => {
  for (const [name, death] of Object.entries(deaths)) {
    for (const step of ["banner", "ehlo", "mail", "rcpt", "data"] as const) {
      test(`R4: ${name} at ${step}: the next server gets the whole envelope`, async () => {
        await using w = await world([{ [step]: death }, {}]);
        const leg = w.leg(envelope({ size: 100, body: "8BITMIME" }));
        assert.equal(
          await said(leg.rcpt(recipient("c@d.test", { notify: ["NEVER"] }))),
          "250 2.1.5",
        );
        assert.equal(await delivered(leg), "250 2.0.0");
        assert.equal(w.server.messages.length, 0);
        assert.deepEqual(w.lines(0, 1).slice(1), [
          "MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME",
          "RCPT TO:<c@d.test> NOTIFY=NEVER",
          "DATA",
        ]);
      });
    }
  }

  test("R5: recipients that were accepted are accepted again, refused ones are not asked again", async () => {
    const judged: Reaction = ({ line }) =>
      line.includes("<no") ? "550 5.1.1 no" : line.includes("<die") ? fin() : "250 2.1.5 ok";
    await using w = await world([{ rcpt: judged }, {}]);
    const leg = w.leg();
    assert.equal(await said(leg.rcpt(recipient("one@d.test"))), "250 2.1.5");
    assert.equal(await said(leg.rcpt(recipient("no@d.test"))), "550 5.1.1");
    assert.equal(await said(leg.rcpt(recipient("two@d.test"))), "250 2.1.5");
    assert.equal(await said(leg.rcpt(recipient("die@d.test"))), "250 2.1.5");
    assert.equal(await said(leg.rcpt(recipient("three@d.test"))), "250 2.1.5");
    assert.equal(await delivered(leg), "250 2.0.0");
    assert.equal(w.server.messages.length, 0);
    assert.deepEqual(w.servers[1]?.messages.map(({ to }) => to), [
      ["one@d.test", "two@d.test", "die@d.test", "three@d.test"],
    ]);
  });

  test("R4 R5: a recipient that was accepted and is refused now: a failure that may pass, and no mail", async () => {
    for (const answer of ["550 5.1.1 no", "451 4.7.1 later"]) {
      await using w = await world([{ data: fin() }, { rcpt: answer }]);
      const leg = w.leg();
      assert.equal(await said(leg.rcpt(recipient("c@d.test"))), "250 2.1.5");
      const got = await outcome(leg.data());
      assert.ok("_tag" in got && got.reply === undefined, answer);
      assert.equal(await said(leg.data()), "down in connect");
      leg.release();
      assert.deepEqual(w.servers.map(({ messages }) => messages.length), [0, 0]);
      assert.equal(w.servers[1]?.count("data"), 0);
    }
  });

  test("R4: a sender that is refused now, too", async () => {
    await using w = await world([{ data: fin() }, { mail: "550 5.7.1 no" }]);
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    assert.match(await delivered(leg), /^down in/);
    assert.equal(w.servers[1]?.count("data"), 0);
  });

  test("R5: an answer is no failure: nobody else is asked", async () => {
    const answers = {
      mail: "451 4.7.1 x",
      rcpt: "450 4.2.0 x",
      data: "452 4.3.1 x",
      dot: "451 4.3.0 x",
    };
    for (const [step, answer] of Object.entries(answers)) {
      await using w = await world([{ [step]: answer }, {}]);
      assert.equal(await w.deliver(), answer.slice(0, 9));
      assert.equal(w.servers[1]?.connections.length, 0);
      assert.equal(w.pool.servers[0]?.failures, 0);
    }
  });

  test("R4: every server is asked once, then it is a failure", async () => {
    await using w = await world([{ mail: fin() }, { rcpt: rst() }, { banner: "554 no" }]);
    assert.match(await said(w.leg().rcpt(recipient("c@d.test"))), /^down in/);
    assert.deepEqual(w.servers.map(({ connections }) => connections.length), [1, 1, 1]);
    assert.deepEqual(w.pool.servers.map(({ failures }) => failures), [1, 1, 1]);
  });

  test("R4: who failed rests, so the next transaction does not begin with him", async () => {
    await using w = await world([{ mail: fin() }, {}]);
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.server.connections.length, 1);
    assert.equal(w.servers[1]?.connections.length, 1);
  });

  test("R23: the next server gets the parameters that it offers itself", async () => {
    await using w = await world([{ data: fin() }, { capabilities: ["8BITMIME"] }]);
    const leg = w.leg(envelope({ size: 9, body: "8BITMIME", ret: "FULL" }));
    await said(leg.rcpt(recipient("c@d.test", { notify: ["NEVER"] })));
    assert.equal(await delivered(leg), "250 2.0.0");
    assert.deepEqual(w.lines(0, 0).slice(1, 3), [
      "MAIL FROM:<a@b.test> SIZE=9 BODY=8BITMIME RET=FULL",
      "RCPT TO:<c@d.test> NOTIFY=NEVER",
    ]);
    assert.deepEqual(w.lines(0, 1).slice(1, 3), [
      "MAIL FROM:<a@b.test> BODY=8BITMIME",
      "RCPT TO:<c@d.test>",
    ]);
  });

  test("R23: a next server that cannot take the message gets none of it", async () => {
    await using w = await world([{ data: fin() }, { capabilities: [] }]);
    const leg = w.leg(envelope({ smtputf8: true }, mailbox("\u00e4@b.test")));
    assert.equal(await said(leg.rcpt(recipient("c@d.test"))), "250 2.1.5");
    assert.match(await delivered(leg), /^down in/);
    assert.equal(w.servers[1]?.count("mail"), 0);
  });

  test("R3: a leg that was released meanwhile goes no further", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using w = await world([{ mail: [gate, fin()] }, {}]);
    const leg = w.leg();
    const judged = said(leg.rcpt(recipient("c@d.test")));
    await w.server.waitFor("mail");
    leg.release();
    open();
    assert.match(await judged, /^down in/);
    assert.equal(w.servers[1]?.connections.length, 0);
    await until(() => w.pool.size === 0, "the connection is gone");
  });
});

describe("from the body on", () => {
  test("R1 R3: never again, whoever dies when", async () => {
    const scripts: readonly Script[] = [
      { dot: rst() },
      { dot: "421 4.3.2 bye" },
      { dot: "354 what" },
    ];
    for (const script of scripts) {
      await using w = await world([script, {}]);
      const got = await w.deliver();
      assert.ok(!got.startsWith("2"), got);
      assert.equal(w.servers[1]?.connections.length, 0);
      assert.equal(w.server.connections.length, 1);
    }
  });

  test("R1 R3: not on a reused connection either", async () => {
    await using w = await world({ dot: ({ nth }) => nth === 2 ? rst() : "250 2.0.0 ok" });
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(await w.deliver(), "down in dot");
    assert.equal(w.server.connections.length, 1);
    assert.equal(w.server.messages.length, 2);
  });
});
