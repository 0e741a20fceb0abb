/**
 * auth-ldap before a real slapd: by name and by search, over StartTLS, ldaps and a unix socket; odd logins; a restart.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { testChain } from "../support/certificates.ts";
import { startEdge } from "../support/edge.ts";
import { tempHome } from "../support/postern_process.ts";
import { ADMIN, type Slapd, slapdMissing, startSlapd } from "./slapd.ts";

const LIMIT = { timeout: 60_000 };
const missing = slapdMissing();
const SECRET = "open sésame";

/** A name in base64, as LDIF wants what is not plain. */
const person = (dn: string, uid: string, mail: string) => {
  const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  return `dn:: ${base64(`${dn},dc=example,dc=org`)}\nobjectClass: inetOrgPerson\nuid:: ${
    base64(uid)
  }\ncn: x\nsn: x\nmail: ${mail}\nuserPassword:: ${base64(SECRET)}\n\n`;
};

const PEOPLE = person("uid=anna", "anna", "Anna@example.org") +
  person("uid=jos\u00e9", "jos\u00e9", "jose@example.org") +
  person("uid=odd\\2c \\2bone\\3d*(x)", "odd, +one=*(x)", "odd@example.org") +
  person("cn=twin 1", "twin", "twin@example.org") +
  person("cn=twin 2", "twin", "twin@example.org");

describe("auth-ldap and slapd", { skip: missing ?? false }, () => {
  let home: Awaited<ReturnType<typeof tempHome>>;
  let slapd: Slapd;
  before(async () => {
    home = await tempHome({});
    const { ca, leaf } = await testChain(["localhost", "127.0.0.1"]);
    fs.writeFileSync(path.join(home.path, "ca.pem"), ca.cert);
    fs.writeFileSync(path.join(home.path, "cert.pem"), leaf.cert);
    fs.writeFileSync(path.join(home.path, "key.pem"), leaf.key);
    slapd = await startSlapd(home.path, PEOPLE);
  }, LIMIT);
  after(async () => {
    await slapd?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
  }, LIMIT);

  const byName = 'dn = "uid={user},dc=example,dc=org"';
  const bySearch = `base = "dc=example,dc=org"
filter = "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))"
name = "mail"
bind = { dn = "${ADMIN.dn}", password = "${ADMIN.password}" }`;

  const edgeWith = (server: string, options: string, more = `ca = "${home.path}/ca.pem"`) =>
    startEdge({
      listener: 'auth = "optional"\nauth_plaintext_loopback = true',
      more:
        `[[plugins]]\nuse = "auth-ldap"\n[plugins.options]\nserver = "${server}"\n${more}\n${options}
[[plugins]]\nuse = "./identity.ts"`,
      plugins: {
        identity: `return { name: "identity", hooks: {
          mail: (_, { session }) =>
            edge.defer(451, "4.7.1", "You are " + encodeURIComponent(session.identity.user)),
        } };`,
      },
    });
  type Edge = Awaited<ReturnType<typeof edgeWith>>;

  async function login(edge: Edge, user: string, password: string, wanted: number) {
    await using client = await edge.greeted();
    await client.authPlain(user, password, wanted);
    if (wanted !== 235) return undefined;
    const { text } = await client.command("MAIL FROM:<a@client.test>", "451 4.7.1 You are ");
    return decodeURIComponent(text.replace("451 4.7.1 You are ", ""));
  }

  for (const way of ["plain", "secure", "socket"] as const) {
    test(`by name, ${way}`, LIMIT, async () => {
      await using edge = await edgeWith(slapd[way], byName);
      assert.equal(await login(edge, "anna", SECRET, 235), "anna");
      assert.equal(await login(edge, "ANNA", SECRET, 235), "anna");
      assert.equal(await login(edge, "jos\u00e9", SECRET, 235), "jos\u00e9");
      assert.equal(await login(edge, "odd, +one=*(x)", SECRET, 235), "odd, +one=*(x)");
      for (const user of ["anna", "nobody", "*", "anna,dc=example", "x,cn=admin"]) {
        await login(edge, user, "wrong", 535);
      }
      await login(edge, "admin,dc=example,dc=org", ADMIN.password, 535);
      assert.ok(!/s.same|logins are deferred/.test(edge.log()), edge.log());
    });

    test(`by search, ${way}`, LIMIT, async () => {
      await using edge = await edgeWith(slapd[way], bySearch);
      assert.equal(await login(edge, "anna", SECRET, 235), "Anna@example.org");
      assert.equal(await login(edge, "anna@example.org", SECRET, 235), "Anna@example.org");
      assert.equal(await login(edge, "jos\u00e9", SECRET, 235), "jose@example.org");
      assert.equal(await login(edge, "odd, +one=*(x)", SECRET, 235), "odd@example.org");
      for (const user of ["anna", "nobody", "a*", "*", "x)(uid=anna", "anna)(|(uid=*)"]) {
        await login(edge, user, "wrong", 535);
      }
      for (const user of ["a*", "x)(uid=anna", "twin", "twin@example.org"]) {
        await login(edge, user, SECRET, 535);
      }
      assert.equal(edge.log().match(/More than one entry/g)?.length, 2);
      assert.ok(!/s.same|s3rvice|logins are deferred/.test(edge.log()), edge.log());
    });
  }

  test("a certificate that nobody vouches for gets no password", LIMIT, async () => {
    for (const way of ["plain", "secure"] as const) {
      await using edge = await edgeWith(slapd[way], byName, "");
      await login(edge, "anna", SECRET, 454);
      await using trusting = await edgeWith(slapd[way], byName, 'tls = "require"');
      await login(trusting, "anna", SECRET, 235);
    }
  });

  test(
    "a restart is no matter, an absence is told of once, a wrong account always defers",
    LIMIT,
    async () => {
      await using edge = await edgeWith(slapd.socket, bySearch);
      await using wrong = await edgeWith(slapd.socket, bySearch.replace(ADMIN.password, "other"));
      await login(edge, "anna", SECRET, 235);
      await login(wrong, "anna", SECRET, 454);
      assert.match(wrong.log(), /refuses the account that searches/);
      await slapd.stop();
      for (let i = 0; i < 3; i++) await login(edge, "anna", SECRET, 454);
      assert.equal(edge.log().match(/logins are deferred/g)?.length, 1);
      await slapd.start();
      await login(edge, "anna", SECRET, 235);
      await slapd.stop();
      await slapd.start();
      await login(edge, "anna", SECRET, 235);
      assert.equal(edge.log().match(/logins are deferred/g)?.length, 1, edge.log());
    },
  );
});
