import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "@postern/postern/plugin";
import {
  runDialogue,
  type RunOptions,
  runPlugin,
  testEdge,
  type TestPlugin,
} from "@postern/postern/testing";
import fc from "fast-check";
import { optionFaults } from "../../tests/support/fake_facts.ts";
import { Directory } from "./directory.ts";
import * as module from "./mod.ts";
import { escapedValue, filled, isFilter } from "./template.ts";

const SECRET = "s3cr3t-päss word";
const ACCOUNT = { dn: "cn=reader,dc=example", password: "s3rvice" };
const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const text = (octets: Uint8Array) => new TextDecoder().decode(octets);

/** BER: a tag, a length in the short or the two-octet form, the content. */
function ber(tag: number, ...parts: readonly (Uint8Array | number[] | string)[]): Uint8Array {
  const content = parts.flatMap((part) => [
    ...(typeof part === "string" ? new TextEncoder().encode(part) : part),
  ]);
  const { length } = content;
  const size = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff];
  return Uint8Array.from([tag, ...size, ...content]);
}

/** The elements of a sequence's content. */
function elements(octets: Uint8Array): { tag: number; value: Uint8Array }[] {
  const found: { tag: number; value: Uint8Array }[] = [];
  for (let at = 0; at < octets.length;) {
    const tag = octets[at++]!;
    let length = octets[at++]!;
    if (length > 0x80) {
      const octetsOfLength = length & 0x7f;
      length = 0;
      for (let i = 0; i < octetsOfLength; i++) length = length * 256 + octets[at++]!;
    }
    found.push({ tag, value: octets.subarray(at, at + length) });
    at += length;
  }
  return found;
}

type Told =
  | { readonly op: "bind"; readonly dn: string; readonly password: string }
  | { readonly op: "search"; readonly base: string; readonly filter: Uint8Array }
  | { readonly op: "starttls" };

/** `undefined`: no answer. Anything else is what the usual directory says. */
type Script = (told: Told, server: Connection) => "usual" | Uint8Array | number | undefined | void;

const TLS = 0x78;
const BIND = 0x61;
const DONE = 0x65;

/** A directory in which `anna` has the secret. */
class FakeDirectory {
  readonly told: Told[] = [];
  readonly secured: boolean[] = [];
  connections = 0;
  #met: [count: number, resolve: () => void] | undefined;

  constructor(readonly script: Script = () => "usual") {}

  readonly serve = async (server: Connection): Promise<void> => {
    this.connections++;
    for (;;) {
      const [, first] = await server.readExactly(2);
      let length = first!;
      if (length > 0x80) {
        length = [...await server.readExactly(first! & 0x7f)].reduce((n, o) => n * 256 + o, 0);
      }
      const [id, operation] = elements(await server.readExactly(length));
      const told = read(operation!);
      if (told === undefined) return server.end();
      this.told.push(told);
      this.secured.push(server.tls !== undefined);
      if (this.#met !== undefined && this.told.length >= this.#met[0]) this.#met[1]();
      const says = this.script(told, server);
      if (says === undefined) continue;
      const answer = typeof says === "number"
        ? [result(told, says)]
        : says === "usual"
        ? usual(told)
        : undefined;
      if (answer === undefined) await server.write(says as Uint8Array);
      for (const part of answer ?? []) await server.write(ber(0x30, ber(0x02, id!.value), part));
      if (told.op === "starttls" && says === "usual") await server.startTls();
    }
  };

  /** Resolves when so many requests have come. */
  heard(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#met = [count, resolve];
      if (this.told.length >= count) resolve();
    });
  }
}

function read({ tag, value }: { tag: number; value: Uint8Array }): Told | undefined {
  if (tag === 0x77) return { op: "starttls" };
  if (tag !== 0x60 && tag !== 0x63) return undefined;
  const parts = elements(value);
  return tag === 0x60
    ? { op: "bind", dn: text(parts[1]!.value), password: text(parts[2]!.value) }
    : { op: "search", base: text(parts[0]!.value), filter: parts[6]!.value };
}

function result(told: Told, code: number): Uint8Array {
  const tag = told.op === "bind" ? BIND : told.op === "search" ? DONE : TLS;
  return ber(tag, [0x0a, 1, code], ber(0x04), ber(0x04));
}

function usual(told: Told): Uint8Array[] {
  if (told.op === "starttls") return [result(told, 0)];
  if (told.op === "search") {
    const anna = text(told.filter).endsWith("anna");
    const mail = ber(0x30, ber(0x04, "mail"), ber(0x31, ber(0x04, "Anna@example.org")));
    const entry = ber(0x64, ber(0x04, "uid=anna,dc=example"), ber(0x30, mail));
    return anna ? [entry, result(told, 0)] : [result(told, 0)];
  }
  const right = told.dn === "uid=anna,dc=example" && told.password === SECRET ||
    told.dn === ACCOUNT.dn && told.password === ACCOUNT.password;
  // An anonymous bind is a success, as it is in real ones.
  return [result(told, right || told.password === "" ? 0 : 49)];
}

const DIRECT = { dn: "uid={user},dc=example" };
const SEARCH = { base: "dc=example", filter: "(uid={user})", bind: ACCOUNT };

const start = (directory: FakeDirectory, options: object, more: RunOptions = {}) =>
  runPlugin(module, {
    name: "auth-ldap",
    options: { server: "ldap://ldap.test", ...options },
    services: { "ldap.test:389": directory.serve },
    ...more,
  });

async function login(plugin: TestPlugin, user = "anna", password = SECRET) {
  const outcome = await plugin.authenticate(user, password);
  return "identity" in outcome
    ? outcome.identity.user
    : "refused" in outcome
    ? outcome.refused.code
    : undefined;
}

describe("a login stays a value", () => {
  test("what means something in a name or a filter is escaped", () => {
    assert.equal(escapedValue("a.b_c-d@E9"), "a.b_c-d@E9");
    assert.equal(escapedValue("*()\\\0"), "\\2a\\28\\29\\5c\\00");
    assert.equal(escapedValue(' #,+"<>;=a '), "\\20\\23\\2c\\2b\\22\\3c\\3e\\3b\\3da\\20");
    assert.equal(escapedValue("josé"), "josé");
    assert.equal(filled("uid={local},dc={domain}", "a@b@c.test"), "uid=a@b,dc=c.test");
    assert.equal(filled("({user}={user})", "{local}"), "(\\7blocal\\7d=\\7blocal\\7d)");
  });

  test("whatever the login: no special character is left, and it is read back", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme" }), (user) => {
      const value = escapedValue(user);
      assert.doesNotMatch(value.replace(/\\[0-9a-f]{2}/g, ""), /[\x00-\x20"#()*+,;<=>\\{}\x7f]/);
      const back = value.replace(
        /\\([0-9a-f]{2})/g,
        (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
      );
      assert.equal(back, user);
    }));
  });

  test("a filter is one pair of parentheses", () => {
    for (const good of ["(a=b)", "(&(a=b)(c=d))"]) assert.ok(isFilter(good), good);
    for (const bad of ["a=b", "(a=b", "(a=b)(c=d)", "(a=b))", "()(", ""]) {
      assert.ok(!isFilter(bad), bad);
    }
  });
});

for (const split of [1, undefined]) {
  test(`by name, behind StartTLS, in packets of ${split ?? "all"} octets`, async () => {
    const directory = new FakeDirectory();
    const plugin = await start(directory, DIRECT, split === undefined ? {} : { split });
    assert.equal(await login(plugin), "anna");
    assert.equal(await login(plugin, "anna", "wrong"), 535);
    assert.equal(await login(plugin, "nobody"), 535);
    assert.deepEqual(directory.told.map(({ op }) => op), ["starttls", "bind", "bind", "bind"]);
    assert.deepEqual(directory.secured, [false, true, true, true]);
    assert.equal(directory.connections, 1);
    await plugin.close();
  });

  test(`by search, in packets of ${split ?? "all"} octets`, async () => {
    const directory = new FakeDirectory();
    const plugin = await start(
      directory,
      { ...SEARCH, name: "MAIL" },
      split === undefined ? {} : { split },
    );
    assert.equal(await login(plugin), "Anna@example.org");
    assert.equal(await login(plugin, "anna", "wrong"), 535);
    assert.equal(directory.connections, 2);
    await plugin.close();
  });
}

test("R16: an unknown login is bound as often as a known one", async () => {
  const directory = new FakeDirectory();
  const plugin = await start(directory, SEARCH);
  assert.equal(await login(plugin, "anna", "wrong"), 535);
  const known = directory.told.splice(0).map(({ op }) => op);
  assert.equal(await login(plugin, "anna", "wrong"), 535);
  const again = directory.told.splice(0).map(({ op }) => op);
  assert.equal(await login(plugin, "nobody", "wrong"), 535);
  assert.deepEqual(directory.told.map(({ op }) => op), again);
  assert.equal(known.length, again.length + 3);
  const bind = directory.told.find((told) => told.op === "bind");
  assert.match(bind?.dn ?? "", /^cn=[0-9a-f-]{36},dc=example$/);
  await plugin.close();
});

test("an empty password, or no name, is never a bind: a directory would say yes to it", async () => {
  const directory = new FakeDirectory();
  for (const options of [DIRECT, SEARCH]) {
    const plugin = await start(directory, options);
    assert.equal(await login(plugin, "anna", ""), 535);
    await plugin.close();
  }
  assert.deepEqual(directory.told, []);
  // An entry without a name, which a broken directory might find.
  const root = ber(0x64, ber(0x04), ber(0x30));
  const nameless = new FakeDirectory((told, server) => {
    if (told.op !== "search") return "usual";
    const id = [0x02, 1, 3];
    return void server.write(ber(0x30, id, root)).then(() =>
      server.write(ber(0x30, id, result(told, 0)))
    );
  });
  const plugin = await start(nameless, SEARCH);
  assert.equal(await login(plugin), 454);
  assert.ok(!nameless.told.some((told) => told.op === "bind" && told.dn === ""));
  await plugin.close();
  const { edge } = testEdge();
  const bare = new Directory(edge, {
    address: { path: "x" },
    implicit: false,
    tls: undefined,
  }, { account: undefined, connections: 1 });
  const { signal } = new AbortController();
  await assert.rejects(bare.bind("uid=a", "", signal), /without a name or password/);
  await assert.rejects(bare.bind("", "x", signal), /without a name or password/);
});

describe("result codes of a bind", () => {
  for (
    const [code, wanted] of [
      [0, "anna"],
      [49, 535],
      [32, 535],
      [34, 535],
      [48, 535],
      [19, 535],
      [51, 454],
      [52, 454],
      [53, 454],
      [13, 454],
      [1, 454],
      [14, 454],
    ] as const
  ) {
    test(String(code), async () => {
      const directory = new FakeDirectory(({ op }) => op === "bind" ? code : "usual");
      const plugin = await start(directory, DIRECT);
      assert.equal(await login(plugin), wanted);
      assert.equal(plugin.logs.length, wanted === 454 ? 1 : 0);
      await plugin.close();
    });
  }
});

describe("no password in plain text", () => {
  test("where StartTLS is refused, or answered with nonsense", async () => {
    for (
      const answer of [
        2,
        52,
        new TextEncoder().encode("220 mx.example.org ESMTP\r\n"),
        ber(0x30, [0x02, 1, 9], ber(TLS, [0x0a, 1, 0])),
        Uint8Array.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff),
        Uint8Array.of(0x30, 0x85, 0, 0, 0, 0, 1),
      ]
    ) {
      const directory = new FakeDirectory(({ op }) => op === "starttls" ? answer : "usual");
      const plugin = await start(directory, DIRECT);
      assert.equal(await login(plugin), 454);
      assert.deepEqual(directory.told.map(({ op }) => op), ["starttls"]);
      await plugin.close();
    }
  });

  test("after the secured connection is gone: no new one without TLS", async () => {
    const directory = new FakeDirectory((told, server) => {
      if (told.op !== "bind" || directory.connections > 1) return "usual";
      server.destroy();
    });
    const plugin = await start(directory, DIRECT);
    assert.equal(await login(plugin), 454);
    assert.equal(await login(plugin), "anna");
    assert.deepEqual(directory.told.map(({ op }) => op), ["starttls", "bind", "starttls", "bind"]);
    await plugin.close();
  });

  test('unless `tls = "none"` says so, or it is a unix socket', async () => {
    const directory = new FakeDirectory();
    const plain = await start(directory, { ...DIRECT, tls: "none" });
    assert.equal(await login(plain), "anna");
    await plain.close();
    const local = await start(directory, { ...DIRECT, server: "unix:/run/ldapi" }, {
      services: { "/run/ldapi": directory.serve },
    });
    assert.equal(await login(local), "anna");
    assert.deepEqual(directory.told.map(({ op }) => op), ["bind", "bind"]);
    await local.close();
  });
});

describe("a directory that fails", () => {
  test("nobody there: 454, told of once", async () => {
    const plugin = await start(new FakeDirectory(), { ...DIRECT, server: "ldap://ldap.test:3890" });
    for (let i = 0; i < 3; i++) assert.equal(await login(plugin), 454);
    assert.deepEqual(plugin.logs.map(({ level }) => level), ["error"]);
    await plugin.close();
  });

  for (const at of ["starttls", "bind", "search"] as const) {
    test(`dies in ${at}: 454, told of once, and right when it is back`, async () => {
      let dying = true;
      const directory = new FakeDirectory(({ op }, server) => {
        if (op !== at || !dying) return "usual";
        server.destroy();
      });
      const plugin = await start(directory, at === "search" ? SEARCH : DIRECT);
      for (let i = 0; i < 3; i++) assert.equal(await login(plugin), 454);
      dying = false;
      assert.equal(await login(plugin), "anna");
      assert.deepEqual(plugin.logs.map(({ level }) => level), ["error", "info"]);
      assert.deepEqual(plugin.failures, []);
      await plugin.close();
    });

    test(`hangs in ${at}: the budget cuts it off, and the next login has a new connection`, async () => {
      let hanging = true;
      const directory = new FakeDirectory(({ op }) => op === at && hanging ? undefined : "usual");
      const plugin = await start(directory, {
        ...at === "search" ? SEARCH : DIRECT,
        connections: 1,
      }, { budget: 5_000 });
      const asked = login(plugin);
      await directory.heard(at === "starttls" ? 1 : at === "bind" ? 2 : 3);
      await plugin.clock.advance(5_000);
      assert.equal(await asked, 454);
      assert.deepEqual(plugin.failures.map(({ kind }) => kind), ["over-budget"]);
      hanging = false;
      const { connections } = directory;
      assert.equal(await login(plugin), "anna");
      assert.ok(directory.connections > connections);
      await plugin.close();
    });
  }

  test("closed while idle: no login notices", async () => {
    const servers: Connection[] = [];
    const directory = new FakeDirectory((_, server) => {
      if (!servers.includes(server)) servers.push(server);
      return "usual";
    });
    const plugin = await start(directory, SEARCH);
    assert.equal(await login(plugin), "anna");
    for (const server of servers) server.destroy();
    assert.equal(await login(plugin), "anna");
    assert.deepEqual(plugin.logs, []);
    await plugin.close();
  });

  test("a client that goes away leaves the search of the others alone", async () => {
    const directory = new FakeDirectory((told) =>
      told.op === "search" && text(told.filter).endsWith("slow") ? undefined : "usual"
    );
    const plugin = await start(directory, { ...SEARCH, exempt: ["192.0.2.0/24"] });
    assert.equal(await login(plugin), "anna");
    const slow = plugin.authenticate("slow", "x");
    await directory.heard(6);
    plugin.closed();
    await slow;
    const { connections } = directory;
    assert.equal(await login(plugin), "anna");
    assert.equal(directory.connections, connections);
    await plugin.close();
  });
});

test("no more binds at once than allowed", async () => {
  const directory = new FakeDirectory();
  const plugin = await start(directory, { ...DIRECT, connections: 2, exempt: ["192.0.2.0/24"] });
  const all = await Promise.all(Array.from({ length: 12 }, () => login(plugin)));
  assert.deepEqual(new Set(all), new Set(["anna"]));
  assert.equal(directory.connections, 2);
  await plugin.close();
});

test("R17: failures lock, and a right password may be remembered", async () => {
  const directory = new FakeDirectory();
  const plugin = await start(directory, { ...DIRECT, max_failures: 2, cache: "30s" });
  for (let i = 0; i < 3; i++) assert.equal(await login(plugin), "anna");
  const binds = () => directory.told.filter(({ op }) => op === "bind").length;
  assert.equal(binds(), 1);
  for (const user of ["a", "A"]) assert.equal(await login(plugin, user), 535);
  assert.equal(await login(plugin), 535);
  assert.equal(binds(), 3);
  await plugin.close();
});

test("R18: no password in logs or failures, whatever the directory says back", async () => {
  for (const code of [0, 1, 49, 51, 52, 53]) {
    const directory = new FakeDirectory((told) =>
      told.op === "bind"
        ? ber(
          0x30,
          [0x02, 1, 2],
          ber(BIND, [0x0a, 1, code], ber(0x04), ber(0x04, `no ${told.dn} ${told.password}`)),
        )
        : "usual"
    );
    for (const options of [DIRECT, SEARCH]) {
      const plugin = await start(directory, options);
      await login(plugin);
      const all = JSON.stringify([plugin.logs, plugin.failures]);
      assert.ok(!/s3cr3t|s3rvice/.test(all) && !all.includes(base64(SECRET)), all);
      await plugin.close();
    }
  }
});

test("the account's password may be in a file", async () => {
  const directory = new FakeDirectory();
  const plugin = await start(directory, {
    ...SEARCH,
    bind: { dn: ACCOUNT.dn, password: { file: "ldap.secret" } },
  }, { files: { "ldap.secret": `${ACCOUNT.password}\n` } });
  assert.equal(await login(plugin), "anna");
  await plugin.close();
});

test("a dialogue", async () => {
  const directory = new FakeDirectory((told) =>
    told.op === "bind" && told.password === "later" ? 52 : "usual"
  );
  await runDialogue(module, new URL("auth_ldap.dialogue", import.meta.url), {
    options: { server: "ldap://ldap.test", ...DIRECT },
    services: { "ldap.test:389": directory.serve },
    clientAddress: "127.0.0.1",
  });
});

test("options say what is wrong", async () => {
  const faults = async (given: object) =>
    await optionFaults(module.options, { server: "ldap://a", ...given });
  assert.deepEqual(await faults(DIRECT), []);
  assert.deepEqual(await faults(SEARCH), []);
  assert.deepEqual(await faults({}), [": expected either `dn`, or `base` and `filter`"]);
  assert.deepEqual(await faults({ ...DIRECT, ...SEARCH }), [
    ": expected either `dn`, or `base` and `filter`",
    ": expected `bind` and `name` with `filter` only",
  ]);
  assert.deepEqual(await faults({ base: "dc=x" }), [": expected `base` and `filter` together"]);
  assert.deepEqual(await faults({ dn: "uid=anna" }), [
    'dn: expected a name with {user}, {local} or {domain}, got "uid=anna"',
  ]);
  assert.deepEqual(await faults({ base: "dc=x", filter: "uid={user}" }), [
    'filter: expected a filter with {user}, {local} or {domain}, got "uid={user}"',
  ]);
  assert.deepEqual(await faults({ ...DIRECT, server: "ldaps://a", tls: "none" }), [
    'tls: expected "require" or "verify" for a server of ldaps://',
  ]);
  for (const server of ["a", "http://a", "ldap://", "ldap://a:0", "unix:", "ldap://unix:/x"]) {
    assert.equal((await faults({ ...DIRECT, server })).length, 1, server);
  }
  for (const server of ["ldap://[::1]:389", "ldaps://a/", "unix:/x"]) {
    assert.deepEqual(await faults({ ...DIRECT, server }), [], server);
  }
});
