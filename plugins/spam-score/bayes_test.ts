import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Score } from "@postern/postern/plugin";
import { fakeEdge } from "../../tests/support/fake_edge.ts";
import { context, headerView, parseOptions, transaction } from "../../tests/support/fake_facts.ts";
import { bandOf, bands, Classifier, Counts, formatModel, parseModel } from "./bayes.ts";
import { Content } from "./content.ts";
import spamScore, { type Options, options } from "./mod.ts";
import { longestToken, mostTokens, tokensOf } from "./tokens.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const plain = { type: "text/plain", encoding: undefined, disposition: undefined };

/** Made mail: a few themes with words of their own, and words that all share. */
const themes = {
  ham: [
    "minutes meeting agenda budget review monday quarterly report team",
    "compiler patch branch merge test failing release tag bug",
    "dinner grandma birthday train saturday photos garden kids",
  ],
  spam: [
    "pills cheap pharmacy discount order prescription online viagra",
    "winner lottery claim prize million transfer bank urgent",
    "refinance mortgage rates lowest approved credit debt free",
  ],
};
const shared = "the a of and please we you with this for new today thanks regards".split(" ");

/** The n-th made message of a kind; the same on every run. */
function made(kind: "ham" | "spam", n: number): { subject: string; body: string } {
  const theme = themes[kind][n % 3]!.split(" ");
  let state = n * 2654435761 >>> 0;
  const next = (words: readonly string[]) => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    return words[Math.floor(state / 2 ** 32 * words.length)]!;
  };
  const body = Array.from({ length: 40 }, (_, i) => next(i % 3 === 0 ? theme : shared)).join(" ");
  return { subject: `${next(theme)} ${next(theme)}`, body };
}

function tokens({ subject, body }: { subject: string; body: string }): ReadonlySet<string> {
  const get = (name: string) => name === "subject" ? subject : undefined;
  return tokensOf({ get }, new Content(bytes(body), plain));
}

function learned(count: number): Counts {
  const counts = new Counts();
  for (let n = 0; n < count; n++) {
    for (const kind of ["ham", "spam"] as const) {
      counts.learn(`${kind}${n}`, kind, () => tokens(made(kind, n)));
    }
  }
  return counts;
}

describe("learning", () => {
  test("tells made ham from made spam that it has not seen", () => {
    const classifier = new Classifier(learned(60));
    for (let n = 1000; n < 1050; n++) {
      assert.ok(classifier.probability(tokens(made("ham", n))) < 0.05, `ham ${n}`);
      assert.ok(classifier.probability(tokens(made("spam", n))) > 0.95, `spam ${n}`);
    }
    assert.equal(classifier.probability(["never", "seen"]), 0.5);
    assert.equal(classifier.probability([]), 0.5);
  });

  test("a message counts once; one that changes over leaves no trace where it was", () => {
    const counts = learned(5);
    const before = formatModel(counts).text;
    assert.equal(counts.learn("ham0", "ham", () => tokens(made("ham", 0))), false);
    assert.equal(formatModel(counts).text, before);
    assert.ok(counts.learn("ham0", "spam", () => tokens(made("ham", 0))));
    assert.deepEqual([counts.ham, counts.spam], [4, 6]);
    assert.ok(counts.learn("ham0", "ham", () => tokens(made("ham", 0))));
    assert.deepEqual([counts.ham, counts.spam], [5, 5]);
    assert.deepEqual(new Set(formatModel(counts).text.split("\n")), new Set(before.split("\n")));
  });

  test("forgetting is the opposite of learning", () => {
    const counts = learned(5);
    const before = formatModel(counts).text;
    assert.equal(counts.forget("new", () => tokens(made("spam", 77))), false);
    counts.learn("new", "spam", () => tokens(made("spam", 77)));
    assert.ok(counts.forget("new", () => tokens(made("spam", 77))));
    assert.equal(formatModel(counts).text, before);
  });

  test("two models together are what one would have learned; a shared message stops it", () => {
    const [whole, left, right] = [new Counts(), new Counts(), new Counts()];
    for (let n = 0; n < 12; n++) {
      for (const counts of [whole, n < 6 ? left : right]) {
        counts.learn(String(n), n % 2 === 0 ? "ham" : "spam", () => tokens(made("ham", n)));
      }
    }
    const shared = new Counts();
    shared.learn("3", "spam", () => new Set(["x"]));
    assert.equal(left.merge(shared), 1);
    assert.equal(left.merge(right), 0);
    assert.equal(formatModel(left).text, formatModel(whole).text);
  });
});

describe("the model file", () => {
  test("is read as it was written", () => {
    const token = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 })
      .filter((text) => !/[\x00-\x1f\x7f=]/.test(text) && text.isWellFormed());
    const entry = fc.tuple(token, fc.nat(99), fc.integer({ min: 1, max: 99 }));
    fc.assert(fc.property(fc.array(entry), (entries) => {
      const counts = new Counts();
      counts.ham = 7;
      for (const [name, ham, spam] of entries) counts.tokens.set(name, [ham, spam]);
      counts.learned.set("abc", "ham");
      const { text } = formatModel(counts);
      const read = parseModel(text) as Counts;
      assert.equal(formatModel(read).text, text);
      assert.deepEqual(read.tokens, counts.tokens);
    }));
  });

  test("says what is wrong with it, and where", () => {
    const problem = (text: string) => (parseModel(text) as { problem: string }).problem;
    assert.equal(problem(""), 'line 1: expected "postern-bayes 1"');
    assert.equal(
      problem("postern-bayes 1\nx\t1\n"),
      "line 2: expected a token, a tab and two counts",
    );
    assert.equal(
      problem("postern-bayes 1\nx\t1\t1\ny\t-1\t1\n"),
      "line 3: expected a token, a tab and two counts",
    );
    assert.equal(
      problem("postern-bayes 1\n=learned\tabc\tboth\n"),
      "line 2: expected a learned message's kind",
    );
    assert.equal(
      problem("postern-bayes 1\n=messages\t1\n"),
      "line 2: expected two counts of messages",
    );
  });

  test("keeps its size: the rarest go, and leave room for new ones", () => {
    const counts = new Counts();
    for (let i = 0; i < 100; i++) counts.tokens.set(`often${i}`, [5, 1]);
    for (let i = 0; i < 100; i++) counts.tokens.set(`once${i}`, [1, 0]);
    assert.equal(formatModel(counts, 200).tokens, 200);
    const { text, tokens } = formatModel(counts, 150);
    assert.equal(tokens, 100);
    assert.ok(!text.includes("once") && text.includes("often99"));
  });
});

describe("tokens", () => {
  test("words with their neighbours, and where they stood", () => {
    const fields = new Map([
      ["subject", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= now"],
      ["from", "Sam Sender <sam@mail.example.net>"],
    ]);
    const body = '<a href="https://shop.example.co.uk:8000/x">Buy</a> NOW for $99';
    const content = new Content(bytes(body), { ...plain, type: "text/html; charset=utf-8" });
    const found = tokensOf({ get: (name) => fields.get(name) }, content);
    const wanted = [
      [
        "s:gr\u00fc\u00dfe",
        "s:gr\u00fc\u00dfe now",
        "gr\u00fc\u00dfe",
        "f:@example.net",
        "f:sam",
        "r:none",
      ],
      ["x:none", "p:text/html", "p:utf-8", "u:shop.example.co.uk", "u:example.co.uk", "u:.uk"],
      ["u:port", "h:a", "buy", "now", "buy now", "$99", "for $99"],
    ].flat();
    assert.deepEqual(wanted.filter((token) => !found.has(token)), []);
  });

  test("scripts without spaces are counted by pairs of characters", () => {
    const content = new Content(bytes("\u65e5\u672c\u8a9e\u306e"), plain);
    const found = tokensOf({ get: () => undefined }, content);
    assert.ok(found.has("\u65e5\u672c") && found.has("\u672c\u8a9e"));
  });

  test("R33: are bounded in number and length, and fit into a line, whatever is sent", () => {
    const unit = fc.constantFrom(
      ..."aA1 \t\r\n=<>\u65e5\u00e9$!-.@/:\u0000\"';",
      "http://",
      "<a href=",
    );
    const any = fc.string({ unit, maxLength: 200 });
    fc.assert(
      fc.property(any, any, fc.constantFrom("text/plain", "text/html"), (field, body, type) => {
        const found = tokensOf({ get: () => field }, new Content(bytes(body), { ...plain, type }));
        for (const token of found) {
          assert.ok(token.length <= longestToken + 2 && !/[\t\r\n]/.test(token), token);
        }
      }),
    );
    const many = Array.from({ length: 20_000 }, (_, i) => `w${i}`).join(" ");
    const found = tokensOf({ get: () => many }, new Content(bytes(many), plain));
    assert.ok(found.size <= mostTokens + 2);
  });
});

describe("the policy with a model", () => {
  const model = formatModel(learned(60)).text;
  const head = (subject: string) => [
    "Received: from a.example.net by client.example.net; Thu, 15 Jan 2026 11:59:59 +0000",
    "From: Sam Sender <sender@example.net>",
    "To: rcpt@example.org",
    "Date: Thu, 15 Jan 2026 12:59:58 +0100",
    "Message-ID: <1@example.net>",
    `Subject: ${subject}`,
    "X-Spam-Status: No, forged",
    "MIME-Version: 1.0",
  ];

  async function start(over: Record<string, unknown> = {}, text: string | null = model) {
    const edge = fakeEdge(text === null ? {} : { files: { "spam.bayes": text } });
    const given = { tag_at: 5, bayes: {}, ...over };
    const plugin = await spamScore(edge, await parseOptions<Options>(options, given));
    const judge = (kind: "ham" | "spam", n = 5000) => {
      const { subject, body } = made(kind, n);
      const tx = transaction();
      const view = headerView(...head(subject));
      plugin.hooks.header!(view, context(tx));
      plugin.hooks.body!.observe!(bytes(body), context(tx));
      const answer = plugin.hooks.end!(tx, { ...context(tx), header: view }) ?? [];
      const all = [answer].flat() as readonly Score[];
      const bayes = all.filter(({ symbol }) => symbol?.startsWith("BAYES_") === true);
      return { all, bayes, status: view.result().filter((line) => line.startsWith("X-Spam-")) };
    };
    return { edge, plugin, judge };
  }

  test("holds the body, and the fields have the final score", async () => {
    const { plugin, judge } = await start();
    assert.equal(plugin.holdBody, true);
    const spam = judge("spam");
    assert.equal(spam.bayes.length, 1);
    assert.match(spam.bayes[0]!.evidence!, /^0\.99[0-9]+$|^1\.0000$/);
    assert.deepEqual(spam.status.slice(0, 2), [
      `X-Spam-Score: ${spam.bayes[0]!.points.toFixed(1)}`,
      "X-Spam-Flag: YES",
    ]);
    assert.match(spam.status[2]!, /^X-Spam-Status: Yes, .* tests=BAYES_/);
    assert.match(judge("ham").status[0]!, /^X-Spam-Status: No, score=-/);
  });

  test("hold = false tags what is known by then, and lets the content go on", async () => {
    const { plugin, judge } = await start({ hold: false });
    assert.equal(plugin.holdBody, false);
    assert.deepEqual(judge("spam").status, [
      "X-Spam-Status: No, score=0.0 required=5.0 tests=none",
    ]);
    assert.equal((await start({ bayes: undefined })).plugin.holdBody, false);
    assert.equal((await start({ tag_at: undefined, refuse_at: 9 })).plugin.holdBody, false);
  });

  test("quarantines between the thresholds, elsewhere if it is told", async () => {
    const verdict = async (over: Record<string, unknown>) =>
      (await start({ tag_at: undefined, ...over })).judge("spam").all.at(-1);
    assert.deepEqual(await verdict({ quarantine_at: 4 }), {
      verdict: "quarantine",
      reason: "Likely spam",
    });
    assert.deepEqual(await verdict({ quarantine_at: 4, quarantine_upstream: "junk" }), {
      verdict: "quarantine",
      reason: "Likely spam",
      upstream: "junk",
    });
    assert.equal((await verdict({ quarantine_at: 4, refuse_at: 4.1 }))!.verdict, "refuse");
    assert.equal((await start({ quarantine_at: 4 })).plugin.holdBody, true);
  });

  test("weights of the bands are the operator's", async () => {
    const weights = Object.fromEntries(bands.map(({ symbol }) => [symbol, 0]));
    assert.deepEqual((await start({ weights })).judge("spam").bayes, []);
    const all = Object.fromEntries(bands.map(({ symbol }) => [symbol, 1.25]));
    assert.equal((await start({ weights: all })).judge("spam").bayes[0]!.points, 1.25);
  });

  test("follows its file; what is broken or gone changes nothing; too little is silent", async () => {
    const { edge, judge, plugin } = await start({}, null);
    assert.deepEqual(judge("spam").bayes, []);
    assert.match(edge.entries[0]!.message, /Cannot read spam model/);
    await edge.write("spam.bayes", formatModel(learned(49)).text);
    assert.deepEqual(judge("spam").bayes, []);
    await edge.write("spam.bayes", model);
    assert.equal(judge("spam").bayes.length, 1);
    await edge.write("spam.bayes", "nonsense");
    assert.equal(judge("spam").bayes.length, 1);
    assert.match(edge.entries.at(-1)!.message, /Spam model is broken/);
    await edge.write("spam.bayes", undefined);
    assert.equal(judge("spam").bayes.length, 1);
    assert.equal(edge.watchers(), 1);
    await plugin.close!();
    assert.equal(edge.watchers(), 0);
  });

  test("bands cover all probabilities", () => {
    fc.assert(fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (probability) => {
      assert.ok(bandOf(probability).from <= probability);
    }));
    assert.equal(bandOf(1).symbol, "BAYES_9999");
    assert.equal(bandOf(0.5).symbol, "BAYES_40");
    assert.equal(bandOf(0).symbol, "BAYES_00");
  });
});
