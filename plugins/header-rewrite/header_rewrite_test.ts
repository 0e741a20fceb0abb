import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { fakeEdge } from "../../tests/support/fake_edge.ts";
import {
  context,
  headerView,
  mailbox,
  optionFaults,
  parseOptions,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import headerRewrite, { type Options, options } from "./mod.ts";
import { longestMatched, patternFault } from "./pattern.ts";

async function start(given: Record<string, unknown>) {
  const edge = fakeEdge();
  const plugin = await headerRewrite(edge, await parseOptions<Options>(options, given));
  const run = (lines: readonly string[], tx = transaction()) => {
    const view = headerView(...lines);
    const answer = plugin.hooks.header!(view, context(tx));
    return { answer, lines: view.result() };
  };
  return { edge, run };
}

describe("edits", () => {
  test("add, at the bottom or on top", async () => {
    const { run } = await start({
      add: [{ name: "X-Edge", value: "postern" }, { name: "X-Top", value: "1", at: "top" }],
    });
    assert.deepEqual(run(["Subject: x"]).lines, ["X-Top: 1", "Subject: x", "X-Edge: postern"]);
  });

  test("add when absent, for the authenticated, for the others", async () => {
    const { run } = await start({
      add: [
        { name: "Subject", value: "none", when: "absent" },
        { name: "X-In", value: "1", when: "authenticated" },
        { name: "X-Out", value: "1", when: "unauthenticated" },
      ],
    });
    assert.deepEqual(run(["subject: x"]).lines, ["subject: x", "X-Out: 1"]);
    const identity = { user: "a", mechanism: "PLAIN" };
    const known = transaction({ session: session({ identity }) });
    assert.deepEqual(run([], known).lines, ["Subject: none", "X-In: 1"]);
  });

  test("remove by name, and by name and pattern", async () => {
    const { run } = await start({
      remove: ["x-mailer", { name: "Received", pattern: "\\b10\\.0\\." }],
    });
    assert.deepEqual(
      run(["Received: from a 10.0.0.1", "X-Mailer: m", "Received: from b", "Received: c 10.0.3.4"])
        .lines,
      ["Received: from b"],
    );
  });

  test("replace a whole value, or the parts that match, one rule after the other", async () => {
    const { run } = await start({
      replace: [
        { name: "Subject", pattern: "^\\[ext\\]\\s*", value: "" },
        { name: "Subject", pattern: "(b)(.)", value: "${2}${1}$$" },
        { name: "Organization", value: "Example" },
      ],
    });
    assert.deepEqual(
      run(["Subject: [EXT] abcabd", "Organization: old", "Organization: older"]).lines,
      ["Subject: acb$adb$", "Organization: Example", "Organization: Example"],
    );
    assert.deepEqual(run(["X: y"]).lines, ["X: y"]);
  });

  test("case counts where asked", async () => {
    const { run } = await start({
      replace: [{ name: "Subject", pattern: "spam", case_sensitive: true, value: "ham" }],
    });
    assert.deepEqual(run(["Subject: SPAM spam"]).lines, ["Subject: SPAM ham"]);
  });

  test("rename every field of a name; a removed one is not replaced", async () => {
    const { run } = await start({
      rename: [{ from: "X-Old", to: "X-New" }],
      remove: ["X-Gone"],
      replace: [{ name: "X-Gone", value: "back" }],
    });
    assert.deepEqual(run(["X-Old: 1", "x-old: 2", "X-Gone: 3"]).lines, ["X-New: 1", "X-New: 2"]);
  });

  test("placeholders", async () => {
    const { run } = await start({
      add: [{
        name: "X-All",
        value:
          "${client_address} ${client_name} ${helo} ${hostname} ${listener} ${tx_id} ${session_id} ${sender} ${score} [${login}]",
      }],
    });
    assert.deepEqual(run([], transaction({ score: 7.25 })).lines, [
      "X-All: 192.0.2.1 unknown client.example.net mx.example.org mx s1.1 s1 sender@example.net 7.3 []",
    ]);
    assert.match(run([], transaction({ from: null })).lines[0]!, / <> 0\.0 /);
  });
});

describe("for whom a rule is", () => {
  const identity = { user: "a", mechanism: "PLAIN" };
  const outbound = transaction({ session: session({ identity, listener: "submission" }) });

  test("direction, listener, several conditions together", async () => {
    const { run } = await start({
      add: [
        { name: "X-Out", value: "1", when: "outbound" },
        { name: "X-Listener", value: "1", listeners: ["submission", "other"] },
        { name: "X-New", value: "1", when: ["absent", "inbound"] },
      ],
      remove: [{ name: "User-Agent", when: "outbound" }],
      replace: [{ name: "Subject", pattern: "^", value: "[EXT] ", when: "inbound" }],
      rename: [{ from: "X-Old", to: "X-Was", when: "inbound" }],
    });
    const lines = ["Subject: s", "User-Agent: u", "X-Old: o"];
    assert.deepEqual(run(lines).lines, [
      "Subject: [EXT] s",
      "User-Agent: u",
      "X-Was: o",
      "X-New: 1",
    ]);
    assert.deepEqual(run(lines, outbound).lines, [
      "Subject: s",
      "X-Old: o",
      "X-Out: 1",
      "X-Listener: 1",
    ]);
    assert.deepEqual(run(["X-New: 0"]).lines, ["X-New: 0"]);
  });

  test("score and symbols", async () => {
    const { run } = await start({
      add: [
        { name: "X-Spam-Flag", value: "YES", min_score: 5 },
        { name: "X-Ham", value: "1", below_score: 5 },
        { name: "X-Uri", value: "${symbols}", symbols: ["URI_A", "URI_B"] },
      ],
      replace: [{ name: "Subject", pattern: "^", value: "[SPAM ${score}] ", min_score: 5 }],
    });
    const spam = transaction({
      score: 4.6 + 0.4,
      symbols: [{ symbol: "X", points: 4.6 }, { symbol: "URI_B", points: 0.4 }],
    });
    assert.deepEqual(run(["Subject: s"], spam).lines, [
      "Subject: [SPAM 5.0] s",
      "X-Spam-Flag: YES",
      "X-Uri: X, URI_B",
    ]);
    assert.deepEqual(run(["Subject: s"]).lines, ["Subject: s", "X-Ham: 1"]);
  });

  test("after the verdict: nothing in header, everything in end, and the body is held", async () => {
    const edge = fakeEdge();
    const given = {
      after_verdict: true,
      add: [{ name: "X-Spam-Score", value: "${score} of ${size}" }],
    };
    const plugin = await headerRewrite(edge, await parseOptions<Options>(options, given));
    assert.equal(plugin.holdBody, true);
    assert.equal(plugin.hooks.header, undefined);
    const tx = transaction({ score: 7, size: 1234 });
    const header = headerView("Subject: x");
    assert.equal(plugin.hooks.end!(tx, { ...context(tx), header }), undefined);
    assert.deepEqual(header.result(), ["Subject: x", "X-Spam-Score: 7.0 of 1234"]);
    assert.equal(plugin.hooks.end!(tx, { ...context(tx), header: undefined }), undefined);
    const plain = await headerRewrite(
      edge,
      await parseOptions<Options>(options, { remove: ["X"] }),
    );
    assert.equal(plain.holdBody, false);
  });
});

describe("names with a star", () => {
  test("are removed, replaced and renamed with what the star stands for", async () => {
    const { run } = await start({
      remove: ["x-spam-*", { name: "X-*-Id", pattern: "^0" }],
      replace: [{ name: "X-Num*", pattern: "[0-9]+", value: "n" }],
      rename: [{ from: "X-Old-*", to: "X-New-*-Was" }],
    });
    assert.deepEqual(
      run([
        "X-Spam-Score: 1",
        "X-Spam: stays",
        "X-A-Id: 01",
        "X-B-Id: 1",
        "X-Number: 12 34",
        "X-Old-Thing: t",
        "x-old-OTHER: o",
      ]).lines,
      [
        "X-Spam: stays",
        "X-B-Id: 1",
        "X-Number: n n",
        "X-New-Thing-Was: t",
        "X-New-OTHER-Was: o",
      ],
    );
  });
});

describe("encoded words", () => {
  const hidden = "=?utf-8?B?R8O8bnN0aWdlIFBpbGxlbg==?=";

  test("patterns see what a reader sees; what did not change stays encoded as it came", async () => {
    const { run } = await start({
      remove: [{ name: "X-Note", pattern: "^G\u00fcnstige" }],
      replace: [{ name: "Subject", pattern: "^", value: "[SPAM] " }],
    });
    assert.deepEqual(run([`Subject: ${hidden}`, `X-Note: ${hidden}`]).lines, [
      `Subject: [SPAM] ${hidden}`,
    ]);
  });

  test("what is written is US-ASCII, unless the message is SMTPUTF8", async () => {
    const { run } = await start({
      add: [{ name: "X-Gruss", value: "Gr\u00fc\u00dfe an ${login}" }],
      replace: [{ name: "Subject", pattern: "pills", value: "\u{1f48a}" }],
    });
    assert.deepEqual(run(["Subject: cheap pills here"]).lines, [
      "Subject: cheap =?UTF-8?B?8J+Sig==?= here",
      "X-Gruss: =?UTF-8?B?R3LDvMOfZQ==?= an ",
    ]);
    assert.deepEqual(
      run(["Subject: cheap pills here"], transaction({ params: { smtputf8: true } })).lines,
      [
        "Subject: cheap \u{1f48a} here",
        "X-Gruss: Gr\u00fc\u00dfe an ",
      ],
    );
  });
});

describe("the envelope", () => {
  async function envelope(given: Record<string, unknown>) {
    const edge = fakeEdge();
    const { hooks } = await headerRewrite(edge, await parseOptions<Options>(options, given));
    const tx = transaction();
    const answer = (verdict: unknown) => {
      const { from, to } = (verdict ?? {}) as { from?: string; to?: readonly string[] };
      return from ?? to?.join(" ");
    };
    return {
      hooks,
      from: (address: string | null, over = tx) =>
        answer(
          hooks.mail!(address === null ? null : mailbox(address), { ...context(over), params: {} }),
        ),
      to: (address: string) =>
        answer(hooks.rcpt!(mailbox(address), { ...context(tx), params: {} })),
    };
  }

  test("domains, with and without a star", async () => {
    const { to, hooks } = await envelope({
      recipients: [
        { domain: "old.test", to_domain: "new.test" },
        { domain: "*.old.test", to_domain: "*.new.test" },
        { domain: "*.many.test", to_domain: "one.test" },
      ],
    });
    assert.equal(hooks.mail, undefined);
    assert.equal(to("A.b@OLD.test"), "A.b@new.test");
    assert.equal(to("a@x.y.old.test"), "a@x.y.new.test");
    assert.equal(to("a@x.many.test"), "a@one.test");
    assert.equal(to('"a@old.test"@x.old.test'), '"a@old.test"@x.new.test');
    for (const other of ["a@many.test", "a@bold.test", "a@old.test.org"]) {
      assert.equal(to(other), undefined);
    }
  });

  test("extensions are stripped; an address is never left without a name", async () => {
    const { to } = await envelope({
      recipients: [{ strip: "+" }, { strip: "-", domain: "b.test" }],
    });
    assert.equal(to("user+news+more@a.test"), "user@a.test");
    assert.equal(to("user-x+y@b.test"), "user@b.test");
    for (const other of ["+x@a.test", '"a+b"@a.test', "u-x@a.test", "user@a+b.test"]) {
      assert.equal(to(other), undefined, other);
    }
  });

  test("patterns, one after the other, for the reverse-path of those it is for; never the null one", async () => {
    const { from } = await envelope({
      reverse_path: [
        { pattern: "^(.*)@internal\\.test$", value: "${1}@example.org", when: "outbound" },
        { pattern: "^root@", value: "postmaster@" },
        { pattern: "^nobody@.*$", value: "" },
      ],
    });
    const identity = { user: "a", mechanism: "PLAIN" };
    const outbound = transaction({ session: session({ identity }) });
    assert.equal(from("root@internal.test", outbound), "postmaster@example.org");
    assert.equal(from("root@internal.test"), "postmaster@internal.test");
    assert.equal(from("nobody@a.test"), "");
    assert.equal(from("a@a.test"), undefined);
    assert.equal(from(null, outbound), undefined);
  });
});

describe("R25: client text in values", () => {
  test("keeps no control characters, and no 8-bit without SMTPUTF8", async () => {
    const { run } = await start({ add: [{ name: "X", value: "${helo}|${sender}" }] });
    const facts = session({ helo: "a\r\nBcc: x\0\x7f" });
    const from = mailbox("j\u00f6@example.net");
    assert.deepEqual(run([], transaction({ session: facts, from })).lines, [
      "X: a??Bcc: x??|j?@example.net",
    ]);
    const params = { smtputf8: true } as const;
    assert.deepEqual(run([], transaction({ from, params })).lines, [
      "X: client.example.net|j\u00f6@example.net",
    ]);
  });

  test("placeholders in client text are text", async () => {
    const { run } = await start({
      replace: [{ name: "Subject", pattern: "x", value: "${helo}" }],
    });
    const facts = session({ helo: "$1$&${tx_id}" });
    assert.deepEqual(run(["Subject: x"], transaction({ session: facts })).lines, [
      "Subject: $1$&${tx_id}",
    ]);
  });
});

describe("DKIM", () => {
  const signature =
    "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; H = From : subject:To:to; b=x";

  test("an edit of a signed field is told, loudly once", async () => {
    const { edge, run } = await start({ replace: [{ name: "Subject", value: "new" }] });
    run([signature, "Subject: old"]);
    run([signature, "Subject: old"]);
    assert.deepEqual(edge.entries.map(({ level, fields }) => [level, fields["field"]]), [
      ["warn", "subject"],
      ["debug", "subject"],
    ]);
    assert.equal(edge.counters.get("broken_signatures"), 2);
  });

  test("an edit that changes nothing, of an unsigned field, or of an unsigned message is not", async () => {
    const { edge, run } = await start({
      replace: [{ name: "Subject", pattern: "y", value: "z" }],
      remove: ["X-Other"],
    });
    run([signature, "Subject: x", "X-Other: 1"]);
    run(["Subject: y"]);
    assert.deepEqual(edge.entries, []);
  });

  test("a field on top breaks only what is signed more often than it stands there", async () => {
    const add = [{ name: "Subject", value: "1", at: "top" }, { name: "To", value: "1", at: "top" }];
    const { edge, run } = await start({ add });
    run([signature, "Subject: x", "To: y"]);
    assert.deepEqual(edge.entries.map(({ fields }) => fields["field"]), ["to"]);
  });

  test("of several fields of a name the lowest are the signed ones", async () => {
    const { edge, run } = await start({ remove: [{ name: "Subject", pattern: "gone" }] });
    run([signature, "Subject: gone", "Subject: x"]);
    assert.deepEqual(edge.entries, []);
    run([signature, "Subject: x", "Subject: gone"]);
    assert.deepEqual(edge.entries.map(({ fields }) => fields["field"]), ["subject"]);
  });

  test("a rename takes a field away, and puts one where it may be signed", async () => {
    const { edge, run } = await start({
      rename: [{ from: "X-Old", to: "To" }, { from: "From", to: "X-From" }],
    });
    run([signature, "From: a", "X-Old: b"]);
    assert.deepEqual(edge.entries.map(({ fields }) => fields["field"]), ["x-old", "from"]);
  });

  test("ARC message signatures count; a signature that is taken out does not", async () => {
    const arc = signature.replace("DKIM", "ARC-Message");
    const given = { remove: ["DKIM-Signature", "Subject"] };
    const { edge, run } = await start(given);
    assert.equal(run([signature, "Subject: x"]).answer, undefined);
    assert.deepEqual(run([arc, "Subject: x"]).answer, {
      verdict: "pass",
      evidence: "breaks a DKIM signature: subject",
    });
    assert.equal(edge.counters.get("broken_signatures"), 1);
  });

  test("signed fields are left alone where asked, and the trace says which", async () => {
    const { edge, run } = await start({
      signed: "keep",
      replace: [{ name: "Subject", value: "new" }, { name: "X-Other", value: "new" }],
      remove: ["From"],
      add: [{ name: "To", value: "x" }, { name: "X-Edge", value: "1" }],
    });
    const { answer, lines } = run([signature, "From: f", "Subject: old", "X-Other: old"]);
    assert.deepEqual(answer, { verdict: "pass", evidence: "left as signed: subject, from, to" });
    assert.deepEqual(lines, [signature, "From: f", "Subject: old", "X-Other: new", "X-Edge: 1"]);
    assert.equal(edge.counters.get("kept_signed"), 3);
    assert.deepEqual(edge.entries, []);
  });

  test("a field at the bottom breaks whatever is signed", async () => {
    const { edge, run } = await start({ add: [{ name: "Subject", value: "1" }] });
    run([signature, "Subject: x"]);
    assert.equal(edge.counters.get("broken_signatures"), 1);
  });
});

describe("R33: patterns", () => {
  test("those that can take more than quadratic time are refused", () => {
    for (
      const bad of [
        "(a+)+$",
        "(a*)*",
        "(?:a|a)*$",
        "(a|aa)+$",
        "(.*)*x",
        "(\\s|a)*b",
        "(a?){30}a{30}",
        "(a?b?)+c",
        "((a{1,9}){1,9}){1,9}",
        "(a{2}){50}",
        "a{1000}",
        "(\\w+\\s?)+$",
        "(a)\\1",
        "(?<n>a)\\k<n>",
        "(?=a)b",
        "(?<!a)b",
        ".*.*x",
        "(.*)<(.*)>",
        "^.*.*.*$",
        "\\s*\\s*x",
        "<.*<[^>]*>",
        "((a|aa))+$",
        "(?:(?:a|aa)c)+(?:(?:(a|b))d){9}",
        "x(a*|b*)c*c*d",
        "a?".repeat(30) + "a".repeat(30),
        "(a|ab)".repeat(30) + "c",
        "x".repeat(501),
        "(",
        "[",
        "\\",
      ]
    ) assert.notEqual(patternFault(bad, "iu"), undefined, bad);
  });

  test("those that people write pass", () => {
    for (
      const good of [
        "spam",
        "^\\[EXT\\]\\s*",
        "\\[.*?\\]",
        "^(.*)<(.*)>$",
        "<[^>]*>",
        "\\b10\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\b",
        "^(?:re|fwd?|aw):\\s*",
        "viagra|cialis",
        "\\s+$",
        "(?:ab)+c",
        "\\p{Lu}{10}",
        "[\\]\\-a]x",
        "^.*$",
        "^.*<[^>]*>",
        "(?<year>\\d{4})-\\d\\d",
        "",
      ]
    ) assert.equal(patternFault(good, "iu"), undefined, good);
  });

  test("the check has an answer for every pattern, and what passes ends on long text", () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(..."ab.*+?{}12,()|[]^$\\<>:=!kp-".split("")),
          maxLength: 60,
        }),
        (source) => {
          const fault = patternFault(source, "iu");
          if (fault !== undefined) return;
          // An exponential one would not come back from this.
          const regexp = new RegExp(source, "iu");
          for (const unit of ["a", "ab", "b", "1", "<"]) {
            regexp.test(unit.repeat(longestMatched / unit.length) + "\u0001");
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("a header made to be slow is refused after a bounded amount of text", async () => {
    const { run } = await start({ remove: [{ name: "X", pattern: "\\[.*?\\]" }] });
    const long = `X: ${"[".repeat(1000)}`;
    assert.equal(run(Array.from({ length: 150 }, () => long)).answer, undefined);
    const { answer, lines } = run(Array.from({ length: 260 }, () => long));
    assert.deepEqual(answer, {
      verdict: "refuse",
      code: 554,
      enhanced: "5.6.0",
      text: "Message header too large to process",
    });
    assert.equal(lines.length, 260);
  });

  test("text behind the first 1,000 characters stays as it is", async () => {
    const { run } = await start({ replace: [{ name: "X", pattern: "a", value: "" }] });
    assert.deepEqual(run([`X: ${"a".repeat(longestMatched)}aba`]).lines, ["X: aba"]);
  });
});

test("R34: field names of object properties are fields like others", async () => {
  const { run } = await start({
    remove: ["__proto__"],
    rename: [{ from: "constructor", to: "X-C" }],
  });
  assert.deepEqual(run(["__proto__: 1", "constructor: 2", "toString: 3"]).lines, [
    "X-C: 2",
    "toString: 3",
  ]);
});

test("options say what is wrong and where", async () => {
  const faults = (given: unknown) => optionFaults(options, given);
  assert.deepEqual(await faults({}), []);
  assert.deepEqual(await faults({ add: [{ name: "X Y", value: "" }] }), [
    'add.0.name: expected a header field name, got "X Y"',
  ]);
  assert.deepEqual(await faults({ add: [{ name: "X", value: "${hello}" }] }), [
    'add.0: unknown placeholder "hello", did you mean "helo"',
  ]);
  assert.deepEqual(await faults({ add: [{ name: "X", value: "5$" }] }), [
    "add.0: a dollar sign is written $$, a placeholder ${name}",
  ]);
  assert.deepEqual(await faults({ replace: [{ name: "X", pattern: "(a)", value: "${2}" }] }), [
    "replace.0: the pattern has no group 2",
  ]);
  assert.deepEqual(await faults({ replace: [{ name: "X", pattern: "(a+)+", value: "" }] }), [
    "replace.0: pattern refused: a repeat inside a repeat",
  ]);
  assert.deepEqual(await faults({ remove: [{ name: "X", pattern: "(a+)+" }] }), [
    "remove.0: pattern refused: a repeat inside a repeat",
  ]);
  assert.deepEqual(await faults({ remove: [{ name: "X", patern: "a" }] }), [
    'remove.0: unknown key "patern", did you mean "pattern"',
  ]);
  assert.deepEqual(await faults({ remove: [7] }), [
    "remove.0: expected a header field name or { name, pattern }, got 7",
  ]);
  assert.deepEqual(await faults({ remove: ["X-*-*"] }), ["remove.0: expected one star at most"]);
  assert.deepEqual(await faults({ remove: [{ name: "X-*" }] }), [
    "remove.0.name: expected at least three characters beside the star",
  ]);
  assert.deepEqual(await faults({ rename: [{ from: "X-Old-*", to: "X-New" }] }), [
    'rename.0: many fields cannot get one name: expected a star in "to"',
  ]);
  assert.deepEqual(
    await faults({ add: [{ name: "X", value: "", when: ["inbound", "outbound"] }] }),
    [
      "add.0: no message is inbound and outbound",
    ],
  );
  assert.deepEqual(await faults({ replace: [{ name: "X", value: "", when: "absent" }] }), [
    'replace.0: "absent" is for fields that are added',
  ]);
  assert.deepEqual(
    await faults({ add: [{ name: "X", value: "", min_score: 5, below_score: 5 }] }),
    ["add.0: no score is at least min_score and below below_score"],
  );
  assert.deepEqual(await faults({ recipients: [{ strip: "+", to_domain: "a.test" }] }), [
    "recipients.0: expected one of { pattern, value }, { domain, to_domain } and { strip }",
  ]);
  assert.deepEqual(await faults({ recipients: [{ domain: "a.test", to_domain: "*.b.test" }] }), [
    'recipients.0: to_domain has a "*." that domain has not',
  ]);
  assert.deepEqual(await faults({ reverse_path: [{ pattern: "(a+)+", value: "" }] }), [
    "reverse_path.0: pattern refused: a repeat inside a repeat",
  ]);
  assert.deepEqual(await faults({ ad: [] }), ['ad: unknown key "ad", did you mean "add"']);
});
