/** SASL framing (RFC 4954 section 4, RFC 4616). */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  decodeBase64,
  encodeBase64,
  LOGIN_PASSWORD,
  LOGIN_USERNAME,
  loginStep,
  parseLoginAnswer,
  parsePlain,
  plainInitial,
} from "../../src/wire/sasl.ts";

const utf8 = new TextEncoder();

test("decodeBase64 takes the test vectors of RFC 4648 section 10", () => {
  const table: [string, string][] = [
    ["", ""],
    ["Zg==", "f"],
    ["Zm8=", "fo"],
    ["Zm9v", "foo"],
    ["Zm9vYmFy", "foobar"],
  ];
  for (const [base64, text] of table) {
    assert.deepEqual(decodeBase64(base64), utf8.encode(text));
    assert.equal(encodeBase64(utf8.encode(text)), base64);
  }
});

test("R16: decodeBase64 refuses missing padding, white space and foreign characters", () => {
  const bad = ["Zg", "Zg=", "Z", "=", "==", "====", "Zg==Zg==", "Z g=", "Zm9v\n", " Zm9v", "Zm9-"];
  for (const text of [...bad, "Zm9_", "Zm9\u00e4", "*", "Z==="]) {
    assert.equal(decodeBase64(text), undefined, JSON.stringify(text));
  }
});

test("parsePlain takes RFC 4616's examples", () => {
  assert.deepEqual(parsePlain(utf8.encode("\0tim\0tanstaaftanstaaf")), {
    authzid: "",
    authcid: "tim",
    password: "tanstaaftanstaaf",
  });
  assert.deepEqual(parsePlain(utf8.encode("Ursel\0Kurt\0xipj3plmq")), {
    authzid: "Ursel",
    authcid: "Kurt",
    password: "xipj3plmq",
  });
});

test("R16: parsePlain refuses malformed messages", () => {
  for (const text of ["", "a", "a\0b", "\0\0", "\0\0p", "\0a\0", "\0a\0b\0", "a\0b\0c\0d"]) {
    assert.equal(parsePlain(utf8.encode(text)), undefined, JSON.stringify(text));
  }
  assert.equal(parsePlain(Uint8Array.of(0, 0xff, 0, 0x61)), undefined);
  assert.equal(parsePlain(Uint8Array.of(0, 0xc0, 0x80, 0, 0x61)), undefined);
});

test("a byte order mark is part of the name", () => {
  assert.equal(parsePlain(utf8.encode("\0\ufeffa\0p"))?.authcid, "\ufeffa");
  assert.equal(parsePlain(utf8.encode("\ufeff\0a\0p"))?.authzid, "\ufeff");
});

test("LOGIN's challenges and answers", () => {
  assert.deepEqual(decodeBase64(LOGIN_USERNAME), utf8.encode("Username:"));
  assert.deepEqual(decodeBase64(LOGIN_PASSWORD), utf8.encode("Password:"));
  assert.equal(parseLoginAnswer(loginStep(0, "j\u00f6rg", "p") ?? ""), "j\u00f6rg");
  assert.equal(parseLoginAnswer(loginStep(1, "u", "p\u00e4ss") ?? ""), "p\u00e4ss");
  assert.equal(loginStep(2, "u", "p"), undefined);
  for (const text of ["", "*", "AA==", "YQBi", "/w=="]) {
    assert.equal(parseLoginAnswer(text), undefined, text);
  }
});

test("plainInitial is what parsePlain takes", () => {
  const message = decodeBase64(plainInitial("j\u00f6rg", "p\u00e4ss word"));
  assert.ok(message);
  assert.deepEqual(parsePlain(message), {
    authzid: "",
    authcid: "j\u00f6rg",
    password: "p\u00e4ss word",
  });
});

test("R22: a NUL in a credential cannot make another field", () => {
  assert.throws(() => plainInitial("a\0b", "c"), TypeError);
  assert.throws(() => plainInitial("a", "b\0c"), TypeError);
  assert.throws(() => loginStep(0, "a\0b", "c"), TypeError);
});
