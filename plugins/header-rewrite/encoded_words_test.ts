import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeValue, encodeValue, rewriteValue, type Writing } from "./encoded_words.ts";

const subject: Writing = { column: "Subject: ".length, utf8: false };
const read = (value: string) => decodeValue(value).text;
const rewrite = (value: string, change: (text: string) => string, writing = subject) => {
  const before = decodeValue(value);
  return rewriteValue(before, change(before.text), writing);
};

describe("reading", () => {
  test("the examples of RFC 2047 section 8, and what is no encoded word", () => {
    for (
      const [value, text] of [
        ["=?ISO-8859-1?Q?a?=", "a"],
        ["=?ISO-8859-1?Q?a?= b", "a b"],
        ["=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"],
        ["=?ISO-8859-1?Q?a?=  \t=?ISO-8859-1?Q?b?=", "ab"],
        ["=?ISO-8859-1?Q?a_b?=", "a b"],
        ["=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"],
        ["=?ISO-8859-1?Q?Andr=E9?= Pirard", "Andr\u00e9 Pirard"],
        ["=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"],
        ["=?utf-8?b?R3LDvMOfZQ==?=", "Gr\u00fc\u00dfe"],
        ["=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\u65e5\u672c"],
        ["=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "\u00fc"],
        ["=?x-unknown?Q?a?= b", "=?x-unknown?Q?a?= b"],
        ["=?utf-8?B?***?=", "=?utf-8?B?***?="],
        ["=?utf-8?X?a?= =? ?=", "=?utf-8?X?a?= =? ?="],
        ["=?utf-8?Q?a=0D=0Ab?=", "a  b"],
      ] as const
    ) assert.equal(read(value), text, value);
  });
});

describe("writing", () => {
  test("only words beyond US-ASCII are encoded, in the shorter way", () => {
    assert.equal(encodeValue("plain text", subject), "plain text");
    assert.equal(
      encodeValue("one Gr\u00fc\u00dfe two", subject),
      "one =?UTF-8?B?R3LDvMOfZQ==?= two",
    );
    assert.equal(encodeValue("a \u00fc \u00e4 b", subject), "a =?UTF-8?B?w7wgw6Q=?= b");
    assert.equal(encodeValue("\u65e5\u672c\u8a9e", subject), "=?UTF-8?B?5pel5pys6Kqe?=");
    assert.equal(encodeValue("Gr\u00fc\u00dfe", { ...subject, utf8: true }), "Gr\u00fc\u00dfe");
  });

  test("words have 75 octets at most, the first line room for the name, and no character is cut", () => {
    for (const text of ["\u00fc".repeat(200), "\u{1f600}".repeat(60), `\u00e4${"x".repeat(300)}`]) {
      const words = encodeValue(text, subject).split(" ");
      assert.ok(words.length > 3);
      assert.ok(words[0]!.length + subject.column <= 76);
      for (const word of words) {
        assert.ok(word.length <= 75);
        assert.ok(!read(word).includes("\ufffd"));
      }
      assert.equal(read(words.join(" ")), text);
    }
  });
});

describe("changing", () => {
  test("what did not change stays as it came", () => {
    const from = "=?iso-8859-1?q?J=F6rg?= Smith <j@example.net>";
    assert.equal(rewrite(from, (text) => text), from);
    assert.equal(
      rewrite(from, (text) => text.replace("Smith", "Schmidt")),
      "=?iso-8859-1?q?J=F6rg?= Schmidt <j@example.net>",
    );
    assert.equal(
      rewrite("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", (text) => `[SPAM] ${text}`),
      "[SPAM] =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
    );
    assert.equal(
      rewrite("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= an alle", (text) => text.replace("alle", "M\u00fcller")),
      "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= an =?UTF-8?Q?M=C3=BCller?=",
    );
  });

  test("text that would touch an encoded word is encoded itself", () => {
    assert.equal(
      rewrite("=?utf-8?Q?=C3=BC?=", (text) => `[X]${text}`),
      "=?UTF-8?B?W1hd?= =?utf-8?Q?=C3=BC?=",
    );
    assert.equal(read(rewrite("=?utf-8?Q?=C3=BC?= x y", (t) => t.replace(" x ", ""))), "\u00fcy");
  });

  test("what an encoded word hid stays hidden", () => {
    const value = "=?utf-8?Q?Smith=2C_J=C3=B6rg?= <j@example.net>";
    const changed = rewrite(value, (text) => text.replace("J\u00f6rg", "Joerg"));
    assert.equal(changed, "=?UTF-8?Q?Smith=2C?= Joerg <j@example.net>");
    assert.equal(read(changed), "Smith, Joerg <j@example.net>");
  });

  const charset = fc.constantFrom("utf-8", "UTF-8", "iso-8859-1");
  const word = fc.oneof(
    fc.string({ unit: fc.constantFrom(...'abc,<@>["=?_'.split("")), minLength: 1, maxLength: 8 }),
    fc.tuple(charset, fc.string({ unit: fc.constantFrom("a", "=E4", "_", "=2C"), maxLength: 6 }))
      .map(([name, data]) =>
        name === "iso-8859-1" ? `=?${name}?Q?${data}?=` : `=?${name}?Q?x=C3=A4?=`
      ),
  );
  const value = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join(" "));
  const edit = fc.record({
    at: fc.nat(40),
    gone: fc.nat(6),
    text: fc.string({
      unit: fc.constantFrom("a", " ", "\u00e4", "\u{1f600}", ",", "x"),
      maxLength: 90,
    }),
  });

  test("reads as it was meant, in US-ASCII, in words of 75 octets, whatever was changed", () => {
    fc.assert(
      fc.property(value, edit, (given, { at, gone, text }) => {
        const points = [...read(given)];
        points.splice(at, gone, ...text);
        const wanted = points.join("");
        const written = rewriteValue(decodeValue(given), wanted, subject);
        const trimmed = (t: string) => t.replace(/^[ \t]+|[ \t]+$/g, "");
        assert.equal(trimmed(read(written)), trimmed(wanted));
        assert.ok(!/[^\x20-\x7e]/.test(written), written);
        for (const [whole] of written.matchAll(/=\?UTF-8\?[QB]\?[^?]*\?=/g)) {
          assert.ok(whole.length <= 75);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("encoded words that are not inside the change stand in the value as they came", () => {
    fc.assert(
      fc.property(
        value,
        fc.string({ unit: fc.constantFrom("a", " ", "\u00e4"), maxLength: 9 }),
        (given, text) => {
          const before = decodeValue(given);
          const written = rewriteValue(before, `{${text} ${before.text}`, subject);
          for (const { raw, encoded } of before.parts) {
            if (encoded && before.text !== "") {
              assert.ok(
                written.includes(raw),
                `${raw} in ${written}`,
              );
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
