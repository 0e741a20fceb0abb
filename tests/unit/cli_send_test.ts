/** `postern send`, run in this process against servers that follow a script. @module */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { runCli } from "../../src/cli/run.ts";
import { makeMessage, paramsFor, wireText } from "../../src/cli/send/message.ts";
import { parseMailbox } from "../../src/wire/path.ts";
import { testChain, testIdentity } from "../support/certificates.ts";
import { fakeIo, withFolder, type World } from "../support/cli_io.ts";
import { fin, rst, type Script, scriptedUpstream } from "../support/scripted_upstream.ts";

async function send(args: readonly string[], world: World = {}) {
  const io = fakeIo(world);
  const code = await runCli(["send", ...args], io);
  return { code, out: io.out(), err: io.err() };
}

const oneLine = /^postern: [^\n]+\n$/;
const base64 = (text: string) => Buffer.from(text).toString("base64");
const latin1 = (octets: Uint8Array) => Buffer.from(octets).toString("latin1");
const octetsOf = (text: string) => new TextEncoder().encode(text);

/** A port of this machine where nothing listens. */
async function closedPort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("a message made up here", () => {
  test("has the fields that RFC 5322 wants, and goes to everybody", async () => {
    await using server = await scriptedUpstream();
    const { code, out, err } = await send([
      ...["-s", server.address, "-f", "carol@client.test", "--helo", "client.test"],
      ...["-t", "alice@example.org", "-t", "bob@example.org"],
      ...["--subject", "Hello", "--body", "First\n.\n..dots\nlast"],
    ]);
    assert.equal(err, "");
    assert.equal(code, 0);
    const [message] = server.messages;
    assert(message !== undefined);
    assert.equal(message.from, "carol@client.test");
    assert.deepEqual(message.to, ["alice@example.org", "bob@example.org"]);
    const text = latin1(message.content);
    const [header, body] = text.split(/\r\n\r\n(.*)/s);
    assert(header !== undefined);
    assert.match(header, /^Date: \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n/);
    assert.match(header, /^From: <carol@client\.test>\r$/m);
    assert.match(header, /^To: <alice@example\.org>,\r\n <bob@example\.org>\r$/m);
    assert.match(header, /^Subject: Hello\r$/m);
    assert.match(header, /^Message-ID: <[^<>@\s]+@client\.test>\r$/m);
    // RFC 5321 section 4.5.2: the dots arrive as they were written.
    assert.equal(body, "First\r\n.\r\n..dots\r\nlast\r\n");
    assert.equal(
      out,
      "alice@example.org  250 2.1.5 recipient ok\nbob@example.org    250 2.1.5 recipient ok\n" +
        `Sent ${message.content.length} octets to ${server.address} (without TLS): 250 2.0.0 ok\n`,
    );
    assert.deepEqual(server.connections[0]?.commands.at(-1), "QUIT");
  });

  test("asks only for what the server offers (R23)", async () => {
    await using plain = await scriptedUpstream({ capabilities: [] });
    await using full = await scriptedUpstream();
    for (const server of [plain, full]) {
      const { code } = await send([
        ...["-s", server.address, "-f", "<>", "-t", "a@example.org", "--body", "Grüße"],
      ]);
      assert.equal(code, 0);
    }
    const mail = (server: typeof plain) =>
      server.connections[0]?.commands.find((line) => line.startsWith("MAIL"));
    assert.equal(mail(plain), "MAIL FROM:<>");
    assert.match(mail(full) ?? "", /^MAIL FROM:<> SIZE=\d+ BODY=8BITMIME$/);
    assert.match(latin1(full.messages[0]!.content), /^From: <mailer-daemon@/m);
  });

  test("is not sent where an address needs SMTPUTF8 and the server has none", async () => {
    await using server = await scriptedUpstream({ capabilities: ["8BITMIME"] });
    const { code, err } = await send(["-s", server.address, "-t", "jürgen@example.org"]);
    assert.equal(code, 1);
    assert.match(err, oneLine);
    assert.match(err, /does not offer SMTPUTF8/);
    assert(!server.connections[0]?.commands.some((line) => line.startsWith("MAIL")));
  });

  const from = parseMailbox("carol@client.test")!;
  const to = [parseMailbox("alice@example.org")!];
  const made = (subject: string, body = "") =>
    latin1(makeMessage({
      ...{ from, to, subject, body },
      ...{ date: new Date(0), unique: "u", hostname: "client.test" },
    }));

  test("carries any subject in lines that RFC 5322 and RFC 2047 allow", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (subject) => {
      const header = made(subject).split("\r\n\r\n", 1)[0]!;
      assert.match(header, /^[\x20-\x7e\r\n]*$/);
      for (const line of header.split("\r\n")) assert(line.length <= 998);
      const field = /^Subject: (.*(?:\r\n .*)*)/m.exec(header)![1]!;
      const decoded = /=\?utf-8\?B\?/.test(field)
        ? field.split("\r\n ").map((word) => {
          assert(word.length <= 75);
          return Buffer.from(/^=\?utf-8\?B\?(.*)\?=$/.exec(word)![1]!, "base64").toString();
        }).join("")
        : field;
      assert.equal(decoded, subject.isWellFormed() ? subject : decoded);
    }));
  });

  test("cannot be given a field by its subject", () => {
    assert.doesNotMatch(made("x\r\nBcc: <evil@example.org>"), /^Bcc/m);
  });

  test("says what MAIL has to say of it", () => {
    const utf8 = parseMailbox("jürgen@example.org")!;
    assert.deepEqual(paramsFor(octetsOf("x\r\n"), from, to), { size: 3 });
    assert.deepEqual(paramsFor(octetsOf("ü\r\n"), null, [utf8]), {
      size: 4,
      body: "8BITMIME",
      smtputf8: true,
    });
  });
});

describe("a message that is given", () => {
  test("from a file, arrives as it is, with its line ends made right", () =>
    withFolder(async (cwd) => {
      await using server = await scriptedUpstream();
      fs.writeFileSync(path.join(cwd, "mail.eml"), "Subject: x\n\n.dot\r\nlast");
      const { code } = await send(["-s", server.address, "-t", "a@example.org", "mail.eml"], {
        cwd,
      });
      assert.equal(code, 0);
      assert.equal(latin1(server.messages[0]!.content), "Subject: x\r\n\r\n.dot\r\nlast\r\n");
    }));

  test("from standard input, behind the password", async () => {
    const tls = await testIdentity(["127.0.0.1"]);
    await using server = await scriptedUpstream({
      tls,
      capabilities: ["AUTH PLAIN LOGIN", "8BITMIME"],
    });
    const { code, out, err } = await send([
      ...["-s", server.address, "-t", "a@example.org", "--insecure"],
      ...["--user", "alice@example.org", "--password-stdin", "-"],
    ], { input: "secret\nSubject: x\n\nHello\n" });
    assert.equal(err, "");
    assert.equal(code, 0);
    assert.match(out, /\(TLSv1\.[23]\): 250 2\.0\.0 ok\n$/);
    assert.equal(latin1(server.messages[0]!.content), "Subject: x\r\n\r\nHello\r\n");
    // The login is an address, so the sender is it.
    assert.equal(server.messages[0]!.from, "alice@example.org");
    const auth = server.connections[0]!.commands.find((line) => line.startsWith("AUTH"));
    assert.equal(auth, `AUTH PLAIN ${base64("\0alice@example.org\0secret")}`);
  });

  test("larger than any buffer, arrives whole", () =>
    withFolder(async (cwd) => {
      await using server = await scriptedUpstream();
      const content = Buffer.from(`Subject: x\r\n\r\n${".0123456789\r\n".repeat(200_000)}`);
      fs.writeFileSync(path.join(cwd, "big.eml"), content);
      const { code } = await send(["-s", server.address, "-t", "a@example.org", "big.eml"], {
        cwd,
      });
      assert.equal(code, 0);
      assert(Buffer.from(server.messages[0]!.content).equals(content));
    }));

  test("R10: no bare CR, bare LF or NUL goes out, whatever is given", () => {
    fc.assert(fc.property(
      fc.string({ unit: fc.constantFrom("\r", "\n", "\0", ".", "a"), maxLength: 40 }),
      (text) => {
        const wire = latin1(wireText(octetsOf(text)));
        assert.doesNotMatch(wire, /\r(?!\n)|(?<!\r)\n|\0/);
        assert(wire === "" || wire.endsWith("\r\n"));
        assert.equal(latin1(wireText(octetsOf(wire))), wire);
      },
    ));
  });
});

describe("TLS", () => {
  const to = ["-t", "a@example.org"];

  test("is taken when offered, whatever the certificate", async () => {
    await using server = await scriptedUpstream({ tls: await testIdentity(["other.test"]) });
    const { code, out } = await send(["-s", server.address, ...to]);
    assert.equal(code, 0);
    assert.match(out, /\(TLSv1\.[23]\)/);
    assert(server.connections[0]!.secure);
  });

  test("is not taken with --tls none", async () => {
    await using server = await scriptedUpstream({ tls: await testIdentity(["127.0.0.1"]) });
    const { code, out } = await send(["-s", server.address, "--tls", "none", ...to]);
    assert.equal(code, 0);
    assert.match(out, /\(without TLS\)/);
  });

  for (const [mode, script] of [["starttls", {}], ["implicit", { implicitTls: true }]] as const) {
    test(`${mode}: the certificate is looked at, --ca and --insecure are the ways out`, () =>
      withFolder(async (cwd) => {
        const { ca, leaf } = await testChain(["127.0.0.1", "localhost"]);
        await using server = await scriptedUpstream({ tls: leaf, ...script });
        fs.writeFileSync(path.join(cwd, "ca.pem"), ca.cert);
        const args = ["-s", server.address, "--tls", mode, ...to];
        const refused = await send(args, { cwd });
        assert.equal(refused.code, 1);
        assert.match(refused.err, oneLine);
        assert.match(
          refused.err,
          /Cannot trust the certificate of 127\.0\.0\.1:\d+: no authority known here.*--insecure/,
        );
        assert.equal((await send([...args, "--ca", "ca.pem"], { cwd })).code, 0);
        assert.equal((await send([...args, "--insecure"], { cwd })).code, 0);
      }));
  }

  test("smtps:// is implicit TLS", async () => {
    await using server = await scriptedUpstream({
      tls: await testIdentity(["127.0.0.1"]),
      implicitTls: true,
    });
    const { code } = await send(["-s", `smtps://${server.address}`, "-k", ...to]);
    assert.equal(code, 0);
  });

  test("starttls: a server without it is told apart from one that fails", async () => {
    await using server = await scriptedUpstream();
    const { code, err } = await send(["-s", server.address, "--tls", "starttls", ...to]);
    assert.equal(code, 1);
    assert.match(err, /does not offer STARTTLS \(--tls none sends in clear/);
  });

  test("implicit: a port that speaks in clear is called that", async () => {
    await using server = await scriptedUpstream();
    const { code, err } = await send(["-s", server.address, "--tls", "implicit", "-k", ...to]);
    assert.equal(code, 1);
    assert.match(err, oneLine);
    assert.match(err, /does not speak TLS from the start \(--tls starttls/);
  });
});

describe("a login", () => {
  const args = (address: string, ...more: string[]) => [
    ...["-s", address, "-t", "a@example.org", "-u", "alice", "--password-stdin", ...more],
  ];

  test("that is refused is told in the server's words, without the password", async () => {
    await using server = await scriptedUpstream({
      tls: await testIdentity(["127.0.0.1"]),
      capabilities: ["AUTH PLAIN"],
      auth: "535 5.7.8 Authentication credentials invalid",
    });
    const { code, out, err } = await send(args(server.address, "-k", "-v"), {
      input: "opensesame\n",
    });
    assert.equal(code, 1);
    assert.match(
      err,
      /postern: 127\.0\.0\.1:\d+ refused the login as alice: 535 5\.7\.8 Authentication credentials invalid\n$/,
    );
    for (const secret of ["opensesame", base64("opensesame"), base64("\0alice\0opensesame")]) {
      assert(!(out + err).includes(secret));
    }
  });

  test("never goes to a server whose certificate is not trusted, or that has no TLS", async () => {
    const tls = await testIdentity(["127.0.0.1"]);
    await using untrusted = await scriptedUpstream({ tls, capabilities: ["AUTH PLAIN"] });
    await using clear = await scriptedUpstream({ capabilities: ["AUTH PLAIN"] });
    await using broken = await scriptedUpstream({
      tls,
      capabilities: ["AUTH PLAIN"],
      starttls: ["220 2.0.0 go ahead", fin()],
    });
    for (
      const [server, ...more] of [
        [untrusted],
        [clear],
        [clear, "--tls", "opportunistic"],
        [broken, "--tls", "opportunistic"],
      ] as const
    ) {
      const { code, err } = await send(args(server.address, ...more), { input: "secret\n" });
      assert.equal(code, 1);
      assert.match(err, oneLine);
      const said = server.connections.flatMap(({ commands }) => commands);
      assert(!said.some((line) => line.startsWith("AUTH")), said.join("\n"));
    }
  });

  test("goes in clear only when asked", async () => {
    await using server = await scriptedUpstream({ capabilities: ["AUTH LOGIN"], auth: "334 VXNl" });
    const { code } = await send(args(server.address, "--tls", "none"), { input: "secret\n" });
    assert.equal(code, 1);
    assert(server.connections[0]!.commands.includes("AUTH LOGIN"));
  });

  test("R18: LOGIN's answers are not in the conversation that is shown", async () => {
    let asked = 0;
    await using server = await scriptedUpstream({
      capabilities: ["AUTH LOGIN"],
      auth: "334 VXNlcm5hbWU6",
      sasl: () => ++asked === 1 ? "334 UGFzc3dvcmQ6" : "235 2.7.0 welcome",
    });
    const { code, err } = await send(args(server.address, "--tls", "none", "-v"), {
      input: "secret\n",
    });
    assert.equal(code, 0);
    assert.match(
      err,
      /C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: \*\*\*\nS: 334 \S+\nC: \*\*\*\nS: 235/,
    );
    assert(!err.includes(base64("secret")) && !err.includes(base64("alice")));
  });

  test("asks a terminal for the password, once", async () => {
    await using server = await scriptedUpstream({ capabilities: ["AUTH PLAIN"] });
    const { code, err } = await send(
      ["-s", server.address, "-t", "a@example.org", "-u", "alice", "--tls", "none"],
      { secrets: ["secret"], terminals: ["stdin"] },
    );
    assert.equal(err, "Password for alice: \n");
    assert.equal(code, 0);
    const auth = server.connections[0]!.commands.find((line) => line.startsWith("AUTH"));
    assert.equal(auth, `AUTH PLAIN ${base64("\0alice\0secret")}`);
  });
});

describe("a refusal", () => {
  const cases: readonly (readonly [string, Script, RegExp])[] = [
    [
      "of the connection",
      { banner: ["554 5.7.1 not you", fin()] },
      /^postern: \S+ refused the connection: 554 5\.7\.1 not you\n$/,
    ],
    [
      "of the sender",
      { mail: "550 5.1.8 never heard of" },
      /^postern: \S+ refused the sender <c@client\.test>: 550 5\.1\.8 never heard of\n$/,
    ],
    [
      "of the sender for want of TLS",
      { mail: "530 5.7.0 Must issue a STARTTLS command first" },
      /Must issue a STARTTLS command first \(try --tls starttls\)\n$/,
    ],
    [
      "of the only recipient",
      { rcpt: "550 5.7.1 Relaying denied" },
      /^postern: \S+ refused the recipient <a@example\.org>: 550 5\.7\.1 Relaying denied\n$/,
    ],
    ["of DATA", { data: "451 4.3.0 later" }, /refused DATA: 451 4\.3\.0 later\n$/],
    [
      "of the message",
      { dot: "550 5.7.1 Message refused as spam" },
      /^postern: \S+ refused the message: 550 5\.7\.1 Message refused as spam\n$/,
    ],
    ["by hanging up", { data: rst() }, /; nothing is sent\n$/],
    [
      "by hanging up after the dot",
      { dot: fin() },
      /after the end of the message; whether it has the message is not known\n$/,
    ],
    ["in no reply at all", { mail: "hello" }, /sent a malformed reply/],
  ];
  for (const [what, script, expected] of cases) {
    test(`${what} is one line with the server's words, and exit code 1`, async () => {
      await using server = await scriptedUpstream(script);
      const { code, out, err } = await send([
        ...["-s", server.address, "-f", "c@client.test", "-t", "a@example.org", "--tls", "none"],
      ]);
      assert.equal(code, 1);
      assert.equal(out, "");
      assert.match(err, oneLine);
      assert.match(err, expected);
    });
  }

  test("of some recipients: the others get it, each is told, and it is no success", async () => {
    await using server = await scriptedUpstream({
      rcpt: ({ line }) => line.includes("bob") ? "550 5.1.1 no such user" : "250 2.1.5 ok",
    });
    const { code, out, err } = await send([
      ...["-s", server.address, "-t", "alice@example.org", "-t", "bob@example.org"],
    ]);
    assert.equal(code, 1);
    assert.match(out, /^alice@example\.org {2}250 2\.1\.5 ok\nbob@example\.org {4}550 5\.1\.1 no/);
    assert.match(out, /\nSent \d+ octets/);
    assert.equal(err, "postern: 1 of 2 recipients refused\n");
    assert.deepEqual(server.messages[0]?.to, ["alice@example.org"]);
  });

  test("of all recipients: each is told, and nothing is sent", async () => {
    await using server = await scriptedUpstream({ rcpt: "550 5.1.1 no such user" });
    const { code, out, err } = await send([
      ...["-s", server.address, "-t", "alice@example.org", "-t", "bob@example.org"],
    ]);
    assert.equal(code, 1);
    assert.match(out, /^alice\S+ +550 .*\nbob\S+ +550 .*\n$/);
    assert.match(err, /refused all 2 recipients: 550 5\.1\.1 no such user\n$/);
    assert.equal(server.count("data"), 0);
  });

  test("R26: a server's text cannot write to the terminal", async () => {
    await using server = await scriptedUpstream({ rcpt: "550 5.1.1 caf\u00e9 \u202e" });
    const { code, err } = await send(["-s", server.address, "-t", "a@example.org"]);
    assert.equal(code, 1);
    assert.match(err, oneLine);
    assert.match(err, /^[\x20-\x7e\n]*$/);
  });

  test("where nothing listens is told as that", async () => {
    const { code, err } = await send([
      ...["-s", `127.0.0.1:${await closedPort()}`, "-t", "a@example.org"],
    ]);
    assert.equal(code, 1);
    assert.match(
      err,
      /^postern: Cannot connect to \S+: connection refused, nothing listens there\n$/,
    );
  });

  test("a server that says nothing is given up", async () => {
    await using server = await scriptedUpstream({ banner: [] });
    const { code, err } = await send([
      ...["-s", server.address, "-t", "a@example.org", "--timeout", "1ms"],
    ]);
    assert.equal(code, 1);
    assert.match(err, /^postern: (?:\S+ timed out|Cannot connect to \S+: timed out)\n$/);
  });
});

test("-v shows the conversation on standard error, as a dialogue, content only counted", async () => {
  await using server = await scriptedUpstream({ tls: await testIdentity(["127.0.0.1"]) });
  const { code, out, err } = await send([
    ...["-s", server.address, "-t", "a@example.org", "--body", "Do not show this", "-v"],
  ]);
  assert.equal(code, 0);
  assert.match(out, /Sent \d+ octets/);
  assert.match(err, /^# connected to 127\.0\.0\.1 port \d+\nS: 220 upstream\.test ESMTP\nC: EHLO /);
  assert.match(
    err,
    /\nC: STARTTLS\nS: 220 2\.0\.0 go ahead\n# TLS is up, TLSv1\.[23] \S+\nC: EHLO /,
  );
  assert.match(err, /\nS: 354 go ahead\n# \d+ octets of content, with the final dot\nS: 250 /);
  assert.match(err, /\nC: QUIT\n/);
  assert.doesNotMatch(err, /Do not show this/);
});

describe("a wrong command line", () => {
  for (
    const [args, expected] of [
      [[], /Missing option --to ADDRESS/],
      [["-t", "alice"], /--to: expected an address, as in alice@example\.org, got "alice"/],
      [["-t", "a@b.test", "-f", "x y"], /--from: expected an address/],
      [["-t", "a@b.test", "-t", "a@b.test>\r\nDATA"], /--to: expected an address/],
      [["-t", "a@b.test", "-s", "maildir:./x"], /--server: expected HOST, HOST:PORT/],
      [["-t", "a@b.test", "-s", "host:99999"], /--server: expected .*got "host:99999"/],
      [["-t", "a@b.test", "--tls", "stattls"], /--tls: expected none.*did you mean "starttls"\?/],
      [["-t", "a@b.test", "-s", "smtps://h", "--tls", "none"], /smtps:\/\/ is implicit TLS/],
      [["-t", "a@b.test", "--timeout", "soon"], /--timeout: expected a duration/],
      [["-t", "a@b.test", "--helo", "a b"], /--helo: expected a host name/],
      [["-t", "a@b.test", "--password-stdin"], /--password-stdin needs --user NAME/],
      [["-t", "a@b.test", "--user", "x"], /No terminal to ask for the password/],
      [["-t", "a@b.test", "-k", "--ca", "x.pem"], /--ca has no effect with --insecure/],
      [["-t", "a@b.test", "--subject", "x", "f.eml"], /--subject and --body are for a message/],
      [["-t", "a@b.test", "--sever", "x"], /Unknown option --sever; did you mean "--server"\?/],
    ] as const
  ) {
    test(`gets one line and exit code 2: ${JSON.stringify(args)}`, async () => {
      const { code, out, err } = await send(args);
      assert.equal(code, 2);
      assert.equal(out, "");
      assert.match(err, oneLine);
      assert.match(err, expected);
    });
  }

  test("so do files that cannot be used", () =>
    withFolder(async (cwd) => {
      fs.writeFileSync(path.join(cwd, "empty.eml"), "");
      fs.writeFileSync(path.join(cwd, "no.pem"), "nothing");
      const to = ["-t", "a@b.test"];
      for (
        const [args, expected] of [
          [[...to, "none.eml"], /Cannot read none\.eml: it does not exist/],
          [[...to, "."], /Cannot read \.: it is a folder/],
          [[...to, "empty.eml"], /Cannot send empty\.eml: it is empty/],
          [[...to, "-"], /No message on standard input/],
          [[...to, "--ca", "none.pem"], /Cannot read none\.pem: it does not exist/],
          [[...to, "--ca", "no.pem"], /Cannot use no\.pem: it holds no PEM certificate/],
        ] as const
      ) {
        const { code, err } = await send(args, { cwd });
        assert.equal(code, 2, args.join(" "));
        assert.match(err, oneLine);
        assert.match(err, expected);
      }
    }));
});
