/**
 * The upstream conversation up to MAIL, as tables: what the server says, and what we say to it.
 * @module
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  clientIdentify,
  type ClientPolicy,
  clientSecured,
  clientStart,
  type ClientState,
  clientStep,
  type Say,
} from "../../src/session/client.ts";
import { reply } from "../../src/wire/reply.ts";

const credentials = { user: "me", password: "secret" };
const plain = `AUTH PLAIN ${btoa("\0me\0secret")}`;

/** XCLIENT lines as the policy of these tests makes them. */
const twoLines = (offered: readonly string[]): readonly string[] =>
  offered.map((name) => `XCLIENT ${name}=x`);

const policy: ClientPolicy = {
  hostname: "edge.test",
  tls: "none",
  auth: undefined,
  xclient: undefined,
};

/** `250 A,B`: code and lines; `TLS`: the handshake is done. */
function hear(p: ClientPolicy, state: ClientState, text: string): readonly [ClientState, Say] {
  if (text === "TLS") return clientSecured(p);
  return clientStep(p, state, reply(Number(text.slice(0, 3)), "", ...text.slice(4).split(",")));
}

function shown(say: Say): string {
  switch (say.say) {
    case "line":
      return say.secret ? `${say.line} (secret)` : say.line;
    case "fail":
      return `fail: ${say.reason}`;
    default:
      return say.say;
  }
}

/** Everything we say to these replies. */
function conversation(p: ClientPolicy, secure: boolean, ...said: readonly string[]): string[] {
  let state = clientStart(secure);
  return said.map((text) => {
    const [next, say] = hear(p, state, text);
    state = next;
    return shown(say);
  });
}

const EHLO = "EHLO edge.test";
const HELO = "HELO edge.test";

interface Row {
  readonly name: string;
  readonly with?: Partial<ClientPolicy>;
  /** TLS from the first octet. */
  readonly implicit?: true;
  readonly hears: readonly string[];
  readonly says: readonly string[];
}

const rows: readonly Row[] = [
  {
    name: "greeting, EHLO, ready (RFC 5321 section 3.1)",
    hears: ["220 hi", "250 up.test,PIPELINING"],
    says: [EHLO, "ready"],
  },
  {
    name: "no service (RFC 5321 section 3.1)",
    hears: ["554 no"],
    says: ["fail: greeted with 554"],
  },
  ...["200", "221", "250", "354"].map((code) => ({
    name: `R24: ${code} is no greeting`,
    hears: [`${code} hi`],
    says: [`fail: greeted with ${code}`],
  })),
  { name: "busy", hears: ["421 later"], says: ["fail: greeted with 421"] },
  ...["500", "502", "504", "550", "450"].map((code) => ({
    name: `EHLO refused with ${code}: HELO (RFC 5321 section 3.2)`,
    hears: ["220 hi", `${code} what`, "250 up.test"],
    says: [EHLO, HELO, "ready"],
  })),
  {
    name: "HELO refused too",
    hears: ["220 hi", "502 what", "502 what"],
    says: [EHLO, HELO, "fail: answered HELO with 502"],
  },
  {
    name: "EHLO answered with 421: the server is going down",
    hears: ["220 hi", "421 bye"],
    says: [EHLO, "fail: answered EHLO with 421"],
  },
  {
    name: "tls = none takes no TLS that is offered",
    hears: ["220 hi", "250 up.test,STARTTLS"],
    says: [EHLO, "ready"],
  },
  ...(["opportunistic", "require", "verify"] as const).map((tls) => ({
    name: `R13: tls = ${tls}: STARTTLS, and EHLO again behind it`,
    with: { tls },
    hears: ["220 hi", "250 up.test,STARTTLS", "220 go", "TLS", "250 up.test"],
    says: [EHLO, "STARTTLS", "starttls", EHLO, "ready"],
  })),
  {
    name: "opportunistic without an offer goes on in plain text (RFC 7435)",
    with: { tls: "opportunistic" },
    hears: ["220 hi", "250 up.test"],
    says: [EHLO, "ready"],
  },
  {
    name: "opportunistic with a refusal goes on in plain text (RFC 3207 section 4)",
    with: { tls: "opportunistic" },
    hears: ["220 hi", "250 up.test,STARTTLS", "454 not now"],
    says: [EHLO, "STARTTLS", "ready"],
  },
  ...["250", "354", "221", "421"].map((code) => ({
    name: `R24: ${code} to STARTTLS is neither yes nor no`,
    with: { tls: "opportunistic" as const },
    hears: ["220 hi", "250 up.test,STARTTLS", `${code} what`],
    says: [EHLO, "STARTTLS", `fail: answered STARTTLS with ${code}`],
  })),
  ...(["require", "verify"] as const).flatMap((tls) => [
    {
      name: `tls = ${tls}: no offer, no mail`,
      with: { tls },
      hears: ["220 hi", "250 up.test"],
      says: [EHLO, "fail: does not offer STARTTLS"],
    },
    {
      name: `tls = ${tls}: a server that knows HELO only has no TLS`,
      with: { tls },
      hears: ["220 hi", "502 what", "250 up.test,STARTTLS"],
      says: [EHLO, HELO, "fail: does not offer STARTTLS"],
    },
    {
      name: `tls = ${tls}: a refusal is the end`,
      with: { tls },
      hears: ["220 hi", "250 up.test,STARTTLS", "454 not now"],
      says: [EHLO, "STARTTLS", "fail: answered STARTTLS with 454"],
    },
    {
      name: `tls = ${tls}: implicit TLS is TLS; no STARTTLS inside it`,
      with: { tls },
      implicit: true as const,
      hears: ["220 hi", "250 up.test,STARTTLS"],
      says: [EHLO, "ready"],
    },
  ]),
  {
    name: "AUTH PLAIN is taken before LOGIN (RFC 4954)",
    with: { auth: credentials },
    hears: ["220 hi", "250 up.test,AUTH LOGIN PLAIN", "235 welcome"],
    says: [EHLO, `${plain} (secret)`, "ready"],
  },
  {
    name: "AUTH LOGIN, by the order of its challenges",
    with: { auth: credentials },
    hears: ["220 hi", "250 up.test,AUTH LOGIN", "334 eA==", "334 eQ==", "235 welcome"],
    says: [
      EHLO,
      "AUTH LOGIN",
      `${btoa("me")} (secret)`,
      `${btoa("secret")} (secret)`,
      "ready",
    ],
  },
  {
    name: "the old form AUTH=LOGIN is an offer",
    with: { auth: credentials },
    hears: ["220 hi", "250 up.test,AUTH=LOGIN"],
    says: [EHLO, "AUTH LOGIN"],
  },
  {
    name: "credentials refused",
    with: { auth: credentials },
    hears: ["220 hi", "250 up.test,AUTH PLAIN", "535 no"],
    says: [EHLO, `${plain} (secret)`, "fail: refused our credentials with 535"],
  },
  {
    name: "no mechanism of ours",
    with: { auth: credentials },
    hears: ["220 hi", "250 up.test,AUTH CRAM-MD5"],
    says: [EHLO, "fail: offers no AUTH mechanism we have (PLAIN, LOGIN)"],
  },
  {
    name: "R18: opportunistic, no TLS, credentials: they are not sent",
    with: { tls: "opportunistic", auth: credentials },
    hears: ["220 hi", "250 up.test,AUTH PLAIN LOGIN"],
    says: [EHLO, "fail: has no TLS, so our credentials are not sent"],
  },
  {
    name: "R18: opportunistic, TLS refused, credentials: they are not sent",
    with: { tls: "opportunistic", auth: credentials },
    hears: ["220 hi", "250 up.test,AUTH PLAIN,STARTTLS", "502 no"],
    says: [EHLO, "STARTTLS", "fail: has no TLS, so our credentials are not sent"],
  },
  {
    name: "R13: mechanisms offered before TLS are forgotten",
    with: { tls: "require", auth: credentials },
    hears: ["220 hi", "250 up.test,STARTTLS,AUTH PLAIN", "220 go", "TLS", "250 up.test"],
    says: [
      EHLO,
      "STARTTLS",
      "starttls",
      EHLO,
      "fail: offers no AUTH mechanism we have (PLAIN, LOGIN)",
    ],
  },
  {
    name: "AUTH behind TLS",
    with: { tls: "verify", auth: credentials },
    hears: ["220 hi", "250 a,STARTTLS", "220 go", "TLS", "250 a,AUTH PLAIN", "235 ok"],
    says: [EHLO, "STARTTLS", "starttls", EHLO, `${plain} (secret)`, "ready"],
  },
  {
    name: "XCLIENT line by line, then EHLO again (XCLIENT_README)",
    with: { xclient: twoLines },
    hears: ["220 hi", "250 up.test,XCLIENT NAME ADDR", "250 ok", "220 hi", "250 up.test"],
    says: [EHLO, "XCLIENT NAME=x", "XCLIENT ADDR=x", EHLO, "ready"],
  },
  {
    name: "XCLIENT is told once a connection, though EHLO offers it again",
    with: { xclient: twoLines },
    hears: ["220 hi", "250 a,XCLIENT NAME", "220 hi", "250 a,XCLIENT NAME"],
    says: [EHLO, "XCLIENT NAME=x", EHLO, "ready"],
  },
  {
    name: "XCLIENT is behind AUTH",
    with: { xclient: twoLines, auth: credentials },
    hears: ["220 hi", "250 a,XCLIENT NAME,AUTH PLAIN", "235 ok", "220 hi", "250 a,AUTH PLAIN"],
    says: [EHLO, `${plain} (secret)`, "XCLIENT NAME=x", EHLO, "ready"],
  },
  {
    name: "XCLIENT that is not offered",
    with: { xclient: twoLines },
    hears: ["220 hi", "250 up.test"],
    says: [EHLO, "fail: does not offer XCLIENT"],
  },
  {
    name: "XCLIENT refused",
    with: { xclient: twoLines },
    hears: ["220 hi", "250 up.test,XCLIENT NAME", "550 no"],
    says: [EHLO, "XCLIENT NAME=x", "fail: refused XCLIENT with 550"],
  },
  {
    name: "nothing to tell by XCLIENT",
    with: { xclient: () => [] },
    hears: ["220 hi", "250 up.test,XCLIENT OTHER"],
    says: [EHLO, "ready"],
  },
];

describe("set-up of an upstream connection", () => {
  for (const row of rows) {
    test(row.name, () => {
      const p = { ...policy, ...row.with };
      assert.deepEqual(conversation(p, row.implicit === true, ...row.hears), row.says);
    });
  }

  test("R6: what is said when nothing was asked is the end", () => {
    const [ready] = hear(policy, hear(policy, clientStart(false), "220 hi")[0], "250 up.test");
    assert.equal(ready.step, "ready");
    for (const code of ["220", "250", "354", "421", "554"]) {
      assert.equal(shown(hear(policy, ready, `${code} x`)[1]), `fail: said ${code} unasked`);
    }
  });

  test("a failure brings the server's own reply, where it gave one", () => {
    const [, greeted] = hear(policy, clientStart(false), "554 go away");
    assert.deepEqual(greeted.say === "fail" && greeted.reply, reply(554, "", "go away"));
    const strict: ClientPolicy = { ...policy, tls: "require" };
    const [waiting] = hear(strict, clientStart(false), "220 hi");
    const [, plainOnly] = hear(strict, waiting, "250 up.test");
    assert.equal(plainOnly.say === "fail" && plainOnly.reply, undefined);
  });

  test("the extensions are those of the last EHLO", () => {
    const strict: ClientPolicy = { ...policy, tls: "require" };
    let state = clientStart(false);
    for (const text of ["220 hi", "250 a,STARTTLS,DSN,SIZE 5", "220 go", "TLS", "250 a,SIZE 7"]) {
      [state] = hear(strict, state, text);
    }
    assert.equal(state.step, "ready");
    assert.equal(state.secure, true);
    assert.equal(state.extensions.dsn, false);
    assert.equal(state.extensions.starttls, false);
    assert.equal(state.extensions.size, 7);
  });

  test("another client's identity on a connection in use: XCLIENT, EHLO, ready", () => {
    const p: ClientPolicy = { ...policy, auth: credentials, xclient: twoLines };
    const used: ClientState = {
      ...clientStart(false),
      step: "ready",
      authenticated: true,
      identified: true,
      extensions: { ...clientStart(false).extensions, xclient: ["NAME"] },
    };
    const [told, first] = clientIdentify(p, used);
    assert.equal(shown(first), "XCLIENT NAME=x");
    const [greeted, second] = hear(p, told, "220 hi");
    assert.equal(shown(second), EHLO);
    assert.equal(shown(hear(p, greeted, "250 up.test,AUTH PLAIN,XCLIENT NAME")[1]), "ready");
  });
});
