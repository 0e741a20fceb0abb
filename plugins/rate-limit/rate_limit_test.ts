import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Hooks, SessionFacts, TransactionFacts, Verdict } from "@postern/postern/plugin";
import fc from "fast-check";
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
function answerWith(hooks: Hooks, code: number, facts: SessionFacts = session(), text = "x") {
  hooks.on!.errorReply!(facts, { code, enhanced: "5.1.1", lines: [text] });
}
function from(address: string): SessionFacts {
  return session({ remote: { address, port: 1 } });
}

/** No objection, with what is left as evidence. */
function passed(answer: unknown): void {
  const verdict = answer as Verdict | undefined;
  assert.ok(verdict === undefined || verdict.verdict === "pass", JSON.stringify(answer));
}
function over(answer: unknown): void {
  const verdict = answer as Verdict | undefined;
  assert.ok(verdict !== undefined && verdict.verdict !== "pass", JSON.stringify(answer));
}
function code(answer: unknown): unknown {
  const verdict = answer as Verdict | undefined;
  if (verdict === undefined || verdict.verdict === "pass") return undefined;
  return "code" in verdict ? [verdict.verdict, verdict.code, verdict.enhanced] : verdict;
}

const perHour = { limit: 2, window: "1h" };

describe("what is counted, and the reply when it is too much", () => {
  test("connections: closed before the banner with 421 4.7.0", async () => {
    const { hooks } = await start([{ by: "address", count: "connections", ...perHour }]);
    passed(connect(hooks));
    passed(connect(hooks));
    assert.deepEqual(code(connect(hooks)), ["drop", 421, "4.7.0"]);
    passed(connect(hooks, from("192.0.2.2")));
  });

  test("messages: 450 4.7.1 at MAIL until the window has moved on", async () => {
    const { edge, hooks } = await start([{ by: "address", count: "messages", ...perHour }]);
    mail(hooks);
    edge.clock.advance(30 * 60_000);
    mail(hooks);
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
    edge.clock.advance(30 * 60_000);
    passed(mail(hooks));
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
  });

  test("recipients: 452 4.7.1 at RCPT, by the recipient's domain", async () => {
    const { hooks } = await start([{ by: "recipient-domain", count: "recipients", ...perHour }]);
    rcpt(hooks, "a@one.test");
    rcpt(hooks, "b@ONE.test");
    assert.deepEqual(code(rcpt(hooks, "c@one.test")), ["defer", 452, "4.7.1"]);
    passed(rcpt(hooks, "c@two.test"));
  });

  test("octets: 452 4.7.1 at the end; one message over the whole limit passes when nothing is taken", async () => {
    const { hooks } = await start([
      { by: "address", count: "octets", limit: "10KiB", window: "1h" },
    ]);
    passed(end(hooks, { size: 4096 }));
    assert.deepEqual(code(end(hooks, { size: 8192 })), ["defer", 452, "4.7.1"]);
    passed(end(hooks, { size: 6144 }));
    const other = session({ remote: { address: "192.0.2.9", port: 1 } });
    passed(end(hooks, { size: 1e9, session: other }));
    assert.deepEqual(code(end(hooks, { size: 1, session: other })), ["defer", 452, "4.7.1"]);
  });

  test("errors: 5yz replies keep the client out, 4yz and 2yz do not", async () => {
    const { hooks } = await start([{ by: "address", count: "errors", ...perHour }]);
    for (const n of [450, 421, 452]) answerWith(hooks, n);
    passed(connect(hooks));
    answerWith(hooks, 550);
    passed(mail(hooks));
    answerWith(hooks, 535);
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
    assert.deepEqual(code(connect(hooks)), ["drop", 421, "4.7.0"]);
    passed(connect(hooks, from("192.0.2.2")));
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
    over(connect(hooks, from("192.0.2.200")));
    passed(connect(hooks, from("192.0.3.1")));
    connect(hooks, from("2001:db8::1"));
    over(connect(hooks, from("2001:db8::ffff:1")));
    passed(connect(hooks, from("2001:db8:0:1::1")));
    const wide = await start([{ by: "network", count: "connections", limit: 1, window: "1h" }], {
      ipv4_prefix: 16,
    });
    connect(wide.hooks, from("192.0.2.1"));
    over(connect(wide.hooks, from("192.0.3.1")));
  });

  test("login: sessions without one are left alone", async () => {
    const { hooks } = await start([{ by: "login", count: "messages", limit: 1, window: "1h" }]);
    for (let i = 0; i < 3; i++) passed(mail(hooks));
    const anna = session({ identity: { user: "anna", mechanism: "PLAIN" } });
    const bob = session({ identity: { user: "bob", mechanism: "PLAIN" } });
    mail(hooks, { session: anna });
    over(mail(hooks, { session: anna }));
    passed(mail(hooks, { session: bob }));
  });

  test("sender: case does not matter; the null reverse-path alone is never limited", async () => {
    const { hooks } = await start([{ by: "sender", count: "messages", limit: 1, window: "1h" }]);
    mail(hooks, { from: mailbox("A@b.test") });
    over(mail(hooks, { from: mailbox("a@B.test") }));
    for (let i = 0; i < 3; i++) passed(mail(hooks, { from: null }));
  });

  test("several words together, the null reverse-path being one of the senders", async () => {
    const { hooks } = await start([
      { by: ["address", "sender-domain"], count: "messages", limit: 1, window: "1h" },
    ]);
    mail(hooks, { from: mailbox("a@one.test") });
    over(mail(hooks, { from: mailbox("b@one.test") }));
    passed(mail(hooks, { from: mailbox("a@two.test") }));
    mail(hooks, { from: null });
    over(mail(hooks, { from: null }));
    passed(mail(hooks, { from: null, session: from("192.0.2.7") }));
  });

  test("helo: case does not matter", async () => {
    const { hooks } = await start([{ by: "helo", count: "messages", limit: 1, window: "1h" }]);
    mail(hooks, { session: session({ helo: "A.test" }) });
    over(mail(hooks, { session: session({ helo: "a.TEST" }) }));
    passed(mail(hooks, { session: session({ helo: "__proto__" }) }));
  });

  test("an exempt network is not counted at all", async () => {
    const { hooks } = await start(
      [{ by: "address", count: "connections", limit: 1, window: "1h" }],
      { exempt: ["192.0.2.0/24"] },
    );
    for (let i = 0; i < 5; i++) passed(connect(hooks));
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
    assert.partialDeepStrictEqual(mail(hooks), { verdict: "delay", ms: 4000 });
    edge.clock.advance(7000);
    assert.partialDeepStrictEqual(mail(hooks), { verdict: "delay", ms: 3000 });
  });

  test("a fixed window begins anew at its edge", async () => {
    const { edge, hooks } = await start([{ ...rule, limit: 2, algorithm: "fixed" }]);
    edge.clock.advance(59 * 60_000);
    passed(mail(hooks));
    passed(mail(hooks));
    over(mail(hooks));
  });

  test("a bucket takes a burst, then refills evenly", async () => {
    const { edge, hooks } = await start([{ ...rule, limit: 60, window: "1m", burst: 3 }]);
    for (let i = 0; i < 3; i++) passed(mail(hooks));
    over(mail(hooks));
    edge.clock.advance(1000);
    passed(mail(hooks));
    over(mail(hooks));
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

describe("several rules at once", () => {
  const by = (word: string, limit: number, more: Rule = {}) => ({
    by: word,
    count: "messages",
    limit,
    window: "1h",
    ...more,
  });
  const sender = (address: string) => ({ from: mailbox(address) });

  test("what the second refuses, the first has not counted", async () => {
    const { edge, hooks } = await start([by("address", 3), by("sender", 1)]);
    passed(mail(hooks, sender("a@one.test")));
    for (let i = 0; i < 5; i++) over(mail(hooks, sender("a@one.test")));
    passed(mail(hooks, sender("b@one.test")));
    passed(mail(hooks, sender("c@one.test")));
    over(mail(hooks, sender("d@one.test")));
    assert.equal(edge.counters.get("limited_messages_by_sender_1_per_3600s"), 5);
    assert.equal(edge.counters.get("limited_messages_by_address_3_per_3600s"), 1);
  });

  test("a rule that only delays stops no other, and does not count what is over it", async () => {
    const { edge, hooks } = await start([
      by("sender", 1, { action: "delay", delay: "2s" }),
      by("address", 3),
    ]);
    passed(mail(hooks));
    assert.partialDeepStrictEqual(mail(hooks), { verdict: "delay", ms: 2000 });
    assert.partialDeepStrictEqual(mail(hooks), { verdict: "delay", ms: 2000 });
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
    edge.clock.advance(3_600_000);
    passed(mail(hooks));
  });

  test("never more than any rule allows, and never less than all allow (against a model)", async () => {
    const event = fc.record({
      wait: fc.nat(20),
      address: fc.nat(1),
      sender: fc.nat(2),
      domain: fc.nat(1),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
        const rules = [
          { by: "address", limit: 6, window: "60s" },
          { by: "sender", limit: 4, window: "40s" },
          { by: ["address", "sender_domain"], limit: 5, window: "50s" },
        ];
        const { edge, hooks } = await start(rules.map((r) => ({ ...r, count: "messages" })));
        const taken: { at: number; keys: readonly string[] }[] = [];
        for (const { wait, address, sender: who, domain } of events) {
          edge.clock.advance(wait * 1000);
          const now = edge.clock.now();
          const whole = `s${who}@d${domain}.test`;
          const keys = [`${address}`, whole, `${address} ${domain}`];
          const room = rules.every(({ limit, window }, i) =>
            taken.filter(({ at, keys: theirs }) =>
              theirs[i] === keys[i] && at > now - parseInt(window) * 1000
            ).length < limit
          );
          const answer = mail(hooks, {
            from: mailbox(whole),
            session: from(`192.0.2.${address}`),
          });
          assert.equal(code(answer) === undefined, room);
          if (room) taken.push({ at: now, keys });
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("sessions at once", () => {
  const one = { by: "address", count: "sessions", limit: 2 };

  test("by address: 421 before the banner until one has ended", async () => {
    const { hooks } = await start([one]);
    const all = Array.from({ length: 4 }, () => session());
    passed(connect(hooks, all[0]!));
    passed(connect(hooks, all[1]!));
    assert.deepEqual(code(connect(hooks, all[2]!)), ["drop", 421, "4.7.0"]);
    hooks.on!.closed!(all[2]!);
    over(connect(hooks, all[3]!));
    hooks.on!.closed!(all[3]!);
    hooks.on!.closed!(all[0]!);
    passed(connect(hooks, session()));
    over(connect(hooks, session()));
    passed(connect(hooks, from("192.0.2.77")));
  });

  test("by login: at MAIL, each session once", async () => {
    const { hooks } = await start([{ ...one, by: "login", limit: 1 }]);
    assert.equal(hooks.connect, undefined);
    const identity = { user: "anna", mechanism: "PLAIN" };
    const first = session({ identity });
    const second = session({ identity });
    for (let i = 0; i < 3; i++) passed(mail(hooks, { session: first }));
    assert.deepEqual(code(mail(hooks, { session: second })), ["defer", 450, "4.7.1"]);
    hooks.on!.closed!(first);
    passed(mail(hooks, { session: second }));
    passed(mail(hooks));
  });

  test("a session that becomes another client's (XCLIENT) is counted as that one's", async () => {
    const { hooks } = await start([{ ...one, limit: 1 }]);
    const changing = { ...session() };
    passed(connect(hooks, changing));
    changing.remote = { address: "192.0.2.50", port: 1 };
    passed(connect(hooks, changing));
    passed(connect(hooks, session()));
    over(connect(hooks, from("192.0.2.50")));
    hooks.on!.closed!(changing);
    passed(connect(hooks, from("192.0.2.50")));
  });
});

describe("failed logins", () => {
  const rule = { by: "address", count: "failed_logins", limit: 2, window: "10m" };

  test("keep an address out: at connect, EHLO and MAIL", async () => {
    const { edge, hooks } = await start([rule]);
    hooks.on!.loginFailed!(session(), "anna");
    passed(connect(hooks));
    hooks.on!.loginFailed!(session(), "bob");
    assert.deepEqual(code(connect(hooks)), ["drop", 421, "4.7.0"]);
    assert.deepEqual(code(hooks.helo!("x", context())), ["defer", 450, "4.7.1"]);
    assert.deepEqual(code(mail(hooks)), ["defer", 450, "4.7.1"]);
    passed(connect(hooks, from("192.0.2.2")));
    edge.clock.advance(600_000);
    passed(connect(hooks));
  });

  test("by the login that failed, whoever tried", async () => {
    const { hooks } = await start([{ ...rule, by: "login" }]);
    for (const address of ["192.0.2.8", "192.0.2.9"]) {
      hooks.on!.loginFailed!(from(address), "anna");
    }
    const as = (user: string) => ({ session: session({ identity: { user, mechanism: "PLAIN" } }) });
    over(mail(hooks, as("anna")));
    passed(mail(hooks, as("bob")));
  });
});

describe("rules for some", () => {
  const rule = { by: "address", count: "messages", limit: 1, window: "1h" };
  const anna = () => session({ identity: { user: "anna", mechanism: "PLAIN" } });

  test("who has authenticated, or has not", async () => {
    const strangers = await start([{ ...rule, when: "unauthenticated" }]);
    for (let i = 0; i < 3; i++) passed(mail(strangers.hooks, { session: anna() }));
    passed(mail(strangers.hooks));
    over(mail(strangers.hooks));
    const users = await start([{ ...rule, when: "authenticated" }]);
    for (let i = 0; i < 3; i++) passed(mail(users.hooks));
    passed(mail(users.hooks, { session: anna() }));
    over(mail(users.hooks, { session: anna() }));
  });

  test("exempt networks and prefixes of one rule", async () => {
    const { hooks } = await start([
      { ...rule, by: "network", ipv4_prefix: 16, exempt: ["192.0.3.0/24"] },
    ]);
    passed(mail(hooks, { session: from("192.0.2.1") }));
    over(mail(hooks, { session: from("192.0.9.1") }));
    for (let i = 0; i < 3; i++) passed(mail(hooks, { session: from("192.0.3.1") }));
  });

  test("listener, and recipient", async () => {
    const { hooks } = await start([
      { ...rule, by: ["listener", "address"] },
      { ...rule, by: "recipient", count: "recipients" },
    ]);
    passed(mail(hooks));
    passed(mail(hooks, { session: session({ listener: "submission" }) }));
    over(mail(hooks));
    passed(rcpt(hooks, "a@one.test"));
    over(rcpt(hooks, "A@one.test"));
    passed(rcpt(hooks, "b@one.test"));
  });
});

describe("what is told", () => {
  const rule = { name: "m", by: "address", count: "messages", limit: 2, window: "1h" };

  test("what is left: in the trace and the metrics, not to the client", async () => {
    const { edge, hooks } = await start([rule, { ...rule, name: "b", limit: 60, burst: 3 }]);
    assert.deepEqual(mail(hooks), {
      verdict: "pass",
      evidence: "m: 1 of 2 left, b: 2 of 3 left",
    });
    mail(hooks);
    edge.clock.advance(600_000);
    const refused = mail(hooks) as Verdict & { text: string };
    assert.deepEqual(refused, {
      verdict: "defer",
      code: 450,
      enhanced: "4.7.1",
      text: "Too many messages, try again later",
      evidence: "m: 0 of 2 left, b: 3 of 3 left",
    });
    assert.deepEqual(edge.observed.get("left_m"), [1, 0, 0]);
    assert.deepEqual(edge.observed.get("left_b"), [2, 1, 3]);
    assert.deepEqual(edge.entries.map(({ fields }) => fields), [
      { rule: "m", address: "192.0.2.1", action: "defer", retry_after: 3000 },
    ]);
  });

  test("code and text as set", async () => {
    const defer = await start([{ ...rule, limit: 1, code: 451, text: "Slow down" }]);
    mail(defer.hooks);
    assert.partialDeepStrictEqual(mail(defer.hooks), { code: 451, text: "Slow down" });
    const drop = await start([{ ...rule, limit: 1, action: "drop", code: 554 }]);
    mail(drop.hooks);
    assert.deepEqual(code(mail(drop.hooks)), ["drop", 554, "5.7.0"]);
  });

  test("our own refusals are no errors of the client", async () => {
    const { hooks } = await start([
      { ...rule, limit: 1, action: "refuse" },
      { name: "e", by: "address", count: "errors", limit: 2, window: "1h" },
    ]);
    mail(hooks);
    for (let i = 0; i < 5; i++) {
      const { code, text } = mail(hooks) as { code: number; text: string };
      assert.equal(code, 550);
      answerWith(hooks, code, session(), text);
    }
    passed(connect(hooks));
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
    passed(await mail(hooks));
    assert.deepEqual(code(await mail(hooks)), ["defer", 450, "4.7.1"]);
    const near = from("192.0.2.8");
    passed(await mail(hooks, { session: near }));
    const third = from("192.0.2.9");
    assert.deepEqual(code(await mail(hooks, { session: third })), ["refuse", 550, "5.7.1"]);
  });

  test("errors are counted and seen with promises, too", async () => {
    const { hooks } = await start(
      [{ by: "address", count: "errors", limit: 1, window: "1h" }, ...rules],
      {},
      true,
    );
    passed(await mail(hooks));
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
    'rules.0: "connections" cannot be counted by "login", only by address, network, listener',
  ]);
  assert.deepEqual(await faults({ ...good, algorithm: "window", burst: 3 }), [
    'rules.0: burst belongs to algorithm = "bucket", a window has none',
  ]);
  assert.deepEqual(await faults({ ...good, window: undefined }), [
    "rules.0: expected a window, got none",
  ]);
  assert.deepEqual(await faults({ ...good, count: "sessions" }), [
    'rules.0: "sessions" counts those that are open now: it has no window, burst or algorithm',
  ]);
  assert.deepEqual(await faults({ ...good, code: 550 }), [
    'rules.0: expected a code from 400 to 499 for action = "defer", got 550',
  ]);
  assert.deepEqual(await faults({ ...good, code: 421 }), [
    'rules.0: 421 closes the connection: use action = "drop"',
  ]);
  assert.deepEqual(await faults({ ...good, count: "connections", when: "authenticated" }), [
    'rules.0: "connections" are counted before anybody can have authenticated',
  ]);
  assert.deepEqual(await faults({ ...good, text: "na\u00efve" }), [
    "rules.0.text: expected printable US-ASCII of at most 400 characters",
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
