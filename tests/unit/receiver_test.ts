/**
 * The receiver by tables: lines and their faults, DATA and BDAT content, modes within one packet, memory.
 * @module
 */

import { describe, test } from "node:test";
import assert from "node:assert/strict";
import corpus from "../corpus/receiver/end_of_data.json" with { type: "json" };
import { Receiver, type ReceiverEvent, type ReceiverOptions } from "../../src/wire/receiver.ts";

const octets = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const text = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => String.fromCharCode(b)).join("");

const standard: ReceiverOptions = {
  commandLine: 512,
  textLine: 1000,
  longLines: "pass",
  bareNewline: "normalize",
};

const receiver = (options: Partial<ReceiverOptions> = {}): Receiver =>
  new Receiver({ ...standard, ...options });

/** An event as one short text. */
function told(event: ReceiverEvent | undefined): string {
  switch (event?.event) {
    case undefined:
      return "-";
    case "line":
      return `line ${event.text}`;
    case "line-fault":
      return `${event.fault} ${event.start}`;
    case "content":
      return `content ${text(event.chunk)}`;
    case "end":
      return "end";
  }
}

/** Everything there is to tell now. */
function drain(from: Receiver): string[] {
  const all: string[] = [];
  for (let event = from.next(); event !== undefined; event = from.next()) all.push(told(event));
  return all;
}

function lines(input: string, options: Partial<ReceiverOptions> = {}): string[] {
  const r = receiver(options);
  r.feed(octets(input));
  return drain(r);
}

/** The content up to `end`, joined. */
function content(from: Receiver): string {
  let all = "";
  for (;;) {
    const event = from.next();
    if (event?.event === "end") return all;
    assert.equal(event?.event, "content", "content must end");
    if (event?.event === "content") all += text(event.chunk);
  }
}

describe("command lines", () => {
  test("only CRLF ends a line", () => {
    assert.deepEqual(lines("EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT"), [
      "line EHLO a.test",
      "line MAIL FROM:<a@b.test>",
    ]);
    assert.deepEqual(lines("\r\n \r\n"), ["line ", "line  "]);
  });

  test("a line may come in any pieces", () => {
    const r = receiver();
    for (const piece of ["EH", "LO", " a.test\r"]) {
      r.feed(octets(piece));
      assert.equal(r.next(), undefined);
    }
    assert.equal(r.buffered, 12);
    r.feed(octets("\nNOOP\r\n"));
    assert.deepEqual(drain(r), ["line EHLO a.test", "line NOOP"]);
    assert.equal(r.buffered, 0);
  });

  test("R21: bare CR and NUL are told at the end of their line, with what stood before", () => {
    assert.deepEqual(lines("MAIL\rFROM\r\nNOOP\r\n"), ["bare-cr MAIL", "line NOOP"]);
    assert.deepEqual(lines("MAIL\r\r\nNOOP\r\n"), ["bare-cr MAIL", "line NOOP"]);
    assert.deepEqual(lines("\0\r\nNOOP\r\n"), ["nul ", "line NOOP"]);
    assert.deepEqual(lines("HELO \0x\rx"), []);
    assert.deepEqual(lines("HELO \0x\rx\r\n"), ["nul HELO "]);
  });

  test("R9, R21: behind a bare LF nothing is a command up to CRLF", () => {
    assert.deepEqual(lines("NOOP\nDATA\r\nQUIT\r\n"), ["bare-lf NOOP", "line QUIT"]);
    assert.deepEqual(lines("NOOP\n"), ["bare-lf NOOP"], "told at once");
    const r = receiver();
    for (const piece of ["NOOP\n", "DA", "TA", "\r", "\n", "QUIT\r\n"]) r.feed(octets(piece));
    assert.deepEqual(drain(r), ["bare-lf NOOP", "line QUIT"]);
  });

  test("a client that ends every line by LF is told every time", () => {
    assert.deepEqual(lines("EHLO x\nQUIT\n\nNOOP\r\nRSET\r\n"), [
      "bare-lf EHLO x",
      "bare-lf QUIT",
      "bare-lf ",
      "line RSET",
    ]);
    assert.deepEqual(lines("a\rb\nNOOP\r\nRSET\r\n"), ["bare-cr a", "line RSET"]);
  });

  test("the limit counts CRLF; one octet more is a fault", () => {
    const longest = "x".repeat(510);
    assert.deepEqual(lines(longest + "\r\n"), ["line " + longest]);
    assert.deepEqual(lines(longest + "x\r\nNOOP\r\n"), ["too-long " + "x".repeat(64), "line NOOP"]);
    assert.deepEqual(lines("abcde\r\nabc\r\n", { commandLine: 5 }), ["too-long abc", "line abc"]);
  });

  test("R29: an endless line is held up to the limit and told once, when it ends", () => {
    for (const octet of ["x", "\r", "\0", "\xff"]) {
      const r = receiver();
      for (let i = 0; i < 3000; i++) {
        r.feed(octets(octet.repeat(7)));
        assert.equal(r.next(), undefined);
        assert.ok(r.buffered <= 512);
      }
      r.feed(octets("\r\nNOOP\r\n"));
      assert.equal(drain(r).length, 2);
    }
  });

  test("the limit of a command may be raised for its parameters", () => {
    const r = receiver({ commandLine: 6 });
    r.feed(octets("12345\r\n12345\r\n12345\r\n"));
    assert.equal(told(r.next()), "too-long 1234");
    r.command(7);
    assert.equal(told(r.next()), "line 12345");
    r.command();
    assert.equal(told(r.next()), "too-long 1234");
  });

  test("a lower limit meets a longer line half received", () => {
    const r = receiver();
    r.feed(octets("x".repeat(100)));
    assert.equal(r.next(), undefined);
    r.command(50);
    r.feed(octets("x".repeat(100) + "\r\n"));
    assert.deepEqual(drain(r), ["too-long " + "x".repeat(64)]);
  });

  test("R21: text is UTF-8 or a fault", () => {
    const r = receiver();
    r.feed(new TextEncoder().encode("MAIL FROM:<Jos\u00e9@b\u00fccher.test>\r\n\ufeffx\r\n"));
    assert.deepEqual(drain(r), ["line MAIL FROM:<Jos\u00e9@b\u00fccher.test>", "line \ufeffx"]);
    for (const bad of ["\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xc3", "\x80"]) {
      assert.deepEqual(lines(`A ${bad} B\r\n`), [
        `not-utf8 A ${bad.replace(/[^a]/g, "?")} B`,
      ]);
    }
  });

  test("UTF-8 cut within a character", () => {
    const r = receiver();
    for (const octet of new TextEncoder().encode("\u00e9\u20ac\u{1f600}\r\n")) {
      r.feed(Uint8Array.of(octet));
      const event = r.next();
      if (event !== undefined) assert.equal(told(event), "line \u00e9\u20ac\u{1f600}");
    }
    assert.equal(r.buffered, 0);
  });

  test("the start of a fault is printable and short", () => {
    assert.deepEqual(lines("A\x1b[2J\x7f\xe9\rB\r\n"), ["bare-cr A?[2J??"]);
    assert.deepEqual(lines("x".repeat(100) + "\0\r\n"), ["nul " + "x".repeat(64)]);
  });

  test("RFC 4954: an AUTH command has its own limit, however it is cut", () => {
    const options = { commandLine: 12, authLine: 20 };
    const input =
      "AUTH X 0123456789A\r\nauth X 0123456789AB\r\nAUTHX 12345\r\nNOOP 12345\r\nAuth 56789\r\n" +
      "NOOP 123456\r\nAUTH\t789012\r\n" +
      `aUTH ${"x".repeat(60)}\r\nAUTH 012345678901\0\r\nQUIT\r\n`;
    const wanted = [
      "line AUTH X 0123456789A",
      "too-long auth X 0123456789A",
      "too-long AUTHX 1234",
      "line NOOP 12345",
      "line Auth 56789",
      "too-long NOOP 12345",
      "too-long AUTH?78901",
      "too-long aUTH xxxxxxxxxxxxx",
      "nul AUTH 012345678901",
      "line QUIT",
    ];
    for (let size = 1; size <= input.length; size++) {
      const r = receiver(options);
      const events: string[] = [];
      for (let at = 0; at < input.length; at += size) {
        r.feed(octets(input.slice(at, at + size)));
        events.push(...drain(r));
        assert.ok(r.buffered <= 20, "R29: no more held than the limit");
      }
      assert.deepEqual(events, wanted, `packets of ${size}`);
    }
  });

  test("SASL lines have their own limit", () => {
    const r = receiver();
    const response = "A".repeat(12286);
    r.sasl(12288);
    r.feed(octets(response + "\r\n" + response + "A\r\n*\r\n"));
    assert.deepEqual(drain(r), ["line " + response, "too-long " + "A".repeat(64), "line *"]);
  });
});

describe("DATA", () => {
  for (const { name, input, wire, reject, rest } of corpus.cases) {
    test(`R9, R10: ${name}`, () => {
      const r = receiver();
      r.data();
      r.feed(octets(input + "\r\n.\r\n"));
      assert.equal(content(r), wire);
      assert.equal(r.contentFault, undefined);
      assert.equal(text(r.takeRest()), rest ?? "");

      const strict = receiver({ bareNewline: "reject" });
      strict.data();
      strict.feed(octets(input + "\r\n.\r\n"));
      const given = content(strict);
      assert.equal(strict.contentFault ?? null, reject);
      if (reject === null) assert.equal(given, wire);
      else assert.ok(input.startsWith(given), "only what stood before the fault");
      assert.equal(text(strict.takeRest()), rest ?? "");
    });
  }

  test("R7: a clean chunk is given out itself", () => {
    const r = receiver();
    r.data();
    const chunk = octets("Subject: x\r\n\r\n..dots\r\ncaf\xe9\r\n");
    r.feed(chunk);
    const event = r.next();
    assert.equal(event?.event === "content" && event.chunk, chunk);
    assert.equal(r.next(), undefined);
  });

  test("R7: around one changed octet nothing else changes", () => {
    const lines = "some text of a line\r\n".repeat(500);
    const r = receiver();
    r.data();
    r.feed(octets(lines + "a\nb\rc\0d\r\n" + lines + ".\r\n"));
    assert.equal(content(r), lines + "a\r\nb c d\r\n" + lines);
  });

  test("R3: there is no end without CRLF.CRLF", () => {
    for (
      const input of ["", "a", "a\r\n", "a\r\n.", "a\r\n.\r", "a\r\n.\r\r", ".", ".\r", "a.\r\n"]
    ) {
      const r = receiver();
      r.data();
      r.feed(octets(input));
      assert.ok(!drain(r).includes("end"), JSON.stringify(input));
    }
  });

  test("what could be the end is withheld until it is known", () => {
    const r = receiver();
    r.data();
    r.feed(octets("a\r\n.\r"));
    assert.deepEqual(drain(r), ["content a\r\n"]);
    r.feed(octets("b"));
    assert.deepEqual(drain(r), ["content . b"]);
    r.feed(octets("\r"));
    assert.deepEqual(drain(r), []);
    r.feed(octets("\n.\r\nQUIT\r\n"));
    assert.deepEqual(drain(r), ["content \r\n", "end", "line QUIT"]);
  });

  test("R8: long lines pass whole and stream", () => {
    const r = receiver();
    r.data();
    const long = "x".repeat(5000);
    for (let i = 0; i < 20; i++) {
      r.feed(octets(long));
      assert.equal(told(r.next()), "content " + long);
      assert.equal(r.buffered, 0);
    }
    r.feed(octets("\r\n.\r\n"));
    assert.deepEqual(drain(r), ["content \r\n", "end"]);
    assert.equal(r.plainSize, 100_002);
  });

  test("R8: or are refused: the limit counts CRLF and not the transparency dot", () => {
    const fault = (body: string): string | undefined => {
      const r = receiver({ longLines: "reject", textLine: 10 });
      r.data();
      r.feed(octets(body + "\r\n.\r\n"));
      const given = content(r);
      if (r.contentFault !== undefined) assert.ok(body.startsWith(given));
      return r.contentFault;
    };
    assert.equal(fault("12345678\r\n"), undefined);
    assert.equal(fault("123456789\r\n"), "long-line");
    assert.equal(fault(".12345678\r\n"), undefined);
    assert.equal(fault(".123456789\r\n"), "long-line");
    assert.equal(fault("12345678\n"), undefined);
    assert.equal(fault("1234567\0\r\n"), undefined);
    assert.equal(fault("12345678\0\r\n"), "long-line");
  });

  test("a refused message is read to its end and nothing of it told", () => {
    const r = receiver({ bareNewline: "reject" });
    r.data();
    r.feed(octets("a\r\nb\nc\r\n"));
    assert.deepEqual(drain(r), ["content a\r\nb"]);
    assert.equal(r.contentFault, "bare-newline");
    r.feed(octets("more\r\n.."));
    r.feed(octets("\r\n.\r\nRSET\r\n"));
    assert.deepEqual(drain(r), ["end", "line RSET"]);
    assert.equal(r.contentFault, "bare-newline");
    r.beginMessage();
    assert.equal(r.contentFault, undefined);
    assert.equal(r.plainSize, 0);
  });

  test("the size does not count transparency dots", () => {
    const r = receiver();
    r.data();
    r.feed(octets("..\r\n.a\r\nb\n.\r\n\r\n.\r\n"));
    assert.equal(content(r), "..\r\n.a\r\nb\r\n..\r\n\r\n");
    assert.equal(r.plainSize, ".\r\na\r\nb\r\n.\r\n\r\n".length);
  });

  test("every DATA is a message of its own", () => {
    const r = receiver({ bareNewline: "reject" });
    r.data();
    r.feed(octets("a\n\r\n.\r\n.a\r\n.\r\n"));
    content(r);
    r.data();
    assert.equal(content(r), ".a\r\n");
    assert.equal(r.contentFault, undefined);
    assert.equal(r.plainSize, 3);
  });
});

describe("BDAT", () => {
  test("R7, R11: octets are counted, dots and ends of data mean nothing", () => {
    const r = receiver();
    r.beginMessage();
    r.bdat(11);
    r.feed(octets("a\r\n.\r\n..\r\nbBDAT 0 LAST\r\n"));
    assert.deepEqual(drain(r), ["content a\r\n.\r\n..\r\nb", "end", "line BDAT 0 LAST"]);
    r.bdat(0);
    assert.deepEqual(drain(r), ["end"]);
    assert.equal(text(r.finishMessage()), "");
    assert.equal(r.plainSize, 11);
  });

  test("R3: no end before the last octet", () => {
    const r = receiver();
    r.bdat(5);
    r.feed(octets("1234"));
    assert.deepEqual(drain(r), ["content 1234"]);
    r.feed(octets("5"));
    assert.deepEqual(drain(r), ["content 5", "end"]);
  });

  /** Sends a message in the given chunks, pipelined in one packet; what it comes out as. */
  const message = (r: Receiver, ...chunks: string[]): string => {
    r.feed(octets(chunks.join("")));
    r.beginMessage();
    let all = "";
    for (const chunk of chunks) {
      r.bdat(chunk.length);
      all += content(r);
    }
    return all + text(r.finishMessage());
  };

  test("R10: line ends are made canonical, across chunks too", () => {
    assert.equal(message(receiver(), "a\n.\nb\rc\0\r\n"), "a\r\n.\r\nb c \r\n");
    assert.equal(message(receiver(), "a\r", "\nb"), "a\r\nb");
    assert.equal(message(receiver(), "a\r", "", "\nb"), "a\r\nb");
    assert.equal(message(receiver(), "a\r", "b"), "a b");
    assert.equal(message(receiver(), "a\r", "\r", "\r", "\n"), "a  \r\n");
    assert.equal(message(receiver(), "a\r"), "a ");
    assert.equal(message(receiver(), "\r", "\n", ".", "\r", "\n"), "\r\n.\r\n");
  });

  test("R10: or are refused, and every octet is taken off the stream", () => {
    for (const chunks of [["a\n"], ["a\r", "b"], ["a\r"], ["\0"], ["a\r", "\r\n"]]) {
      const r = receiver({ bareNewline: "reject" });
      message(r, ...chunks);
      assert.equal(r.contentFault, "bare-newline");
      assert.equal(r.buffered, 0);
    }
    assert.equal(message(receiver({ bareNewline: "reject" }), "a\r", "\n"), "a\r\n");
  });

  test("R8: the length of a line is counted across chunks", () => {
    const fault = (...chunks: string[]): string | undefined => {
      const r = receiver({ longLines: "reject", textLine: 6 });
      message(r, ...chunks);
      return r.contentFault;
    };
    assert.equal(fault("12", "34", "\r\n"), undefined);
    assert.equal(fault("12", "345", "\r\n"), "long-line");
    assert.equal(fault("1234\r", "\n1234"), undefined);
    assert.equal(fault(".1234"), "long-line");
    assert.equal(fault("123\r"), undefined);
    assert.equal(fault("1234\r"), "long-line");
  });

  test("R11: commands between chunks are not touched by a withheld CR", () => {
    const r = receiver();
    r.beginMessage();
    r.bdat(2);
    r.feed(octets("a\rNOOP\r\n\nb"));
    assert.deepEqual(drain(r).slice(0, 2), ["content a", "end"]);
    const again = receiver();
    again.feed(octets("a\rBDAT 2 LAST\r\n\nbQUIT\r\n"));
    again.bdat(2);
    assert.equal(told(again.next()), "content a");
    assert.equal(told(again.next()), "end");
    assert.equal(told(again.next()), "line BDAT 2 LAST");
    again.bdat(2);
    assert.equal(told(again.next()), "content \r\nb");
    assert.equal(told(again.next()), "end");
    assert.equal(told(again.next()), "line QUIT");
  });

  test("a size that is none ends at once", () => {
    for (const size of [-1, NaN]) {
      const r = receiver();
      r.feed(octets("NOOP\r\n"));
      r.bdat(size);
      assert.deepEqual(drain(r), ["end", "line NOOP"]);
    }
  });
});

describe("modes in one packet", () => {
  test("each mode takes over where the one before ended", () => {
    const r = receiver();
    r.feed(octets("AUTH LOGIN\r\ndXNlcg==\r\nMAIL\r\nDATA\r\nHi\r\n.\r\nBDAT 3\r\nabcQUIT\r\n"));
    assert.equal(told(r.next()), "line AUTH LOGIN");
    r.sasl(12288);
    assert.equal(told(r.next()), "line dXNlcg==");
    r.command();
    assert.equal(told(r.next()), "line MAIL");
    assert.equal(told(r.next()), "line DATA");
    r.data();
    assert.equal(told(r.next()), "content Hi\r\n");
    assert.equal(told(r.next()), "end");
    assert.equal(told(r.next()), "line BDAT 3");
    r.bdat(3);
    assert.equal(told(r.next()), "content abc");
    assert.equal(told(r.next()), "end");
    assert.equal(told(r.next()), "line QUIT");
    assert.equal(r.next(), undefined);
  });

  test("R12: what came with STARTTLS is counted and can be taken", () => {
    const r = receiver();
    r.feed(octets("STARTTLS\r\nMAIL FROM:<a@b.test>\r\nRC"));
    r.feed(octets("PT"));
    assert.equal(told(r.next()), "line STARTTLS");
    assert.equal(r.buffered, 26);
    assert.equal(text(r.takeRest()), "MAIL FROM:<a@b.test>\r\nRCPT");
    assert.equal(r.buffered, 0);
    assert.equal(r.next(), undefined);
    r.feed(octets("EHLO x\r\n"));
    assert.deepEqual(drain(r), ["line EHLO x"]);
  });

  test("R12: an incomplete line counts and is part of the rest", () => {
    const r = receiver();
    r.feed(octets("STARTTLS\r\nMAIL\r"));
    assert.deepEqual(drain(r), ["line STARTTLS"]);
    assert.equal(r.buffered, 5);
    r.feed(octets("x"));
    assert.equal(text(r.takeRest()), "MAIL\rx");
    assert.equal(r.buffered, 0);
    assert.equal(r.takeRest().length, 0);
  });

  test("content begins with what an incomplete line held", () => {
    const r = receiver();
    r.feed(octets("NOOP\r\nab\r"));
    assert.deepEqual(drain(r), ["line NOOP"]);
    r.feed(octets("\ncd"));
    r.bdat(6);
    assert.equal(content(r), "ab\r\ncd");
  });

  test("many small chunks fed at once", () => {
    const r = receiver();
    for (let i = 0; i < 5000; i++) r.feed(octets(i % 2 === 0 ? "NOOP" : "\r\n"));
    r.feed(new Uint8Array(0));
    assert.equal(drain(r).length, 2500);
    assert.equal(r.buffered, 0);
  });
});
