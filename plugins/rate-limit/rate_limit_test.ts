import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Hooks, SessionFacts, TransactionFacts, Verdict } from "@postern/postern/plugin";
import { fakeEdge } from "../../tests/support/fake_edge.ts";
import {
  context,
  mailbox,
  optionFaults,
  parseOptions,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import rateLimit, { type Options, options } from "./mod.ts";
import { compileRules } from "./options.ts";

type Rule = Record<string, unknown>;

async function start(rules: readonly Rule[], over: Rule = {}, asyncState = false) {
  const edge = fakeEdge({ asyncState });
  const given = await parseOptions<Options>(options, { rules, ...over });
  const { hooks } = await rateLimit(edge, given);
  return { edge, hooks };
}

function connect(hooks: Hooks, facts: SessionFacts = session()) {
  return hooks.connect!(facts, context(transaction({ session: facts })));
}
function mail(hooks: Hooks, over: Partial<TransactionFacts> = {}) {
  const tx = transaction(over);
  return hooks.mail!(tx.from, { ...context(tx), params: {} });
}
function rcpt(hooks: Hooks, to: string, over: Partial<TransactionFacts> = {}) {
  return hooks.rcpt!(mailbox(to), { ...context(transaction(over)), params: {} });
}
function end(hooks: Hooks, over: Partial<TransactionFacts> = {}) {
  const tx = transaction(over);
  return hooks.end!(tx, context(tx));
}
function answerWith(hooks: Hooks, code: number, facts: SessionFacts = session()) {
  const reply = { code, enhanced: "5.1.1", lines: ["x"] };
  return hooks.reply!(reply, context(transaction({ session: facts })));
}
function from(address: string): SessionFacts {
  return session({ remote: { address, port: 1 } });
}
function code(answer: unknown): unknown {
  const verdict = answer as Verdict | undefined;
  if (verdict === undefined) return undefined;
  return "code" in verdict ? [verdict.verdict, verdict.code, verdict.enhanced] : verdict;
}

const perHour = { limit: 2, window: "1h" };

describe("what is counted, and the reply when it is too much", () => {
  test("connections: closed before the banner with 421 4.7.0", async () => {
    const { hooks } = await start([{ by: "address", count: "connections", ...perHour }]);
    assert.equal(connect(hooks), undefined);
    assert.equal(connect(hooks), undefined);
    assert.deepEqual(code(connect(hooks)), ["drop", 421, "4.7.0"]);
    assert.equal(connect(hooks, from("192.0.2.2")), undefined);
  });

  test("messages: 450 4.7.1 at MAIL until the window has moved on", async () => {
    const { edge, hooks } = await start([{ by: "address", count: "messages", ...perHour }]);
    mail(hooks);
    edge.clock.advance(30 * 60_000);
    mail(hooks);
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
    edge.clock.advance(30 * 60_000);
    assert.equal(mail(hooks), undefined);
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
  });

  test("recipients: 452 4.7.1 at RCPT, by the recipient's domain", async () => {
    const { hooks } = await start([{ by: "recipient-domain", count: "recipients", ...perHour }]);
    rcpt(hooks, "a@one.test");
    rcpt(hooks, "b@ONE.test");
    assert.deepEqual(code(rcpt(hooks, "c@one.test")), ["defer", 452, "4.7.1"]);
    assert.equal(rcpt(hooks, "c@two.test"), undefined);
  });

  test("octets: 452 4.7.1 at the end; one message over the whole limit passes when nothing is taken", async () => {
    const { hooks } = await start([
      { by: "address", count: "octets", limit: "10KiB", window: "1h" },
    ]);
    assert.equal(end(hooks, { size: 4096 }), undefined);
    assert.deepEqual(code(end(hooks, { size: 8192 })), ["defer", 452, "4.7.1"]);
    assert.equal(end(hooks, { size: 6144 }), undefined);
    const other = session({ remote: { address: "192.0.2.9", port: 1 } });
    assert.equal(end(hooks, { size: 1e9, session: other }), undefined);
    assert.deepEqual(code(end(hooks, { size: 1, session: other })), ["defer", 452, "4.7.1"]);
  });

  test("errors: 5yz replies keep the client out, 4yz and 2yz do not", async () => {
    const { hooks } = await start([{ by: "address", count: "errors", ...perHour }]);
    for (const n of [250, 450, 421, 250]) answerWith(hooks, n);
    assert.equal(connect(hooks), undefined);
    answerWith(hooks, 550);
    assert.equal(mail(hooks), undefined);
    answerWith(hooks, 535);
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
    assert.deepEqual(code(connect(hooks)), ["drop", 421, "4.7.0"]);
    assert.equal(connect(hooks, from("192.0.2.2")), undefined);
  });
});

describe("what is told apart", () => {
  test("network: IPv4 by /24, IPv6 by /64, or as set", async () => {
    const { hooks } = await start([{
      by: "network",
      count: "connections",
      limit: 1,
      window: "1h",
    }]);
    connect(hooks, from("192.0.2.1"));
    assert.ok(connect(hooks, from("192.0.2.200")));
    assert.equal(connect(hooks, from("192.0.3.1")), undefined);
    connect(hooks, from("2001:db8::1"));
    assert.ok(connect(hooks, from("2001:db8::ffff:1")));
    assert.equal(connect(hooks, from("2001:db8:0:1::1")), undefined);
    const wide = await start([{ by: "network", count: "connections", limit: 1, window: "1h" }], {
      ipv4_prefix: 16,
    });
    connect(wide.hooks, from("192.0.2.1"));
    assert.ok(connect(wide.hooks, from("192.0.3.1")));
  });

  test("login: sessions without one are left alone", async () => {
    const { hooks } = await start([{ by: "login", count: "messages", limit: 1, window: "1h" }]);
    for (let i = 0; i < 3; i++) assert.equal(mail(hooks), undefined);
    const anna = session({ identity: { user: "anna", mechanism: "PLAIN" } });
    const bob = session({ identity: { user: "bob", mechanism: "PLAIN" } });
    mail(hooks, { session: anna });
    assert.ok(mail(hooks, { session: anna }));
    assert.equal(mail(hooks, { session: bob }), undefined);
  });

  test("sender: case does not matter; the null reverse-path alone is never limited", async () => {
    const { hooks } = await start([{ by: "sender", count: "messages", limit: 1, window: "1h" }]);
    mail(hooks, { from: mailbox("A@b.test") });
    assert.ok(mail(hooks, { from: mailbox("a@B.test") }));
    for (let i = 0; i < 3; i++) assert.equal(mail(hooks, { from: null }), undefined);
  });

  test("several words together, the null reverse-path being one of the senders", async () => {
    const { hooks } = await start([
      { by: ["address", "sender-domain"], count: "messages", limit: 1, window: "1h" },
    ]);
    mail(hooks, { from: mailbox("a@one.test") });
    assert.ok(mail(hooks, { from: mailbox("b@one.test") }));
    assert.equal(mail(hooks, { from: mailbox("a@two.test") }), undefined);
    mail(hooks, { from: null });
    assert.ok(mail(hooks, { from: null }));
    assert.equal(mail(hooks, { from: null, session: from("192.0.2.7") }), undefined);
  });

  test("helo: case does not matter", async () => {
    const { hooks } = await start([{ by: "helo", count: "messages", limit: 1, window: "1h" }]);
    mail(hooks, { session: session({ helo: "A.test" }) });
    assert.ok(mail(hooks, { session: session({ helo: "a.TEST" }) }));
    assert.equal(mail(hooks, { session: session({ helo: "__proto__" }) }), undefined);
  });

  test("an exempt network is not counted at all", async () => {
    const { hooks } = await start(
      [{ by: "address", count: "connections", limit: 1, window: "1h" }],
      { exempt: ["192.0.2.0/24"] },
    );
    for (let i = 0; i < 5; i++) assert.equal(connect(hooks), undefined);
  });
});

describe("actions", () => {
  const rule = { by: "address", count: "messages", limit: 1, window: "1h" };

  test("refuse is permanent, and 554 before the banner", async () => {
    const messages = await start([{ ...rule, action: "refuse" }]);
    mail(messages.hooks);
    assert.deepEqual(code(mail(messages.hooks)), ["refuse", 550, "5.7.1"]);
    const connections = await start([{ ...rule, count: "connections", action: "refuse" }]);
    connect(connections.hooks);
    assert.deepEqual(code(connect(connections.hooks)), ["refuse", 554, "5.7.1"]);
  });

  test("drop closes", async () => {
    const { hooks } = await start([{ ...rule, action: "drop" }]);
    mail(hooks);
    assert.deepEqual(code(mail(hooks)), ["drop", 421, "4.7.0"]);
  });

  test("delay lasts until there is room, and not longer than set", async () => {
    const { edge, hooks } = await start([{ ...rule, window: "10s", action: "delay", delay: "4s" }]);
    mail(hooks);
    assert.deepEqual(mail(hooks), { verdict: "delay", ms: 4000 });
    edge.clock.advance(7000);
    assert.deepEqual(mail(hooks), { verdict: "delay", ms: 3000 });
  });

  test("a bucket takes a burst, then refills evenly", async () => {
    const { edge, hooks } = await start([{ ...rule, limit: 60, window: "1m", burst: 3 }]);
    for (let i = 0; i < 3; i++) assert.equal(mail(hooks), undefined);
    assert.ok(mail(hooks));
    edge.clock.advance(1000);
    assert.equal(mail(hooks), undefined);
    assert.ok(mail(hooks));
  });

  test("rules are asked in order; the first over its limit answers", async () => {
    const { edge, hooks } = await start([
      { ...rule, limit: 1, name: "narrow", action: "refuse" },
      { ...rule, limit: 5, name: "wide" },
    ]);
    mail(hooks);
    assert.deepEqual(code(mail(hooks)), ["refuse", 550, "5.7.1"]);
    assert.equal(edge.counters.get("limited_narrow"), 1);
    assert.equal(edge.counters.get("limited_wide"), undefined);
  });
});

describe("state", () => {
  const rules = [
    { by: "address", count: "messages", limit: 1, window: "1h" },
    { by: "network", count: "messages", limit: 2, window: "1h", action: "refuse" },
  ];

  test("answers at once give a verdict, not a promise", async () => {
    const { hooks } = await start(rules);
    mail(hooks);
    assert.ok(!(mail(hooks) instanceof Promise));
  });

  test("promises give the same verdicts", async () => {
    const { hooks } = await start(rules, {}, true);
    assert.equal(await mail(hooks), undefined);
    assert.deepEqual(code(await mail(hooks)), ["defer", 450, "4.7.1"]);
    const near = from("192.0.2.8");
    assert.equal(await mail(hooks, { session: near }), undefined);
    const third = from("192.0.2.9");
    assert.deepEqual(code(await mail(hooks, { session: third })), ["refuse", 550, "5.7.1"]);
  });

  test("errors are counted and seen with promises, too", async () => {
    const { hooks } = await start(
      [{ by: "address", count: "errors", limit: 1, window: "1h" }, ...rules],
      {},
      true,
    );
    assert.equal(await mail(hooks), undefined);
    answerWith(hooks, 550);
    assert.deepEqual(code(await mail(hooks)), ["defer", 450, "4.7.1"]);
  });

  test("a stage without rules has no hook", async () => {
    const { hooks } = await start([{ by: "address", count: "octets", limit: 1, window: "1h" }]);
    assert.deepEqual(Object.keys(hooks), ["end"]);
  });

  test("rules never share a counter by accident", async () => {
    const given = await parseOptions<Options>(options, {
      rules: [
        { by: "sender-domain", count: "messages", limit: 1, window: "1h" },
        { by: "sender-domain", count: "messages", limit: 1, window: "1h", action: "drop" },
        { by: ["address", "helo"], count: "messages", limit: 1, window: "1500ms" },
      ],
    });
    assert.deepEqual(compileRules(given).map(({ name }) => name), [
      "messages_by_sender_domain_1_per_3600s",
      "messages_by_sender_domain_1_per_3600s_2",
      "messages_by_address_helo_1_per_1_5s",
    ]);
  });
});

test("options say what is wrong and where", async () => {
  const good = { by: "address", count: "messages", limit: 1, window: "1h" };
  const faults = async (rule: Rule) => await optionFaults(options, { rules: [rule] });
  assert.deepEqual(await faults(good), []);
  assert.deepEqual(await optionFaults(options, { rules: [] }), [
    "rules: expected at least one rule",
  ]);
  assert.deepEqual(await faults({ ...good, limmit: 1 }), [
    'rules.0.limmit: unknown key "limmit", did you mean "limit"',
  ]);
  assert.deepEqual(await faults({ ...good, limit: 0 }), [
    'rules.0.limit: expected a whole number from 1 or a size such as "25MiB", got 0',
  ]);
  assert.deepEqual(await faults({ ...good, count: "connections", by: "login" }), [
    'rules.0: "connections" cannot be counted by "login", only by address, network',
  ]);
  assert.deepEqual(await faults({ ...good, algorithm: "window", burst: 3 }), [
    'rules.0: burst belongs to algorithm = "bucket", a window has none',
  ]);
  assert.match(
    (await faults({ ...good, by: "adress" }))[0]!,
    /^rules\.0\.by: expected "address", /,
  );
  assert.match(
    (await faults({ ...good, action: "ban" }))[0]!,
    /^rules\.0\.action: expected "defer" or /,
  );
});
