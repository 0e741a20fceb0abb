import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import type { Score, TransactionFacts } from "@postern/postern/plugin";
import { fakeEdge, noon } from "../../tests/support/fake_edge.ts";
import {
  context,
  headerView,
  mailbox,
  optionFaults,
  parseOptions,
  recipient,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import { organisation, parseAddresses } from "./addresses.ts";
import { parseDate } from "./dates.ts";
import { testString, TestStringFinder } from "./gtube.ts";
import spamScore, { type Options, options } from "./mod.ts";
import { allRules, bodyRules, envelopeRules, headerRules, testRule } from "./rules.ts";
import { decodeWords } from "./words.ts";

const ham = [
  "Received: from a.example.net by client.example.net; Thu, 15 Jan 2026 11:59:59 +0000",
  "From: Sam Sender <sender@example.net>",
  "To: rcpt@example.org",
  "Date: Thu, 15 Jan 2026 12:59:58 +0100",
  "Message-ID: <1@example.net>",
  "Subject: The minutes of Monday's meeting",
  "MIME-Version: 1.0",
  "Content-Type: text/plain; charset=utf-8",
];

/** The good message with some fields changed; null takes one out. */
function message(changes: Record<string, string | null> = {}, ...more: string[]): string[] {
  const kept = ham.filter((line) => !Object.hasOwn(changes, line.slice(0, line.indexOf(":"))));
  const added = Object.entries(changes).filter(([, value]) => value !== null);
  return [...kept, ...added.map(([name, value]) => `${name}: ${value}`), ...more];
}

async function start(over: Record<string, unknown> = {}) {
  const edge = fakeEdge();
  const plugin = await spamScore(edge, await parseOptions<Options>(options, over));
  const { hooks } = plugin;
  const data = (facts: Partial<TransactionFacts> = {}) => {
    const tx = transaction(facts);
    return (hooks.data!(tx, context(tx)) ?? []) as readonly Score[];
  };
  const header = (lines: readonly string[], facts: Partial<TransactionFacts> = {}) => {
    const view = headerView(...lines);
    const scores = (hooks.header!(view, context(transaction(facts))) ?? []) as readonly Score[];
    return { scores, lines: view.result(), added: view.result().slice(-3) };
  };
  return { edge, hooks, data, header };
}

const symbols = (scores: readonly Score[]) => scores.map(({ symbol }) => symbol);

describe("HELO and envelope", () => {
  const helo = (name: string) => ({ session: session({ helo: name }) });
  const cases: readonly [string, Partial<TransactionFacts>][] = [
    ["HELO_BARE_IP", helo("192.0.2.1")],
    ["HELO_LITERAL", helo("[192.0.2.1]")],
    ["HELO_LITERAL HELO_LITERAL_FORGED", helo("[198.51.100.9]")],
    ["HELO_LITERAL HELO_LITERAL_FORGED", helo("[IPv6:2001:db8::1]")],
    ["HELO_IS_US", helo("MX.example.org")],
    ["HELO_LOCAL_NAME", helo("localhost")],
    ["HELO_LOCAL_NAME", helo("pc.local")],
    ["HELO_NO_DOT", helo("friend")],
    ["HELO_BAD_NAME", helo("a!b.example")],
    ["", helo("my_host.example.net")],
    ["", {}],
    ["NULL_SENDER_MANY_RECIPIENTS", {
      from: null,
      recipients: [recipient("a@example.org"), recipient("b@example.org")],
    }],
    ["", { from: null }],
    ["MANY_RECIPIENTS", {
      recipients: Array.from({ length: 50 }, (_, i) => recipient(`a${i}@example.org`)),
    }],
    ["SENDER_NO_DOT", { from: mailbox("a@localhost") }],
    ["SENDER_IS_RECIPIENT", { from: mailbox("RCPT@example.org") }],
  ];
  for (const [expected, facts] of cases) {
    test(`${expected || "nothing"}: ${facts.session?.helo ?? JSON.stringify(facts).slice(0, 60)}`, async () => {
      const { data } = await start();
      assert.equal(symbols(data(facts)).join(" "), expected);
    });
  }

  test("an IPv6 literal that is right is not forged", async () => {
    const { data } = await start();
    const facts = session({
      helo: "[IPv6:2001:db8:0::1]",
      remote: { address: "2001:db8::1", port: 1 },
    });
    assert.deepEqual(symbols(data({ session: facts })), ["HELO_LITERAL"]);
  });
});

describe("header", () => {
  const name = (text: string) => `=?utf-8?B?${btoa(text)}?= <x@spam.test>`;
  const cases: readonly [string, string[]][] = [
    ["", message()],
    ["MISSING_FROM", message({ From: null })],
    ["BAD_FROM", message({ From: "Somebody" })],
    ["DUPLICATE_FIELD", message({}, "Subject: again")],
    ["DUPLICATE_FIELD", message({}, "from: sender@example.net")],
    ["FROM_SEVERAL", message({ From: "a@example.net, b@example.net" })],
    ["", message({ From: "a@example.net, b@example.net", Sender: "a@example.net" })],
    ["FROM_NAME_ADDRESS", message({ From: '"boss@bank.test" <sender@example.net>' })],
    ["", message({ From: '"sender@mail.example.net" <sender@example.net>' })],
    ["FROM_NAME_ADDRESS FROM_ENVELOPE_DIFFER", message({ From: name("boss@bank.test") })],
    ["FROM_ENVELOPE_DIFFER", message({ From: "x@other.test" })],
    ["", message({ From: "x@other.test", "List-Id": "<l.example.net>" })],
    ["", message({ From: "x@www.example.net" })],
    ["FROM_NO_DOT FROM_ENVELOPE_DIFFER", message({ From: "x@localhost" })],
    ["FROM_LOCAL_DIGITS", message({ From: "sam49281@example.net" })],
    ["FROM_IS_TO", message({ From: "a@example.net", To: "A@example.net" })],
    ["DATE_WRONG_WEEKDAY", message({ Date: "Mon, 15 Jan 2026 12:59:58 +0100" })],
    ["", message({ Date: "15 Jan 2026 12:59:58 +0100" })],
    ["DATE_BAD_ZONE", message({ Date: "Fri, 16 Jan 2026 06:59:58 +1900" })],
    ["DATE_RECEIVED_DIFFER", message({ Date: "Thu, 8 Jan 2026 12:00:00 +0000" })],
    ["MESSAGE_ID_LOCAL", message({ "Message-ID": "<1@localhost.localdomain>" })],
    ["SUBJECT_GAP", message({ Subject: "Make friends          qx7731" })],
    ["SUBJECT_MONEY", message({ Subject: "Earn $ 5,000 a week" })],
    ["SUBJECT_NEEDLESS_ENCODING", message({ Subject: `=?utf-8?B?${btoa("Hello you")}?=` })],
    ["PRIORITY_URGENT", message({}, "X-Priority: 1 (Highest)")],
    ["PRIORITY_URGENT", message({}, "Importance: High")],
    ["REPLY_TO_FREEMAIL", message({ "Reply-To": "Sam <sam@gmail.com>" })],
    ["", message({ "Reply-To": "sam@elsewhere.test" })],
    ["MISSING_DATE", message({ Date: null })],
    ["BAD_DATE", message({ Date: "yesterday" })],
    ["DATE_IN_FUTURE DATE_RECEIVED_DIFFER", message({ Date: "Fri, 16 Jan 2026 12:00:01 +0000" })],
    ["", message({ Date: "Fri, 16 Jan 2026 11:59:59 +0000" })],
    ["DATE_IN_PAST DATE_RECEIVED_DIFFER", message({ Date: "1 Jan 2025 00:00 GMT" })],
    ["MISSING_MESSAGE_ID", message({ "Message-ID": null })],
    ["BAD_MESSAGE_ID", message({ "Message-ID": "1@example.net" })],
    ["MISSING_SUBJECT", message({ Subject: null })],
    ["MISSING_SUBJECT", message({ Subject: " " })],
    ["SUBJECT_ALL_CAPS", message({ Subject: "MAKE MONEY FAST" })],
    ["SUBJECT_ALL_CAPS", message({ Subject: `=?utf-8?Q?BUY_NOW_=C3=84PFEL?=` })],
    ["", message({ Subject: "RFC 5321 IN USE" + "x" })],
    ["", message({ Subject: "INVOICE20260115" })],
    ["SUBJECT_PUNCTUATION", message({ Subject: "Win now!!!!" })],
    ["SUBJECT_FAKE_REPLY", message({ Subject: "Re: your order" })],
    ["", message({ Subject: "Re: your order", References: "<0@example.net>" })],
    ["UNDISCLOSED_RECIPIENTS", message({ To: null })],
    ["UNDISCLOSED_RECIPIENTS", message({ To: "undisclosed-recipients:;" })],
    ["MIME_WITHOUT_VERSION", message({ "MIME-Version": null })],
    ["NO_TRACE_OF_ORIGIN", message({ Received: null, "MIME-Version": null, "Content-Type": null })],
    ["RAW_8BIT_HEADER", message({ Subject: "Gr\u00fc\u00dfe an alle" })],
    ["LONG_FIELD", message({ "X-Long": "x".repeat(8001) })],
    ["", message({ References: "<a@b> ".repeat(2000) })],
  ];
  for (const [expected, lines] of cases) {
    test(`${expected || "nothing"}: ${lines.at(-1)!.slice(0, 50)}`, async () => {
      const { header } = await start();
      assert.equal(symbols(header(lines).scores).join(" "), expected);
    });
  }

  test("every rule has a case that meets it, a unique symbol, points, and a line in the README", async () => {
    const met = new Set<string>();
    for (const [expected] of cases) expected.split(" ").forEach((symbol) => met.add(symbol));
    assert.deepEqual(headerRules.map(({ symbol }) => symbol).filter((s) => !met.has(s)), []);
    assert.ok(envelopeRules.length + headerRules.length + bodyRules.length >= 60);
    const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
    for (const { symbol, points, description } of allRules) {
      assert.match(symbol, /^[A-Z0-9_]+$/);
      assert.ok(Number.isFinite(points) && points !== 0);
      assert.match(readme, new RegExp(`\\| \`${symbol}\` +\\| ${points} +\\|`), symbol);
      assert.ok(readme.includes(description), description);
    }
    assert.equal(new Set(allRules.map(({ symbol }) => symbol)).size, allRules.length);
    assert.deepEqual(await optionFaults(options, { weights: { GTUBE: 1 } }), []);
  });

  test("8-bit is right with SMTPUTF8", async () => {
    const { header } = await start();
    const lines = message({ Subject: "Gr\u00fc\u00dfe an alle" });
    assert.deepEqual(header(lines, { params: { smtputf8: true } }).scores, []);
  });

  test("mail programs of authenticated users are not strangers", async () => {
    const { data, header } = await start();
    const known = session({ helo: "[10.0.0.9]", identity: { user: "a", mechanism: "PLAIN" } });
    assert.deepEqual(data({ session: known }), []);
    const lines = message({ Date: null, "Message-ID": null, Received: null });
    assert.deepEqual(header(lines, { session: known }).scores, []);
  });

  test("weights move points, and zero switches a rule off", async () => {
    const { header } = await start({ weights: { MISSING_DATE: 0, MISSING_SUBJECT: 4.5 } });
    assert.deepEqual(header(message({ Date: null, Subject: null })).scores, [
      { verdict: "score", points: 4.5, symbol: "MISSING_SUBJECT" },
    ]);
  });
});

describe("tagging", () => {
  test("at and above the threshold, over the points of all plugins", async () => {
    const { header } = await start({ tag_at: 5 });
    const facts = { score: 4.2, symbols: [{ symbol: "RBL", points: 4.2 }] };
    assert.deepEqual(header(message({ Subject: null }), facts).added, [
      "X-Spam-Score: 5.0",
      "X-Spam-Flag: YES",
      "X-Spam-Status: Yes, score=5.0 required=5.0 tests=RBL,MISSING_SUBJECT",
    ]);
  });

  test("below it the status says No", async () => {
    const { header } = await start({ tag_at: 5 });
    const { lines } = header(message());
    assert.deepEqual(lines, [...message(), "X-Spam-Status: No, score=0.0 required=5.0 tests=none"]);
  });

  test("fields that came with the message are forged and go, with and without a threshold", async () => {
    const forged = message({}, "X-Spam-Flag: NO", "x-spam-level: ", "X-SPAM-STATUS: No");
    assert.deepEqual((await start({ refuse_at: 15 })).header(forged).lines, message());
    assert.deepEqual((await start({ tag_at: 5 })).header(forged).lines, [
      ...message(),
      "X-Spam-Status: No, score=0.0 required=5.0 tests=none",
    ]);
    const own = await start({ tag_header: "X-Edge", refuse_at: 15 });
    assert.deepEqual(
      own.header(message({}, "X-Edge-Flag: NO", "X-Spam-Flag: NO")).lines,
      message(),
    );
  });
});

describe("the end", () => {
  const end = async (
    given: Record<string, unknown>,
    facts: Partial<TransactionFacts>,
    ...body: string[]
  ) => {
    const { edge, hooks } = await start(given);
    const tx = transaction(facts);
    hooks.header!(headerView(...message()), context(tx));
    for (const part of body.length === 0 ? ["Hello\r\n"] : body) {
      hooks.body!.observe!(new TextEncoder().encode(part), context(tx));
    }
    return { edge, answer: hooks.end!(tx, context(tx)) };
  };
  const refused = (evidence: string) => ({
    verdict: "refuse",
    code: 550,
    enhanced: "5.7.1",
    text: "Message refused as spam",
    evidence,
  });
  const scored = { verdict: "score", points: 1000, symbol: "GTUBE" };

  test("refuses at and above the threshold, with a text that says nothing more", async () => {
    const { edge, answer } = await end({ refuse_at: 15 }, {
      score: 15,
      symbols: [{ symbol: "A", points: 15 }],
    });
    assert.deepEqual(answer, refused("15.0 points, threshold 15"));
    assert.equal(edge.entries[0]!.fields["symbols"], "A");
    assert.equal((await end({ refuse_at: 15 }, { score: 14.9 })).answer, undefined);
    assert.equal((await end({ tag_at: 5 }, { score: 1e6 })).answer, undefined);
  });

  test("without any threshold written, 5 tags and 15 refuses", async () => {
    assert.deepEqual((await end({}, { score: 15 })).answer, refused("15.0 points, threshold 15"));
    assert.equal((await end({}, { score: 14.9 })).answer, undefined);
    assert.match(
      (await start()).header(message(), { score: 5 }).lines.at(-1)!,
      /^X-Spam-Status: Yes/,
    );
  });

  test("defers between the thresholds", async () => {
    const given = { defer_at: 8, refuse_at: 15 };
    const answer = (await end(given, { score: 8 })).answer as { code: number; enhanced: string };
    assert.deepEqual([answer.code, answer.enhanced], [451, "4.7.1"]);
    assert.deepEqual(
      (await end(given, { score: 15 })).answer,
      refused("15.0 points, threshold 15"),
    );
  });

  test("sums of decimal fractions reach a round threshold", async () => {
    assert.deepEqual(
      (await end({ refuse_at: 0.3 }, { score: 0.1 + 0.1 + 0.1 - 1e-12 })).answer,
      refused("0.3 points, threshold 0.3"),
    );
  });

  test("the test string refuses, or gives its points where nothing refuses", async () => {
    const body = `Hello\r\n\r\n${testString}\r\n`;
    // The points stand in the trace beside the refusal.
    assert.deepEqual((await end({ refuse_at: 15 }, {}, body)).answer, [
      scored,
      refused("1000.0 points, threshold 15"),
    ]);
    assert.deepEqual((await end({ tag_at: 5 }, {}, body)).answer, [scored]);
    assert.equal((await end({ refuse_at: 15 }, {}, "Hello\r\n")).answer, undefined);
    const off = Object.fromEntries([...bodyRules, testRule].map(({ symbol }) => [symbol, 0]));
    assert.equal((await start({ weights: off })).hooks.body, undefined);
  });

  test("one transaction's body says nothing of another's", async () => {
    const { hooks } = await start({ refuse_at: 15 });
    const [spam, good] = [transaction({ id: "s1.1" }), transaction({ id: "s1.2" })];
    for (const tx of [spam, good]) hooks.header!(headerView(...message()), context(tx));
    hooks.body!.observe!(new TextEncoder().encode("Good day"), context(good));
    hooks.body!.observe!(new TextEncoder().encode(testString), context(spam));
    assert.equal(hooks.end!(good, context(good)), undefined);
    assert.deepEqual(hooks.end!(spam, context(spam)), [
      scored,
      refused("1000.0 points, threshold 15"),
    ]);
  });
});

describe("the test string", () => {
  const found = (parts: readonly Uint8Array[]) => {
    const finder = new TestStringFinder();
    for (const part of parts) finder.feed(part);
    return finder.found;
  };
  const pieces = (octets: Uint8Array, sizes: readonly number[]) => {
    const parts: Uint8Array[] = [];
    for (let at = 0, i = 0; at < octets.length; i++) {
      const size = sizes[i % sizes.length]!;
      parts.push(octets.slice(at, at + size));
      at += size;
    }
    return parts;
  };
  const text = (string: string) => new TextEncoder().encode(string);

  test("is 68 octets, and stands in none of our files in one piece", () => {
    assert.equal(testString.length, 68);
    for (const file of ["gtube.ts", "README.md", "spam_score_test.ts", "rules.ts"]) {
      assert.ok(!readFileSync(new URL(file, import.meta.url), "utf8").includes(testString), file);
    }
  });

  test("is found at any place, for any cut, and nothing like it is", () => {
    const noise = fc.string({ unit: fc.constantFrom(..."XJS*C4.G\n"), maxLength: 150 });
    const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(noise, noise, cuts, (before, after, sizes) => {
        assert.ok(found(pieces(text(before + testString + after), sizes)));
        const damaged = `${testString.slice(0, 30)}x${testString.slice(31)}`;
        assert.ok(!found(pieces(text(before + damaged + after), sizes)));
        assert.ok(
          !found(pieces(text(before + testString.slice(1) + after), sizes)) ||
            before.endsWith("X"),
        );
      }),
    );
  });

  test("the chunk is not kept: the host may reuse it", () => {
    const finder = new TestStringFinder();
    const buffer = new Uint8Array(40);
    for (const part of pieces(text(testString), [40])) {
      buffer.set(part);
      finder.feed(buffer.subarray(0, part.length));
      buffer.fill(0);
    }
    assert.ok(finder.found);
  });

  test("is not looked for behind the first MiB", () => {
    const mib = new Uint8Array(1024 * 1024).fill(65);
    assert.ok(!found([mib, text(testString)]));
    assert.ok(found([mib.subarray(1000), text(testString)]));
  });
});

describe("readers", () => {
  test("dates with weekday, comments, obsolete zones and years", () => {
    assert.equal(parseDate("Thu, 15 Jan 2026 12:00:00 +0000"), noon);
    assert.equal(parseDate("15 Jan 26 07:00 EST (a (nested) comment)"), noon);
    assert.equal(parseDate("Thu,15 jan 126 17:30:00 +0530"), noon);
    for (
      const bad of [
        "",
        "x",
        "31 Feb 2026 12:00 +0000",
        "15 Foo 2026 12:00",
        "15 Jan 2026 24:00 +0000",
        "15 Jan 2026 12:60 +0000",
        "15 Jan 2026 12:00 +0060",
        "2026-01-15T12:00:00Z",
        "__proto__",
      ]
    ) {
      assert.equal(parseDate(bad), undefined, bad);
    }
  });

  test("address lists: names, quotes, comments, groups, routes", () => {
    assert.deepEqual(parseAddresses('"A, B" <a@b>, (c) c@d (x), e f <@r:g@h>, team: i@j, k@l;'), [
      { name: "A, B", address: "a@b" },
      { name: "", address: "c@d" },
      { name: "e f", address: "g@h" },
      { name: "", address: "i@j" },
      { name: "", address: "k@l" },
    ]);
    assert.deepEqual(parseAddresses(""), []);
    assert.deepEqual(parseAddresses("A b <c@d> "), [{ name: "A b", address: "c@d" }]);
    assert.deepEqual(parseAddresses("c@d"), [{ name: "", address: "c@d" }]);
    assert.equal(organisation("a.b.example.co.uk"), "example.co.uk");
    assert.equal(organisation("mail.example.org"), "example.org");
  });

  test("the short way through an address list gives what the long way gives", () => {
    const unit = fc.constantFrom(..."ab@. <>\t".split(""));
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 20 }), (text) => {
        // An empty comment changes nothing, but needs the long way.
        assert.deepEqual(parseAddresses(text), parseAddresses(`()${text}`));
      }),
      { numRuns: 1000 },
    );
  });

  test("encoded words", () => {
    assert.equal(decodeWords("=?iso-8859-1?Q?a=E9_b?= =?UTF-8?b?w6k=?= c"), "a\u00e9 b\u00e9 c");
    for (const odd of ["=?x-none?Q?a?=", "=?utf-8?B?!!?=", "=?utf-8?Q?", "plain"]) {
      assert.equal(decodeWords(odd), odd);
    }
  });

  test("R33: no text makes them fail, and what they look at is bounded", async () => {
    const { header } = await start({ tag_at: 5 });
    const unit = fc.constantFrom(...'<>@"\\(),:;=?_BbQq utf-8!$RE\u00e9\t'.split(""));
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 300 }), (text) => {
        header(
          ["From", "To", "Reply-To", "Date", "Message-ID", "Subject"].map((n) => `${n}: ${text}`),
        );
        parseAddresses(text);
        parseDate(text);
        decodeWords(text);
      }),
    );
    for (const unit of ["(", '"', "<", "a,", "@", "=?utf-8?Q?", "?= ", "\\", ".", "!"]) {
      header(
        ["From", "Reply-To", "Date", "Message-ID", "Subject"].map((n) =>
          `${n}: ${unit.repeat(50_000)}`
        ),
      );
    }
  });

  test("R34: field names and symbols of object properties are nothing special", async () => {
    const { header } = await start({ refuse_at: 15 });
    const lines = message({}, "__proto__: x", "constructor: y", "toString: z");
    assert.deepEqual(header(lines).scores, []);
    assert.deepEqual(header(lines).lines, lines);
  });
});

test("options say what is wrong and where", async () => {
  const faults = (given: unknown) => optionFaults(options, given);
  assert.deepEqual(await faults({ tag_at: 5, refuse_at: 15 }), []);
  assert.deepEqual(await faults({ tag_at: "5" }), ['tag_at: expected a number, got "5"']);
  assert.deepEqual(await faults({ refuse: 5 }), [
    'refuse: unknown key "refuse", did you mean "refuse_at"',
  ]);
  assert.deepEqual(await faults({ weights: { MISING_DATE: 1 } }), [
    'weights.MISING_DATE: unknown symbol "MISING_DATE", did you mean "MISSING_DATE"',
  ]);
  assert.deepEqual(await faults({ weights: { MISSING_DATE: "1" } }), [
    'weights.MISSING_DATE: expected a number, got "1"',
  ]);
  assert.equal((await faults({ tag_at: 20, refuse_at: 15 })).length, 1);
  assert.equal((await faults({ defer_at: 15, refuse_at: 15 })).length, 1);
  assert.equal((await faults({ quarantine_at: 15, refuse_at: 15 })).length, 1);
  assert.equal((await faults({ quarantine_at: 8, hold: false })).length, 1);
  assert.equal((await faults({ quarantine_upstream: "junk" })).length, 1);
  assert.deepEqual(
    await faults({ quarantine_at: 8, quarantine_upstream: "junk", defer_at: 9 }),
    [],
  );
  assert.deepEqual(await faults({ bayes: { modell: "x" } }), [
    'bayes.modell: unknown key "modell", did you mean "model"',
  ]);
});
