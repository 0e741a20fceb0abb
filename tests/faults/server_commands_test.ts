/** Hostile and odd commands through the whole server: R19 to R22, R25, R26, R28, R32, R34. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Edge,
  type EdgeOptions,
  mailCommands,
  onlyMessage,
  startEdge,
} from "../support/edge.ts";

const ours: EdgeOptions = {
  routes: '[[routes]]\nto = ["up.test", "*.sub.test"]\nupstream = "up"',
  limits: "errors = 1000\nidle_commands = 1000\ntransactions = 1000",
};

/** Domains that RCPT commands of the upstream went to; the client's own spelling is not looked at. */
function recipients(edge: Edge): readonly string[] {
  return mailCommands(edge).filter((line) => line.startsWith("RCPT"));
}

describe("R19: nothing is relayed for others", () => {
  const foreign = [
    "b@elsewhere.test",
    "b@up.test.elsewhere.test",
    "b@notup.test",
    "b@xup.test",
    "b@test",
    "b@sub.test",
    "b@xsub.test",
    "b@up.test@elsewhere.test",
    '"b@up.test"@elsewhere.test',
    '"b@elsewhere.test"@elsewhere.test',
    "b@[127.0.0.1]",
    "b@[192.0.2.1]",
    "b@[IPv6:::1]",
    "b@[up.test]",
    "@up.test:b@elsewhere.test",
    "@up.test,@up.test:b@elsewhere.test",
    "b%elsewhere.test",
    "elsewhere.test!b",
    "b@elsewhere.test(up.test)",
    "b@elsewhere.test,c@up.test",
    "b@elsewhere.test> <c@up.test",
    "b@up.test.",
    "b@.up.test",
    "b@up..test",
    "b@up.test\u3002elsewhere.test",
    "b@\uff55p.test",
    "b@\u{1d42e}p.test",
    "b@elsewhere.test\\@up.test",
    "b",
    "",
    "root",
    "b@",
    "@up.test",
    "@",
    "postmaster@elsewhere.test",
  ];
  for (const address of foreign) {
    test(`RCPT TO:<${address}>`, async () => {
      await using edge = await startEdge(ours);
      await using client = await edge.greeted();
      await client.command("MAIL FROM:<a@client.test> SMTPUTF8", 250);
      await client.command(`RCPT TO:<${address}>`, /^5\d\d 5\./);
      await client.command("DATA", "554 5.5.1");
      assert.deepEqual(recipients(edge), []);
    });
  }

  test("tricks in the local part are the local part's own, and pass as one parse", async () => {
    const local = [
      ["<b%elsewhere.test@up.test>", "b%elsewhere.test@up.test"],
      ["<elsewhere.test!b@up.test>", "elsewhere.test!b@up.test"],
      ['<"b@elsewhere.test"@up.test>', '"b@elsewhere.test"@up.test'],
      ['<"b\\@elsewhere.test"@up.test>', '"b@elsewhere.test"@up.test'],
      ['<"b> BODY=8BITMIME <c"@up.test>', '"b> BODY=8BITMIME <c"@up.test'],
      ['<"plain"@up.test>', "plain@up.test"],
      ["<@elsewhere.test,@x.test:b@up.test>", "b@up.test"],
      ["<b@UP.Test>", "b@UP.Test"],
      ["<b@a.sub.test>", "b@a.sub.test"],
      ["<b+tag=x/y@up.test>", "b+tag=x/y@up.test"],
    ];
    await using edge = await startEdge(ours);
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    for (const [given] of local) await client.command(`RCPT TO:${given}`, 250);
    assert.deepEqual(recipients(edge), local.map(([, sent]) => `RCPT TO:<${sent}>`));
  });

  test("an authenticated client may relay, an anonymous one beside him may not", async () => {
    await using edge = await startEdge({
      listener: 'auth = "optional"\nauth_plaintext_loopback = true',
      users: { anna: "secret" },
      routes: '[[routes]]\nauthenticated = true\nupstream = "up"',
    });
    await using anonymous = await edge.greeted();
    await using anna = await edge.greeted();
    await anna.authPlain("anna", "secret");
    for (const client of [anonymous, anna]) await client.command("MAIL FROM:<a@client.test>", 250);
    await anonymous.command("RCPT TO:<b@elsewhere.test>", "550 5.7.1");
    await anna.command("RCPT TO:<b@elsewhere.test>", 250);
  });

  test("without routes nobody relays", async () => {
    await using edge = await startEdge({ routes: "" });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    for (const to of ["b@up.test", "postmaster", "b@mx.example.org", "b@[127.0.0.1]"]) {
      await client.command(`RCPT TO:<${to}>`, "550 5.7.1");
    }
  });
});

describe("R20: what has to be taken is taken", () => {
  test("postmaster without a domain, in any case", async () => {
    await using edge = await startEdge(ours);
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<>", 250);
    for (const to of ["postmaster", "Postmaster", "POSTMASTER", "postmaster@up.test"]) {
      await client.command(`RCPT TO:<${to}>`, 250);
    }
    assert.equal(recipients(edge)[0], "RCPT TO:<postmaster>");
  });

  test("the null sender, quoted local parts, literals, a path of 256 octets", async () => {
    await using edge = await startEdge({ limits: ours.limits ?? "" });
    await using client = await edge.greeted();
    const label = "d".repeat(61);
    const domain = `${label}.${label}.${label}`;
    const local = "l".repeat(64);
    const longest = `${local}@${domain}.xx`;
    assert.equal(longest.length, 253);
    const froms = ["", '"a b"@client.test', '"\\""@client.test', "a@[192.0.2.1]"]
      .concat(["a@[IPv6:2001:db8::1]", `${longest}x`, "a@single"]);
    for (const from of froms) {
      await client.command(`MAIL FROM:<${from}>`, 250);
      await client.command("RCPT TO:<b@up.test>", 250);
      assert.equal(
        mailCommands(edge).filter((line) => line.startsWith("MAIL")).at(-1),
        `MAIL FROM:<${from}>`,
      );
      await client.command("RSET", 250);
    }
    await client.command(`MAIL FROM:<${longest}xx>`, "501 5.1.7");
    await client.command(`MAIL FROM:<${"l".repeat(65)}@client.test>`, "501 5.1.7");
    await client.command(`MAIL FROM:<${local}@${domain}.${label}>`, "501 5.1.7");
    await client.command("mail from: <a@client.test>   ", 250);
    await client.command("rCpT tO:<b@up.test>", 250);
  });

  test("100 recipients in one transaction, and 452 for the next, also pipelined in one packet", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    const rcpts = Array.from({ length: 105 }, (_, i) => `RCPT TO:<r${i}@up.test>\r\n`);
    client.sendRaw(`MAIL FROM:<a@client.test>\r\n${rcpts.join("")}DATA\r\n`);
    await client.expect(250);
    for (let i = 0; i < 100; i++) await client.expect("250 2.1.5");
    for (let i = 0; i < 5; i++) await client.expect("452 4.5.3");
    await client.expect(354);
    client.sendRaw("x: y\r\n\r\nz\r\n.\r\n");
    await client.expect(250);
    assert.equal(edge.upstream.messages[0]?.to.length, 100);
    assert.equal((await client.sendMessage({ to: "r100@up.test" })).code, 250);
  });
});

describe("R21: what commands may not hold is refused with 5yz and nothing of it is done", () => {
  test("control characters, NUL, bare CR and LF, invalid UTF-8", async () => {
    await using edge = await startEdge({ limits: ours.limits ?? "" });
    await using client = await edge.greeted();
    const bad = [
      "\0",
      "\x01",
      "\x08",
      "\x09",
      "\x1b",
      "\x7f",
      "\r",
      "\x80",
      "\xff",
      "\xc3",
      "\xed\xa0\x80",
    ];
    for (const octets of bad) {
      for (
        const line of [`MAIL FROM:<a${octets}b@client.test>`, `MAIL FROM:<a@client.test>${octets}`]
      ) {
        client.sendRaw(Uint8Array.from(`${line}\r\n`, (c) => c.charCodeAt(0)));
        await client.expect(/^5\d\d 5\./);
      }
      client.sendRaw(Uint8Array.from(`EHLO ${octets}\r\n`, (c) => c.charCodeAt(0)));
      await client.expect(/^5\d\d 5\./);
      client.sendRaw(Uint8Array.from(`NO${octets}OP\r\n`, (c) => c.charCodeAt(0)));
      await client.expect(/^5\d\d 5\./);
    }
    client.sendRaw("NOOP\nMAIL FROM:<a@client.test>\r\n");
    await client.expect(/^5/);
    await client.command("RCPT TO:<b@up.test>", "503 5.5.1");
    assert.deepEqual(mailCommands(edge), []);
  });

  test("unknown parameters 555, bad values 501, given twice 501", async () => {
    await using edge = await startEdge({ limits: ours.limits ?? "" });
    await using client = await edge.greeted();
    const mail = new Map<string, number>([
      ["FOO", 555],
      ["FOO=BAR", 555],
      ["X-1=2", 555],
      ["SIZE", 501],
      ["SIZE=", 501],
      ["SIZE=-1", 501],
      ["SIZE=1e3", 501],
      ["SIZE=0x10", 501],
      ["SIZE=1 SIZE=1", 501],
      ["size=1 SIZE=1", 501],
      ["SIZE=123456789012345678901", 501],
      ["BODY", 501],
      ["BODY=9BIT", 501],
      ["BODY=BINARYMIME", 555],
      ["SMTPUTF8=1", 501],
      ["RET=SOME", 501],
      ["ENVID=", 501],
      ["ENVID=a+ZZ", 501],
      ["ENVID=a b", 555],
      ["NOTIFY=NEVER", 555],
      ["=", 501],
      ["=x", 501],
      ["-X=1", 501],
    ]);
    for (const [params, code] of mail) {
      const answer = await client.command(`MAIL FROM:<a@client.test> ${params}`, /^5\d\d 5\./);
      // A parameter that is no esmtp-keyword may be unknown or malformed.
      if (/^[A-Za-z]/.test(params)) assert.equal(answer.code, code, params);
    }
    await client.command("MAIL FROM:<a@client.test>SIZE=1", /^5\d\d 5\./);
    await client.command("MAIL FROM:<a@client.test>", 250);
    for (
      const [params, code] of [["FOO", 555], ["NOTIFY=SOMETIMES", 501], ["NOTIFY=NEVER,DELAY", 501]]
        .concat([["ORCPT=x", 501], ["SIZE=1", 555], ["NOTIFY=DELAY NOTIFY=DELAY", 501]])
    ) {
      const answer = await client.command(`RCPT TO:<b@up.test> ${params}`, /^5\d\d 5\./);
      assert.equal(answer.code, code, String(params));
    }
    assert.deepEqual(mailCommands(edge), []);
  });

  test("UTF-8 in addresses without SMTPUTF8: 553 5.6.7", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<\u00fc@client.test>", "553 5.6.7");
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<\u00fc@up.test>", "553 5.6.7");
    await client.command("RCPT TO:<b@\u00fcp.test>", "553 5.6.7");
  });

  test("over-long lines: one 500 each, whatever their length, and the session goes on", async () => {
    await using edge = await startEdge({ limits: ours.limits ?? "" });
    await using client = await edge.greeted();
    for (const length of [600, 5_000, 500_000]) {
      client.sendRaw(`NOOP ${"x".repeat(length)}\r\n`);
      await client.expect("500 5.5.2");
      await client.command("NOOP", 250);
    }
    await client.command(`NOOP ${"x".repeat(505)}`, 250);
  });
});

describe("R22: no octet of the client's adds a command or a parameter upstream", () => {
  const newlines = ["%0d%0a", "%0D%0A", "\\r\\n", "&#13;&#10;", "=0D=0A", "+0D+0A", "\\015\\012"]
    .concat(["\u560d\u560a", "\u010d\u010a", "\u2028", "\u0085", "%E5%98%8D%E5%98%8A", "\v", "\f"]);

  const local = /(?:[^\s<>@"\\()[\],;:]+|"(?:[^"\\]|\\.)*")/u;
  const envelope = new RegExp(
    `^(?:MAIL FROM|RCPT TO):<(?:${local.source}@[^\\s<>@]+)?>(?: [A-Z0-9-]+(?:=\\S+)?)*$`,
    "u",
  );

  /** Every line is a command of ours; an address is one address, a parameter one that has a name. */
  function assertWellFormed(edge: Edge): void {
    for (const line of edge.upstream.connections.flatMap((c) => c.commands)) {
      if (!/^(?:EHLO mx\.example\.org|DATA|RSET|QUIT)$/.test(line)) assert.match(line, envelope);
      assert.ok(!line.startsWith("RCPT TO:<evil"), line);
    }
  }

  for (const newline of newlines) {
    test(`newlines as ${JSON.stringify(newline)}`, async () => {
      await using edge = await startEdge({ limits: ours.limits ?? "" });
      await using client = await edge.greeted();
      const rest = `${newline}RCPT TO:<evil@up.test>`;
      const froms = [`<a@client.test${rest}>`, `<a@client.test>${rest}`, `<"a${rest}"@client.test>`]
        .concat([`<a@client.test> ENVID=x${rest}`, `<a@client.test> SIZE=1${rest}`])
        .concat([`<a@client.test> AUTH=x${rest}`]);
      for (const from of froms) {
        client.send(`MAIL FROM:${from}`);
        if ((await client.reply()).code === 250) {
          await client.command("RCPT TO:<b@up.test>", 250);
          await client.command("RSET", 250);
        }
      }
      await client.command("MAIL FROM:<a@client.test> SMTPUTF8", 250);
      for (const to of [`<b@up.test${rest}>`, `<b@up.test>${rest}`, `<"b${rest}"@up.test>`]) {
        client.send(`RCPT TO:${to}`);
        await client.reply();
      }
      client.send(`RCPT TO:<b@up.test> ORCPT=rfc822;x${rest.replaceAll(" ", "+20")}`);
      await client.reply();
      client.send(`EHLO ${rest}`);
      await client.reply();
      await client.command("NOOP", 250);
      assertWellFormed(edge);
    });
  }

  test("random arguments: every line upstream is one of ours, and its address is one address", async () => {
    await using edge = await startEdge({ limits: ours.limits ?? "" });
    await using client = await edge.greeted();
    const unit = fc.constantFrom(...'<>@"\\ .,:;%!=+-ab[]()\u00fc\t'.split(""));
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit, maxLength: 16 }),
        fc.string({ unit, maxLength: 10 }),
        async (path, tail) => {
          client.send(`MAIL FROM:<${path}@client.test>${tail}`);
          const mail = await client.reply();
          if (mail.code !== 250) await client.command("MAIL FROM:<> SMTPUTF8", 250);
          client.send(`RCPT TO:<${path}@up.test>${tail}`);
          await client.reply();
          await client.command("RSET", 250);
        },
      ),
      { numRuns: 150 },
    );
    assertWellFormed(edge);
  });
});

describe("R25: the client's name cannot break the trace field", () => {
  const names = ["(x", "x)", "a(b)c", "[x;y]", "a;b", "a\\", '"q"', "x\ty", "[(]", "a".repeat(255)]
    .concat(["[127.0.0.1]", "_under_score_", "2001:db8::1", "[IPv6:::1]", "[)by evil (]"]);
  for (const name of names) {
    test(`EHLO ${name.slice(0, 30)}`, async () => {
      await using edge = await startEdge({ more: '[[plugins]]\nuse = "received"' });
      await using client = await edge.connect();
      await client.expect(220);
      client.send(`EHLO ${name}`);
      if ((await client.reply()).code !== 250) {
        await client.quit();
        return;
      }
      await client.sendMessage({ to: "b@up.test", content: "A: b\r\n\r\nc\r\n" });
      const got = onlyMessage(edge).toString("latin1");
      const field = got.slice(0, got.indexOf("A: b"));
      assert.match(field, /^Received: from[\x20-\x7e\r\n\t]+\r\n$/);
      for (const line of field.split("\r\n")) assert.ok(line.length <= 998);
      const unfolded = field.replace(/\r\n(?=[ \t])/g, "").trimEnd();
      const bare = unfolded.replace(/\((?:[^()\\]|\\.)*\)/g, "");
      assert.ok(!/[()]/.test(bare), `a comment is not closed: ${unfolded}`);
      assert.match(
        bare,
        /^Received: from \S+ +by mx\.example\.org +with ESMTP id \S+ for <b@up\.test>; [^;]+$/,
      );
    });
  }
});

describe("R26: the log shows no control characters of the client's, and one event is one line", () => {
  for (const format of ["human", "json"]) {
    test(`as ${format}`, async () => {
      await using edge = await startEdge({
        limits: ours.limits ?? "",
        listener: 'auth = "optional"\nauth_plaintext_loopback = true',
        users: { anna: "secret" },
        script: {
          rcpt: ({ line }) => line.includes("no@") ? "550 5.1.1 \tno\u0085\u2028 one" : "250 ok",
        },
        more: `[log]\nlevel = "debug"\nformat = "${format}"`,
      });
      await using client = await edge.greeted();
      const evil =
        "\x1b[31m2024-01-01T00:00:00Z info  delivered id=forged\x07\x9b\u0085\u2028\u2029\u202e";
      for (
        const line of [`EHLO ${evil}`, `${evil}`, `MAIL FROM:<${evil}@x.test>`, `VRFY ${evil}`]
      ) {
        await client.command(line, /^[25]/);
      }
      client.sendRaw(`NOOP ${evil}\nNOOP\r\n`);
      await client.expect(/^5/);
      await client.command('MAIL FROM:<"a\u2028b\u0085c"@client.test> SMTPUTF8', /^[25]/);
      await client.command("MAIL FROM:<> SMTPUTF8", /^[25]/);
      await client.command("RCPT TO:<no\u2028\u202e@up.test>", /^[25]/);
      await client.command("RCPT TO:<no@up.test>", /^550/);
      await client.command("RSET", 250);
      await client.authPlain("anna\r\n2024 forged=1\x1b[0m\u2028", "wrong", /^535/);
      await client.sendMessage({ to: "b@up.test" });
      await client.quit();
      await edge.postern.logged("transcript");
      const log = edge.log();
      // deno-lint-ignore no-control-regex
      assert.ok(!/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]/.test(log), JSON.stringify(log));
      const lines = log.trimEnd().split("\n");
      for (const line of lines) {
        if (format === "json") JSON.parse(line);
        else assert.match(line, /^20\d\d-\d\d-\d\dT[\d:.]+Z (?:debug|info |warn |error) /);
      }
      assert.equal(
        lines.filter((line) => /^\S+ info +delivered |"message":"delivered"/.test(line)).length,
        1,
      );
    });
  }
});

describe("R28: other protocols get one reply and the end", () => {
  const requests = [
    "GET / HTTP/1.1\r\nHost: up.test\r\n\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@up.test>\r\nDATA\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nEHLO x\r\nMAIL FROM:<a@client.test>\r\n",
    "post /x\r\nEHLO x\r\n",
    "OPTIONS * RTSP/1.0\r\n\r\n",
    "REGISTER sip:x SIP/2.0\r\n\r\n",
    "CONNECT up.test:25 HTTP/1.1\r\n\r\n",
    "Host: up.test\r\nEHLO x\r\n",
    "SSH-2.0-OpenSSH_9.0\r\n",
  ];
  for (const request of requests) {
    test(JSON.stringify(request.slice(0, 24)), async () => {
      await using edge = await startEdge();
      await using client = await edge.connect();
      await client.expect(220);
      client.sendRaw(request);
      await client.expect(/^5/);
      await client.expectClosed();
      assert.deepEqual(mailCommands(edge), []);
    });
  }

  test("also behind EHLO, and in mid-session", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    client.sendRaw("GET / HTTP/1.1\r\n\r\nRCPT TO:<b@up.test>\r\nDATA\r\n");
    await client.expect(/^5/);
    await client.expectClosed();
    assert.deepEqual(mailCommands(edge), []);
  });

  test("a ClientHello on a plain port ends the connection, however it is cut", async () => {
    for (const split of [1, 3, undefined]) {
      await using edge = await startEdge();
      await using client = await edge.connect(split === undefined ? {} : { split });
      await client.expect(220);
      const hello = new Uint8Array(517).fill(7);
      hello.set([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]);
      client.sendRaw(hello);
      await client.expectClosed();
    }
  });
});

describe("R32: a client that only errs, or takes too much, is stopped", () => {
  const errors = [
    "FOO",
    "MAIL",
    "RCPT TO:<b@up.test>",
    "DATA",
    "BDAT 0 LAST",
    "EXPN x",
    "\0",
    "AUTH PLAIN",
  ];
  for (const line of errors) {
    test(`${JSON.stringify(line)} ten times: 421 and the end`, async () => {
      await using edge = await startEdge();
      await using client = await edge.greeted();
      client.sendRaw(`${line}\r\n`.repeat(30));
      for (let i = 0; i < 10; i++) await client.expect(/^[45]/);
      await client.expect("421 4.7.0");
      await client.expectClosed();
    });
  }
  for (const line of ["NOOP", "RSET", "EHLO x", "HELO x", "VRFY x", "HELP"]) {
    test(`${line} for ever: 421 and the end`, async () => {
      await using edge = await startEdge();
      await using client = await edge.greeted();
      client.sendRaw(`${line}\r\n`.repeat(100));
      let count = 0;
      while ((await client.reply()).code !== 421) count += 1;
      assert.ok(count <= 25, `${count} replies`);
      await client.expectClosed();
    });
  }
  test("MAIL and RSET for ever: transactions are counted", async () => {
    await using edge = await startEdge({ limits: "transactions = 5" });
    await using client = await edge.greeted();
    for (let i = 0; i < 5; i++) {
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.command("RSET", 250);
    }
    await client.command("MAIL FROM:<a@client.test>", /^4/);
  });
  test("recipients above the limit get 452 4.5.3, also after many", async () => {
    await using edge = await startEdge({ limits: "recipients = 2" });
    await using client = await edge.greeted();
    assert.ok(client.capabilities.some((word) => /^LIMITS .*RCPTMAX=2/.test(word)));
    await client.command("MAIL FROM:<a@client.test>", 250);
    for (let i = 0; i < 2; i++) await client.command(`RCPT TO:<b${i}@up.test>`, 250);
    for (let i = 0; i < 12; i++) await client.command(`RCPT TO:<c${i}@up.test>`, "452 4.5.3");
    await client.command("DATA", 354);
    client.sendRaw("x: y\r\n\r\nz\r\n.\r\n");
    await client.expect(250);
    assert.equal(edge.upstream.messages[0]?.to.length, 2);
  });
  test("messages above SIZE get 552 5.3.4 at the end, and nothing of them goes on", async () => {
    await using edge = await startEdge({ limits: 'message_size = "1KiB"' });
    await using client = await edge.greeted();
    assert.ok(client.capabilities.includes("SIZE 1024"));
    await client.command("MAIL FROM:<a@client.test> SIZE=1025", "552 5.3.4");
    await client.command("MAIL FROM:<a@client.test> SIZE=1024", 250);
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("DATA", 354);
    client.sendRaw(`A: b\r\n\r\n${"x".repeat(1014)}\r\n.\r\n`);
    await client.expect(250);
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("DATA", 354);
    client.sendRaw(`A: b\r\n\r\n${"x".repeat(1015)}\r\n.\r\n`);
    await client.expect("552 5.3.4");
    assert.equal(edge.upstream.messages.length, 1);
  });
});

describe("R34: names of object properties are names like others", () => {
  const names = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "__defineGetter__",
  ];
  for (const name of names) {
    test(name, async () => {
      await using edge = await startEdge({
        ...ours,
        listener: 'auth = "optional"\nauth_plaintext_loopback = true',
        users: { anna: "secret" },
        plugins: {
          look: `return { name: "look", hooks: { header: (h: any) => { h.get("${name}");
            h.append("${name}", "added"); } } };`,
        },
      });
      await using client = await edge.greeted();
      await client.command(name, /^500 5\.5\.2/);
      await client.command(`${name} x`, /^500 5\.5\.2/);
      await client.command(`AUTH ${name}`, /^5/);
      await client.authPlain(name, "secret", "535 5.7.8");
      await client.command(`MAIL FROM:<a@client.test> ${name}=1`, /^555|^501/);
      await client.command(`MAIL FROM:<a@client.test> ${name}`, /^555|^501/);
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.command(`RCPT TO:<b@up.test> ${name}=x`, /^555|^501/);
      await client.command(`RCPT TO:<b@${name}>`, "550 5.7.1");
      await client.command(`RCPT TO:<${name}@up.test>`, 250);
      await client.command("RSET", 250);
      await client.command(`EHLO ${name}`, 250);
      const content = `${name}: first\r\n\r\nbody\r\n`;
      assert.equal((await client.sendMessage({ to: "b@up.test", content })).code, 250);
      assert.equal(
        onlyMessage(edge).toString(),
        `${name}: first\r\n${name}: added\r\n\r\nbody\r\n`,
      );
    });
  }
});
