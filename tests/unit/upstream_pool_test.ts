/**
 * Connections of one upstream: reused, replaced, limited, handed over. Over real sockets, with a clock turned by hand.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { LegDown } from "../../src/upstream/leg.ts";
import type { Lease } from "../../src/upstream/pool.ts";
import { fin, rst } from "../support/scripted_upstream.ts";
import { outcome, recipient, said, until, type World, world } from "../support/upstream_world.ts";

const nothing = { servers: new Set<never>(), idle: false };

/** A connection, as a leg gets it. */
async function lease(w: World): Promise<Lease> {
  const got = await outcome(w.pool.acquire(undefined, nothing));
  if ("_tag" in got) assert.fail(got.message);
  return got;
}

/** An acquire that is under way. */
function acquiring(w: World): Fiber.Fiber<Lease, LegDown> {
  return Effect.runFork(w.pool.acquire(undefined, nothing));
}

function joined(fiber: Fiber.Fiber<Lease, LegDown>): Promise<Lease | LegDown> {
  return outcome(Fiber.join(fiber));
}

describe("a connection is used again", () => {
  test("R6: after a delivered message without RSET: the reply to the dot has ended the transaction", async () => {
    await using w = await world();
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.server.connections.length, 1);
    assert.equal(w.verbs(), "EHLO MAIL RCPT DATA MAIL RCPT DATA");
  });

  test("R6: after a refused message, too", async () => {
    await using w = await world({
      dot: ({ nth }) => nth === 1 ? "550 5.7.1 no" : "250 2.0.0 ok",
    });
    assert.equal(await w.deliver(), "550 5.7.1");
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.verbs(), "EHLO MAIL RCPT DATA MAIL RCPT DATA");
  });

  test("R6: after an envelope that came to nothing with RSET (RFC 5321 section 4.1.1.5)", async () => {
    await using w = await world();
    const leg = w.leg();
    assert.equal(await said(leg.rcpt(recipient("x@d.test"))), "250 2.1.5");
    leg.release();
    await until(() => w.pool.servers[0]?.idle.length === 1, "the connection is idle");
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.verbs(), "EHLO MAIL RCPT RSET MAIL RCPT DATA");
    assert.deepEqual(w.server.messages[0]?.to, ["c@d.test"]);
  });

  test("R6: after a refused sender, recipient or DATA with RSET", async () => {
    for (const step of ["mail", "rcpt", "data"] as const) {
      await using w = await world({
        [step]: ({ nth }: { nth: number }) =>
          nth === 1 ? "550 5.7.1 no" : step === "data" ? "354 go" : "250 2.1.0 ok",
      });
      assert.equal(await w.deliver(), "550 5.7.1", step);
      await until(() => w.pool.servers[0]?.idle.length === 1, "the connection is idle");
      assert.equal(await w.deliver(), "250 2.0.0", step);
      assert.match(w.verbs(), /^EHLO MAIL RCPT (DATA )?RSET MAIL RCPT DATA$/);
    }
  });

  for (const answer of ["500 5.5.1 what", "421 4.3.2 bye", "354 go", "220 hi", "junk"]) {
    test(`R6: not after RSET was answered with ${answer}`, async () => {
      await using w = await world({ rset: answer });
      const leg = w.leg();
      await said(leg.rcpt(recipient("x@d.test")));
      leg.release();
      await w.server.waitFor("close");
      assert.equal(await w.deliver(), "250 2.0.0");
      assert.equal(w.server.connections.length, 2);
      assert.equal(w.verbs(1), "EHLO MAIL RCPT DATA");
    });
  }

  test("not more often than max_uses", async () => {
    await using w = await world({}, { maxUses: 2 });
    for (let i = 0; i < 5; i++) assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.server.connections.length, 3);
    assert.equal(w.verbs(0), "EHLO MAIL RCPT DATA MAIL RCPT DATA QUIT");
  });

  test("not longer than the idle time: then QUIT", async () => {
    await using w = await world();
    await w.deliver();
    w.pass(w.timeouts.upstreamIdle - 1);
    assert.equal(w.pool.size, 1);
    w.pass(1);
    await w.server.waitFor("quit");
    assert.equal(w.pool.size, 0);
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.server.connections.length, 2);
  });

  test("an idle time that was used up once is not carried into the next transaction", async () => {
    await using w = await world();
    await w.deliver();
    const leg = w.leg();
    assert.equal(await said(leg.rcpt(recipient("c@d.test"))), "250 2.1.5");
    w.pass(w.timeouts.upstreamIdle * 2);
    assert.equal(await said(leg.data()), "354");
    assert.equal(await said(leg.finish()), "250 2.0.0");
  });

  test("not at all with an idle time of 0", async () => {
    await using w = await world({}, { timeouts: { upstreamIdle: 0 } });
    await w.deliver();
    assert.equal(w.pool.size, 0);
    await w.server.waitFor("quit");
  });

  test("a server that never closes after QUIT does not keep the socket", async () => {
    await using w = await world({ quit: [] }, { maxUses: 1 });
    await w.deliver();
    await w.server.waitFor("quit");
    w.pass(10_000);
    await w.server.waitFor("close");
  });
});

describe("R6: an idle connection that died is replaced unseen", () => {
  const deaths = {
    "FIN": [fin()],
    "RST": [rst()],
    "421 and FIN": ["421 4.3.2 shutting down", fin()],
    "421 alone": ["421 4.3.2 shutting down"],
    "250 out of nothing": ["250 2.0.0 queued"],
    "garbage": ["what?"],
  };
  for (const [name, death] of Object.entries(deaths)) {
    test(`R6: ${name} while it was idle`, async () => {
      const { promise: gate, resolve: open } = Promise.withResolvers<void>();
      await using w = await world({
        dot: ({ nth }) => nth === 1 ? ["250 2.0.0 ok", gate, ...death] : "250 2.0.0 ok",
      });
      assert.equal(await w.deliver(), "250 2.0.0");
      assert.equal(w.pool.size, 1);
      open();
      await until(() => w.pool.size === 0, "the pool has noticed");
      assert.equal(w.pool.servers[0]?.idle.length, 0);
      assert.equal(await w.deliver(), "250 2.0.0");
      assert.equal(w.server.connections.length, 2);
      assert.equal(w.server.messages.length, 2);
    });
  }

  for (const step of ["mail", "rcpt", "data"] as const) {
    for (
      const [name, death] of [["FIN", fin()], ["RST", rst()], ["421", "421 4.3.2 bye"]] as const
    ) {
      test(`R6: ${name} at ${step.toUpperCase()}, before it was noticed`, async () => {
        const usual = { mail: "250 2.1.0 ok", rcpt: "250 2.1.5 ok", data: "354 go" };
        await using w = await world({
          [step]: ({ nth }: { nth: number }) => nth === 2 ? death : usual[step],
        });
        assert.equal(await w.deliver(), "250 2.0.0");
        assert.equal(await w.deliver(), "250 2.0.0");
        assert.equal(w.server.connections.length, 2);
        assert.equal(w.server.messages.length, 2);
        assert.deepEqual(w.server.messages[1]?.to, ["c@d.test"]);
      });
    }
  }

  test("R6: a server is not blamed for that", async () => {
    await using w = await world([{ mail: ({ nth }) => nth === 2 ? rst() : "250 ok" }, {}]);
    await w.deliver();
    assert.equal(await w.deliver(), "250 2.0.0");
    assert.equal(w.servers[1]?.connections.length, 0);
    assert.equal(w.pool.servers[0]?.failures, 0);
  });

  test("R6: the replacement is a new connection, not another idle one", async () => {
    await using w = await world({ mail: ({ nth }) => nth === 3 || nth === 4 ? fin() : "250 ok" });
    const both = [await lease(w), await lease(w)];
    for (const one of both) w.pool.release(one);
    const warm = w.leg();
    await said(warm.rcpt(recipient("x@d.test")));
    const other = w.leg();
    await said(other.rcpt(recipient("y@d.test")));
    warm.release();
    other.release();
    await until(() => w.pool.servers[0]?.idle.length === 2, "both are idle");
    // The third MAIL meets a dead connection, and so would the fourth on the other old one.
    assert.equal(await said(w.leg().rcpt(recipient("c@d.test"))), "down in envelope");
    assert.equal(w.server.connections.length, 3);
  });
});

describe("how many connections there are", () => {
  test("at most so many, and who waits gets the next that is given back", async () => {
    await using w = await world({}, { connections: 2 });
    const first = await lease(w);
    const second = await lease(w);
    const third = acquiring(w);
    const fourth = acquiring(w);
    w.pool.release(first);
    const handed = await joined(third);
    assert.ok("connection" in handed && handed.connection === first.connection);
    assert.equal(handed.reused, true);
    w.pool.release(second);
    const next = await joined(fourth);
    assert.ok("connection" in next && next.connection === second.connection);
    assert.equal(w.server.connections.length, 2);
    w.pool.release(handed);
    w.pool.release(next);
  });

  test("who waits may open a new one when another is gone", async () => {
    await using w = await world({}, { connections: 1 });
    const first = await lease(w);
    const second = acquiring(w);
    first.connection.destroy();
    const got = await joined(second);
    assert.ok("connection" in got && !got.reused && got.connection !== first.connection);
    w.pool.release(got);
  });

  test("who waits may open a new one when the old one is used up", async () => {
    await using w = await world({}, { connections: 1, maxUses: 1 });
    const first = await lease(w);
    const second = acquiring(w);
    w.pool.release(first);
    const got = await joined(second);
    assert.ok("connection" in got && !got.reused);
    w.pool.release(got);
  });

  test("R4: the wait is bounded", async () => {
    await using w = await world({}, { connections: 1 });
    const first = await lease(w);
    const second = acquiring(w);
    w.pass(w.timeouts.upstreamConnect - 1);
    assert.equal(second.pollUnsafe(), undefined);
    w.pass(1);
    const got = await joined(second);
    assert.ok("_tag" in got && got.phase === "connect" && got.reply === undefined);
    w.pool.release(first);
    assert.equal(w.pool.servers[0]?.idle.length, 1);
    assert.equal((await lease(w)).connection, first.connection);
  });

  test("who no longer waits takes no place", async () => {
    await using w = await world({}, { connections: 1 });
    const first = await lease(w);
    const second = acquiring(w);
    const third = acquiring(w);
    await Effect.runPromise(Fiber.interrupt(second));
    w.pool.release(first);
    const got = await joined(third);
    assert.ok("connection" in got && got.connection === first.connection);
    w.pool.release(got);
  });

  test("an interrupted connection attempt takes no place", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using w = await world({ banner: ({ nth }) => nth === 1 ? gate : "220 hi" }, {
      connections: 1,
    });
    const first = acquiring(w);
    await w.server.waitFor("banner");
    const second = acquiring(w);
    await Effect.runPromise(Fiber.interrupt(first));
    const got = await joined(second);
    assert.ok("connection" in got);
    assert.equal(w.pool.size, 1);
    w.pool.release(got);
    open();
    await w.server.waitFor("close");
    assert.equal(w.verbs(0), "");
  });

  test("moving on to the next server does not open one too many", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using w = await world([{ banner: [gate, "554 no"] }, {}], { connections: 1 });
    const first = acquiring(w);
    await w.server.waitFor("banner");
    const second = acquiring(w);
    open();
    const got = await joined(first);
    assert.ok("connection" in got);
    assert.equal(w.pool.size, 1);
    assert.equal(w.servers[1]?.connections.length, 1);
    w.pool.release(got);
    const next = await joined(second);
    assert.ok("connection" in next && next.connection === got.connection);
    w.pool.release(next);
  });

  test("an idle connection to another server makes room", async () => {
    await using w = await world([{}, {}], { connections: 1 });
    const first = await lease(w);
    w.pool.release(first);
    const avoid = { servers: new Set([first.server]), idle: false };
    const got = await outcome(w.pool.acquire(undefined, avoid));
    assert.ok("connection" in got && got.server === w.pool.servers[1]);
    await w.server.waitFor("quit");
    assert.equal(w.pool.size, 1);
    w.pool.release(got);
  });

  test("close ends what is idle now, and what is in use when it is given back", async () => {
    await using w = await world();
    const [used, idle] = [await lease(w), await lease(w)];
    w.pool.release(idle);
    w.pool.close();
    await w.server.waitFor("quit", 1);
    assert.equal(w.pool.size, 1);
    w.pool.release(used);
    await w.server.waitFor("quit", 2);
    assert.equal(w.pool.size, 0);
  });
});

describe("which server", () => {
  const taken = async (w: World, count: number): Promise<string> => {
    const leases: Lease[] = [];
    for (let i = 0; i < count; i++) leases.push(await lease(w));
    const order = leases.map((one) => w.pool.servers.indexOf(one.server)).join("");
    for (const one of leases) one.connection.destroy();
    return order;
  };

  test("round-robin takes them in turn", async () => {
    await using w = await world([{}, {}, {}], { balance: "round-robin" });
    assert.equal(await taken(w, 7), "0120120");
  });

  test("round-robin takes them in turn with idle connections as well", async () => {
    await using w = await world([{}, {}], { balance: "round-robin" });
    for (let i = 0; i < 6; i++) await w.deliver();
    assert.deepEqual(w.servers.map((s) => [s.connections.length, s.messages.length]), [
      [1, 3],
      [1, 3],
    ]);
  });

  test("priority takes the first as long as it works", async () => {
    await using w = await world([{}, {}]);
    assert.equal(await taken(w, 4), "0000");
  });

  test("R4: one that does not answer is passed over, and rests twice as long each time", async () => {
    await using w = await world([{ banner: "421 4.3.2 no" }, {}]);
    let asked = 0;
    for (const rest of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      assert.equal(await taken(w, 1), "1");
      asked += 1;
      assert.equal(w.server.connections.length, asked);
      w.pass(rest - 1);
      assert.equal(await taken(w, 1), "1");
      assert.equal(w.server.connections.length, asked, `it rests for ${rest} ms`);
      w.pass(1);
    }
  });

  test("one that works again is forgiven", async () => {
    await using w = await world([{ banner: ({ nth }) => nth === 1 ? "554 no" : "220 hi" }, {}]);
    assert.equal(await taken(w, 1), "1");
    w.pass(1_000);
    assert.equal(await taken(w, 2), "00");
    assert.equal(w.pool.servers[0]?.failures, 0);
  });

  test("one that rests is asked when no other is left", async () => {
    await using w = await world([{ banner: ({ nth }) => nth === 1 ? "554 no" : "220 hi" }, {
      banner: ({ nth }) => nth === 1 ? "220 hi" : "554 no",
    }]);
    assert.equal(await taken(w, 1), "1");
    assert.equal(await taken(w, 1), "0");
  });

  test("R4: none that answers: the failure of the last", async () => {
    await using w = await world([{ banner: "554 5.3.2 no" }, { banner: "421 4.3.2 busy" }]);
    const got = await outcome(w.pool.acquire(undefined, nothing));
    assert.ok("_tag" in got && got.phase === "connect" && got.reply?.code === 421);
    assert.match(got.message, /^upstream mail 127\.0\.0\.1:\d+: greeted with 421$/);
    assert.equal(w.pool.size, 0);
  });

  test("R4: a port where nobody listens", async () => {
    await using w = await world([{}, {}]);
    await w.server.stop();
    assert.equal(await taken(w, 2), "11");
  });
});
