import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Identity, Refuse } from "@postern/postern/plugin";
import { fakeEdge, type FakeEdgeOptions } from "../../tests/support/fake_edge.ts";
import { context, session, transaction } from "../../tests/support/fake_facts.ts";
import { type Finding, type Login, NotNow, passwordAuthenticator } from "./login.ts";

const SECRET = "s3cr3t-päss";
const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

type Ask = (login: Login) => Promise<Finding>;
const knowing: Ask = async ({ user, password }) => password === SECRET ? { user } : "wrong";

function start(ask: Ask, over: object = {}, host: FakeEdgeOptions = {}) {
  const edge = fakeEdge(host);
  const asked: string[] = [];
  const auth = passwordAuthenticator(edge, {
    max_failures: 3,
    window: 60_000,
    lock: 60_000,
    exempt: [],
    ...over,
  }, (login) => {
    asked.push(login.user);
    return ask(login);
  });
  const login = async (user: string, password = SECRET, address = "192.0.2.1", tls = false) => {
    const facts = session({
      remote: { address, port: 1 },
      ...(tls
        ? { tls: { version: "TLSv1.3", cipher: "x", sni: "", alpn: "", peer: undefined } }
        : {}),
    });
    const answer = await auth.verify!(
      { mechanism: "PLAIN", user, password },
      context(transaction({ session: facts })),
    ) as Identity | Refuse;
    return "user" in answer ? answer.user : answer.code;
  };
  return { edge, asked, auth, login };
}

for (const asyncState of [false, true]) {
  describe(`with ${asyncState ? "shared" : "own"} state`, () => {
    test("a login goes to the engine in NFC with a lower-case domain, an impossible one not at all", async () => {
      const { asked, login } = start(knowing, {}, { asyncState });
      assert.equal(await login("Jose\u0301@EXAMPLE.org"), "Jos\u00e9@example.org");
      for (const [user, password] of [["", SECRET], ["anna", ""], ["x".repeat(321), SECRET]]) {
        assert.equal(await login(user!, password), 535);
      }
      assert.deepEqual(asked, ["Jos\u00e9@example.org"]);
    });

    test("R17: forms of one login are counted together, and who is locked is not asked for", async () => {
      const { asked, login } = start(knowing, {}, { asyncState });
      for (const [n, user] of ["anna", "ANNA", " anna "].entries()) {
        assert.equal(await login(user, "wrong", `203.0.113.${n}`), 535);
      }
      assert.equal(await login("anna", SECRET, "203.0.113.9"), 535);
      assert.equal(asked.length, 3);
    });

    test("a right password is remembered for its address and its security, for its time", async () => {
      const { edge, asked, login } = start(knowing, { cache: 1000 }, { asyncState });
      await login("anna");
      await login("anna");
      assert.equal(asked.length, 1);
      await login("anna", SECRET, "192.0.2.2");
      await login("anna", SECRET, "192.0.2.1", true);
      assert.equal(asked.length, 3);
      edge.clock.advance(1000);
      await login("anna");
      assert.equal(asked.length, 4);
      assert.equal(await login("anna", "wrong"), 535);
    });

    test("R18: neither the state nor the log holds a password, in any form", async () => {
      const { edge, login } = start(
        async (login) => {
          if (login.user === "bad") {
            throw new Error(
              `said ${login.password} ${base64(login.password)} ${
                base64(`\0bad\0${login.password}`)
              }`,
            );
          }
          return await knowing(login);
        },
        { cache: 1000, max_failures: 1 },
        { asyncState },
      );
      await login("anna");
      await login("bad");
      await login("anna", `${SECRET}x`);
      const all = JSON.stringify(edge.entries) + edge.stored();
      assert.ok(!/s3cr3t/.test(all) && !all.includes(base64(SECRET)), all);
      assert.ok(!all.includes(base64(`\0bad\0${SECRET}`)), all);
      assert.match(all, /said \[redacted\] \[redacted\] \[redacted\]/);
    });
  });
}

test("an engine that is gone is told of once, and once when it is back; a deferral each time", async () => {
  let mood: "well" | "gone" | "later" = "gone";
  const { edge, login } = start(async (asked) => {
    if (mood === "gone") throw new Error("connection refused");
    if (mood === "later") throw new NotNow("later");
    return await knowing(asked);
  });
  const levels = () => edge.entries.splice(0).map(({ level }) => level);
  for (let i = 0; i < 3; i++) assert.equal(await login("anna"), 454);
  assert.deepEqual(levels(), ["error"]);
  mood = "well";
  for (let i = 0; i < 3; i++) assert.equal(await login("anna"), "anna");
  assert.deepEqual(levels(), ["info"]);
  mood = "later";
  for (let i = 0; i < 2; i++) assert.equal(await login("anna"), 454);
  assert.deepEqual(levels(), ["info", "info"]);
  assert.equal(edge.counters.get("unavailable"), 5);
});

test("what an engine says after the budget is neither logged nor believed", async () => {
  const { edge, auth } = start(({ context: { signal } }) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
  );
  const cut = new AbortController();
  const answer = auth.verify!(
    { mechanism: "PLAIN", user: "anna", password: SECRET },
    { ...context(), signal: cut.signal },
  );
  cut.abort(new Error("over budget"));
  assert.equal((await answer as Refuse).code, 454);
  assert.deepEqual(edge.entries, []);
});
