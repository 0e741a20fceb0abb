import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Score, TransactionFacts } from "@postern/postern/plugin";
import { fakeEdge } from "../../tests/support/fake_edge.ts";
import { context, headerView, parseOptions, transaction } from "../../tests/support/fake_facts.ts";
import spamScore, { type Options, options } from "./mod.ts";
import { bodyRules } from "./rules.ts";

const good = [
  "Received: from a.example.net by client.example.net; Thu, 15 Jan 2026 11:59:59 +0000",
  "From: Sam Sender <sender@example.net>",
  "To: rcpt@example.org",
  "Date: Thu, 15 Jan 2026 12:59:58 +0100",
  "Message-ID: <1@example.net>",
  "Subject: The minutes of Monday's meeting",
  "MIME-Version: 1.0",
];

/** The scores of a body under a Content-Type, and further fields. */
async function judge(body: string | Uint8Array, type = "text/plain", ...more: string[]) {
  const plugin = await spamScore(fakeEdge(), await parseOptions<Options>(options, {}));
  const tx: TransactionFacts = transaction();
  const lines = [...good, `Content-Type: ${type}`, ...more];
  plugin.hooks.header!(headerView(...lines), context(tx));
  const octets = typeof body === "string" ? new TextEncoder().encode(body) : body;
  plugin.hooks.body!.observe!(octets, context(tx));
  const answer = plugin.hooks.end!(tx, context(tx)) ?? [];
  return [answer].flat() as readonly Score[];
}

const base64 = "Content-Transfer-Encoding: base64";
const quoted = "Content-Transfer-Encoding: quoted-printable";
const html = "text/html; charset=utf-8";

function multipart(...parts: string[]): string {
  return parts.map((part) => `--b\r\n${part}\r\n`).join("") + "--b--\r\n";
}
const mixed = "multipart/mixed; boundary=b";
const hello = "Content-Type: text/plain\r\n\r\nHello Sam";

function attachment(name: string, type = "application/octet-stream", content = "AAAA"): string {
  return `Content-Type: ${type}\r\n${base64}\r\nContent-Disposition: attachment; ${name}\r\n\r\n${content}`;
}

function page(inside: string): string {
  return `<html><body><p>Dear Sam, ${
    "here is some text to read. ".repeat(10)
  }</p>${inside}</body></html>`;
}

type Case = readonly [
  expected: string,
  body: string | Uint8Array,
  type?: string,
  ...more: string[],
];

const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

const cases: readonly Case[] = [
  ["", "Hello\r\n"],
  ["", multipart(hello, attachment("filename=minutes.pdf", "application/pdf")), mixed],
  ["MIME_NO_BOUNDARY", "--b\r\n", "multipart/mixed"],
  ["MIME_NO_PARTS EMPTY_BODY", "Hello\r\n", "multipart/mixed; boundary=other"],
  ["MIME_UNCLOSED", `--b\r\n${hello}\r\n`, mixed],
  ["MIME_TOO_DEEP", nested(9), "multipart/mixed; boundary=b0"],
  ["", nested(7), "multipart/mixed; boundary=b0"],
  ["MIME_TOO_MANY_PARTS", multipart(...Array.from({ length: 120 }, () => hello)), mixed],
  ["MIME_BAD_ENCODING", "Hello\r\n", "text/plain", "Content-Transfer-Encoding: rot13"],
  ["MIME_BAD_ENCODING", multipart(hello), mixed, base64],
  ["MIME_BROKEN_ENCODING", "Hel=zzlo\r\n", "text/plain", quoted],
  ["MIME_BASE64_ASCII", btoa("Buy the best pills of the world now"), "text/plain", base64],
  ["", btoa("Gr\u00fc\u00dfe an alle in der Runde"), "text/plain; charset=latin1", base64],
  ["MIME_STRANGE_CHARSET", "Hello\r\n", "text/plain; charset=klingon"],
  ["MIME_RAW_8BIT", latin1("Gr\u00fc\u00dfe\r\n"), "text/plain; charset=us-ascii"],
  ["MIME_PLAIN_IS_HTML", "\r\n<html><body>Hello</body></html>\r\n"],
  ["EMPTY_BODY", " \r\n\r\n"],
  ["ATTACHMENT_EXECUTABLE", multipart(hello, attachment("filename=game.exe")), mixed],
  ["ATTACHMENT_EXECUTABLE", multipart(hello, attachment("filename*=utf-8''game%2Escr")), mixed],
  [
    "ATTACHMENT_EXECUTABLE ATTACHMENT_DOUBLE_ENDING",
    multipart(hello, attachment('filename="invoice.pdf.exe"')),
    mixed,
  ],
  [
    "ATTACHMENT_PROGRAM",
    multipart(hello, attachment("filename=photo.jpg", "image/jpeg", btoa("MZ\x90\x00"))),
    mixed,
  ],
  ["ATTACHMENT_DISK_IMAGE", multipart(hello, attachment("filename=order.iso")), mixed],
  ["ATTACHMENT_MACROS", multipart(hello, attachment("filename=order.docm")), mixed],
  ["ATTACHMENT_HTML", multipart(hello, attachment("filename=order.html", "text/html")), mixed],
  [
    "ATTACHMENT_NAME_HIDDEN",
    multipart(hello, attachment("filename*=utf-8''order%E2%80%AEfdp.x")),
    mixed,
  ],
  ["HTML_ONLY", page(""), html],
  [
    "",
    multipart(hello, `Content-Type: ${html}\r\n\r\n${page("")}`),
    "multipart/alternative; boundary=b",
  ],
  ["HTML_ONLY HTML_IMAGE_ONLY", '<img src="https://a.example/x.png">', html],
  ["HTML_ONLY HTML_SCRIPT", page("<script>alert(1)</script>"), html],
  ["HTML_ONLY HTML_FORM", page("<FORM action=https://a.example/>x</FORM>"), html],
  ["HTML_ONLY HTML_FRAME", page("<iframe src=https://a.example/></iframe>"), html],
  ["HTML_ONLY HTML_HIDDEN_TEXT", page('<div style="display: none">x</div>'), html],
  ["HTML_ONLY HTML_HIDDEN_TEXT", page('<font color="#FFFFFF">x</font>'), html],
  ["HTML_ONLY HTML_SPLIT_WORD", page("Cheap V<!-- x -->iagra"), html],
  ["HTML_ONLY HTML_SPLIT_WORD", page("Cheap V<xyz>iagra"), html],
  ["", multipart(hello, `Content-Type: ${html}\r\n\r\n${page("a<b>b</b>c")}`), mixed],
  ["HTML_ONLY HTML_BIG_FONT", page('<font size="+3">x</font>'), html],
  [
    "HTML_ONLY LINK_TEXT_DIFFERS",
    page('<a href="https://evil.example/login">https://www.bank.example.org/</a>'),
    html,
  ],
  [
    "HTML_ONLY",
    page('<a href="https://click.bank.test/x">https://www.bank.test/</a>'),
    html,
  ],
  ["URI_IP_ADDRESS", "See http://192.0.2.7/x\r\n"],
  ["URI_IP_ADDRESS", "See http://3221225991/x\r\n"],
  ["URI_USERINFO", "See http://www.bank.test@evil.example/x\r\n"],
  ["URI_PORT", "See http://evil.example:81/x\r\n"],
  ["URI_ENCODED_HOST", "See http://%65vil.example/x\r\n"],
  ["URI_DEEP_HOST", "See http://a.b.c.d.evil.example/x\r\n"],
  ["URI_SHORTENER", "See https://bit.ly/x\r\n"],
  ["HTML_ONLY URI_SCRIPT", page('<a href="data:text/html;base64,AAAA">x</a>'), html],
];

function nested(depth: number): string {
  let body = "Hello Sam\r\n";
  for (let i = depth; i >= 0; i--) {
    const type = i === depth ? "text/plain" : `multipart/mixed; boundary=b${i + 1}`;
    body = `--b${i}\r\nContent-Type: ${type}\r\n\r\n${body}\r\n--b${i}--\r\n`;
  }
  return body;
}

describe("the body", () => {
  for (const [index, [expected, ...given]] of cases.entries()) {
    test(`${expected || "nothing"} (${index})`, async () => {
      const met = await judge(...given);
      assert.equal(met.map(({ symbol }) => symbol).join(" "), expected);
    });
  }

  test("every rule has a case that meets it", () => {
    const met = new Set(cases.flatMap(([expected]) => expected.split(" ")));
    assert.deepEqual(bodyRules.map(({ symbol }) => symbol).filter((each) => !met.has(each)), []);
  });

  test("evidence names the attachment or the host, and is cut", async () => {
    const [score] = await judge("See http://192.0.2.7/x\r\n");
    assert.equal(score!.evidence, "192.0.2.7");
    const long = `${"n".repeat(300)}.exe`;
    const [first] = await judge(multipart(hello, attachment(`filename=${long}`)), mixed);
    assert.equal(first!.evidence!.length, 80);
  });

  test("a body that is cut by our bound is not called unclosed", async () => {
    const body = `--b\r\n${hello}\r\n${"x".repeat(300 * 1024)}`;
    assert.deepEqual(await judge(body, mixed), []);
  });
});
