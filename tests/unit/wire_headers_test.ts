/** The header block (RFC 5322 sections 2.1, 2.2, 3.6.8 and 4.5). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { findHeaderEnd, HeaderBlock, unfold } from "../../src/wire/headers.ts";
import type { HeaderView } from "../../src/plugin/facts.ts";

/** Text to octets and back, one character an octet, so that 8-bit octets show. */
function octets(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function text(bytes: Uint8Array): string {
  return Array.from(bytes, (octet) => String.fromCharCode(octet)).join("");
}

/** The block after the edits. */
function edited(block: string, edit: (headers: HeaderBlock) => void): string {
  const headers = new HeaderBlock(octets(block));
  edit(headers);
  return text(headers.apply());
}

const BLOCK = "Received: a\r\n\tby b\r\nSubject: one\r\nreceived: c\r\nX: y\r\n\r\n";

describe("reading", () => {
  test("finds fields by name, whatever its case, unfolded", () => {
    const headers: HeaderView = new HeaderBlock(octets(BLOCK));
    assert.equal(headers.get("RECEIVED"), "a\tby b");
    assert.equal(headers.get("subject"), "one");
    assert.equal(headers.get("none"), undefined);
    assert.deepEqual(headers.getAll("Received"), ["a\tby b", "c"]);
    assert.deepEqual(headers.fields(), [
      { name: "Received", value: "a\tby b" },
      { name: "Subject", value: "one" },
      { name: "received", value: "c" },
      { name: "X", value: "y" },
    ]);
    assert.equal(headers.size, BLOCK.length);
  });

  test("R34: names of object properties are names like others", () => {
    const headers = new HeaderBlock(octets("__proto__: a\r\nconstructor: b\r\n\r\n"));
    assert.equal(headers.get("__proto__"), "a");
    assert.equal(headers.get("constructor"), "b");
    assert.equal(headers.get("toString"), undefined);
    assert.equal(headers.get("hasOwnProperty"), undefined);
    assert.equal(headers.count("constructor"), 1);
    headers.replace("__proto__", "c");
    assert.equal(text(headers.apply()), "__proto__: c\r\nconstructor: b\r\n\r\n");
  });

  test("takes odd but lawful fields", () => {
    const table: [string, string | undefined][] = [
      ["Subject:x\r\n\r\n", "x"],
      ["Subject :\tx\r\n\r\n", "x"],
      ["Subject:\r\n x\r\n\r\n", "x"],
      ["Subject:\r\n \r\n x\r\n\r\n", "x"],
      ["Subject:\r\n\r\n", ""],
      ["Subject: x", "x"],
      ["Subject: x\r\n", "x"],
      ["Subject: a\nb\rc\r\n\r\n", "a b c"],
      ["Subject: \xc3\xa4\r\n\r\n", "\u00e4"],
      ["Subject: \xe4\r\n\r\n", "\ufffd"],
      ["junk\r\nSubject: x\r\n\r\n", undefined],
      ["A: b\r\njunk\r\nSubject: x\r\n\r\n", "x"],
      ["A: b\r\n Subject: x\r\n\r\n", undefined],
      ["\r\nSubject: x\r\n", undefined],
      ["", undefined],
    ];
    for (const [block, value] of table) {
      assert.equal(new HeaderBlock(octets(block)).get("Subject"), value, JSON.stringify(block));
    }
  });

  test("a line that is no field is not seen as one", () => {
    const headers = new HeaderBlock(octets("A: b\r\n: c\r\nno colon\r\nD e: f\r\n\r\n"));
    assert.deepEqual(headers.fields(), [{ name: "A", value: "b" }]);
    assert.equal(headers.get(""), undefined);
    assert.equal(headers.count(""), 0);
  });

  test("R37: counts fields without parsing them", () => {
    const block = "Received: a\r\n".repeat(99) + "rEcEiVeD\t: b\r\n" +
      "X-Received: c\r\nReceived-SPF: d\r\nA: b\r\n Received: e\r\nReceived f\r\n\r\n" +
      "Received: body\r\n";
    const headers = new HeaderBlock(octets(block));
    assert.equal(headers.count("received"), 100);
    assert.equal(headers.count("Received"), 100);
    assert.equal(headers.count("subject"), 0);
  });

  test("R33: large and odd blocks cost linear time", () => {
    const n = 262_144;
    const blocks = [
      "a:\r\n".repeat(n / 4),
      "A:" + "\r\n ".repeat(n / 3),
      "A".repeat(n) + ": b\r\n",
      "A: " + "b".repeat(n),
      "A: " + " ".repeat(n) + "b",
      "A" + " ".repeat(n),
      "A:" + "\n".repeat(n),
      "A:" + "\r".repeat(n),
      "\n".repeat(n),
    ];
    for (const block of blocks) {
      const headers = new HeaderBlock(octets(block));
      for (const [i] of headers.getAll("a").entries()) headers.remove("a", i);
      headers.append("B", "c");
      headers.apply();
      assert.equal(headers.count("received"), 0);
    }
  });
});

describe("editing", () => {
  test("without an edit the block is the same array", () => {
    const block = octets(BLOCK);
    const headers = new HeaderBlock(block);
    assert.equal(headers.edited, false);
    assert.equal(headers.apply(), block);
    headers.remove("none");
    headers.remove("x", 5);
    headers.rename("none", "Some");
    assert.equal(headers.edited, true);
    assert.equal(headers.apply(), block);
  });

  test("prepend goes on top, later ones above earlier ones", () => {
    const out = edited(BLOCK, (h) => {
      h.prepend("A", "1");
      h.prepend("B", "2");
    });
    assert.equal(out, "B: 2\r\nA: 1\r\n" + BLOCK);
  });

  test("append goes below the last field, above the empty line", () => {
    const out = edited(BLOCK, (h) => {
      h.append("A", "1");
      h.append("B", "2");
    });
    assert.equal(out, BLOCK.slice(0, -2) + "A: 1\r\nB: 2\r\n\r\n");
  });

  test("replace, remove and rename touch their field and nothing else", () => {
    const table: [(headers: HeaderBlock) => void, string][] = [
      [(h) => h.replace("subject", "two"), BLOCK.replace("Subject: one", "subject: two")],
      [(h) => h.replace("Received", "z", 1), BLOCK.replace("received: c", "Received: z")],
      [(h) => h.replace("Received", "z", 2), BLOCK.slice(0, -2) + "Received: z\r\n\r\n"],
      [(h) => h.replace("New", "z"), BLOCK.slice(0, -2) + "New: z\r\n\r\n"],
      [(h) => h.remove("Received"), "Subject: one\r\nX: y\r\n\r\n"],
      [(h) => h.remove("received", 0), BLOCK.slice(BLOCK.indexOf("Subject"))],
      [(h) => h.remove("received", 1), BLOCK.replace("received: c\r\n", "")],
      [
        (h) => h.rename("received", "X-R"),
        "X-R: a\r\n\tby b\r\nSubject: one\r\nX-R: c\r\nX: y\r\n\r\n",
      ],
    ];
    for (const [edit, expected] of table) assert.equal(edited(BLOCK, edit), expected);
  });

  test("an index counts the fields as they came, whatever was removed before", () => {
    const out = edited("A: 0\r\nA: 1\r\nA: 2\r\n\r\n", (h) => {
      h.remove("A", 0);
      h.remove("A", 1);
      h.remove("A", 1);
    });
    assert.equal(out, "A: 2\r\n\r\n");
  });

  test("edits work on what the earlier ones left", () => {
    const table: [(headers: HeaderBlock) => void, string][] = [
      [(h) => (h.append("N", "1"), h.replace("N", "2")), "A: 0\r\nN: 2\r\n\r\n"],
      [(h) => (h.replace("N", "1"), h.replace("N", "2")), "A: 0\r\nN: 2\r\n\r\n"],
      [(h) => (h.prepend("N", "1"), h.remove("N")), "A: 0\r\n\r\n"],
      [(h) => (h.remove("A"), h.append("A", "1")), "A: 1\r\n\r\n"],
      [(h) => (h.remove("A"), h.replace("A", "1")), "A: 1\r\n\r\n"],
      [(h) => (h.rename("A", "B"), h.remove("B")), "\r\n"],
      [(h) => (h.rename("A", "B"), h.replace("A", "1")), "B: 0\r\nA: 1\r\n\r\n"],
      [(h) => (h.replace("A", "1"), h.rename("A", "B")), "B: 1\r\n\r\n"],
      [(h) => (h.append("C", "1"), h.rename("C", "D")), "A: 0\r\nD: 1\r\n\r\n"],
    ];
    for (const [edit, expected] of table) assert.equal(edited("A: 0\r\n\r\n", edit), expected);
  });

  test("reading still sees the block as it came", () => {
    const headers = new HeaderBlock(octets(BLOCK));
    headers.remove("Subject");
    headers.prepend("Subject", "mine");
    assert.deepEqual(headers.getAll("Subject"), ["one"]);
    assert.equal(headers.edits.length, 2);
  });

  test("R7: untouched lines stay octet for octet, malformed and 8-bit ones too", () => {
    const odd = "A : \xff\xfe \x01\r\n\t \r\n x\r\njunk\r\n more\r\nB:\nc\r\r\n" +
      "C: " + "d".repeat(2000) + "\r\n";
    const out = edited(odd + "X: 1\r\n\r\n", (h) => {
      h.prepend("P", "1");
      h.remove("X");
    });
    assert.equal(out, "P: 1\r\n" + odd + "\r\n");
  });

  test("appended fields stand above a line that is no field", () => {
    const out = edited("A: 1\r\njunk\r\nB: 2\r\n\r\n", (h) => h.append("N", "x"));
    assert.equal(out, "A: 1\r\nN: x\r\njunk\r\nB: 2\r\n\r\n");
  });

  test("a header without fields, and no header at all", () => {
    const both = (h: HeaderBlock) => (h.prepend("P", "1"), h.append("Q", "2"));
    assert.equal(edited("\r\n", both), "P: 1\r\nQ: 2\r\n\r\n");
    assert.equal(edited("", both), "P: 1\r\nQ: 2\r\n");
  });

  test("a text that begins without a field is body: what is added gets an empty line behind it", () => {
    const both = (h: HeaderBlock) => (h.prepend("P", "1"), h.append("Q", "2"));
    for (
      const body of ["Hello\r\nSubject: x\r\n\r\n", " folded: x\r\n", "\tx", ": x\r\n", "a b: c"]
    ) {
      assert.equal(edited(body, both), "P: 1\r\nQ: 2\r\n\r\n" + body);
      assert.deepEqual(new HeaderBlock(octets(body)).fields(), []);
      assert.equal(new HeaderBlock(octets(body)).count("subject"), 0);
      assert.equal(edited(body, (h) => h.remove("Subject")), body);
    }
  });

  test("an mbox line stays the first line", () => {
    for (const line of ["From a@b Thu Jan  1\r\n", ">From a@b\r\n"]) {
      const headers = new HeaderBlock(octets(line + "A: 1\r\n\r\n"));
      assert.equal(headers.get("A"), "1");
      assert.equal(headers.count("a"), 1);
      headers.prepend("P", "1");
      headers.append("Q", "2");
      assert.equal(text(headers.apply()), line + "P: 1\r\nA: 1\r\nQ: 2\r\n\r\n");
    }
  });

  test("a last line without its CRLF gets one before a field is added below it", () => {
    assert.equal(edited("A: 1", (h) => h.append("B", "2")), "A: 1\r\nB: 2\r\n");
    assert.equal(edited("A: 1", (h) => h.prepend("B", "2")), "B: 2\r\nA: 1");
    assert.equal(
      edited("A: 1", (h) => (h.rename("A", "C"), h.append("B", "2"))),
      "C: 1\r\nB: 2\r\n",
    );
    assert.equal(edited("From x", (h) => h.prepend("B", "2")), "From x\r\nB: 2\r\n");
    assert.equal(edited("A: 1", (h) => (h.remove("A"), h.append("B", "2"))), "B: 2\r\n");
  });

  test("R22: no value and no name adds a line", () => {
    const headers = new HeaderBlock(octets(BLOCK));
    for (const value of ["a\r\nB: c", "a\nb", "a\rb", "a\0b", "a\r\n b"]) {
      assert.throws(() => headers.prepend("A", value), TypeError);
      assert.throws(() => headers.append("A", value), TypeError);
      assert.throws(() => headers.replace("A", value), TypeError);
    }
    for (const name of ["", "A:", "A B", "A\r\n", "A\t", "\u00e4", "A\0", "a".repeat(77)]) {
      assert.throws(() => headers.prepend(name, "x"), TypeError);
      assert.throws(() => headers.append(name, "x"), TypeError);
      assert.throws(() => headers.replace(name, "x"), TypeError);
      assert.throws(() => headers.rename("Subject", name), TypeError);
    }
    assert.equal(headers.edited, false);
  });
});

describe("folding", () => {
  /** The value as it is written and as it is read back. */
  function folded(value: string): { lines: string[]; read: string | undefined } {
    const headers = new HeaderBlock(octets("\r\n"));
    headers.append("Name", value);
    const bytes = headers.apply();
    const lines = new TextDecoder().decode(bytes).split("\r\n").slice(0, -2);
    return { lines, read: new HeaderBlock(bytes).get("Name") };
  }

  test("at white space, to 78 octets where that can be", () => {
    const { lines, read } = folded("word ".repeat(100).trim());
    assert.ok(lines.length > 6);
    assert.ok(lines.every((line) => line.length <= 78));
    assert.ok(lines.slice(1).every((line) => line.startsWith(" ")));
    assert.equal(read, "word ".repeat(100).trim());
  });

  test("counts octets, not characters", () => {
    const { lines } = folded("\u00e4\u00e4\u00e4\u00e4 ".repeat(30));
    assert.ok(lines.every((line) => new TextEncoder().encode(line).length <= 78));
  });

  test("never makes a line of white space alone", () => {
    const value = "a" + " ".repeat(100) + "b" + "\t".repeat(90) + "c";
    const { lines, read } = folded(value + " ".repeat(100));
    assert.ok(lines.every((line) => line.trim() !== ""));
    assert.equal(read, value);
  });

  test("leaves a long word whole, up to the limit of a line", () => {
    assert.equal(folded("x".repeat(500)).lines.length, 1);
    assert.equal(folded("a " + "x".repeat(997)).lines.length, 2);
    assert.throws(() => folded("a " + "x".repeat(998)), TypeError);
    assert.throws(() => folded("x".repeat(998)), TypeError);
  });

  test("a field that was taken can be renamed to the longest name", () => {
    const headers = new HeaderBlock(octets("\r\n"));
    headers.append("A", "x".repeat(920));
    headers.rename("A", "b".repeat(76));
    const [line = ""] = text(headers.apply()).split("\r\n");
    assert.equal(line.length, 998);
    assert.throws(() => headers.append("A", "x".repeat(921)), TypeError);
  });

  test("an empty value is a name and a colon", () => {
    assert.deepEqual(folded("  "), { lines: ["Name:"], read: "" });
  });
});

describe("findHeaderEnd", () => {
  test("is behind the first empty line", () => {
    const table: [string, number][] = [
      ["", -1],
      ["\r", -1],
      ["\r\n", 2],
      ["\r\nA: b\r\n\r\n", 2],
      ["A: b\r\n", -1],
      ["A: b\r\n\r\n", 8],
      ["A: b\r\n\r\nbody\r\n\r\n", 8],
      ["A: b\n\nbody", -1],
      ["A: b\r\n\n", -1],
      ["A: b\n\r\n", -1],
      ["A: b\r\r\n\r\n", 9],
      ["A: b\r\n \r\n\r\n", 11],
    ];
    for (const [bytes, end] of table) {
      assert.equal(findHeaderEnd(octets(bytes), 0), end, JSON.stringify(bytes));
    }
  });

  test("goes on where it was, whatever the cut", () => {
    for (const whole of ["A: b\r\nC: d\r\n\r\nbody", "\r\nbody"]) {
      const end = findHeaderEnd(octets(whole), 0);
      for (let cut = 0; cut < end; cut++) {
        assert.equal(findHeaderEnd(octets(whole.slice(0, cut)), 0), -1);
        assert.equal(findHeaderEnd(octets(whole), cut), end);
      }
    }
  });
});

test("unfold takes out line ends before white space only", () => {
  assert.equal(unfold("a\r\n b\r\n\tc"), "a b\tc");
  assert.equal(unfold("a\r\nb"), "a  b");
  assert.equal(unfold("plain"), "plain");
});
