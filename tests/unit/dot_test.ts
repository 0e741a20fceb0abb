/**
 * Dot transparency against RFC 5321 section 4.5.2: tables, and the laws that hold for every message and every cut.
 * @module
 */

import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { stuff, Stuffer, unstuff, Unstuffer } from "../../src/wire/dot.ts";

const octets = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const text = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => String.fromCharCode(b)).join("");

/** Any octets, but mostly those that matter here. */
const content = fc.array(
  fc.constantFrom("\r\n", "\r\n.", ".", "..", "a", "\r", "\n", "\x80", "\0", "some more text"),
  { maxLength: 30 },
).map((parts) => parts.join(""));

const pairs: readonly [plain: string, wire: string][] = [
  ["", ""],
  ["a\r\n", "a\r\n"],
  [".\r\n", "..\r\n"],
  ["a.\r\n.b\r\n", "a.\r\n..b\r\n"],
  ["..\r\n...\r\n", "...\r\n....\r\n"],
  ["a\r\n\r\n.\r\n", "a\r\n\r\n..\r\n"],
  ["a\r\n.", "a\r\n.."],
  ["caf\xe9\t\x85\r\n.\xff\r\n", "caf\xe9\t\x85\r\n..\xff\r\n"],
];

describe("stuff and unstuff", () => {
  for (const [plain, wire] of pairs) {
    test(`R7: ${JSON.stringify(plain)}`, () => {
      assert.equal(text(stuff(octets(plain))), wire);
      assert.equal(text(unstuff(octets(wire))), plain);
    });
  }

  test("a line starts after CRLF, not after CR or LF alone", () => {
    assert.equal(text(stuff(octets("a\n.b\r.c\n\r.d"))), "a\n.b\r.c\n\r.d");
    assert.equal(text(unstuff(octets("a\n.b\r.c\n\r.d"))), "a\n.b\r.c\n\r.d");
  });

  test("a chunk without anything to change is given back itself", () => {
    const clean = octets("Subject: x\r\n\r\nno dot. here\r\n");
    assert.equal(stuff(clean), clean);
    assert.equal(unstuff(clean), clean);
  });

  test("unstuffing takes one dot of a line that was never stuffed", () => {
    assert.equal(text(unstuff(octets(".a\r\n"))), "a\r\n");
  });

  test("R7: unstuff undoes stuff", () => {
    fc.assert(fc.property(content, (plain) => {
      assert.equal(text(unstuff(stuff(octets(plain)))), plain);
    }));
  });

  test("R9: stuffed content never ends data", () => {
    fc.assert(fc.property(content, (plain) => {
      assert.ok(!("\r\n" + text(stuff(octets(plain)))).includes("\r\n.\r\n"));
    }));
  });

  test("chunks give what the whole gives, at every cut", () => {
    fc.assert(fc.property(content, (whole) => {
      const bytes = octets(whole);
      for (const make of [() => new Stuffer(), () => new Unstuffer()]) {
        const once = text(make().push(bytes));
        for (let cut = 0; cut <= bytes.length; cut++) {
          const dots = make();
          const parts = [dots.push(bytes.subarray(0, cut)), dots.push(bytes.subarray(cut))];
          assert.equal(parts.map(text).join(""), once);
        }
        const drip = make();
        assert.equal(Array.from(bytes, (b) => text(drip.push(Uint8Array.of(b)))).join(""), once);
      }
    }));
  });

  test("large chunks with many edits come out whole", () => {
    const plain = (".line of text, some octets of it\r\n" + "x".repeat(70) + "\r\n").repeat(2000);
    const wire = text(stuff(octets(plain)));
    assert.equal(wire, plain.replaceAll(".line", "..line"));
    assert.equal(text(unstuff(octets(wire))), plain);
  });
});

describe("the terminator", () => {
  const after = (...chunks: string[]): string => {
    const stuffer = new Stuffer();
    for (const chunk of chunks) stuffer.push(octets(chunk));
    return text(stuffer.terminator());
  };

  test("is .CRLF when nothing was sent or the last line is complete", () => {
    assert.equal(after(), ".\r\n");
    assert.equal(after(""), ".\r\n");
    assert.equal(after("a\r\n"), ".\r\n");
    assert.equal(after("a\r", "\n"), ".\r\n");
  });

  test("ends an incomplete last line first", () => {
    assert.equal(after("a"), "\r\n.\r\n");
    assert.equal(after("a\r\n."), "\r\n.\r\n");
    assert.equal(after("a\r"), "\r\n.\r\n");
    assert.equal(after("a\n"), "\r\n.\r\n");
  });

  test("leaves the stuffer ready for the next message", () => {
    const stuffer = new Stuffer();
    stuffer.push(octets("a"));
    stuffer.terminator();
    assert.equal(text(stuffer.push(octets(".b"))), "..b");
  });
});
