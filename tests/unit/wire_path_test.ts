/** Paths and mailboxes (RFC 5321 sections 4.1.2 and 4.1.3, RFC 6531 section 3.3). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  formatPath,
  type Mailbox,
  parseForwardPath,
  parseMailbox,
  parseReversePath,
} from "../../src/wire/path.ts";

/** The mailbox as `local|domain|address`, or undefined. */
function shown(mailbox: Mailbox | null | undefined): string | undefined {
  return mailbox ? `${mailbox.local}|${mailbox.domain}|${mailbox.address}` : undefined;
}

describe("parseMailbox", () => {
  test("gives local part, domain and canonical address", () => {
    const table: [string, string][] = [
      ["a@b.test", "a|b.test|a@b.test"],
      ["A.b@B.Test", "A.b|b.test|A.b@B.Test"],
      ['"ab"@x.test', "ab|x.test|ab@x.test"],
      ['"a b"@x.test', 'a b|x.test|"a b"@x.test'],
      ['"a\\b\\"c"@x.test', 'ab"c|x.test|"ab\\"c"@x.test'],
      ['"a\\\\b"@x.test', 'a\\b|x.test|"a\\\\b"@x.test'],
      ['"a..b"@x.test', 'a..b|x.test|"a..b"@x.test'],
      ["!#$%&'*+-/=?^_`{|}~@x.test", "!#$%&'*+-/=?^_`{|}~|x.test|!#$%&'*+-/=?^_`{|}~@x.test"],
      ["a@[192.0.2.1]", "a|[192.0.2.1]|a@[192.0.2.1]"],
      ["a@[IPv6:2001:DB8::1]", "a|[ipv6:2001:db8::1]|a@[IPv6:2001:DB8::1]"],
      ["a@[x400:c=de]", "a|[x400:c=de]|a@[x400:c=de]"],
      ["a@host", "a|host|a@host"],
      ["a@my_host.test", "a|my_host.test|a@my_host.test"],
      ["a@xn--bcher-kva.test", "a|xn--bcher-kva.test|a@xn--bcher-kva.test"],
      ["j\u00f6rg@B\u00dcCHER.test", "j\u00f6rg|b\u00fccher.test|j\u00f6rg@B\u00dcCHER.test"],
      [
        "\u7528\u6237@\u4f8b\u5b50.test",
        "\u7528\u6237|\u4f8b\u5b50.test|\u7528\u6237@\u4f8b\u5b50.test",
      ],
    ];
    for (const [text, expected] of table) assert.equal(shown(parseMailbox(text)), expected, text);
  });

  test("tells what needs SMTPUTF8", () => {
    assert.equal(parseMailbox("a@b.test")?.utf8, false);
    assert.equal(parseMailbox("\u00e4@b.test")?.utf8, true);
    assert.equal(parseMailbox("a@\u00e4.test")?.utf8, true);
  });

  test("R19, R21: refuses what is no mailbox", () => {
    const bad = [
      "",
      "@",
      "a",
      "a@",
      "@b.test",
      "a@@b.test",
      "a@b@c.test",
      "a@b.test.",
      "a@.b.test",
      "a@b..test",
      "a@-b.test",
      "a@b-.test",
      "a@b.test ",
      " a@b.test",
      "a b@c.test",
      ".a@b.test",
      "a.@b.test",
      "a..b@c.test",
      "a@192.0.2.1",
      "a@b.42",
      "a@[192.0.2.01]",
      "a@[192.0.2]",
      "a@[::1]",
      "a@[IPv6:fe80::1%eth0]",
      "a@[IPv6:1:2:3:4:5:6:7]",
      "a@[IPv6::::]",
      "a@[tag:]",
      "a@[]",
      "a@[192.0.2.1",
      '"a@b.test',
      'a"b"@c.test',
      '"a"b@c.test',
      '"a""b"@c.test',
      '""@b.test',
      '"a\\"@b.test',
      '"a\\\u00e4"@b.test',
      "<a@b.test>",
      "a@b.test>",
      "a@b.test(x)",
      "a@b.test;c",
      "a\u0000@b.test",
      '"a\tb"@c.test',
      '"a\r\nb"@c.test',
      "a\u0085@b.test",
      "a@b\u007f.test",
      "\ud800@b.test",
      `a@${"x".repeat(64)}.test`,
      `${"x".repeat(65)}@b.test`,
      `${"\u00e4".repeat(33)}@b.test`,
      `a@${"x.".repeat(127)}test`,
    ];
    for (const text of bad) assert.equal(parseMailbox(text), undefined, JSON.stringify(text));
  });

  test("R19: refuses domains that a mapping turns into another one", () => {
    const bad = [
      "a@evil.test\uff0egood.test",
      "a@evil.test\u3002good.test",
      "a@evil.test\uff61good.test",
      "a@good\u200b.test",
      "a@good.test\u00ad",
      "a@\u212aelvin.test",
      "a@\uff41.test",
      "a@\u2460.test",
      "a@\ufb01sh.test",
      "a@b\u0308ad\u0061\u0308.test",
      "a@good\u2024test",
      "a@b\u202e.test",
      "a@\u00a0b.test",
    ];
    for (const text of bad) assert.equal(parseMailbox(text), undefined, JSON.stringify(text));
  });

  test("R19: the nodemailer 7.0.7 address goes to the domain behind the last @, quoted", () => {
    const mailbox = parseMailbox('"xclow3n@gmail.com x"@internal.domain');
    assert.equal(mailbox?.local, "xclow3n@gmail.com x");
    assert.equal(mailbox?.domain, "internal.domain");
    assert.equal(mailbox?.address, '"xclow3n@gmail.com x"@internal.domain');
  });

  test("R19: a local part that looks like an address stays a local part", () => {
    const table: [string, string, string][] = [
      ["user%evil.test@good.test", "user%evil.test", "good.test"],
      ["evil.test!user@good.test", "evil.test!user", "good.test"],
      ['"user@evil.test"@good.test', "user@evil.test", "good.test"],
      ['"a@b.test> SIZE=1"@good.test', "a@b.test> SIZE=1", "good.test"],
      ["a@good.test.evil.test", "a", "good.test.evil.test"],
      ["a@evilgood.test", "a", "evilgood.test"],
    ];
    for (const [text, local, domain] of table) {
      const mailbox = parseMailbox(text);
      assert.equal(mailbox?.local, local);
      assert.equal(mailbox?.domain, domain);
      assert.equal(mailbox?.address, text);
    }
  });

  test("R33: long input costs linear time", () => {
    const n = 200_000;
    for (const part of ["a", "a.", "\\a", '"', "@a,", "a-", "\u00e4", "[", "\\"]) {
      const text = part.repeat(n);
      assert.equal(parseMailbox(text), undefined);
      assert.equal(parseMailbox('"' + text), undefined);
      assert.equal(parseMailbox("a@" + text), undefined);
      assert.equal(parseReversePath("<@" + text).ok, false);
    }
  });
});

describe("parseReversePath and parseForwardPath", () => {
  test("R20: the null path is a reverse-path only", () => {
    assert.deepEqual(parseReversePath("<> SIZE=1"), { ok: true, value: null, rest: " SIZE=1" });
    assert.equal(parseForwardPath("<>").ok, false);
  });

  test("R20: postmaster without a domain is a forward-path only", () => {
    assert.deepEqual(parseForwardPath("<PostMaster> X"), {
      ok: true,
      value: { address: "PostMaster", local: "PostMaster", domain: "", utf8: false },
      rest: " X",
    });
    assert.equal(parseReversePath("<postmaster>").ok, false);
    assert.equal(parseForwardPath("<postmaster2>").ok, false);
    assert.equal(parseForwardPath("<po\u017ftmaster>").ok, false);
  });

  test("R19: a source route is read over, and only a whole one", () => {
    for (const route of ["@a.test:", "@a.test,@b.test:", "@[192.0.2.1],@b.test:"]) {
      const path = parseForwardPath(`<${route}c@d.test>`);
      assert.equal(path.ok && shown(path.value), "c|d.test|c@d.test", route);
    }
    for (const route of ["@a.test", "@a.test,", "@a.test,:", "a.test:", "@:", "@a.test,b.test:"]) {
      assert.equal(parseForwardPath(`<${route}c@d.test>`).ok, false, route);
    }
  });

  test("R19: the first > outside a quoted string ends the path", () => {
    const path = parseForwardPath('<"a>b"@c.test> X=<d>');
    assert.ok(path.ok);
    assert.equal(shown(path.value), 'a>b|c.test|"a>b"@c.test');
    assert.equal(path.rest, " X=<d>");
  });

  test("R22: formatPath writes what was parsed and refuses what no parser made", () => {
    assert.equal(formatPath(null), "<>");
    const mailbox = parseMailbox('"ab"@x.test');
    assert.ok(mailbox);
    assert.equal(formatPath(mailbox), "<ab@x.test>");
    const forged = { ...mailbox, address: "a@b>\r\nDATA" };
    assert.throws(() => formatPath(forged), TypeError);
  });
});
