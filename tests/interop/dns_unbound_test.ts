/**
 * The resolver before a real Unbound with zones of its own: kinds of records and of nothing, TCP for large answers, TTLs of
 * negative ones, aliases.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { Resolver } from "../../src/dns/resolver.ts";
import type { DnsType } from "../../src/plugin/dns.ts";
import { later } from "../../src/runtime/timers.ts";
import { tempHome } from "../support/postern_process.ts";
import { findProgram, freePorts, greeted, Service } from "./programs.ts";

const LIMIT = { timeout: 60_000 };
const program = findProgram("unbound");

/** 20 strings: more than a UDP answer may have. */
const LONG = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(250));

function configuration(port: number): string {
  return `server:
  interface: 127.0.0.1
  port: ${port}
  username: ""
  chroot: ""
  directory: "."
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  module-config: "iterator"
  local-zone: "example.test." static
  local-data: "example.test. 60 IN SOA ns.example.test. root.example.test. 1 2 3 4 45"
  local-data: "example.test. 60 IN MX 10 Mail.example.test."
  local-data: "example.test. 60 IN MX 20 backup.example.test."
  local-data: 'example.test. 60 IN TXT "v=spf1 mx" " -all"'
  local-data: 'long.example.test. 60 IN TXT ${LONG.map((part) => `"${part}"`).join(" ")}'
  local-data: "mail.example.test. 60 IN A 192.0.2.1"
  local-data: "mail.example.test. 60 IN AAAA 2001:db8::1"
  local-data: "_25._tcp.mail.example.test. 60 IN TLSA 3 1 1 ${"ab".repeat(32)}"
  local-data: "_smtp._tcp.example.test. 60 IN SRV 1 2 25 mail.example.test."
  local-data: "www.example.test. 60 IN CNAME mail.example.test."
  local-data-ptr: "192.0.2.1 60 mail.example.test"
  local-zone: "refused.test." refuse
remote-control:
  control-enable: no
`;
}

describe(
  "the resolver and Unbound",
  { skip: program === undefined ? "unbound is not installed" : false },
  () => {
    let home: Awaited<ReturnType<typeof tempHome>>;
    let service: Service | undefined;
    let dns: Resolver;

    before(async () => {
      home = await tempHome({});
      const file = path.join(home.path, "unbound.conf");
      for (let attempt = 1;; attempt++) {
        const [port] = await freePorts(1);
        fs.writeFileSync(file, configuration(port!));
        service = new Service(program!, ["-d", "-c", file]);
        try {
          await greeted(service, [port!]);
          dns = new Resolver({
            servers: () => [{ host: "127.0.0.1", port: port! }],
            timeout: 20_000,
            tries: 1,
            budget: 40_000,
            cache: 100,
            now: Date.now,
            later,
          });
          return;
        } catch (error) {
          await service.stop();
          if (attempt === 3) throw error;
        }
      }
    }, LIMIT);
    after(async () => {
      dns?.close();
      await service?.stop();
      await home?.[Symbol.asyncDispose]();
    }, LIMIT);

    const found = async (name: string, type: DnsType) => {
      const answer = await dns.resolve(name, type);
      assert.ok(answer.status === "found", `${name} ${type}: ${JSON.stringify(answer)}`);
      return answer.records;
    };

    test("records of every kind", LIMIT, async () => {
      const mx = await found("Example.test", "MX");
      assert.deepEqual([...mx].map((each) => JSON.stringify(each)).toSorted(), [
        '{"preference":10,"exchange":"mail.example.test"}',
        '{"preference":20,"exchange":"backup.example.test"}',
      ]);
      assert.deepEqual(await found("example.test", "TXT"), [
        { text: "v=spf1 mx -all", strings: ["v=spf1 mx", " -all"] },
      ]);
      assert.deepEqual(await found("mail.example.test", "A"), ["192.0.2.1"]);
      assert.deepEqual(await found("mail.example.test", "AAAA"), ["2001:db8::1"]);
      assert.deepEqual(await found("_25._tcp.mail.example.test", "TLSA"), [
        { usage: 3, selector: 1, matching: 1, data: new Uint8Array(32).fill(0xab) },
      ]);
      assert.deepEqual(await found("_smtp._tcp.example.test", "SRV"), [
        { priority: 1, weight: 2, port: 25, target: "mail.example.test" },
      ]);
      assert.deepEqual(await found("1.2.0.192.in-addr.arpa", "PTR"), ["mail.example.test"]);
      assert.deepEqual(await found("www.example.test", "CNAME"), ["mail.example.test"]);
    });

    test("an alias that the server does not follow is followed", LIMIT, async () => {
      assert.deepEqual(await found("www.example.test", "A"), ["192.0.2.1"]);
    });

    test("what is too large for UDP comes over TCP, whole", LIMIT, async () => {
      assert.deepEqual(await found("long.example.test", "TXT"), [
        { text: LONG.join(""), strings: LONG },
      ]);
    });

    test("no name, no data, and refused", LIMIT, async () => {
      const no = { authenticated: false, ttl: 45 };
      assert.deepEqual(await dns.resolve("none.example.test", "A"), { status: "no-name", ...no });
      assert.deepEqual(await dns.resolve("example.test", "A"), { status: "no-data", ...no });
      const refused = await dns.resolve("refused.test", "A");
      assert.equal(refused.status === "failed" && refused.reason, "refused");
    });
  },
);
