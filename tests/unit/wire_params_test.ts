/** Parameters of MAIL and RCPT (RFC 1870, 3030, 3461, 4954, 6152, 6531, 6533, 8689). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  formatMailParams,
  formatRcptParams,
  parseMailParams,
  parseRcptParams,
} from "../../src/wire/params.ts";

/** The values, or the refusal as `code enhanced`. */
function mail(text: string): unknown {
  const result = parseMailParams(text);
  return result.ok ? result.value : `${result.reply.code} ${result.reply.enhanced}`;
}

function rcpt(text: string): unknown {
  const result = parseRcptParams(text);
  return result.ok ? result.value : `${result.reply.code} ${result.reply.enhanced}`;
}

describe("MAIL parameters", () => {
  test("are taken", () => {
    const table: [string, object][] = [
      ["", {}],
      [" SIZE=0", { size: 0 }],
      [" size=0000000000000000012", { size: 12 }],
      [" SIZE=99999999999999999999", { size: Number.MAX_SAFE_INTEGER }],
      [" body=8bitmime", { body: "8BITMIME" }],
      [" BODY=7BIT", { body: "7BIT" }],
      [" BODY=BINARYMIME", { body: "BINARYMIME" }],
      [" smtputf8", { smtputf8: true }],
      [" RET=full", { ret: "FULL" }],
      [" ENVID=QQ314159+20x", { envid: "QQ314159+20x" }],
      [" AUTH=<>", { auth: "<>" }],
      [" AUTH=e+3Dmc2@example.test", { auth: "e+3Dmc2@example.test" }],
      [" REQUIRETLS", { requiretls: true }],
    ];
    for (const [text, params] of table) assert.deepEqual(mail(text), params, text);
  });

  test("R21: bad values, repeated and malformed ones are 501 5.5.4", () => {
    const bad = [
      "SIZE=1",
      " ",
      "  SIZE=1",
      " SIZE=1 ",
      " SIZE",
      " SIZE=",
      " SIZE=1x",
      " SIZE=1=1",
      " SIZE=+1",
      " SIZE=123456789012345678901",
      " SIZE=1 size=1",
      " BODY=9BIT",
      " BODY",
      " SMTPUTF8=",
      " SMTPUTF8=yes",
      " SMTPUTF8 SMTPUTF8",
      " REQUIRETLS=1",
      " RET=SOME",
      " RET=\u017f",
      " ENVID=",
      " ENVID=a+b",
      " ENVID=a+0d",
      " ENVID=a+0D+0ATo:x",
      " ENVID=a+00",
      " ENVID=\u00e4",
      ` ENVID=${"a".repeat(101)}`,
      " AUTH=a\u0007",
      " AUTH=+FF",
      " -SIZE=1",
      " SI_ZE=1",
      " \u017fIZE=1",
    ];
    for (const text of bad) assert.equal(mail(text), "501 5.5.4", JSON.stringify(text));
  });

  test("R21, R34: unknown ones are 555 5.5.4", () => {
    for (const text of [" FOO", " FOO=1", " constructor=1", " hasOwnProperty", " NOTIFY=NEVER"]) {
      assert.equal(mail(text), "555 5.5.4", text);
    }
  });

  test("R22: are written from values that pass the grammar only", () => {
    assert.equal(formatMailParams({}), "");
    assert.equal(
      formatMailParams({
        size: 5,
        body: "8BITMIME",
        smtputf8: true,
        ret: "HDRS",
        envid: "a",
        auth: "<>",
        requiretls: true,
      }),
      " SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a AUTH=<> REQUIRETLS",
    );
    assert.throws(() => formatMailParams({ envid: "a SIZE=1" }), TypeError);
    assert.throws(() => formatMailParams({ auth: "a\r\nDATA" }), TypeError);
    assert.throws(() => formatMailParams({ size: 1.5 }), TypeError);
    assert.throws(() => formatMailParams({ size: -1 }), TypeError);
    assert.throws(() => formatMailParams({ body: "7BIT\r\nDATA" as "7BIT" }), TypeError);
    assert.throws(() => formatMailParams({ ret: "FULL X" as "FULL" }), TypeError);
  });
});

describe("RCPT parameters", () => {
  test("are taken", () => {
    const table: [string, object][] = [
      ["", {}],
      [" NOTIFY=NEVER", { notify: ["NEVER"] }],
      [" notify=success,Delay", { notify: ["SUCCESS", "DELAY"] }],
      [" ORCPT=rfc822;a+2Bb@c.test", { orcpt: "rfc822;a+2Bb@c.test" }],
      [" ORCPT=utf-8;j\\x{F6}rg@c.test", { orcpt: "utf-8;j\\x{F6}rg@c.test" }],
      [" ORCPT=UTF-8;j\u00f6rg@c.test", { orcpt: "UTF-8;j\u00f6rg@c.test" }],
    ];
    for (const [text, params] of table) assert.deepEqual(rcpt(text), params, text);
  });

  test("R21: bad ones are 501 5.5.4", () => {
    const bad = [
      " NOTIFY",
      " NOTIFY=",
      " NOTIFY=NEVER,SUCCESS",
      " NOTIFY=SUCCESS,SUCCESS",
      " NOTIFY=SUCCESS,",
      " NOTIFY=ALWAYS",
      " NOTIFY=NEVER NOTIFY=NEVER",
      " ORCPT=a@b.test",
      " ORCPT=;a@b.test",
      " ORCPT=rfc822;",
      " ORCPT=rfc822;a+",
      " ORCPT=rfc822;a+0A",
      " ORCPT=rfc822;j\u00f6rg@c.test",
      " ORCPT=utf-8;j\u00f6rg+zz",
      " ORCPT=utf-8;\u0085\u00f6",
      ` ORCPT=rfc822;${"a".repeat(500)}`,
    ];
    for (const text of bad) assert.equal(rcpt(text), "501 5.5.4", JSON.stringify(text));
  });

  test("R21: unknown ones are 555 5.5.4", () => {
    for (const text of [" SIZE=1", " X-FOO=1", " toString=1"]) {
      assert.equal(rcpt(text), "555 5.5.4", text);
    }
  });

  test("R22: are written from values that pass the grammar only", () => {
    const params = { notify: ["SUCCESS", "DELAY"], orcpt: "rfc822;a@b.test" } as const;
    assert.equal(formatRcptParams(params), " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b.test");
    assert.throws(() => formatRcptParams({ orcpt: "rfc822;a NOTIFY=NEVER" }), TypeError);
    assert.throws(() => formatRcptParams({ notify: [] }), TypeError);
  });
});
