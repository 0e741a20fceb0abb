/** Properties of header blocks: reading is total, edits change what they name and nothing else. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { findHeaderEnd, HeaderBlock, type HeaderEdit } from "../../src/wire/headers.ts";

function octets(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function text(bytes: Uint8Array): string {
  return Array.from(bytes, (octet) => String.fromCharCode(octet)).join("");
}

/** One well-formed field with its name, as octets. */
const field = fc.record({
  name: fc.constantFrom("A", "a", "B", "Received", "received", "X-Long-Name", "__proto__"),
  between: fc.constantFrom(":", ": ", " :", "\t: "),
  value: fc.string({
    unit: fc.constantFrom(..."xy \xe4\xff\x01\r\n:".split(""), "\r\n ", "\r\n\t"),
    maxLength: 12,
  })
    .map((value) => value.replace(/\r\n(?![ \t])/g, "").replace(/[\r\n]$/, "")),
}).map(({ name, between, value }) => ({ name, octets: name + between + value + "\r\n" }))
  // What a bare CR before the line end does is its own matter.
  .filter((one) =>
    !one.octets.slice(0, -2).endsWith("\r") && !/\r\n[^ \t]/.test(one.octets.slice(0, -2) + " ")
  );

const anyLine = fc.oneof(
  field.map((one) => one.octets),
  fc.constantFrom(
    "junk\r\n",
    " more\r\n",
    ": x\r\n",
    "From a\r\n",
    "A\r\n",
    "\r\n",
    "\n",
    "\r",
    "A",
  ),
);
const anyBlock = fc.array(anyLine, { maxLength: 12 }).map((lines) => lines.join(""));

const name = fc.constantFrom(
  "A",
  "b",
  "Received",
  "X-Long-Name",
  "New",
  "__proto__",
  "constructor",
);
const value = fc.string({
  unit: fc.constantFrom("word", " ", "\t", "\u00e4", "x".repeat(40)),
  maxLength: 12,
});
const edit: fc.Arbitrary<HeaderEdit> = fc.oneof(
  fc.record({ edit: fc.constant("prepend" as const), name, value }),
  fc.record({ edit: fc.constant("append" as const), name, value }),
  fc.record({ edit: fc.constant("replace" as const), name, value, index: fc.nat(3) }),
  fc.record({
    edit: fc.constant("remove" as const),
    name,
    index: fc.oneof(fc.nat(3), fc.constant("all" as const)),
  }),
  fc.record({ edit: fc.constant("rename" as const), name, to: name }),
);

test("R7: reading never changes a block, whatever it holds, and count agrees with getAll", () => {
  fc.assert(
    fc.property(anyBlock, (block) => {
      const bytes = octets(block);
      const headers = new HeaderBlock(bytes);
      for (const { name } of headers.fields()) {
        assert.equal(headers.count(name), headers.getAll(name).length);
        assert.notEqual(headers.get(name), undefined);
      }
      assert.equal(headers.apply(), bytes);
      assert.equal(text(bytes), block);
    }),
    { numRuns: 1000 },
  );
});

test("edits give what a list of fields gives", () => {
  fc.assert(
    fc.property(
      fc.array(field, { maxLength: 8 }),
      fc.array(edit, { maxLength: 6 }),
      (fields, edits) => {
        const headers = new HeaderBlock(octets(fields.map((one) => one.octets).join("") + "\r\n"));
        for (const one of edits) headers.edit(one);
        const out = headers.apply();
        const expected = model(fields, edits);
        const read = new HeaderBlock(out);
        assert.deepEqual(
          read.fields().map((one) => one.name),
          expected.map((one) => one.name),
        );
        // Untouched fields stay octet for octet, and in their order.
        const rest = text(out);
        let at = 0;
        for (const one of expected) {
          if (one.octets === undefined) continue;
          at = rest.indexOf(one.octets, at);
          assert.ok(at >= 0, JSON.stringify(one.octets));
          at += one.octets.length;
        }
        assert.ok(rest.endsWith("\r\n"));
        assert.equal(findHeaderEnd(out, 0), out.length);
      },
    ),
    { numRuns: 1000 },
  );
});

test("R22: added fields are read back as they were meant, in any block", () => {
  fc.assert(
    fc.property(anyBlock, name, value, (block, name, value) => {
      const before = new HeaderBlock(octets(block));
      const seen = before.fields().length;
      before.prepend(name, value);
      const out = new HeaderBlock(before.apply());
      assert.equal(out.fields().length, seen + 1);
      assert.deepEqual(out.fields()[0], { name, value: value.replace(/^[ \t]+|[ \t]+$/g, "") });
      // What was there is there still, behind what was added, the mbox line aside.
      const rest = block.replace(/^>*From [^\n]*?(?:\r\n|$)/s, "");
      assert.ok(text(before.apply()).endsWith(rest));
    }),
    { numRuns: 1000 },
  );
});

interface Modelled {
  name: string;
  /** As they came, where nothing touched them. */
  octets: string | undefined;
  /** Its number among the fields of its first name; undefined for an added one. */
  index: number | undefined;
  first: string;
}

/** The edits on a plain list, written for clearness. */
function model(fields: readonly { name: string; octets: string }[], edits: readonly HeaderEdit[]) {
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
  let list: Modelled[] = fields.map((one, i) => ({
    ...one,
    first: one.name,
    index: fields.slice(0, i).filter((other) => same(other.name, one.name)).length,
  }));
  const added = (name: string): Modelled => ({
    name,
    octets: undefined,
    index: undefined,
    first: name,
  });
  for (const edit of edits) {
    const original = (index: number) =>
      list.find((one) =>
        one.index === index && same(one.first, edit.name) && same(one.name, edit.name)
      );
    switch (edit.edit) {
      case "prepend":
        list.unshift(added(edit.name));
        break;
      case "append":
        list.push(added(edit.name));
        break;
      case "replace": {
        const target = original(edit.index) ??
          list.find((one) => one.index === undefined && same(one.name, edit.name));
        if (target === undefined) list.push(added(edit.name));
        else Object.assign(target, { name: edit.name, octets: undefined });
        break;
      }
      case "remove": {
        const { index } = edit;
        list = list.filter((one) =>
          index === "all" ? !same(one.name, edit.name) : one !== original(index)
        );
        break;
      }
      case "rename":
        for (const one of list) {
          if (!same(one.name, edit.name)) continue;
          // Renamed to the very same name, it is untouched.
          if (one.name !== edit.to) one.octets = undefined;
          one.name = edit.to;
        }
    }
  }
  return list;
}
