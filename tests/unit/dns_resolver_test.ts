/**
 * The resolver against a DNS server of the test's own, over real sockets; the clock and the timers are the test's.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Resolver, type ResolverOptions } from "../../src/dns/resolver.ts";
import { AnswerCache } from "../../src/dns/cache.ts";
import { dnsServer, reply, soa } from "../support/dns_server.ts";

const TRUNCATED = 1 << 9;
const AUTHENTIC = 1 << 5;

/** Timers that go off when the test says so. */
class Timers {
  now = 1_000_000;
  readonly #set = new Set<{ at: number; run: () => void }>();
  readonly later: ResolverOptions["later"] = (ms, run) => {
    const timer = { at: this.now + ms, run };
    this.#set.add(timer);
    return () => void this.#set.delete(timer);
  };
  get pending(): number {
    return this.#set.size;
  }
  advance(ms: number): void {
    this.now += ms;
    for (const timer of [...this.#set]) {
      if (timer.at <= this.now && this.#set.delete(timer)) timer.run();
    }
  }
}

function resolver(timers: Timers, ...servers: { host: string; port: number }[]): Resolver {
  return new Resolver({
    servers: () => servers,
    timeout: 1_000,
    tries: 2,
    budget: 10_000,
    cache: 100,
    atOnce: 8,
    now: () => timers.now,
    later: timers.later,
  });
}

const a = (name: string, data = "192.0.2.1", ttl = 60) => ({ type: "A", name, ttl, data }) as const;

test("an answer is found, with its TTL and the AD bit, and kept as long as it says", async () => {
  await using server = await dnsServer((asked) => [
    reply(asked, { answers: [a(asked.name)], flags: AUTHENTIC }),
  ]);
  const timers = new Timers();
  const dns = resolver(timers, server);
  const found = {
    status: "found",
    records: ["192.0.2.1"],
    name: "example.test",
    authenticated: true,
    ttl: 60,
  };
  assert.deepEqual(await dns.resolve("Example.TEST.", "A"), found);
  timers.advance(20_000);
  assert.deepEqual(await dns.resolve("example.test", "A"), { ...found, ttl: 40 });
  assert.equal(server.asked.length, 1);
  timers.advance(40_000);
  assert.deepEqual(await dns.resolve("example.test", "A"), found);
  assert.deepEqual(server.asked, ["example.test A udp", "example.test A udp"]);
  assert.equal(timers.pending, 0);
});

test("no such name and no data are told apart, and kept by the SOA's minimum (RFC 2308)", async () => {
  await using server = await dnsServer((asked) => [
    reply(asked, { rcode: asked.type === "A" ? 3 : 0, authorities: [soa(30, 3600)] }),
  ]);
  const timers = new Timers();
  const dns = resolver(timers, server);
  const no = { authenticated: false, ttl: 30 };
  assert.deepEqual(await dns.resolve("none.test", "A"), { status: "no-name", ...no });
  assert.deepEqual(await dns.resolve("none.test", "MX"), { status: "no-data", ...no });
  timers.advance(29_000);
  assert.deepEqual(await dns.resolve("none.test", "MX"), { status: "no-data", ...no, ttl: 1 });
  assert.equal(server.asked.length, 2);
  timers.advance(1_000);
  await dns.resolve("none.test", "MX");
  assert.equal(server.asked.length, 3);
});

test("a no without an SOA is not kept", async () => {
  await using server = await dnsServer((asked) => [reply(asked, { rcode: 3 })]);
  const dns = resolver(new Timers(), server);
  await dns.resolve("none.test", "A");
  await dns.resolve("none.test", "A");
  assert.equal(server.asked.length, 2);
});

test("SERVFAIL is a failure, and the second server is asked", async () => {
  await using broken = await dnsServer((asked) => [reply(asked, { rcode: 2 })]);
  await using good = await dnsServer((asked) => [reply(asked, { answers: [a(asked.name)] })]);
  const timers = new Timers();
  const found = await resolver(timers, broken, good).resolve("x.test", "A");
  assert.equal(found.status, "found");
  const failed = await resolver(timers, broken).resolve("x.test", "A");
  assert.equal(failed.status === "failed" && failed.reason, "servfail");
  // It has answered: it is not asked again for the same.
  assert.equal(broken.asked.length, 2);
});

test("a silent server costs one try, then is asked last", async () => {
  await using silent = await dnsServer(() => []);
  await using good = await dnsServer((asked) => [reply(asked, { answers: [a(asked.name)] })]);
  const timers = new Timers();
  const dns = resolver(timers, silent, good);
  const asked = silent.next();
  const answer = dns.resolve("x.test", "A");
  await asked;
  timers.advance(1_000);
  assert.equal((await answer).status, "found");
  assert.equal((await dns.resolve("y.test", "A")).status, "found");
  assert.equal(silent.asked.length, 1);
});

test("silence everywhere is a failure in the end, within the budget", async () => {
  await using silent = await dnsServer(() => []);
  const timers = new Timers();
  const dns = resolver(timers, silent);
  let asked = silent.next();
  const answer = dns.resolve("x.test", "A");
  await asked;
  asked = silent.next();
  timers.advance(1_000);
  await asked;
  timers.advance(1_000);
  const outcome = await answer;
  assert.equal(outcome.status === "failed" && outcome.reason, "timeout");
  assert.equal(silent.asked.length, 2);
  assert.equal(timers.pending, 0);
});

test("a truncated answer is asked for over TCP: a TXT record of many strings, whole", async () => {
  const strings = Array.from({ length: 200 }, (_, i) => String(i % 10).repeat(255));
  await using server = await dnsServer((asked) => [
    asked.over === "udp"
      // It ends inside of a record.
      ? reply(asked, { flags: TRUNCATED, answers: [a(asked.name)] }).slice(0, -2)
      : reply(asked, { answers: [{ type: "TXT", name: asked.name, ttl: 1, data: [...strings] }] }),
  ]);
  const answer = await resolver(new Timers(), server).resolve("big.test", "TXT");
  assert.ok(answer.status === "found");
  assert.deepEqual(answer.records, [{ text: strings.join(""), strings }]);
  assert.deepEqual(server.asked, ["big.test TXT udp", "big.test TXT tcp"]);
});

test("a character that stands in two strings is read as one", async () => {
  const [head, tail] = [new Uint8Array([0x61, 0xc3]), new Uint8Array([0xa9, 0x62])];
  const { Buffer } = await import("node:buffer");
  const data = [Buffer.from(head), Buffer.from(tail)];
  await using server = await dnsServer((asked) => [
    reply(asked, { answers: [{ type: "TXT", name: asked.name, ttl: 1, data }] }),
  ]);
  const answer = await resolver(new Timers(), server).resolve("x.test", "TXT");
  assert.ok(answer.status === "found");
  assert.equal((answer.records[0] as { text: string }).text, "aéb");
});

test("wrong ids, other questions, queries and garbage are passed over", async () => {
  await using server = await dnsServer((asked) => [
    reply(asked, { id: asked.id ^ 1, answers: [a(asked.name, "192.0.2.66")] }),
    reply(asked, { name: "other.test", answers: [a("other.test", "192.0.2.66")] }),
    reply(asked, { questions: [], answers: [a(asked.name, "192.0.2.66")] }),
    reply(asked, { answers: [a(asked.name, "192.0.2.66")] }).slice(0, -1),
    new Uint8Array([1, 2, 3]),
    reply(asked, { answers: [a(asked.name)] }),
  ]);
  const answer = await resolver(new Timers(), server).resolve("x.test", "A");
  assert.deepEqual(answer.status === "found" && answer.records, ["192.0.2.1"]);
});

test("the late answer to another question is none", async () => {
  let late: Uint8Array | undefined;
  await using server = await dnsServer((asked) => {
    if (late === undefined) {
      late = reply(asked, { answers: [a(asked.name, "192.0.2.66")] });
      return [];
    }
    return [late, reply(asked, { answers: [a(asked.name)] })];
  });
  const timers = new Timers();
  const dns = resolver(timers, server);
  const asked = server.next();
  const first = dns.resolve("x.test", "A");
  await asked;
  timers.advance(1_000);
  const answer = await first;
  assert.deepEqual(answer.status === "found" && answer.records, ["192.0.2.1"]);
});

test("an answer in another case, and a flood of guesses, are checked over TCP", async () => {
  let guesses = false;
  await using server = await dnsServer((asked) =>
    asked.over === "tcp"
      ? [reply(asked, { answers: [a(asked.name)], name: asked.name.toLowerCase() })]
      : guesses
      ? Array.from({ length: 20 }, (_, i) => reply(asked, { id: asked.id ^ (i + 1) }))
      : [reply(asked, {
        name: asked.name.replace(/[a-z]/gi, (c) => c < "a" ? c.toLowerCase() : c.toUpperCase()),
        answers: [a(asked.name, "192.0.2.66")],
      })]
  );
  const dns = resolver(new Timers(), server);
  for (const name of ["case.test", "guess.test"]) {
    guesses = name === "guess.test";
    const answer = await dns.resolve(name, "A");
    assert.deepEqual(answer.status === "found" && answer.records, ["192.0.2.1"], name);
  }
  assert.deepEqual(server.asked.map((line) => line.split(" ")[2]), ["udp", "tcp", "udp", "tcp"]);
});

test("a server from before EDNS is asked without it", async () => {
  await using server = await dnsServer((asked) => [
    asked.edns
      ? reply(asked, { rcode: 1, questions: [] })
      : reply(asked, { answers: [a(asked.name)] }),
  ]);
  assert.equal((await resolver(new Timers(), server).resolve("x.test", "A")).status, "found");
});

test("CNAMEs are followed, within an answer and over answers, and circles end", async () => {
  const cname = (name: string, data: string) => ({ type: "CNAME", name, ttl: 5, data }) as const;
  await using server = await dnsServer((asked) => {
    const name = asked.name.toLowerCase();
    const answers = {
      "one.test": [cname(asked.name, "two.test"), cname("Two.test", "three.test"), a("three.test")],
      "far.test": [cname(asked.name, "one.test")],
      "ring.test": [cname(asked.name, "gnir.test"), cname("gnir.test", "ring.test")],
      "left.test": [cname(asked.name, "right.test")],
      "right.test": [cname(asked.name, "left.test")],
    }[name];
    return [reply(asked, { answers: answers ?? [] })];
  });
  const dns = resolver(new Timers(), server);
  for (const name of ["one.test", "far.test"]) {
    const answer = await dns.resolve(name, "A");
    assert.ok(answer.status === "found");
    assert.deepEqual([answer.name, answer.ttl, answer.records], ["three.test", 5, ["192.0.2.1"]]);
  }
  for (const name of ["ring.test", "left.test"]) {
    const answer = await dns.resolve(name, "A");
    assert.equal(answer.status === "failed" && answer.reason, "malformed", name);
  }
});

test("every type is read", async () => {
  const records = {
    AAAA: ["2001:db8:0:0:0:0:0:1", "2001:db8::1"],
    MX: [{ preference: 10, exchange: "MX.test" }, { preference: 10, exchange: "mx.test" }],
    NS: ["ns.test", "ns.test"],
    PTR: ["Host.test", "host.test"],
    CNAME: ["c.test", "c.test"],
    SRV: [
      { priority: 1, weight: 2, port: 25, target: "s.test" },
      { priority: 1, weight: 2, port: 25, target: "s.test" },
    ],
    SOA: [
      { mname: "n.test", rname: "r.test", serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 },
      {
        primary: "n.test",
        responsible: "r.test",
        serial: 1,
        refresh: 2,
        retry: 3,
        expire: 4,
        minimum: 5,
      },
    ],
  } as const;
  await using server = await dnsServer((asked) => {
    const data = records[asked.type as keyof typeof records][0];
    return [
      reply(asked, { answers: [{ type: asked.type, name: asked.name, ttl: 1, data } as any] }),
    ];
  });
  const dns = resolver(new Timers(), server);
  for (const [type, [, expected]] of Object.entries(records)) {
    const answer = await dns.resolve("x.test", type as keyof typeof records);
    assert.deepEqual(answer.status === "found" && answer.records, [expected], type);
  }
  const { Buffer } = await import("node:buffer");
  server.answer = (asked) => [
    reply(asked, {
      answers: [{
        type: "TLSA",
        name: asked.name,
        ttl: 1,
        data: { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.from("abc") },
      }],
    }),
  ];
  const answer = await dns.resolve("_25._tcp.x.test", "TLSA");
  assert.deepEqual(answer.status === "found" && answer.records, [
    { usage: 3, selector: 1, matching: 1, data: new TextEncoder().encode("abc") },
  ]);
});

test("the same question is asked once; it is given up when nobody waits any more", async () => {
  await using server = await dnsServer(() => []);
  const timers = new Timers();
  const dns = resolver(timers, server);
  const [one, two] = [new AbortController(), new AbortController()];
  const asked = server.next();
  const answers = [dns.resolve("x.test", "A", one.signal), dns.resolve("x.test", "A", two.signal)];
  await asked;
  one.abort();
  assert.ok(timers.pending > 0);
  two.abort();
  for (const answer of await Promise.all(answers)) assert.equal(answer.status, "failed");
  assert.equal(timers.pending, 0);
  assert.equal(server.asked.length, 1);
});

test("more questions than have room wait for their turn, and end with the resolver", async () => {
  let room = () => {};
  const full = new Promise<void>((resolve) => room = resolve);
  let arrived = 0;
  await using server = await dnsServer(() => {
    if (++arrived === 8) room();
    return [];
  });
  const timers = new Timers();
  const dns = resolver(timers, server);
  const answers = Array.from({ length: 20 }, (_, i) => dns.resolve(`n${i}.test`, "A"));
  await full;
  server.answer = (asked) => [reply(asked, { rcode: 3 })];
  // The second try of those that wait for an answer, and the first of the others.
  timers.advance(1_000);
  const outcomes = await Promise.all(answers);
  assert.deepEqual(new Set(outcomes.map(({ status }) => status)), new Set(["no-name"]));
  assert.equal(new Set(server.asked).size, 20);
  const silent = server.next();
  server.answer = () => [];
  const last = dns.resolve("last.test", "A");
  await silent;
  dns.close();
  assert.equal((await last).status, "failed");
  assert.equal((await dns.resolve("later.test", "A")).status, "failed");
  assert.equal(timers.pending, 0);
});

test("what cannot be a name is none, without a question", async () => {
  const dns = resolver(new Timers());
  for (const name of ["", "a..b", "x".repeat(64), "a b.test", `${"a.".repeat(127)}test`, "a\0b"]) {
    assert.equal((await dns.resolve(name, "A")).status, "no-name", JSON.stringify(name));
  }
  assert.equal((await dns.resolve("x.test", "A")).status, "failed");
});

test("a closed port is a failure", async () => {
  const server = await dnsServer(() => []);
  await server[Symbol.asyncDispose]();
  const timers = new Timers();
  const answer = resolver(timers, server).resolve("x.test", "A");
  // Where the system does not tell, time does.
  let settled = false;
  void answer.then(() => settled = true);
  while (!settled) {
    timers.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await answer).status, "failed");
});

test("the cache gives up what was not used for longest", () => {
  const cache = new AnswerCache(2);
  const answer = { status: "no-name", authenticated: false, ttl: 10 } as const;
  cache.set("a", answer, 0);
  cache.set("b", answer, 0);
  cache.get("a", 0);
  cache.set("c", answer, 0);
  assert.deepEqual(["a", "b", "c"].map((key) => cache.get(key, 0) !== undefined), [
    true,
    false,
    true,
  ]);
  assert.equal(cache.get("a", 10_000), undefined);
});
