/** The test servers and clients themselves. They are tested against each other. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as net from "node:net";
import * as tls from "node:tls";
import { dialogueConfig } from "../../src/testing/dialogue/config.ts";
import { matches, octetsOf, parseDialogue } from "../../src/testing/dialogue/parse.ts";
import { runDialogue, type RunningPostern } from "../support/dialogue_run.ts";
import { DotReader, stuffed, unstuffed } from "../support/dot_reader.ts";
import { testIdentity } from "../support/certificates.ts";
import {
  endless,
  fin,
  raw,
  rst,
  type Script,
  type ScriptedUpstream,
  scriptedUpstream,
  startTls,
} from "../support/scripted_upstream.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const names = ["localhost", "upstream.test", "127.0.0.1"];

async function started(
  script: Script,
  run: (client: SmtpClient, upstream: ScriptedUpstream) => Promise<void>,
): Promise<void> {
  await using upstream = await scriptedUpstream(script);
  await using client = await SmtpClient.connect(upstream.port);
  await client.expect(220);
  await client.ehlo();
  await run(client, upstream);
}

async function untilData(client: SmtpClient): Promise<void> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command("RCPT TO:<b@upstream.test>", 250);
  client.send("DATA");
}

test("a body ends at CRLF.CRLF and nowhere else, however it is cut", () => {
  for (
    const content of [
      "",
      ".\r\n",
      "a\r\n",
      "a\n.\n\r\n",
      "\r\n..\r\r\n.x\r\n",
      ".\r\n.\r\n",
      "a\r.\r\n",
    ]
  ) {
    const wire = Buffer.concat([stuffed(Buffer.from(content)), Buffer.from("QUIT\r\n")]);
    for (let cut = 1; cut <= wire.length; cut++) {
      const parts: Uint8Array[] = [];
      const reader = new DotReader((octets) => parts.push(octets));
      let rest = "";
      for (let at = 0; at < wire.length; at += cut) {
        const chunk = wire.subarray(at, at + cut);
        rest += (reader.done ? chunk : reader.push(chunk) ?? "").toString();
      }
      assert.equal(Buffer.from(unstuffed(Buffer.concat(parts))).toString(), content);
      assert.equal(rest, "QUIT\r\n");
      assert.equal(reader.seen, wire.length - "QUIT\r\n".length);
    }
  }
});

describe("the scripted upstream", () => {
  test("takes messages as a good server would, pipelined and octet by octet", async () => {
    await using upstream = await scriptedUpstream();
    await using client = await SmtpClient.connect(upstream.port, { split: 1 });
    await client.expect("220 upstream.test");
    assert.ok((await client.ehlo()).includes("PIPELINING"));
    const content = ".\r\n..a\r\n8-bit: \u00fc\r\n";
    assert.equal((await client.sendMessage({ to: ["b@x.test", "c@x.test"], content })).code, 250);
    client.sendRaw("MAIL FROM:<>\r\nRCPT TO:<d@x.test>\r\nDATA\r\n");
    for (const code of [250, 250, 354]) await client.expect(code);
    client.sendRaw(".\r\nRSET\r\n");
    await client.expect(250);
    await client.expect(250);
    await client.quit();
    const [first, second] = upstream.messages;
    assert.equal(Buffer.from(first?.content ?? []).toString(), content);
    assert.deepEqual(first?.to, ["b@x.test", "c@x.test"]);
    assert.equal(first?.acknowledged, true);
    assert.equal(second?.from, "");
    assert.equal(second?.content.length, 0);
    assert.equal(upstream.count("rcpt"), 3);
    assert.deepEqual(upstream.connections[0]?.commands.at(-1), "QUIT");
  });

  test("does STARTTLS and implicit TLS", async () => {
    const tls = await testIdentity(names);
    await started({ tls }, async (client, upstream) => {
      assert.ok(client.capabilities.includes("STARTTLS"));
      await client.starttls();
      assert.ok(!(await client.ehlo()).includes("STARTTLS"));
      await client.sendMessage({ to: "b@x.test" });
      await client.quit();
      assert.equal(upstream.connections[0]?.secure, true);
      assert.equal(upstream.connections[0]?.behindStartTls, "");
    });
    await using upstream = await scriptedUpstream({ tls, implicitTls: true });
    await using client = await SmtpClient.connect(upstream.port, { tls: true });
    await client.expect(220);
    await client.quit();
  });

  test("injects plain text behind the 220 of STARTTLS", async () => {
    const tls = await testIdentity(names);
    const script: Script = { tls, starttls: [raw("220 go\r\n250 injected\r\n"), startTls()] };
    await started(script, async (client) => {
      await client.command("STARTTLS", 220);
      await client.expect("250 injected");
      await client.io.upgradeClient();
      await client.ehlo();
    });
  });

  test("answers by number, says nothing, waits for an event", async () => {
    const gate = Promise.withResolvers<void>();
    const script: Script = {
      rcpt: ({ nth, line }) => nth === 1 ? `451 4.2.0 ${line}` : "250 2.1.5 ok",
      noop: [],
      dot: [gate.promise, "250 2.0.0 late"],
    };
    await started(script, async (client, upstream) => {
      await client.command("MAIL FROM:<a@x.test>", 250);
      client.send("NOOP");
      await client.command("RCPT TO:<b@x.test>", "451 4.2.0 RCPT TO:<b@x.test>");
      await client.command("RCPT TO:<b@x.test>", 250);
      await client.command("DATA", 354);
      client.sendRaw("x\r\n.\r\n");
      await upstream.waitFor("dot");
      assert.equal(upstream.messages[0]?.acknowledged, false);
      gate.resolve();
      await client.expect("250 2.0.0 late");
    });
  });

  for (const [what, action] of [["FIN", fin()], ["RST", rst()]] as const) {
    const ending = what === "FIN" ? "end" : "reset";

    test(`closes by ${what} before 354, in mid-body, and between dot and reply`, async () => {
      await started({ data: action }, async (client) => {
        await untilData(client);
        assert.equal(await client.expectClosed(), ending);
      });
      await started({ body: { after: 10, then: action } }, async (client, upstream) => {
        await untilData(client);
        await client.expect(354);
        client.sendRaw("0123456789");
        assert.equal(await client.expectClosed(), ending);
        client.close();
        await upstream.waitFor("close");
        assert.equal(upstream.connections[0]?.bodies[0]?.dot, false);
        assert.equal(upstream.messages.length, 0);
      });
      await started({ dot: action }, async (client, upstream) => {
        await untilData(client);
        await client.expect(354);
        client.sendRaw("x\r\n.\r\n");
        assert.equal(await client.expectClosed(), ending);
        assert.equal(upstream.messages[0]?.acknowledged, false);
      });
    });
  }

  test("says 421 and closes, half a reply and closes, garbage, a reply without an end", async () => {
    const script: Script = {
      mail: ["421 4.3.2 going down", fin()],
      noop: [raw("250 2."), fin()],
      rset: raw("\x00\xff\r\n"),
      other: endless("250-more\r\n"),
    };
    await started(script, async (client) => {
      await client.command("MAIL FROM:<a@x.test>", "421 4.3.2");
      assert.equal(await client.expectClosed(), "end");
    });
    await started(script, async (client) => {
      client.send("NOOP");
      await assert.rejects(client.expectClosed(), /half a line before the end: 250 2\./);
    });
    await started(script, async (client) => {
      client.send("RSET");
      await assert.rejects(client.reply(), /not a reply line/);
    });
    await started(script, async (client) => {
      client.send("X");
      for (let i = 0; i < 1000; i++) assert.equal(await client.line(), "250-more");
    });
  });

  test("records a client that goes away in mid-body, and how", async () => {
    await started({}, async (client, upstream) => {
      await untilData(client);
      await client.expect(354);
      await client.sendRaw("half");
      await client.reset();
      await upstream.waitFor("close");
      assert.equal(upstream.connections[0]?.ending, "reset");
      assert.equal(upstream.messages.length, 0);
    });
  });

  test("counts and hashes without keeping, and gives each LMTP recipient a reply", async () => {
    const script: Script = {
      lmtp: true,
      keep: false,
      dot: ({ recipient }) => recipient.startsWith("b") ? "250 2.0.0 b" : "550 5.2.2 full",
    };
    await using upstream = await scriptedUpstream(script);
    await using client = await SmtpClient.connect(upstream.port);
    await client.expect(220);
    await client.command("LHLO client.test", 250);
    await client.command("MAIL FROM:<a@x.test>", 250);
    await client.command("RCPT TO:<b@x.test>", 250);
    await client.command("RCPT TO:<c@x.test>", 250);
    await client.command("DATA", 354);
    client.sendRaw("abc\r\n.\r\n");
    await client.expect("250 2.0.0 b");
    await client.expect("550 5.2.2 full");
    const body = upstream.connections[0]?.bodies[0];
    assert.equal(body?.octets, 5);
    assert.equal(body?.raw.length, 0);
    assert.match(body?.sha256 ?? "", /^[0-9a-f]{64}$/);
    assert.equal(upstream.messages[0]?.acknowledged, false);
  });

  test("reads PROXY headers of both versions before its banner", async () => {
    const v1 = "PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r\n";
    const v2 = Buffer.concat([
      Buffer.from("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "latin1"),
      Buffer.alloc(12, 7),
    ]);
    for (const preface of [Buffer.from(v1), v2]) {
      await using upstream = await scriptedUpstream({ proxyHeader: true });
      await using client = await SmtpClient.connect(upstream.port, { preface });
      await client.expect(220);
      assert.deepEqual(Buffer.from(upstream.connections[0]?.proxyHeader ?? []), preface);
    }
  });
});

/** A pipe in the place of a server: what the client says is what the upstream hears, and the other way round. */
async function pipe(toml: string): Promise<RunningPostern> {
  const upstreamPort = Number(/servers = \["127\.0\.0\.1:(\d+)"\]/.exec(toml)?.[1]);
  const open = new Set<net.Socket>();
  const join = (client: net.Socket) => {
    const upstream = net.connect({ port: upstreamPort, host: "127.0.0.1", allowHalfOpen: true });
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      open.add(from);
      from.on("data", (chunk) => to.write(chunk));
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
    }
  };
  const server = /tls = "implicit"/.test(toml)
    ? tls.createServer({ ...await testIdentity(names), allowHalfOpen: true }, join)
    : net.createServer({ allowHalfOpen: true }, join);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: () => (server.address() as net.AddressInfo).port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

const throughThePipe = `# both sides, word for word
U! connect
U< 220 up.test
S: 220 *
C: EHLO client.test
U> EHLO *
U< 250-up.test
U< 250-SIZE
U< 250 HELP
S: 250-up.test
S: ...
S: 250 H*P
C= MAIL FROM:<a@b.test>\\r\\n
U> MAIL FROM:<a@b.test>
U< 250 ok *
S: 250 ok \\*
C: DATA
U> DATA
U< 354 go
S: 354 go
C: QUIT
C: \u00fc
U> ...
U> \u00fc
C! close
U! closed before dot
U! close
S! closed
`;

describe("dialogues", () => {
  for (const transport of ["tcp", "tls"] as const) {
    for (const split of [1, 3, undefined]) {
      test(`run over ${transport}, cut at ${split}`, () =>
        runDialogue(parseDialogue("pipe.dialogue", throughThePipe), {
          start: pipe,
          transport,
          ...(split === undefined ? {} : { split }),
        }));
    }
  }

  test("the upstream answers what the dialogue does not speak of", async () => {
    const text = `config upstream.ehlo = HELP
S: 220 upstream.test ESMTP
C: EHLO c
S: 250-upstream.test
S: 250 HELP
C: MAIL FROM:<a@b.test>
S: 250 *
C: DATA
S: 354 *
C: QUIT
C: .
S: 250 *
C: QUIT
S: 221 *
S! closed`;
    await runDialogue(parseDialogue("x.dialogue", text), { start: pipe });
  });

  test("a dot that was sent, and a line that differs, fail with file, line and transcripts", async () => {
    const run = (text: string) => runDialogue(parseDialogue("x.dialogue", text), { start: pipe });
    const dot = "S: 220 *\nC: DATA\nS: 354 *\nC: .\nS: 250 *\nC! close\nU! closed before dot";
    await assert.rejects(run(dot), /^Error: x\.dialogue:7: U! closed before dot\n.*end of data/s);
    await assert.rejects(run("S: 221 *"), /x\.dialogue:1: S: 221 \*\ngot "220 .*client side:\n</s);
    await assert.rejects(
      run(
        "S: 220 *\nC: FOO\nU> FOO\nU< 200 a\nU< 200 b\nU< 200 c\nS: ...\nS: 200 b\nC: BAR\nU> BAR",
      ),
      /the server said more than the dialogue/,
    );
  });

  test("patterns and octets", () => {
    assert.ok(matches("250-* (x) [y]", "250-anything (x) [y]"));
    assert.ok(matches("a\\*b", "a*b"));
    assert.ok(!matches("a\\*b", "axb"));
    assert.ok(!matches("250 ok", "250 ok "));
    assert.deepEqual(
      [...octetsOf("a\\r\\n\\x00\\xff\\.\\\\\u00fc", "x")],
      [0x61, 13, 10, 0, 255, 0x2e, 0x5c, 0xc3, 0xbc],
    );
    assert.throws(() => octetsOf("\\q", "x:1"), /x:1: Unknown escape: \\q/);
  });

  test("what is not a dialogue is refused with its line", () => {
    assert.throws(() => parseDialogue("x", "# ok\nD: what"), /^Error: x:2: Not a line/);
    assert.throws(() => parseDialogue("x", "U! flies"), /x:1: Unknown event: U! flies; expected/);
    assert.throws(() => parseDialogue("x", "S: ..."), /x:1: Nothing follows the gap/);
  });

  test("config dns lines are names", () => {
    const text = `config dns a.test MX 10 mx.a.test
config dns a.test MX 20 b.test
config dns a.test TXT v=spf1 -all
config dns a.test TXT "one " "two"
config dns w.test CNAME a.test
config dns 192.0.2.1 PTR a.test
config dns a.test A timeout
config dns broken.test servfail`;
    const made = dialogueConfig(parseDialogue("x", text), { upstreamPort: 2525 });
    assert.deepEqual(made.dns, {
      "a.test": {
        MX: ["10 mx.a.test", "20 b.test"],
        TXT: [["v=spf1 -all"], ["one ", "two"]],
        A: "timeout",
      },
      "w.test": { CNAME: "a.test" },
      "192.0.2.1": { PTR: ["a.test"] },
      "broken.test": "servfail",
    });
    for (const wrong of ["a.test", "a.test SPF x", "a.test A", "a.test never"]) {
      const dialogue = parseDialogue("x", `config dns ${wrong}`);
      assert.throws(() => dialogueConfig(dialogue, { upstreamPort: 1 }), /Not a record: a.test/);
    }
  });

  test("config lines change the base, and tables stand at the end", () => {
    const text = `config received = true   listener.require_tls = true
config upstream.ehlo = A,B 1
config route.to = ["b.test"]
config [[plugins]]
config use = "spam-score"`;
    const made = dialogueConfig(parseDialogue("x", text), {
      upstreamPort: 2525,
      implicitTls: true,
    });
    assert.deepEqual(made.capabilities, ["A", "B 1"]);
    assert.equal(
      made.toml,
      `hostname = "mx.test"
received = true

[[listeners]]
name = "mx"
listen = "127.0.0.1:0"
require_tls = true
tls = "implicit"

[upstreams.fake]
servers = ["127.0.0.1:2525"]

[[routes]]
upstream = "fake"
to = ["b.test"]

[[plugins]]
use = "spam-score"
`,
    );
  });
});
