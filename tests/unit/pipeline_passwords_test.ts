/**
 * Password hashing. The argon2 vector is from the PHC's own test suite; scrypt's is RFC 7914 section 12.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { passwords } from "../../src/pipeline/passwords.ts";

describe("passwords", () => {
  test("a new hash is argon2id with 19 MiB, two passes, one lane, and verifies", async () => {
    const hash = await passwords.hash("pässword");
    assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.equal(await passwords.verify(hash, "pässword"), true);
    assert.equal(await passwords.verify(hash, "password"), false);
    assert.notEqual(await passwords.hash("pässword"), hash);
  });

  test("argon2i and argon2id vectors", async () => {
    const vectors = [
      "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
      "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
    ];
    for (const hash of vectors) {
      assert.equal(await passwords.verify(hash, "password"), true);
      assert.equal(await passwords.verify(hash, "passwore"), false);
    }
  });

  test("scrypt, RFC 7914 section 12", async () => {
    const key = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162" +
      "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640";
    const octets = key.match(/../g)!.map((hex) => String.fromCharCode(parseInt(hex, 16))).join("");
    const hash = `$scrypt$ln=10,r=8,p=16$${btoa("NaCl").replace(/=/g, "")}$${
      btoa(octets).replace(/=/g, "")
    }`;
    assert.equal(await passwords.verify(hash, "password"), true);
    assert.equal(await passwords.verify(hash, "Password"), false);
  });

  test("bcrypt with 2a, 2b and 2y", async () => {
    const tail = "$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    for (const version of ["$2a", "$2b", "$2y"]) {
      assert.equal(await passwords.verify(version + tail, "U*U"), true);
      assert.equal(await passwords.verify(version + tail, "U*V"), false);
    }
  });

  test("an unknown or malformed hash rejects, and the message does not hold it", async () => {
    const bad = [
      "plaintext-by-mistake",
      "",
      "$5$rounds=5000$salt$hash",
      "$argon2id$v=19$m=9999999999,t=1,p=1$c29tZXNhbHQ$AAAAAAAA",
      "$argon2id$v=19$m=4294967,t=1,p=1$c29tZXNhbHQ$AAAAAAAA",
      "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$AAAAAAAA",
      "$argon2id$",
      "$scrypt$ln=30,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA",
      "$scrypt$ln=4,r=8$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA",
      "$2b$05$short",
    ];
    for (const hash of bad) {
      await assert.rejects(passwords.verify(hash, "x"), (cause: Error) => {
        assert.match(cause.message, /^Unsupported password hash/);
        assert.ok(hash === "" || !cause.message.includes(hash));
        return true;
      });
    }
  });
});
