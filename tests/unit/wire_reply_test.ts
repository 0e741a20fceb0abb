/** Replies: their text (RFC 5321 section 4.2) and the parse of what an upstream says (R24). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { formatReply, reply, ReplyParser, withEnhanced } from "../../src/wire/reply.ts";

function octets(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** Everything the parser says of the text. */
function parse(text: string): unknown[] {
  const parser = new ReplyParser();
  parser.feed(octets(text));
  const out: unknown[] = [];
  for (let found = parser.next(); found !== undefined; found = parser.next()) {
    if ("fault" in found) return [...out, "fault"];
    out.push(found);
  }
  return out;
}

describe("formatReply", () => {
  test("puts both codes on every line (RFC 2034 section 4)", () => {
    assert.equal(formatReply(reply(250, "2.1.0", "Ok")), "250 2.1.0 Ok\r\n");
    assert.equal(
      formatReply(reply(550, "5.7.1", "No", "Really")),
      "550-5.7.1 No\r\n550 5.7.1 Really\r\n",
    );
    assert.equal(
      formatReply(reply(250, "", "mx.test", "SIZE 10")),
      "250-mx.test\r\n250 SIZE 10\r\n",
    );
    assert.equal(formatReply(reply(354, "")), "354 \r\n");
    assert.equal(formatReply({ code: 250, enhanced: undefined, lines: [] }), "250 \r\n");
  });

  test("R24: no text breaks the line", () => {
    const text = formatReply({
      code: 550,
      enhanced: "5.7.1\r\n250",
      lines: ["a\r\n250 ok", "b\0\x1b\x7f\u00e4\u2028"],
    });
    assert.equal(text, "550-5.7.1??250 a??250 ok\r\n550 5.7.1??250 b?????\r\n");
  });

  test("splits text over 512 octets, at spaces where it can", () => {
    for (const text of ["word ".repeat(400), "x".repeat(2000)]) {
      const lines = formatReply(reply(550, "5.7.1", text)).split("\r\n");
      assert.equal(lines.pop(), "");
      for (const line of lines) assert.ok(line.length + 2 <= 512);
      assert.ok(lines.slice(0, -1).every((line) => line.startsWith("550-5.7.1 ")));
      assert.ok(lines.at(-1)?.startsWith("550 5.7.1 "));
      const joined = lines.map((line) => line.slice(10)).join("").replaceAll(" ", "");
      assert.equal(joined, text.replaceAll(" ", ""));
    }
    assert.ok(formatReply({ code: 250, enhanced: "x".repeat(600), lines: ["a".repeat(999)] }));
  });

  test("withEnhanced adds a code of the reply's class where there is none", () => {
    assert.equal(withEnhanced(reply(250, ""), "1.5").enhanced, "2.1.5");
    assert.equal(withEnhanced(reply(451, ""), "0.0").enhanced, "4.0.0");
    assert.equal(withEnhanced(reply(550, "5.1.1"), "0.0").enhanced, "5.1.1");
    assert.equal(withEnhanced(reply(354, ""), "0.0").enhanced, undefined);
  });
});

describe("ReplyParser", () => {
  test("takes replies of one and of many lines", () => {
    const table: [string, unknown[]][] = [
      ["250 2.1.0 Ok\r\n", [reply(250, "2.1.0", "Ok")]],
      ["250\r\n", [reply(250, "")]],
      ["250 \r\n", [reply(250, "")]],
      ["250-\r\n250\r\n", [reply(250, "", "", "")]],
      ["354 go on\r\n", [reply(354, "", "go on")]],
      ["250-mx.test\r\n250-SIZE\r\n250 HELP\r\n", [reply(250, "", "mx.test", "SIZE", "HELP")]],
      ["550-5.1.1 No\r\n550 5.1.1 such user\r\n", [reply(550, "5.1.1", "No", "such user")]],
      ["250 a\r\n221 b\r\n", [reply(250, "", "a"), reply(221, "", "b")]],
      ["599 9\tx\r\n", [reply(599, "", "9 x")]],
      ["250 2.0.0\r\n", [reply(250, "2.0.0", "")]],
    ];
    for (const [text, replies] of table) assert.deepEqual(parse(text), replies, text);
  });

  test("an enhanced code of another class, or none at all, is text", () => {
    assert.deepEqual(parse("250 5.1.1 x\r\n"), [reply(250, "", "5.1.1 x")]);
    assert.deepEqual(parse("550 2.0.0 x\r\n"), [reply(550, "", "2.0.0 x")]);
    assert.deepEqual(parse("250 2.0 x\r\n"), [reply(250, "", "2.0 x")]);
    assert.deepEqual(parse("250 2.0.0x\r\n"), [reply(250, "", "2.0.0x")]);
    assert.deepEqual(parse("250 2.0000.0 x\r\n"), [reply(250, "", "2.0000.0 x")]);
    assert.deepEqual(parse("354 3.0.0 x\r\n"), [reply(354, "", "3.0.0 x")]);
  });

  test("octets outside US-ASCII are kept where they are UTF-8, and harmless where not", () => {
    const parser = new ReplyParser();
    parser.feed(new TextEncoder().encode("550 n\u00e4\u0085\r\n"));
    parser.feed(octets("550 \xe4\r\n"));
    assert.deepEqual(parser.next(), reply(550, "", "n\u00e4 "));
    assert.deepEqual(parser.next(), reply(550, "", "\ufffd"));
  });

  test("R24: a malformed reply is a fault, never a reply", () => {
    const malformed = [
      "100 x\r\n",
      "199 x\r\n",
      "600 x\r\n",
      "999 x\r\n",
      "000 x\r\n",
      "25 x\r\n",
      "2500 x\r\n",
      "25O x\r\n",
      " 250 x\r\n",
      "-250 x\r\n",
      "+25 x\r\n",
      "\xb250 x\r\n",
      "250\tx\r\n",
      "250x\r\n",
      "250_x\r\n",
      "\r\n",
      "25\r\n",
      "250 ok\n",
      "\n",
      "250 a\rb\r\n",
      "250 a\r\r\n",
      "250 a\0b\r\n",
      "250 a\x1b[31m\r\n",
      "250 a\x7f\r\n",
      "250-a\r\n251 b\r\n",
      "250-a\r\n550 b\r\n",
      "250-a\r\n354 b\r\n",
      "250-a\r\nfoo\r\n",
      "HTTP/1.1 200 OK\r\n",
      "\x15\x03\x03\x00\x02\n",
      `250 ${"a".repeat(4096)}\r\n`,
      "a".repeat(4097),
      "250-a\r\n".repeat(200) + "250 a\r\n",
      `250-${"a".repeat(1000)}\r\n`.repeat(70) + "250 a\r\n",
    ];
    for (const text of malformed) {
      assert.deepEqual(parse(text), ["fault"], JSON.stringify(text.slice(0, 40)));
    }
  });

  test("R24: a fault is terminal, even for well-formed replies behind it", () => {
    const parser = new ReplyParser();
    parser.feed(octets("999 x\r\n250 ok\r\n"));
    const fault = parser.next();
    assert.ok(fault !== undefined && "fault" in fault);
    parser.feed(octets("250 ok\r\n"));
    assert.equal(parser.next(), fault);
    parser.clear();
    assert.equal(parser.next(), fault);
    assert.equal(parser.buffered, 0);
  });

  test("R24: a reply before a malformed one stands", () => {
    assert.deepEqual(parse("250 ok\r\n999 x\r\n"), [reply(250, "", "ok"), "fault"]);
  });

  test("R13: what is behind the 220 waits, and is thrown away", () => {
    const parser = new ReplyParser();
    parser.feed(octets("220 go\r\n250-injected\r\n250 x"));
    assert.deepEqual(parser.next(), reply(220, "", "go"));
    assert.equal(parser.buffered, "250-injected\r\n250 x".length);
    parser.clear();
    assert.equal(parser.buffered, 0);
    parser.feed(octets("250 real\r\n"));
    assert.deepEqual(parser.next(), reply(250, "", "real"));
    assert.equal(parser.buffered, 0);
  });

  test("R13: half a reply that was read already is thrown away too", () => {
    const parser = new ReplyParser();
    parser.feed(octets("250-injected\r\n25"));
    assert.equal(parser.next(), undefined);
    assert.equal(parser.buffered, 16);
    parser.clear();
    assert.equal(parser.buffered, 0);
    parser.feed(octets("221 bye\r\n"));
    assert.deepEqual(parser.next(), reply(221, "", "bye"));
  });

  test("R29: an upstream that talks without end is cut off, read or not", () => {
    const parser = new ReplyParser();
    for (let i = 0; i < 100; i++) parser.feed(octets("250 x\r\n".repeat(1000)));
    const fault = parser.next();
    assert.ok(fault !== undefined && "fault" in fault);
    assert.equal(parser.buffered, 0);
  });

  test("R33: a reply in single octets costs linear time", () => {
    const parser = new ReplyParser();
    const text = `250-${"a".repeat(300)}\r\n`.repeat(199) + "250 a\r\n";
    for (const octet of octets(text)) {
      parser.feed(Uint8Array.of(octet));
      const found = parser.next();
      if (found !== undefined) {
        assert.ok("code" in found);
        assert.equal(found.lines.length, 200);
      }
    }
    assert.equal(parser.buffered, 0);
  });

  test("never writes to a chunk it was given", () => {
    const parser = new ReplyParser();
    const first = octets("250-o\r\n250 ");
    const copy = first.slice();
    parser.feed(first);
    assert.equal(parser.next(), undefined);
    parser.feed(octets("k\r\n"));
    assert.deepEqual(parser.next(), reply(250, "", "o", "k"));
    assert.deepEqual(first, copy);
  });
});
