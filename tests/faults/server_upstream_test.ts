/** The upstream fails, refuses, babbles or is slow, at every step: R1, R4, R5, R23, R24, and the routes of the walk. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  assertNoDot,
  type Edge,
  type EdgeOptions,
  mailCommands,
  startEdge,
} from "../support/edge.ts";
import {
  type Action,
  endless,
  fin,
  raw,
  type Reaction,
  rst,
  type Script,
  scriptedUpstream,
  startTls,
} from "../support/scripted_upstream.ts";
import { testIdentity } from "../support/certificates.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const message = "Subject: x\r\n\r\nbody\r\n.\r\n";
const ends: ReadonlyMap<string, () => Action> = new Map([["FIN", fin], ["RST", rst]]);

/** A transaction as far as it goes: the first reply that is no success, or the reply to the dot. */
async function transact(client: SmtpClient): Promise<string> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  for (const line of ["RCPT TO:<b@up.test>", "DATA"]) {
    client.send(line);
    const answer = await client.reply();
    if (answer.code >= 400) return answer.text;
  }
  client.sendRaw(message);
  return (await client.reply()).text;
}

/** A message whose second half follows when the upstream has seen the end of its connection; the reply to the dot. */
async function inTwoHalves(edge: Edge, client: SmtpClient): Promise<string> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command("RCPT TO:<b@up.test>", 250);
  await client.command("DATA", 354);
  client.sendRaw("Subject: x\r\n\r\nbody\r\n");
  await edge.upstream.waitFor("close");
  client.sendRaw("more of it\r\n.\r\n");
  return (await client.reply()).text;
}

/** The session is as good as new: the same client's next mail is judged by itself. */
async function alive(client: SmtpClient): Promise<void> {
  await client.command("RSET", 250);
  await client.command("NOOP", 250);
}

async function fails(options: EdgeOptions, wanted: RegExp, then?: (edge: Edge) => void) {
  await using edge = await startEdge(options);
  await using client = await edge.greeted();
  assert.match(await transact(client), wanted, edge.log());
  await alive(client);
  then?.(edge);
}

const atStart: ReadonlySet<string> = new Set(["banner", "ehlo"]);

describe("R4: the upstream is lost before the dot: 451, and it never gets the dot", () => {
  for (const [how, end] of ends) {
    for (const step of ["banner", "ehlo", "mail", "rcpt", "data"] as const) {
      test(`at ${step}, by ${how}`, async () => {
        await fails({ script: { [step]: end() } }, /^451 4\.4\.[12] /, assertNoDot);
      });
    }
    for (const after of [0, 5, 16]) {
      test(`in mid-body behind ${after} octets, by ${how}`, async () => {
        await using edge = await startEdge({ script: { body: { after, then: end() } } });
        await using client = await edge.greeted();
        assert.match(await inTwoHalves(edge, client), /^451 4\.4\.2 /);
        await alive(client);
        assertNoDot(edge);
        // A reset that we are told of only after the dot was written leaves the outcome open, and says so.
        const fates = how.includes("RST") ? ["deferred", "unknown"] : ["deferred"];
        assert.ok(fates.includes(edge.postern.records[0]?.fate ?? ""));
      });
    }
  }

  test("nobody listens there", async () => {
    await using edge = await startEdge();
    await edge.upstream.stop();
    await using client = await edge.greeted();
    assert.match(await transact(client), /^451 4\.4\.1 /);
    await alive(client);
  });

  test("it refuses everybody at the door, for now or for ever: that is no word on this mail", async () => {
    for (const banner of ["421 4.3.2 later", "554 5.7.1 never", "220-x\r\n521 5.3.2 y"]) {
      await fails({ script: { banner } }, /^451 4\.4\.1 /, assertNoDot);
    }
  });

  test("it says nothing, at any step: each has its deadline", async () => {
    for (const step of ["banner", "ehlo", "mail", "rcpt", "data"] as const) {
      await using edge = await startEdge({
        // The look at the start is answered: it has a real clock.
        script: {
          [step]: ({ nth }: { nth: number }) => nth === 1 && atStart.has(step) ? fin() : [],
        },
        clock: true,
        timeouts: 'upstream_connect = "20s"\nupstream_command = "20s"\nsession = "24h"',
      });
      await using client = await edge.connect();
      await client.expect(220);
      await client.ehlo();
      assert.match(await edge.advanceUntil(1_000, transact(client)), /^451 4\.4\.[12] /, step);
      assertNoDot(edge);
    }
  });
});

describe("R1: the upstream is lost behind the dot: 451, outcome unknown, never 250, never again", () => {
  for (const [how, end] of ends) {
    test(`by ${how}`, async () => {
      await fails({ script: { dot: end() } }, /^451 4\.4\.2 /, (edge) => {
        assert.equal(edge.postern.records[0]?.fate, "unknown");
        assert.match(edge.log(), /outcome unknown/);
        assert.equal(edge.upstream.count("dot"), 1);
      });
    });
    test(`in the middle of its reply, by ${how}`, async () => {
      for (const part of ["2", "250", "250 2.0.0 ok", "250 2.0.0 ok\r", "250-2.0.0 ok\r\n"]) {
        await fails({ script: { dot: [raw(part), end()] } }, /^451 4\.4\.2 /, (edge) => {
          assert.equal(edge.postern.records[0]?.fate, "unknown");
          assert.equal(edge.upstream.count("dot"), 1);
        });
      }
    });
  }
  test("by its silence", async () => {
    await using edge = await startEdge({
      script: { dot: [] },
      clock: true,
      timeouts: 'upstream_data_end = "10m"',
    });
    await using client = await edge.greeted();
    const answer = edge.upstream.waitFor("dot").then(() => client.reply());
    const sent = transactOnly(client);
    await edge.upstream.waitFor("dot");
    assert.match(
      (await edge.advanceUntil(60_000, Promise.race([sent, answer]))).text,
      /^451 4\.4\.2 /,
    );
    assert.equal(edge.postern.records[0]?.fate, "unknown");
    assert.match(edge.log(), /outcome unknown/);
  });
  test("by a reply that is none", async () => {
    for (const octets of babble) {
      await fails({ script: { dot: raw(octets) } }, /^451 4\.\d\.\d /, (edge) => {
        assert.equal(edge.upstream.count("dot"), 1);
      });
    }
  });
});

/** Everything up to the dot; never its reply, which somebody else waits for. */
async function transactOnly(client: SmtpClient): Promise<never> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command("RCPT TO:<b@up.test>", 250);
  await client.command("DATA", 354);
  client.sendRaw(message);
  return await new Promise<never>(() => {});
}

/** R24: what no reply may be, and what could be taken for a success. */
const babble: readonly string[] = [
  "100 continue\r\n",
  "199 x\r\n",
  "600 x\r\n",
  "999 x\r\n",
  "2500 x\r\n",
  "25 x\r\n",
  "+OK\r\n",
  "\r\n",
  "HTTP/1.1 200 OK\r\n\r\n",
  "250-a\r\n550 b\r\n",
  "250-a\r\n251 b\r\n",
  "250 a\n",
  "250 a\rb\r\n",
  "250 \0\r\n",
  "250 \x1b[2J\r\n",
  "250_a\r\n",
  `250 ${"x".repeat(10_000)}\r\n`,
  "250-x\r\n".repeat(500),
  "\x80\xff\r\n",
];

describe("R24: a reply that is none becomes one well-formed 451", () => {
  for (const step of ["banner", "ehlo", "mail", "rcpt", "data"] as const) {
    test(`at ${step}`, async () => {
      for (const octets of babble) {
        await fails({ script: { [step]: raw(octets) } }, /^451 4\.\d\.\d [ -~]+$/, (edge) => {
          assertNoDot(edge);
          assert.ok(!/[\0\x1b\r]/.test(edge.log()), "control characters in the log");
        });
      }
    });
  }

  test("a success of the wrong kind is none", async () => {
    const wrong: readonly Script[] = [
      { mail: "354 go" },
      { rcpt: "354 go" },
      { rcpt: "334 go" },
      { data: "250 ok" },
      { data: "220 ok" },
      { data: "335 ok" },
      { dot: "354 go" },
      { dot: "334 go" },
    ];
    for (const script of wrong) await fails({ script }, /^451 4\.\d\.\d /);
  });

  test("two replies to one command are not the answer to the next", async () => {
    for (const step of ["mail", "rcpt", "data", "dot"] as const) {
      const good = step === "data" ? "354 go" : "250 2.0.0 ok";
      await using edge = await startEdge({
        script: {
          [step]: `${good}\r\n250 2.0.0 more`,
          rcpt: step === "rcpt" ? "550 5.1.1 no\r\n250 2.1.5 yes" : "250 2.1.5 ok",
        },
        limits: "errors = 50",
      });
      await using client = await edge.greeted();
      // The surplus reply must never turn a refusal into a 250, nor the other way round.
      for (let i = 0; i < 3; i++) {
        const text = await transact(client);
        const fine = step === "dot" ? /^(?:250|451) / : step === "rcpt" ? /^(?:550|451) / : /^451 /;
        assert.match(text, fine, step);
        await client.command("RSET", 250);
      }
    }
  });

  test("an upstream that never stops talking is cut off", async () => {
    for (const step of ["banner", "mail", "dot"] as const) {
      for (const octets of ["250-x\r\n", "x", "\r\n"]) {
        await fails({ script: { [step]: endless(octets) } }, /^451 4\.\d\.\d /);
      }
    }
  });

  test("what an upstream says in mid-body ends the message, and is no answer to the dot", async () => {
    const said: readonly (readonly [string, RegExp])[] = [
      ["250 2.0.0 ok", /^451 4\.4\.2 /],
      ["354 go", /^451 4\.4\.2 /],
      ["220 x", /^451 4\.4\.2 /],
      ["421 4.3.2 bye", /^451 4\.4\.2 /],
      ["452 4.3.1 full", /^45\d 4\./],
      ["552 5.3.4 too big", /^552 5\.3\.4 /],
    ];
    for (const [then, wanted] of said) {
      await using edge = await startEdge({ script: { body: { after: 1, then } } });
      await using client = await edge.greeted();
      assert.match(await inTwoHalves(edge, client), wanted, then);
      await alive(client);
      assertNoDot(edge);
    }
  });

  test("EHLO refused means HELO", async () => {
    await using edge = await startEdge({ script: { ehlo: "502 5.5.1 what" } });
    await using client = await edge.greeted();
    assert.match(await transact(client), /^250 2\.0\.0 /);
    assert.equal(edge.upstream.count("helo"), 1);
  });
});

describe("R5: each recipient gets the upstream's own answer, code and enhanced code as they came", () => {
  const codes = ["450 4.2.1", "451 4.7.1", "452 4.2.2", "550 5.1.1", "551 5.1.6", "552 5.2.2"]
    .concat(["553 5.1.3", "554 5.7.1", "550 5.7.23", "556 5.1.10", "459 4.999.999"]);

  test("to RCPT", async () => {
    const script: Script = {
      rcpt: ({ line }) => {
        const at = /<r(\d+)@/.exec(line)?.[1];
        return at === undefined ? "250 2.1.5 ok" : `${codes[Number(at)]} because of ${line}`;
      },
    };
    await using edge = await startEdge({ script, limits: "errors = 50" });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<good1@up.test>", "250 2.1.5");
    for (const [at, code] of codes.entries()) {
      const answer = await client.command(`RCPT TO:<r${at}@up.test>`, `${code} `);
      assert.ok(!answer.text.includes("because"), "the upstream's text is not the client's");
    }
    await client.command("RCPT TO:<good2@up.test>", "250 2.1.5");
    await client.command("DATA", 354);
    client.sendRaw(message);
    await client.expect("250 2.0.0");
    assert.deepEqual(edge.upstream.messages[0]?.to, ["good1@up.test", "good2@up.test"]);
  });

  test("to MAIL: the recipient carries it", async () => {
    for (const code of codes) {
      await fails({ script: { mail: `${code} no` } }, new RegExp(`^${code} `));
    }
  });
  test("to DATA", async () => {
    for (const code of codes) {
      await fails({ script: { data: `${code} no` } }, new RegExp(`^${code} `), assertNoDot);
    }
  });
  test("to the dot", async () => {
    for (const code of codes) {
      await fails({ script: { dot: `${code} no` } }, new RegExp(`^${code} `), (edge) => {
        assert.equal(edge.postern.records[0]?.fate, code.startsWith("4") ? "deferred" : "refused");
        assert.equal(edge.upstream.count("dot"), 1);
      });
    }
  });

  test("a code outside the grammar keeps its class", async () => {
    for (const said of ["499 4.2.0 no", "460 no"]) {
      await fails({ script: { rcpt: said } }, /^450 4\./);
    }
    await fails({ script: { dot: "599 5.9.9 no" } }, /^550 5\.9\.9 /);
    await fails({ script: { dot: "299 fine" } }, /^250 2\./);
  });

  test("one without an enhanced code, or with one of another class, gets one of its class", async () => {
    for (const said of ["550 no", "550", "550 2.1.5 no", "550 4.2.1 no"]) {
      await fails({ script: { rcpt: said } }, /^550 5\.\d\.\d /);
    }
    await fails({ script: { dot: "452 5.2.2 no" } }, /^452 4\.\d\.\d /);
    await fails({ script: { dot: "250 queued as 12345" } }, /^250 2\.0\.0 (?!.*12345)/);
  });

  test("its text passes where that is set, and one reply stays one reply", async () => {
    const script: Script = { dot: "550-5.7.1 first\r\n550 5.7.1 second \u00fc" };
    await using edge = await startEdge({ script, upstream: "reply_text = true" });
    await using client = await edge.greeted();
    assert.match(await transact(client), /^550-5\.7\.1 first\n550 5\.7\.1 second [ -~]+$/);
    await alive(client);
  });

  test("421 never reaches the client as the end of his session", async () => {
    for (const step of ["mail", "rcpt", "data", "dot"] as const) {
      for (const closes of [false, true]) {
        const reaction: Reaction = closes ? ["421 4.3.2 bye", fin()] : "421 4.3.2 bye";
        await fails({ script: { [step]: reaction } }, /^451 4\.\d\.\d /, (edge) => {
          assert.ok(edge.upstream.messages.every((m) => !m.acknowledged));
        });
      }
    }
  });
});

describe("failover: another server is tried as long as no octet of the body has gone", () => {
  const steps: readonly (readonly [string, Script])[] = [
    ["it refuses everybody", { banner: "554 5.3.2 no" }],
    ["it closes at once", { banner: fin() }],
    ["EHLO", { ehlo: rst() }],
    ["MAIL", { mail: fin() }],
    ["421 to MAIL", { mail: ["421 4.3.2 bye", fin()] }],
    ["RCPT", { rcpt: rst() }],
    ["the second RCPT", { rcpt: ({ nth }) => nth % 2 === 0 ? rst() : "250 2.1.5 ok" }],
    ["421 to RCPT", { rcpt: "421 4.3.2 bye" }],
    ["DATA", { data: fin() }],
    ["421 to DATA", { data: ["421 4.3.2 bye", fin()] }],
  ];
  for (const [name, script] of steps) {
    test(`${name}: the next server gets the whole envelope, the client one answer`, async () => {
      await using good = await scriptedUpstream();
      await using edge = await startEdge({
        script,
        servers: [good.address],
        upstream: 'balance = "priority"',
      });
      await using client = await edge.greeted();
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.command("RCPT TO:<b@up.test>", "250 2.1.5");
      await client.command("RCPT TO:<c@up.test>", "250 2.1.5");
      await client.command("DATA", 354);
      client.sendRaw(message);
      await client.expect("250 2.0.0");
      assert.deepEqual(good.messages[0]?.to, ["b@up.test", "c@up.test"]);
      assert.equal(good.messages.length, 1);
      assert.equal(edge.upstream.messages.length, 0);
    });
  }

  test("a refusal is an answer, not a failure: nobody else is asked", async () => {
    await using other = await scriptedUpstream();
    for (const script of [{ rcpt: "450 4.2.1 later" }, { mail: "550 5.7.1 no" }]) {
      await using edge = await startEdge({
        script,
        servers: [other.address],
        upstream: 'balance = "priority"',
      });
      await using client = await edge.greeted();
      assert.match(await transact(client), /^(?:450 4\.2\.1|550 5\.7\.1) /);
      assert.equal(other.count("mail"), 0);
    }
  });

  test("from the body on there is no other server", async () => {
    for (const script of [{ body: { after: 5, then: rst() } }, { dot: fin() }]) {
      await using other = await scriptedUpstream();
      await using edge = await startEdge({
        script,
        servers: [other.address],
        upstream: 'balance = "priority"',
      });
      await using client = await edge.greeted();
      const half = "body" in script;
      const answer = half ? await inTwoHalves(edge, client) : await transact(client);
      assert.match(answer, /^451 4\.4\.2 /);
      assert.equal(other.messages.length, 0);
      assert.equal(other.count("mail"), 0);
    }
  });

  test("a server that does not know an accepted recipient does not get the mail", async () => {
    await using other = await scriptedUpstream({ rcpt: "550 5.1.1 who" });
    await using edge = await startEdge({
      script: { data: fin() },
      servers: [other.address],
      upstream: 'balance = "priority"',
    });
    await using client = await edge.greeted();
    assert.match(await transact(client), /^451 4\./);
    assert.equal(other.messages.length, 0);
  });
});

test("R6: an upstream that closed while idle is replaced without the client's noticing", async () => {
  for (const end of [fin(), rst()]) {
    const gate = Promise.withResolvers<void>();
    await using edge = await startEdge({
      script: {
        rset: ["250 2.0.0 ok"],
        dot: ({ nth }) => nth === 1 ? ["250 2.0.0 ok", gate.promise, end] : "250 2.0.0 ok",
      },
    });
    await using client = await edge.greeted();
    assert.match(await transact(client), /^250 2\.0\.0 /);
    gate.resolve();
    assert.match(await transact(client), /^250 2\.0\.0 /);
    assert.equal(edge.upstream.messages.length, 2);
  }
});

test("R6: a 421 that came while idle is nobody's reply", async () => {
  const gate = Promise.withResolvers<void>();
  await using edge = await startEdge({
    script: {
      dot: ({ nth }) =>
        nth === 1 ? ["250 2.0.0 ok", gate.promise, "421 4.4.2 idle", fin()] : "250 2.0.0 ok",
    },
  });
  await using client = await edge.greeted();
  assert.match(await transact(client), /^250 2\.0\.0 /);
  gate.resolve();
  for (let i = 0; i < 3; i++) assert.match(await transact(client), /^250 2\.0\.0 /);
  assert.equal(edge.upstream.messages.length, 4);
});

describe("R23: only what the upstream offers is sent", () => {
  const params = " SIZE=100 BODY=8BITMIME";
  test("an upstream without extensions gets none", async () => {
    await using edge = await startEdge({ script: { capabilities: [] } });
    await using client = await edge.greeted();
    assert.ok(!client.capabilities.some((word) => /^(?:SMTPUTF8|DSN|REQUIRETLS)/.test(word)));
    await client.command(`MAIL FROM:<a@client.test>${params}`, 250);
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("RCPT TO:<b@up.test> NOTIFY=NEVER", "555 5.5.4");
    await client.command("RSET", 250);
    await client.command("MAIL FROM:<a@client.test> SMTPUTF8", "555 5.5.4");
    await client.command("MAIL FROM:<a@client.test> RET=HDRS", "555 5.5.4");
    assert.deepEqual(mailCommands(edge), ["MAIL FROM:<a@client.test>", "RCPT TO:<b@up.test>"]);
  });
  test("one with extensions gets what the client said", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await client.command(
      `MAIL FROM:<a@client.test>${params} SMTPUTF8 RET=HDRS ENVID=q+2B1`,
      250,
    );
    await client.command(
      "RCPT TO:<b\u00fc@up.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@x.test",
      250,
    );
    const [mail, rcpt] = mailCommands(edge);
    for (const param of ["SIZE=100", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=q+2B1"]) {
      assert.ok(mail?.split(" ").includes(param), `${param} is not in ${mail}`);
    }
    assert.equal(rcpt, "RCPT TO:<b\u00fc@up.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@x.test");
  });
  test("commands are pipelined to those only who offer it", async () => {
    for (const capabilities of [[], ["PIPELINING"]]) {
      const gate = Promise.withResolvers<void>();
      await using edge = await startEdge({
        script: { capabilities, mail: [gate.promise, "250 2.1.0 ok"] },
      });
      await using client = await edge.greeted();
      client.sendRaw("MAIL FROM:<a@client.test>\r\nRCPT TO:<b@up.test>\r\nNOOP\r\n");
      await edge.upstream.waitFor("mail");
      assert.equal(edge.upstream.count("rcpt"), 0);
      gate.resolve();
      for (const code of [250, 250, 250]) await client.expect(code);
      assert.equal(edge.upstream.count("rcpt"), 1);
    }
  });
});

describe("R13: STARTTLS towards the upstream", () => {
  test("plain text behind its 220 is not the upstream's word: 451, and nothing is sent", async () => {
    const tls = await testIdentity(["127.0.0.1"]);
    for (const mode of ["require", "opportunistic"]) {
      for (const more of ["250 injected\r\n", "250-SIZE 1\r\n250 PIPELINING\r\n", "2"]) {
        const script: Script = { tls, starttls: [raw(`220 go\r\n${more}`), startTls()] };
        await fails({ script, upstream: `tls = "${mode}"` }, /^451 4\.4\.1 /, (edge) => {
          assert.deepEqual(mailCommands(edge), []);
        });
      }
    }
  });
  test("what was said before TLS is forgotten, and EHLO is said again", async () => {
    const tls = await testIdentity(["127.0.0.1"]);
    const script: Script = {
      tls,
      ehlo: ({ connection }) =>
        connection.secure ? "250 upstream.test" : "250-upstream.test\r\n250-DSN\r\n250 STARTTLS",
    };
    await using edge = await startEdge({ script, upstream: 'tls = "require"' });
    await using client = await edge.greeted();
    assert.ok(!client.capabilities.includes("DSN"));
    assert.match(await transact(client), /^250 2\.0\.0 /);
    const [connection] = edge.upstream.connections;
    assert.equal(connection?.secure, true);
    assert.deepEqual(connection?.commands.slice(0, 3).map((line) => line.slice(0, 4)), [
      "EHLO",
      "STAR",
      "EHLO",
    ]);
  });
  test("stripped of it, an upstream that must have it gets no mail", async () => {
    const tls = await testIdentity(["127.0.0.1"]);
    const stripped: readonly Script[] = [
      {},
      { tls, ehlo: "250 upstream.test" },
      { tls, starttls: "454 4.7.0 not now" },
    ];
    for (const mode of ["require", "verify"]) {
      for (const script of stripped) {
        await fails({ script, upstream: `tls = "${mode}"` }, /^451 4\.4\.1 /, (edge) => {
          assert.deepEqual(mailCommands(edge), []);
        });
      }
    }
  });
});

describe("routes", () => {
  test("R19: a recipient without a route: 550 5.7.1, and no upstream hears of it", async () => {
    await using edge = await startEdge({ routes: '[[routes]]\nto = ["up.test"]\nupstream = "up"' });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@elsewhere.test>", "550 5.7.1");
    await client.command("DATA", "554 5.5.1");
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("RCPT TO:<b@elsewhere.test>", "550 5.7.1");
    await client.command("DATA", 354);
    client.sendRaw(message);
    await client.expect(250);
    assert.deepEqual(edge.upstream.messages[0]?.to, ["b@up.test"]);
  });

  test("a second recipient of another route: 452 4.5.3, and it is taken in its own transaction", async () => {
    await using other = await scriptedUpstream();
    await using edge = await startEdge({
      routes: '[[routes]]\nto = ["one.test"]\nupstream = "up"\n' +
        '[[routes]]\nto = ["two.test", "*.two.test"]\nupstream = "other"',
      more: `[upstreams.other]\nservers = ["${other.address}"]`,
    });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@one.test>", 250);
    await client.command("RCPT TO:<c@two.test>", "452 4.5.3");
    await client.command("RCPT TO:<d@one.test>", 250);
    await client.command("DATA", 354);
    client.sendRaw(message);
    await client.expect(250);
    assert.equal((await client.sendMessage({ to: ["c@two.test", "e@a.b.two.test"] })).code, 250);
    assert.deepEqual(edge.upstream.messages.map((m) => m.to), [["b@one.test", "d@one.test"]]);
    assert.deepEqual(other.messages.map((m) => m.to), [["c@two.test", "e@a.b.two.test"]]);
  });
});

describe("R29: a slow upstream", () => {
  test("slows its client down; nothing piles up between them", async () => {
    const gate = Promise.withResolvers<void>();
    await using edge = await startEdge({
      script: { body: { after: 1000, then: gate.promise }, keep: false },
      limits: 'message_size = "200MiB"',
    });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("DATA", 354);
    const block = Buffer.from(`${"x".repeat(1022)}\r\n`.repeat(1024));
    let blocks = 0;
    let stuck = false;
    const all = (async () => {
      while (blocks < 64) {
        await client.sendRaw(block);
        blocks += 1;
      }
      await client.sendRaw(".\r\n");
    })();
    // Ten rounds in which not one block leaves: the kernel's buffers and ours are full.
    for (let still = 0, before = -1; still < 10; still = blocks === before ? still + 1 : 0) {
      before = blocks;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    stuck = blocks < 40;
    gate.resolve();
    await all;
    await client.expect("250 2.0.0");
    assert.ok(stuck, "64 MB went in while the upstream took nothing");
    assert.equal(edge.upstream.connections.at(-1)?.bodies.at(-1)?.octets, 64 * 1024 * 1024);
  });

  test("that takes nothing any more is given up after upstream_data: 451", async () => {
    const never = Promise.withResolvers<void>();
    await using edge = await startEdge({
      script: { body: { after: 1000, then: never.promise }, keep: false },
      limits: 'message_size = "200MiB"',
      clock: true,
    });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("DATA", 354);
    const block = Buffer.from(`${"x".repeat(1022)}\r\n`.repeat(1024));
    for (let i = 0; i < 32; i++) client.sendRaw(block);
    client.sendRaw(".\r\n");
    await edge.advanceUntil(10_000, client.expect("451 4.4.2"));
    await client.command("NOOP", 250);
    assertNoDot(edge);
  });
});
