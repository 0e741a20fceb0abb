/** R18: what a transcript keeps of a session, and what it does not. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { redact, Transcript } from "../../src/session/transcript.ts";

describe("redact", () => {
  const cut: readonly (readonly [string, string])[] = [
    ["AUTH PLAIN AHVzZXIAc2VjcmV0", "AUTH PLAIN ***"],
    ["auth plain AHVzZXIAc2VjcmV0", "auth plain ***"],
    ["AUTH  PLAIN   AHVzZXIAc2VjcmV0", "AUTH  PLAIN ***"],
    ["AUTH\tPLAIN\tAHVzZXIAc2VjcmV0", "AUTH\tPLAIN ***"],
    [" AUTH PLAIN AHVzZXIAc2VjcmV0", "AUTH PLAIN ***"],
    ["AUTH LOGIN dXNlcg== c2VjcmV0", "AUTH LOGIN ***"],
    ["AUTH PLAIN =", "AUTH PLAIN ***"],
    ['AUTH "PLAIN" c2VjcmV0', "AUTH ***"],
    ["334 cj1hYmMscz1zYWx0LGk9NDA5Ng==", "334 ***"],
    ["334 ", "334 ***"],
    ["XOAUTH2 dXNlcj1hbm5hAWF1dGg9QmVhcmVyIA==", "XOAUTH2 ***"],
    ["VRFY annaannaannaannaanna", "VRFY annaannaannaannaanna"],
    ["AUTH=PLAIN c2VjcmV0", "AUTH ***"],
    ["AUTH:c2VjcmV0", "AUTH ***"],
    ["AUTHc2VjcmV0", "AUTH ***"],
    [`AUTH ${"X".repeat(21)} c2VjcmV0`, "AUTH ***"],
  ];
  for (const [line, expected] of cut) {
    test(`R18: ${JSON.stringify(line)}`, () => assert.equal(redact(line), expected));
  }

  test("R18: responses of a client that went on although AUTH was refused", () => {
    for (const line of ["dXNlcg==", "c2VjcmV0", "AHVzZXIAc2VjcmV0", "Y2F0", "c2VjcmV0IQ=", "x"]) {
      assert.equal(redact(line), "***");
    }
  });

  test("everything else stays as it is", () => {
    const lines = [
      "AUTH PLAIN",
      "AUTH",
      "EHLO a.test",
      "QUIT",
      "data",
      "MAIL FROM:<a@b.test> SIZE=1",
    ]
      .concat([
        "RCPT TO:<auth@b.test>",
        "XYZZY with words",
        "250 2.1.0 ok",
        "250-AUTH PLAIN LOGIN",
      ]);
    for (const line of lines) assert.equal(redact(line), line);
  });

  test("R26: one line, printable, bounded", () => {
    const line = redact(`NOOP \x1b[2J\r\nS: 250 ok ${"x".repeat(2000)}`);
    assert.match(line, /^[\x20-\x7e]{1,512}$/);
    assert.ok(line.includes("\\x0D\\x0A"));
  });
});

describe("Transcript", () => {
  test("is a dialogue", () => {
    const transcript = new Transcript(10);
    transcript.line("S", "220 mx.test");
    transcript.line("C", "AUTH PLAIN AHVzZXIAc2VjcmV0");
    transcript.secret("C");
    transcript.line("U>", "MAIL FROM:<a@b.test>");
    transcript.line("U<", "250 ok");
    transcript.secret("U>");
    transcript.content("C", 42);
    assert.deepEqual(transcript.toDialogue().split("\n"), [
      "S: 220 mx.test",
      "C: AUTH PLAIN ***",
      "C: ***",
      "U> MAIL FROM:<a@b.test>",
      "U< 250 ok",
      "U> ***",
      "# C 42 octets of content",
      "",
    ]);
  });

  test("R29: keeps the last lines and says how many are gone", () => {
    const transcript = new Transcript(2);
    for (let i = 1; i <= 5; i++) transcript.line("C", `NOOP ${i}`);
    assert.equal(
      transcript.toDialogue(),
      "# 3 earlier lines are not kept\nC: NOOP 4\nC: NOOP 5\n",
    );
  });

  test("an empty one is empty", () => assert.equal(new Transcript(5).toDialogue(), ""));
});
