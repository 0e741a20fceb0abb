/** Addresses, servers, networks, names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fingerprint,
  isDomainPattern,
  isHostname,
  isLoopback,
  isNetwork,
  parseListen,
  parseNameServer,
  parseServer,
} from "../../src/settings/address.ts";

const smtp = (host: string, port: number, implicitTls = false) => ({
  kind: "smtp",
  host,
  port,
  implicitTls,
});

test("servers in every form", () => {
  const table: [string, unknown][] = [
    ["10.0.0.5:25", smtp("10.0.0.5", 25)],
    ["mail.example.org:2525", smtp("mail.example.org", 2525)],
    ["mail_1:25", smtp("mail_1", 25)],
    ["[2001:db8::5]:25", smtp("2001:db8::5", 25)],
    ["[::ffff:10.0.0.5]:25", smtp("::ffff:10.0.0.5", 25)],
    ["smtps://relay.example.net:465", smtp("relay.example.net", 465, true)],
    ["smtps://[::1]:465", smtp("::1", 465, true)],
    ["unix:/run/mail.sock", { kind: "unix", path: "/run/mail.sock" }],
    ["maildir:./mail", { kind: "maildir", path: "/etc/postern/mail" }],
    ["maildir:/var/mail/../spool", { kind: "maildir", path: "/var/spool" }],
  ];
  for (const [text, expected] of table) {
    assert.deepEqual(parseServer(text, "/etc/postern"), expected, text);
  }
});

test("resolvers are addresses with a port", () => {
  assert.deepEqual(parseNameServer("127.0.0.1:53"), { host: "127.0.0.1", port: 53 });
  assert.deepEqual(parseNameServer("[::1]:5353"), { host: "::1", port: 5353 });
  for (const none of ["127.0.0.1", "::1", "dns.test:53", "127.0.0.1:0", "[x]:53", "1.2.3:53", ""]) {
    assert.equal(parseNameServer(none), undefined, none);
  }
});

test("wrong servers say what was expected", () => {
  const forms = '"host:port", "smtps://host:port", "unix:/path" or "maildir:./folder"';
  const table: [string, string][] = [
    ["10.0.0.5", '"host:port"'],
    ["", '"host:port"'],
    [":25", '"host:port"'],
    ["a b:25", '"host:port"'],
    ["10.0.0.300:25", '"host:port"'],
    ["010.0.0.1:25", '"host:port"'],
    ["host\r\nx:25", '"host:port"'],
    ["mail.example.org:", "a port from 1 to 65535"],
    ["mail.example.org:0", "a port from 1 to 65535"],
    ["mail.example.org:65536", "a port from 1 to 65535"],
    ["mail.example.org:smtp", "a port from 1 to 65535"],
    ["::1:25", '"[v6]:port"'],
    ["::1", '"[v6]:port"'],
    ["[::1]", '"[v6]:port"'],
    ["[::g]:25", '"[v6]:port"'],
    ["[10.0.0.5]:25", '"[v6]:port"'],
    ["smtps://relay", '"smtps://host:port"'],
    ["smtp://relay:25", forms],
    ["unix:", '"unix:/path"'],
    ["maildir:", '"maildir:./folder"'],
    ["maildir:a\0b", '"maildir:./folder"'],
  ];
  for (const [text, expected] of table) {
    assert.deepEqual(parseServer(text, "/"), { expected }, JSON.stringify(text));
  }
});

test("places to listen: port 0 is one, a server's forms are not", () => {
  assert.deepEqual(parseListen("0.0.0.0:0", "/"), { host: "0.0.0.0", port: 0 });
  assert.deepEqual(parseListen("[::]:25", "/"), { host: "::", port: 25 });
  assert.deepEqual(parseListen("unix:/run/postern.sock", "/"), { path: "/run/postern.sock" });
  assert.deepEqual(parseListen("unix:run.sock", "/etc/postern"), { path: "/etc/postern/run.sock" });
  assert.deepEqual(parseListen("25", "/"), { expected: '"host:port"' });
  assert.deepEqual(parseListen("*:25", "/"), { expected: '"host:port"' });
});

test("networks", () => {
  const right = [
    "10.0.0.0/8",
    "10.0.0.5",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "::1",
    "1:2:3:4:5:6:7:8",
    "::ffff:10.0.0.1/128",
  ];
  const wrong = [
    "",
    "10.0.0.0/33",
    "10.0.0.1/8",
    "10.0.0.128/24",
    "2001:db8::1/64",
    "10.0.0/8",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.256",
    "::/129",
    ":::/1",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "fe80::1%eth0",
    "localhost",
    "::1/",
    "1:2:3:4:5:6:7:8::",
  ];
  for (const text of right) assert.equal(isNetwork(text), true, text);
  for (const text of wrong) assert.equal(isNetwork(text), false, text);
});

test("host names (RFC 1123 section 2.1)", () => {
  for (const text of ["mx.example.org", "localhost", "3com.example", "a-b.example"]) {
    assert.equal(isHostname(text), true, text);
  }
  for (
    const text of [
      "",
      "-a.example",
      "a-.example",
      "a..b",
      "a_b",
      "10.0.0.1",
      "a b",
      "a\r\nb",
      "x".repeat(64),
      "é.example",
    ]
  ) {
    assert.equal(isHostname(text), false, text);
  }
});

test("domains of routes", () => {
  for (
    const text of [
      "example.org",
      "*.example.org",
      "localhost",
      "bücher.example",
      "[10.0.0.1]",
      "[IPv6:::1]",
    ]
  ) {
    assert.equal(isDomainPattern(text), true, text);
  }
  for (
    const text of [
      "",
      "*",
      "*.",
      "a.*.b",
      "user@example.org",
      ".example.org",
      "example.org.",
      "a b",
      "[x",
    ]
  ) {
    assert.equal(isDomainPattern(text), false, text);
  }
});

test("fingerprints with or without colons", () => {
  const hex = "AB".repeat(32);
  assert.equal(fingerprint(hex), "ab".repeat(32));
  assert.equal(fingerprint(hex.match(/../g)!.join(":")), "ab".repeat(32));
  for (const text of ["", "ab", hex + "0", `${hex}:`]) assert.equal(fingerprint(text), undefined);
});

test("loopback", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) {
    assert.equal(isLoopback(host), true);
  }
  for (const host of ["10.0.0.1", "127.example.org", "::"]) assert.equal(isLoopback(host), false);
});
