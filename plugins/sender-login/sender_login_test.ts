import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Refuse } from "@postern/postern/plugin";
import { fakeEdge, type FakeEdgeOptions } from "../../tests/support/fake_edge.ts";
import {
  context,
  headerView,
  mailbox,
  optionFaults,
  parseOptions,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import { parseFrom } from "./from.ts";
import senderLogin, { type Options, options } from "./mod.ts";
import { parseOwners, parsePattern } from "./owners.ts";

async function start(over: Record<string, unknown> = {}, host: FakeEdgeOptions = {}) {
  const edge = fakeEdge(host);
  const plugin = await senderLogin(edge, await parseOptions<Options>(options, over));
  const as = (user: string | undefined) =>
    context(transaction({
      session: session({
        identity: user === undefined ? undefined : { user, mechanism: "PLAIN" },
      }),
    }));
  const code = (answer: unknown) => (answer as Refuse | undefined)?.code;
  return {
    edge,
    plugin,
    mail: (from: string | null, user: string | undefined = "anna@example.org") =>
      code(plugin.hooks.mail!(from === null ? null : mailbox(from), { ...as(user), params: {} })),
    header: (lines: readonly string[], user: string | undefined = "anna@example.org") =>
      code(plugin.hooks.header!(headerView(...lines), as(user))),
  };
}

describe("the reverse-path", () => {
  test("is the login itself, whatever the case", async () => {
    const { mail, plugin, edge } = await start();
    assert.equal(mail("anna@example.org"), undefined);
    assert.equal(mail("Anna@EXAMPLE.org"), undefined);
    assert.equal(mail("anna@example.org", "Anna@Example.ORG"), undefined);
    assert.equal(mail("boss@example.org"), 550);
    assert.equal(mail("anna@example.net"), 550);
    assert.equal(mail("anna+x@example.org"), 550);
    assert.equal(mail("anna@example.org", "anna"), 550);
    assert.equal(plugin.hooks.header, undefined);
    assert.equal(edge.counters.get("refused"), 4);
  });

  test("of somebody who has not logged in is not judged", async () => {
    const { mail, header } = await start({ header: true });
    assert.equal((await start()).mail("boss@example.org", ""), 550);
    const { plugin } = await start({ header: true });
    const tx = context(transaction());
    assert.equal(plugin.hooks.mail!(mailbox("a@b.test"), { ...tx, params: {} }), undefined);
    assert.equal(plugin.hooks.header!(headerView("From: a@b.test"), tx), undefined);
    assert.equal(mail("anna@example.org"), undefined);
    assert.equal(header(["From: anna@example.org"]), undefined);
  });

  test("may be null, unless the operator says otherwise", async () => {
    assert.equal((await start()).mail(null), undefined);
    assert.equal((await start({ allow_null: false })).mail(null), 550);
  });

  test("may have a subaddress where that is on", async () => {
    const { mail } = await start({ subaddresses: true });
    assert.equal(mail("anna+news@example.org"), undefined);
    assert.equal(mail("anna+@example.org"), undefined);
    assert.equal(mail("+anna@example.org"), 550);
    assert.equal(mail("annax+@example.org"), 550);
    assert.equal(mail("anna+a@example.org", "anna+a@example.org"), undefined);
  });

  test("is one of the addresses, domains and patterns of the login", async () => {
    const logins = {
      "anna@Example.org": [
        "sales@example.org",
        "@anna.test",
        "*@*.lists.test",
        "team-*@example.org",
      ],
      relay: ["*"],
      bob: ["example.com"],
    };
    const { mail } = await start({ logins, same_as_login: false });
    for (
      const from of ["sales@example.org", "any@anna.test", "a@b.lists.test", "Team-A@example.org"]
    ) {
      assert.equal(mail(from), undefined, from);
    }
    for (
      const from of [
        "anna@example.org",
        "a@lists.test",
        "a@xanna.test",
        "a@sub.anna.test",
        "team@example.org",
      ]
    ) {
      assert.equal(mail(from), 550, from);
    }
    assert.equal(mail("any@where.test", "relay"), undefined);
    assert.equal(mail("x@example.com", "bob"), undefined);
    assert.equal(mail("x@example.org", "carl"), 550);
    for (const user of ["__proto__", "constructor"]) assert.equal(mail("a@b.test", user), 550);
  });

  test("a quoted local part with an @ in it is no other domain's address", async () => {
    const { plugin } = await start({ logins: { anna: ["@example.org"] } });
    const from = {
      address: '"x@example.org"@evil.test',
      local: "x@example.org",
      domain: "evil.test",
      utf8: false,
    };
    const identity = { user: "anna", mechanism: "PLAIN" };
    const tx = context(transaction({ session: session({ identity }) }));
    assert.equal((plugin.hooks.mail!(from, { ...tx, params: {} }) as Refuse).code, 550);
  });
});

describe("the file", () => {
  test("adds to the table, is read again, and told of by line", async () => {
    const content =
      "\ufeff# who\nanna@Example.org: sales@example.org, @anna.test\nbob x@example.com\nnobody\nbob a b@\n";
    const { edge, mail, plugin } = await start(
      { file: "logins.txt", logins: { bob: ["y@example.com"] } },
      { files: { "logins.txt": content } },
    );
    assert.equal(mail("sales@example.org"), undefined);
    assert.equal(mail("x@anna.test"), undefined);
    assert.equal(mail("x@example.com", "bob"), undefined);
    assert.equal(mail("y@example.com", "bob"), undefined);
    assert.deepEqual(
      edge.entries.filter(({ level }) => level === "error").map(({ fields }) => fields["line"]),
      [4, 5],
    );
    await edge.write("logins.txt", "anna@example.org new@example.org\n");
    assert.equal(mail("new@example.org"), undefined);
    assert.equal(mail("sales@example.org"), 550);
    await edge.write("logins.txt", undefined);
    assert.equal(mail("new@example.org"), 451);
    assert.equal(mail(null), undefined);
    await plugin.close?.();
    assert.equal(edge.watchers(), 0);
    await assert.rejects(start({ file: "logins.txt" }, { files: {} }), /logins\.txt/);
  });

  test("lines of one login add up", () => {
    const { owners } = parseOwners("anna a@x.test\nanna b@x.test\n");
    assert.equal(owners.get("anna")?.length, 2);
  });
});

describe("the From field", () => {
  const on = { header: true, logins: { "anna@example.org": ["sales@example.org"] } };

  test("must be the login's, all of its authors and the sender, too", async () => {
    const { header } = await start(on);
    for (
      const lines of [
        ["From: anna@example.org"],
        ["from: Anna <ANNA@example.org>"],
        ['From: "Boss, the" <anna@example.org>'],
        ["From: anna@example.org, Sales <sales@example.org>"],
        ["From: Anna (the one) <anna@example.org> (really)"],
        ["From: =?utf-8?q?Anna?= <anna@example.org>", "Sender: sales@example.org"],
      ]
    ) assert.equal(header(lines), undefined, lines.join(" | "));
    for (
      const lines of [
        [],
        ["Subject: x"],
        ["From: boss@example.org"],
        ["From: anna@example.org, boss@example.org"],
        ["From: anna@example.org", "From: boss@example.org"],
        ["From: anna@example.org", "FROM : boss@example.org"],
        ["From: anna@example.org", "Sender: boss@example.org"],
        ["From: anna@example.org", "Sender: sales@example.org", "Sender: anna@example.org"],
        ["From: boss@example.org <anna@example.org>"],
        ["From: <anna@example.org> <boss@example.org>"],
        ["From: <@evil.test:anna@example.org>"],
        ["From: Team: anna@example.org;"],
        ["From: anna @example.org"],
        ["From: anna@example.org,"],
        ["From: "],
        ["From: Anna"],
        ['From: "anna@example.org" <boss@example.org>'],
        ['From: "Anna <anna@example.org>'],
        ["From: Anna (x <anna@example.org>"],
        ["From: <anna@example.org"],
        ["From: anna@example.org>"],
      ]
    ) assert.equal(header(lines), 550, lines.join(" | "));
  });

  test("R33: no field makes the reader throw, or take long", () => {
    const part = fc.constantFrom(
      "anna",
      "@",
      ".",
      "<",
      ">",
      ",",
      '"',
      "(",
      ")",
      "\\",
      " ",
      "[1]",
      ":",
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string({ maxLength: 4 }))), (parts) => {
        const found = parseFrom(parts.join(""));
        assert.ok(found === undefined || found.length > 0);
      }),
    );
    for (const one of ["(", '"', "<", "a,", "a@b,", "\\", "a.", " "]) {
      parseFrom(one.repeat(8192 / one.length));
      parseFrom(one.repeat(200_000));
    }
    const pattern = parsePattern(`${"*a".repeat(40)}@example.org`)!;
    pattern({ local: "a".repeat(64), domain: "example.org" });
  });
});

test("patterns: what they mean, and what is none", () => {
  const is = (pattern: string, local: string, domain: string) =>
    parsePattern(pattern)!({ local, domain });
  assert.ok(is("a*b*c@x.test", "aXbYc", "x.test"));
  assert.ok(!is("a*b*c@x.test", "abXYc2", "x.test"));
  assert.ok(!is("ab*bc@x.test", "abc", "x.test"));
  assert.ok(is("*.x.test", "any", "a.x.test"));
  assert.ok(!is("*.x.test", "any", "x.test"));
  for (const bad of ["", "a@", "a b@x", "x*y", "a@x\n", "x".repeat(321)]) {
    assert.equal(parsePattern(bad), undefined, bad);
  }
});

test("options say what is wrong and where", async () => {
  assert.deepEqual(await optionFaults(options, { logins: { anna: ["a@"] } }), [
    'logins.anna.0: expected an address such as "anna@example.org", a domain such as "@example.org", or "*", got "a@"',
  ]);
  assert.deepEqual(await optionFaults(options, { alow_null: true }), [
    'alow_null: unknown key "alow_null", did you mean "allow_null"',
  ]);
});
