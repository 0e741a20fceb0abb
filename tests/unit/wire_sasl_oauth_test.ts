import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeBase64 } from "../../src/wire/sasl.ts";
import {
  oauthBearerInitial,
  parseOAuthBearer,
  parseXOAuth2,
  xoauth2Initial,
} from "../../src/wire/sasl_oauth.ts";

const octets = (text: string) => new TextEncoder().encode(text);

test("the example of RFC 7628 section 4.1", () => {
  const message = octets(
    "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01" +
      "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
  );
  assert.deepEqual(parseOAuthBearer(message), {
    user: "user@example.com",
    token: "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
    host: "server.example.com",
    port: 143,
  });
});

test("OAUTHBEARER: names are escaped, may be missing; keys and scheme in any case", () => {
  const of = (text: string) => parseOAuthBearer(octets(text));
  assert.equal(of("n,,\x01auth=Bearer abc\x01\x01")?.user, "");
  assert.equal(of("y,,\x01AUTH=bearer abc\x01\x01")?.token, "abc");
  assert.equal(of("n,a=b=2Cc=3D,\x01auth=Bearer abc\x01\x01")?.user, "b,c=");
  assert.equal(of("n,a=j\u00f6rg,\x01auth=Bearer abc\x01\x01")?.user, "j\u00f6rg");
  assert.equal(of("n,,\x01port=65536x\x01auth=Bearer abc\x01\x01")?.port, undefined);
});

test("XOAUTH2: a name and a token", () => {
  const message = octets("user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2\x01\x01");
  assert.deepEqual(parseXOAuth2(message), {
    user: "someuser@example.com",
    token: "ya29.vF9dft4qmTc2",
    host: undefined,
    port: undefined,
  });
});

test("R16: malformed messages are refused", () => {
  const pair = "\x01auth=Bearer abc";
  for (
    const text of [
      "",
      "\x01",
      "\x01\x01",
      "n,,\x01\x01",
      `n,,${pair}\x01`,
      `n,,${pair}`,
      `n,${pair}\x01\x01`,
      `p=tls-exporter,,${pair}\x01\x01`,
      `n,a=b=,${pair}\x01\x01`,
      `n,,${pair}${pair}\x01\x01`,
      `n,,\x01auth=Bearer \x01\x01`,
      `n,,\x01auth=Basic abc\x01\x01`,
      `n,,\x01auth=Bearer a b\x01\x01`,
      `n,,\x01auth=Bearer a\u00e4\x01\x01`,
      `n,,\x01host\x01auth=Bearer abc\x01\x01`,
      `n,,\x01h1=x\x01auth=Bearer abc\x01\x01`,
      `n,a=x\0y,${pair}\x01\x01`,
      `n,,${"\x01a=b".repeat(20)}${pair}\x01\x01`,
    ]
  ) assert.equal(parseOAuthBearer(octets(text)), undefined, JSON.stringify(text));
  for (
    const text of [
      "",
      "user=\x01auth=Bearer abc\x01\x01",
      "auth=Bearer abc\x01\x01",
      "user=a\x01\x01",
      "user=a\x01auth=Bearer abc\x01",
      "user=a\x01auth=abc\x01\x01",
      "user=a\0\x01auth=Bearer abc\x01\x01",
    ]
  ) assert.equal(parseXOAuth2(octets(text)), undefined, JSON.stringify(text));
  assert.equal(parseXOAuth2(Uint8Array.of(0xff, 0xfe)), undefined);
});

test("what a client says is what the server reads", () => {
  const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 })
    .filter((text) => !/[\0\x01]/.test(text) && text.isWellFormed());
  const token = fc.stringMatching(/^[A-Za-z0-9._~+/-]{1,60}={0,2}$/);
  fc.assert(
    fc.property(name, token, (user, token) => {
      const said = parseOAuthBearer(decodeBase64(oauthBearerInitial(user, token))!);
      assert.deepEqual([said?.user, said?.token], [user, token]);
      const forerunner = parseXOAuth2(decodeBase64(xoauth2Initial(user, token))!);
      assert.deepEqual([forerunner?.user, forerunner?.token], [user, token]);
    }),
  );
  assert.throws(() => xoauth2Initial("a\x01auth=Bearer evil", "abc"), TypeError);
  assert.throws(() => oauthBearerInitial("a", "abc\x01"), TypeError);
});

test("no octets make the parsers throw, nor take long", () => {
  const part = fc.constantFrom("n,,", "a=", "user=", "\x01", "auth=Bearer ", "host=", "=2C", "x");
  const message = fc.array(fc.oneof(part, fc.string({ unit: "binary", maxLength: 8 })))
    .map((parts) => octets(parts.join("")));
  fc.assert(
    fc.property(fc.oneof(message, fc.uint8Array()), (given) => {
      for (const parse of [parseOAuthBearer, parseXOAuth2]) {
        const found = parse(given);
        if (found !== undefined) assert.match(found.token, /^[A-Za-z0-9._~+/-]+=*$/);
      }
    }),
    { numRuns: 1000 },
  );
  for (const one of ["\x01a=b", "=", "=2C", "\x01", "a"]) {
    parseOAuthBearer(octets(`n,,\x01auth=Bearer ${one.repeat(4000)}\x01\x01`));
    parseXOAuth2(octets(`user=a\x01auth=Bearer ${one.repeat(4000)}\x01\x01`));
  }
});
