/** Command lines (RFC 5321 section 4.1) to commands; refusals are in the corpus. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { isForeignProtocol, parseCommand } from "../../src/wire/command.ts";

const mailbox = (local: string, domain: string) => ({
  address: `${local}@${domain}`,
  local,
  domain,
  utf8: false,
});

describe("parseCommand", () => {
  test("takes every verb, whatever its case", () => {
    const from = mailbox("a", "b.test");
    const table: [string, object][] = [
      ["hElO c.test", { verb: "HELO", name: "c.test" }],
      ["ehlo [192.0.2.1]", { verb: "EHLO", name: "[192.0.2.1]" }],
      ["Mail From:<a@b.test>", { verb: "MAIL", from, params: {} }],
      ["MAIL FROM:<>", { verb: "MAIL", from: null, params: {} }],
      ["rcpt to:<a@b.test>", { verb: "RCPT", to: from, params: {} }],
      ["data", { verb: "DATA" }],
      ["Rset", { verb: "RSET" }],
      ["quit", { verb: "QUIT" }],
      ["starttls", { verb: "STARTTLS" }],
      ["noop x y", { verb: "NOOP" }],
      ["bdat 86 last", { verb: "BDAT", size: 86, last: true }],
      ["BDAT 86", { verb: "BDAT", size: 86, last: false }],
      ["vrfy smith", { verb: "VRFY", argument: "smith" }],
      ["expn list", { verb: "EXPN", argument: "list" }],
      ["help", { verb: "HELP", argument: "" }],
      ["auth login", { verb: "AUTH", mechanism: "LOGIN", initial: undefined }],
      ["AUTH PLAIN =", { verb: "AUTH", mechanism: "PLAIN", initial: "=" }],
      ["xclient proto=esmtp", { verb: "XCLIENT", attributes: { PROTO: "ESMTP" } }],
    ];
    for (const [line, command] of table) assert.deepEqual(parseCommand(line), command, line);
  });

  test("gives the parameters of MAIL and RCPT", () => {
    assert.deepEqual(
      parseCommand("MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x"),
      {
        verb: "MAIL",
        from: mailbox("a", "b.test"),
        params: { size: 100, body: "8BITMIME", smtputf8: true, ret: "HDRS", envid: "x" },
      },
    );
    assert.deepEqual(parseCommand("RCPT TO:<a@b.test> NOTIFY=NEVER"), {
      verb: "RCPT",
      to: mailbox("a", "b.test"),
      params: { notify: ["NEVER"] },
    });
  });

  test("R11: BDAT takes every size of 1 to 20 digits that can be counted, and no other", () => {
    const command = parseCommand(`BDAT ${Number.MAX_SAFE_INTEGER}`);
    assert.deepEqual(command, { verb: "BDAT", size: Number.MAX_SAFE_INTEGER, last: false });
    assert.equal(parseCommand("BDAT 9007199254740993").verb, "BAD");
  });

  test("R26: an unknown verb is kept short and printable", () => {
    const command = parseCommand("caf\u00e9".repeat(20) + " x");
    assert.equal(command.verb, "UNKNOWN");
    assert.match("word" in command ? command.word : "", /^(caf\\xC3\\xA9){2}.*\.\.\.$/);
    const bad = parseCommand("\x1b[31m");
    assert.equal("of" in bad && bad.of, "\\x1B[31m");
  });

  test("R18: a refused AUTH does not repeat what was sent", () => {
    const command = parseCommand("AUTH PLAIN c2VjcmV0!");
    assert.ok(!JSON.stringify(command).includes("c2VjcmV0"));
  });

  test("R20: takes paths and names of full length", () => {
    const local = "l".repeat(64);
    const label = "d".repeat(61);
    const domain = `${label}.${label}.${label}.test`;
    const path = `<${local}@${domain}>`;
    assert.equal(path.length, 64 + 190 + 3);
    assert.equal(parseCommand(`RCPT TO:${path}`).verb, "BAD");
    const fitting = `<${local.slice(1)}@${domain}>`;
    assert.equal(fitting.length, 256);
    assert.equal(parseCommand(`RCPT TO:${fitting}`).verb, "RCPT");
    assert.equal(parseCommand(`EHLO ${"a".repeat(255)}`).verb, "EHLO");
    assert.equal(parseCommand(`EHLO ${"a".repeat(256)}`).verb, "BAD");
  });
});

describe("isForeignProtocol", () => {
  test("R28: knows HTTP, RTSP, SIP, TLS and SSH", () => {
    const foreign = [
      "GET / HTTP/1.1",
      "POST /x HTTP/1.0",
      "PUT",
      "HEAD /",
      "OPTIONS sip:nm SIP/2.0",
      "CONNECT mx.test:25 HTTP/1.1",
      "get /",
      "BREW /pot HTTP/1.1",
      "PRI * HTTP/2.0",
      "DESCRIBE rtsp://a RTSP/1.0",
      "Host: mx.test",
      "Content-Type: text/plain",
      "User-Agent:curl",
      "\x16\x03\x01\x02\x00\x01",
      "SSH-2.0-OpenSSH_9",
    ];
    for (const line of foreign) assert.equal(isForeignProtocol(line), true, line);
  });

  test("R28: does not take SMTP for it", () => {
    const smtp = [
      "",
      "EHLO a.test",
      "MAIL FROM:<a@b.test>",
      "RCPT TO:<get@http.test>",
      "RCPT:<a@b.test>",
      "DATA",
      "NOOP HTTP/1.1",
      "HELP GET",
      "HEADER x",
      "GETTING",
      "VRFY a HTTP",
      "XCLIENT NAME=a:b",
      "foo",
    ];
    for (const line of smtp) assert.equal(isForeignProtocol(line), false, line);
  });
});
