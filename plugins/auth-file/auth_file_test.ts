import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Authenticator, Defer, Refuse } from "@postern/postern/plugin";
import { fakeEdge, type FakeEdgeOptions, fakeHash } from "../../tests/support/fake_edge.ts";
import {
  context,
  optionFaults,
  parseOptions,
  session,
  transaction,
} from "../../tests/support/fake_facts.ts";
import authFile, { type Options, options } from "./mod.ts";
import { canonicalLogin } from "../shared/canonical.ts";
import { commonParameters, decoyHash, hashKind, parseUsers } from "./users.ts";

const users = `# people\n\nanna@Example.org:${fakeHash("secret")}\nbob:${fakeHash("hunter2")}\n`;

async function start(over: Record<string, unknown> = {}, host: FakeEdgeOptions = {}) {
  const edge = fakeEdge({ files: { "users.txt": users }, ...host });
  const given = await parseOptions<Options>(options, { users: "users.txt", ...over });
  const plugin = await authFile(edge, given);
  const auth: Authenticator = plugin.hooks.auth!;
  const login = async (user: string, password: string, address = "192.0.2.1") =>
    await auth.verify!(
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
    const answer = await plugin.hooks.auth!.verify!(
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
    void plugin.hooks.auth!.verify!(credentials, { ...context(), signal: cut.signal });
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

describe("SCRAM-SHA-256", () => {
  const key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
  const secretLine = (login: string, iterations = 60_000, salt = "c2FsdHNhbHQ=") =>
    `${login}:{SCRAM-SHA-256}${iterations},${salt},${key},${key}\n`;
  const secret = { salt: "c2FsdHNhbHQ=", iterations: 60_000, storedKey: key, serverKey: key };

  async function startScram(content: string, over: Record<string, unknown> = {}) {
    const started = await start(over, { files: { "users.txt": content } });
    const auth = started.plugin.hooks.auth!;
    const at = (address = "192.0.2.1") =>
      context(transaction({ session: session({ remote: { address, port: 1 } }) }));
    const checked = async (user: string, proved: boolean, address?: string) =>
      await auth.scramChecked!({ mechanism: "SCRAM-SHA-256", user, proved }, at(address));
    return {
      ...started,
      auth,
      checked,
      ask: async (user: string) => await auth.scram!(user, at()),
    };
  }

  test("a login may have a hash and a secret; two of a kind are a repetition", () => {
    const read = parseUsers(
      `a:${fakeHash("x")}\n${secretLine("a")}${secretLine("b", 4096)}${secretLine("b")}`,
    );
    assert.deepEqual(read.scram, new Map([["a", secret], ["b", secret]]));
    assert.equal(read.hashes.get("a"), fakeHash("x"));
    assert.ok(read.hashes.get("b")?.startsWith("{SCRAM-SHA-256}60000,"));
    assert.deepEqual([read.broken, read.repeated], [[], [4]]);
    for (const bad of ["4095,c2FsdA==", "1000001,c2FsdA==", "4096,", "4096,c2FsdA", "x,c2FsdA=="]) {
      assert.deepEqual(parseUsers(`a:{SCRAM-SHA-256}${bad},${key},${key}`).broken, [1], bad);
    }
    assert.deepEqual(parseUsers(`a:{SCRAM-SHA-1}4096,c2FsdA==,${key},${key}`).broken, [1]);
  });

  test("R16: the decoys are of the most common kind", () => {
    const { hashes, scram } = parseUsers(
      secretLine("a", 4096) + secretLine("b", 9000) + secretLine("c", 9000),
    );
    assert.deepEqual(commonParameters(scram), { iterations: 9000, saltSize: 8 });
    const decoy = decoyHash(hashes)!;
    assert.equal(hashKind(decoy), "{SCRAM-SHA-256}9000");
    assert.ok(![...hashes.values()].includes(decoy));
    assert.deepEqual(parseUsers(`x:${decoy}`).broken, []);
    assert.deepEqual(commonParameters(new Map()), { iterations: 4096, saltSize: 16 });
  });

  test("is offered when every login has a secret, or as the operator says", async () => {
    const mechanisms = async (content: string, over = {}) =>
      (await startScram(content, over)).auth.mechanisms.join(" ");
    const mixed = `${secretLine("a")}b:${fakeHash("x")}\n`;
    assert.equal(await mechanisms(secretLine("a")), "SCRAM-SHA-256 PLAIN LOGIN");
    assert.equal(
      await mechanisms(`${secretLine("a")}a:${fakeHash("x")}\n`),
      "SCRAM-SHA-256 PLAIN LOGIN",
    );
    assert.equal(await mechanisms(mixed), "PLAIN LOGIN");
    assert.equal(await mechanisms(""), "PLAIN LOGIN");
    assert.equal(await mechanisms(mixed, { scram: "always" }), "SCRAM-SHA-256 PLAIN LOGIN");
    assert.equal(await mechanisms(secretLine("a"), { scram: "never" }), "PLAIN LOGIN");
    const { edge } = await startScram(mixed);
    assert.ok(
      edge.entries.some(({ level, message }) =>
        level === "warn" && message.includes("not every login has a secret")
      ),
    );
  });

  test("R16: gives the secret of a known login, and what others are made with for any other", async () => {
    const { ask } = await startScram(secretLine("anna@Example.org"));
    assert.deepEqual(await ask("anna@EXAMPLE.org"), secret);
    for (const user of ["nobody", "", "__proto__", "x".repeat(5000)]) {
      assert.deepEqual(await ask(user), { iterations: 60_000, saltSize: 8 });
    }
  });

  test("a right proof logs in, in the canonical form; a wrong one and an unknown login do not", async () => {
    const { checked, edge } = await startScram(secretLine("anna@example.org"));
    assert.deepEqual(await checked("anna@EXAMPLE.org", true), {
      user: "anna@example.org",
      mechanism: "SCRAM-SHA-256",
    });
    assert.deepEqual(await checked("anna@example.org", false), invalid);
    assert.deepEqual(await checked("nobody", false), invalid);
    assert.deepEqual(await checked("nobody", true), invalid);
    assert.equal(edge.verified.length, 0);
  });

  test("R17: wrong proofs lock source and login, and count with wrong passwords", async () => {
    const { checked, login } = await startScram(secretLine("bob"), { max_failures: 3 });
    await checked("bob", false);
    await login("bob", "wrong");
    await checked("nobody", false);
    assert.deepEqual(await checked("bob", true), invalid);
    assert.deepEqual(await checked("bob", true, "192.0.2.9"), {
      user: "bob",
      mechanism: "SCRAM-SHA-256",
    });
  });

  test("R17: parallel proofs do not outrun the lock", async () => {
    const { checked } = await startScram(secretLine("bob"), { max_failures: 2 });
    const answers = await Promise.all([
      ...Array.from({ length: 20 }, (_, i) => checked(`user${i}`, false)),
      checked("bob", true),
    ]);
    assert.deepEqual(answers.at(-1), invalid);
  });

  test("a file that cannot be read defers; a login taken out between the halves is out", async () => {
    const { ask, checked, edge } = await startScram(secretLine("bob") + secretLine("anna"));
    await edge.write("users.txt", secretLine("anna"));
    assert.deepEqual(await checked("bob", true), invalid);
    await edge.write("users.txt", undefined);
    assert.equal((await ask("anna") as Defer).code, 454);
    assert.equal((await checked("anna", true) as Refuse).code, 454);
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
