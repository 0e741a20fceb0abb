import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { TransactionFacts } from "@postern/postern/plugin";
import { fakeEdge, noon } from "../../tests/support/fake_edge.ts";
import {
  context,
  headerView,
  optionFaults,
  parseOptions,
  recipient,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import received, { type Options, options } from "./mod.ts";
import { addressLiteral, dateTime, fromDomain } from "./trace.ts";

async function start(over: Record<string, unknown> = {}) {
  const edge = fakeEdge();
  const plugin = await received(edge, await parseOptions<Options>(options, over));
  const field = (facts: Partial<TransactionFacts> = {}) => {
    const view = headerView("Subject: x");
    const answer = plugin.hooks.header!(view, context(transaction(facts)));
    assert.equal(answer, undefined);
    const [first, ...rest] = view.result();
    assert.deepEqual(rest, ["Subject: x"]);
    return first!;
  };
  return { edge, plugin, field };
}

const tls = {
  version: "TLSv1.3",
  cipher: "TLS_AES_128_GCM_SHA256",
  sni: undefined,
  alpn: undefined,
  peer: undefined,
};
const identity = { user: "anna@example.org", mechanism: "PLAIN" };
const date = "Thu, 15 Jan 2026 12:00:00 +0000";

describe("the trace field (RFC 5321 section 4.4)", () => {
  test("plain ESMTP, one recipient", async () => {
    const { field } = await start();
    assert.equal(
      field(),
      "Received: from client.example.net (unknown [192.0.2.1]) by mx.example.org (Postern)" +
        ` with ESMTP id s1.1 for <rcpt@example.org>; ${date}`,
    );
  });

  test("TLS, IPv6 and a verified client name", async () => {
    const { field } = await start();
    const facts = session({
      tls,
      clientName: "mail.example.net",
      remote: { address: "2001:db8::25", port: 1 },
    });
    assert.equal(
      field({ session: facts }),
      "Received: from client.example.net (mail.example.net [IPv6:2001:db8::25])" +
        " (using TLSv1.3 with cipher TLS_AES_128_GCM_SHA256) by mx.example.org (Postern)" +
        ` with ESMTPS id s1.1 for <rcpt@example.org>; ${date}`,
    );
  });

  test("protocol words of RFC 3848 and RFC 6531", async () => {
    const { field } = await start();
    const word = (facts: Partial<TransactionFacts>) =>
      / with ([A-Z0-9]+) id /.exec(field(facts))![1];
    const over = (facts: Parameters<typeof session>[0]) => ({ session: session(facts) });
    assert.equal(word(over({ esmtp: false })), "SMTP");
    assert.equal(word(over({ esmtp: false, tls })), "SMTP");
    assert.equal(word(over({})), "ESMTP");
    assert.equal(word(over({ tls })), "ESMTPS");
    assert.equal(word(over({ identity })), "ESMTPA");
    assert.equal(word(over({ tls, identity })), "ESMTPSA");
    const params = { smtputf8: true } as const;
    assert.equal(word({ params }), "UTF8SMTP");
    assert.equal(word({ params, ...over({ tls }) }), "UTF8SMTPS");
    assert.equal(word({ params, ...over({ identity }) }), "UTF8SMTPA");
    assert.equal(word({ params, ...over({ tls, identity }) }), "UTF8SMTPSA");
  });

  test("the recipient is named only where it is the only one", async () => {
    const { field } = await start();
    const recipients = [recipient("a@example.org"), recipient("blind@example.org")];
    assert.ok(!field({ recipients }).includes(" for "));
    assert.ok(!field({ recipients: [recipient('"a; b"@example.org')] }).includes(" for "));
    assert.ok(
      !field({ recipients: [{ ...recipient("x@y"), address: "postmaster" }] }).includes(" for "),
    );
  });

  test("what changes within a session is seen: HELO, TLS, login", async () => {
    const { field } = await start();
    const facts = { ...session() };
    assert.match(field({ session: facts }), /from client\.example\.net .* with ESMTP /);
    Object.assign(facts, { tls, helo: "second.example.net" });
    assert.match(field({ session: facts }), /from second\.example\.net .* with ESMTPS /);
    Object.assign(facts, { identity });
    assert.match(field({ session: facts }), / with ESMTPSA /);
  });

  test("the clock goes on", async () => {
    const { edge, field } = await start();
    field();
    edge.clock.advance(61_000);
    assert.ok(field().endsWith("; Thu, 15 Jan 2026 12:01:01 +0000"));
  });

  test("an authenticated client can be hidden, and its login shown", async () => {
    const facts = { session: session({ identity, tls }) };
    const hidden = (await start({ hide_client_for_authenticated: true })).field(facts);
    assert.match(hidden, /^Received: from authenticated-client \(using /);
    assert.ok(!hidden.includes("192.0.2.1") && !hidden.includes("client.example"));
    const open = (await start({ hide_client_for_authenticated: true })).field();
    assert.ok(open.includes("192.0.2.1"));
    assert.ok(!(await start()).field(facts).includes("anna"));
    const shown = (await start({ show_login: true })).field(facts);
    assert.ok(shown.includes(" (authenticated as anna@example.org) "));
  });

  test("address literals as HELO, and peers without an address", async () => {
    assert.equal(fromDomain("[192.0.2.1]"), "[192.0.2.1]");
    assert.equal(fromDomain("[IPv6:2001:db8::1]"), "[IPv6:2001:db8::1]");
    for (
      const bad of [
        "[2001:db8::1]",
        "[IPv6:192.0.2.1]",
        "[IPv6:::1%);x]",
        "[x]",
        "a b",
        "a(b",
        "",
        "-.",
        ".a",
        "a..b",
        "a".repeat(256),
      ]
    ) {
      assert.equal(fromDomain(bad), undefined, bad);
    }
    assert.equal(addressLiteral("::ffff:192.0.2.1"), "[192.0.2.1]");
    assert.equal(addressLiteral("fe80::1%eth0"), "[IPv6:fe80::1]");
    assert.equal(addressLiteral("/run/postern.sock"), undefined);
    const { field } = await start();
    const local = session({ remote: { address: "", port: 0 }, helo: "a(b" });
    assert.match(
      field({ session: local }),
      /^Received: from unknown \(unknown\) \(helo=a\?b\) by /,
    );
  });
});

describe("R25: client text cannot break the field", () => {
  const hostile = fc.string({
    unit: fc.constantFrom(...'();<>@\\"[],:. \t\r\n\0aZ9-\u00e9\u4e2d%&'.split("")),
    maxLength: 400,
  });

  test("HELO, client name and login in any octets", async () => {
    const { field } = await start({ show_login: true });
    fc.assert(
      fc.property(hostile, hostile, hostile, (helo, clientName, user) => {
        const facts = session({ helo, clientName, identity: { user, mechanism: "PLAIN" } });
        const value = field({ session: facts }).slice("Received: ".length);
        assert.match(value, /^[\x20-\x7e]+$/);
        assert.ok(value.length < 1200);
        // One clause each, comments balanced and never nested, the only semicolon before the date.
        assert.match(
          value,
          /^from [^\s()<>;,"\\]+ \([^()<>;,"\\]+\)( \(helo=[^()<>;,"\\]*\))? \(authenticated as [^()<>;,"\\]*\) by mx\.example\.org \(Postern\) with ESMTPA id s1\.1 for <rcpt@example\.org>; [^;]+$/,
        );
      }),
    );
  });

  test("an over-long HELO is cut", async () => {
    const { field } = await start();
    const value = field({ session: session({ helo: "a".repeat(5000) }) });
    assert.match(
      value,
      /^Received: from \[192\.0\.2\.1\] \(unknown \[192\.0\.2\.1\]\) \(helo=a{255}\) by /,
    );
  });
});

test("dates are RFC 5322 dates in UTC", () => {
  assert.equal(dateTime(noon), date);
  assert.equal(dateTime(Date.UTC(2024, 1, 29, 3, 4, 5)), "Thu, 29 Feb 2024 03:04:05 +0000");
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e12 }), (ms) => {
      assert.equal(Date.parse(dateTime(ms)), Math.floor(ms / 1000) * 1000);
    }),
  );
});

test("options say what is wrong and where", async () => {
  assert.deepEqual(await optionFaults(options, {}), []);
  assert.deepEqual(await optionFaults(options, { show_login: "yes" }), [
    'show_login: expected true or false, got "yes"',
  ]);
});
