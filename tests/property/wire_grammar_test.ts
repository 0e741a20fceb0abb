/** Properties of the command grammar: parsers are total, and parse of format is identity. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { isForeignProtocol, parseCommand } from "../../src/wire/command.ts";
import { formatIp, parseIp } from "../../src/wire/ip.ts";
import {
  formatMailParams,
  formatRcptParams,
  parseMailParams,
  parseRcptParams,
} from "../../src/wire/params.ts";
import {
  formatPath,
  parseForwardPath,
  parseMailbox,
  parseReversePath,
} from "../../src/wire/path.ts";
import { commentText, printable } from "../../src/wire/printable.ts";
import { formatReply, type Reply, ReplyParser } from "../../src/wire/reply.ts";
import { decodeBase64, encodeBase64, parsePlain } from "../../src/wire/sasl.ts";
import { formatXclient, parseXclient } from "../../src/wire/xclient.ts";
import { decodeXtext, encodeXtext, isXtext } from "../../src/wire/xtext.ts";
import { formatProxyV1, formatProxyV2, ProxyHeaderParser } from "../../src/wire/proxy_protocol.ts";

const utf8 = new TextEncoder();

/** Text made of what the grammars care about, so that a parser gets past its first character. */
const nasty = fc.array(
  fc.constantFrom(
    ...'<>@:,;."\\[]()%! =+-_aZ09\t\r\n\0\x7f\u0080\u00e4\uff0e\ud800'.split(""),
    ...["MAIL FROM:", "RCPT TO:", "BDAT ", "AUTH ", "XCLIENT ", "EHLO ", " SIZE=", " ORCPT="],
    ...["postmaster", "a@b.test", "IPv6:", "::", "192.0.2.1", "\u{1f600}", "utf-8;", "NAME="],
  ),
  { maxLength: 24 },
).map((parts) => parts.join(""));
const text = fc.oneof(nasty, fc.string({ unit: "binary" }), fc.string());

const printableText = (max: number) =>
  fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)),
    maxLength: max,
    minLength: 1,
  });
const label = fc.stringMatching(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,10}[A-Za-z0-9])?$/);
const domain = fc.oneof(
  fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join(".") + ".test"),
  fc.ipV4().map((address) => `[${address}]`),
  fc.ipV6().map((address) => `[IPv6:${address}]`),
  fc.constantFrom("b\u00fccher.test", "\u4f8b\u5b50.test"),
);
const local = fc.oneof(
  printableText(30),
  fc.string({
    unit: fc.constantFrom("a", "\u00e4", ".", '"', "\\", " ", "@", "\u{1f600}"),
    minLength: 1,
    maxLength: 12,
  }),
);
/** A local part in the most quoted of its spellings. */
const quotedLocal = local.map((value) => ({
  value,
  wire: '"' + value.replace(/[ -~]/g, "\\$&") + '"',
}));

test("R21: every text is a command, and none throws", () => {
  fc.assert(
    fc.property(text, (line) => {
      const command = parseCommand(line);
      if (command.verb === "BAD") assert.ok(command.reply.code >= 500);
      if (/[\x00-\x1f\x7f-\x9f]/.test(line)) assert.equal(command.verb, "BAD");
      if ("word" in command) assert.match(command.word, /^[\x20-\x7e]*$/);
      assert.equal(typeof isForeignProtocol(line), "boolean");
    }),
    { numRuns: 3000 },
  );
});

test("R19, R22: a path that was taken is written so that it reads the same, as one path", () => {
  fc.assert(
    fc.property(text, (input) => {
      for (const parse of [parseReversePath, parseForwardPath]) {
        const first = parse(input);
        if (!first.ok) continue;
        const wire = formatPath(first.value);
        assert.match(wire, /^<[^\x00-\x1f\x7f]*>$/);
        assert.deepEqual(parse(wire), { ok: true, value: first.value, rest: "" });
        assert.ok(utf8.encode(wire).length <= 256);
      }
    }),
    { numRuns: 3000 },
  );
});

test("R19, R20: every spelling of a local part gives one canonical mailbox", () => {
  fc.assert(
    fc.property(quotedLocal, domain, (quoted, at) => {
      const mailbox = parseMailbox(`${quoted.wire}@${at}`);
      assert.ok(mailbox);
      assert.equal(mailbox.local, quoted.value);
      assert.equal(mailbox.domain, at.toLowerCase());
      assert.deepEqual(parseMailbox(mailbox.address), mailbox);
      assert.deepEqual(parseForwardPath(`<@x.test:${mailbox.address}>`), {
        ok: true,
        value: mailbox,
        rest: "",
      });
      assert.equal(mailbox.utf8, /[^\x00-\x7f]/.test(mailbox.address));
    }),
    { numRuns: 1000 },
  );
});

const xtext = printableText(40).map(encodeXtext);
const mailParams = fc.record({
  size: fc.maxSafeNat(),
  body: fc.constantFrom("7BIT" as const, "8BITMIME" as const, "BINARYMIME" as const),
  smtputf8: fc.constant(true as const),
  ret: fc.constantFrom("FULL" as const, "HDRS" as const),
  envid: xtext.filter((value) => value.length <= 100),
  auth: fc.oneof(xtext, fc.constant("<>")),
  requiretls: fc.constant(true as const),
}, { requiredKeys: [] });
const rcptParams = fc.record({
  notify: fc.oneof(
    fc.constant(["NEVER" as const]),
    fc.uniqueArray(fc.constantFrom("SUCCESS" as const, "FAILURE" as const, "DELAY" as const), {
      minLength: 1,
    }),
  ),
  orcpt: fc.oneof(
    xtext.map((value) => `rfc822;${value}`),
    fc.constant("utf-8;j\u00f6rg@b\u00fccher.test"),
  ),
}, { requiredKeys: [] });

test("R22: parameters read as they were written", () => {
  fc.assert(fc.property(mailParams, rcptParams, (mail, rcpt) => {
    assert.deepEqual(parseMailParams(formatMailParams(mail)), { ok: true, value: { ...mail } });
    assert.deepEqual(parseRcptParams(formatRcptParams(rcpt)), { ok: true, value: { ...rcpt } });
  }));
});

test("R22: parameters that were taken are written, and any text is taken or refused", () => {
  fc.assert(
    fc.property(text, (input) => {
      for (const given of [input, " " + input]) {
        const mail = parseMailParams(given);
        if (mail.ok) assert.deepEqual(parseMailParams(formatMailParams(mail.value)), mail);
        const rcpt = parseRcptParams(given);
        if (rcpt.ok) assert.deepEqual(parseRcptParams(formatRcptParams(rcpt.value)), rcpt);
      }
    }),
    { numRuns: 1000 },
  );
});

const reply: fc.Arbitrary<Reply> = fc.record({
  code: fc.integer({ min: 200, max: 599 }),
  enhanced: fc.option(fc.tuple(fc.nat(999), fc.nat(999)), { nil: undefined }),
  // Text that does not begin like an enhanced code, and that fits into its line.
  lines: fc.array(printableText(80).map((line) => "t" + line), { minLength: 1, maxLength: 5 }),
}).map(({ code, enhanced, lines }) => ({
  code,
  enhanced: enhanced && code >= 200 && Math.floor(code / 100) !== 3
    ? `${Math.floor(code / 100)}.${enhanced.join(".")}`
    : undefined,
  lines,
}));

/** Everything the parser gives for the octets, cut at the given places. */
function replies(bytes: Uint8Array, cuts: readonly number[]): unknown[] {
  const parser = new ReplyParser();
  const out: unknown[] = [];
  const places = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
  for (const [i, from] of [0, ...places].entries()) {
    parser.feed(bytes.subarray(from, places[i] ?? bytes.length));
    for (let found = parser.next(); found !== undefined; found = parser.next()) {
      out.push("fault" in found ? "fault" : found);
      if ("fault" in found) return out;
    }
  }
  return out;
}

test("replies read as they were written, however they are cut", () => {
  fc.assert(fc.property(fc.array(reply), fc.array(fc.nat()), (all, cuts) => {
    const bytes = utf8.encode(all.map(formatReply).join(""));
    assert.deepEqual(replies(bytes, cuts), all);
  }));
});

test("R24: any octets give well-formed replies or a fault, and the same for every cut", () => {
  const line = fc.oneof(
    fc.constantFrom(
      "250 ok\r\n",
      "250-a\r\n",
      "550 5.1.1 no\r\n",
      "354\r\n",
      "999 x\r\n",
      "250 x\n",
    ),
    fc.string({ unit: fc.constantFrom(..."250-3 .\r\n\0\tx"), maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat()), (lines, cuts) => {
      const bytes = utf8.encode(lines.join(""));
      const whole = replies(bytes, []);
      assert.deepEqual(replies(bytes, cuts), whole);
      for (const found of whole) {
        if (found === "fault") continue;
        const { code, lines } = found as Reply;
        assert.ok(code >= 200 && code <= 599 && lines.length > 0);
        assert.match(formatReply(found as Reply), /^(?:\d{3}[- ][\t\x20-\x7e]*\r\n)+$/);
      }
    }),
    { numRuns: 1000 },
  );
});

test("R24: no reply's text breaks its line", () => {
  fc.assert(fc.property(fc.array(text), text, (lines, enhanced) => {
    const wire = formatReply({ code: 550, enhanced, lines });
    assert.match(wire, /^(?:550-[\t\x20-\x7e]*\r\n)*550 [\t\x20-\x7e]*\r\n$/);
  }));
});

test("xtext reads as it was written", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), text, (value, any) => {
    assert.ok(isXtext(encodeXtext(value)));
    assert.equal(decodeXtext(encodeXtext(value)), value);
    if (!isXtext(any)) assert.equal(decodeXtext(any), undefined);
  }));
});

test("R22: XCLIENT attributes read as they were written, each line within 512 octets", () => {
  const value = fc.oneof(printableText(60), fc.constant("j\u00f6rg"));
  const attributes = fc.record({
    NAME: fc.option(value),
    ADDR: fc.option(fc.oneof(fc.ipV4(), fc.ipV6())),
    PORT: fc.option(fc.integer({ min: 1, max: 65535 })),
    PROTO: fc.constantFrom("SMTP" as const, "ESMTP" as const, null),
    HELO: fc.option(value),
    LOGIN: fc.option(value),
  }, { requiredKeys: [] });
  const isWord = (one: unknown) => /^\[(UNAVAILABLE|TEMPUNAVAIL)\]$/i.test(String(one));
  fc.assert(fc.property(attributes, (given) => {
    fc.pre(!Object.values(given).some(isWord));
    const lines = formatXclient(given, Object.keys(given));
    const merged = {};
    for (const line of lines) {
      assert.ok(line.length <= 510);
      const command = parseCommand(line);
      assert.ok(command.verb === "XCLIENT", line);
      Object.assign(merged, command.attributes);
    }
    const octets = given.ADDR ? parseIp(given.ADDR) : undefined;
    const expected = octets ? { ...given, ADDR: formatIp(octets) } : { ...given };
    assert.deepEqual(merged, expected);
  }));
});

test("IP addresses: text of octets of text", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), text, (address, any) => {
    const octets = parseIp(address);
    assert.ok(octets);
    assert.deepEqual(parseIp(formatIp(octets)), octets);
    const found = parseIp(any);
    if (found) assert.ok(found.length === 4 || found.length === 16);
  }));
});

test("base64 and PLAIN: any octets are taken or refused", () => {
  fc.assert(fc.property(fc.uint8Array(), text, (octets, any) => {
    assert.deepEqual(decodeBase64(encodeBase64(octets)), octets);
    const decoded = decodeBase64(any);
    if (decoded !== undefined) assert.equal(encodeBase64(decoded).length, any.length);
    const plain = parsePlain(octets);
    if (plain !== undefined) assert.notEqual(plain.authcid, "");
    assert.ok(parseXclient(any) === undefined || any.includes("="));
  }));
});

test("PROXY headers read as they were written; any octets are taken or refused", () => {
  const address = fc.oneof(
    fc.tuple(fc.ipV4(), fc.ipV4()),
    fc.tuple(fc.ipV6(), fc.ipV6()),
  );
  const port = fc.nat(65535);
  fc.assert(fc.property(address, port, port, fc.uint8Array(), (pair, from, to, junk) => {
    const source = { address: canonical(pair[0]), port: from };
    const destination = { address: canonical(pair[1]), port: to };
    for (
      const wire of [
        utf8.encode(formatProxyV1(source, destination)),
        formatProxyV2(source, destination, { uniqueId: junk.slice(0, 128), checksum: true }),
      ]
    ) {
      const result = new ProxyHeaderParser().feed(Uint8Array.of(...wire, ...junk));
      assert.ok(typeof result === "object" && result.ok);
      assert.deepEqual(result.header.source, source);
      assert.deepEqual(result.header.destination, destination);
      assert.deepEqual(result.rest, junk);
    }
    const start = formatProxyV2(source, destination).subarray(0, 14);
    const result = new ProxyHeaderParser().feed(Uint8Array.of(...start, 0, junk.length, ...junk));
    assert.notEqual(result, "more");
  }));
});

function canonical(address: string): string {
  return formatIp(parseIp(address) ?? new Uint8Array(4));
}

test("R25, R26: printable text is printable, of the length asked for, and different for different texts", () => {
  fc.assert(fc.property(text, text, fc.nat(60), (a, b, max) => {
    for (const show of [printable, commentText]) {
      assert.match(show(a, max), /^[\x20-\x7e]*$/);
      assert.ok(show(a, max).length <= max);
      if (a !== b && a.isWellFormed() && b.isWellFormed()) {
        assert.notEqual(show(a, 1e6), show(b, 1e6));
      }
    }
    assert.doesNotMatch(commentText(a, max), /[()]/);
  }));
});
