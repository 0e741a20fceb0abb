/** EHLO replies read, and what may be offered of them. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  type Extensions,
  intersect,
  noExtensions,
  parseExtensions,
} from "../../src/session/capabilities.ts";

const parsed = (...keywords: readonly string[]): Extensions =>
  parseExtensions(["up.test", ...keywords]);

describe("parseExtensions", () => {
  const rows: readonly (readonly [string, Partial<Extensions>])[] = [
    ["PIPELINING", { pipelining: true }],
    ["8BITMIME", { eightBitMime: true }],
    ["SMTPUTF8", { smtputf8: true }],
    ["DSN", { dsn: true }],
    ["ENHANCEDSTATUSCODES", { enhancedStatusCodes: true }],
    ["CHUNKING", { chunking: true }],
    ["STARTTLS", { starttls: true }],
    ["REQUIRETLS", { requiretls: true }],
    ["SIZE", { size: 0 }],
    ["SIZE 0", { size: 0 }],
    ["SIZE 10240000", { size: 10_240_000 }],
    ["SIZE none", { size: 0 }],
    ["SIZE -1", { size: 0 }],
    ["SIZE 1e3", { size: 0 }],
    ["SIZE 99999999999999999999", { size: 0 }],
    ["AUTH PLAIN LOGIN", { auth: ["PLAIN", "LOGIN"] }],
    ["AUTH=PLAIN login", { auth: ["PLAIN", "LOGIN"] }],
    ["AUTH", { auth: [] }],
    ["XCLIENT NAME ADDR", { xclient: ["NAME", "ADDR"] }],
    ["XFORWARD NAME ADDR", { xforward: ["NAME", "ADDR"] }],
    ["pipelining", { pipelining: true }],
    ["size 5", { size: 5 }],
    ["PIPELINING ", { pipelining: true }],
    ["PIPELININGX", {}],
    ["X PIPELINING", {}],
    ["XPIPELINING", {}],
    ["\u017ftarttls", {}],
    ["constructor", {}],
    ["__proto__", {}],
    ["", {}],
  ];
  for (const [keyword, expected] of rows) {
    test(`R23: ${JSON.stringify(keyword)}`, () => {
      assert.deepEqual(parsed(keyword), { ...noExtensions, ...expected });
      const upper = /^[a-z0-9 =]*$/i.test(keyword) ? keyword.toUpperCase() : keyword;
      assert.deepEqual(parsed(upper), parsed(keyword));
    });
  }

  test("the first line is a greeting, whatever it says (RFC 5321 section 4.1.1.1)", () => {
    assert.deepEqual(parseExtensions(["PIPELINING"]), noExtensions);
    assert.deepEqual(parseExtensions([]), noExtensions);
  });

  test("both forms of AUTH together name each mechanism once", () => {
    assert.deepEqual(parsed("AUTH PLAIN LOGIN", "AUTH=LOGIN X").auth, ["PLAIN", "LOGIN", "X"]);
  });
});

describe("intersect", () => {
  const full: Extensions = { ...noExtensions, smtputf8: true, dsn: true, requiretls: true };
  const nothing = { smtputf8: false, dsn: false, requiretls: false };

  test("nothing is promised for upstreams that have not answered", () => {
    assert.deepEqual(intersect(100, []), { size: 100, ...nothing });
  });

  test("what all can do is offered", () => {
    const offer = { size: 0, smtputf8: true, dsn: true, requiretls: true };
    assert.deepEqual(intersect(0, [full]), offer);
    assert.deepEqual(intersect(0, [full, full]), offer);
    assert.deepEqual(intersect(0, [full, { ...full, dsn: false }]), { ...offer, dsn: false });
    assert.deepEqual(intersect(0, [full, noExtensions]), { size: 0, ...nothing });
  });

  test("the smallest limit counts; 0 and no SIZE at all are none (RFC 1870)", () => {
    const size = (own: number, ...others: (number | undefined)[]): number =>
      intersect(own, others.map((limit) => ({ ...noExtensions, size: limit }))).size;
    assert.equal(size(100, 50), 50);
    assert.equal(size(100, 200), 100);
    assert.equal(size(100, 0), 100);
    assert.equal(size(100, undefined), 100);
    assert.equal(size(0, 50), 50);
    assert.equal(size(0, 0, undefined), 0);
    assert.equal(size(0, 70, 0, 60, undefined, 80), 60);
  });
});
