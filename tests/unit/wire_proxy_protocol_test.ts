/** The PROXY protocol (haproxy's proxy-protocol.txt, sections 2.1 and 2.2). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  formatProxyV1,
  formatProxyV2,
  ProxyHeaderParser,
  type ProxyResult,
} from "../../src/wire/proxy_protocol.ts";
import { checksum } from "../../src/wire/proxy_tlvs.ts";

const SIGNATURE = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10];
const IPV4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdd, 0xd5, 0, 25];
const source = { address: "192.0.2.1", port: 56789 };
const destination = { address: "198.51.100.2", port: 25 };
const source6 = { address: "2001:db8::1", port: 56789 };
const destination6 = { address: "2001:db8::2", port: 25 };

function octets(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function parse(bytes: Uint8Array | string): ProxyResult {
  return new ProxyHeaderParser().feed(typeof bytes === "string" ? octets(bytes) : bytes);
}

function v2(command: number, family: number, ...block: number[]): Uint8Array {
  return Uint8Array.of(
    ...SIGNATURE,
    command,
    family,
    block.length >> 8,
    block.length & 255,
    ...block,
  );
}

function tlv(type: number, ...value: number[]): number[] {
  return [type, value.length >> 8, value.length & 255, ...value];
}

/** The header, where there is one and nothing is left over. */
function header(bytes: Uint8Array | string) {
  const result = parse(bytes);
  assert.ok(typeof result === "object" && result.ok, JSON.stringify(result));
  assert.equal(result.rest.length, 0);
  return result.header;
}

function isRefused(bytes: Uint8Array | string): boolean {
  const result = parse(bytes);
  return typeof result === "object" && !result.ok;
}

describe("version 1", () => {
  test("takes TCP4, TCP6 and UNKNOWN", () => {
    assert.deepEqual(header("PROXY TCP4 192.0.2.1 198.51.100.2 56789 25\r\n"), {
      version: 1,
      source,
      destination,
      tlvs: {},
    });
    assert.deepEqual(header("PROXY TCP6 2001:DB8::1 2001:db8:0::2 56789 25\r\n"), {
      version: 1,
      source: source6,
      destination: destination6,
      tlvs: {},
    });
    const mapped = header("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 56789 25\r\n");
    assert.deepEqual(mapped.source, source);
    const longest = `PROXY UNKNOWN ${"f".repeat(107 - 16)}\r\n`;
    assert.equal(longest.length, 107);
    for (const line of ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN a b c d\r\n", longest]) {
      assert.deepEqual(header(line), {
        version: 1,
        source: undefined,
        destination: undefined,
        tlvs: {},
      });
    }
  });

  test("leaves what is behind it to the client", () => {
    const result = parse("PROXY UNKNOWN\r\nEHLO a\r\n");
    assert.ok(typeof result === "object" && result.ok);
    assert.deepEqual(result.rest, octets("EHLO a\r\n"));
  });

  test("R27: refuses what it does not wholly understand", () => {
    const bad = [
      "EHLO a.test\r\n",
      "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
      "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
      "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
      "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
      "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
      "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
      "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
      "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
      "PROXY UNKNOWNX\r\n",
      "PROXY \r\n",
      "PROXYTCP4",
      `PROXY UNKNOWN ${"f".repeat(107 - 15)}\r\n`,
      `PROXY ${"x".repeat(107)}`,
    ];
    for (const line of bad) assert.ok(isRefused(line), JSON.stringify(line));
  });

  test("formatProxyV1 writes what the parser takes", () => {
    assert.equal(
      formatProxyV1(source, destination),
      "PROXY TCP4 192.0.2.1 198.51.100.2 56789 25\r\n",
    );
    assert.equal(
      formatProxyV1(source6, destination6),
      "PROXY TCP6 2001:db8::1 2001:db8::2 56789 25\r\n",
    );
    const mixed = formatProxyV1(source, destination6);
    assert.equal(mixed, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 56789 25\r\n");
    assert.deepEqual(header(mixed).source, source);
    const socket = { address: "/run/a b\r\n", port: 0 };
    assert.equal(formatProxyV1(socket, destination), "PROXY UNKNOWN\r\n");
    assert.equal(formatProxyV1(source, { ...destination, port: 65536 }), "PROXY UNKNOWN\r\n");
  });
});

describe("version 2", () => {
  test("takes TCP4, TCP6, unix, UNSPEC and LOCAL", () => {
    assert.deepEqual(header(v2(0x21, 0x11, ...IPV4)), {
      version: 2,
      source,
      destination,
      tlvs: {},
    });
    const address6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const ipv6 = [...address6, 1, ...address6, 2, 0xdd, 0xd5, 0, 25];
    assert.deepEqual(header(v2(0x21, 0x21, ...ipv6)).source, source6);
    assert.deepEqual(header(v2(0x21, 0x21, ...ipv6)).destination, destination6);
    const path = (text: string) => [...octets(text.padEnd(108, "\0"))];
    assert.deepEqual(header(v2(0x21, 0x31, ...path("/a"), ...path("/b"))).source, {
      address: "/a",
      port: 0,
    });
    assert.equal(header(v2(0x21, 0x00)).source, undefined);
    assert.equal(header(v2(0x20, 0x00)).source, undefined);
    // A LOCAL header's addresses and TLVs are thrown away unread.
    assert.deepEqual(header(v2(0x20, 0x11, ...IPV4, 1, 2)).tlvs, {});
    assert.equal(header(v2(0x20, 0x11, ...IPV4)).source, undefined);
  });

  test("takes the vectors it knows and reads over the others", () => {
    const ssl = [
      0x05,
      ...[0, 0, 0, 0],
      ...tlv(0x21, ...octets("TLSv1.3")),
      ...tlv(0x22, ...octets("j.test")),
      ...tlv(0x23, ...octets("AES")),
      ...tlv(0x2f, 1),
    ];
    const block = [
      ...IPV4,
      ...tlv(0x01, ...octets("smtp")),
      ...tlv(0x02, ...octets("mx.test")),
      ...tlv(0x04, 0, 0),
      ...tlv(0x05, 1, 2, 3),
      ...tlv(0x20, ...ssl),
      ...tlv(0xee, 9),
    ];
    assert.deepEqual(header(v2(0x21, 0x11, ...block)).tlvs, {
      alpn: "smtp",
      authority: "mx.test",
      uniqueId: Uint8Array.of(1, 2, 3),
      ssl: {
        tls: true,
        certificate: true,
        verified: true,
        version: "TLSv1.3",
        commonName: "j.test",
        cipher: "AES",
      },
    });
  });

  test("a certificate counts as verified only where one was presented", () => {
    const ssl = (flags: number, verify: number) =>
      header(v2(0x21, 0x11, ...IPV4, ...tlv(0x20, flags, 0, 0, 0, verify))).tlvs.ssl;
    assert.deepEqual(ssl(1, 0), { tls: true, certificate: false, verified: false });
    assert.deepEqual(ssl(3, 1), { tls: true, certificate: true, verified: false });
    assert.deepEqual(ssl(3, 0), { tls: true, certificate: true, verified: true });
  });

  test("CRC32C: RFC 3720's vectors, and a header with a wrong one is refused", () => {
    assert.equal(checksum(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(checksum(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    const right = formatProxyV2(source, destination, { authority: "mx.test", checksum: true });
    assert.deepEqual(header(right).tlvs, { authority: "mx.test", checksum: true });
    for (let i = 12; i < right.length; i++) {
      const wrong = right.slice();
      wrong[i] = (wrong[i] ?? 0) ^ 1;
      const result = parse(wrong);
      assert.ok(result === "more" || !result.ok || result.header.source === undefined, `${i}`);
    }
  });

  test("R27: refuses what it does not wholly understand", () => {
    const bad = [
      Uint8Array.of(...SIGNATURE.slice(0, 11), 11),
      v2(0x11, 0x11, ...IPV4),
      v2(0x22, 0x11, ...IPV4),
      v2(0x21, 0x12, ...IPV4),
      v2(0x21, 0x41, ...IPV4),
      v2(0x21, 0x13, ...IPV4),
      v2(0x21, 0x11, ...IPV4.slice(1)),
      v2(0x21, 0x21, ...IPV4),
      v2(0x21, 0x31, ...IPV4),
      v2(0x21, 0x11, ...IPV4, 2),
      v2(0x21, 0x11, ...IPV4, 2, 0, 1),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x02, 0xff)),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x02, 13, 10)),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x02, 65), ...tlv(0x02, 66)),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x03, 0, 0, 0)),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x05, ...new Uint8Array(129))),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x20, 1, 0, 0, 0)),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x20, 1, 0, 0, 0, 0, 0x22, 0, 9)),
      v2(0x21, 0x11, ...IPV4, ...tlv(0x20, 1, 0, 0, 0, 0, ...tlv(0x22, 0))),
    ];
    for (const bytes of bad) assert.ok(isRefused(bytes), bytes.join());
  });

  test("R29: a header that announces more than 4096 octets is refused at its length", () => {
    assert.ok(isRefused(Uint8Array.of(...SIGNATURE, 0x21, 0x11, 0x10, 0x01)));
    assert.equal(parse(Uint8Array.of(...SIGNATURE, 0x21, 0x11, 0x10, 0x00)), "more");
  });

  test("formatProxyV2 writes what the parser takes", () => {
    assert.deepEqual(formatProxyV2(source, destination), v2(0x21, 0x11, ...IPV4));
    const tlvs = {
      alpn: "smtp",
      authority: "mx.test",
      uniqueId: Uint8Array.of(1, 2),
      ssl: {
        tls: true,
        certificate: true,
        verified: false,
        version: "TLSv1.2",
        commonName: "j\u00f6rg",
        cipher: "c",
        signatureAlgorithm: "s",
        keyAlgorithm: "k",
      },
      checksum: true,
    } as const;
    const parsed = header(formatProxyV2(source6, destination6, tlvs));
    assert.deepEqual(parsed, {
      version: 2,
      source: source6,
      destination: destination6,
      tlvs,
    });
    assert.deepEqual(header(formatProxyV2(source, destination6)).source, source);
    const socket = { address: "/run/x", port: 0 };
    assert.equal(header(formatProxyV2(socket, destination)).source, undefined);
    for (const length of [4096, 70_000]) {
      const tlvs = { authority: "a".repeat(length) };
      assert.throws(() => formatProxyV2(source, destination, tlvs), RangeError);
    }
  });
});

describe("in pieces", () => {
  const headers = [
    octets("PROXY TCP4 192.0.2.1 198.51.100.2 56789 25\r\n"),
    v2(0x21, 0x11, ...IPV4),
  ];

  test("any cut gives the same header and the same rest", () => {
    for (const bytes of headers) {
      const all = Uint8Array.of(...bytes, ...octets("EHLO a\r\n"));
      for (let cut = 0; cut <= all.length; cut++) {
        const parser = new ProxyHeaderParser();
        const first = parser.feed(all.subarray(0, cut));
        const result = first === "more" ? parser.feed(all.subarray(cut)) : first;
        assert.ok(typeof result === "object" && result.ok);
        assert.deepEqual(result.header.source, source);
        const unread = first === "more" ? 0 : all.length - cut;
        assert.equal(result.rest.length + unread, 8);
      }
    }
  });

  test("octet by octet, and nothing after the end", () => {
    for (const bytes of headers) {
      const parser = new ProxyHeaderParser();
      const results = [...bytes].map((octet) => parser.feed(Uint8Array.of(octet)));
      assert.ok(results.slice(0, -1).every((result) => result === "more"));
      const last = results.at(-1);
      assert.ok(typeof last === "object" && last.ok);
      assert.equal(last.rest.length, 0);
      const after = parser.feed(bytes);
      assert.ok(typeof after === "object" && !after.ok);
    }
  });

  test("what cannot become a header is refused at its first wrong octet", () => {
    const parser = new ProxyHeaderParser();
    assert.equal(parser.feed(octets("PR")), "more");
    const result = parser.feed(octets("X"));
    assert.ok(typeof result === "object" && !result.ok);
    const after = parser.feed(octets("OXY UNKNOWN\r\n"));
    assert.ok(typeof after === "object" && !after.ok);
  });
});
