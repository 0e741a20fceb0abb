/**
 * `when`, `percent` and what shadows would have done: for whom a plugin runs, and with which effect.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import fc from "fast-check";
import { canaryPlace, condition } from "../../src/pipeline/condition.ts";
import type { DecisionTrace } from "../../src/pipeline/trace.ts";
import { Transaction } from "../../src/pipeline/transaction.ts";
import type { SessionFacts } from "../../src/plugin/facts.ts";
import type { PluginCondition } from "../../src/settings/settings.ts";
import { parseMailbox } from "../../src/wire/path.ts";
import { engine, facts, hooks, mailbox } from "./pipeline_host.ts";

const NOTHING: PluginCondition = {
  networks: undefined,
  authenticated: undefined,
  tls: undefined,
  helo: undefined,
  senderDomains: undefined,
  recipientDomains: undefined,
};

const refuse = { verdict: "refuse", code: 550, enhanced: "5.7.1", text: "No" } as const;
const tlsFacts = { version: "TLSv1.3", cipher: "x" } as unknown as NonNullable<SessionFacts["tls"]>;

/** A transaction from one address to others. */
function mail(session: SessionFacts, from: string | null, ...to: string[]): Transaction {
  const path = from === null ? null : parseMailbox(from)!;
  const tx = new Transaction("s1.1", session, path, {});
  for (const address of to) tx.recipients.push({ ...mailbox(address), params: {} });
  return tx;
}

describe("when", () => {
  const holds = (
    when: Partial<PluginCondition>,
    session: Partial<SessionFacts> = {},
    tx?: Transaction,
    to?: string,
  ) =>
    condition({ ...NOTHING, ...when })(
      facts(session),
      tx?.facts,
      to === undefined ? undefined : mailbox(to),
    );

  test("nothing asked holds always", () => assert.ok(holds({})));

  test("networks: addresses and CIDR, IPv4 and IPv6", () => {
    const networks = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"];
    const from = (address: string) => holds({ networks }, { remote: { address, port: 1 } });
    assert.deepEqual(
      ["10.9.8.7", "11.0.0.1", "192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db9::1", "/run/x"]
        .map(from),
      [true, false, true, false, true, false, false],
    );
  });

  test("authenticated and tls, both ways", () => {
    const identity = { user: "ann", mechanism: "PLAIN" };
    for (const wanted of [true, false]) {
      assert.equal(holds({ authenticated: wanted }, { identity }), wanted);
      assert.equal(holds({ authenticated: wanted }), !wanted);
      assert.equal(holds({ tls: wanted }, { tls: tlsFacts }), wanted);
      assert.equal(holds({ tls: wanted }), !wanted);
    }
  });

  test("helo: the name that was said, and before it none", () => {
    const helo = ["mail.example.org", "*.example.net"];
    const said = (name: string) => holds({ helo }, { helo: name });
    assert.deepEqual(
      ["MAIL.example.org", "x.mail.example.org", "a.b.example.net", "example.net", ""].map(said),
      [true, false, true, false, false],
    );
  });

  test("sender domains: never the null reverse-path, and none before MAIL", () => {
    const when = { senderDomains: ["a.test", "*.a.test"] };
    const session = facts();
    assert.ok(holds(when, {}, mail(session, "x@a.test")));
    assert.ok(holds(when, {}, mail(session, "x@sub.a.test")));
    assert.ok(!holds(when, {}, mail(session, "x@b.test")));
    assert.ok(!holds(when, {}, mail(session, null)));
    assert.ok(!holds(when));
  });

  test("recipient domains: the one that is judged, later any that was accepted, before RCPT none", () => {
    const when = { recipientDomains: ["a.test"] };
    const session = facts();
    assert.ok(!holds(when, {}, mail(session, null)));
    assert.ok(holds(when, {}, mail(session, null, "x@b.test"), "y@a.test"));
    assert.ok(!holds(when, {}, mail(session, null, "x@a.test"), "y@b.test"));
    assert.ok(holds(when, {}, mail(session, null, "x@b.test", "y@a.test")));
    assert.ok(!holds(when, {}, mail(session, null, "x@b.test")));
  });

  test("every key has to hold", () => {
    const when = { tls: true, helo: ["a.test"] };
    assert.ok(holds(when, { tls: tlsFacts, helo: "a.test" }));
    assert.ok(!holds(when, { tls: tlsFacts, helo: "b.test" }));
    assert.ok(!holds(when, { helo: "a.test" }));
  });
});

describe("a plugin with a condition", () => {
  test("is asked where it holds, stage by stage, and holds the body only there", async () => {
    const asked: string[] = [];
    const { session, tx } = await engine([
      hooks("p", {
        connect: () => void asked.push("connect"),
        rcpt: (to) => void asked.push(`rcpt ${to.address}`),
        data: () => void asked.push("data"),
        end: () => void asked.push("end"),
        body: { observe: () => {} },
        reply: () => void asked.push("reply"),
        on: { opened: () => void asked.push("opened"), delivered: () => void asked.push("told") },
      }, { when: { ...NOTHING, recipientDomains: ["a.test"] }, manifest: { holdBody: true } }),
    ]);
    session.opened();
    session.connect();
    session.rcpt(tx, mailbox("x@b.test"), {});
    tx.recipients.push({ ...mailbox("x@b.test"), params: {} });
    session.data(tx);
    assert.equal(session.holds(tx), false);
    assert.equal(session.body(tx), undefined);
    session.rcpt(tx, mailbox("x@a.test"), {});
    tx.recipients.push({ ...mailbox("x@a.test"), params: {} });
    session.data(tx);
    assert.equal(session.holds(tx), true);
    assert.notEqual(session.body(tx), undefined);
    session.end(tx);
    session.reply({ code: 250, enhanced: "2.0.0", lines: ["Ok"] });
    session.delivered(tx, {
      upstream: "u",
      reply: { code: 250, enhanced: "2.0.0", lines: ["Ok"] },
    });
    assert.deepEqual(asked, ["rcpt x@a.test", "data", "end", "told"]);
  });

  test("of a session that was asked about its end is told, whatever holds by then; of no other", async () => {
    const told: string[] = [];
    const on = { opened: () => void told.push("opened"), closed: () => void told.push("closed") };
    const { pipeline } = await engine([
      hooks("guests", { on, mail: () => undefined }, {
        when: { ...NOTHING, authenticated: false },
      }),
      hooks("domain", { rcpt: () => undefined, on: { closed: () => void told.push("domain") } }, {
        when: { ...NOTHING, recipientDomains: ["a.test"] },
      }),
    ]);
    const session = { ...facts() };
    const run = pipeline.open(session);
    run.opened();
    const tx = mail(session, "x@y.test");
    run.rcpt(tx, mailbox("b@a.test"), {});
    session.identity = { user: "anna", mechanism: "PLAIN" };
    run.closed();
    assert.deepEqual(told.splice(0), ["opened", "closed", "domain"]);
    const other = pipeline.open({ ...facts(), identity: { user: "bob", mechanism: "PLAIN" } });
    other.opened();
    other.closed();
    assert.deepEqual(told, []);
  });

  test("that authenticates is offered, and asked, where it holds", async () => {
    const secure = facts({ tls: tlsFacts });
    const given = [hooks("p", {
      auth: { mechanisms: ["PLAIN"], verify: () => ({ user: "ann", mechanism: "PLAIN" }) },
    }, { when: { ...NOTHING, tls: true } })];
    const credentials = { mechanism: "PLAIN", user: "ann", password: "x" };
    const plain = await engine(given);
    assert.deepEqual(plain.pipeline.mechanisms("mx", facts()), []);
    assert.deepEqual(await plain.run(plain.session.authenticate(credentials)), { none: true });
    const other = await engine(given, secure);
    assert.deepEqual(other.pipeline.mechanisms("mx", secure), ["PLAIN"]);
    assert.ok("identity" in await other.run(other.session.authenticate(credentials)));
  });
});

describe("percent", () => {
  test("the place of a session is stable, and spread evenly", () => {
    const counts = new Array<number>(100).fill(0);
    for (let i = 0; i < 20_000; i++) counts[canaryPlace(`s1abcd-${i.toString(36)}`)]!++;
    assert.ok(Math.min(...counts) > 120 && Math.max(...counts) < 290, String(counts));
    fc.assert(fc.property(fc.string(), (id) => {
      const place = canaryPlace(id);
      assert.ok(Number.isInteger(place) && place >= 0 && place < 100);
      assert.equal(canaryPlace(id), place);
    }));
  });

  test("enforces in its share of the sessions and is a shadow in the others, through all of each", async () => {
    const given = [
      hooks("canary", { connect: () => refuse, rcpt: () => refuse }, { percent: 30 }),
      hooks("wider", { rcpt: () => refuse }, { percent: 60 }),
      hooks("never", { end: () => refuse }, { percent: 0 }),
      hooks("always", { end: () => undefined }, { percent: 100 }),
    ];
    const { pipeline } = await engine(given);
    let enforced = 0;
    for (let i = 0; i < 1_000; i++) {
      const facts_ = facts({ id: `s-${i}` });
      const session = pipeline.open(facts_);
      const tx = new Transaction(`s-${i}.1`, facts_, null, {});
      const place = canaryPlace(facts_.id);
      const verdictOf = (answered: ReturnType<typeof session.connect>) =>
        Effect.isEffect(answered) ? "later" : answered.verdict.verdict;
      assert.equal(verdictOf(session.connect()), place < 30 ? "refuse" : "pass");
      const rcpt = session.rcpt(tx, mailbox("a@b.test"), {});
      assert.equal(verdictOf(rcpt), place < 60 ? "refuse" : "pass");
      assert.equal(verdictOf(session.end(tx)), "pass");
      assert.equal(tx.trace.wouldHave?.plugin, place < 30 ? "never" : "canary");
      if (place < 30) enforced++;
    }
    assert.ok(enforced > 240 && enforced < 360, String(enforced));
  });

  test("a body is held, and a login offered, where the plugin is enforced only", async () => {
    const { pipeline } = await engine([
      hooks("p", {
        auth: { mechanisms: ["PLAIN"], verify: () => undefined },
      }, { percent: 50, manifest: { holdBody: true } }),
    ]);
    for (let i = 0; i < 50; i++) {
      const session = facts({ id: `s-${i}` });
      const inside = canaryPlace(session.id) < 50;
      const tx = new Transaction("s.1", session, null, {});
      assert.equal(pipeline.open(session).holds(tx), inside);
      assert.deepEqual(pipeline.mechanisms("mx", session), inside ? ["PLAIN"] : []);
    }
  });

  test("a note given outside the share is the plugin's own", async () => {
    const seen: unknown[] = [];
    const { pipeline } = await engine([
      {
        percent: 50,
        module: (edge) => ({
          name: "giver",
          hooks: {
            mail: (_, { tx }) => edge.note<string>("colour").set(tx, "red"),
            rcpt: (_, { tx }) => void seen.push(edge.note("colour").get(tx)),
          },
        }),
        manifest: { gives: ["colour"] },
      },
      {
        module: (edge) => ({
          name: "reader",
          hooks: { rcpt: (_, { tx }) => void seen.push(edge.note("colour").get(tx)) },
        }),
        manifest: { reads: ["colour"] },
      },
    ]);
    for (let i = 0; i < 20; i++) {
      const session = facts({ id: `s-${i}` });
      const tx = new Transaction(`s-${i}.1`, session, null, {});
      const run = pipeline.open(session);
      run.mail(tx, null, {});
      run.rcpt(tx, mailbox("a@b.test"), {});
      const inside = canaryPlace(session.id) < 50;
      assert.deepEqual(seen.splice(0), ["red", inside ? "red" : undefined]);
    }
  });
});

describe("what would have happened", () => {
  test("is the strongest verdict of the shadows, of two the first; points and passes are none", async () => {
    const shadow = { mode: "shadow" } as const;
    const { session, tx } = await engine([
      hooks("points", { end: () => ({ verdict: "score", points: 5, symbol: "S" }) }, shadow),
      hooks(
        "quarantine",
        { end: () => ({ verdict: "quarantine", reason: "odd" }) },
        shadow,
      ),
      hooks("first", { end: () => refuse }, shadow),
      hooks("second", { end: () => ({ ...refuse, code: 554 }) }, shadow),
    ]);
    session.end(tx);
    const { stage, plugin, verdict, code } = tx.trace.wouldHave!;
    assert.deepEqual([stage, plugin, verdict, code], ["end", "first", "refuse", 550]);
    assert.equal(tx.score, 0);
    assert.equal(tx.trace.entries.length, 4);
  });

  test("is there although the trace is full, and nothing where nobody is a shadow", async () => {
    const { session, tx } = await engine([
      hooks("loud", { rcpt: () => ({ verdict: "score", points: 0, symbol: "S" }) }),
      hooks("late", { end: () => refuse }, { mode: "shadow" }),
    ]);
    for (let i = 0; i < 600; i++) session.rcpt(tx, mailbox("a@b.test"), {});
    assert.ok(tx.trace.wouldHave === undefined && tx.trace.omitted > 0);
    session.end(tx);
    const { wouldHave } = tx.trace as DecisionTrace;
    assert.equal(wouldHave?.plugin, "late");
  });
});
