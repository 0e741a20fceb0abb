/** SCRAM-SHA-256, bearer tokens and client certificates through the whole server: R15 to R18. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type * as tls from "node:tls";
import fc from "fast-check";
import { oauthBearerInitial, xoauth2Initial } from "../../src/wire/sasl_oauth.ts";
import { testChain, testIdentity } from "../support/certificates.ts";
import { type Edge, type EdgeOptions, startEdge } from "../support/edge.ts";
import { authScram } from "../support/scram_client.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

const bounds = "errors = 1000\nauth_failures = 100\nidle_commands = 1000";

const scram: EdgeOptions = {
  listener: 'auth = "required"',
  users: { "anna@example.org": "correct horse" },
  scram: true,
  authOptions: "max_failures = 1000",
  limits: bounds,
};

async function secured(edge: Edge, options: tls.ConnectionOptions = {}): Promise<SmtpClient> {
  const client = await edge.greeted();
  await client.starttls(options);
  await client.ehlo();
  return client;
}

/** The AUTH line of EHLO. */
async function offered(client: SmtpClient): Promise<string | undefined> {
  return (await client.ehlo()).find((line) => line.startsWith("AUTH"));
}

describe("SCRAM-SHA-256", () => {
  test("logs in, with and without initial response, and mail follows", async () => {
    await using edge = await startEdge(scram);
    for (const initial of [true, false]) {
      await using client = await secured(edge);
      assert.equal(await offered(client), "AUTH SCRAM-SHA-256 PLAIN LOGIN");
      await authScram(client, "anna@example.org", "correct horse", 235, { initial });
      assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
    }
    for (const header of ["y,,", "n,a=anna@example.org,"]) {
      await using client = await secured(edge);
      await authScram(client, "anna@example.org", "correct horse", 235, { header });
    }
    await using client = await secured(edge);
    await client.authPlain("anna@example.org", "correct horse");
  });

  test("R15: not before TLS", async () => {
    await using edge = await startEdge(scram);
    await using client = await edge.greeted();
    await client.command(`AUTH SCRAM-SHA-256 ${base64("n,,n=a,r=abc")}`, "538 5.7.11");
  });

  test("R16: known and unknown logins go the same way to the same answer", async () => {
    await using edge = await startEdge(scram);
    await using client = await secured(edge);
    const shape = (text: string) => text.replace(/^r=[^,]*,s=[^,]*/, (part) => `${part.length}`);
    const known = await authScram(client, "anna@example.org", "wrong", "535 5.7.8");
    const unknown = await authScram(client, "carl@example.org", "wrong", "535 5.7.8");
    assert.equal(shape(unknown), shape(known));
    const salt = (text: string) => /s=([^,]*)/.exec(text)?.[1];
    // As a known login has the same salt every time, so has an unknown one, on every connection.
    await using other = await secured(edge);
    const again = await authScram(other, "carl@example.org", "other", "535 5.7.8");
    assert.equal(salt(again), salt(unknown));
    assert.notEqual(salt(unknown), salt(known));
  });

  test("R16: a foreign identity, a meddled header, another nonce: 535", async () => {
    await using edge = await startEdge(scram);
    await using client = await secured(edge);
    const user = "anna@example.org";
    const foreign = base64(`n,a=boss@example.org,n=${user},r=abc`);
    await client.command(`AUTH SCRAM-SHA-256 ${foreign}`, "535 5.7.8");
    const changes: readonly ((final: string) => string)[] = [
      (final) => final.replace("c=biws", `c=${base64("y,,")}`),
      (final) => final.replace(",r=", ",r=x"),
      (final) =>
        final.replace(/p=./, "p=A").replace(/p=A(.)/, (_, c) => `p=A${c === "A" ? "B" : "A"}`),
      (final) => final.replace(/p=.*/, `p=${base64("short")}`),
    ];
    for (const change of changes) {
      await authScram(client, user, "correct horse", "535 5.7.8", { change });
    }
    await authScram(client, user, "correct horse");
  });

  test("malformed and cancelled ones: 501, and the exchange is over", async () => {
    await using edge = await startEdge(scram);
    await using client = await secured(edge);
    const first = base64("n,,n=anna@example.org,r=abc");
    for (
      const bad of [
        "=",
        base64("n,,n=a"),
        base64("n,,m=1,n=a,r=abc"),
        base64("p=tls-exporter,,n=a,r=abc"),
        base64("n,,n=a\0,r=abc"),
        base64("\0anna\0correct horse"),
      ]
    ) {
      await client.command(`AUTH SCRAM-SHA-256 ${bad}`, "501 5.5.2");
      await client.command("NOOP", 250);
    }
    for (const bad of ["", "!", "*", base64("c=biws,r=abc"), base64("c=biws,r=abc,p=AA"), "QUIT"]) {
      await client.command(`AUTH SCRAM-SHA-256 ${first}`, 334);
      await client.command(bad, bad === "*" ? "501 5.7.0" : "501 5.5.2");
      await client.command("NOOP", 250);
    }
    await client.command("AUTH SCRAM-SHA-256-PLUS", "504 5.5.4");
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
  });

  test("a client that does not trust our signature is not logged in", async () => {
    await using edge = await startEdge(scram);
    await using client = await secured(edge);
    for (const answer of ["*", base64("x")]) {
      // The last line is the answer to the signature.
      await authScram(client, "anna@example.org", "correct horse", 334);
      await client.command(answer, answer === "*" ? "501 5.7.0" : "501 5.5.2");
      await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    }
  });

  test("R17: failures lock the login, for a right proof, too", async () => {
    await using edge = await startEdge({ ...scram, authOptions: "max_failures = 3" });
    await using client = await secured(edge);
    for (let i = 0; i < 3; i++) {
      await authScram(client, "anna@example.org", "wrong", "535 5.7.8");
    }
    await authScram(client, "anna@example.org", "correct horse", "535 5.7.8");
  });
});

const token = "eyJhbGciOi.secret-bearer-token.c2lnbmF0dXJl";

const bearer: EdgeOptions = {
  listener: 'auth = "required"',
  limits: bounds,
  plugins: {
    bearer: `return { name: "bearer", hooks: { auth: { mechanisms: ["XOAUTH2", "OAUTHBEARER"],
      token({ user, token, mechanism }) {
        if (token === "later") return edge.defer(454, "4.7.0", "Temporary authentication failure");
        if (token === "broken") throw new Error("The token " + token + " is odd");
        return token === "${token}" && (user === "" || user === "anna@example.org")
          ? { user: "anna@example.org", mechanism }
          : edge.refuse(535, "5.7.8", "Authentication credentials invalid");
      } } } };`,
  },
};

describe("bearer tokens", () => {
  test("log in, with and without initial response, however long they are", async () => {
    await using edge = await startEdge(bearer);
    for (
      const [mechanism, initial] of [["XOAUTH2", xoauth2Initial], [
        "OAUTHBEARER",
        oauthBearerInitial,
      ]] as const
    ) {
      await using client = await secured(edge);
      await client.command(`AUTH ${mechanism} ${initial("anna@example.org", token)}`, 235);
      assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
      await using other = await secured(edge);
      await other.command(`AUTH ${mechanism}`, 334);
      await other.command(initial("anna@example.org", token), 235);
      await using third = await secured(edge);
      // RFC 4954 section 4: up to 12,288 octets.
      await third.command(`AUTH ${mechanism} ${initial("anna", "x".repeat(8_500))}`, 334);
      await third.command("", "535 5.7.8");
      await third.command(`NOOP ${"x".repeat(600)}`, "500 5.5.2");
      await third.command(
        `AUTH ${mechanism} ${initial("anna", "x".repeat(12_000))}`,
        /^500 5\.5\.2/,
      );
    }
    await using client = await secured(edge);
    await client.command(`AUTH OAUTHBEARER ${base64(`n,,\x01auth=Bearer ${token}\x01\x01`)}`, 235);
  });

  test("a refused one is told why, and whatever the client says to it, it has failed", async () => {
    await using edge = await startEdge(bearer);
    await using client = await secured(edge);
    const wants = [
      ["OAUTHBEARER", oauthBearerInitial, { status: "invalid_token" }],
      ["XOAUTH2", xoauth2Initial, { status: "401", schemes: "bearer" }],
    ] as const;
    for (const [mechanism, initial, expected] of wants) {
      for (const answer of ["AQ==", "", "!", "QUIT", "*"]) {
        for (
          const [user, given] of [["anna@example.org", "wrong"], [
            "boss@example.org",
            token,
          ]] as const
        ) {
          const reply = await client.command(`AUTH ${mechanism} ${initial(user, given)}`, 334);
          const json = Buffer.from(reply.lines[0] ?? "", "base64").toString();
          assert.deepEqual(JSON.parse(json), expected);
          await client.command(answer, answer === "*" ? "501 5.7.0" : "535 5.7.8");
        }
      }
    }
    await client.command(`AUTH XOAUTH2 ${xoauth2Initial("a", "later")}`, "454 4.7.0");
    await client.command(`AUTH XOAUTH2 ${xoauth2Initial("a", "broken")}`, "454 4.7.0");
    await client.command(`AUTH XOAUTH2 ${base64("user=a\x01auth=Bearer \x01\x01")}`, "501 5.5.2");
    await client.command("AUTH OAUTHBEARER =", "501 5.5.2");
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
  });

  test("R17: a refused token is a failure also where the client cancels", async () => {
    await using edge = await startEdge({ ...bearer, limits: "auth_failures = 2" });
    await using client = await secured(edge);
    for (let i = 0; i < 2; i++) {
      await client.command(`AUTH XOAUTH2 ${xoauth2Initial("a", "wrong")}`, 334);
      // It counts before the client has said anything to it, or gone away.
      assert.equal(edge.log().split("login failed").length - 2, i);
      await client.command("*", "501 5.7.0");
    }
    await client.expect("421 4.7.0");
    await client.expectClosed();
  });
});

const certified = (more: string): EdgeOptions => ({
  listener: `auth = "optional"\nclient_certificate = "request"\n${more}`,
  limits: bounds,
  plugins: {
    certified: `return { name: "certified", hooks: { auth: { mechanisms: ["EXTERNAL"],
      certificate({ user, subject, fingerprint, mechanism }) {
        edge.log.info("asked", { user, subject, fingerprint });
        return user === "" || user === subject
          ? { user: subject, mechanism }
          : edge.refuse(535, "5.7.8", "Authentication credentials invalid");
      } } } };`,
  },
  more: '[tls]\nclient_ca = "clients.pem"',
});

describe("EXTERNAL", () => {
  test("is offered to who has shown a certificate that verifies, and to nobody else", async () => {
    const { ca, leaf } = await testChain(["anna@example.org"]);
    const stranger = await testIdentity(["anna@example.org"]);
    await using edge = await startEdge({ ...certified(""), files: { "clients.pem": ca.cert } });
    await using client = await secured(edge, { cert: leaf.cert, key: leaf.key });
    assert.equal(await offered(client), "AUTH EXTERNAL");
    await client.command("AUTH EXTERNAL =", 235);
    await client.command("MAIL FROM:<a@client.test>", 250);
    assert.match(edge.log(), /subject=anna@example\.org fingerprint=[0-9a-f]{64}/);
    for (const identity of [{}, { cert: stranger.cert, key: stranger.key }]) {
      await using other = await secured(edge, identity);
      assert.equal(await offered(other), undefined);
      await other.command("AUTH EXTERNAL =", /^50[24] 5\.5\.[14]/);
    }
    await using plain = await edge.greeted();
    await plain.command("AUTH EXTERNAL =", /^5(?:02|04|38) 5\./);
  });

  test("takes an identity, in the command or as an answer", async () => {
    const { ca, leaf } = await testChain(["anna@example.org"]);
    await using edge = await startEdge({ ...certified(""), files: { "clients.pem": ca.cert } });
    const identity = { cert: leaf.cert, key: leaf.key };
    for (const user of ["", "anna@example.org"]) {
      await using client = await secured(edge, identity);
      await client.command("AUTH EXTERNAL", 334);
      await client.command(base64(user), 235);
    }
    await using client = await secured(edge, identity);
    await client.command(`AUTH EXTERNAL ${base64("boss@example.org")}`, "535 5.7.8");
    await client.command(`AUTH EXTERNAL ${base64("a\0b")}`, "501 5.5.2");
    await client.command("AUTH EXTERNAL", 334);
    await client.command("*", "501 5.7.0");
    await client.command(`AUTH EXTERNAL ${base64("anna@example.org")}`, 235);
  });
});

type Exchange = [string, string | null, string[]];

test("hostile exchanges: each line gets one reply, and the session goes on", async () => {
  await using edge = await startEdge({ ...bearer, ...scram, plugins: bearer.plugins! });
  const mechanism = fc.constantFrom("PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER");
  const piece = fc.constantFrom(
    ...[
      "n,,",
      "y,,",
      "p=x,,",
      "n=",
      "r=",
      "a=",
      ",",
      "c=biws",
      "p=",
      "\x01",
      "auth=Bearer ",
      "user=",
    ],
    ...["\0", "\u00e4", "anna@example.org", "correct horse", "=2C"],
  );
  const text = fc.array(fc.oneof(piece, fc.string({ maxLength: 5 })), { maxLength: 12 })
    .map((parts) => base64(parts.join("")));
  const line = fc.oneof(text, fc.constantFrom("", "*", "=", "!", "AQ==", "QUIT", "AAAA", "\u00e4"));
  const exchange = fc.tuple(mechanism, fc.option(text), fc.array(line, { maxLength: 4 }));
  const one = async (client: SmtpClient, [name, initial, lines]: Exchange) => {
    const command = initial === null || initial === "" ? `AUTH ${name}` : `AUTH ${name} ${initial}`;
    let { code } = await client.command(command, /^(?:334|[45]\d\d )/);
    for (let i = 0; code === 334; i++) {
      ({ code } = await client.command(lines[i] ?? "*", /^(?:334|[45]\d\d )/));
    }
    assert.ok([501, 535, 454, 500].includes(code), `${command}: ${code}`);
  };
  for (const seed of [1, 2, 3, 4, 5]) {
    await using client = await secured(edge);
    for (const each of fc.sample(exchange, { numRuns: 80, seed })) await one(client, each);
    await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    await authScram(client, "anna@example.org", "correct horse");
  }
});

test("RFC 4954: a line of an exchange that is too long is answered 500 5.5.6", async () => {
  await using edge = await startEdge(scram);
  await using client = await secured(edge);
  for (const mechanism of ["PLAIN", "SCRAM-SHA-256"]) {
    await client.command(`AUTH ${mechanism}`, 334);
    await client.command("A".repeat(12_288), "500 5.5.6");
    await client.command("NOOP", 250);
  }
});

test("R18: no proof, signature or token is logged or sent on, whatever the client does with it", async () => {
  await using edge = await startEdge({
    ...scram,
    ...bearer,
    listener: 'auth = "optional"',
    more: '[log]\nlevel = "debug"',
  });
  const initials = [xoauth2Initial("anna", token), oauthBearerInitial("anna", token)];
  const broken = xoauth2Initial("anna", "broken");
  const lines = [
    [`AUTH XOAUTH2 ${initials[0]}`, "AQ=="],
    [`AUTH OAUTHBEARER ${initials[1]}`, ""],
    ["AUTH OAUTHBEARER", initials[1]!],
    ["AUTH XOAUTH2", initials[1]!, initials[0]!],
    [`AUTH XOAUTH2 ${broken}`],
    [`AUTH ${initials[0]}`],
    [`AUTH XOAUTH3 ${initials[0]}`],
    [`XOAUTH2 ${initials[0]}`],
    ["AUTH XOAUTH2", token],
    [`AUTH OAUTHBEARER ${initials[1]}${"A".repeat(20_000)}`],
  ];
  for (const secure of [false, true]) {
    for (const octets of lines) {
      await using client = secure ? await secured(edge) : await edge.greeted();
      client.sendRaw(Buffer.from(`${octets.join("\r\n")}\r\nMAIL FROM:<a@client.test>\r\n`));
      client.end();
      while (await client.io.line() !== undefined);
      client.close();
    }
  }
  const seen: string[] = [];
  await using client = await secured(edge);
  const first = await authScram(client, "anna@example.org", "correct horse", 235, {
    change: (final) => {
      seen.push(base64(final), final.slice(final.indexOf("p=") + 2));
      return final;
    },
  });
  await client.quit();
  await edge.postern.logged("C: QUIT");
  const log = edge.log();
  const sent = edge.upstream.connections.flatMap((c) => c.commands).join("\n");
  const leaks = [
    token.slice(12, 30),
    ...initials.map((text) => text.slice(30, 60)),
    ...seen.map((text) => text.slice(0, 24)),
    base64(first).slice(0, 24),
    "correct horse",
  ];
  assert.match(log, /S: 334 \*\*\*/);
  for (const text of [log, sent]) {
    for (const leak of leaks) {
      const at = text.indexOf(leak);
      assert.equal(at, -1, `leaked: ${text.slice(Math.max(0, at - 200), at + 80)}`);
    }
  }
});
