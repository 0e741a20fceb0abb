/** What is offered is never more than any upstream can do; what an upstream says is read whole or not at all. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Extensions,
  intersect,
  noExtensions,
  parseExtensions,
} from "../../src/session/capabilities.ts";

const extensions: fc.Arbitrary<Extensions> = fc.record({
  smtputf8: fc.boolean(),
  dsn: fc.boolean(),
  requiretls: fc.boolean(),
  size: fc.option(fc.oneof(fc.constant(0), fc.nat()), { nil: undefined }),
}).map((some) => ({ ...noExtensions, ...some }));
const upstreams = fc.array(extensions, { maxLength: 5 });
const flags = ["smtputf8", "dsn", "requiretls"] as const;

test("R23: an offer is within every upstream's", () => {
  fc.assert(fc.property(fc.nat(), upstreams, (own, all) => {
    const offer = intersect(own, all);
    for (const flag of flags) {
      assert.equal(offer[flag], all.length > 0 && !all.some((one) => !one[flag]));
    }
    for (const limit of [own, ...all.map((one) => one.size ?? 0)]) {
      assert.ok(limit === 0 || (offer.size > 0 && offer.size <= limit));
    }
    assert.ok([own, ...all.map((one) => one.size)].includes(offer.size));
  }));
});

test("R23: one upstream more never offers more, and the order does not matter", () => {
  fc.assert(fc.property(fc.nat(), upstreams, extensions, (own, all, more) => {
    const before = intersect(own, all);
    const after = intersect(own, [...all, more]);
    if (all.length > 0) { for (const flag of flags) assert.ok(before[flag] || !after[flag]); }
    assert.ok(before.size === 0 || (after.size > 0 && after.size <= before.size));
    assert.deepEqual(intersect(own, [more, ...all].reverse()), intersect(own, [...all, more]));
  }));
});

test("R24 R34: any text is read without a throw, and only whole keywords count", () => {
  const known =
    /^(PIPELINING|8BITMIME|SMTPUTF8|DSN|ENHANCEDSTATUSCODES|CHUNKING|STARTTLS|REQUIRETLS)(?![!-<>-~])|^(SIZE|AUTH|XCLIENT|XFORWARD)(?![!-<>-~])/i;
  const word = fc.oneof(
    fc.string({ unit: "binary", maxLength: 30 }),
    fc.constantFrom("PIPELINING", "STARTTLS", "AUTH", "SIZE", "DSN", "toString", "__proto__"),
    fc.constantFrom("\u017ftarttl\u017f", "d\u017fn", "\u017fize 5"),
  );
  const line = fc.array(word, { maxLength: 4 }).map((words) => words.join(" "));
  fc.assert(fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
    const found = parseExtensions(["greeting", ...lines]);
    if (!lines.some((text) => known.test(text.trim()))) {
      assert.deepEqual(found, noExtensions);
    }
    assert.deepEqual(Object.keys(found).sort(), Object.keys(noExtensions).sort());
    assert.equal(Object.getPrototypeOf(found), Object.prototype);
  }));
});

test("R33: a reply of the greatest size is read in linear time", () => {
  const found = parseExtensions(["up.test", ...Array(200).fill(`AUTH${" PLAIN".repeat(600)}`)]);
  assert.deepEqual(found.auth, ["PLAIN"]);
});
