import assert from "node:assert/strict";
import { test } from "node:test";
import type { Refuse } from "@postern/postern/plugin";
import { fakeEdge, type FakeEdgeOptions } from "../../tests/support/fake_edge.ts";
import { context, optionFaults, parseOptions } from "../../tests/support/fake_facts.ts";
import authCertificate, { type Options, options } from "./mod.ts";

const one = "0123456789abcdef".repeat(4);
const two = "fedcba9876543210".repeat(4);
const colons = one.toUpperCase().match(/../g)!.join(":");

async function start(given: Record<string, unknown>, host: FakeEdgeOptions = {}) {
  const edge = fakeEdge(host);
  const plugin = await authCertificate(edge, await parseOptions<Options>(options, given));
  const login = (fingerprint: string, subject = "", user = "") =>
    plugin.hooks.auth!.certificate!(
      { mechanism: "EXTERNAL", user, subject, fingerprint },
      context(),
    );
  return { edge, plugin, login };
}

const invalid = {
  verdict: "refuse",
  code: 535,
  enhanced: "5.7.8",
  text: "Authentication credentials invalid",
};
const is = (user: string) => ({ user, mechanism: "EXTERNAL" });

test("a fingerprint names its login, however it is written", async () => {
  for (const key of [one, colons, `sha256:${one}`, `SHA256:${colons}`]) {
    const { login } = await start({ fingerprints: { [key]: "anna@Example.org" } });
    assert.deepEqual(login(one), is("anna@example.org"));
    assert.deepEqual(login(two), invalid);
  }
});

test("a common name is a login's only where it is listed, or where names are said to be logins", async () => {
  const { login } = await start({ subjects: { "Anna's laptop": "anna@example.org" } });
  assert.deepEqual(login(one, "Anna's laptop"), is("anna@example.org"));
  assert.deepEqual(login(one, "anna@example.org"), invalid);
  const named = await start({ subject_is_login: true });
  assert.deepEqual(named.login(one, "anna@Example.org"), is("anna@example.org"));
  assert.deepEqual(named.login(one, ""), invalid);
});

test("the fingerprint counts before the name", async () => {
  const { login } = await start({ fingerprints: { [one]: "anna" }, subjects: { cn: "bob" } });
  assert.deepEqual(login(one, "cn"), is("anna"));
  assert.deepEqual(login(two, "cn"), is("bob"));
});

test("R16: who wants to be somebody else is refused like who is nobody", async () => {
  const { login, edge } = await start({ fingerprints: { [one]: "anna@example.org" } });
  assert.deepEqual(login(one, "", "anna@EXAMPLE.org"), is("anna@example.org"));
  assert.deepEqual(login(one, "", "boss@example.org"), invalid);
  assert.deepEqual(login(two, "", "anna@example.org"), invalid);
  assert.deepEqual(edge.entries.map(({ fields }) => fields["reason"]), ["another's", "nobody's"]);
});

test("R34: names of object properties are names like others", async () => {
  const { login } = await start({ subjects: { cn: "anna" }, subject_is_login: false });
  for (const name of ["__proto__", "constructor", "toString"]) {
    assert.deepEqual(login(one, name), invalid);
  }
});

test("a file is read again when it changes, broken lines are told by number", async () => {
  const text =
    `\ufeff# laptops\n${colons} anna@example.org\r\n\ncn=Bob's phone   bob\nnonsense\nx y\n`;
  const given = { file: "certificates.txt" };
  const { edge, login, plugin } = await start(given, { files: { "certificates.txt": text } });
  assert.deepEqual(login(one), is("anna@example.org"));
  assert.deepEqual(login(two, "Bob's phone"), is("bob"));
  assert.deepEqual(
    edge.entries.filter(({ level }) => level === "error").map(({ fields }) => fields["line"]),
    [5, 6],
  );
  await edge.write("certificates.txt", `${two} carol\n`);
  assert.deepEqual(login(two), is("carol"));
  assert.deepEqual(login(one), invalid);
  await edge.write("certificates.txt", undefined);
  assert.equal((login(two) as Refuse).code, 454);
  await edge.write("certificates.txt", text);
  assert.deepEqual(login(one), is("anna@example.org"));
  await plugin.close?.();
  assert.equal(edge.watchers(), 0);
  await assert.rejects(start(given, { files: {} }), /certificates\.txt/);
});

test("options say what is wrong and where", async () => {
  assert.deepEqual(await optionFaults(options, {}), [
    ": expected fingerprints, subjects, file or subject_is_login",
  ]);
  assert.deepEqual(await optionFaults(options, { fingerprints: { "12:34": "anna" } }), [
    'fingerprints.12:34: expected a SHA-256 fingerprint: 64 hexadecimal digits, got "12:34"',
  ]);
  assert.deepEqual(await optionFaults(options, { subjects: { cn: "" } }), [
    'subjects.cn: expected a login, got ""',
  ]);
});
