/**
 * `edge.dns` and the static zones that answer it in tests.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Effect from "effect/Effect";
import { makeDns, systemServers } from "../../src/assembly/dns.ts";
import { tempDir, writeText } from "../../src/runtime/files.ts";
import { type DnsZones, runPlugin, staticDns, testEdge } from "../../src/testing/mod.ts";
import { dnsServer, reply } from "../support/dns_server.ts";

const zones: DnsZones = {
  "Example.org": { MX: ["10 MX.example.org", { preference: 20, exchange: "b.test" }] },
  "mx.example.org": { A: ["192.0.2.1"], AAAA: "servfail", authenticated: true },
  "www.example.org": { CNAME: "mx.example.org", authenticated: true },
  "ring.test": { CNAME: "ring.test" },
  "192.0.2.1": { PTR: ["mx.example.org"] },
  "2001:db8::1": { PTR: ["six.test"] },
  "txt.test": { TXT: ["one", ["two ", "three"]] },
  "*.list.test": { A: ["127.0.0.2"] },
  "deep.er.test": "refused",
  "gone.test": "no-name",
  "slow.test": { A: "timeout" },
};

test("static zones answer as servers do", async () => {
  const dns = staticDns(zones);
  const { edge } = testEdge({ dns });
  const mx = await edge.dns.resolve("example.org.", "MX");
  assert.deepEqual(mx.status === "found" && mx.records, [
    { preference: 10, exchange: "mx.example.org" },
    { preference: 20, exchange: "b.test" },
  ]);
  const a = await edge.dns.resolve("www.example.org", "A");
  assert.deepEqual(a, {
    status: "found",
    records: ["192.0.2.1"],
    name: "mx.example.org",
    authenticated: true,
    ttl: 300,
  });
  const txt = await edge.dns.resolve("txt.test", "TXT");
  assert.deepEqual(txt.status === "found" && txt.records, [
    { text: "one", strings: ["one"] },
    { text: "two three", strings: ["two ", "three"] },
  ]);
  const status = async (name: string, type: "A" | "AAAA" = "A") => {
    const answer = await edge.dns.resolve(name, type);
    return answer.status === "failed" ? answer.reason : answer.status;
  };
  assert.equal(await status("www.example.org", "AAAA"), "servfail");
  assert.equal(await status("example.org"), "no-data");
  assert.equal(await status("er.test"), "no-data");
  assert.equal(await status("test."), "no-data");
  assert.equal(await status("none.example.org"), "no-name");
  assert.equal(await status("1.2.list.test"), "found");
  assert.equal(await status("1.list.test", "AAAA"), "no-data");
  assert.equal(await status("deep.er.test"), "refused");
  assert.equal(await status("gone.test"), "no-name");
  assert.equal(await status("slow.test"), "timeout");
  assert.equal(await status("ring.test"), "malformed");
  assert.equal(await status("a..b"), "no-name");
  assert.equal(dns.asked[0], "example.org MX");
  dns.set({ "gone.test": { A: ["192.0.2.9"] } });
  assert.equal(await status("gone.test"), "found");
  assert.throws(() => staticDns({ "a..b": "timeout" }), TypeError);
});

test("an address has names, and a place in a list", async () => {
  const { edge } = testEdge({ dns: zones });
  for (const [address, name] of [["192.0.2.1", "mx.example.org"], ["2001:DB8:0::1", "six.test"]]) {
    const answer = await edge.dns.reverse(address!);
    assert.deepEqual(answer.status === "found" && answer.records, [name]);
  }
  assert.equal((await edge.dns.reverse("unix")).status, "no-name");
  assert.equal(edge.dns.reverseName("192.0.2.1", "list.test"), "1.2.0.192.list.test");
  assert.equal(edge.dns.reverseName("unix"), undefined);
});

test("a wrong call is a mistake of the caller, an aborted one rejects with the reason", async () => {
  const { edge } = testEdge({ dns: { "slow.test": "hang" } });
  await assert.rejects(edge.dns.resolve("x.test", "ANY" as "A"), TypeError);
  await assert.rejects(edge.dns.resolve(5 as unknown as string, "A"), TypeError);
  const abort = new AbortController();
  const answer = edge.dns.resolve("slow.test", "A", { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(answer, /enough/);
  await assert.rejects(edge.dns.resolve("x.test", "A", { signal: abort.signal }), /enough/);
});

test("a hook that waits for an answer that never comes is cut off by its budget", async () => {
  const plugin = await runPlugin((edge) => ({
    name: "asks",
    hooks: {
      async rcpt(to, { signal }) {
        await edge.dns.resolve(to.domain, "MX", { signal });
      },
    },
  }), { dns: { "slow.test": "hang" } });
  await plugin.mail("");
  assert.equal((await plugin.rcpt("a@x.test")).verdict.verdict, "pass");
  const rcpt = plugin.rcpt("a@slow.test");
  await plugin.clock.advance(5_000);
  assert.equal((await rcpt).verdict.verdict, "defer");
});

test("the settings' servers are asked; the end of the scope gives up what is under way", async () => {
  await using server = await dnsServer((asked) =>
    asked.name.startsWith("s") || asked.name.startsWith("S")
      ? []
      : [reply(asked, { answers: [{ type: "A", name: asked.name, ttl: 1, data: "192.0.2.1" }] })]
  );
  const settings = { servers: [server], timeout: 60_000, tries: 1, budget: 60_000, cache: 10 };
  const asked = await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
    const dns = yield* makeDns(settings, Date.now);
    const found = yield* Effect.promise(() => dns.resolve("x.test", "A"));
    assert.equal(found.status, "found");
    const next = server.next();
    const silent = dns.resolve("silent.test", "A");
    yield* Effect.promise(() => next);
    return { silent };
  })));
  assert.equal((await asked.silent).status, "failed");
});

test("the system's servers are followed when they change", async () => {
  const dir = await tempDir();
  try {
    let now = 0;
    const path = `${dir.path}/resolv.conf`;
    const servers = systemServers(() => now, path);
    assert.deepEqual(await servers(), [{ host: "127.0.0.1", port: 53 }]);
    await writeText(path, "nameserver 192.0.2.1\n");
    assert.deepEqual(await servers(), [{ host: "127.0.0.1", port: 53 }]);
    now = 5_000;
    assert.deepEqual(await servers(), [{ host: "192.0.2.1", port: 53 }]);
  } finally {
    await dir.remove();
  }
});
