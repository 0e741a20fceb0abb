import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "@postern/postern/plugin";
import { runDialogue, type RunOptions, runPlugin, type TestPlugin } from "@postern/postern/testing";
import { optionFaults } from "../../tests/support/fake_facts.ts";
import * as module from "./mod.ts";
import { escaped, formatQuestion, parseLine, readAnswer } from "./protocol.ts";

const SECRET = "s3cr3t-päss\tword";
const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

const HANDSHAKE = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n" +
  "SPID\t77\nCUID\t1\nCOOKIE\t00ff\nDONE\n";

type Answer = (id: string, fields: readonly string[], server: Connection) => unknown;

/** An auth service that remembers what it was told. */
class Dovecot {
  readonly lines: string[][] = [];
  connections = 0;
  readonly #met = new Map<number, () => void>();

  constructor(readonly answer: Answer, readonly greeting = HANDSHAKE) {}

  readonly serve = async (server: Connection): Promise<void> => {
    const lines: string[] = [];
    this.lines.push(lines);
    this.connections++;
    await server.write(this.greeting);
    for (;;) {
      const line = await server.readLine();
      if (line === undefined) return server.end();
      lines.push(line);
      this.#met.get(this.questions.length)?.();
      const [command, id = "", ...fields] = line.split("\t");
      if (command === "AUTH") await this.answer(id, fields, server);
    }
  };

  get questions(): readonly string[] {
    return this.lines.flat().filter((line) => line.startsWith("AUTH\t"));
  }

  /** Resolves when so many questions have come. */
  asked(count: number): Promise<void> {
    if (this.questions.length >= count) return Promise.resolve();
    return new Promise((resolve) => void this.#met.set(count, resolve));
  }
}

/** Right for `anna` with the secret; gives her her full name. */
const knowing: Answer = (id, fields, server) => {
  const right = fields.at(-1) === `resp=${base64(`\0anna\0${SECRET}`)}`;
  return server.write(
    right ? `OK\t${id}\tuser=anna@example.org\n` : `FAIL\t${id}\tuser=x\treason=y\n`,
  );
};

const start = (dovecot: Dovecot, options: object = {}, more: RunOptions = {}) =>
  runPlugin(module, {
    name: "auth-dovecot",
    options: { server: "unix:/run/dovecot/auth", ...options },
    services: { "/run/dovecot/auth": dovecot.serve },
    ...more,
  });

async function login(plugin: TestPlugin, user = "anna", password = SECRET) {
  const outcome = await plugin.authenticate(user, password);
  return "identity" in outcome
    ? outcome.identity.user
    : "refused" in outcome
    ? outcome.refused.code
    : undefined;
}

describe("the protocol", () => {
  test("fields are escaped, and read back", () => {
    const odd = "a\tb\nc\rd\0e\x01f\x01t";
    assert.equal(escaped(odd), "a\x01tb\x01nc\x01rd\x010e\x011f\x011t");
    assert.deepEqual(parseLine(`OK\t1\tuser=${escaped(odd)}`), {
      command: "OK",
      fields: ["1", `user=${odd}`],
    });
    assert.equal(parseLine("").command, "");
    assert.deepEqual(parseLine("X\t\x01z\x01").fields, ["z\x01"]);
  });

  test("a question has its response last, and no address of a unix socket", () => {
    const question = {
      service: "smtp",
      local: { address: "/run/postern.sock", port: 0 },
      remote: { address: "2001:db8::1", port: 40000 },
      secured: true,
      session: "s1",
      response: "AGEAYg==",
    };
    assert.equal(
      formatQuestion(7, question),
      "AUTH\t7\tPLAIN\tservice=smtp\tnologin\tno-penalty\tsecured\tsession=s1\trip=2001:db8::1\trport=40000\tresp=AGEAYg==\n",
    );
  });

  test("answers: which is for whom, and what is temporary", () => {
    const read = (line: string) => readAnswer(parseLine(line));
    assert.deepEqual(read("OK\t3\tuser=a"), [3, { answer: "ok", user: "a" }]);
    assert.deepEqual(read("OK\t3"), [3, { answer: "ok", user: undefined }]);
    assert.deepEqual(read("FAIL\t3\tuser=temp"), [3, { answer: "wrong" }]);
    assert.deepEqual(read("FAIL\t3\tuser=a\ttemp"), [3, { answer: "later" }]);
    assert.deepEqual(read("FAIL\t3\tcode=temp_fail"), [3, { answer: "later" }]);
    assert.deepEqual(read("CONT\t3\t"), [3, { answer: "nonsense" }]);
    for (const none of ["OK", "OK\t-1", "OK\tx", "SPID\t7", "", "OK\t99999999999"]) {
      assert.equal(read(none), undefined);
    }
  });
});

for (const split of [1, 7, undefined]) {
  test(`logins share one connection, in packets of ${split ?? "all"} octets`, async () => {
    const dovecot = new Dovecot(knowing);
    const plugin = await start(dovecot, {}, split === undefined ? {} : { split });
    assert.equal(await login(plugin), "anna@example.org");
    assert.equal(await login(plugin, "anna", "wrong"), 535);
    assert.equal(await login(plugin, "bob"), 535);
    assert.equal(dovecot.connections, 1);
    const [version, cpid, question] = dovecot.lines[0]!;
    assert.equal(version, "VERSION\t1\t1");
    assert.match(cpid!, /^CPID\t[1-9][0-9]{0,9}$/);
    assert.equal(
      question,
      "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\tsession=s1\tlip=198.51.100.1\tlport=25\t" +
        `rip=192.0.2.1\trport=49152\tresp=${base64(`\0anna\0${SECRET}`)}`,
    );
    await plugin.close();
  });
}

test("answers come in any order, each to its login", async () => {
  const held: (() => Promise<void>)[] = [];
  const dovecot = new Dovecot((id, fields, server) => {
    held.push(async () => void await knowing(id, fields, server));
    if (held.length === 2) return Promise.all(held.reverse().map((answer) => answer()));
  });
  const plugin = await start(dovecot, { exempt: ["192.0.2.0/24"] });
  const both = await Promise.all([login(plugin), login(plugin, "bob")]);
  assert.deepEqual(both, ["anna@example.org", 535]);
  assert.equal(dovecot.connections, 1);
  await plugin.close();
});

test("a temporary failure and a question back are 454", async () => {
  for (const answer of ["FAIL\t1\tuser=anna\ttemp", "FAIL\t1\tcode=temp_fail", "CONT\t1\tYQ=="]) {
    const plugin = await start(new Dovecot((_, __, server) => server.write(`${answer}\n`)));
    assert.equal(await login(plugin), 454);
    assert.equal(plugin.logs.length, 1);
    assert.deepEqual(plugin.failures, []);
    await plugin.close();
  }
});

test("a restart while nobody asked costs no login; one in mid-question is asked again once", async () => {
  let die = false;
  const dovecot = new Dovecot((id, fields, server) => {
    if (!die) return knowing(id, fields, server);
    die = false;
    server.destroy();
  });
  const plugin = await start(dovecot);
  assert.equal(await login(plugin), "anna@example.org");
  die = true;
  assert.equal(await login(plugin), "anna@example.org");
  assert.equal(dovecot.connections, 2);
  assert.deepEqual(plugin.logs, []);
  await plugin.close();
});

test("a server that dies at every question is given up, and told of once", async () => {
  const dovecot = new Dovecot((_, __, server) => server.destroy());
  const plugin = await start(dovecot);
  for (let i = 0; i < 3; i++) assert.equal(await login(plugin), 454);
  assert.equal(dovecot.connections, 3);
  assert.deepEqual(plugin.logs.map(({ level }) => level), ["error"]);
  await plugin.close();
});

test("nobody there is 454", async () => {
  const plugin = await start(new Dovecot(knowing), { server: "127.0.0.1:9" });
  assert.equal(await login(plugin), 454);
  assert.deepEqual(plugin.logs.map(({ level }) => level), ["error"]);
  await plugin.close();
});

test("what is no auth service of Dovecot, or cannot do PLAIN, is told by name", async () => {
  const greetings: readonly [string, RegExp][] = [
    ["220 mx.example.org ESMTP\nDONE\n", /no authentication service/],
    ["VERSION\t2\t0\nDONE\n", /another version/],
    ["VERSION\t1\t2\nMECH\tCRAM-MD5\nDONE\n", /does not offer PLAIN/],
    ["x\n".repeat(200), /no authentication service/],
    [`${"x".repeat(10_000)}\n`, /too long/],
  ];
  for (const [greeting, cause] of greetings) {
    const plugin = await start(new Dovecot(knowing, greeting));
    assert.equal(await login(plugin), 454);
    assert.match(String(plugin.logs[0]?.fields["cause"]), cause);
    await plugin.close();
  }
});

test("a server that hangs costs each login its budget, and is left for a new connection", async () => {
  const dovecot: Dovecot = new Dovecot((id, fields, server) =>
    dovecot.connections > 1 && knowing(id, fields, server)
  );
  const plugin = await start(dovecot, {}, { budget: 5_000 });
  const asked = login(plugin);
  await dovecot.asked(1);
  await plugin.clock.advance(5_000);
  assert.equal(await asked, 454);
  assert.deepEqual(plugin.failures.map(({ kind }) => kind), ["over-budget"]);
  assert.equal(await login(plugin), "anna@example.org");
  assert.equal(dovecot.connections, 2);
  await plugin.close();
});

test("a handshake that hangs costs each login its budget, too", async () => {
  const dovecot = new Dovecot(knowing, "VERSION\t1\t2\n");
  const plugin = await start(dovecot, {}, { budget: 5_000 });
  for (let i = 1; i <= 2; i++) {
    const asked = login(plugin);
    await plugin.clock.advance(5_000);
    assert.equal(await asked, 454);
    assert.equal(dovecot.connections, i);
  }
  await plugin.close();
});

test("a client that goes away takes its question back and leaves the connection to the others", async () => {
  const dovecot = new Dovecot((id, fields, server) =>
    !fields.at(-1)!.includes(base64("\0slow\0x")) && knowing(id, fields, server)
  );
  const plugin = await start(dovecot, { exempt: ["192.0.2.0/24"] });
  assert.equal(await login(plugin), "anna@example.org");
  const slow = plugin.authenticate("slow", "x");
  await dovecot.asked(2);
  plugin.closed();
  await slow;
  assert.equal(await login(plugin), "anna@example.org");
  assert.equal(dovecot.connections, 1);
  assert.ok(dovecot.lines[0]!.includes("CANCEL\t2"));
  await plugin.close();
});

test("R17: failures lock, and who is locked is not asked for", async () => {
  const dovecot = new Dovecot(knowing);
  const plugin = await start(dovecot, { max_failures: 2 });
  for (const user of ["a", "b"]) assert.equal(await login(plugin, user), 535);
  assert.equal(await login(plugin), 535);
  assert.equal(dovecot.questions.length, 2);
  await plugin.close();
});

test("a right password is remembered by the name that Dovecot gave", async () => {
  const dovecot = new Dovecot(knowing);
  const plugin = await start(dovecot, { cache: "30s" });
  for (let i = 0; i < 3; i++) assert.equal(await login(plugin), "anna@example.org");
  assert.equal(dovecot.questions.length, 1);
  await plugin.close();
});

test("R18: no password in logs or failures, whatever the server says back", async () => {
  const dovecot = new Dovecot((id, fields, server) =>
    server.write(`FAIL\t${id}\ttemp\treason=${fields.at(-1)}\n`)
  );
  const plugin = await start(dovecot);
  await login(plugin);
  const echo = await start(
    new Dovecot((_, fields, server) =>
      server.write(`${fields.at(-1)}\n`).then(() => server.destroy())
    ),
  );
  await login(echo);
  const all = JSON.stringify([plugin.logs, plugin.failures, echo.logs, echo.failures]);
  assert.ok(plugin.logs.length + echo.logs.length >= 2);
  assert.ok(!all.includes("s3cr3t") && !all.includes(base64(`\0anna\0${SECRET}`)), all);
  await plugin.close();
  await echo.close();
});

test("a dialogue", async () => {
  const dovecot = new Dovecot((id, fields, server) =>
    fields.at(-1) === `resp=${base64("\0anna\0later")}`
      ? server.write(`FAIL\t${id}\tuser=anna\ttemp\n`)
      : knowing(id, fields, server)
  );
  await runDialogue(module, new URL("auth_dovecot.dialogue", import.meta.url), {
    options: { server: "unix:/run/dovecot/auth" },
    services: { "/run/dovecot/auth": dovecot.serve },
    clientAddress: "127.0.0.1",
  });
});

test("options say what is wrong", async () => {
  const faults = (given: unknown) => optionFaults(module.options, given);
  assert.deepEqual(await faults({}), ["server: expected a value, got nothing"]);
  for (const server of ["", "unix:", "localhost", "a:0", "a:70000", "http://a:1", "[::1"]) {
    assert.deepEqual(await faults({ server }), [
      `server: expected an address such as "127.0.0.1:12345" or "unix:/run/service.sock", got "${server}"`,
    ]);
  }
  for (const server of ["unix:auth", "localhost:12345", "[::1]:1"]) {
    assert.deepEqual(await faults({ server }), []);
  }
});
