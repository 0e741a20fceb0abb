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
    "remove.0: expected a value, got nothing",
  ]);
  assert.deepEqual(await faults({ remove: [7] }), [
    "remove.0: expected a header field name or { name, pattern }, got 7",
  ]);
  assert.deepEqual(await faults({ ad: [] }), ['ad: unknown key "ad", did you mean "add"']);
});
