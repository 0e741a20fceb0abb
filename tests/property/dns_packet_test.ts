/**
 * Packets from the network, however hostile: reading one never throws and never loops, and nothing is believed that does
 * not answer the question.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { meaningOf } from "../../src/dns/answer.ts";
import { normalName, reverseName } from "../../src/dns/names.ts";
import { makeQuery, readPacket } from "../../src/dns/packet.ts";
import { parseResolvConf } from "../../src/dns/resolv_conf.ts";
import { reply } from "../support/dns_server.ts";

const types = fc.constantFrom("A", "AAAA", "MX", "TXT", "SOA", "SRV", "TLSA", "PTR", "CNAME");

function read(packet: Uint8Array, query: ReturnType<typeof makeQuery>): void {
  const reading = readPacket(packet, query);
  if (reading.kind === "response") meaningOf(reading.response, "x.test", query.type);
}

test("random octets behind a header that fits never throw", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), types, (octets, type) => {
    const query = makeQuery("x.test", type, true);
    read(octets, query);
    const packet = Buffer.concat([octets]);
    if (packet.length >= 4) {
      packet.writeUInt16BE(query.id, 0);
      packet.writeUInt16BE(0x8180, 2);
    }
    read(packet, query);
  }));
});

test("an answer with any octets changed, and cut off anywhere, never throws", () => {
  const changes = fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 8 });
  fc.assert(fc.property(changes, fc.nat(200), types, (changed, length, type) => {
    const query = makeQuery("x.test", type, true);
    const { id, name } = query;
    const asked = { id, name, type, over: "udp", edns: true } as const;
    const packet = reply(asked, {
      answers: [
        { type: "CNAME", name, ttl: 1, data: "y.test" },
        { type: "TXT", name: "y.test", ttl: 1, data: ["abc", "def"] },
        { type: "MX", name: "y.test", ttl: 1, data: { preference: 1, exchange: "m.test" } },
        { type: "A", name: "y.test", ttl: 1, data: "192.0.2.1" },
      ],
    });
    for (const [at, octet] of changed) if (at >= 2 && at < packet.length) packet[at] = octet;
    read(packet, query);
    read(packet.slice(0, length), query);
  }));
});

test("pointers that go round or forwards make a packet foreign", () => {
  const query = makeQuery("x.test", "A", false);
  for (const pointer of [12, 14, 13, 0x3fff]) {
    const packet = Buffer.concat([
      query.octets.subarray(0, 12),
      Buffer.from([0xc0, 0, 0, 1, 0, 1]),
    ]);
    packet.writeUInt16BE(0x8180, 2);
    packet.writeUInt16BE(0xc000 | pointer, 12);
    assert.equal(readPacket(packet, query).kind, "foreign", String(pointer));
  }
});

test("names are total: a normal form is its own, and fits into a question", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.domain()), (text) => {
      const name = normalName(text);
      reverseName(text);
      parseResolvConf(`nameserver ${text}`);
      if (name === undefined) return;
      assert.equal(normalName(name), name);
      assert.ok(makeQuery(name, "A", true).octets.length <= 512);
    }),
  );
});
