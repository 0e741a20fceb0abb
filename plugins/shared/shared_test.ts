import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { contains, networkKey, parseAddress, parseNetwork, within } from "./network.ts";
import { nearest } from "./nearest.ts";

test("addresses: four octets, sixteen octets, mapped ones as IPv4, nothing else", () => {
  const read = (text: string) => parseAddress(text)?.join(".");
  assert.equal(read("192.0.2.1"), "192.0.2.1");
  assert.equal(read("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(read("::1"), "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1");
  assert.equal(read("fe80::1%eth0"), "254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1");
  assert.equal(read("2001:db8:0:0:0:0:0:1"), read("2001:db8::1"));
  for (
    const bad of [
      "",
      "1.2.3",
      "1.2.3.256",
      "01.2.3.4",
      "1.2.3.4.5",
      ":",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7:8:9",
      "g::",
      "12345::",
      "1:2:3:4:5:6:7::8:9",
      "x",
    ]
  ) assert.equal(parseAddress(bad), undefined, bad);
});

test("networks hold their addresses, and those of the other family never", () => {
  const within = (network: string, address: string) =>
    contains(parseNetwork(network)!, parseAddress(address)!);
  assert.ok(within("10.0.0.0/8", "10.255.0.1"));
  assert.ok(!within("10.0.0.0/8", "11.0.0.1"));
  assert.ok(within("192.0.2.128/25", "192.0.2.129"));
  assert.ok(!within("192.0.2.128/25", "192.0.2.127"));
  assert.ok(within("2001:db8::/33", "2001:db8:7fff::1"));
  assert.ok(!within("2001:db8::/33", "2001:db8:8000::1"));
  assert.ok(within("0.0.0.0/0", "203.0.113.1"));
  assert.ok(!within("0.0.0.0/0", "2001:db8::1"));
  assert.ok(within("::ffff:10.0.0.0/104", "10.1.1.1"));
  for (const bad of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "fe80::%1/64", "x/8"]) {
    assert.equal(parseNetwork(bad), undefined, bad);
  }
});

test("two addresses have one key exactly when they share the prefix", () => {
  const octet = fc.nat(255);
  fc.assert(
    fc.property(
      fc.tuple(octet, octet, octet, octet),
      fc.tuple(octet, octet, octet, octet),
      fc.integer({ min: 1, max: 32 }),
      (a, b, bits) => {
        const same = contains({ octets: Uint8Array.from(a), bits }, Uint8Array.from(b));
        assert.equal(networkKey(a.join("."), bits, 64) === networkKey(b.join("."), bits, 64), same);
      },
    ),
  );
  assert.equal(networkKey("unix", 24, 64), "unix");
  assert.equal(within([], "192.0.2.1"), false);
});

test("the nearest word, where one is near", () => {
  assert.equal(nearest("refuse_att", ["tag_at", "refuse_at"]), "refuse_at");
  assert.equal(nearest("elephant", ["tag_at", "refuse_at"]), undefined);
});
