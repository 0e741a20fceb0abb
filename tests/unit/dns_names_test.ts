import assert from "node:assert/strict";
import { test } from "node:test";
import { normalName, reverseName } from "../../src/dns/names.ts";
import { parseResolvConf } from "../../src/dns/resolv_conf.ts";

test("addresses stand in reverse in their zones", () => {
  assert.equal(reverseName("192.0.2.10"), "10.2.0.192.in-addr.arpa");
  assert.equal(reverseName("192.0.2.10", "list.test"), "10.2.0.192.list.test");
  // RFC 3596 section 2.5.
  assert.equal(
    reverseName("4321:0:1:2:3:4:567:89ab"),
    "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa",
  );
  assert.equal(reverseName("::ffff:192.0.2.10"), "10.2.0.192.in-addr.arpa");
  for (const none of ["", "x", "192.0.2", "192.0.2.010", "fe80::1%eth0"]) {
    assert.equal(reverseName(none), undefined, none);
  }
});

test("names have one form", () => {
  assert.equal(normalName("Example.ORG."), "example.org");
  assert.equal(normalName("_25._tcp.mx.test"), "_25._tcp.mx.test");
  assert.equal(normalName("bücher.test"), "xn--bcher-kva.test");
  assert.equal(normalName("."), ".");
  for (const none of ["", "..", ".a", "a..b", "bü/cher.test", "bü:1", "a b", "a\n"]) {
    assert.equal(normalName(none), undefined, JSON.stringify(none));
  }
});

test("resolv.conf names the servers", () => {
  assert.deepEqual(
    parseResolvConf(
      "# x\nsearch a.test\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \nnameserver x\n",
    ),
    [{ host: "192.0.2.1", port: 53 }, { host: "2001:db8::1", port: 53 }],
  );
  for (const none of [undefined, "", "; nameserver 192.0.2.1"]) {
    assert.deepEqual(parseResolvConf(none), [{ host: "127.0.0.1", port: 53 }]);
  }
});
