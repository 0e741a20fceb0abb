/** XCLIENT and XFORWARD (Postfix XCLIENT_README, XFORWARD_README). */
import { test } from "node:test";
import assert from "node:assert/strict";
import { formatXclient, formatXforward, parseXclient } from "../../src/wire/xclient.ts";

test("parseXclient takes every attribute", () => {
  const table: [string, object][] = [
    ["NAME=spike.porcupine.org ADDR=168.100.189.2", {
      NAME: "spike.porcupine.org",
      ADDR: "168.100.189.2",
    }],
    ["ADDR=IPV6:2001:DB8:0::1 PORT=65535", { ADDR: "2001:db8::1", PORT: 65535 }],
    ["addr=ipv6:::ffff:192.0.2.1", { ADDR: "192.0.2.1" }],
    ["ADDR=2001:db8::1", { ADDR: "2001:db8::1" }],
    ["PROTO=esmtp HELO=a+20b", { PROTO: "ESMTP", HELO: "a b" }],
    ["LOGIN=j+C3+B6rg@example.test", { LOGIN: "j\u00f6rg@example.test" }],
    ["DESTADDR=192.0.2.1 DESTPORT=25", { DESTADDR: "192.0.2.1", DESTPORT: 25 }],
    ["NAME=[UNAVAILABLE] ADDR=[tempunavail]", { NAME: null, ADDR: null }],
    ["PORT=[UNAVAILABLE] LOGIN=[UNAVAILABLE]", { PORT: null, LOGIN: null }],
  ];
  for (const [text, attributes] of table) assert.deepEqual(parseXclient(text), attributes, text);
});

test("R21, R27, R34: parseXclient refuses what it does not wholly understand", () => {
  const bad = [
    "",
    " ",
    "NAME",
    "NAME=",
    "=a",
    "NAME=a ",
    "NAME=a  ADDR=192.0.2.1",
    "NAME=a NAME=b",
    "NAME=[UNAVAILABLE] NAME=b",
    "FOO=a",
    "constructor=a",
    "__proto__=a",
    "ADDR=192.0.2.256",
    "ADDR=host.test",
    "ADDR=IPV6:192",
    "ADDR=IPV6:fe80::1%eth0",
    "PORT=0",
    "PORT=65536",
    "PORT=+1",
    "PORT=1e3",
    "PROTO=LMTP",
    "PROTO=E+C5+BFMTP",
    "HELO=a+0D+0AMAIL",
    "HELO=a+00",
    "HELO=a+7F",
    "LOGIN=+FF",
    "LOGIN=a+4",
    "LOGIN=a+4g",
    "LOGIN=a=b",
    "LOGIN=\u00e4",
  ];
  for (const text of bad) assert.equal(parseXclient(text), undefined, JSON.stringify(text));
});

test("formatXclient sends what is offered, and nothing else", () => {
  const attributes = {
    NAME: null,
    ADDR: "2001:db8::1",
    PORT: 12345,
    HELO: "a b",
    LOGIN: "j\u00f6rg",
    PROTO: "ESMTP",
  } as const;
  assert.deepEqual(formatXclient(attributes, ["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN"]), [
    "XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PORT=12345 PROTO=ESMTP HELO=a+20b LOGIN=j+C3+B6rg",
  ]);
  assert.deepEqual(formatXclient(attributes, ["addr"]), ["XCLIENT ADDR=IPV6:2001:db8::1"]);
  assert.deepEqual(formatXclient(attributes, []), []);
  assert.deepEqual(formatXclient({}, ["ADDR"]), []);
  assert.deepEqual(formatXclient({ ADDR: "/run/x.sock" }, ["ADDR"]), [
    "XCLIENT ADDR=[UNAVAILABLE]",
  ]);
});

test("formatXclient keeps every line within 512 octets, and cuts no value", () => {
  const all = ["NAME", "HELO", "LOGIN"];
  const lines = formatXclient({ NAME: "n".repeat(250), HELO: "h".repeat(250), LOGIN: "l" }, all);
  assert.equal(lines.length, 2);
  for (const line of lines) assert.ok(line.length + 2 <= 512);
  assert.deepEqual(formatXclient({ LOGIN: "\u00e4".repeat(100) }, all), [
    "XCLIENT LOGIN=[UNAVAILABLE]",
  ]);
});

test("R22: no value adds an attribute or a command", () => {
  const [line = ""] = formatXclient({ HELO: "a LOGIN=root\r\nMAIL FROM:<>" }, ["HELO", "LOGIN"]);
  assert.equal(line, "XCLIENT HELO=a+20LOGIN+3Droot+0D+0AMAIL+20FROM:<>");
});

test("formatXforward tells what XFORWARD_README lists", () => {
  assert.deepEqual(
    formatXforward(
      { NAME: "a.test", ADDR: "192.0.2.1", PORT: null, IDENT: "s1.2", SOURCE: "REMOTE" },
      ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"],
    ),
    ["XFORWARD NAME=a.test ADDR=192.0.2.1 PORT=[UNAVAILABLE] IDENT=s1.2 SOURCE=REMOTE"],
  );
  assert.deepEqual(formatXforward({ HELO: "h".repeat(256) }, ["HELO"]), [
    "XFORWARD HELO=[UNAVAILABLE]",
  ]);
});
