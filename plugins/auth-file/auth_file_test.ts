import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Authenticator, Refuse } from "@postern/postern/plugin";
import { fakeEdge, type FakeEdgeOptions, fakeHash } from "../../tests/support/fake_edge.ts";
import {
  context,
  optionFaults,
  parseOptions,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import authFile, { type Options, options } from "./mod.ts";
import { canonicalLogin, decoyHash, hashKind, parseUsers } from "./users.ts";

const users = `# people\n\nanna@Example.org:${fakeHash("secret")}\nbob:${fakeHash("hunter2")}\n`;

async function start(over: Record<string, unknown> = {}, host: FakeEdgeOptions = {}) {
  const edge = fakeEdge({ files: { "users.txt": users }, ...host });
  const given = await parseOptions<Options>(options, { users: "users.txt", ...over });
  const plugin = await authFile(edge, given);
  const auth: Authenticator = plugin.hooks.auth!;
  const login = async (user: string, password: string, address = "192.0.2.1") =>
    await auth.verify(
      { mechanism: "PLAIN", user, password },
      context(transaction({ session: session({ remote: { address, port: 1 } }) })),
    );
  return { edge, plugin, login };
}

const invalid = {
  verdict: "refuse",
  code: 535,
  enhanced: "5.7.8",
  text: "Authentication credentials invalid",
};
const ok = (user: string) => ({ user, mechanism: "PLAIN" });

describe("users file", () => {
  test("logins compare in NFC with a lower-case domain and a local part as it is", () => {
    assert.equal(canonicalLogin("Anna@EXAMPLE.org"), "Anna@example.org");
    assert.equal(canonicalLogin("jose\u0301"), "jos\u00e9");
    assert.equal(canonicalLogin(""), undefined);
    assert.equal(canonicalLogin("x".repeat(321)), undefined);
  });

  test("broken and repeated lines are told by number, the last line of a login counts", () => {
    const one = fakeHash("one");
    const two = fakeHash("two", "bcrypt");
    const read = parseUsers(
      `\ufeff# c\r\na:${one}\r\nnonsense\na:${two}\n:${one}\nb:plaintext\nc:$md5$x$y\n`,
    );
    assert.deepEqual([...read.hashes], [["a", two]]);
    assert.deepEqual(read.broken, [3, 5, 6, 7]);
    assert.deepEqual(read.repeated, [4]);
  });

  test("R34: names of object properties are logins like others", () => {
    const hash = fakeHash("x");
    const { hashes } = parseUsers(`__proto__:${hash}\n`);
    assert.equal(hashes.get("__proto__"), hash);
    assert.equal(hashes.get("constructor"), undefined);
  });

  test("R16: the decoy is of the most common kind, well-formed, and no user's hash", () => {
    const hashes = new Map([
      ["a", fakeHash("1")],
      ["b", fakeHash("2", "bcrypt")],
      ["c", fakeHash("3", "bcrypt")],
      ["d", fakeHash("4", "scrypt")],
    ]);
    const decoy = decoyHash(hashes)!;
    assert.equal(hashKind(decoy), "$2b$10$");
    assert.equal(decoy.length, 60);
    assert.ok(![...hashes.values()].includes(decoy));
    assert.equal(parseUsers(`x:${decoy}`).broken.length, 0);
    assert.equal(hashKind(fakeHash("1")), "$argon2id$v=19$m=64,t=1,p=1");
    assert.equal(decoyHash(new Map()), undefined);
  });
});

describe("auth-file", () => {
  test("a right password gives the identity in its canonical form", async () => {
    const { login } = await start();
    assert.deepEqual(await login("anna@EXAMPLE.ORG", "secret"), ok("anna@example.org"));
    assert.deepEqual(await login("bob", "hunter2"), ok("bob"));
  });

  test("R16: the same answer and one verification for known, unknown and impossible logins", async () => {
    const { edge, login } = await start();
    for (const user of ["bob", "nobody", "x".repeat(5000)]) {
      edge.verified.length = 0;
      assert.deepEqual(await login(user, "wrong"), invalid);
      assert.equal(edge.verified.length, 1);
      assert.equal(hashKind(edge.verified[0]!), "$argon2id$v=19$m=64,t=1,p=1");
    }
  });

  test("R16: a hash that cannot be verified answers like a wrong password, and verifies the decoy", async () => {
    const { edge, login } = await start();
    await edge.write("users.txt", `${users}eve:$scrypt$ln=99$c2FsdA$AAAA\n`);
    edge.verified.length = 0;
    assert.deepEqual(await login("eve", "x"), invalid);
    assert.equal(edge.verified.length, 2);
    assert.ok(!edge.verified[1]!.startsWith("$scrypt"));
    assert.ok(
      edge.entries.some(({ level, message }) =>
        level === "error" && message.includes("cannot be verified")
      ),
    );
  });

  test("an empty users file knows nobody and still verifies", async () => {
    const { edge, login } = await start({}, { files: { "users.txt": "" } });
    assert.deepEqual(await login("bob", ""), invalid);
    assert.equal(edge.verified.length, 1);
  });

  test("R18: neither log nor state keys hold a password, a hash or a broken line", async () => {
    const { edge, login } = await start({ max_failures: 1 });
    await edge.write("users.txt", `${users}my-pass-word\n`);
    await login("bob", "s3cr3t-typed");
    await login("nobody", "s3cr3t-typed");
    const log = JSON.stringify(edge.entries);
    const secret = /s3cr3t|my-pass|c2FsdA|hunter2/;
    assert.ok(!secret.test(log), log);
    assert.ok(edge.stored().includes("bob"));
    assert.ok(!secret.test(edge.stored()), edge.stored());
    assert.ok(log.includes('"line":5'));
  });

  test("a changed file counts at once; an unreadable one defers, and its return ends that", async () => {
    const { edge, login } = await start();
    await edge.write("users.txt", `carol:${fakeHash("new")}\n`);
    assert.deepEqual(await login("carol", "new"), ok("carol"));
    assert.deepEqual(await login("bob", "hunter2"), invalid);
    await edge.write("users.txt", undefined);
    const answer = await login("carol", "new") as Refuse;
    assert.deepEqual([answer.code, answer.enhanced], [454, "4.7.0"]);
    await edge.write("users.txt", users);
    assert.deepEqual(await login("bob", "hunter2"), ok("bob"));
  });

  test("a file that cannot be read at the start stops the start", async () => {
    await assert.rejects(start({}, { files: {} }), /users\.txt/);
  });

  test("close stops the watcher", async () => {
    const { edge, plugin } = await start();
    assert.equal(edge.watchers(), 1);
    await plugin.close?.();
    assert.equal(edge.watchers(), 0);
  });
});

describe("R17: repeated failures", () => {
  test("lock the source: the right password gets the same refusal, without a verification", async () => {
    const { edge, login } = await start({ max_failures: 3, lock: "15m" });
    for (const user of ["a", "b", "c"]) await login(user, "wrong");
    edge.verified.length = 0;
    assert.deepEqual(await login("bob", "hunter2"), invalid);
    assert.equal(edge.verified.length, 0);
    assert.deepEqual(await login("bob", "hunter2", "192.0.2.2"), ok("bob"));
    edge.clock.advance(15 * 60_000);
    assert.deepEqual(await login("bob", "hunter2"), ok("bob"));
  });

  test("lock the login from everywhere, but not from where it was used before", async () => {
    const { login } = await start({ max_failures: 3 });
    assert.deepEqual(await login("bob", "hunter2", "198.51.100.7"), ok("bob"));
    for (const n of [1, 2, 3]) await login("bob", "wrong", `203.0.113.${n}`);
    assert.deepEqual(await login("bob", "hunter2", "203.0.113.9"), invalid);
    assert.deepEqual(await login("bob", "hunter2", "198.51.100.7"), ok("bob"));
  });

  test("lock an unknown login just the same", async () => {
    const { edge, login } = await start({ max_failures: 2 });
    for (const n of [1, 2]) await login("nobody", "wrong", `203.0.113.${n}`);
    edge.verified.length = 0;
    assert.deepEqual(await login("nobody", "wrong", "203.0.113.9"), invalid);
    assert.equal(edge.verified.length, 0);
  });

  test("count an IPv6 /64 as one source", async () => {
    const { login } = await start({ max_failures: 2 });
    await login("a", "wrong", "2001:db8::1");
    await login("b", "wrong", "2001:db8::2");
    assert.deepEqual(await login("bob", "hunter2", "2001:db8::3"), invalid);
    assert.deepEqual(await login("bob", "hunter2", "2001:db8:0:1::3"), ok("bob"));
  });

  test("do not lock an exempt network", async () => {
    const { login } = await start({ max_failures: 1, exempt: ["192.0.2.0/24"] });
    for (const user of ["a", "b", "c"]) await login(user, "wrong");
    assert.deepEqual(await login("bob", "hunter2"), ok("bob"));
  });

  for (const asyncState of [false, true]) {
    test(`cannot be outrun by guesses in parallel, asyncState ${asyncState}`, async () => {
      const { edge, login } = await start({ max_failures: 2 }, { asyncState });
      const answers = await Promise.all([
        ...Array.from({ length: 20 }, (_, i) => login(`user${i}`, "guess")),
        login("bob", "hunter2"),
      ]);
      assert.equal(edge.verified.length, 2);
      assert.deepEqual(answers.at(-1), invalid);
    });
  }

  test("do not lock out many right logins at once", async () => {
    const { login } = await start({ max_failures: 2 }, { asyncState: true });
    const answers = await Promise.all(Array.from({ length: 30 }, () => login("bob", "hunter2")));
    assert.deepEqual(new Set(answers.map((answer) => JSON.stringify(answer))).size, 1);
    assert.deepEqual(answers[0], ok("bob"));
  });

  test("a session that is gone while it waits costs no verification", async () => {
    const { edge, plugin } = await start();
    const gone = { ...context(), signal: AbortSignal.abort() };
    const answer = await plugin.hooks.auth!.verify(
      { mechanism: "PLAIN", user: "bob", password: "hunter2" },
      gone,
    ) as Refuse;
    assert.equal(answer.code, 454);
    assert.equal(edge.verified.length, 0);
  });

  test("a check that hangs and is cut off does not hold up the next one", async () => {
    const { edge, plugin, login } = await start();
    const { verify } = edge.passwords;
    edge.passwords.verify = () => new Promise(() => {});
    const cut = new AbortController();
    const credentials = { mechanism: "PLAIN", user: "bob", password: "hunter2" };
    void plugin.hooks.auth!.verify(credentials, { ...context(), signal: cut.signal });
    edge.passwords.verify = verify;
    const next = login("bob", "hunter2");
    cut.abort();
    assert.deepEqual(await next, ok("bob"));
  });

  test("are forgotten after the window", async () => {
    const { edge, login } = await start({ max_failures: 2, window: "1m" });
    await login("bob", "wrong");
    edge.clock.advance(60_000);
    await login("bob", "wrong");
    assert.deepEqual(await login("bob", "hunter2"), ok("bob"));
  });
});

test("options say what is wrong and where", async () => {
  assert.deepEqual(await optionFaults(options, {}), ["users: expected a value, got nothing"]);
  assert.deepEqual(await optionFaults(options, { users: "u", lok: "1m" }), [
    'lok: unknown key "lok", did you mean "lock"',
  ]);
  assert.deepEqual(await optionFaults(options, { users: "u", window: "15 minutes" }), [
    'window: expected a duration such as "30s", "15m" or "1h", got "15 minutes"',
  ]);
  assert.deepEqual(await optionFaults(options, { users: "u", exempt: ["10.0.0.0/33"] }), [
    'exempt.0: expected a network such as "10.0.0.0/8" or "2001:db8::/32", got "10.0.0.0/33"',
  ]);
});
