/** TLS and logins through the whole server: R3, R12, R15 to R18, R35. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as tls from "node:tls";
import { type Edge, type EdgeOptions, mailCommands, startEdge } from "../support/edge.ts";
import { testIdentity } from "../support/certificates.ts";
import { scriptedUpstream } from "../support/scripted_upstream.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const submission: EdgeOptions = {
  listener: 'auth = "required"',
  users: { anna: "correct horse" },
  authOptions: "max_failures = 1000",
  limits: "errors = 100\nauth_failures = 50\nidle_commands = 1000",
};

/** The same without TLS. */
const cleartext: EdgeOptions = {
  ...submission,
  listener: 'auth = "required"\nauth_plaintext_loopback = true',
};

const base64 = (text: string): string => Buffer.from(text).toString("base64");

async function secured(edge: Edge, options: tls.ConnectionOptions = {}): Promise<SmtpClient> {
  const client = await edge.greeted();
  await client.starttls(options);
  await client.ehlo();
  return client;
}

describe("R12: nothing crosses into TLS", () => {
  const behind = [
    "MAIL FROM:<evil@client.test>\r\n",
    "NOOP\r\n",
    "EHLO evil.test\r\nMAIL FROM:<evil@client.test>\r\nRCPT TO:<b@up.test>\r\nDATA\r\n",
    "N",
    "\r\n",
    "\0",
    "AUTH PLAIN AGEAYg==\r\n",
  ];
  for (const octets of behind) {
    test(`plain text in the packet of STARTTLS ends the session: ${JSON.stringify(octets)}`, async () => {
      await using edge = await startEdge();
      await using client = await edge.greeted();
      client.sendRaw(`STARTTLS\r\n${octets}`);
      await client.expect("554 5.5.1");
      await client.expectClosed();
      assert.deepEqual(mailCommands(edge), []);
      assert.match(edge.log(), /plain text behind STARTTLS/);
    });
    test(`plain text behind the 220 is no TLS: ${JSON.stringify(octets)}`, async () => {
      await using edge = await startEdge();
      await using client = await edge.greeted();
      await client.command("STARTTLS", 220);
      client.sendRaw(octets.padEnd(64, "\r\nMAIL FROM:<evil@client.test>\r\n"));
      client.end();
      const said = await client.io.chunk();
      // At most an alert of TLS: no line of SMTP.
      assert.ok(said === undefined || said[0] === 0x15, `the server said ${said?.toString()}`);
      assert.deepEqual(mailCommands(edge), []);
    });
  }

  test("EHLO before TLS is forgotten", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await client.starttls();
    await client.command("MAIL FROM:<a@client.test>", "503 5.5.1");
    await client.ehlo();
    await client.command("MAIL FROM:<a@client.test>", 250);
  });

  test("a transaction is not taken along: STARTTLS in it is out of order", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("STARTTLS", "503 5.5.1");
    await client.command("RSET", 250);
    await client.starttls();
    await client.ehlo();
    await client.command("RCPT TO:<b@up.test>", "503 5.5.1");
  });

  test("a login before TLS is forgotten", async () => {
    await using edge = await startEdge(cleartext);
    await using client = await edge.greeted();
    await client.authPlain("anna", "correct horse");
    await client.starttls();
    await client.ehlo();
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    await client.authPlain("anna", "correct horse");
    await client.command("MAIL FROM:<a@client.test>", 250);
  });

  test("STARTTLS is offered once, takes no argument, and needs EHLO", async () => {
    await using edge = await startEdge();
    await using client = await edge.connect();
    await client.expect(220);
    await client.command("STARTTLS", "503 5.5.1");
    assert.ok((await client.ehlo()).includes("STARTTLS"));
    await client.command("STARTTLS now", "501 5.5.4");
    await client.starttls();
    assert.ok(!(await client.ehlo()).includes("STARTTLS"));
    await client.command("STARTTLS", "503 5.5.1");
    await client.quit();
  });

  test("require_tls: no mail without it, and none is lost", async () => {
    await using edge = await startEdge({ listener: "require_tls = true" });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    await client.starttls();
    await client.ehlo();
    assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
  });
});

test("R3: close_notify in the middle of a message is its end, not the message's", async () => {
  await using edge = await startEdge();
  await using client = await secured(edge);
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command("RCPT TO:<b@up.test>", 250);
  await client.command("DATA", 354);
  await client.sendRaw("A: b\r\n\r\nbody\r\n");
  await edge.upstream.waitFor("body");
  await client.end();
  await edge.postern.recorded(1);
  assert.equal(edge.postern.records[0]?.fate, "aborted");
  assert.equal(edge.upstream.messages.length, 0);
});

describe("R15: AUTH inside TLS, on submission listeners, and nowhere else", () => {
  test("not offered and not taken before TLS", async () => {
    await using edge = await startEdge(submission);
    await using client = await edge.greeted();
    assert.ok(!client.capabilities.some((word) => word.startsWith("AUTH")));
    await client.authPlain("anna", "correct horse", /^538 5\.7\.11/);
    await client.command("AUTH LOGIN", /^538 5\.7\.11/);
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    await client.starttls();
    assert.ok((await client.ehlo()).includes("AUTH PLAIN LOGIN"));
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    await client.command("VRFY a", "530 5.7.0");
    await client.authPlain("anna", "correct horse");
    assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
  });
  test("not on a listener without it", async () => {
    await using edge = await startEdge({ users: { anna: "x" } });
    await using client = await secured(edge);
    assert.ok(!client.capabilities.some((word) => word.startsWith("AUTH")));
    await client.authPlain("anna", "x", /^50[234] 5\./);
    await client.command("MAIL FROM:<a@client.test> AUTH=<>", "555 5.5.4");
    await client.command("MAIL FROM:<a@client.test>", 250);
  });
  test("not twice, not in a transaction, not by an unknown mechanism, not after HELO", async () => {
    await using edge = await startEdge({ ...submission, listener: 'auth = "optional"' });
    await using client = await secured(edge);
    await client.command("AUTH CRAM-MD5", "504 5.5.4");
    await client.command("AUTH", "501 5.5.4");
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.authPlain("anna", "correct horse", "503 5.5.1");
    await client.command("HELO x.test", 250);
    await client.authPlain("anna", "correct horse", "503 5.5.1");
    await client.ehlo();
    await client.authPlain("anna", "correct horse");
    await client.authPlain("anna", "correct horse", "503 5.5.1");
    assert.ok(!(await client.ehlo()).some((word) => word.startsWith("AUTH")));
  });
});

describe("R16: what a login is answered", () => {
  test("right ones by PLAIN and LOGIN, with and without initial response", async () => {
    await using edge = await startEdge(submission);
    const plain = base64("\0anna\0correct horse");
    const ways = [
      [`AUTH PLAIN ${plain}`],
      ["AUTH PLAIN", plain],
      [`auth plain ${base64("anna\0anna\0correct horse")}`],
      ["AUTH LOGIN", base64("anna"), base64("correct horse")],
      [`AUTH LOGIN ${base64("anna")}`, base64("correct horse")],
    ];
    for (const lines of ways) {
      await using client = await secured(edge);
      for (const line of lines.slice(0, -1)) await client.command(line, 334);
      await client.command(lines.at(-1) ?? "", "235 2.7.0");
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.quit();
    }
  });

  test("wrong ones: the same words for known and unknown users, nothing is told", async () => {
    await using edge = await startEdge(submission);
    await using client = await secured(edge);
    const answers = new Set<string>();
    for (const user of ["anna", "nobody", "root", "ANNA", "\u00fcser"]) {
      answers.add((await client.authPlain(user, "wrong", 535)).text);
      await client.command("AUTH LOGIN", 334);
      await client.command(base64(user), "334 UGFzc3dvcmQ6");
      answers.add((await client.command(base64("wrong"), 535)).text);
    }
    assert.equal(answers.size, 1);
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    await client.authPlain("anna", "correct horse");
  });

  test("a foreign authorization identity: 535, with the right password too", async () => {
    await using edge = await startEdge(submission);
    await using client = await secured(edge);
    for (const authzid of ["boss", "Anna", "anna ", "\u0430nna"]) {
      await client.command(`AUTH PLAIN ${base64(`${authzid}\0anna\0correct horse`)}`, "535 5.7.8");
    }
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
  });

  test("malformed ones: 501, and the exchange is over", async () => {
    await using edge = await startEdge(submission);
    await using client = await secured(edge);
    const malformed = [
      "!!!!",
      "AGFubmE",
      "AGFu bmE=",
      "=AAA",
      "A===",
      base64("anna"),
      base64("\0anna"),
    ]
      .concat([base64("\0anna\0"), base64("\0\0x"), base64("a\0b\0c\0d"), "AP8A/w=="]);
    for (const line of malformed) {
      await client.command(`AUTH PLAIN ${line}`, /^501 5\.5\.[24]/);
      await client.command("AUTH PLAIN", 334);
      await client.command(line, /^501 5\.5\.[24]/);
      await client.command("NOOP", 250);
    }
    await client.command("AUTH PLAIN =", /^501 5\.5\.[24]/);
    await client.command("AUTH PLAIN", 334);
    await client.command("", /^501 5\.5\.[24]/);
    await client.command("AUTH LOGIN", 334);
    await client.command("!", /^501 5\.5\.[24]/);
    await client.command("AUTH LOGIN", 334);
    await client.command(base64("anna"), 334);
    await client.command("!", /^501 5\.5\.[24]/);
    for (
      const octets of ["AGFu\nbmE=\r\n", "\0\r\n", "\xff\xfe\r\n", `${"A".repeat(20_000)}\r\n`]
    ) {
      await client.command("AUTH PLAIN", 334);
      client.sendRaw(Buffer.from(octets, "latin1"));
      await client.expect(/^50[01] 5\.5\.[246]/);
      client.sendRaw("\r\n");
      await client.expect(/^5/);
      await client.command("NOOP", 250);
    }
    await client.authPlain("anna", "correct horse");
  });

  test("cancelled ones: 501, and the exchange is over", async () => {
    await using edge = await startEdge(submission);
    await using client = await secured(edge);
    await client.command("AUTH PLAIN", 334);
    await client.command("*", "501 5.7.0");
    await client.command("AUTH LOGIN", 334);
    await client.command("*", "501 5.7.0");
    await client.command("AUTH LOGIN", 334);
    await client.command(base64("anna"), 334);
    await client.command("*", "501 5.7.0");
    await client.authPlain("anna", "correct horse");
  });

  test("commands in the place of a response are none", async () => {
    await using edge = await startEdge(submission);
    await using client = await secured(edge);
    await client.command("AUTH PLAIN", 334);
    await client.command("MAIL FROM:<a@client.test>", /^501/);
    await client.command("AUTH PLAIN", 334);
    await client.command("QUIT", /^501/);
    await client.command("NOOP", 250);
  });
});

describe("R17: repeated failures", () => {
  test("are slowed down, each more than the one before, and end the session", async () => {
    const delay = 40;
    await using edge = await startEdge({ ...submission, limits: "", authDelay: delay });
    await using client = await secured(edge);
    for (let failures = 1; failures <= 3; failures++) {
      const before = performance.now();
      await client.authPlain("anna", "wrong", "535 5.7.8");
      const took = performance.now() - before;
      // A timer may be a millisecond early by this clock; it is never much.
      assert.ok(took >= delay * failures - 2, `failure ${failures} was answered after ${took} ms`);
    }
    await client.expect("421 4.7.0");
    await client.expectClosed();
  });

  test("count on over TLS and between mechanisms", async () => {
    await using edge = await startEdge({ ...cleartext, limits: "auth_failures = 3" });
    await using client = await edge.greeted();
    await client.authPlain("anna", "wrong", 535);
    await client.starttls();
    await client.ehlo();
    await client.command(`AUTH LOGIN ${base64("bob")}`, 334);
    await client.command(base64("wrong"), 535);
    await client.authPlain("carl", "wrong", 535);
    await client.expect("421 4.7.0");
    await client.expectClosed();
  });

  test("lock their source: the right password does not help it any more", async () => {
    await using edge = await startEdge({
      listener: 'auth = "required"\nauth_plaintext_loopback = true',
      limits: "auth_failures = 2\nerrors = 100",
      users: { anna: "correct horse", bob: "battery staple" },
      authOptions: "max_failures = 4",
    });
    for (let i = 0; i < 2; i++) {
      await using client = await edge.greeted();
      await client.authPlain("anna", "wrong", 535);
      await client.authPlain("anna", "wrong", 535);
      await client.expect(421);
    }
    await using locked = await edge.greeted();
    await locked.authPlain("anna", "correct horse", 535);
    await locked.authPlain("bob", "battery staple", 535);
  });
});

test("R18: no password, and no base64 of one, is logged or sent on, whatever the client does with it", async () => {
  const secret = "hunter2-0123456789-tr0ub4dor";
  await using edge = await startEdge({
    listener: 'auth = "optional"',
    users: { anna: secret },
    authOptions: "max_failures = 1000",
    limits: "errors = 1000\nauth_failures = 50\nidle_commands = 1000",
    more: '[log]\nlevel = "debug"',
    top: "",
  });
  const plain = base64(`\0anna\0${secret}`);
  const alone = base64(secret);
  const wrong = base64(`\0anna\0${secret}x`);
  const lines = [
    [`AUTH PLAIN ${plain}`],
    [`AUTH PLAIN ${wrong}`],
    [`auth\tplain ${plain}`],
    [`AUTH  PLAIN ${plain}`],
    [`AUTH PLAIN  ${plain}`],
    [`AUTH ${plain}`],
    [`AUTH PLAIN=${plain}`],
    [`AUTH=PLAIN ${plain}`],
    [`AUTH: PLAIN ${plain}`],
    [` AUTH PLAIN ${plain}`],
    [`AUTH PLAIN ${plain} x`],
    [`AUTH PLAIN ${plain.slice(0, -1)}`],
    [`AUTH ${"A".repeat(30)} ${plain}`],
    [`AUTHPLAIN ${plain}`],
    [`AUTH XOAUTH2 ${plain}`],
    [`AUTH CRAM-MD5`, alone],
    ["AUTH PLAIN", plain],
    ["AUTH PLAIN", wrong],
    ["AUTH PLAIN", `${plain}!`],
    ["AUTH LOGIN", base64("anna"), alone],
    ["AUTH LOGIN", base64("anna"), secret],
    ["AUTH LOGIN", "*", alone],
    [`AUTH LOGIN ${base64("anna")}`, base64(`${secret}x`)],
    [plain],
    [alone],
  ];
  const raws = [
    `AUTH PLAIN ${plain}\n\r\n`,
    `AUTH PLAIN\r\n${plain}\n\r\n`,
    `AUTH LOGIN\r\n${base64("anna")}\r\n${alone}\n\r\n`,
    `AUTH LOGIN\r\n${base64("anna")}\r\n${alone}\0\r\n`,
    `AUTH LOGIN\r\n${base64("anna")}\r\n${alone}\xff\r\n`,
    `AUTH PLAIN ${plain}${"A".repeat(20_000)}\r\n`,
    `AUTH PLAIN\r\n${plain}${"A".repeat(20_000)}\r\n`,
    `${alone}\n\r\n`,
    `AUTH PLAIN\r\n${plain}`,
  ];
  let sessions = 0;
  for (const secure of [false, true]) {
    for (const octets of [...lines.map((all) => `${all.join("\r\n")}\r\n`), ...raws]) {
      await using client = secure ? await secured(edge) : await edge.greeted();
      client.sendRaw(Buffer.from(`${octets}`, "latin1"));
      client.sendRaw("\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@up.test>\r\n");
      client.end();
      while (await client.io.line() !== undefined);
      client.close();
      sessions += 1;
    }
  }
  // Every session has written its transcript when it is gone.
  const transcripts = (): number => edge.log().split("transcript=").length - 1;
  while (transcripts() < sessions) await new Promise((resolve) => setTimeout(resolve, 5));
  const log = edge.log();
  const sent = edge.upstream.connections.flatMap((c) => c.commands).join("\n");
  for (const text of [log, sent]) {
    for (const leak of [secret, alone.slice(0, 12), plain.slice(0, 12), wrong.slice(8, 24)]) {
      const at = text.indexOf(leak);
      assert.equal(at, -1, `leaked: ${text.slice(Math.max(0, at - 200), at + 80)}`);
    }
  }
});

test("R18: our own credentials for the upstream are not logged either", async () => {
  const secret = "relay-s3cret-passphrase";
  const identity = await testIdentity(["127.0.0.1", "localhost"]);
  for (const auth of ["535 5.7.8 no", "235 2.7.0 yes"]) {
    await using upstream = await scriptedUpstream({
      tls: identity,
      capabilities: ["PIPELINING", "AUTH PLAIN LOGIN"],
      auth: ({ line }) => `${auth} ${line}`,
    });
    await using edge = await startEdge({
      routes: '[[routes]]\nupstream = "relay"',
      more: `[upstreams.relay]\nservers = ["${upstream.address}"]\ntls = "require"\n` +
        `auth = { user = "relay", password = "${secret}" }\n[log]\nlevel = "debug"`,
    });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@up.test>", auth.startsWith("2") ? 250 : /^451 4\.4\.1/);
    await client.quit();
    await edge.postern.logged("transcript");
    assert.equal(upstream.connections[0]?.secure, true);
    const log = edge.log();
    for (const leak of [secret, base64(secret), base64(`\0relay\0${secret}`)]) {
      assert.ok(!log.includes(leak), log);
    }
  }
});

describe("R35: a bad handshake ends its own connection and no other", () => {
  /** A ClientHello as TLS 1.0 had it: no extensions, so no later version. */
  function oldHello(minor: number): Uint8Array {
    const body = [0x03, minor, ...Array(32).fill(7), 0, 0, 4, 0x00, 0x2f, 0x00, 0x35, 1, 0];
    const handshake = [1, 0, 0, body.length, ...body];
    return Uint8Array.from([0x16, 0x03, 0x01, 0, handshake.length, ...handshake]);
  }
  const hellos: ReadonlyMap<string, Uint8Array | string> = new Map<string, Uint8Array | string>([
    ["garbage", "\x16\x03\x01\x00\x05hello and more of the same"],
    ["SSL 2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"],
    ["TLS 1.0", oldHello(1)],
    ["TLS 1.1", oldHello(2)],
    ["an empty record", Uint8Array.of(0x16, 3, 1, 0, 0)],
    ["a record of 65,535 octets", Uint8Array.from([0x16, 3, 1, 0xff, 0xff, ...Array(300).fill(1)])],
    ["an alert", Uint8Array.of(0x15, 3, 1, 0, 2, 2, 40)],
    ["nothing", ""],
  ]);
  for (const [name, hello] of hellos) {
    for (const listener of ["mx", "smtps"]) {
      test(`${name}, ${listener === "mx" ? "behind STARTTLS" : "on an implicit port"}`, async () => {
        await using edge = await startEdge({
          more: '[[listeners]]\nname = "smtps"\nlisten = "127.0.0.1:0"\ntls = "implicit"',
        });
        await using honest = await secured(edge);
        await honest.command("MAIL FROM:<a@client.test>", 250);
        await using bad = await edge.connect({}, listener);
        if (listener === "mx") {
          await bad.expect(220);
          await bad.ehlo();
          await bad.command("STARTTLS", 220);
        }
        bad.sendRaw(typeof hello === "string" ? Buffer.from(hello, "latin1") : hello);
        bad.end();
        for (
          let octets = await bad.io.chunk();
          octets !== undefined;
          octets = await bad.io.chunk()
        ) {
          assert.equal(octets[0], 0x15, `no alert: ${octets.toString()}`);
        }
        await honest.command("RCPT TO:<b@up.test>", 250);
        await using next = await edge.connect({ tls: true }, "smtps");
        await next.expect(220);
        await next.ehlo();
        assert.equal((await next.sendMessage({ to: "c@up.test" })).code, 250);
      });
    }
  }

  test("an unknown server name gets the default certificate; so does none, and one of another form", async () => {
    await using edge = await startEdge();
    for (const servername of ["mx.example.org", "unknown.test", "", "x".repeat(200), "__proto__"]) {
      await using client = await secured(edge, servername === "" ? {} : { servername });
      await client.command("MAIL FROM:<a@client.test>", 250);
    }
  });

  test("TLS 1.2 is served still", async () => {
    await using edge = await startEdge();
    await using client = await secured(edge, { maxVersion: "TLSv1.2" });
    await client.quit();
  });
});
