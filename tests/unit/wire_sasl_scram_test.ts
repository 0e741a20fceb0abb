import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  bindsHeader,
  formatSaslName,
  formatScramFirst,
  parseSaslName,
  parseScramFinal,
  parseScramFirst,
  scramAuthMessage,
} from "../../src/wire/sasl_scram.ts";

/** RFC 7677 section 3. */
const example = {
  first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
  serverFirst:
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  final:
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
};

test("the example of RFC 7677 is taken apart and put together", () => {
  const first = parseScramFirst(example.first)!;
  assert.deepEqual(first, {
    binding: "n",
    authzid: "",
    user: "user",
    nonce: "rOprNGfwEbeRWgbNEkqO",
    gs2: "n,,",
    bare: "n=user,r=rOprNGfwEbeRWgbNEkqO",
  });
  const final = parseScramFinal(example.final)!;
  assert.equal(final.binding, "biws");
  assert.equal(final.nonce, "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
  assert.equal(final.proof.length, 32);
  assert.ok(bindsHeader(first, final));
  assert.equal(
    formatScramFirst(final.nonce, "W22ZaJ0SNY7soEsUEjb6gQ==", 4096),
    example.serverFirst,
  );
  assert.equal(
    scramAuthMessage(first, example.serverFirst, final),
    `n=user,r=rOprNGfwEbeRWgbNEkqO,${example.serverFirst},${example.final.split(",p=")[0]}`,
  );
});

test("the header: binding flag, authorization identity, escapes", () => {
  const of = (text: string) => parseScramFirst(text);
  assert.equal(of("y,,n=u,r=abc")?.binding, "y");
  assert.equal(of("p=tls-exporter,,n=u,r=abc")?.binding, "p");
  assert.equal(of("p=tls-exporter,,n=u,r=abc")?.gs2, "p=tls-exporter,,");
  assert.equal(of("n,a=b=2Cc,n=u,r=abc")?.authzid, "b,c");
  assert.equal(of("n,,n=a=3Db=2Cc,r=abc")?.user, "a=b,c");
  assert.equal(of("n,,n=j\u00f6rg,r=abc,x=ext,y=more")?.user, "j\u00f6rg");
});

test("R16: malformed messages are refused", () => {
  const firsts = [
    "",
    "n",
    "n,",
    "n,,",
    "n,,n=,r=abc",
    "n,,n=u",
    "n,,n=u,r=",
    "n,,r=abc,n=u",
    "n,,m=ext,n=u,r=abc",
    "n,,n=u,r=a b",
    "n,,n=u,r=\u00e4",
    "n,,n=a=b,r=abc",
    "n,,n=a=2c,r=abc",
    "n,,n=a=,r=abc",
    "n,a=,n=u,r=abc",
    "n,a=b=,n=u,r=abc",
    "x,,n=u,r=abc",
    "p,,n=u,r=abc",
    "p=,,n=u,r=abc",
    "n,,n=u,r=abc,",
    "n,,n=u\0,r=abc",
    `n,,n=u,r=${"a".repeat(513)}`,
    " n,,n=u,r=abc",
    "n,,n=u,r=abc\n",
  ];
  for (const text of firsts) assert.equal(parseScramFirst(text), undefined, JSON.stringify(text));
  const finals = [
    "",
    "c=biws,r=abc",
    "r=abc,c=biws,p=AAAA",
    "c=biws,r=abc,p=",
    "c=biws,r=abc,p=AAA",
    "c=biws,r=abc,p=AAAA,x=1",
    "c=,r=abc,p=AAAA",
    "c=biws,r=,p=AAAA",
    "c=biws,p=AAAA",
    "c=biws,r=abc,p=AA\nA",
  ];
  for (const text of finals) assert.equal(parseScramFinal(text), undefined, JSON.stringify(text));
});

test("a header that was changed on the way is found out", () => {
  const first = parseScramFirst("y,,n=u,r=abc")!;
  const final = (header: string) => parseScramFinal(`c=${btoa(header)},r=abcdef,p=AAAA`)!;
  assert.ok(bindsHeader(first, final("y,,")));
  for (const header of ["n,,", "y,,x", "y,a=u,", "p=tls-exporter,,", "y,"]) {
    assert.ok(!bindsHeader(first, final(header)), header);
  }
});

test("names go into messages and come out of them", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (name) => {
      const form = formatSaslName(name);
      assert.ok(!form.includes(","));
      assert.equal(parseSaslName(form), name);
    }),
  );
});

test("no text makes the parsers throw, nor take long", () => {
  const part = fc.constantFrom(
    "n,,",
    "y,",
    "a=",
    "n=",
    "r=",
    "c=",
    "p=",
    "=2C",
    "=3D",
    ",",
    "biws",
  );
  const text = fc.array(fc.oneof(part, fc.string({ unit: "binary", maxLength: 8 }))).map((parts) =>
    parts.join("")
  );
  fc.assert(
    fc.property(text, (given) => {
      const first = parseScramFirst(given);
      if (first !== undefined) {
        assert.equal(`${first.gs2}${first.bare}`, given);
        assert.ok(first.user !== "" && !first.user.includes("\0"));
      }
      const final = parseScramFinal(given);
      if (final !== undefined) assert.ok(given.startsWith(final.withoutProof));
    }),
    { numRuns: 1000 },
  );
  for (const one of [",x=1", "=2C", "a", "n=", ",,"]) {
    const long = one.repeat(Math.floor(12_000 / one.length));
    for (const start of ["n,,n=u,r=a", "n,,n=", "n,a=", "c=biws,r=a", ""]) {
      parseScramFirst(start + long);
      parseScramFinal(start + long);
    }
  }
});
